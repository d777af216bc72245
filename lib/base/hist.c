/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

static uint64_t upper_edge(unsigned bucket)
{
	unsigned steps = 1u << LODE_HIST_STEPS_LOG2;
	if (bucket < steps)
		return bucket;
	unsigned shift = (bucket >> LODE_HIST_STEPS_LOG2) - 1;
	uint64_t lower = (uint64_t)(steps + (bucket & (steps - 1))) << shift;
	return lower + ((1ull << shift) - 1);
}

uint64_t lode_hist_quantile(const struct lode_hist *h, double q)
{
	if (h->n == 0)
		return 0;
	uint64_t want = (uint64_t)(q * (double)h->n + 0.5), seen = 0;
	want = LODE_MIN(LODE_MAX(want, 1), h->n);
	for (unsigned i = 0; i < LODE_HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= want)
			return LODE_MIN(upper_edge(i), h->max);
	}
	return h->max;
}

void lode_hist_merge(struct lode_hist *to, const struct lode_hist *from)
{
	to->n += from->n;
	to->sum += from->sum;
	to->max = LODE_MAX(to->max, from->max);
	for (unsigned i = 0; i < LODE_HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
}
