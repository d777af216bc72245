/* SPDX-License-Identifier: BSD-3-Clause */
/* Monthly byte budgets of WAN ports, spent evenly: what was used is compared with what the month's elapsed
 * share allows. Being ahead raises the price of the port's paths (a Lagrange multiplier on the budget) and
 * keeps classes off it, the hungriest first; being behind again lets them back. Months are those of UTC;
 * without a known wall clock nothing is held back. */
#include "control.h"

#define GB	      1e9
#define PRICE_MAX     4.0
#define HOURS_A_PRICE 6.0 /* ahead of the pace: one unit of cost */

/* A class leaves when the port is so many hours of budget ahead, and comes back at the other figure. */
static const struct {
	double leave, back;
} patience[LODE_N_CLASSES] = {
	[LODE_GAMING] = {48, 24},
	[LODE_VOIP] = {48, 24},
	[LODE_STREAMING] = {1, 0},
	[LODE_BULK] = {1, 0},
	[LODE_WEB] = {6, 3},
	[LODE_MANAGEMENT] = {12, 6},
};

static void find_month(struct month *m, time_t now)
{
	struct tm t;
	if (now >= m->begin && now < m->end)
		return;
	*m = (struct month){0};
	if (!gmtime_r(&now, &t))
		return;
	struct tm first = {.tm_year = t.tm_year, .tm_mon = t.tm_mon, .tm_mday = 1};
	struct tm next = {.tm_year = t.tm_year, .tm_mon = t.tm_mon + 1, .tm_mday = 1};
	*m = (struct month){.number = (uint32_t)t.tm_year * 12 + (uint32_t)t.tm_mon,
		.begin = timegm(&first),
		.end = timegm(&next)};
}

/* Share of this month that has passed. False: the wall clock is not known. */
static bool month_now(struct lode_control *c, double *elapsed)
{
	int64_t offset_ns =
		atomic_load_explicit(&c->params.shared->wall_offset_ns, memory_order_relaxed);
	time_t now = ((int64_t)c->now_ns + offset_ns) / (int64_t)LODE_NS_PER_S;
	find_month(&c->month, now);
	if (offset_ns == 0 || c->month.end == 0)
		return false;
	*elapsed = (double)(now - c->month.begin) / (double)(c->month.end - c->month.begin);
	return true;
}

static uint64_t budget_bytes(const struct lode_control *c, unsigned port_idx)
{
	return (uint64_t)(c->prepared->config->ports[port_idx].monthly_gb * GB);
}

void quota_count(struct lode_control *c, struct peer_slot *slot)
{
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lode_path_summary *s = &slot->summary.paths[p];
		uint64_t *before = &slot->health[p].carried_bytes;
		uint64_t now = s->tx_bytes + s->rx_bytes;
		if (slot->view->paths[p].valid)
			c->quota[slot->view->paths[p].port_idx].used_bytes +=
				now >= *before ? now - *before : now;
		*before = now;
	}
}

void quota_compare(struct lode_control *c)
{
	double elapsed = 0;
	bool known = month_now(c, &elapsed);
	double hours = (double)(c->month.end - c->month.begin) / 3600;
	for (unsigned i = 0; i < c->prepared->config->n_ports; i++) {
		struct quota *q = &c->quota[i];
		double budget = (double)budget_bytes(c, i);
		if (known && q->month != c->month.number) {
			if (q->month)
				q->used_bytes = 0;
			q->month = c->month.number;
		}
		q->ahead = 0;
		if (known && budget > 0)
			q->ahead = ((double)q->used_bytes / budget - elapsed) * hours;
	}
}

double quota_price(const struct lode_control *c, unsigned port_idx)
{
	double price = c->quota[port_idx].ahead / HOURS_A_PRICE;
	return LODE_MAX(0.0, LODE_MIN(price, PRICE_MAX));
}

bool quota_spare(const struct lode_control *c, unsigned port_idx, unsigned cls, bool was)
{
	double ahead = c->quota[port_idx].ahead;
	return ahead > (was ? patience[cls].back : patience[cls].leave);
}

void lode_control_quota(
	const struct lode_control *c, unsigned port_idx, struct lode_quota_status *out)
{
	*out = (struct lode_quota_status){.budget_bytes = budget_bytes(c, port_idx),
		.used_bytes = c->quota[port_idx].used_bytes,
		.ahead_hours = c->quota[port_idx].ahead};
}
