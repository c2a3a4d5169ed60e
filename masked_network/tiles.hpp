// What the products by looked-up weights share: codes in tiles, and vectors of any width.
//
// Codes are signed, 2 * code + (weight < 0), in tiles of outputs: [tiles][terms][TILE].

#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define X86 1
#define AVX2 __attribute__((target("avx2,fma"), flatten))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), flatten))
#endif

#define INLINE static inline __attribute__((always_inline))

namespace {

constexpr int64_t TILE = 10;  // outputs that are summed side by side

template <int LANES>
struct Vector {
    typedef float type __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
};
}  // namespace
