/* SPDX-License-Identifier: BSD-3-Clause */
/* A patch with a right header around fuzzed records, and the base it is for. */
#pragma once

#include "header.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define FUZZ_BASE_BYTES 6000

/* Weights, a ramp, zeros and noise. */
static inline void fuzz_base(uint8_t *base)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	for (size_t i = 0; i + 4 <= FUZZ_BASE_BYTES; i += 4) {
		float f = (float)(0.03 * lode_rng_normal(&rng));
		memcpy(base + i, &f, 4);
		if (i > 3600)
			base[i] = base[i + 1] = base[i + 2] = base[i + 3] = (uint8_t)(i >> 8);
		if (i > 4800)
			memset(base + i, 0, 4);
	}
}

static inline void fuzz_header(const uint8_t *base, uint64_t target_bytes, struct buf *out)
{
	struct lode_delta_info *info = calloc(1, sizeof(*info));
	info->block_log2 = BLOCK_LOG2_MAX;
	info->incompat = FEATURE_KNOWN;
	info->n_base = info->n_target = 1;
	info->base[0].size = FUZZ_BASE_BYTES;
	info->target[0].size = target_bytes;
	EVP_Digest(base, FUZZ_BASE_BYTES, info->base[0].sha256, NULL, EVP_sha256(), NULL);
	header_write(info, out);
	free(info);
}
