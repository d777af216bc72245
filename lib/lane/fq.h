/* SPDX-License-Identifier: BSD-3-Clause */
/* Class queues, what every packet goes through: flow queueing with CoDel (RFC 8290). A class hashes flows
 * into buckets; a bucket with packets has a slot of the worker's pool, which is on the list of fresh flows
 * or on that of old ones and goes back to the pool when its turn finds it empty. fq.c has the rest: what
 * happens when there is no room, when packets waited, when a lane ends. */
#pragma once

#include "lane.h"

#include <rte_prefetch.h>

/* ---- of fq.c ---- */

/* There is no room: drops from the class's longest flow, or m when that does not help. False: m is gone. */
bool fq_make_room(struct lode_lane *l, unsigned cls, struct rte_mbuf *m);
/* As fq_peek, when the flow whose turn it is has nothing to show. */
struct flow_queue *fq_peek_on(struct lode_lane *l, unsigned cls, uint64_t now_ns);
/* CoDel's word about a packet just taken that waited too long, or whose flow did: NULL, it was dropped. */
struct rte_mbuf *fq_codel(struct lode_lane *l, const struct class_queue *q, struct flow_queue *flow,
	struct rte_mbuf *m, uint64_t wait_ns, uint64_t now_ns);
/* Its path is busy: the other flows first. */
void fq_skip(struct lode_lane *l, unsigned cls);
/* Drops what waited beyond the limit in some flows of each class, others at the next call. */
void fq_sweep(struct lode_lane *l, uint64_t now_ns);
/* Drops everything; which: the counter of the reason. */
void fq_flush(struct lode_lane *l, uint64_t *which);

/* ---- flows ---- */

static inline void fq_append(struct lode_lane_pools *p, struct flow_list *list, uint32_t idx)
{
	p->queues[idx].next = NIL;
	if (list->head == NIL)
		list->head = idx;
	else
		p->queues[list->tail].next = idx;
	list->tail = idx;
}

static inline uint32_t fq_pop(struct lode_lane_pools *p, struct flow_list *list)
{
	uint32_t idx = list->head;
	list->head = p->queues[idx].next;
	return idx;
}

static inline struct flow_list *fq_turn(struct class_queue *q)
{
	return q->fresh.head != NIL ? &q->fresh : &q->old;
}

/* A slot for the first packet of a bucket; NIL: all are in use. */
static inline uint32_t fq_open(struct lode_lane_pools *p, struct class_queue *q, unsigned bucket)
{
	uint32_t idx = p->free_queue;
	struct flow_queue *flow = &p->queues[idx];
	if (lode_unlikely(idx == NIL))
		return NIL;
	p->free_queue = flow->next;
	*flow = (struct flow_queue){.deficit = FQ_QUANTUM, .bucket = bucket};
	q->bucket[bucket] = (uint16_t)idx;
	fq_append(p, &q->fresh, idx);
	return idx;
}

/* An empty flow had its turn: a fresh one waits once among the old ones, so that it cannot come back as
 * fresh at once; an old one gives its slot back. */
static inline void fq_retire(
	struct lode_lane_pools *p, struct class_queue *q, struct flow_list *list)
{
	uint32_t idx = fq_pop(p, list);
	if (list == &q->fresh && q->old.head != NIL) {
		fq_append(p, &q->old, idx);
		return;
	}
	q->bucket[p->queues[idx].bucket] = NIL;
	p->queues[idx].next = p->free_queue;
	p->free_queue = idx;
}

/* How many packets one class of one lane may hold follows what is left of the worker's quota (dynamic
 * thresholds, Choudhury and Hahne 1998): one that grabs everything keeps half and leaves room for others. */
static inline bool fq_over_share(const struct lode_lane_pools *p, const struct class_queue *q)
{
	return q->pkts + p->queued_pkts >= p->queued_max;
}

/* ---- packets ---- */

/* Takes m; when there is no room, m or the tail of the class's longest flow is dropped and counted. */
static inline void fq_push(struct lode_lane *l, unsigned cls, struct rte_mbuf *m, uint64_t now_ns)
{
	struct lode_lane_pools *p = l->env.pools;
	struct class_queue *q = &l->queue[cls];
	struct lode_pkt *pkt = lode_pkt(m);
	unsigned bucket = pkt->flow_hash % FQ_BUCKETS;
	if (lode_unlikely(fq_over_share(p, q)) && !fq_make_room(l, cls, m))
		return;
	uint32_t idx = q->bucket[bucket];
	if (idx == NIL && (idx = fq_open(p, q, bucket)) == NIL) {
		lane_drop(l, m, &l->counters.drop_no_flow_queue);
		return;
	}
	struct flow_queue *flow = &p->queues[idx];
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

/* Unlinks the oldest packet of a flow. */
static inline struct rte_mbuf *fq_unlink(
	struct lode_lane_pools *p, struct class_queue *q, struct flow_queue *flow)
{
	struct rte_mbuf *m = flow->head;
	flow->head = lode_pkt(m)->next;
	flow->bytes -= m->pkt_len;
	q->bytes -= m->pkt_len;
	q->pkts--;
	p->queued_pkts--;
	return m;
}

/* The flow whose turn it is, its head is the packet; NULL: none. Drops what waited beyond the limit. */
static inline struct flow_queue *fq_peek(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct class_queue *q = &l->queue[cls];
	uint32_t idx = fq_turn(q)->head;
	struct flow_queue *flow = &l->env.pools->queues[idx];
	if (idx == NIL)
		return NULL;
	if (lode_likely(flow->head != NULL && flow->deficit > 0 &&
			now_ns - lode_pkt(flow->head)->enqueued_ns <= q->limit_ns))
		return flow;
	return fq_peek_on(l, cls, now_ns);
}

/* Takes the head of the flow that peek showed. NULL: CoDel dropped it. */
static inline struct rte_mbuf *fq_take(
	struct lode_lane *l, unsigned cls, struct flow_queue *flow, uint64_t now_ns)
{
	struct lode_lane_pools *p = l->env.pools;
	struct class_queue *q = &l->queue[cls];
	struct rte_mbuf *m = fq_unlink(p, q, flow);
	uint64_t wait_ns = now_ns - lode_pkt(m)->enqueued_ns;
	q->wait_ns = wait_ns;
	flow->deficit -= (int32_t)m->pkt_len;
	if (wait_ns < q->codel_target_ns + q->hold_ns && !flow->codel.dropping)
		flow->codel.first_above_ns = 0;
	else
		m = fq_codel(l, q, flow, m, wait_ns, now_ns);
	if (flow->head)
		rte_prefetch0(lode_pkt(flow->head));
	else
		fq_retire(p, q, fq_turn(q));
	return m;
}
