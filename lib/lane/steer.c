/* SPDX-License-Identifier: BSD-3-Clause */
/* Which path the next packet takes. */
#include "lane.h"

#define FLOW_MOVE_NS  (2 * LODE_NS_PER_S) /* a flow moves back to its preferred path this seldom */
#define FLOW_STUCK_NS (10 * LODE_NS_PER_MS)
#define FLOW_GAP_NS   (150 * LODE_NS_PER_MS) /* a move waits at most so long for a gap in the flow */

unsigned steer_any(
	struct lode_lane *l, uint8_t mask, uint8_t preferred, bool metered, uint64_t now_ns)
{
	if (preferred < LODE_LINKS_MAX && (mask & 1u << preferred) &&
		paths_granted(l, preferred, metered, now_ns))
		return preferred;
	for (unsigned i = 0; i < l->n_by_delay; i++) {
		unsigned p = l->by_delay[i];
		if ((mask & 1u << p) && paths_granted(l, p, metered, now_ns))
			return p;
	}
	return LODE_NO_PATH;
}

/* Earliest completion first (Lim et al., CoNEXT 2017): a slower path is worth it only for packets behind a
 * queue that the fastest one would take longer to drain than the slower one is slower; or that waited so
 * long already. */
static bool is_worth(
	const struct lode_lane *l, unsigned cls, unsigned p, struct rte_mbuf *m, uint64_t now_ns)
{
	const struct class_paths *c = &l->class_paths[cls];
	uint64_t hold_ns = paths_hold_ns(l, c, p);
	uint64_t bytes_per_ms = l->path[c->fastest].pacing_bps / 8000;
	return l->queue[cls].bytes * LODE_NS_PER_MS >= hold_ns * bytes_per_ms ||
	       now_ns - lode_pkt(m)->enqueued_ns >= hold_ns;
}

/* The flow should leave path `at` for the preferred one: when a pause in it is longer than the difference of
 * their delays (a flowlet: Kandula et al., CCR 2007), so that no packet overtakes another; or when such a
 * pause does not come. */
static bool should_move(const struct lode_lane *l, const struct class_paths *c,
	const struct lode_lane_flow *flow, unsigned at, uint64_t now_ns)
{
	unsigned to = c->preferred;
	if (to == at || to >= LODE_LINKS_MAX || !(c->usable & 1u << to) || c->new_flows ||
		now_ns - flow->moved_ns <= FLOW_MOVE_NS)
		return false;
	if (now_ns - c->preferred_ns > FLOW_GAP_NS)
		return true;
	uint64_t from_ns = l->path[at].delay_ns, to_ns = l->path[to].delay_ns;
	uint64_t skew_ns = from_ns > to_ns ? from_ns - to_ns : 0;
	uint32_t pause_ms = (uint32_t)(now_ns / LODE_NS_PER_MS) - flow->sent_ms;
	return pause_ms * LODE_NS_PER_MS > skew_ns + LODE_NS_PER_MS;
}

/* Path for the packet at the head of its flow, LODE_NO_PATH: not now. A flow that keeps its path leaves it
 * when the path is no longer usable, when its preferred one is, or when packets get stuck behind its lack of
 * credit: the receiver keeps the order in any case. */
unsigned steer_choose(
	struct lode_lane *l, unsigned cls, struct rte_mbuf *m, bool metered, uint64_t now_ns)
{
	const struct class_paths *c = &l->class_paths[cls];
	const struct lode_lane_flow *flow = lode_pkt(m)->flow;
	if (is_sticky(cls) && flow != NULL && flow->path != 0 && flow->lane_tag == l->tag) {
		unsigned at = flow->path - 1u;
		bool better = should_move(l, c, flow, at, now_ns);
		bool stuck = now_ns - lode_pkt(m)->enqueued_ns > FLOW_STUCK_NS;
		if ((c->usable & 1u << at) && !better) {
			if (paths_granted(l, at, metered, now_ns))
				return at;
			if (!stuck)
				return LODE_NO_PATH;
		}
	}
	unsigned p = steer_any(l, c->usable, c->preferred, metered, now_ns);
	if (p == LODE_NO_PATH || is_sticky(cls) || p == c->preferred || p == c->fastest)
		return p;
	return is_worth(l, cls, p, m, now_ns) ? p : LODE_NO_PATH;
}
