/* SPDX-License-Identifier: BSD-3-Clause */
#include "fq.h"

#define CODEL_INTERVAL_NS (100 * LODE_NS_PER_MS)
#define SWEEP_FLOWS	  32
#define SHED_PKTS_MAX	  64 /* dropped at once from the longest flow (RFC 8290 4.1.3) */

/* Drops up to half of the class's longest flow from its head, where senders notice first. */
static void shed(struct lode_lane *l, struct class_queue *q)
{
	struct lode_lane_pools *p = l->env.pools;
	struct flow_queue *longest = NULL;
	for (unsigned b = 0; b < FQ_BUCKETS; b++) {
		struct flow_queue *flow = &p->queues[q->bucket[b]];
		if (q->bucket[b] != NIL && (longest == NULL || flow->bytes > longest->bytes))
			longest = flow;
	}
	if (longest == NULL)
		return;
	uint32_t until = longest->bytes / 2;
	for (unsigned i = 0; i < SHED_PKTS_MAX && longest->head && longest->bytes > until; i++)
		lane_drop(l, fq_unlink(l->env.pools, q, longest), &l->counters.drop_queue_full);
}

bool fq_make_room(struct lode_lane *l, unsigned cls, struct rte_mbuf *m)
{
	struct class_queue *q = &l->queue[cls];
	shed(l, q);
	if (!fq_over_share(l->env.pools, q))
		return true;
	lane_drop(l, m, &l->counters.drop_queue_full);
	return false;
}

struct flow_queue *fq_peek_on(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct lode_lane_pools *p = l->env.pools;
	struct class_queue *q = &l->queue[cls];
	/* Ends: each turn retires a flow, drops packets, or adds to a deficit that no packet exceeds by
	 * more than a few quanta. */
	for (;;) {
		struct flow_list *list = fq_turn(q);
		if (list->head == NIL)
			return NULL;
		struct flow_queue *flow = &p->queues[list->head];
		if (lode_unlikely(flow->head == NULL)) {
			fq_retire(p, q, list);
			continue;
		}
		if (lode_unlikely(now_ns - lode_pkt(flow->head)->enqueued_ns > q->limit_ns)) {
			lane_drop(l, fq_unlink(l->env.pools, q, flow), &l->counters.drop_deadline);
			continue;
		}
		if (flow->deficit > 0)
			return flow;
		flow->deficit += FQ_QUANTUM;
		fq_append(p, &q->old, fq_pop(p, list));
	}
}

struct rte_mbuf *fq_codel(struct lode_lane *l, const struct class_queue *q, struct flow_queue *flow,
	struct rte_mbuf *m, uint64_t wait_ns, uint64_t now_ns)
{
	uint64_t target_ns = q->codel_target_ns + q->hold_ns;
	if (!lode_codel_drop(
		    &flow->codel, now_ns, wait_ns, flow->bytes, target_ns, CODEL_INTERVAL_NS))
		return m;
	if (ecn_mark(m)) {
		l->counters.ce_marked++;
		return m;
	}
	lane_drop(l, m, &l->counters.drop_codel);
	return NULL;
}

void fq_skip(struct lode_lane *l, unsigned cls)
{
	struct class_queue *q = &l->queue[cls];
	fq_append(l->env.pools, &q->old, fq_pop(l->env.pools, fq_turn(q)));
}

void fq_sweep(struct lode_lane *l, uint64_t now_ns)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		for (unsigned i = 0; i < SWEEP_FLOWS && fq_peek(l, cls, now_ns) != NULL; i++)
			fq_skip(l, cls);
	}
}

void fq_flush(struct lode_lane *l, uint64_t *which)
{
	struct lode_lane_pools *p = l->env.pools;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		struct class_queue *q = &l->queue[cls];
		for (struct flow_list *list = fq_turn(q); list->head != NIL; list = fq_turn(q)) {
			struct flow_queue *flow = &p->queues[list->head];
			while (flow->head)
				lane_drop(l, fq_unlink(l->env.pools, q, flow), which);
			fq_retire(p, q, list);
		}
	}
}
