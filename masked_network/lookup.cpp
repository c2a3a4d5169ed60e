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

template <int BYTES>
INLINE BYTE_PERMUTES Planes<BYTES> planes_of(const uint8_t* table, int64_t entries) {
    alignas(64) uint8_t bytes[BYTES][256] = {};
    for (int64_t entry = 0; entry < entries; entry++)
        for (int byte = 0; byte < BYTES; byte++) bytes[byte][entry] = table[entry * BYTES + byte];
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

template <int BYTES>
BYTE_PERMUTES void look_up_bytes(const uint8_t* codes, const uint64_t* negative,
                                 const uint8_t* table, int64_t entries, uint8_t* composed,
                                 int64_t count) {
    const Planes<BYTES> planes = planes_of<BYTES>(table, entries);
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

// One layer as `impress_look_up_bytes` takes it; `compiled.py` has the same. Codes are padded to a
// multiple of 64, with a bit of `negative` for each.
struct ByteCodes {
    const uint8_t* codes;
    const uint64_t* negative;
    int64_t count, entries;  // at most 256
    int64_t first;           // where among all words of the table its own begin
    int64_t to;              // where among all composed weights its own begin
};

// Only where `impress_permutes_bytes`.
void impress_look_up_bytes(const ByteCodes* layers, int64_t count, const void* table, void* composed,
                           int32_t word_bytes) {
#ifdef X86
    const uint8_t* words = static_cast<const uint8_t*>(table);
    uint8_t* all = static_cast<uint8_t*>(composed);
    for (int64_t i = 0; i < count; i++) {
        const ByteCodes& layer = layers[i];
        const uint8_t* own = words + layer.first * word_bytes;
        uint8_t* to = all + layer.to * word_bytes;
        if (word_bytes == 2)
            look_up_bytes<2>(layer.codes, layer.negative, own, layer.entries, to, layer.count);
        else
            look_up_bytes<4>(layer.codes, layer.negative, own, layer.entries, to, layer.count);
    }
#else
    (void)layers, (void)count, (void)table, (void)composed, (void)word_bytes;
#endif
}
}
