// Tables held in vector registers: one look-up is of 64 codes, and gives the weights of 64 outputs.
//
// A table has `weights`, which takes the codes and the masks that `RowLayer` has of 64 outputs, the
// former `CODES` bytes, the latter where it has `SIGNS`, and `place`, which says where among the
// weights that of an output is. For `registers.cpp` alone.

#pragma once

#include <cstdint>
#include <cstring>
#include <immintrin.h>

#include "kept.hpp"

#define IN_REGISTERS __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#define INLINE static inline __attribute__((always_inline)) IN_REGISTERS

namespace {

constexpr int MOST_VALUES = 16;
constexpr int64_t HALF = 128, PART = 2 * HALF;  // bytes in two registers, and codes of 8 bits

// The numbers of a table of at most 256 entries, byte by byte: the upper `COUNT` bytes of each.
template <int COUNT>
struct Bytes {
    static constexpr int64_t CODES = 64, SIGNS = 1;
    static constexpr int LEFT_OUT = 4 - COUNT;
    __m512i part[COUNT][4];

    // False where bytes that are left out are not all zero, as they are of numbers in fp16. An origin
    // that is not null is added to the table.
    INLINE bool of(const float* table, const float* origin, int64_t entries, Bytes* made) {
        alignas(64) uint8_t bytes[4][PART] = {};
        __m512i all = _mm512_setzero_si512();
        for (int64_t first = 0; first < entries; first += 16) {
            const __mmask16 taken = entries - first < 16 ? (1u << (entries - first)) - 1 : 0xffffu;
            __m512 number = _mm512_maskz_loadu_ps(taken, table + first);
            if (origin) number = _mm512_add_ps(number, _mm512_maskz_loadu_ps(taken, origin + first));
            const __m512i word = _mm512_castps_si512(number);
            all = _mm512_or_si512(all, word);
            for (int byte = LEFT_OUT; byte < 4; byte++)
                _mm_store_si128(reinterpret_cast<__m128i*>(bytes[byte] + first),
                                _mm512_cvtepi32_epi8(_mm512_srli_epi32(word, 8 * byte)));
        }
        if (_mm512_test_epi32_mask(all, _mm512_set1_epi32((1 << 8 * LEFT_OUT) - 1))) return false;
        for (int byte = 0; byte < COUNT; byte++)
            for (int part = 0; part < 4; part++)
                made->part[byte][part] = _mm512_load_si512(bytes[LEFT_OUT + byte] + 64 * part);
        return true;
    }

    // Vector s of the weights has those of outputs 16 * q + 4 * s + r in lanes 4 * q + r.
    static constexpr int64_t place(int64_t output) {
        return output / 4 % 4 * 16 + output / 16 * 4 + output % 4;
    }

    INLINE void weights(const Bytes& table, const uint8_t* codes, const uint64_t* masks,
                        __m512* weight) {
        const __m512i code = _mm512_loadu_si512(codes);
        const __mmask64 upper = _mm512_movepi8_mask(code);
        __m512i byte[4] = {};
        for (int b = 0; b < COUNT; b++)
            byte[LEFT_OUT + b] = _mm512_mask_blend_epi8(
                upper, _mm512_permutex2var_epi8(table.part[b][0], code, table.part[b][1]),
                _mm512_permutex2var_epi8(table.part[b][2], code, table.part[b][3]));
        // Adding 128 to the last byte of a number turns its sign.
        byte[3] = _mm512_mask_add_epi8(byte[3], masks[0], byte[3], _mm512_set1_epi8(-128));
        const __m512i low0 = _mm512_unpacklo_epi8(byte[0], byte[1]);
        const __m512i low1 = _mm512_unpackhi_epi8(byte[0], byte[1]);
        const __m512i high0 = _mm512_unpacklo_epi8(byte[2], byte[3]);
        const __m512i high1 = _mm512_unpackhi_epi8(byte[2], byte[3]);
        weight[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(low0, high0));
        weight[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(low0, high0));
        weight[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(low1, high1));
        weight[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(low1, high1));
    }
};

// Finds for each entry its place among the different numbers of a table; false where these are more
// than `most`, at most MOST_VALUES. `places` has room for entries to a whole number of 16.
INLINE bool find_places(const float* table, int64_t entries, int most, uint8_t* places,
                        uint32_t* values) {
    int count = 0;
    for (int64_t first = 0; first < entries; first += 16) {
        const int64_t left = entries - first;
        __mmask16 unknown = left < 16 ? (1u << left) - 1 : 0xffffu;
        const __m512i words = _mm512_maskz_loadu_epi32(unknown, table + first);
        __m512i place = _mm512_setzero_si512();
        for (int value = 0; unknown; value++) {
            if (value == count) {
                if (count == most) return false;
                std::memcpy(values + count++, table + first + __builtin_ctz(unknown), 4);
            }
            const __mmask16 same = _mm512_mask_cmpeq_epi32_mask(
                unknown, words, _mm512_set1_epi32(static_cast<int>(values[value])));
            place = _mm512_mask_mov_epi32(place, same, _mm512_set1_epi32(value));
            unknown = static_cast<__mmask16>(unknown & ~same);
        }
        _mm_storeu_si128(reinterpret_cast<__m128i*>(places + first), _mm512_cvtepi32_epi8(place));
    }
    return true;
}

// One of 2^BITS registers for each code, by the bits that `masks` has of it; they are written over.
template <int BITS>
INLINE __m512i chosen(__m512i* found, const uint64_t* masks) {
    for (int bit = 0; bit < BITS; bit++)
        for (int p = 0; p < 1 << (BITS - bit - 1); p++)
            found[p] = _mm512_mask_blend_epi8(masks[bit], found[2 * p], found[2 * p + 1]);
    return found[0];
}

// The weights of 64 places in the lower `PLACE` bits of bytes, above them ones where one is negative.
// Vector s has those of outputs 4 * j + s in lanes j.
template <int PLACE>
INLINE void weights_at(__m512i place, uint64_t is_negative, __m512 positive, __m512 negative,
                       __m512* weight) {
    const __m512i sign = _mm512_movm_epi8(is_negative);
    place = _mm512_ternarylogic_epi32(place, sign, _mm512_set1_epi8((1 << PLACE) - 1), 0xe4);
    // Of each number of 32 bits the lower five count.
    for (int s = 0; s < 4; s++) {
        weight[s] = _mm512_permutex2var_ps(positive, place, negative);
        place = _mm512_srli_epi32(place, 8);
    }
}

constexpr int64_t place_in_fours(int64_t output) { return output % 4 * 16 + output / 4; }

// A table of at most 16 different numbers: for each entry its place among them, two entries a byte.
template <int HIGH_BITS>
struct Places {
    static constexpr int64_t CODES = 64, SIGNS = 1;
    static constexpr int PARTS = 1 << HIGH_BITS;
    __m512i part[PARTS][2];
    __m512 positive, negative;

    static constexpr int64_t place(int64_t output) { return place_in_fours(output); }

    INLINE void weights(const Places& table, const uint8_t* codes, const uint64_t* masks,
                        __m512* weight) {
        const __m512i code = _mm512_loadu_si512(codes);
        __m512i found[PARTS];
        for (int p = 0; p < PARTS; p++)
            found[p] = _mm512_permutex2var_epi8(table.part[p][0], code, table.part[p][1]);
        const __m512i both = chosen<HIGH_BITS>(found, masks + 1);
        const __mmask64 upper = _mm512_movepi8_mask(code);
        const __m512i place = _mm512_mask_blend_epi8(upper, both, _mm512_srli_epi16(both, 4));
        weights_at<4>(place, masks[0], table.positive, table.negative, weight);
    }

    // False where there are more than 16 numbers.
    INLINE bool of(const float* table, int64_t entries, Places* made) {
        alignas(64) uint8_t places[PARTS * PART] = {};
        alignas(64) uint32_t values[MOST_VALUES] = {};
        if (!find_places(table, entries, MOST_VALUES, places, values)) return false;
        for (int p = 0; p < PARTS; p++)
            for (int half = 0; half < 2; half++) {
                const uint8_t* lower = places + p * PART + 64 * half;
                made->part[p][half] = _mm512_or_si512(
                    _mm512_load_si512(lower),
                    _mm512_slli_epi16(_mm512_load_si512(lower + HALF), 4));
            }
        made->positive = _mm512_load_ps(values);
        made->negative = _mm512_xor_ps(made->positive, _mm512_set1_ps(-0.0f));
        return true;
    }
};

// The same of at most 4 different numbers, four entries a byte: half as many registers to look into.
template <int HIGH_BITS>
struct Quarters {
    static_assert(HIGH_BITS > 0, "there are no four halves of 256 entries");
    static constexpr int64_t CODES = 64, SIGNS = 1;
    static constexpr int PARTS = 1 << (HIGH_BITS - 1), MOST = 4;
    __m512i part[PARTS][2];
    __m512 positive, negative;

    static constexpr int64_t place(int64_t output) { return place_in_fours(output); }

    INLINE void weights(const Quarters& table, const uint8_t* codes, const uint64_t* masks,
                        __m512* weight) {
        const __m512i code = _mm512_loadu_si512(codes);
        __m512i found[PARTS];
        for (int p = 0; p < PARTS; p++)
            found[p] = _mm512_permutex2var_epi8(table.part[p][0], code, table.part[p][1]);
        const __m512i four = chosen<HIGH_BITS - 1>(found, masks + 2);
        const __m512i two = _mm512_mask_blend_epi8(masks[1], four, _mm512_srli_epi16(four, 4));
        const __mmask64 upper = _mm512_movepi8_mask(code);
        const __m512i place = _mm512_mask_blend_epi8(upper, two, _mm512_srli_epi16(two, 2));
        weights_at<2>(place, masks[0], table.positive, table.negative, weight);
    }

    // False where there are more than 4 numbers.
    INLINE bool of(const float* table, int64_t entries, Quarters* made) {
        alignas(64) uint8_t places[PARTS * 2 * PART] = {};
        alignas(64) uint32_t values[MOST_VALUES] = {};
        if (!find_places(table, entries, MOST, places, values)) return false;
        for (int p = 0; p < PARTS; p++)
            for (int half = 0; half < 2; half++) {
                const uint8_t* own = places + p * 2 * PART + 64 * half;
                __m512i four = _mm512_load_si512(own);
                for (int quarter = 1; quarter < 4; quarter++)
                    four = _mm512_or_si512(
                        four, _mm512_slli_epi16(_mm512_load_si512(own + quarter * HALF),
                                                2 * quarter));
                made->part[p][half] = four;
            }
        made->positive = _mm512_load_ps(values);
        // A negative weight's place is among the last four: the bits above it are ones.
        const __m512 last = _mm512_maskz_expand_ps(0xf000, made->positive);
        made->negative = _mm512_xor_ps(last, _mm512_set1_ps(-0.0f));
        return true;
    }
};

// Sums of the coefficients of masks that overlap: of each five of them a table of the 32 ways in which
// they may, and a weight's number is what these say together.
template <int TABLES>
struct MaskSums {
    static constexpr int64_t CODES = 64 * TABLES, SIGNS = 0;
    __m512 part[TABLES][2];

    static constexpr int64_t place(int64_t output) { return place_in_fours(output); }

    INLINE MaskSums of(const float* coefficients, int64_t masks) {
        MaskSums made;
        for (int t = 0; t < TABLES; t++, coefficients += SUMMED_MASKS, masks -= SUMMED_MASKS) {
            alignas(64) float sums[1 << SUMMED_MASKS] = {};
            for (int mask = 0; mask < (masks < SUMMED_MASKS ? masks : SUMMED_MASKS); mask++)
                for (int some = 0; some < 1 << mask; some++)
                    sums[(1 << mask) + some] = sums[some] + coefficients[mask];
            for (int half = 0; half < 2; half++)
                made.part[t][half] = _mm512_load_ps(sums + 16 * half);
        }
        return made;
    }

    // A byte has its code in the lower five bits. The highest bit of that of output 4 * j + s in the
    // first of `codes` says whether the weight of output 4 * j + (s + 1) % 4 is negative.
    INLINE void weights(const MaskSums& table, const uint8_t* codes, const uint64_t*,
                        __m512* weight) {
        __m512i code[TABLES];
        for (int t = 0; t < TABLES; t++) code[t] = _mm512_loadu_si512(codes + 64 * t);
        for (int s = 0; s < 4; s++) {
            __m512 sum = _mm512_permutex2var_ps(table.part[0][0], code[0], table.part[0][1]);
            for (int t = 1; t < TABLES; t++)
                sum = _mm512_add_ps(
                    sum, _mm512_permutex2var_ps(table.part[t][0], code[t], table.part[t][1]));
            const __m512i sign = _mm512_and_si512(code[0], _mm512_set1_epi32(INT32_MIN));
            weight[s] = _mm512_xor_ps(sum, _mm512_castsi512_ps(sign));
            for (int t = 0; t < TABLES; t++) code[t] = _mm512_ror_epi32(code[t], 8);
        }
    }
};
}  // namespace
