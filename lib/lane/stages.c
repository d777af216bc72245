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

#define TRACE_NS (2 * LODE_NS_PER_S)

static uint64_t trace_clock(const struct lode_lane *l, uint64_t now_ns)
{
	return l->env.trace_clock != NULL ? l->env.trace_clock() : now_ns;
}

void trace_one(struct lode_lane *l, struct rte_mbuf *m, const char *stage, uint64_t now_ns)
{
	if (l->env.trace == NULL)
		return;
	l->trace_until_ns = now_ns + TRACE_NS;
	l->env.trace(l->env.ctx, m, stage, NULL, trace_clock(l, now_ns));
}

void lode_lane_trace(struct lode_lane *l, uint64_t now_ns)
{
	if (l->env.trace != NULL && l->env.opened != NULL)
		l->trace_until_ns = LODE_MAX(l->trace_until_ns, now_ns + 1);
}

/* Datagrams say what they carry only after decryption: the stages before are written when it is known. */
static void trace_opened(struct lode_lane *l, struct rte_mbuf *m)
{
	if (lode_pkt(m)->traced || !l->env.opened(l->env.ctx, m, l->peer_idx))
		return;
	for (unsigned i = 0; i < WAN_TO_LAN_OPENED; i++)
		l->env.trace(l->env.ctx, m, wan_to_lan[i].name, NULL,
			l->stage_ns[LAN_TO_WAN_STAGES + i]);
}

/* The stage of that row has run. */
static void trace(struct lode_lane *l, const struct stage *stage, const struct lode_burst *b)
{
	bool from_wan = stage >= wan_to_lan && stage < wan_to_lan + WAN_TO_LAN_STAGES;
	size_t row = from_wan ? LAN_TO_WAN_STAGES + (size_t)(stage - wan_to_lan)
			      : (size_t)(stage - lan_to_wan);
	l->stage_ns[row] = trace_clock(l, b->now_ns);
	for (unsigned i = 0; i < b->n; i++) {
		if (row == LAN_TO_WAN_STAGES + WAN_TO_LAN_OPENED && l->env.opened != NULL)
			trace_opened(l, b->pkts[i]);
		if (lode_unlikely(lode_pkt(b->pkts[i])->traced))
			l->env.trace(l->env.ctx, b->pkts[i], stage->name, NULL, l->stage_ns[row]);
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
			trace(l, &first[i], b);
	}
}

void lane_drop(struct lode_lane *l, struct rte_mbuf *m, uint64_t *which)
{
	lode_counter_add(which, 1);
	if (l->env.dropped != NULL)
		l->env.dropped(l->env.ctx, m, (unsigned)(which - (uint64_t *)&l->counters));
	rte_pktmbuf_free(m);
}
