// For functions that the compiler is to build for several widths of vectors.

#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// The machine's widest vectors, chosen when the library is loaded.
#define WIDEST __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define WIDEST
#endif
