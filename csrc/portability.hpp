// What differs between compilers: forced inlining, and one function body compiled for several instruction sets.
#pragma once

#if defined(_MSC_VER)
#define RSFAST_INLINE static __forceinline
#else
#define RSFAST_INLINE static inline __attribute__((always_inline))
#endif

// GCC on x86-64 Linux compiles the marked functions for baseline, AVX2 and AVX-512 machines and the loader picks one.
// Every clone does the same IEEE operations (-ffp-contract=off), so the choice never changes a bit.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__)
#define RSFAST_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define RSFAST_CLONES
#endif
