/* SPDX-License-Identifier: BSD-3-Clause */
/* Which peers this worker serves, and when their lanes are due. */
#include "worker.h"

/* The lane of the peer that belongs to this worker, or -1. */
static int our_lane_id(const struct lode_worker *w, const struct lode_peer_view *view)
{
	for (unsigned l = 0; l < view->n_lanes; l++)
		if (view->lane_owner[l] == w->params.worker_idx)
			return (int)l;
	return -1;
}

static void keep_counters(struct lode_worker *w, const struct lode_lane *lane)
{
	const uint64_t *from = (const uint64_t *)lode_lane_counters(lane);
	for (unsigned i = 0; i < lode_lane_n_counters; i++)
		lode_counter_add((uint64_t *)&w->gone + i, from[i]);
}

/* Under the view that the lane had: the newest snapshot may not know the peer any more. */
static void close_lane(struct lode_worker *w, unsigned peer_idx, bool removed, uint64_t now_ns)
{
	struct lode_lane *lane = lane_of(w, peer_idx);
	if (!lane)
		return;
	if (removed)
		lode_lane_close(lane, LODE_WIRE_CLOSE_REMOVED, now_ns);
	lode_lane_flush(lane);
	keep_counters(w, lane);
	atomic_store_explicit(&w->lanes[peer_idx], NULL, memory_order_release);
	heap_remove(&w->due, (uint8_t)peer_idx);
	w->touched &= ~(1ull << peer_idx);
}

static void open_lane(struct lode_worker *w, unsigned peer_idx, unsigned lane_id, uint64_t now_ns)
{
	void *memory = (uint8_t *)w->lane_memory + peer_idx * lode_lane_bytes();
	struct lode_lane *lane = lode_lane_init(memory, &w->env, peer_idx, lane_id, now_ns);
	w->lane_ids[peer_idx] = (uint8_t)lane_id;
	memcpy(w->lane_keys[peer_idx], w->snapshot->config->peers[peer_idx].public_key,
		LODE_KEY_BYTES);
	atomic_store_explicit(&w->lanes[peer_idx], lane, memory_order_release);
}

/* A lane outlives the loss of its session; not the removal of its peer, nor a change of its number. */
static void adopt_peer(struct lode_worker *w, unsigned peer_idx, uint64_t now_ns)
{
	const struct lode_config *c = w->snapshot->config;
	const struct lode_peer_view *view = w->snapshot->peers[peer_idx];
	bool same_peer =
		peer_idx < c->n_peers &&
		!memcmp(w->lane_keys[peer_idx], c->peers[peer_idx].public_key, LODE_KEY_BYTES);
	int lane_id = view ? our_lane_id(w, view) : w->lane_ids[peer_idx];
	if (!same_peer || lane_id != w->lane_ids[peer_idx])
		close_lane(w, peer_idx, !same_peer, now_ns);
	if (view && lane_id >= 0 && !lane_of(w, peer_idx))
		open_lane(w, peer_idx, (unsigned)lane_id, now_ns);
	if (lane_of(w, peer_idx)) {
		lode_lane_set_snapshot(lane_of(w, peer_idx), w->snapshot, now_ns);
		w->touched |= 1ull << peer_idx;
	}
}

void adopt_snapshot(struct lode_worker *w, uint64_t now_ns)
{
	const struct lode_snapshot *s =
		atomic_load_explicit(&w->params.shared->snapshot, memory_order_acquire);
	if (lode_likely(s == w->snapshot && (!s || s->serial == atomic_load_explicit(&w->serial,
									memory_order_relaxed))))
		return;
	w->snapshot = s;
	if (s->rules != w->rules) {
		w->rules = s->rules;
		w->rules_serial++;
	}
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (i < s->config->n_peers || lane_of(w, i))
			adopt_peer(w, i, now_ns);
	pending_retry(w, now_ns);
	atomic_store_explicit(&w->serial, s->serial, memory_order_release);
}

static void poll_lane(struct lode_worker *w, unsigned peer_idx, uint64_t now_ns)
{
	heap_set(&w->due, (uint8_t)peer_idx, lode_lane_poll(lane_of(w, peer_idx), now_ns));
}

uint64_t poll_lanes(struct lode_worker *w, uint64_t now_ns)
{
	uint64_t touched = w->touched;
	unsigned peer_idx;
	w->touched = 0;
	LODE_FOREACH_BIT (peer_idx, touched)
		poll_lane(w, peer_idx, now_ns);
	for (unsigned i = 0; i < LODE_PEERS_MAX && heap_first_ns(&w->due) <= now_ns; i++)
		poll_lane(w, w->due.items[0], now_ns);
	return heap_first_ns(&w->due);
}

void lode_worker_close(struct lode_worker *w, uint64_t now_ns)
{
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (lane_of(w, i))
			lode_lane_close(lane_of(w, i), LODE_WIRE_CLOSE_SHUTDOWN, now_ns);
}
