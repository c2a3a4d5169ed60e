// Coefficients of tasks out of the bits that they are kept in: each read once and put in its place.
//
// Checks nothing but what it says: `compiled.py` calls it with what was checked.

#include <cstdint>
#include <cstring>

#include "kept.hpp"

namespace {

float of_half(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, rest = half & 0x7fffu;
    // Of a power of two too small, and mended by a product that is exact: so are subnormal numbers.
    uint32_t word = rest << 13;
    float value;
    std::memcpy(&value, &word, sizeof value);
    value *= 0x1p112f;
    std::memcpy(&word, &value, sizeof word);
    word |= sign | (rest >= 0x7c00u ? 0x7f800000u : 0u);
    std::memcpy(&value, &word, sizeof value);
    return value;
}

float half_at(const uint8_t* values, size_t index) {
    uint16_t half;
    std::memcpy(&half, values + 2 * index, sizeof half);
    return of_half(half);
}

template <int64_t BITS>
void read_layer(const int32_t* places, size_t from, size_t end, const uint8_t* values, float scale,
                float* coefficients) {
    if constexpr (BITS == 16) {
        // Places ascend; where none is left out, several numbers are made at a time.
        if (from < end && places[end - 1] - places[from] + from + 1 == end) {
            float* to = coefficients + places[from];
            for (size_t i = from; i < end; i++) to[i - from] = half_at(values, i);
        } else {
            for (size_t i = from; i < end; i++) coefficients[places[i]] = half_at(values, i);
        }
    } else if constexpr (BITS == 8) {
        for (size_t i = from; i < end; i++)
            coefficients[places[i]] = static_cast<int8_t>(values[i]) * scale;
    } else {
        constexpr int LEVELS = 1 << BITS;
        float worth[LEVELS];
        for (int level = 0; level < LEVELS; level++)
            worth[level] = (level - 0.5f * (LEVELS - 1)) * scale;
        for (size_t i = from; i < end; i++)
            coefficients[places[i]] = worth[values[i * BITS / 8] >> i * BITS % 8 & (LEVELS - 1)];
    }
}

template <int64_t BITS>
bool read(const Kept& kept, const uint8_t* values, const uint16_t* scales, float* coefficients) {
    int64_t from = 0;
    for (int64_t layer = 0; layer < kept.layers; from = kept.ends[layer++]) {
        const float scale = BITS < 16 ? of_half(scales[layer]) : 1.0f;
        read_layer<BITS>(kept.places, from, kept.ends[layer], values, scale, coefficients);
    }
    for (int64_t bit = kept.count * BITS; bit < 8 * kept.task_bytes; bit++)
        if (values[bit / 8] >> bit % 8 & 1) return false;
    return true;
}
}  // namespace

extern "C" {

int32_t impress_coefficients(const Kept* kept, const uint8_t* values, const uint16_t* scales,
                             int64_t tasks, float* coefficients) {
    std::memset(coefficients, 0, sizeof(float) * tasks * kept->entries);
    bool whole = true;
    for (int64_t task = 0; task < tasks; task++) {
        switch (kept->bits) {
            case 16: whole &= read<16>(*kept, values, scales, coefficients); break;
            case 8: whole &= read<8>(*kept, values, scales, coefficients); break;
            case 4: whole &= read<4>(*kept, values, scales, coefficients); break;
            default: whole &= read<2>(*kept, values, scales, coefficients);
        }
        values += kept->task_bytes;
        scales += kept->layers;
        coefficients += kept->entries;
    }
    return whole;
}
}
