/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens to a packet on its way to the WAN. Seven stages, in order:
 *
 *   queue    classified packets into the flow queues of their class
 *   pull     control that is due, then packets in order of class for paths that have credit
 *   segment  the header in front; longer packets are cut in parts
 *   protect  parity over the segments, for classes whose losses are made good (repair_tx.c)
 *   copy     the same segment once more over other paths, where the class asks for it
 *   seal     packet number, clear header, encryption
 *   send     outer headers, transmit queue of the path's port
 *
 * Queues belong to the class, never to a path: a path with credit takes the next packet of the classes
 * allowed on it, so unequal paths add up and nothing waits on a dead one; a slower path takes Bulk and
 * Streaming only when the fastest would need some ms for what is queued. `queue` runs in
 * lode_lane_enqueue, the others in lode_lane_poll. Drop reasons: queue full, no flow queue, deadline,
 * CoDel, too long, no mbuf, no headroom. */
#include "lane.h"

#define SKIPS_MAX   32	/* flows looked at whose path is busy, per class and run */
#define FLOW_GAP_MS 250 /* what left so long ago has arrived or is lost: nobody waits for it */

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

/* ---- pull ---- */

/* The flow's newest segment is [first, last]; returns the distance to the one before it. */
static uint16_t chain_flow(struct lode_lane *l, struct lode_lane_flow *flow, unsigned cls,
	unsigned path, uint32_t first, uint32_t last, uint64_t now_ns)
{
	if (flow == NULL)
		return 0;
	uint32_t now_ms = (uint32_t)(now_ns / LODE_NS_PER_MS);
	uint32_t dist = (first - flow->last_seq) & LODE_WIRE_SEQ_MASK;
	bool known = flow->lane_tag == l->tag && flow->cls == cls + 1;
	if (!known || dist > UINT16_MAX || now_ms - flow->sent_ms > FLOW_GAP_MS)
		dist = 0;
	else if (dist == 0) /* a second packet in the same bundle */
		dist = flow->last_dist;
	if (flow->lane_tag != l->tag || flow->path != path + 1) {
		if (flow->lane_tag == l->tag && is_sticky(cls))
			lode_counter_add(&l->counters.flow_moves, 1);
		flow->moved_ns = now_ns;
		flow->path = (uint8_t)(path + 1);
	}
	flow->lane_tag = l->tag;
	flow->cls = (uint8_t)(cls + 1);
	flow->last_seq = last;
	flow->last_dist = (uint16_t)dist;
	flow->sent_ms = now_ms;
	return (uint16_t)dist;
}

static void append_item(struct rte_mbuf *bundle, const struct rte_mbuf *m, uint16_t dist)
{
	uint8_t *item = (uint8_t *)rte_pktmbuf_append(
		bundle, (uint16_t)(LODE_WIRE_BUNDLE_ITEM_BYTES + m->data_len));
	lode_store_be16(item, m->data_len);
	lode_store_be16(item + 2, dist);
	memcpy(item + LODE_WIRE_BUNDLE_ITEM_BYTES, rte_pktmbuf_mtod(m, const void *), m->data_len);
}

/* ECN of a bundle: markable only if all its packets are. */
static uint8_t join_tos(uint8_t a, uint8_t b)
{
	bool markable = (a & 3) != ECN_NOT_ECT && (b & 3) != ECN_NOT_ECT;
	return (uint8_t)((a & ~3) | (markable ? ECN_ECT0 : ECN_NOT_ECT));
}

static bool goes_along(struct lode_lane *l, struct rte_mbuf *m, unsigned cls, unsigned path,
	unsigned room_bytes, uint64_t now_ns)
{
	if (m->data_len > l->bundle_item_bytes ||
		m->data_len + (unsigned)LODE_WIRE_BUNDLE_ITEM_BYTES > room_bytes)
		return false;
	return !is_sticky(cls) || steer(l, cls, m, true, now_ns) == path ||
	       steer(l, cls, m, false, now_ns) == path;
}

static uint8_t outer_tos(const struct class_queue *q, const struct rte_mbuf *m)
{
	uint8_t tos = (uint8_t)ip_tos(rte_pktmbuf_mtod(m, const uint8_t *));
	return q->outer_dscp < 0 ? tos : (uint8_t)(q->outer_dscp << 2 | (tos & 3));
}

/* Small packets that are queued behind m, which left the queue already, join it in one segment. Nothing
 * waits for more to come. Returns what takes m's place. */
static struct rte_mbuf *bundle(
	struct lode_lane *l, struct rte_mbuf *m, unsigned cls, uint64_t now_ns)
{
	struct lode_pkt *head = lode_pkt(m);
	unsigned limit = LODE_MIN(l->segment_bytes, l->buffer_bytes);
	unsigned used = LODE_WIRE_BUNDLE_ITEM_BYTES + m->data_len;
	struct rte_mbuf *next, *all = NULL;
	while ((next = fq_peek(l, cls, now_ns)) != NULL &&
		goes_along(l, next, cls, head->path, limit - used, now_ns)) {
		if ((next = fq_take(l, cls, now_ns)) == NULL)
			continue;
		if (all == NULL) {
			if ((all = rte_pktmbuf_alloc(l->env.mbufs)) == NULL) {
				lane_drop(l, next, &l->counters.drop_no_mbuf, now_ns);
				return m;
			}
			*lode_pkt(all) = *head;
			lode_pkt(all)->segment.flags = LODE_WIRE_BUNDLE;
			lode_pkt(all)->segment.dist = 0;
			append_item(all, m, head->segment.dist);
			rte_pktmbuf_free(m);
			head = lode_pkt(all);
			lode_counter_add(&l->counters.tx_bundled, 1);
		}
		struct lode_lane_flow *flow = lode_pkt(next)->flow;
		uint32_t seq = head->segment.seq;
		append_item(all, next, chain_flow(l, flow, cls, head->path, seq, seq, now_ns));
		head->outer_tos = join_tos(head->outer_tos, outer_tos(&l->queue[cls], next));
		used += LODE_WIRE_BUNDLE_ITEM_BYTES + next->data_len;
		trace_maybe(l, next, "bundle", now_ns);
		rte_pktmbuf_free(next);
		l->n_pulled++;
		lode_counter_add(&l->counters.tx_bundled, 1);
	}
	return all != NULL ? all : m;
}

/* A packet that left its queue gets its place in the class's sequence. NULL: too long. */
static struct rte_mbuf *number_segment(
	struct lode_lane *l, struct rte_mbuf *m, unsigned cls, unsigned path, uint64_t now_ns)
{
	struct class_queue *q = &l->queue[cls];
	struct lode_pkt *pkt = lode_pkt(m);
	unsigned n = 1;
	if (m->data_len > l->segment_bytes)
		n = lode_wire_mtu_parts(m->data_len, l->segment_bytes);
	if (lode_unlikely(n == 0)) {
		lane_drop(l, m, &l->counters.drop_too_long, now_ns);
		return NULL;
	}
	uint32_t first = q->next_seq;
	uint32_t last = (first + n - 1) & LODE_WIRE_SEQ_MASK;
	q->next_seq = (last + 1) & LODE_WIRE_SEQ_MASK;
	q->n_segments += n;
	pkt->path = (uint8_t)path;
	pkt->outer_tos = outer_tos(q, m);
	pkt->segment.seq = first;
	pkt->segment.dist = chain_flow(l, pkt->flow, cls, path, first, last, now_ns);
	pkt->segment.flags = 0;
	pkt->segment.n_parts = (uint8_t)n;
	lode_counter_add(&l->counters.tx_segments, n);
	return m->data_len <= l->bundle_item_bytes ? bundle(l, m, cls, now_ns) : m;
}

static void pull_class(
	struct lode_lane *l, struct lode_burst *b, unsigned cls, bool metered, unsigned *n_segments)
{
	struct class_paths *c = &l->class_paths[cls];
	/* One packet may become this many: the burst must hold them all. */
	bool parity = l->repair->classes[cls].cache.decision.rate_q8 > 0;
	unsigned times = c->copies + parity;
	unsigned worst = LODE_WIRE_PARTS_MAX * times;
	struct rte_mbuf *m;
	for (unsigned skips = 0; skips < SKIPS_MAX && *n_segments + worst <= LODE_BURST_MAX;) {
		if (cls == LODE_MANAGEMENT && l->management.bytes <= 0)
			return;
		if ((m = fq_peek(l, cls, b->now_ns)) == NULL || c->usable == 0)
			return;
		unsigned path = steer(l, cls, m, metered, b->now_ns);
		if (path == LODE_NO_PATH) {
			if (!is_sticky(cls))
				return;
			fq_skip(l, cls);
			skips++;
			continue;
		}
		if ((m = fq_take(l, cls, b->now_ns)) == NULL ||
			(m = number_segment(l, m, cls, path, b->now_ns)) == NULL)
			continue;
		paths_spend(
			l, path, metered, repair_cost(l, cls, m->data_len + LODE_WIRE_OVERHEAD));
		l->n_pulled++;
		c->n_sent[path]++;
		*(is_sticky(cls) ? &l->path[path].urgent_bytes : &l->path[path].other_bytes) +=
			m->data_len;
		if (cls == LODE_MANAGEMENT)
			l->management.bytes -= m->data_len;
		*n_segments += lode_pkt(m)->segment.n_parts * times;
		b->pkts[b->n++] = m;
	}
}

/* Strict order of classes. Real-time classes come first and need no credit, but only as much as the meters
 * allow; what is beyond that comes behind everyone else. */
static void pull(struct lode_lane *l, struct lode_burst *b)
{
	static const struct {
		uint8_t cls;
		bool metered;
	} order[] = {
		{LODE_GAMING, true},
		{LODE_VOIP, true},
		{LODE_WEB, false},
		{LODE_STREAMING, false},
		{LODE_BULK, false},
		{LODE_MANAGEMENT, false},
		{LODE_GAMING, false},
		{LODE_VOIP, false},
	};
	paths_control(l, b);
	paths_view(l, b->now_ns);
	repair_pull(l, b);
	unsigned n_segments = b->n;
	l->n_pulled = 0;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(order) && l->segment_bytes > 0; i++) {
		unsigned cls = order[i].cls;
		if (l->queue[cls].pkts == 0)
			continue;
		if (cls == LODE_MANAGEMENT)
			bucket_fill(&l->management, b->now_ns);
		pull_class(l, b, cls, order[i].metered, &n_segments);
	}
	lode_counter_add(&l->counters.tx_pkts, l->n_pulled);
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
			lane_drop(l, m, reason, b->now_ns);
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

/* ---- seal ---- */

static uint8_t type_of(const struct lode_pkt *pkt)
{
	if (lode_likely(!(pkt->segment.flags & (TX_CONTROL | TX_REPAIR))))
		return LODE_WIRE_DATA;
	return pkt->segment.flags & TX_CONTROL ? LODE_WIRE_CONTROL : LODE_WIRE_REPAIR;
}

static void seal(struct lode_lane *l, struct lode_burst *b)
{
	const struct lode_epoch_view *epoch = &l->view->epochs[l->view->tx_epoch];
	struct lode_wire_clear clear = {.version = epoch->version,
		.key_phase = epoch->tx_phase,
		.lane = l->lane_id,
		.session = epoch->tx_session};
	struct lode_aead_op ops[LODE_BURST_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		struct lode_pkt *pkt = lode_pkt(m);
		uint16_t text_bytes = m->data_len;
		uint8_t *header = lode_pkt_push(m, LODE_WIRE_CLEAR_BYTES);
		if (header == NULL || lode_pkt_append(m, LODE_WIRE_TAG_BYTES) == NULL) {
			lane_drop(l, m, &l->counters.drop_tx_headroom, b->now_ns);
			lode_burst_take(b, i);
			continue;
		}
		clear.type = type_of(pkt);
		clear.path = pkt->path;
		uint64_t number = l->path[pkt->path].next_number++;
		clear.number = (uint32_t)number;
		lode_wire_put_clear(header, &clear);
		pkt->number = number; /* from here on, in place of the segment's fields */
		ops[n++] = (struct lode_aead_op){.data = header,
			.nonce = lode_wire_nonce(pkt->path, l->lane_id, number),
			.aad_bytes = LODE_WIRE_CLEAR_BYTES,
			.text_bytes = text_bytes};
	}
	lode_aead_seal_burst(epoch->tx_key[l->lane_id], ops, n);
	l->tx_packets += n;
}

/* ---- send ---- */

struct sent {
	uint32_t pkts, data_pkts, bytes;
};

static void tell_paths(struct lode_lane *l, const struct sent sent[LODE_LINKS_MAX], uint64_t now_ns)
{
	uint32_t tx_us = lode_path_tx_us(now_ns);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		unsigned flags = sent[p].data_pkts == 0 ? LODE_PATH_CONTROL : 0;
		if (sent[p].pkts == 0)
			continue;
		lode_path_sent_burst(
			l->path[p].est, now_ns, sent[p].pkts, sent[p].bytes, tx_us, flags);
		l->stirred |= (uint8_t)(1u << p);
	}
}

static void send_datagrams(struct lode_lane *l, struct lode_burst *b)
{
	struct sent sent[LODE_LINKS_MAX] = {0};
	uint64_t bytes = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct rte_mbuf *m = b->pkts[i];
		const struct lode_pkt *pkt = lode_pkt(m);
		struct lane_path *path = &l->path[pkt->path];
		uint32_t ip_bytes = outer_ip_bytes(&path->outer, m->data_len);
		bool data = !is_control(m);
		if (lode_unlikely(outer_push(&path->outer, m, pkt->outer_tos) < 0)) {
			lane_drop(l, m, &l->counters.drop_tx_headroom, b->now_ns);
			lode_burst_take(b, i);
			continue;
		}
		sent[pkt->path].pkts++;
		sent[pkt->path].data_pkts += data;
		sent[pkt->path].bytes += ip_bytes;
		bytes += ip_bytes;
		path->txq->mbufs[path->txq->n++] = m;
	}
	tell_paths(l, sent, b->now_ns);
	lode_counter_add(&l->counters.tx_datagrams, b->n);
	lode_counter_add(&l->counters.tx_bytes, bytes);
}

const struct stage lan_to_wan[LAN_TO_WAN_STAGES] = {
	{"queue", queue_packets},
	{"pull", pull},
	{"segment", segment},
	{"protect", repair_protect},
	{"copy", copy},
	{"seal", seal},
	{"send", send_datagrams},
};
