/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernels.h"

const struct kernels *kernels_best(void)
{
#if defined(__x86_64__) && !defined(LODE_TRAIN_PLAIN)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
		return &kernels_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &kernels_avx2;
#endif
	return &kernels_plain;
}
