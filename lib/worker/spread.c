/* SPDX-License-Identifier: BSD-3-Clause */
/* Which lane of its peer a packet takes, and the way to the worker that owns it. Order is kept within a lane,
 * so a flow stays on its lane for its life. It changes only when its lane is closed, or when its class has
 * changed and the flow paused for so long that all of it has arrived. */
#include "worker.h"

#define PAUSE_NS (250 * LODE_NS_PER_MS) /* on top of what its class may wait in a queue */

static unsigned pick(uint8_t open, uint32_t hash)
{
	unsigned n = (unsigned)__builtin_popcount(open), lane;
	unsigned skip = (unsigned)((uint64_t)hash * n >> 32);
	LODE_FOREACH_BIT (lane, open)
		if (skip-- == 0)
			return lane;
	return 0;
}

static bool is_paused(const struct lode_worker *w, const struct flow *f, uint64_t now_ns)
{
	uint64_t queue_ns = w->snapshot->config->classes[f->cls].queue_limit_us * LODE_NS_PER_US;
	return now_ns - LODE_MIN(f->last_ns, now_ns) > PAUSE_NS + queue_ns;
}

void choose_of_several(struct lode_worker *w, struct rte_mbuf *m, struct flow *f, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	struct worker_area *a = area(m);
	const struct lode_peer_view *view = w->snapshot->peers[a->peer_idx];
	const union lode_lane_choice choice = {
		.word = atomic_load_explicit(
			&w->params.shared->lane_choice[a->peer_idx], memory_order_relaxed)};
	unsigned cls = a->from_wan ? pkt->cls : f->cls;
	bool may_leave =
		(cls == LODE_BULK || cls == LODE_STREAMING) && pkt->rx_port != LODE_HOST_PORT;
	unsigned lane = f->lane_id;
	if (f->n_pkts == 0 || (may_leave != (lane != 0) && is_paused(w, f, now_ns)))
		lane = may_leave ? pick(choice.open, pkt->flow_hash) : 0;
	if (lane >= view->n_lanes || !(choice.usable & 1u << lane))
		lane = 0;
	f->lane_id = (uint8_t)lane;
	a->lane_id = (uint8_t)lane;
}

void spread(struct lode_worker *w, struct packets *p)
{
	unsigned n = 0;
	for (unsigned i = 0; i < p->n; i++) {
		struct rte_mbuf *m = p->pkts[i];
		const struct worker_area *a = area(m);
		const struct lode_peer_view *view = w->snapshot->peers[a->peer_idx];
		unsigned lane = view && a->lane_id < view->n_lanes ? a->lane_id : 0;
		if (view && view->lane_owner[lane] != w->params.worker_idx) {
			to_worker(w, view->lane_owner[lane], m, HANDOFF_LANE);
			continue;
		}
		p->ip[n] = p->ip[i];
		p->pkts[n++] = m;
	}
	p->n = n;
}
