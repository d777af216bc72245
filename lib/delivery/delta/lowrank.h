/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds updates that are a product of two thin matrices (merged adapters: Hu et al., "LoRA", 2021), by
 * randomised SVD (Halko, Martinsson, Tropp, 2011) of target minus base. */
#pragma once

#include "format.h"

struct low_rank_factors {
	struct low_rank lr;
	int32_t *numbers; /* u, then v */
};

/* NULL unless the correction promises to save more than it costs (and on no memory). */
struct low_rank_factors *low_rank_find(enum lode_delta_type type, const uint8_t *base,
	const uint8_t *target, uint64_t rows, uint64_t cols);
void low_rank_free(struct low_rank_factors *f);
/* The body of the resource record. */
void low_rank_write(const struct low_rank_factors *f, struct buf *out);
