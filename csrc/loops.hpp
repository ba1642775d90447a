// Everything that is compiled once for each instruction set.
#pragma once
#include "perturb_loops.hpp"
#include "votes_loops.hpp"
