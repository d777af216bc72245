/* SPDX-License-Identifier: BSD-3-Clause */
/* Promises about order and time, for flows that are sure of their class.
 *
 * Order: a packet comes behind a later one of its flow only when, since it was sent, some lane on the way gave
 * up waiting (a deadline passed, it had no slot to wait in, or the parts of a packet between the two did
 * not become whole in time, so that those behind it went on), the flow paused so long that nobody waits any
 * more, or a gateway on the way was upset: started again, stalled, suspended, reconfigured.
 *
 * Time: no packet is older on arrival than what its class allows on each leg (queue limit, reorder limit, the
 * time for parts to become whole, deadline for repair) and what the network took: nothing overstays its deadline
 * in a gateway. */
#include "sim.h"

#define FLOW_GAP_NS \
	(250 * LODE_NS_PER_MS) /* as the sending lane: no packet is told to wait for such an old one */
#define PARTS_NS (100 * LODE_NS_PER_MS)
#define SLACK_NS \
	(25 * LODE_NS_PER_MS) /* loops, sweeps of queues each 10 ms, a neighbour to resolve */

/* ---- what is noted on the way ---- */

void watch_slow(struct lode_sim *s, uint64_t until_ns, uint64_t ns)
{
	uint64_t second = until_ns / LODE_NS_PER_S;
	unsigned i = (unsigned)(second % SLOW_SECONDS);
	if (s->slow[i].second != second)
		s->slow[i].longest_ns = 0;
	s->slow[i].second = second;
	s->slow[i].longest_ns = LODE_MAX(s->slow[i].longest_ns, ns);
}

/* The longest time on a wire of anything that came off one since. */
static uint64_t slowest_since(const struct lode_sim *s, uint64_t since_ns)
{
	uint64_t longest_ns = 0, since_s = since_ns / LODE_NS_PER_S;
	for (unsigned i = 0; i < SLOW_SECONDS; i++)
		if (s->slow[i].second >= since_s)
			longest_ns = LODE_MAX(longest_ns, s->slow[i].longest_ns);
	return longest_ns;
}

void watch_leaves(struct site *site)
{
	struct lode_sim *s = site->sim;
	unsigned n_peers = lode_control_config(site->control)->n_peers;
	for (unsigned p = 0; p < n_peers; p++) {
		uint64_t n = 0;
		for (unsigned w = 0; w < site->n_workers; w++) {
			const struct lode_lane *lane = lode_worker_lane(site->workers[w], p);
			if (lane)
				n += lode_lane_counters(lane)->rx_gave_up +
				     lode_lane_counters(lane)->rx_wait_skipped +
				     lode_lane_counters(lane)->drop_rx_parts;
		}
		if (n != s->n_leaves[site->idx][p])
			s->leave_ns[site->idx][p] = s->now_ns;
		s->n_leaves[site->idx][p] = n;
	}
}

/* ---- the way of a flow ---- */

struct way {
	unsigned n_legs;
	struct {
		unsigned from, to;
	} legs[2];
};

static struct way way_of(const struct lode_sim *s, const struct flow *f)
{
	unsigned src = f->params.src, dst = f->params.dst;
	if (site_reaches(s, src, dst))
		return (struct way){1, {{src, dst}}};
	return (struct way){2, {{src, 0}, {0, dst}}};
}

static uint64_t last_leave_ns(const struct lode_sim *s, const struct way *way)
{
	uint64_t at = 0;
	for (unsigned i = 0; i < way->n_legs; i++) {
		int peer = lode_sim_peer_idx(s, way->legs[i].to, way->legs[i].from);
		if (peer >= 0)
			at = LODE_MAX(at, s->leave_ns[way->legs[i].to][peer]);
	}
	return at;
}

static uint64_t last_upset_ns(const struct lode_sim *s, const struct way *way)
{
	uint64_t at = s->sites[way->legs[0].from].upset_ns;
	for (unsigned i = 0; i < way->n_legs; i++)
		at = LODE_MAX(at, s->sites[way->legs[i].to].upset_ns);
	return at;
}

/* ---- the checks ---- */

static bool in_time(
	const struct lode_sim *s, const struct flow *f, const struct way *way, uint64_t sent_ns)
{
	uint64_t allowed_ns = SLACK_NS;
	for (unsigned i = 0; i < way->n_legs; i++) {
		unsigned cls = f->params.sure_class - 1u;
		const struct lode_config_class *queue = &lode_control_config(
						       s->sites[way->legs[i].from].control)
								 ->classes[cls],
					       *order = &lode_control_config(
						       s->sites[way->legs[i].to].control)
								 ->classes[cls];
		allowed_ns += (queue->queue_limit_us + order->reorder_limit_us) * LODE_NS_PER_US +
			      PARTS_NS + 2 * slowest_since(s, sent_ns);
		if (order->repair != LODE_REPAIR_OFF) /* asked for and sent again, or computed */
			allowed_ns +=
				order->deadline_us * LODE_NS_PER_US + 4 * slowest_since(s, sent_ns);
	}
	return s->now_ns - sent_ns <= allowed_ns;
}

static void note_gap(struct watch *w, uint64_t first, uint64_t last, uint64_t leave_ns)
{
	unsigned i = w->n_gaps++ % WATCH_GAPS;
	w->gaps[i].first = first;
	w->gaps[i].last = last;
	w->gaps[i].leave_ns = leave_ns;
}

/* When those that overtook the packet had last got leave to; what is forgotten had. */
static uint64_t leave_of(const struct watch *w, uint64_t seq)
{
	unsigned n = LODE_MIN(w->n_gaps, WATCH_GAPS);
	for (unsigned i = 0; i < n; i++)
		if (w->gaps[i].first <= seq && seq <= w->gaps[i].last)
			return w->gaps[i].leave_ns;
	return LODE_NEVER_NS;
}

static bool in_order(const struct lode_sim *s, struct watch *w, const struct way *way, uint64_t seq,
	uint64_t sent_ns)
{
	if (!w->started || seq > w->highest) {
		if (w->started && seq > w->highest + 1)
			note_gap(w, w->highest + 1, seq - 1, last_leave_ns(s, way));
		w->started = true;
		w->highest = seq;
		return true;
	}
	return leave_of(w, seq) >= sent_ns || last_upset_ns(s, way) >= sent_ns ||
	       s->now_ns - sent_ns > FLOW_GAP_NS;
}

void watch_arrival(struct lode_sim *s, struct flow *f, uint64_t seq, uint64_t sent_ns)
{
	if (!f->params.sure_class)
		return;
	struct way way = way_of(s, f);
	f->stats.disordered_pkts += !in_order(s, &f->watch, &way, seq, sent_ns);
	f->stats.overdue_pkts += !in_time(s, f, &way, sent_ns);
}
