/* SPDX-License-Identifier: BSD-3-Clause */
/* The price of parity as an integral controller on what was spent. */
#include "lode_repair.h"

#include <math.h>

#define PRICE_MIN     1e-6
#define LOG_RANGE     14.0 /* up to a price of 1.2: no parity at all */
#define SPENT_PKTS    3000.0
#define RISE_PER_S    0.7 /* of the logarithm, when twice the budget is spent */
#define ELAPSED_MAX_S 0.1

void lode_repair_budget_observe(struct lode_repair_budget *b, uint64_t elapsed_ns,
	uint32_t n_sources, uint32_t n_repairs, double share)
{
	if (share >= 1 || share <= 0) {
		*b = (struct lode_repair_budget){0};
		return;
	}
	if (n_sources == 0)
		return;
	double weight = LODE_MIN(n_sources / SPENT_PKTS, 1.0);
	b->spent += weight * (LODE_MIN((double)n_repairs / n_sources, 1.0) - b->spent);
	double elapsed_s = LODE_MIN((double)elapsed_ns / (double)LODE_NS_PER_S, ELAPSED_MAX_S);
	double over = LODE_MIN((b->spent - share) / share, 2.0);
	b->log_price += RISE_PER_S * elapsed_s * over;
	b->log_price = LODE_MAX(LODE_MIN(b->log_price, LOG_RANGE), 0.0);
}

double lode_repair_budget_price(const struct lode_repair_budget *b)
{
	return b->log_price > 0 ? PRICE_MIN * exp(b->log_price) : 0;
}
