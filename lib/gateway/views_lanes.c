/* SPDX-License-Identifier: BSD-3-Clause */
/* The view of lanes: which worker has them, whether flows may take them, what goes over each. */
#include "views.h"

#include <stdio.h>

static uint64_t granted_kbps(const struct gateway *g, unsigned peer_idx, unsigned lane)
{
	uint64_t sum = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const union lode_path_grant grant = {
			.word = atomic_load_explicit(
				&g->shared->grant[peer_idx][lane][p], memory_order_relaxed)};
		sum += grant.kbps;
	}
	return sum;
}

static void put_lane(const struct gateway *g, const struct lode_peer_status *s, unsigned lane,
	struct lode_json *j)
{
	char key[LODE_NAME_MAX + 8];
	const union lode_lane_choice choice = {
		.word = atomic_load_explicit(
			&g->shared->lane_choice[s->peer_idx], memory_order_relaxed)};
	unsigned worker = s->lane_worker[lane];
	const struct lode_lane *l = lode_worker_lane(g->workers[worker].worker, s->peer_idx);
	static const struct lode_lane_counters none;
	const struct lode_lane_counters *c = l ? lode_lane_counters(l) : &none;
	snprintf(key, sizeof(key), "%s/%u", s->name, lane);
	lode_json_object(j, key);
	lode_json_u64(j, "worker", worker);
	lode_json_bool(j, "usable", lane == 0 || choice.usable >> lane & 1);
	lode_json_bool(j, "new_flows", lane == 0 || choice.open >> lane & 1);
	lode_json_u64(j, "granted_kbps", granted_kbps(g, s->peer_idx, lane));
	lode_json_u64(j, "lan_pkts", lode_counter_read(&c->lan_pkts));
	lode_json_u64(j, "tx_segments", lode_counter_read(&c->tx_segments));
	lode_json_u64(j, "tx_bytes", lode_counter_read(&c->tx_bytes));
	lode_json_u64(j, "rx_segments", lode_counter_read(&c->rx_segments));
	lode_json_u64(j, "rx_bytes", lode_counter_read(&c->rx_bytes));
	lode_json_u64(j, "delivered_pkts", lode_counter_read(&c->delivered_pkts));
	lode_json_close_object(j);
}

int view_lanes(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_peer_status s;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_peer_status(g->control, i, now_ns(), &s) ||
			(params[0] && strcmp(params, s.name)))
			continue;
		for (unsigned lane = 0; lane < s.n_lanes; lane++)
			put_lane(g, &s, lane, j);
	}
	return check_peer(g, params, err);
}
