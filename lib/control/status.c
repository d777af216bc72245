/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <stdio.h>

static void fill_path(const struct lode_control *c, unsigned peer_idx, unsigned path,
	struct lode_path_status *out)
{
	const struct peer_slot *slot = &c->peers[peer_idx];
	const struct lode_path_view *v = &slot->view->paths[path];
	const struct lode_path_summary *s = &slot->summary.paths[path];
	*out = (struct lode_path_status){
		.path = (uint8_t)path,
		.port_idx = v->port_idx,
		.state = s->state,
		.local = {.ip = v->local, .port = v->local_port},
		.remote = {.ip = v->remote, .port = v->remote_port[0]},
		.rtt_us = s->srtt_us,
		.rtt_min_us = s->min_rtt_us,
		.jitter_us = s->jitter_us,
		.owd_us = s->owd_us,
		.loss_ppm = s->loss_ppm,
		.probe_loss_ppm = s->probe_loss_ppm,
		.n_suspects = s->n_suspects,
		.n_downs = s->n_downs,
		.tx_kbps = s->delivery_kbps,
		.rx_kbps = s->rx_kbps,
		.pacing_kbps = s->pacing_kbps,
		.share_kbps = atomic_load_explicit(
			&c->params.shared->rate_share_kbps[peer_idx][path], memory_order_relaxed),
		.mtu_bytes = s->mtu_bytes,
		.last_rx_ns = s->last_rx_ns,
		.tx_pkts = s->tx_pkts,
		.rx_pkts = s->rx_pkts,
		.tx_bytes = s->tx_bytes,
		.rx_bytes = s->rx_bytes,
		.lost_pkts = s->lost_pkts,
	};
	memcpy(out->name, v->name, sizeof(out->name));
}

int lode_control_peer_status(const struct lode_control *c, unsigned peer_idx, uint64_t now_ns,
	struct lode_peer_status *out)
{
	if (peer_idx >= LODE_PEERS_MAX || !c->peers[peer_idx].peer)
		return -ENOENT;
	const struct peer_slot *slot = &c->peers[peer_idx];
	struct lode_peer_info info;
	lode_peer_info(slot->peer, &info);
	*out = (struct lode_peer_status){
		.peer_idx = (uint8_t)peer_idx,
		.established = info.established,
		.initiator = info.initiator,
		.established_ns = info.established_ns,
		.n_handshakes = info.n_handshakes,
		.n_failed_handshakes = info.n_failed,
	};
	memcpy(out->name, c->prepared->config->peers[peer_idx].name, sizeof(out->name));
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		out->choice[cls] = slot->policy[cls].choice;
	out->n_lanes = slot->view ? slot->view->n_lanes : 1;
	for (unsigned l = 0; l < out->n_lanes; l++)
		out->lane_worker[l] = (uint8_t)lane_owner(c, peer_idx, l);
	for (unsigned p = 0; slot->view && p < LODE_LINKS_MAX; p++)
		if (slot->view->paths[p].valid)
			fill_path(c, peer_idx, p, &out->paths[out->n_paths++]);
	return 0;
}
