// Composition: every weight by one look-up of its signed code, each byte of memory touched once.
//
// Checks nothing: `compiled.py` calls it with what was checked.

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define X86 1
#endif

extern "C" {

// What a composed weight is kept as; `structures.py` has the same.
enum Words : int32_t { FP32, FP16, BF16 };

// One layer as `impress_look_up_bytes` takes it; `structures.py` has the same. Codes are padded to a
// multiple of 64, with a bit of `negative` for each.
struct ByteCodes {
    const uint8_t* codes;
    const uint64_t* negative;
    int64_t count, entries;  // at most 256
    int64_t first;           // where among all numbers of the tables its own begin
    int64_t to;              // where among all composed weights its own begin
    float constant;          // the magnitude of every weight
};
}

namespace {

// Four at a time: stores of single weights would be the bottleneck.
template <class Word>
void look_up(const uint16_t* codes, const Word* table, Word* composed, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const Word four[4] = {table[codes[i]], table[codes[i + 1]], table[codes[i + 2]],
                              table[codes[i + 3]]};
        std::memcpy(composed + i, four, sizeof four);
    }
    for (; i < count; i++) composed[i] = table[codes[i]];
}

#ifdef X86
#define BYTE_PERMUTES __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#define INLINE static inline __attribute__((always_inline))

// A table of at most 256 words as its bytes, the first of each word, then the second: 4 registers
// each.
template <int BYTES>
struct Planes {
    __m512i part[BYTES][4];
};

// 16 numbers rounded to the nearest of two bytes, ties to even.
INLINE BYTE_PERMUTES __m256i halves(__m512 number) {
    return _mm512_cvtps_ph(number, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE BYTE_PERMUTES __m256i brain_halves(__m512 number) {
    const __m512i bits = _mm512_castps_si512(number);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(number, number, _CMP_UNORD_Q);
    const __m512i kept = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc00000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(kept, 16));
}

template <Words WORDS>
INLINE BYTE_PERMUTES void store_words(__m512 number, uint8_t* to) {
    if (WORDS == FP32)
        _mm512_storeu_ps(to, number);
    else
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            WORDS == FP16 ? halves(number) : brain_halves(number));
}

template <Words WORDS, int BYTES>
INLINE BYTE_PERMUTES Planes<BYTES> planes_of(const float* table, int64_t entries, float constant) {
    alignas(64) uint8_t words[256 * BYTES] = {};
    for (int64_t first = 0; first < entries; first += 16) {
        const int64_t left = entries - first;
        const __mmask16 there = left < 16 ? (1u << left) - 1 : 0xffffu;
        const __m512 own = _mm512_maskz_loadu_ps(there, table + first);
        store_words<WORDS>(_mm512_mul_ps(own, _mm512_set1_ps(constant)), words + first * BYTES);
    }
    alignas(64) uint8_t bytes[BYTES][256];
    for (int64_t entry = 0; entry < 256; entry++)
        for (int byte = 0; byte < BYTES; byte++) bytes[byte][entry] = words[entry * BYTES + byte];
    Planes<BYTES> planes;
    for (int byte = 0; byte < BYTES; byte++)
        for (int part = 0; part < 4; part++)
            planes.part[byte][part] = _mm512_load_si512(bytes[byte] + 64 * part);
    return planes;
}

// The words of 64 codes whose order `one_pass_composition.py` chose so that they come out in theirs.
template <int BYTES>
INLINE BYTE_PERMUTES void permute(const Planes<BYTES>& planes, const uint8_t* codes,
                                  uint64_t negative, void* composed) {
    const __m512i code = _mm512_loadu_si512(codes);
    const __mmask64 upper = _mm512_movepi8_mask(code);
    __m512i byte[BYTES];
    for (int b = 0; b < BYTES; b++)
        byte[b] = _mm512_mask_blend_epi8(
            upper, _mm512_permutex2var_epi8(planes.part[b][0], code, planes.part[b][1]),
            _mm512_permutex2var_epi8(planes.part[b][2], code, planes.part[b][3]));
    // Adding 128 to the last byte of a number turns its sign.
    __m512i& last = byte[BYTES - 1];
    last = _mm512_mask_add_epi8(last, negative, last, _mm512_set1_epi8(-128));
    __m512i* to = static_cast<__m512i*>(composed);
    const __m512i low0 = _mm512_unpacklo_epi8(byte[0], byte[1]);
    const __m512i low1 = _mm512_unpackhi_epi8(byte[0], byte[1]);
    if (BYTES == 2) {
        const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        _mm512_storeu_si512(to, _mm512_permutexvar_epi64(order, low0));
        _mm512_storeu_si512(to + 1, _mm512_permutexvar_epi64(order, low1));
        return;
    }
    const __m512i high0 = _mm512_unpacklo_epi8(byte[BYTES - 2], byte[BYTES - 1]);
    const __m512i high1 = _mm512_unpackhi_epi8(byte[BYTES - 2], byte[BYTES - 1]);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(low0, high0));
    _mm512_storeu_si512(to + 1, _mm512_unpackhi_epi16(low0, high0));
    _mm512_storeu_si512(to + 2, _mm512_unpacklo_epi16(low1, high1));
    _mm512_storeu_si512(to + 3, _mm512_unpackhi_epi16(low1, high1));
}

template <Words WORDS, int BYTES>
BYTE_PERMUTES void look_up_bytes(const ByteCodes& layer, const float* tables, uint8_t* all) {
    const Planes<BYTES> planes =
        planes_of<WORDS, BYTES>(tables + layer.first, layer.entries, layer.constant);
    const uint8_t* codes = layer.codes;
    const uint64_t* negative = layer.negative;
    uint8_t* composed = all + layer.to * BYTES;
    int64_t count = layer.count;
    for (; count >= 64; count -= 64, codes += 64, negative++, composed += 64 * BYTES)
        permute<BYTES>(planes, codes, *negative, composed);
    if (count > 0) {
        uint8_t rest[64 * BYTES];
        permute<BYTES>(planes, codes, *negative, rest);
        std::memcpy(composed, rest, count * BYTES);
    }
}
#endif
}  // namespace

extern "C" {

// `table` holds two words a code, the second for negative weights; words have 2 or 4 bytes.
void impress_look_up(const uint16_t* codes, const void* table, void* composed, int64_t count,
                     int32_t word_bytes) {
    if (word_bytes == 2)
        look_up(codes, static_cast<const uint16_t*>(table), static_cast<uint16_t*>(composed), count);
    else
        look_up(codes, static_cast<const uint32_t*>(table), static_cast<uint32_t*>(composed), count);
}

int32_t impress_permutes_bytes() {
#ifdef X86
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi");
#else
    return 0;
#endif
}

// Only where `impress_permutes_bytes`. A code is worth its number of `tables` times the constant,
// rounded to `words`.
void impress_look_up_bytes(const ByteCodes* layers, int64_t count, const float* tables,
                           void* composed, int32_t words) {
#ifdef X86
    uint8_t* all = static_cast<uint8_t*>(composed);
    for (int64_t i = 0; i < count; i++) {
        if (words == FP32)
            look_up_bytes<FP32, 4>(layers[i], tables, all);
        else if (words == FP16)
            look_up_bytes<FP16, 2>(layers[i], tables, all);
        else
            look_up_bytes<BF16, 2>(layers[i], tables, all);
    }
#else
    (void)layers, (void)count, (void)tables, (void)composed, (void)words;
#endif
}
}
