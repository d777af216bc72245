/* SPDX-License-Identifier: BSD-3-Clause */
#include "fq.h"
#include "pair.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct lode_lane *bare_lane(struct rte_mempool *pool, uint32_t queued, uint32_t flows)
{
	struct lode_lane *l = aligned_alloc(64, (sizeof(*l) + 63) / 64 * 64);
	struct lode_lane_limits limits = {
		.flow_queues = flows, .queued_pkts = queued, .waiting_pkts = 16};
	memset(l, 0, sizeof(*l));
	l->env.mbufs = pool;
	l->env.pools = lode_lane_pools_new(&limits, SOCKET_ID_ANY);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		l->queue[cls].limit_ns = LODE_NS_PER_S;
		l->queue[cls].codel_target_ns = 5 * LODE_NS_PER_MS;
	}
	return l;
}

static void free_lane(struct lode_lane *l)
{
	fq_flush(l, &l->counters.drop_flush);
	cr_assert_eq(lode_lane_pools_held(l->env.pools), 0);
	cr_assert_eq(rte_mempool_in_use_count(l->env.mbufs), 0);
	lode_lane_pools_free(l->env.pools);
	free(l);
}

static struct rte_mbuf *packet(struct lode_lane *l, uint32_t flow, unsigned bytes)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->env.mbufs);
	cr_assert_not_null(m);
	memset(rte_pktmbuf_append(m, (uint16_t)bytes), 0, bytes);
	*lode_pkt(m) = (struct lode_pkt){.flow_hash = flow};
	return m;
}

static struct rte_mbuf *next(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct rte_mbuf *m = NULL;
	struct flow_queue *flow;
	while (m == NULL && (flow = fq_peek(l, cls, now_ns)) != NULL)
		m = fq_take(l, cls, flow, now_ns);
	return m;
}

Test(fq, flows_share_by_bytes)
{
	struct lode_lane *l = bare_lane(eal_pool(), 4000, 64);
	uint64_t bytes[3] = {0}, now_ns = LODE_NS_PER_S;
	/* A flow of large packets, one of small ones, one of both sizes. */
	for (unsigned i = 0; i < 400; i++) {
		fq_push(l, LODE_BULK, packet(l, 0, 1400), now_ns);
		fq_push(l, LODE_BULK, packet(l, 1, 100), now_ns);
		fq_push(l, LODE_BULK, packet(l, 2, i % 2 ? 1000 : 300), now_ns);
	}
	for (unsigned i = 0; i < 300; i++) {
		struct rte_mbuf *m = next(l, LODE_BULK, now_ns);
		bytes[lode_pkt(m)->flow_hash] += m->pkt_len;
		rte_pktmbuf_free(m);
	}
	for (unsigned f = 1; f < 3; f++)
		cr_assert_lt(llabs((long long)(bytes[0] - bytes[f])), 2 * FQ_QUANTUM,
			"flow %u: %lu bytes, flow 0: %lu", f, bytes[f], bytes[0]);
	free_lane(l);
}

Test(fq, a_sparse_flow_goes_first)
{
	struct lode_lane *l = bare_lane(eal_pool(), 4000, 64);
	uint64_t now_ns = LODE_NS_PER_S;
	for (unsigned i = 0; i < 100; i++)
		fq_push(l, LODE_BULK, packet(l, 1, 1400), now_ns);
	for (unsigned i = 0; i < 3; i++)
		rte_pktmbuf_free(next(l, LODE_BULK, now_ns));
	fq_push(l, LODE_BULK, packet(l, 2, 100), now_ns);
	struct rte_mbuf *m = next(l, LODE_BULK, now_ns);
	cr_assert_eq(lode_pkt(m)->flow_hash, 2);
	rte_pktmbuf_free(m);
	free_lane(l);
}

Test(fq, order_within_a_flow_is_kept)
{
	struct lode_lane *l = bare_lane(eal_pool(), 4000, 64);
	uint32_t newest[8] = {0}, n = 0;
	struct lode_rng rng;
	lode_rng_seed(&rng, 3);
	for (uint32_t i = 1; i < 2000; i++) {
		uint32_t flow = (uint32_t)lode_rng_below(&rng, 8);
		struct rte_mbuf *m = packet(l, flow, 40 + (unsigned)lode_rng_below(&rng, 1400));
		lode_pkt(m)->tx_us = i;
		fq_push(l, LODE_WEB, m, LODE_NS_PER_S);
		if (lode_rng_below(&rng, 3) == 0)
			continue;
		if (lode_rng_below(&rng, 4) == 0)
			fq_skip(l, LODE_WEB);
		m = next(l, LODE_WEB, LODE_NS_PER_S);
		cr_assert_gt(lode_pkt(m)->tx_us, newest[lode_pkt(m)->flow_hash]);
		newest[lode_pkt(m)->flow_hash] = lode_pkt(m)->tx_us;
		rte_pktmbuf_free(m);
		n++;
	}
	cr_assert_gt(n, 1000);
	free_lane(l);
}

Test(fq, the_longest_flow_pays_when_the_quota_is_used_up)
{
	struct lode_lane *l = bare_lane(eal_pool(), 1000, 64);
	uint64_t now_ns = LODE_NS_PER_S;
	for (unsigned i = 0; i < 2000; i++)
		fq_push(l, LODE_BULK, packet(l, 7, 1400), now_ns);
	cr_assert_leq(l->queue[LODE_BULK].pkts, 500, "a hog leaves room");
	uint64_t before = l->counters.drop_queue_full;
	for (unsigned i = 0; i < 120; i++)
		fq_push(l, LODE_BULK, packet(l, 8 + i % 20, 100), now_ns);
	cr_assert_gt(l->counters.drop_queue_full, before);
	unsigned small = 0;
	struct rte_mbuf *m;
	while ((m = next(l, LODE_BULK, now_ns)) != NULL) {
		small += m->pkt_len == 100;
		rte_pktmbuf_free(m);
	}
	cr_assert_eq(small, 120, "only the long flow lost packets");
	free_lane(l);
}

Test(fq, deadline_and_codel_drop_or_mark)
{
	struct lode_lane *l = bare_lane(eal_pool(), 4000, 64);
	uint64_t now_ns = LODE_NS_PER_S;
	for (unsigned i = 0; i < 10; i++)
		fq_push(l, LODE_VOIP, packet(l, 1, 200), now_ns);
	cr_assert_null(next(l, LODE_VOIP, now_ns + 2 * LODE_NS_PER_S));
	cr_assert_eq(l->counters.drop_deadline, 10);
	/* A standing queue of 50 ms for a second: some are dropped; if they can, they are marked. */
	for (unsigned ect = 0; ect < 2; ect++) {
		for (unsigned ms = 0; ms < 1000; ms++) {
			struct rte_mbuf *m = packet(l, 1, 1000);
			uint8_t *ip = rte_pktmbuf_mtod(m, uint8_t *);
			ip[0] = 0x45;
			ip[1] = ect ? ECN_ECT0 : 0;
			fq_push(l, LODE_BULK, m, now_ns + ms * LODE_NS_PER_MS);
			if (ms >= 50)
				rte_pktmbuf_free(next(l, LODE_BULK, now_ns + ms * LODE_NS_PER_MS));
		}
		cr_assert_eq(ect ? l->counters.ce_marked > 2 : l->counters.drop_codel > 2, 1);
		cr_assert_eq(ect ? l->counters.drop_codel : l->counters.ce_marked,
			ect ? l->counters.drop_codel : 0);
		struct flow_queue *flow;
		while ((flow = fq_peek(l, LODE_BULK, now_ns + LODE_NS_PER_S)) != NULL)
			rte_pktmbuf_free(fq_take(l, LODE_BULK, flow, now_ns));
		now_ns += 10 * LODE_NS_PER_S;
	}
	free_lane(l);
}

Test(fq, slots_come_back)
{
	struct lode_lane *l = bare_lane(eal_pool(), 4000, 8);
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 8; i++)
			fq_push(l, LODE_WEB, packet(l, round * 8 + i, 100), LODE_NS_PER_S);
		struct rte_mbuf *m;
		while ((m = next(l, LODE_WEB, LODE_NS_PER_S)) != NULL)
			rte_pktmbuf_free(m);
	}
	cr_assert_eq(l->counters.drop_no_flow_queue, 0);
	for (unsigned i = 0; i < 9; i++)
		fq_push(l, LODE_WEB, packet(l, i, 100), LODE_NS_PER_S);
	cr_assert_eq(l->counters.drop_no_flow_queue, 1);
	free_lane(l);
}
