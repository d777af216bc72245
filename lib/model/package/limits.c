/* SPDX-License-Identifier: BSD-3-Clause */
/* Every limit of both readers. delivery: what is carried may be as large as the formats allow (the
 * safetensors reference stops at a header of 100,000,000 bytes). engine: what runs here is small. */
#include "lode_package.h"

#define BIT(dtype) (1u << (dtype))

const struct lode_limits lode_limits_delivery = {
	.name = "delivery",
	.policy = LODE_KEEP_BYTES,
	.file_bytes = INT64_MAX,
	.header_bytes = 100000000,
	.n_files = 1024,
	.n_tensors = 100000,
	.n_metadata = 10000,
	.n_nodes = 1000000,
	.name_bytes = 65536,
	.metadata_bytes = 1 << 20,
	.rank = LODE_MAX_RANK,
	.depth = 16,
	.dtypes = UINT32_MAX,
};

const struct lode_limits lode_limits_engine = {
	.name = "engine",
	.policy = LODE_REFUSE,
	.file_bytes = 64 << 20,
	.header_bytes = 1 << 20,
	.n_files = 1,
	.n_tensors = 256,
	.n_metadata = 64,
	.n_nodes = 10000,
	.name_bytes = 128,
	.metadata_bytes = 1 << 18,
	.rank = 3,
	.depth = 0,
	.dtypes = BIT(LODE_F32) | BIT(LODE_F16) | BIT(LODE_BF16) | BIT(LODE_I8) | BIT(LODE_I32),
};
