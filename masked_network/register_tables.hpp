// Tables held in vector registers: one look-up is of 64 codes, and gives the weights of 64 outputs.
//
// A table has `weights`, which takes 64 codes' lower 8 bits and the masks that `RowLayer` has, and
// `place`, which says where among the weights that of an output is. For `registers.cpp` alone.

#pragma once

#include <cstdint>
#include <cstring>
#include <immintrin.h>

#define IN_REGISTERS __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#define INLINE static inline __attribute__((always_inline)) IN_REGISTERS

namespace {

constexpr int MOST_VALUES = 16;
constexpr int64_t HALF = 128, PART = 2 * HALF;  // bytes in two registers, and codes of 8 bits

// The numbers of a table of at most 256 entries, byte by byte.
struct Bytes {
    __m512i part[4][4];

    // An origin that is not null is added to the table.
    INLINE Bytes of(const float* table, const float* origin, int64_t entries, float constant) {
        alignas(64) uint8_t bytes[4][PART] = {};
        for (int64_t entry = 0; entry < entries; entry++) {
            const float worth = constant * (origin ? table[entry] + origin[entry] : table[entry]);
            uint32_t word;
            std::memcpy(&word, &worth, sizeof word);
            for (int byte = 0; byte < 4; byte++) bytes[byte][entry] = word >> 8 * byte;
        }
        Bytes made;
        for (int byte = 0; byte < 4; byte++)
            for (int part = 0; part < 4; part++)
                made.part[byte][part] = _mm512_load_si512(bytes[byte] + 64 * part);
        return made;
    }

    // Vector s of the weights has those of outputs 16 * q + 4 * s + r in lanes 4 * q + r.
    static constexpr int64_t place(int64_t output) {
        return output / 4 % 4 * 16 + output / 16 * 4 + output % 4;
    }

    INLINE void weights(const Bytes& table, __m512i code, const uint64_t* masks, __m512* weight) {
        const __mmask64 upper = _mm512_movepi8_mask(code);
        __m512i byte[4];
        for (int b = 0; b < 4; b++)
            byte[b] = _mm512_mask_blend_epi8(
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

INLINE __m512 worth_of(const uint32_t* values, float constant) {
    return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_load_si512(values)), _mm512_set1_ps(constant));
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
    static constexpr int PARTS = 1 << HIGH_BITS;
    __m512i part[PARTS][2];
    __m512 positive, negative;

    static constexpr int64_t place(int64_t output) { return place_in_fours(output); }

    INLINE void weights(const Places& table, __m512i code, const uint64_t* masks, __m512* weight) {
        __m512i found[PARTS];
        for (int p = 0; p < PARTS; p++)
            found[p] = _mm512_permutex2var_epi8(table.part[p][0], code, table.part[p][1]);
        const __m512i both = chosen<HIGH_BITS>(found, masks + 1);
        const __mmask64 upper = _mm512_movepi8_mask(code);
        const __m512i place = _mm512_mask_blend_epi8(upper, both, _mm512_srli_epi16(both, 4));
        weights_at<4>(place, masks[0], table.positive, table.negative, weight);
    }

    // False where there are more than 16 numbers.
    INLINE bool of(const float* table, int64_t entries, float constant, Places* made) {
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
        made->positive = worth_of(values, constant);
        made->negative = _mm512_xor_ps(made->positive, _mm512_set1_ps(-0.0f));
        return true;
    }
};

// The same of at most 4 different numbers, four entries a byte: half as many registers to look into.
template <int HIGH_BITS>
struct Quarters {
    static_assert(HIGH_BITS > 0, "there are no four halves of 256 entries");
    static constexpr int PARTS = 1 << (HIGH_BITS - 1), MOST = 4;
    __m512i part[PARTS][2];
    __m512 positive, negative;

    static constexpr int64_t place(int64_t output) { return place_in_fours(output); }

    INLINE void weights(const Quarters& table, __m512i code, const uint64_t* masks,
                        __m512* weight) {
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
    INLINE bool of(const float* table, int64_t entries, float constant, Quarters* made) {
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
        made->positive = worth_of(values, constant);
        // A negative weight's place is among the last four: the bits above it are ones.
        const __m512 last = _mm512_maskz_expand_ps(0xf000, made->positive);
        made->negative = _mm512_xor_ps(last, _mm512_set1_ps(-0.0f));
        return true;
    }
};
}  // namespace
