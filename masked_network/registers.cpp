// Few rows through linear layers whose weights are composed in vector registers, never in memory.
//
// A row by itself: a lane is an output, and the table is looked up by permuting registers. It lies in
// them as places in a list, where its numbers are no more than 16; else, if it has at most 256 entries,
// as the bytes of each number. What a bank's origin adds to every task's table is the same for
// all, so it is not in a larger table: few numbers stay few. Sums are those of `lanes.cpp`, to the bit.
// Checks nothing: `compiled.py` calls it with what was checked.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kept.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include "register_tables.hpp"
#define X86 1
#endif

extern "C" {

// One linear layer as the rows take it; `structures.py` has the same. Outputs lie in tiles of 64.
struct RowLayer {
    const uint8_t* codes;   // [tiles][terms][64]: the lower 8 bits of each code; of masks that overlap
                            // [tiles][terms][tables][64], as `MaskSums` has them
    const uint64_t* masks;  // [tiles][terms][1 + high_bits]: which weights are < 0, then code bits 8, 9..
                            // of masks that overlap null
    const float* origin;    // null: none. [entries], where these are at most 256; else, of each weight,
                            // [tiles][terms][64], negative where it is, 4 * j + s at 16 * s + j
    int64_t outputs, terms, entries, high_bits;
    int64_t overlapping;  // masks that do, whose coefficients are given in place of a table; 0: none
    int64_t segment;  // which of a task's tables is the layer's own, or its first
    float constant;   // the magnitude of every weight: sums are multiplied by it
};
}

#ifdef X86
namespace {

constexpr int64_t TILE = 64;

// With ADDS the table has what is added to the origin of each weight.
template <bool ADDS, class Table>
INLINE void sum(const RowLayer& layer, const Table& table, const float* inputs, float* outputs) {
    const uint8_t* codes = layer.codes;
    const uint64_t* masks = layer.masks;
    const float* origin = layer.origin;
    for (int64_t first = 0; first < layer.outputs; first += TILE) {
        __m512 total[4] = {};
        for (int64_t term = 0; term < layer.terms; term++) {
            __m512 weight[4];
            Table::weights(table, codes, masks, weight);
            if (ADDS) {
                for (int s = 0; s < 4; s++)
                    weight[s] = _mm512_add_ps(weight[s], _mm512_loadu_ps(origin + 16 * s));
                origin += TILE;
            }
            const __m512 input = _mm512_set1_ps(inputs[term]);
            for (int s = 0; s < 4; s++) total[s] = _mm512_fmadd_ps(weight[s], input, total[s]);
            codes += Table::CODES;
            masks += Table::SIGNS * (1 + layer.high_bits);
        }
        float sums[TILE];
        for (int s = 0; s < 4; s++) _mm512_storeu_ps(sums + 16 * s, total[s]);
        const int64_t left = layer.outputs - first;
        for (int64_t o = 0; o < (left < TILE ? left : TILE); o++)
            outputs[first + o] = layer.constant * sums[Table::place(o)];
    }
}

template <class Few>
IN_REGISTERS bool sum_few(const RowLayer& layer, const float* table, const float* inputs,
                          float* outputs) {
    Few few;
    if (!Few::of(table, layer.entries, &few)) return false;
    if (layer.origin)
        sum<true>(layer, few, inputs, outputs);
    else
        sum<false>(layer, few, inputs, outputs);
    return true;
}

template <int HIGH_BITS>
IN_REGISTERS bool sum_places(const RowLayer& layer, const float* table, const float* inputs,
                             float* outputs) {
    return sum_few<Quarters<HIGH_BITS>>(layer, table, inputs, outputs) ||
           sum_few<Places<HIGH_BITS>>(layer, table, inputs, outputs);
}

template <int COUNT>
IN_REGISTERS bool sum_bytes(const RowLayer& layer, const float* table, const float* inputs,
                            float* outputs) {
    Bytes<COUNT> bytes;
    if (!Bytes<COUNT>::of(table, layer.origin, layer.entries, &bytes)) return false;
    sum<false>(layer, bytes, inputs, outputs);
    return true;
}

template <int TABLES>
IN_REGISTERS bool sum_masks(const RowLayer& layer, const float* coefficients, const float* inputs,
                            float* outputs) {
    sum<false>(layer, MaskSums<TABLES>::of(coefficients, layer.overlapping), inputs, outputs);
    return true;
}

IN_REGISTERS bool layer_of_row(const RowLayer& layer, const float* table, const float* inputs,
                               float* outputs) {
    if (layer.overlapping > 2 * SUMMED_MASKS) return sum_masks<3>(layer, table, inputs, outputs);
    if (layer.overlapping > SUMMED_MASKS) return sum_masks<2>(layer, table, inputs, outputs);
    if (layer.overlapping) return sum_masks<1>(layer, table, inputs, outputs);
    switch (layer.high_bits) {
        case 0:
            // What comes first takes less time.
            return (!layer.origin && sum_few<Places<0>>(layer, table, inputs, outputs)) ||
                   sum_bytes<3>(layer, table, inputs, outputs) ||
                   sum_bytes<4>(layer, table, inputs, outputs);
        case 1:
            return sum_places<1>(layer, table, inputs, outputs);
        case 2:
            return sum_places<2>(layer, table, inputs, outputs);
        case 3:
            return sum_places<3>(layer, table, inputs, outputs);
        default:
            return sum_places<4>(layer, table, inputs, outputs);
    }
}

// One row through `count` layers with a ReLU between each two, by its task's tables.
IN_REGISTERS bool row_of_task(const RowLayer* layers, int64_t count, const float* tables,
                              int64_t segment_stride, const float* inputs, float* outputs,
                              float* scratch, int64_t widest) {
    for (int64_t l = 0; l < count; l++) {
        const RowLayer& layer = layers[l];
        const bool last = l + 1 == count;
        float* to = last ? outputs : scratch + l % 2 * widest;
        if (!layer_of_row(layer, tables + layer.segment * segment_stride, inputs, to)) return false;
        // Not a number stays what it is.
        for (int64_t o = 0; o < (last ? 0 : layer.outputs); o++) to[o] = to[o] < 0 ? 0 : to[o];
        inputs = to;
    }
    return true;
}
}  // namespace
#endif

extern "C" {

// Rows through `count` layers with a ReLU between each two, only where `impress_permutes_bytes`.
// 0 where a table of more than 256 entries has more than 16 numbers: nothing is to be read then.
// A task's tables lie `task_stride` apart, those of its segments `segment_stride`; `scratch` has room
// for two of the widest layer's outputs.
int32_t impress_few_rows(const RowLayer* layers, int64_t count, const float* tables,
                         int64_t task_stride, int64_t segment_stride, const int64_t* task_of_row,
                         const float* inputs, float* outputs, int64_t rows, float* scratch,
                         int64_t widest) {
#ifdef X86
    for (int64_t row = 0; row < rows; row++) {
        const float* own = tables + task_of_row[row] * task_stride;
        if (!row_of_task(layers, count, own, segment_stride, inputs + row * layers[0].terms,
                         outputs + row * layers[count - 1].outputs, scratch, widest))
            return 0;
    }
    return 1;
#else
    (void)layers, (void)count, (void)tables, (void)task_stride, (void)segment_stride;
    (void)task_of_row, (void)inputs, (void)outputs, (void)rows, (void)scratch, (void)widest;
    return 0;
#endif
}

// What `impress_kept_rows` reads and writes; `structures.py` has the same.
struct RowRoom {
    const float* inputs;  // [rows][terms of the first layer]
    float* outputs;       // [rows][outputs of the last]
    float* coefficients;  // of one task: its segments have `segment_stride` each
    float* scratch;       // for two of the widest layer's outputs
    int64_t segment_stride, widest;
};

// The same of rows whose tasks' values, and scales where there are any, lie wherever they are kept;
// those of one task come one after another. 0 also where a task has bits beyond its last.
int32_t impress_kept_rows(const RowLayer* layers, int64_t count, const Kept* kept,
                          const uint8_t* const* values, const uint16_t* const* scales, int64_t rows,
                          const RowRoom* room) {
#ifdef X86
    for (int64_t row = 0; row < rows; row++) {
        const bool another = !row || values[row] != values[row - 1];
        if (another && !impress_coefficients(kept, values[row], scales[row], 1, room->coefficients))
            return 0;
        if (!row_of_task(layers, count, room->coefficients, room->segment_stride,
                         room->inputs + row * layers[0].terms,
                         room->outputs + row * layers[count - 1].outputs, room->scratch,
                         room->widest))
            return 0;
    }
    return 1;
#else
    (void)layers, (void)count, (void)kept, (void)values, (void)scales, (void)rows, (void)room;
    return 0;
#endif
}
}
