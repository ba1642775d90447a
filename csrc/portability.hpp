// What differs between compilers: forced inlining, and one function body compiled for several instruction sets.
#pragma once
#include <cstdint>  // also tells whether this is glibc

#if defined(_MSC_VER)
#define RSFAST_INLINE static __forceinline
#else
#define RSFAST_INLINE static inline __attribute__((always_inline))
#endif

// GCC 12 and newer on x86-64 with glibc compiles the marked functions for baseline, AVX2 and AVX-512 machines and the loader picks one.
// Every clone does the same IEEE operations (-ffp-contract=off), so the choice never changes a bit.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__GLIBC__)
#define RSFAST_HAS_CLONES 1
#define RSFAST_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define RSFAST_HAS_CLONES 0
#define RSFAST_CLONES
#endif
