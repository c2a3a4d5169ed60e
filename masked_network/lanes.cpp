// Products of rows that each have weights of their own, and composition: both by looking codes up.
//
// A lane of a vector is a row. In a table of so many lanes an entry holds what its code is worth for
// each of them, so one load and one multiply-add serve a weight of 16 rows of 16 tasks, and no
// composed weight is ever written. Checks nothing: `compiled.py` calls it with what was checked.

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define X86 1
#endif

#define INLINE static inline __attribute__((always_inline))

extern "C" {

// One layer as the product takes it; `compiled.py` has the same. A linear layer is a convolution of
// one position. Codes are signed, 2 * code + (weight < 0), in tiles: [tiles][terms][TILE].
struct Layer {
    const uint16_t* codes;
    const int32_t* offsets;  // [terms]: where a term's input lies from that of a position
    const int32_t* bases;    // [positions]: where a position begins in the padded input
    int64_t outputs, terms, positions, entries;
    int64_t channels, height, width, padding;
    float constant;  // the magnitude of every weight
};
}

namespace {

constexpr int64_t TILE = 10;   // outputs that are summed side by side
constexpr int64_t BLOCK = 16;  // positions whose inputs stay in the cache while the tiles pass by

template <int LANES>
struct Vector {
    typedef float type __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
};

// Rows side by side: [length] of each to [length][LANES].
template <int LANES>
INLINE void join(const float* const* rows, int64_t from, int64_t length, float* joined) {
    for (int64_t i = 0; i < length; i++)
        for (int lane = 0; lane < LANES; lane++) joined[i * LANES + lane] = rows[lane][from + i];
}

template <int LANES>
INLINE void join_padded(const Layer& layer, const float* const* rows, float* joined) {
    const int64_t padding = layer.padding, width = layer.width + 2 * padding;
    if (padding == 0) {
        join<LANES>(rows, 0, layer.channels * layer.height * layer.width, joined);
        return;
    }
    const int64_t height = layer.height + 2 * padding;
    std::memset(joined, 0, sizeof(float) * layer.channels * height * width * LANES);
    for (int64_t line = 0; line < layer.channels * layer.height; line++) {
        const int64_t channel = line / layer.height, y = line % layer.height + padding;
        float* to = joined + ((channel * height + y) * width + padding) * LANES;
        join<LANES>(rows, line * layer.width, layer.width, to);
    }
}

// Entry 2 * code is what the code is worth for a positive weight, the next one for a negative.
template <int LANES>
INLINE void join_tables(const float* const* tables, int64_t entries, float constant, float* joined) {
    for (int64_t entry = 0; entry < entries; entry++)
        for (int lane = 0; lane < LANES; lane++) {
            const float worth = constant * tables[lane][entry];
            joined[2 * entry * LANES + lane] = worth;
            joined[(2 * entry + 1) * LANES + lane] = -worth;
        }
}

template <int LANES, int POSITIONS>
INLINE void sum_tile(const Layer& layer, const uint16_t* codes, const float* table,
                     const float* inputs, int64_t position, int64_t outputs, float* sums) {
    typedef typename Vector<LANES>::type V;
    V total[TILE][POSITIONS] = {};
    const float* starts[POSITIONS];
    for (int p = 0; p < POSITIONS; p++) starts[p] = inputs + layer.bases[position + p] * LANES;
    for (int64_t term = 0; term < layer.terms; term++) {
        const int64_t offset = static_cast<int64_t>(layer.offsets[term]) * LANES;
        V input[POSITIONS];
#pragma GCC unroll 4
        for (int p = 0; p < POSITIONS; p++) input[p] = *(const V*)(starts[p] + offset);
#pragma GCC unroll 16
        for (int o = 0; o < TILE; o++) {
            const V weight = *(const V*)(table + static_cast<size_t>(codes[o]) * LANES);
#pragma GCC unroll 4
            for (int p = 0; p < POSITIONS; p++) total[o][p] += weight * input[p];
        }
        codes += TILE;
    }
    for (int64_t o = 0; o < outputs; o++)
        for (int p = 0; p < POSITIONS; p++)
            *(V*)(sums + (o * layer.positions + position + p) * LANES) = total[o][p];
}

template <int LANES, int POSITIONS>
INLINE void sum_layer(const Layer& layer, const float* table, const float* inputs, float* sums) {
    for (int64_t first = 0; first < layer.positions; first += BLOCK) {
        const int64_t end = first + BLOCK < layer.positions ? first + BLOCK : layer.positions;
        for (int64_t output = 0; output < layer.outputs; output += TILE) {
            const uint16_t* codes = layer.codes + output * layer.terms;
            const int64_t left = layer.outputs - output, outputs = left < TILE ? left : TILE;
            float* to = sums + output * layer.positions * LANES;
            int64_t position = first;
            for (; position + POSITIONS <= end; position += POSITIONS)
                sum_tile<LANES, POSITIONS>(layer, codes, table, inputs, position, outputs, to);
            for (; position < end; position++)
                sum_tile<LANES, 1>(layer, codes, table, inputs, position, outputs, to);
        }
    }
}

template <int LANES, int POSITIONS>
INLINE void product_of_lanes(const Layer& layer, const float* tables, int64_t table_stride,
                             const int64_t* task_of_row, const float* inputs, float* outputs,
                             int64_t rows, float* scratch) {
    const int64_t length = layer.channels * layer.height * layer.width;
    const int64_t made = layer.outputs * layer.positions;
    const float *row_of_lane[LANES], *table_of_lane[LANES];
    for (int64_t lane = 0; lane < LANES; lane++) {
        const int64_t row = lane < rows ? lane : rows - 1;  // a lane too many repeats the last
        row_of_lane[lane] = inputs + row * length;
        table_of_lane[lane] = tables + task_of_row[row] * table_stride;
    }
    float* table = scratch;
    float* joined = table + 2 * layer.entries * LANES;
    const int64_t height = layer.height + 2 * layer.padding, width = layer.width + 2 * layer.padding;
    float* sums = joined + layer.channels * height * width * LANES;
    join_tables<LANES>(table_of_lane, layer.entries, layer.constant, table);
    join_padded<LANES>(layer, row_of_lane, joined);
    sum_layer<LANES, POSITIONS>(layer, table, joined, sums);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < made; i++) outputs[row * made + i] = sums[i * LANES + row];
}

// Rows in bundles of the most lanes; what is left over takes the fewest lanes that hold it.
template <int MOST, int POSITIONS>
INLINE void product(const Layer& layer, const float* tables, int64_t table_stride,
                    const int64_t* task_of_row, const float* inputs, float* outputs, int64_t rows,
                    float* scratch) {
    const int64_t length = layer.channels * layer.height * layer.width;
    const int64_t made = layer.outputs * layer.positions;
    for (int64_t row = 0; row < rows; row += MOST) {
        const int64_t left = rows - row, taken = left < MOST ? left : MOST;
        const float* from = inputs + row * length;
        float* to = outputs + row * made;
        const int64_t* tasks = task_of_row + row;
        if (MOST >= 16 && taken > 8)
            product_of_lanes<16, POSITIONS>(layer, tables, table_stride, tasks, from, to, taken, scratch);
        else if (MOST >= 8 && taken > 4)
            product_of_lanes<8, POSITIONS>(layer, tables, table_stride, tasks, from, to, taken, scratch);
        else
            product_of_lanes<4, POSITIONS>(layer, tables, table_stride, tasks, from, to, taken, scratch);
    }
}

#define PRODUCT_ARGUMENTS                                                                      \
    const Layer &layer, const float *tables, int64_t table_stride, const int64_t *task_of_row, \
        const float *inputs, float *outputs, int64_t rows, float *scratch
#define PASSED layer, tables, table_stride, task_of_row, inputs, outputs, rows, scratch

void product_plain(PRODUCT_ARGUMENTS) { product<4, 1>(PASSED); }

#ifdef X86
__attribute__((target("avx2,fma"), flatten)) void product_avx2(PRODUCT_ARGUMENTS) {
    product<8, 1>(PASSED);
}
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), flatten)) void product_avx512(
    PRODUCT_ARGUMENTS) {
    product<16, 2>(PASSED);
}
#endif
}  // namespace

extern "C" {

// `lanes` is how many rows to compute side by side at most: 4, 8 or 16, and no more than
// `impress_lanes`. `scratch` has room for 2 * entries + the padded inputs + the outputs of as many.
void impress_product(PRODUCT_ARGUMENTS, int32_t lanes) {
#ifdef X86
    if (lanes == 16) return product_avx512(PASSED);
    if (lanes == 8) return product_avx2(PASSED);
#endif
    (void)lanes;
    product_plain(PASSED);
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

int32_t impress_version() { return 10; }
}
