/* SPDX-License-Identifier: BSD-3-Clause */
/* Stage: which packets leave their class queues now, over which path, and their place in the sequences. */
#include "fq.h"

#define SKIPS_MAX   32	/* flows looked at whose path is busy, per class and run */
#define FLOW_GAP_MS 250 /* what left so long ago has arrived or is lost: nobody waits for it */

/* Path for the packet at the head of its flow; LODE_NO_PATH: not now. */
static inline unsigned steer(
	struct lode_lane *l, unsigned cls, struct rte_mbuf *m, bool metered, uint64_t now_ns)
{
	const struct class_paths *c = &l->class_paths[cls];
	const struct lode_lane_flow *flow = lode_pkt(m)->flow;
	/* Nearly always: the flow is on a path that it keeps, and no other one is preferred. */
	if (is_sticky(cls) && flow != NULL && flow->path != 0 && flow->lane_tag == l->tag) {
		unsigned at = flow->path - 1u;
		if ((c->preferred == at || c->preferred >= LODE_LINKS_MAX) &&
			(c->usable & 1u << at) && paths_granted(l, at, metered, now_ns))
			return at;
	}
	return steer_choose(l, cls, m, metered, now_ns);
}
/* The flow's newest segment is [first, last]; returns the distance to the one before it. */
static inline uint16_t chain_flow(struct lode_lane *l, struct lode_lane_flow *flow, unsigned cls,
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

static inline uint8_t outer_tos(const struct class_queue *q, const struct rte_mbuf *m)
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
	struct flow_queue *turn;
	struct rte_mbuf *next, *all = NULL;
	while ((turn = fq_peek(l, cls, now_ns)) != NULL &&
		goes_along(l, turn->head, cls, head->path, limit - used, now_ns)) {
		if ((next = fq_take(l, cls, turn, now_ns)) == NULL)
			continue;
		if (all == NULL) {
			if ((all = rte_pktmbuf_alloc(l->env.mbufs)) == NULL) {
				lane_drop(l, next, &l->counters.drop_no_mbuf);
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
static inline struct rte_mbuf *number_segment(
	struct lode_lane *l, struct rte_mbuf *m, unsigned cls, unsigned path, uint64_t now_ns)
{
	struct class_queue *q = &l->queue[cls];
	struct lode_pkt *pkt = lode_pkt(m);
	unsigned n = 1;
	if (m->data_len > l->segment_bytes)
		n = lode_wire_mtu_parts(m->data_len, l->segment_bytes);
	if (lode_unlikely(n == 0)) {
		lane_drop(l, m, &l->counters.drop_too_long);
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
	unsigned path = LODE_NO_PATH;
	bool sticky = is_sticky(cls), stays = false;
	struct flow_queue *turn;
	struct rte_mbuf *m;
	if (c->usable == 0)
		return;
	for (unsigned skips = 0; skips < SKIPS_MAX && *n_segments + worst <= LODE_BURST_MAX;) {
		if (cls == LODE_MANAGEMENT && l->management.bytes <= 0)
			return;
		if ((turn = fq_peek(l, cls, b->now_ns)) == NULL)
			return;
		if (!stays || l->credit[path] <= 0) {
			path = steer(l, cls, turn->head, metered, b->now_ns);
			/* An elastic class would be steered there again while there is credit, since the
			 * paths before it have none until the next burst. */
			stays = !sticky && (path == c->preferred || path == c->fastest);
		}
		if (path == LODE_NO_PATH) {
			if (!sticky)
				return;
			fq_skip(l, cls);
			skips++;
			continue;
		}
		if ((m = fq_take(l, cls, turn, b->now_ns)) == NULL ||
			(m = number_segment(l, m, cls, path, b->now_ns)) == NULL)
			continue;
		paths_spend(
			l, path, metered, repair_cost(l, cls, m->data_len + LODE_WIRE_OVERHEAD));
		l->n_pulled++;
		c->n_sent[path]++;
		*(sticky ? &l->path[path].urgent_bytes : &l->path[path].other_bytes) += m->data_len;
		if (cls == LODE_MANAGEMENT)
			l->management.bytes -= m->data_len;
		*n_segments += lode_pkt(m)->segment.n_parts * times;
		b->pkts[b->n++] = m;
	}
}

static unsigned waiting_classes(const struct lode_lane *l)
{
	unsigned mask = 0;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		mask |= (l->queue[cls].pkts > 0) << cls;
	return mask;
}

/* Strict order of classes. Real-time classes come first and need no credit, but only as much as the meters
 * allow; what is beyond that comes behind everyone else. */
void pull_packets(struct lode_lane *l, struct lode_burst *b)
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
	unsigned waiting = waiting_classes(l), n_segments = b->n;
	if (waiting == 0 || l->segment_bytes == 0)
		return;
	l->n_pulled = 0;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(order); i++) {
		unsigned cls = order[i].cls;
		if (!(waiting & 1u << cls))
			continue;
		if (cls == LODE_MANAGEMENT)
			bucket_fill(&l->management, b->now_ns);
		pull_class(l, b, cls, order[i].metered, &n_segments);
	}
	lode_counter_add(&l->counters.tx_pkts, l->n_pulled);
}
