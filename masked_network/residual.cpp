// Residual networks of rows that each have weights of their own: a row after another, step by step.
//
// Checks nothing: `compiled.py` calls it with what was checked.

#include <cmath>

#include "convolution.hpp"

extern "C" {

enum Kind : int64_t { CONVOLVE, POOL, AVERAGE };

// What is done to a row next; `structures.py` has the same. Place 0 is the row's input and place 1 its
// logits; the others are kept from step to step. A step that pools takes the largest of 3 by 3, every
// second one; one that averages takes the mean of each channel. Both need only the layer's sizes.
struct Step {
    Convolution layer;
    Kind kind;
    int64_t from, to, added;  // places; nothing is added where that is none's, -1
    int64_t segment;          // the first of a task's tables that is the layer's
    int64_t statistics;       // where the layer's channels begin among all; -1: not normalised
    int64_t relu;
    float epsilon;
};

// Each task's, by how many floats the next one's lie further.
struct OfTasks {
    const float* tables;
    const float* means;
    const float* variances;
    int64_t table_stride, segment_stride, statistics_stride;
};
}

namespace {

INLINE void pool(const Convolution& layer, const float* inputs, float* outputs) {
    const int64_t down = (layer.height - 1) / 2 + 1, across = (layer.width - 1) / 2 + 1;
    for (int64_t channel = 0; channel < layer.channels; channel++) {
        const float* image = inputs + channel * layer.height * layer.width;
        for (int64_t y = 0; y < down; y++)
            for (int64_t x = 0; x < across; x++) {
                float most = -INFINITY;
                for (int64_t line = y ? 2 * y - 1 : 0; line < layer.height && line < 2 * y + 2; line++)
                    for (int64_t at = x ? 2 * x - 1 : 0; at < layer.width && at < 2 * x + 2; at++) {
                        const float value = image[line * layer.width + at];
                        most = value > most || value != value ? value : most;
                    }
                *outputs++ = most;
            }
    }
}

INLINE void average(const Convolution& layer, const float* inputs, float* outputs) {
    const int64_t positions = layer.height * layer.width;
    for (int64_t channel = 0; channel < layer.channels; channel++, inputs += positions) {
        float total = 0;
        for (int64_t place = 0; place < positions; place++) total += inputs[place];
        outputs[channel] = total / positions;
    }
}

template <int LANES, int VECTORS>
INLINE void residual(const Step* steps, int64_t count, const OfTasks& tasks,
                     const int64_t* task_of_row, const float* inputs, int64_t row_length,
                     float* logits, int64_t outputs, int64_t rows, float* scratch, int64_t place_size,
                     int64_t most_outputs) {
    float* scale = scratch + 5 * place_size;
    float* shift = scale + most_outputs;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t task = task_of_row[row];
        const float* tables = tasks.tables + task * tasks.table_stride;
        const float* means = tasks.means + task * tasks.statistics_stride;
        const float* variances = tasks.variances + task * tasks.statistics_stride;
        const auto place = [&](int64_t index) { return scratch + (index - 2) * place_size; };
        for (const Step* step = steps; step < steps + count; step++) {
            const float* from = step->from ? place(step->from) : inputs + row * row_length;
            float* to = step->to == 1 ? logits + row * outputs : place(step->to);
            if (step->kind != CONVOLVE) {
                step->kind == POOL ? pool(step->layer, from, to) : average(step->layer, from, to);
                continue;
            }
            for (int64_t output = 0; output < step->layer.outputs; output++) {
                const bool normalised = step->statistics >= 0;
                const int64_t channel = step->statistics + output;
                scale[output] = normalised ? 1 / std::sqrt(variances[channel] + step->epsilon) : 1;
                shift[output] = normalised ? -means[channel] * scale[output] : 0;
            }
            const float* added = step->added < 0 ? nullptr : place(step->added);
            const Finish how = {scale, shift, added, step->relu != 0};
            const float* table = tables + step->segment * tasks.segment_stride;
            convolve<LANES, VECTORS>(step->layer, how, table, from, to, shift + most_outputs);
        }
    }
}

#define RESIDUAL_ARGUMENTS                                                                           \
    const Step *steps, int64_t count, const OfTasks &tasks, const int64_t *task_of_row,              \
        const float *inputs, int64_t row_length, float *logits, int64_t outputs, int64_t rows,       \
        float *scratch, int64_t place_size, int64_t most_outputs
#define PASSED                                                                                 \
    steps, count, tasks, task_of_row, inputs, row_length, logits, outputs, rows, scratch, place_size, \
        most_outputs

void residual_plain(RESIDUAL_ARGUMENTS) { residual<4, 1>(PASSED); }

#ifdef X86
AVX2 void residual_avx2(RESIDUAL_ARGUMENTS) { residual<8, 1>(PASSED); }
AVX512 void residual_avx512(RESIDUAL_ARGUMENTS) { residual<16, 2>(PASSED); }
#endif
}  // namespace

extern "C" {

// `lanes` is how many positions a vector holds: 4, 8 or 16, and no more than `impress_lanes`.
// `scratch` has room for five places, twice the most outputs of a layer, and what `convolve` needs.
void impress_residual(RESIDUAL_ARGUMENTS, int32_t lanes) {
#ifdef X86
    if (lanes == 16) return residual_avx512(PASSED);
    if (lanes == 8) return residual_avx2(PASSED);
#endif
    (void)lanes;
    residual_plain(PASSED);
}
}
