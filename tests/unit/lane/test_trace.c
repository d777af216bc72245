/* SPDX-License-Identifier: BSD-3-Clause */
/* Trace records and reasons of drops, between two lanes. */
#include "fq.h"
#include "pair.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MS LODE_NS_PER_MS

static char way[1000]; /* stages of both sites, "0:pull 1:check ..." */
static unsigned n_asked, n_wanted;

static void on_trace(
	void *ctx, struct rte_mbuf *m, const char *stage, const char *detail, uint64_t at_ns)
{
	const struct site *s = ctx;
	size_t len = strlen(way);
	cr_assert_neq(lode_pkt(m)->traced, 0);
	snprintf(way + len, sizeof(way) - len, "%u:%s ", s->idx, stage);
}

static bool on_opened(void *ctx, struct rte_mbuf *m, unsigned peer_idx)
{
	n_asked++;
	if (n_wanted == 0)
		return false;
	n_wanted--;
	lode_pkt(m)->traced = 1;
	return true;
}

static unsigned dropped[sizeof(struct lode_lane_counters) / sizeof(uint64_t)];

static void on_dropped(void *ctx, struct rte_mbuf *m, unsigned row)
{
	cr_assert_lt(row, lode_lane_n_counters);
	dropped[row]++;
}

static struct pair *traced_pair(uint64_t seed)
{
	struct pair *p = pair_new(seed, 2, "auto");
	for (unsigned i = 0; i < 2; i++) {
		p->site[i].lane->env.trace = on_trace;
		p->site[i].lane->env.opened = on_opened;
		p->site[i].lane->env.dropped = on_dropped;
	}
	pair_run(p, p->now_ns + 1500 * MS);
	return p;
}

static void send_one(struct pair *p, unsigned flow, unsigned cls, bool traced)
{
	struct rte_mbuf *m;
	pair_send(p, 0, flow, cls, 400, ECN_NOT_ECT);
	m = fq_peek(p->site[0].lane, cls, p->now_ns)->head;
	if (traced)
		lode_pkt(m)->traced = 1;
}

Test(trace, follows_a_packet_through_both_lanes)
{
	struct pair *p = traced_pair(1);
	lode_lane_trace(p->site[1].lane, p->now_ns + 100 * MS);
	n_wanted = 1;
	send_one(p, 3, LODE_WEB, true);
	p->site[0].lane->trace_until_ns = p->now_ns + MS; /* as the queue stage does */
	pair_run(p, p->now_ns + 50 * MS);
	cr_assert_str_eq(way, "0:pull 0:segment 0:protect 0:copy 0:seal 0:send "
			      "1:check 1:open 1:account 1:control 1:segment 1:keep 1:parts ");
	pair_free(p);
}

Test(trace, the_queue_stage_looks_out_for_what_it_took)
{
	struct pair *p = traced_pair(2);
	struct lode_lane *l = p->site[0].lane;
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
	memset(rte_pktmbuf_append(m, 100), 0x45, 100);
	*lode_pkt(m) = (struct lode_pkt){.cls = LODE_BULK, .traced = 9};
	lode_lane_enqueue(l, &m, 1, p->now_ns);
	cr_assert_str_eq(way, "0:queue ");
	cr_assert_gt(l->trace_until_ns, p->now_ns);
	pair_free(p);
}

Test(trace, nobody_is_asked_while_nobody_traces)
{
	struct pair *p = traced_pair(3);
	send_one(p, 3, LODE_WEB, false);
	pair_run(p, p->now_ns + 50 * MS);
	cr_assert_eq(n_asked, 0);
	cr_assert_str_eq(way, "");
	pair_free(p);
}

Test(trace, each_opened_segment_is_asked_about_once)
{
	struct pair *p = traced_pair(4);
	lode_lane_trace(p->site[1].lane, p->now_ns + 100 * MS);
	for (unsigned i = 0; i < 5; i++)
		send_one(p, i, LODE_WEB, false);
	pair_run(p, p->now_ns + 50 * MS);
	cr_assert_eq(n_asked, 5);
	pair_free(p);
}

Test(trace, every_drop_is_told_with_its_row)
{
	struct pair *p = traced_pair(5);
	p->pipe[0][0].duplicate = p->pipe[0][1].duplicate = 1;
	for (unsigned i = 0; i < 20; i++)
		send_one(p, i, LODE_WEB, false);
	pair_run(p, p->now_ns + 100 * MS);
	for (unsigned i = 0; i < lode_lane_n_counters; i++) {
		const char *name = lode_lane_counter_descs[i].name;
		uint64_t counted = 0;
		for (unsigned k = 0; k < 2; k++)
			counted += ((const uint64_t *)lode_lane_counters(p->site[k].lane))[i];
		if (!strncmp(name, "drop_", 5) && strcmp(name, "drop_no_mbuf") != 0)
			cr_assert_eq(dropped[i], counted, "%s: %u told, %lu counted", name,
				dropped[i], counted);
	}
	cr_assert_geq(p->site[1].lane->counters.drop_rx_replay, 20);
	pair_free(p);
}
