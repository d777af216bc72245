/* SPDX-License-Identifier: BSD-3-Clause */
/* Words for the compiler that the vector headers and kernels share. */
#pragma once

/* A loop of a constant few turns that must become straight code, so that its arrays are registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
