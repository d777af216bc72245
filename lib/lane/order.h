/* SPDX-License-Identifier: BSD-3-Clause */
/* Order per flow, and the way out of a lane. Inline what each packet goes through: nearly always a segment is the
 * next one of its class, nobody waits, and its predecessor is out. order.c has the rest. */
#pragma once

#include "lane.h"

enum arrival { ARRIVAL_NEW, ARRIVAL_DUPLICATE, ARRIVAL_LATE };
/* Notes a segment; only a new one may go on. */
enum arrival order_note(struct class_window *w, uint32_t seq);
/* The same for the one that comes next, as nearly all do. False: it is not that one. */
static inline bool order_note_next(struct class_window *w, uint32_t seq)
{
	if (lode_unlikely(seq != ((w->highest + 1) & LODE_WIRE_SEQ_MASK) || !w->started))
		return false;
	w->highest = seq;
	w->received[seq % WINDOW_BITS / 64] |= 1ull << seq % 64;
	return true;
}
static inline bool order_has(const struct class_window *w, uint32_t seq)
{
	int32_t ahead = lode_wire_seq_diff(seq, w->highest);
	bool marked = w->received[seq % WINDOW_BITS / 64] >> seq % 64 & 1;
	return ahead <= -WINDOW_BITS || (ahead <= 0 && marked);
}
/* Lets m out through release() now, or holds it until the segment of its flow `dist` before its own is out
 * or the deadline passed. */
void order_behind(struct lode_lane *l, struct rte_mbuf *m, uint16_t dist, uint64_t now_ns);
/* Everything in segment seq went to order_packet: lets out who waited for it. */
void order_wake_waiters(struct lode_lane *l, unsigned cls, uint32_t seq, uint64_t now_ns);
static inline void order_wake(struct lode_lane *l, unsigned cls, uint32_t seq, uint64_t now_ns)
{
	if (lode_unlikely(l->n_waiting > 0))
		order_wake_waiters(l, cls, seq, now_ns);
}
/* Takes a part. Returns the whole packet, its sequence and distance in lode_pkt, when this was the last one
 * missing; else NULL. */
struct rte_mbuf *order_part(struct lode_lane *l, struct rte_mbuf *m, unsigned cls, uint64_t now_ns);
/* Deadlines that have passed; keeps expire_due_ns. */
void order_expire(struct lode_lane *l, uint64_t now_ns);
/* Parts that wait for the rest of their packet. */
uint32_t order_waiting_parts(const struct lode_lane *l);
/* Lets all packets out, drops parts: sequences begin anew. */
void order_release_all(struct lode_lane *l);
void order_flush(struct lode_lane *l);

void release_flush(struct lode_lane *l, uint64_t now_ns);
/* The outer ECN field joins the inner one. False: not allowed, and m is gone. */
bool release_ecn(struct lode_lane *l, struct rte_mbuf *m);
/* A packet leaves for the worker. */
static inline void release(struct lode_lane *l, struct rte_mbuf *m, uint64_t now_ns)
{
	struct lode_pkt *pkt = lode_pkt(m);
	if (lode_unlikely(pkt->outer_ecn != 0) && !release_ecn(l, m))
		return;
	pkt->from_peer = l->peer_idx;
	pkt->flow = NULL;
	l->out.pkts[l->out.n++] = m;
	if (lode_unlikely(l->out.n == LODE_BURST_MAX))
		release_flush(l, now_ns);
}
/* By order_behind, unless there is nobody to wait for. */
static inline void order_packet(
	struct lode_lane *l, struct rte_mbuf *m, uint16_t dist, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	const struct class_window *w = &l->window[pkt->cls];
	if (dist == 0 || w->limit_ns == 0 ||
		(l->n_waiting == 0 && order_has(w, (pkt->segment.seq - dist) & LODE_WIRE_SEQ_MASK)))
		release(l, m, now_ns);
	else
		order_behind(l, m, dist, now_ns);
}
