// Vectors of any width, and functions that are built for several.

#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#define X86 1
#define AVX2 __attribute__((target("avx2,fma"), flatten))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"), flatten))
#endif

#define INLINE static inline __attribute__((always_inline))

namespace {

template <int LANES>
struct Vector {
    typedef float type __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
};
}  // namespace
