/* SPDX-License-Identifier: BSD-3-Clause */
/* The ends of a packet's way that are not a port: drops with their examples, and the kernel's mirror. */
#include "worker.h"

const struct lode_counter_desc lode_worker_counter_descs[] = {
	LODE_WORKER_COUNTERS(LODE_COUNTER_DESC_)};
const unsigned lode_worker_n_counters = LODE_ARRAY_LEN(lode_worker_counter_descs);

void lode_worker_held(const struct lode_worker *w, struct lode_worker_held *out)
{
	*out = (struct lode_worker_held){.own_pkts = w->n_own};
	for (unsigned i = 0; i < PENDING_MAX; i++)
		if (w->pending[i].deadline_ns)
			out->own_pkts += w->pending[i].n;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		struct lode_lane_held held;
		if (!lane_of(w, i))
			continue;
		lode_lane_held(lane_of(w, i), &held);
		out->lanes.queued_pkts += held.queued_pkts;
		out->lanes.waiting_pkts += held.waiting_pkts;
		out->lanes.waiting_parts += held.waiting_parts;
	}
}

#define EXAMPLE_GAP_NS (10 * LODE_NS_PER_MS)

/* The first packet lost for a reason, and now and then a later one. */
static void note_example(
	struct lode_worker *w, struct rte_mbuf *m, uint64_t *noted_ns, const char *reason, bool in_lane)
{
	if (*noted_ns && w->now_ns - *noted_ns < EXAMPLE_GAP_NS)
		return;
	struct lode_drop_example example = {
		.now_ns = w->now_ns, .reason = reason, .in_lane = in_lane};
	packet_id(m, &example.id);
	*noted_ns = LODE_MAX(w->now_ns, 1);
	lode_ring_push(w->rings.drops, &example);
}

void drop_packet(struct lode_worker *w, struct rte_mbuf *m, uint64_t *counter)
{
	ptrdiff_t row = counter - (uint64_t *)&w->counters;
	const char *reason = lode_worker_counter_descs[row].name;
	lode_counter_add(counter, 1);
	trace_packet(w, m, "drop", reason);
	note_example(w, m, &w->drop_noted_ns[row], reason, false);
	rte_pktmbuf_free(m);
}

void lane_dropped(void *ctx, struct rte_mbuf *m, unsigned row)
{
	struct lode_worker *w = ctx;
	const char *reason = lode_lane_counter_descs[row].name;
	trace_packet(w, m, "drop", reason);
	note_example(w, m, &w->lane_drop_noted_ns[row], reason, true);
}

void to_mirror(struct lode_worker *w, struct rte_mbuf *m)
{
	struct lode_txq *q = &w->mirrors[lode_pkt(m)->rx_port];
	if (!lode_txq_room(q)) {
		DROP(w, m, mirror_full);
		return;
	}
	if (area(m)->l2_bytes)
		rte_pktmbuf_prepend(m, area(m)->l2_bytes); /* it still stands there */
	trace_packet(w, m, "mirror", NULL);
	q->mbufs[q->n++] = m;
	lode_counter_add(&w->counters.exception, 1);
}
