// Compiles what stands between RSFAST_BEGIN_TARGET and RSFAST_END_TARGET for more instructions than the rest of the program.
//
// Headers of the system come first, outside: an inline function of theirs that were compiled with those instructions could be the
// one that the linker keeps for everyone.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "call.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define RSFAST_TARGETS 1
#define RSFAST_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define RSFAST_BEGIN_TARGET(list) RSFAST_PRAGMA(clang attribute push(__attribute__((target(list))), apply_to = function))
#define RSFAST_END_TARGET RSFAST_PRAGMA(clang attribute pop)
#else
#define RSFAST_BEGIN_TARGET(list) RSFAST_PRAGMA(GCC push_options) RSFAST_PRAGMA(GCC target(list))
#define RSFAST_END_TARGET RSFAST_PRAGMA(GCC pop_options)
#endif
#else
#define RSFAST_TARGETS 0
#endif
