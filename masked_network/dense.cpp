// Few rows through linear layers whose weights are composed already: row-major, as torch keeps them.
//
// A tile of outputs and rows is summed side by side, so that each weight is read once for all of its
// rows. A row's sums are taken in one order, whatever rows come with it. Checks nothing: `compiled.py`
// calls it with what was checked.

#include <cstring>

#include "vectors.hpp"

extern "C" {

// One layer as the rows take it; `structures.py` has the same.
struct DenseLayer {
    const float* weights;  // [outputs][terms]
    int64_t outputs, terms;
};
}

namespace {

// The lanes' sum, halves added to halves.
template <int LANES>
INLINE float sum_of(typename Vector<LANES>::type lanes) {
    float sums[LANES];
    *(typename Vector<LANES>::type*)sums = lanes;
    for (int width = LANES / 2; width > 0; width /= 2)
#pragma GCC unroll 8
        for (int lane = 0; lane < width; lane++) sums[lane] += sums[lane + width];
    return sums[0];
}

template <int LANES>
INLINE typename Vector<LANES>::type first_of(const float* from, int64_t count) {
    typename Vector<LANES>::type lanes = {};
    std::memcpy(&lanes, from, sizeof(float) * count);
    return lanes;
}

template <int LANES, int OUTPUTS, int ROWS>
INLINE void sum_tile(const float* weights, const float* inputs, int64_t terms, float* sums,
                     int64_t row_stride) {
    typedef typename Vector<LANES>::type V;
    V total[OUTPUTS][ROWS] = {};
    int64_t term = 0;
    for (; term + LANES <= terms; term += LANES) {
        V input[ROWS];
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; r++) input[r] = *(const V*)(inputs + r * terms + term);
#pragma GCC unroll 8
        for (int o = 0; o < OUTPUTS; o++) {
            const V weight = *(const V*)(weights + o * terms + term);
#pragma GCC unroll 8
            for (int r = 0; r < ROWS; r++) total[o][r] += weight * input[r];
        }
    }
    if (term < terms) {
        V input[ROWS];
        for (int r = 0; r < ROWS; r++)
            input[r] = first_of<LANES>(inputs + r * terms + term, terms - term);
        for (int o = 0; o < OUTPUTS; o++) {
            const V weight = first_of<LANES>(weights + o * terms + term, terms - term);
            for (int r = 0; r < ROWS; r++) total[o][r] += weight * input[r];
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int o = 0; o < OUTPUTS; o++) sums[r * row_stride + o] = sum_of<LANES>(total[o][r]);
}

template <int LANES, int OUTPUTS, int ROWS>
INLINE void sum_rows(const DenseLayer& layer, const float* inputs, float* outputs) {
    int64_t output = 0;
    for (; output + OUTPUTS <= layer.outputs; output += OUTPUTS)
        sum_tile<LANES, OUTPUTS, ROWS>(layer.weights + output * layer.terms, inputs, layer.terms,
                                       outputs + output, layer.outputs);
    for (; output < layer.outputs; output++)
        sum_tile<LANES, 1, ROWS>(layer.weights + output * layer.terms, inputs, layer.terms,
                                 outputs + output, layer.outputs);
}

template <int LANES, int OUTPUTS>
INLINE void sum_layer(const DenseLayer& layer, const float* inputs, float* outputs, int64_t rows) {
    for (int64_t row = 0; row < rows; row += 4) {
        const float* from = inputs + row * layer.terms;
        float* to = outputs + row * layer.outputs;
        switch (rows - row) {
            case 1:
                sum_rows<LANES, OUTPUTS, 1>(layer, from, to);
                break;
            case 2:
                sum_rows<LANES, OUTPUTS, 2>(layer, from, to);
                break;
            case 3:
                sum_rows<LANES, OUTPUTS, 3>(layer, from, to);
                break;
            default:
                sum_rows<LANES, OUTPUTS, 4>(layer, from, to);
        }
    }
}

template <int LANES, int OUTPUTS>
INLINE void network(const DenseLayer* layers, int64_t count, const float* inputs, float* outputs,
                    int64_t rows, float* scratch, int64_t widest) {
    const float* from = inputs;
    for (int64_t l = 0; l < count; l++) {
        const bool last = l + 1 == count;
        float* to = last ? outputs : scratch + l % 2 * widest * rows;
        sum_layer<LANES, OUTPUTS>(layers[l], from, to, rows);
        // Not a number stays what it is.
        for (int64_t i = 0; i < (last ? 0 : rows * layers[l].outputs); i++)
            to[i] = to[i] < 0 ? 0 : to[i];
        from = to;
    }
}

#define NETWORK_ARGUMENTS                                                                     \
    const DenseLayer *layers, int64_t count, const float *inputs, float *outputs, int64_t rows, \
        float *scratch, int64_t widest
#define PASSED layers, count, inputs, outputs, rows, scratch, widest

void network_plain(NETWORK_ARGUMENTS) { network<4, 2>(PASSED); }

#ifdef X86
AVX2 void network_avx2(NETWORK_ARGUMENTS) { network<8, 2>(PASSED); }
AVX512 void network_avx512(NETWORK_ARGUMENTS) { network<16, 4>(PASSED); }
#endif
}  // namespace

extern "C" {

// Rows through `count` layers with a ReLU between each two. `lanes` as `impress_product` has it;
// `scratch` has room for two times the widest layer's outputs of all rows.
void impress_dense_rows(NETWORK_ARGUMENTS, int32_t lanes) {
#ifdef X86
    if (lanes == 16) return network_avx512(PASSED);
    if (lanes == 8) return network_avx2(PASSED);
#endif
    (void)lanes;
    network_plain(PASSED);
}
}
