// What differs between compilers.
#pragma once
#include <cstdint>

#if defined(_MSC_VER)
#define RSFAST_INLINE static __forceinline
#define RSFAST_MEMBER __forceinline
#define RSFAST_RESTRICT __restrict
#define RSFAST_UNROLL
#define RSFAST_PREFETCH_TO_WRITE(place) ((void)(place))
#else
#define RSFAST_INLINE static inline __attribute__((always_inline))
#define RSFAST_MEMBER inline __attribute__((always_inline))
#define RSFAST_RESTRICT __restrict__
#define RSFAST_PREFETCH_TO_WRITE(place) __builtin_prefetch(place, 1, 3)
#if defined(__clang__)
#define RSFAST_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RSFAST_UNROLL _Pragma("GCC unroll 16")
#endif
#endif
