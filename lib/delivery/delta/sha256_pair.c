/* SPDX-License-Identifier: BSD-3-Clause */
#include "sha256_pair.h"

#include <openssl/evp.h>

#ifdef __x86_64__
#include <cpuid.h>

static bool has_ni(void)
{
	unsigned a, b, c, d;
	return __builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
	       b & bit_SHA;
}
#endif

int sha256_pair(const struct lode_delta_input *const in[2], uint8_t *const digest[2])
{
#ifdef __x86_64__
	if (in[1] && has_ni()) {
		sha256_pair_ni(in, digest);
		return 0;
	}
#endif
	for (unsigned i = 0; i < 2 && in[i]; i++)
		if (!EVP_Digest(in[i]->data, in[i]->size, digest[i], NULL, EVP_sha256(), NULL))
			return -EIO;
	return 0;
}
