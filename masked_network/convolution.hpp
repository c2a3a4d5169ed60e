// A convolution of one row whose weights are looked up, with what follows it in the same pass.
//
// A lane of a vector is a position of the output. A row's table is small enough to stay in the
// nearest cache, and a weight that is looked up there serves as many positions as vectors hold: a
// row takes as long alone as among others, and no composed weight is ever written.

#pragma once

#include <cstring>

#include "tiles.hpp"

extern "C" {

// One layer; `structures.py` has the same.
struct Convolution {
    const uint16_t* codes;
    const int32_t* offsets;  // [terms]: where a term's input lies from that of a position
    const int32_t* bases;    // [positions]: where a position begins in the padded input
    int64_t outputs, terms, positions, entries;
    int64_t channels, height, width, padding, across, stride;  // `across`: positions of a line
    float constant;                                            // the magnitude of every weight
};
}

namespace {

// What is done to each sum: it is scaled and shifted by its channel's, and `added` is.
struct Finish {
    const float* scale;
    const float* shift;
    const float* added;  // [outputs][positions], or none
    bool relu;
};

INLINE void pad_lines(const Convolution& layer, const float* inputs, int64_t slack, float* padded) {
    const int64_t padding = layer.padding;
    const int64_t height = layer.height + 2 * padding, width = layer.width + 2 * padding;
    std::memset(padded, 0, sizeof(float) * (layer.channels * height * width + slack));
    for (int64_t line = 0; line < layer.channels * layer.height; line++) {
        const int64_t channel = line / layer.height, y = line % layer.height + padding;
        std::memcpy(padded + (channel * height + y) * width + padding, inputs + line * layer.width,
                    sizeof(float) * layer.width);
    }
}

// Entry 2 * code is what the code is worth for a positive weight, the next one for a negative.
INLINE void sign_table(const float* table, int64_t entries, float constant, float* with_signs) {
    for (int64_t entry = 0; entry < entries; entry++) {
        with_signs[2 * entry] = constant * table[entry];
        with_signs[2 * entry + 1] = -with_signs[2 * entry];
    }
}

// What the terms of `count` positions multiply, [terms][room].
template <int LANES>
INLINE void lay_out_patches(const Convolution& layer, const float* padded, int64_t first,
                            int64_t count, int64_t room, float* patches) {
    typedef typename Vector<LANES>::type V;
    const int64_t of_first_line = layer.across - first % layer.across;
    for (int64_t term = 0; term < layer.terms; term++, patches += room) {
        const float* inputs = padded + layer.offsets[term];
        int64_t line_ends = of_first_line;
        for (int64_t place = 0; place < count; line_ends += layer.across) {
            const int64_t end = line_ends < count ? line_ends : count;
            const float* line = inputs + layer.bases[first + place];
            if (layer.stride == 1) {
                // The next line, or the next term, overwrites what a vector holds too much.
                for (int64_t at = place; at < end; at += LANES, line += LANES)
                    *(V*)(patches + at) = *(const V*)line;
                place = end;
            } else {
                for (; place < end; place++, line += layer.stride) patches[place] = *line;
            }
        }
    }
}

template <int LANES, int VECTORS>
INLINE void sum_tile(const uint16_t* codes, const float* table, const float* patches, int64_t terms,
                     float* sums) {
    typedef typename Vector<LANES>::type V;
    V total[TILE][VECTORS] = {};
    for (int64_t term = 0; term < terms; term++) {
        V input[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) input[v] = *(const V*)(patches + v * LANES);
#pragma GCC unroll 16
        for (int o = 0; o < TILE; o++) {
            const float weight = table[codes[o]];
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) total[o][v] += weight * input[v];
        }
        codes += TILE;
        patches += VECTORS * LANES;
    }
    for (int64_t o = 0; o < TILE; o++)
        for (int v = 0; v < VECTORS; v++) *(V*)(sums + (o * VECTORS + v) * LANES) = total[o][v];
}

INLINE void finish(const float* sums, int64_t count, const Finish& how, int64_t output,
                   int64_t place, float* outputs) {
    const float scale = how.scale[output], shift = how.shift[output];
    for (int64_t i = 0; i < count; i++) outputs[i] = sums[i] * scale + shift;
    if (how.added)
        for (int64_t i = 0; i < count; i++) outputs[i] += how.added[place + i];
    if (how.relu)
        for (int64_t i = 0; i < count; i++) outputs[i] = outputs[i] < 0 ? 0 : outputs[i];
}

// The outputs of `count` positions from `first` on, whose patches fill `VECTORS`.
template <int LANES, int VECTORS>
INLINE void sum_block(const Convolution& layer, const Finish& how, const float* table,
                      const float* padded, int64_t first, int64_t count, float* sums,
                      float* patches, float* outputs) {
    constexpr int64_t ROOM = LANES * VECTORS;
    lay_out_patches<LANES>(layer, padded, first, count, ROOM, patches);
    for (int64_t tile = 0; tile < layer.outputs; tile += TILE) {
        sum_tile<LANES, VECTORS>(layer.codes + tile * layer.terms, table, patches, layer.terms, sums);
        const int64_t end = tile + TILE < layer.outputs ? tile + TILE : layer.outputs;
        for (int64_t output = tile; output < end; output++) {
            const int64_t place = output * layer.positions + first;
            finish(sums + (output - tile) * ROOM, count, how, output, place, outputs + place);
        }
    }
}

// From `[channels][height][width]` to `[outputs][positions]`, by a table as tasks keep it. `scratch`
// holds the padded input, the table with both signs, and of `LANES * VECTORS` floats as many as a
// tile has outputs and the layer terms, and two more.
template <int LANES, int VECTORS>
INLINE void convolve(const Convolution& layer, const Finish& how, const float* of_task,
                     const float* inputs, float* outputs, float* scratch) {
    constexpr int64_t BLOCK = LANES * VECTORS;
    const int64_t height = layer.height + 2 * layer.padding, width = layer.width + 2 * layer.padding;
    float* padded = scratch;
    float* table = padded + layer.channels * height * width + LANES;  // a vector may end there
    float* sums = table + 2 * layer.entries;
    float* patches = sums + TILE * BLOCK;
    pad_lines(layer, inputs, LANES, padded);
    sign_table(of_task, layer.entries, layer.constant, table);
    for (int64_t first = 0; first < layer.positions; first += BLOCK) {
        const int64_t left = layer.positions - first, count = left < BLOCK ? left : BLOCK;
        if (VECTORS > 1 && count <= LANES)
            sum_block<LANES, 1>(layer, how, table, padded, first, count, sums, patches, outputs);
        else
            sum_block<LANES, VECTORS>(layer, how, table, padded, first, count, sums, patches, outputs);
    }
}
}  // namespace
