// Everything that is compiled once for each instruction set.
#pragma once
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 says it of arrays that vectors fill, and of its own headers
#endif
#include "perturb_loops.hpp"
#include "votes_loops.hpp"
