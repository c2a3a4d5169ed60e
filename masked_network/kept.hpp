// How tasks keep their coefficients, and what reads them.

#pragma once

#include <cstdint>

namespace {

constexpr int SUMMED_MASKS = 5;  // of those that overlap, how many two registers have all sums of

}  // namespace

extern "C" {

// Tasks of one kind and precision; `structures.py` has the same.
struct Kept {
    const int32_t* places;  // [count]: where among a task's `entries` each one belongs
    const int32_t* ends;    // [layers]: where in that order those of each layer that has some end
    int64_t layers, count, entries;
    int64_t task_bytes;  // of one task's values; it has a scale a layer where `bits` is not 16
    int64_t bits;        // 16: fp16; 8: int8; 4 or 2: levels around zero, the first one lowest
};

// Writes [tasks][entries], zero where nothing is kept; 0 where a task has bits beyond its last.
int32_t impress_coefficients(const Kept* kept, const uint8_t* values, const uint16_t* scales,
                             int64_t tasks, float* coefficients);
}
