/* SPDX-License-Identifier: BSD-3-Clause */
/* Class queues: flow queueing with CoDel (RFC 8290). A class hashes flows into buckets; a bucket with
 * packets has a slot of the worker's pool, which is on the list of fresh flows or on that of old ones and
 * goes back to the pool when its turn finds it empty. How many packets one class of one lane may hold
 * follows what is left of the worker's quota (dynamic thresholds, Choudhury and Hahne 1998): one that grabs
 * everything keeps half and leaves room for the others. */
#include "lane.h"

#include <rte_prefetch.h>

#define CODEL_INTERVAL_NS (100 * LODE_NS_PER_MS)
#define SWEEP_FLOWS	  32
#define SHED_PKTS_MAX	  64 /* dropped at once from the longest flow (RFC 8290 4.1.3) */

static void list_append(struct lode_lane_pools *p, struct flow_list *list, uint32_t idx)
{
	p->queues[idx].next = NIL;
	if (list->head == NIL)
		list->head = idx;
	else
		p->queues[list->tail].next = idx;
	list->tail = idx;
}

static uint32_t list_pop(struct lode_lane_pools *p, struct flow_list *list)
{
	uint32_t idx = list->head;
	list->head = p->queues[idx].next;
	return idx;
}

static struct flow_list *turn(struct class_queue *q)
{
	return q->fresh.head != NIL ? &q->fresh : &q->old;
}

/* Unlinks the oldest packet of a flow. */
static struct rte_mbuf *flow_pop(
	struct lode_lane *l, struct class_queue *q, struct flow_queue *flow)
{
	struct rte_mbuf *m = flow->head;
	flow->head = lode_pkt(m)->next;
	flow->bytes -= m->pkt_len;
	q->bytes -= m->pkt_len;
	q->pkts--;
	l->env.pools->queued_pkts--;
	return m;
}

/* Drops up to half of the class's longest flow from its head, where senders notice first. */
static void shed(struct lode_lane *l, struct class_queue *q, uint64_t now_ns)
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
		lane_drop(l, flow_pop(l, q, longest), &l->counters.drop_queue_full, now_ns);
}

static bool over_share(const struct lode_lane_pools *p, const struct class_queue *q)
{
	return q->pkts >= p->queued_max - LODE_MIN(p->queued_pkts, p->queued_max);
}

void fq_push(struct lode_lane *l, unsigned cls, struct rte_mbuf *m, uint64_t now_ns)
{
	struct lode_lane_pools *p = l->env.pools;
	struct class_queue *q = &l->queue[cls];
	struct lode_pkt *pkt = lode_pkt(m);
	uint16_t *bucket = &q->bucket[pkt->flow_hash % FQ_BUCKETS];

	if (lode_unlikely(over_share(p, q))) {
		shed(l, q, now_ns);
		if (over_share(p, q)) {
			lane_drop(l, m, &l->counters.drop_queue_full, now_ns);
			return;
		}
	}
	struct flow_queue *flow = &p->queues[*bucket];
	if (*bucket == NIL) {
		uint32_t idx = p->free_queue;
		if (idx == NIL) {
			lane_drop(l, m, &l->counters.drop_no_flow_queue, now_ns);
			return;
		}
		flow = &p->queues[idx];
		p->free_queue = flow->next;
		*flow = (struct flow_queue){
			.deficit = FQ_QUANTUM, .bucket = pkt->flow_hash % FQ_BUCKETS};
		*bucket = (uint16_t)idx;
		list_append(p, &q->fresh, idx);
	}
	pkt->next = NULL;
	pkt->enqueued_ns = now_ns;
	if (flow->head == NULL)
		flow->head = m;
	else
		lode_pkt(flow->tail)->next = m;
	flow->tail = m;
	flow->bytes += m->pkt_len;
	q->bytes += m->pkt_len;
	q->pkts++;
	p->queued_pkts++;
}

/* An empty flow had its turn: a fresh one waits once among the old ones, so that it cannot come back as
 * fresh at once; an old one gives its slot back. */
static void retire(struct lode_lane_pools *p, struct class_queue *q, struct flow_list *list)
{
	uint32_t idx = list_pop(p, list);
	if (list == &q->fresh && q->old.head != NIL) {
		list_append(p, &q->old, idx);
		return;
	}
	q->bucket[p->queues[idx].bucket] = NIL;
	p->queues[idx].next = p->free_queue;
	p->free_queue = idx;
}

struct rte_mbuf *fq_peek(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct lode_lane_pools *p = l->env.pools;
	struct class_queue *q = &l->queue[cls];
	/* Ends: each turn retires a flow, drops packets, or adds to a deficit that no packet exceeds by
	 * more than a few quanta. */
	for (;;) {
		struct flow_list *list = turn(q);
		if (list->head == NIL)
			return NULL;
		struct flow_queue *flow = &p->queues[list->head];
		if (lode_unlikely(flow->head == NULL)) {
			retire(p, q, list);
			continue;
		}
		if (lode_unlikely(now_ns - lode_pkt(flow->head)->enqueued_ns > q->limit_ns)) {
			lane_drop(l, flow_pop(l, q, flow), &l->counters.drop_deadline, now_ns);
			continue;
		}
		if (flow->deficit > 0)
			return flow->head;
		flow->deficit += FQ_QUANTUM;
		list_append(p, &q->old, list_pop(p, list));
	}
}

/* CoDel's word about a packet just taken: m, or NULL when it was dropped. */
static struct rte_mbuf *codel(struct lode_lane *l, const struct class_queue *q,
	struct flow_queue *flow, struct rte_mbuf *m, uint64_t wait_ns, uint64_t now_ns)
{
	uint64_t target_ns = q->codel_target_ns + q->hold_ns;
	if (wait_ns < target_ns && !flow->codel.dropping) {
		flow->codel.first_above_ns = 0;
		return m;
	}
	if (!lode_codel_drop(
		    &flow->codel, now_ns, wait_ns, flow->bytes, target_ns, CODEL_INTERVAL_NS))
		return m;
	if (ecn_mark(m)) {
		l->counters.ce_marked++;
		return m;
	}
	lane_drop(l, m, &l->counters.drop_codel, now_ns);
	return NULL;
}

struct rte_mbuf *fq_take(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct lode_lane_pools *p = l->env.pools;
	struct class_queue *q = &l->queue[cls];
	struct flow_list *list = turn(q);
	struct flow_queue *flow = &p->queues[list->head];
	struct rte_mbuf *m = flow_pop(l, q, flow);
	uint64_t wait_ns = now_ns - lode_pkt(m)->enqueued_ns;
	q->wait_us = (uint32_t)(wait_ns / LODE_NS_PER_US);
	flow->deficit -= (int32_t)m->pkt_len;
	m = codel(l, q, flow, m, wait_ns, now_ns);
	if (flow->head)
		rte_prefetch0(lode_pkt(flow->head));
	else
		retire(p, q, list);
	return m;
}

void fq_skip(struct lode_lane *l, unsigned cls)
{
	struct class_queue *q = &l->queue[cls];
	list_append(l->env.pools, &q->old, list_pop(l->env.pools, turn(q)));
}

void fq_sweep(struct lode_lane *l, uint64_t now_ns)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		for (unsigned i = 0; i < SWEEP_FLOWS && fq_peek(l, cls, now_ns) != NULL; i++)
			fq_skip(l, cls);
	}
}

void fq_flush(struct lode_lane *l)
{
	struct lode_lane_pools *p = l->env.pools;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		struct class_queue *q = &l->queue[cls];
		for (struct flow_list *list = turn(q); list->head != NIL; list = turn(q)) {
			struct flow_queue *flow = &p->queues[list->head];
			while (flow->head)
				lane_drop(l, flow_pop(l, q, flow), &l->counters.drop_flush, 0);
			retire(p, q, list);
		}
	}
}
