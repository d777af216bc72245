/* SPDX-License-Identifier: BSD-3-Clause */
#include "lowrank.h"
struct low_rank_factors *low_rank_find(enum lode_delta_type type, const uint8_t *base,
	const uint8_t *target, uint64_t rows, uint64_t cols)
{
	return NULL;
}
void low_rank_free(struct low_rank_factors *f)
{
	free(f);
}
void low_rank_write(const struct low_rank_factors *f, struct buf *out)
{
}
