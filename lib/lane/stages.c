/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver of both stage tables: counts, samples cycles, traces. */
#include "lane.h"

#define SAMPLE_EVERY 64 /* runs of a table; a power of two */

static void close_gaps(struct lode_burst *b)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < b->n; i++) {
		b->pkts[kept] = b->pkts[i];
		kept += b->pkts[i] != NULL;
	}
	b->n = kept;
	b->gaps = 0;
}

static void trace(struct lode_lane *l, const char *stage, const struct lode_burst *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (lode_unlikely(lode_pkt(b->pkts[i])->traced))
			l->env.trace(l->env.ctx, b->pkts[i], stage, NULL, b->now_ns);
	}
}

void stages_run(struct lode_lane *l, const struct stage *first, unsigned n,
	struct lode_stage_stats *stats, struct lode_burst *b)
{
	bool sampled = l->env.cycles != NULL && l->n_runs++ % SAMPLE_EVERY == 0;
	uint64_t then = sampled ? l->env.cycles() : 0;
	for (unsigned i = 0; i < n; i++) {
		uint32_t n_in = b->n;
		first[i].run(l, b);
		if (b->gaps)
			close_gaps(b);
		lode_counter_add(&stats[i].bursts, 1);
		lode_counter_add(&stats[i].pkts_in, n_in);
		lode_counter_add(&stats[i].pkts_out, b->n);
		if (lode_unlikely(sampled)) {
			uint64_t now = l->env.cycles();
			lode_counter_add(&stats[i].cycles, now - then);
			lode_counter_add(&stats[i].cycle_pkts, LODE_MAX(n_in, b->n));
			then = now;
		}
		if (b->n == 0)
			return;
		if (lode_unlikely(b->now_ns < l->trace_until_ns))
			trace(l, first[i].name, b);
	}
}

void lane_drop(struct lode_lane *l, struct rte_mbuf *m, uint64_t *which, uint64_t now_ns)
{
	lode_counter_add(which, 1);
	if (lode_unlikely(lode_pkt(m)->traced) && l->env.trace != NULL) {
		ptrdiff_t row = which - (uint64_t *)&l->counters;
		l->env.trace(l->env.ctx, m, "drop", lode_lane_counter_descs[row].name, now_ns);
	}
	rte_pktmbuf_free(m);
}
