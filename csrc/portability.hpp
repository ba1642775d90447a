// What differs between compilers.
#pragma once
#include <cstdint>

#if defined(_MSC_VER)
#define RSFAST_INLINE static __forceinline
#define RSFAST_MEMBER __forceinline
#define RSFAST_RESTRICT __restrict
#define RSFAST_UNROLL
#else
#define RSFAST_INLINE static inline __attribute__((always_inline))
#define RSFAST_MEMBER inline __attribute__((always_inline))
#define RSFAST_RESTRICT __restrict__
#if defined(__clang__)
#define RSFAST_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RSFAST_UNROLL _Pragma("GCC unroll 16")
#endif
#endif
