// Linear layers of rows that each have weights of their own, by looking codes up.
//
// A lane of a vector is a row. In a table of so many lanes an entry holds what its code is worth for
// each of them, so one load and one multiply-add serve a weight of 16 rows of 16 tasks, and no
// composed weight is ever written. Checks nothing: `compiled.py` calls it with what was checked.

#include "kept.hpp"
#include "tiles.hpp"

extern "C" {

// One layer as the product takes it; `structures.py` has the same.
struct Layer {
    const uint16_t* codes;
    int64_t outputs, terms, entries;
    float constant;  // the magnitude of every weight: sums are multiplied by it
};

// What `impress_kept_lanes` reads and writes; `structures.py` has the same.
struct LaneRoom {
    const float* inputs;  // [rows][terms of the first layer]
    float* outputs;       // [rows][outputs of the last]
    const float* origin;  // what is added to each task's coefficients, as many as these; or null
    float* coefficients;  // of one task
    float* tables;        // [tasks][table_stride]: all of each
    int64_t* task_of_row;
    float* hidden;  // [2][hidden_stride], each with room for the outputs of any layer
    float* scratch;  // as `impress_product` has it for any layer
    int64_t table_stride, hidden_stride;
    int64_t segments, overlapping;  // masks that overlap in each segment; 0: coefficients are tables
};
}

namespace {

// Rows side by side: [length] of each to [length][LANES].
template <int LANES>
INLINE void join(const float* const* rows, int64_t length, float* joined) {
    for (int64_t i = 0; i < length; i++)
        for (int lane = 0; lane < LANES; lane++) joined[i * LANES + lane] = rows[lane][i];
}

// Entry 2 * code is what the code is worth for a positive weight, the next one for a negative.
template <int LANES>
INLINE void join_tables(const float* const* tables, int64_t entries, float* joined) {
    for (int64_t entry = 0; entry < entries; entry++)
        for (int lane = 0; lane < LANES; lane++) {
            joined[2 * entry * LANES + lane] = tables[lane][entry];
            joined[(2 * entry + 1) * LANES + lane] = -tables[lane][entry];
        }
}

template <int LANES>
INLINE void sum_tile(const Layer& layer, const uint16_t* codes, const float* table,
                     const float* inputs, int64_t outputs, float* sums) {
    typedef typename Vector<LANES>::type V;
    V total[TILE] = {};
    for (int64_t term = 0; term < layer.terms; term++) {
        const V input = *(const V*)(inputs + term * LANES);
#pragma GCC unroll 16
        for (int o = 0; o < TILE; o++)
            total[o] += *(const V*)(table + static_cast<size_t>(codes[o]) * LANES) * input;
        codes += TILE;
    }
    for (int64_t o = 0; o < outputs; o++) *(V*)(sums + o * LANES) = total[o];
}

template <int LANES>
INLINE void product_of_lanes(const Layer& layer, const float* tables, int64_t table_stride,
                             const int64_t* task_of_row, const float* inputs, float* outputs,
                             int64_t rows, float* scratch) {
    const float *row_of_lane[LANES], *table_of_lane[LANES];
    for (int64_t lane = 0; lane < LANES; lane++) {
        const int64_t row = lane < rows ? lane : rows - 1;  // a lane too many repeats the last
        row_of_lane[lane] = inputs + row * layer.terms;
        table_of_lane[lane] = tables + task_of_row[row] * table_stride;
    }
    float* table = scratch;
    float* joined = table + 2 * layer.entries * LANES;
    float* sums = joined + layer.terms * LANES;
    join_tables<LANES>(table_of_lane, layer.entries, table);
    join<LANES>(row_of_lane, layer.terms, joined);
    for (int64_t output = 0; output < layer.outputs; output += TILE) {
        const int64_t left = layer.outputs - output;
        sum_tile<LANES>(layer, layer.codes + output * layer.terms, table, joined,
                        left < TILE ? left : TILE, sums + output * LANES);
    }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < layer.outputs; o++)
            outputs[row * layer.outputs + o] = layer.constant * sums[o * LANES + row];
}

// Rows in bundles of the most lanes; what is left over takes the fewest lanes that hold it.
template <int MOST>
INLINE void product(const Layer& layer, const float* tables, int64_t table_stride,
                    const int64_t* task_of_row, const float* inputs, float* outputs, int64_t rows,
                    float* scratch) {
    for (int64_t row = 0; row < rows; row += MOST) {
        const int64_t left = rows - row, taken = left < MOST ? left : MOST;
        const float* from = inputs + row * layer.terms;
        float* to = outputs + row * layer.outputs;
        const int64_t* tasks = task_of_row + row;
        if (MOST >= 16 && taken > 8)
            product_of_lanes<16>(layer, tables, table_stride, tasks, from, to, taken, scratch);
        else if (MOST >= 8 && taken > 4)
            product_of_lanes<8>(layer, tables, table_stride, tasks, from, to, taken, scratch);
        else
            product_of_lanes<4>(layer, tables, table_stride, tasks, from, to, taken, scratch);
    }
}

// All sums of the coefficients of overlapping masks, 2^masks: those of each five are made first, as
// registers have them, and then added up.
void sum_subsets(const float* coefficients, int64_t masks, float* sums) {
    int64_t made = 1;
    sums[0] = 0;
    for (int64_t first = 0; first < masks; first += SUMMED_MASKS) {
        const int64_t count = masks - first < SUMMED_MASKS ? masks - first : SUMMED_MASKS;
        float part[1 << SUMMED_MASKS] = {};
        for (int64_t mask = 0; mask < count; mask++)
            for (int64_t some = 0; some < 1 << mask; some++)
                part[(1 << mask) + some] = part[some] + coefficients[first + mask];
        for (int64_t high = (1 << count) - 1; high >= 0; high--)
            for (int64_t low = 0; low < made; low++)
                sums[high * made + low] = part[high] + sums[low];
        made <<= count;
    }
}

// The tables of one task.
bool read_task(const Kept& kept, const uint8_t* values, const uint16_t* scales, const LaneRoom& room,
               float* tables) {
    float* coefficients = room.overlapping ? room.coefficients : tables;
    if (!impress_coefficients(&kept, values, scales, 1, coefficients)) return false;
    if (room.origin)
        for (int64_t i = 0; i < kept.entries; i++) coefficients[i] += room.origin[i];
    if (room.overlapping)
        for (int64_t segment = 0; segment < room.segments; segment++)
            sum_subsets(coefficients + segment * room.overlapping, room.overlapping,
                        tables + (segment << room.overlapping));
    return true;
}

#define PRODUCT_ARGUMENTS                                                                      \
    const Layer &layer, const float *tables, int64_t table_stride, const int64_t *task_of_row, \
        const float *inputs, float *outputs, int64_t rows, float *scratch
#define PASSED layer, tables, table_stride, task_of_row, inputs, outputs, rows, scratch

void product_plain(PRODUCT_ARGUMENTS) { product<4>(PASSED); }

#ifdef X86
AVX2 void product_avx2(PRODUCT_ARGUMENTS) { product<8>(PASSED); }
AVX512 void product_avx512(PRODUCT_ARGUMENTS) { product<16>(PASSED); }
#endif
}  // namespace

extern "C" {

// `lanes` is how many rows to compute side by side at most: 4, 8 or 16, and no more than
// `impress_lanes`. `scratch` has room for 2 * entries + the terms + the outputs of as many.
void impress_product(PRODUCT_ARGUMENTS, int32_t lanes) {
#ifdef X86
    if (lanes == 16) return product_avx512(PASSED);
    if (lanes == 8) return product_avx2(PASSED);
#endif
    (void)lanes;
    product_plain(PASSED);
}

// Rows through `count` layers with a ReLU between each two, whose tasks' values and scales lie
// wherever they are kept; those of one task come one after another. `first` says where in a task's
// tables those of each layer begin. 0 where a task has bits beyond its last: nothing is to be read.
int32_t impress_kept_lanes(const Layer* layers, const int64_t* first, int64_t count,
                           const Kept* kept, const uint8_t* const* values,
                           const uint16_t* const* scales, int64_t rows, const LaneRoom* room,
                           int32_t lanes) {
    int64_t tasks = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (!row || values[row] != values[row - 1]) {
            float* tables = room->tables + tasks++ * room->table_stride;
            if (!read_task(*kept, values[row], scales[row], *room, tables)) return 0;
        }
        room->task_of_row[row] = tasks - 1;
    }
    const float* inputs = room->inputs;
    for (int64_t l = 0; l < count; l++) {
        const bool last = l + 1 == count;
        float* outputs = last ? room->outputs : room->hidden + l % 2 * room->hidden_stride;
        impress_product(layers[l], room->tables + first[l], room->table_stride, room->task_of_row,
                        inputs, outputs, rows, room->scratch, lanes);
        // Not a number stays what it is.
        const int64_t made = last ? 0 : rows * layers[l].outputs;
        for (int64_t i = 0; i < made; i++) outputs[i] = outputs[i] < 0 ? 0 : outputs[i];
        inputs = outputs;
    }
    return 1;
}

int32_t impress_lanes() {
#ifdef X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return 16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 8;
#endif
    return 4;
}

int32_t impress_tile() { return TILE; }

int32_t impress_version() { return 16; }
}
