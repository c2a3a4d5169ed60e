// How well each of very many tasks' evidence fits: a byte times a number of two bytes, summed.
//
// Checks nothing: `compiled.py` calls it with what was checked.

#include <cstdint>

#include "widest.hpp"

extern "C" {

// Writes [tasks]: `biases + scales * factor * (levels [tasks][terms] @ features [terms])`.
WIDEST void impress_scan(const int8_t* levels, const float* scales, const float* biases,
                         const int16_t* features, float factor, int64_t tasks, int64_t terms,
                         float* scores) {
    for (int64_t task = 0; task < tasks; task++) {
        const int8_t* own = levels + task * terms;
        int32_t sum = 0;
        for (int64_t term = 0; term < terms; term++) sum += own[term] * features[term];
        scores[task] = biases[task] + scales[task] * factor * static_cast<float>(sum);
    }
}
}
