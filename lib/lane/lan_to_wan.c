/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens to a packet on its way to the WAN. Seven stages, in order:
 *
 *   queue    classified packets into the flow queues of their class (fq.h)
 *   pull     control that is due, then packets in order of class for paths that have credit (pull.c)
 *   segment  the header in front; longer packets are cut in parts
 *   protect  parity over the segments, for classes whose losses are made good (repair_tx.c)
 *   copy     the same segment once more over other paths, where the class asks for it
 *   seal     packet number, clear header, encryption (seal.c)
 *   send     outer headers, transmit queue of the path's port
 *
 * Queues belong to the class, never to a path: a path with credit takes the next packet of the classes
 * allowed on it, so unequal paths add up and nothing waits on a dead one; a slower path takes Bulk and
 * Streaming only when the fastest would need some ms for what is queued. `queue` runs in
 * lode_lane_enqueue, the others in lode_lane_poll. Drop reasons: queue full, no flow queue, deadline,
 * CoDel, too long, no mbuf, no headroom. */
#include "fq.h"

/* ---- queue ---- */

static void queue_packets(struct lode_lane *l, struct lode_burst *b)
{
	uint64_t bytes = 0;
	for (unsigned i = 0; i < b->n; i++) {
		bytes += b->pkts[i]->pkt_len;
		trace_maybe(l, b->pkts[i], "queue", b->now_ns);
		fq_push(l, lode_pkt(b->pkts[i])->cls, b->pkts[i], b->now_ns);
	}
	lode_counter_add(&l->counters.lan_pkts, b->n);
	lode_counter_add(&l->counters.lan_bytes, bytes);
	b->n = 0;
}

/* ---- segment ---- */

static bool put_header(struct lode_lane *l, struct rte_mbuf *m, uint32_t tx_us)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	struct lode_wire_segment s = {
		.cls = pkt->cls,
		.flags = pkt->segment.flags,
		.seq = pkt->segment.seq,
		.dist = pkt->segment.dist,
		.tx_us = tx_us,
		.hop_limit = pkt->hop_limit,
	};
	uint8_t *header = lode_pkt_push(m, LODE_WIRE_SEGMENT_BYTES);
	if (lode_unlikely(header == NULL))
		return false;
	lode_wire_put_segment(header, &s);
	return true;
}

/* A part found no buffer: those before it would arrive in vain. */
static void uncut(struct lode_lane *l, struct lode_burst *b, unsigned n_parts, unsigned n_appended)
{
	b->n -= n_appended;
	rte_pktmbuf_free_bulk(b->pkts + b->n, n_appended);
	/* The first part is dropped as the packet itself. */
	lode_counter_add(&l->counters.drop_tx_parts, n_parts - 1);
}

/* Cuts m in its n_parts; the first one stays in m, the others are appended to the burst. */
static bool cut(struct lode_lane *l, struct lode_burst *b, struct rte_mbuf *m)
{
	struct lode_pkt *pkt = lode_pkt(m);
	unsigned n = pkt->segment.n_parts;
	unsigned part_bytes = (m->data_len + n - 1) / n;
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	for (unsigned i = 1; i < n; i++) {
		unsigned off = i * part_bytes;
		uint16_t len = (uint16_t)LODE_MIN(part_bytes, m->data_len - off);
		struct rte_mbuf *part = rte_pktmbuf_alloc(l->env.mbufs);
		char *to = part ? rte_pktmbuf_append(part, len) : NULL;
		if (to == NULL) {
			rte_pktmbuf_free(part);
			uncut(l, b, n, i - 1);
			return false;
		}
		memcpy(to, data + off, len);
		*lode_pkt(part) = *pkt;
		lode_pkt(part)->segment.seq = (pkt->segment.seq + i) & LODE_WIRE_SEQ_MASK;
		lode_pkt(part)->segment.dist = 0;
		lode_pkt(part)->segment.flags = LODE_WIRE_CONT | (i + 1 < n ? LODE_WIRE_MORE : 0);
		b->pkts[b->n++] = part;
	}
	pkt->segment.flags = LODE_WIRE_MORE;
	rte_pktmbuf_trim(m, (uint16_t)(m->data_len - part_bytes));
	lode_counter_add(&l->counters.tx_parts, n);
	return true;
}

static void segment(struct lode_lane *l, struct lode_burst *b)
{
	uint32_t tx_us = lode_path_tx_us(b->now_ns);
	/* Grows while parts are appended; these have n_parts too, but CONT. */
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		struct lode_pkt *pkt = lode_pkt(m);
		if (pkt->segment.flags & TX_MADE)
			continue;
		uint64_t *reason = NULL;
		if (pkt->segment.n_parts > 1 && !(pkt->segment.flags & LODE_WIRE_CONT) &&
			!cut(l, b, m))
			reason = &l->counters.drop_tx_parts;
		else if (!put_header(l, m, tx_us))
			reason = &l->counters.drop_tx_headroom;
		if (lode_unlikely(reason != NULL)) {
			lane_drop(l, m, reason);
			lode_burst_take(b, i);
		}
	}
}

/* ---- copy ---- */

static void copy_to(
	struct lode_lane *l, struct lode_burst *b, const struct rte_mbuf *m, unsigned path)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(l->env.mbufs);
	char *to = copy ? rte_pktmbuf_append(copy, m->data_len) : NULL;
	if (to == NULL) {
		rte_pktmbuf_free(copy);
		lode_counter_add(&l->counters.tx_copies_skipped, 1);
		return;
	}
	memcpy(to, rte_pktmbuf_mtod(m, const void *), m->data_len);
	*lode_pkt(copy) = *lode_pkt((struct rte_mbuf *)m);
	lode_pkt(copy)->path = (uint8_t)path;
	lode_pkt(copy)->traced = 0;
	b->pkts[b->n++] = copy;
	lode_counter_add(&l->counters.tx_copies, 1);
	if (l->repair->agreed)
		l->repair->classes[lode_pkt(copy)->cls].stats.tx_copies++;
}

/* A copy rides on another path or not at all. */
static void copy(struct lode_lane *l, struct lode_burst *b)
{
	unsigned n = l->any_copies ? b->n : 0;
	for (unsigned i = 0; i < n; i++) {
		const struct lode_pkt *pkt = lode_pkt(b->pkts[i]);
		struct class_paths *c = &l->class_paths[pkt->cls];
		if (lode_likely(c->copies == 1) || (pkt->segment.flags & TX_MADE))
			continue;
		bool metered = pkt->cls == LODE_GAMING || pkt->cls == LODE_VOIP;
		uint8_t left = (uint8_t)(c->copy_mask & ~(1u << pkt->path));
		rte_pktmbuf_mtod(b->pkts[i], uint8_t *)[0] |= LODE_WIRE_COPY;
		for (unsigned c_idx = 1; c_idx < c->copies; c_idx++) {
			unsigned p = steer_any(l, left, LODE_NO_PATH, metered, b->now_ns);
			if (p == LODE_NO_PATH) {
				lode_counter_add(&l->counters.tx_copies_skipped, 1);
				break;
			}
			left &= (uint8_t) ~(1u << p);
			paths_spend(l, p, metered, b->pkts[i]->data_len + LODE_WIRE_OVERHEAD);
			copy_to(l, b, b->pkts[i], p);
			c->n_sent[p]++;
		}
	}
}

const struct stage lan_to_wan[LAN_TO_WAN_STAGES] = {
	{"queue", queue_packets},
	{"pull", pull_packets},
	{"segment", segment},
	{"protect", repair_protect},
	{"copy", copy},
	{"seal", seal_segments},
	{"send", send_datagrams},
};
