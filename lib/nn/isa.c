/* SPDX-License-Identifier: BSD-3-Clause */
/* Which instruction set the kernels use. */
#include "lode_nn.h"

#ifdef __aarch64__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const char *const names[] = {"auto", "portable", "avx2", "avx512vnni", "neon"};

const char *lode_nn_isa_name(enum lode_nn_isa isa)
{
	return (unsigned)isa < LODE_ARRAY_LEN(names) ? names[isa] : "unknown";
}

bool lode_nn_isa_available(enum lode_nn_isa isa)
{
	switch (isa) {
	case LODE_NN_ISA_AUTO:
	case LODE_NN_PORTABLE:
		return true;
#ifdef __x86_64__
	case LODE_NN_AVX2:
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	case LODE_NN_AVX512VNNI:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
		       __builtin_cpu_supports("avx512vnni");
#endif
#ifdef __aarch64__
	case LODE_NN_NEON:
		return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#endif
	default:
		return false;
	}
}

enum lode_nn_isa lode_nn_isa_best(void)
{
	static const enum lode_nn_isa order[] = {LODE_NN_AVX512VNNI, LODE_NN_AVX2, LODE_NN_NEON};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(order); i++)
		if (lode_nn_isa_available(order[i]))
			return order[i];
	return LODE_NN_PORTABLE;
}
