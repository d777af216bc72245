/* SPDX-License-Identifier: BSD-3-Clause */
#include "path.h"

static uint32_t since(uint64_t *base, uint64_t now)
{
	uint64_t n = now - *base;
	*base = now;
	return (uint32_t)LODE_MIN(n, UINT32_MAX);
}

static uint32_t as_us(uint64_t ns)
{
	return (uint32_t)LODE_MIN(ns / LODE_NS_PER_US, UINT32_MAX - 1);
}

void lode_path_loss_window(struct lode_path *p, uint64_t now_ns, struct lode_loss_window *w)
{
	struct tx *t = &p->tx;
	struct window_base *b = &p->window;
	uint64_t min_rtt_ns = floor_valid(&t->rtt_floor) ? (uint64_t)floor_get(&t->rtt_floor) : 0;
	*w = (struct lode_loss_window){.end_ns = now_ns,
		.sent_pkts = since(&b->sent_pkts, t->pkts),
		.sent_bytes = since(&b->sent_bytes, t->bytes),
		.delivered_pkts = since(&b->delivered_pkts, t->delivered_pkts),
		.delivered_bytes = since(&b->delivered_bytes, t->delivered_bytes),
		.lost_pkts = since(&b->lost_pkts, t->lost_pkts),
		.loss_bursts = since(&b->loss_bursts, t->loss_bursts),
		.longest_burst = t->longest_burst,
		.ce_pkts = since(&b->ce_pkts, t->ce_pkts),
		.told_age_us = t->told ? lode_path_tx_us(now_ns) - t->told_us : UINT32_MAX,
		.rtt_us = as_us(t->srtt_ns),
		.min_rtt_us = as_us(min_rtt_ns),
		.rtt_var_us = as_us(t->rttvar_ns),
		.queue_us = as_us(t->queue_ns),
		.pacing_kbps = (uint32_t)LODE_MIN(t->decision.pacing_bps / 1000, UINT32_MAX),
		.delivery_kbps = (uint32_t)(t->delivery_bps / 1000),
		.cwnd_bytes = (uint32_t)LODE_MIN(t->decision.cwnd_bytes, UINT32_MAX),
		.inflight_bytes = (uint32_t)LODE_MIN(tx_inflight(p), UINT32_MAX),
		.phase_ms = UINT32_MAX};
	t->longest_burst = 0;
}
