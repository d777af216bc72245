/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer's state as workers read it. A view never changes: a new one replaces it in the next snapshot. */
#include "control.h"

#include <stdlib.h>

/* A view with the epochs that it holds; `view` first, so that release finds the rest. */
struct owned_view {
	struct lode_peer_view view;
	struct lode_peer_epoch *held[LODE_EPOCHS];
};

static void release_view(struct lode_peer_view *v)
{
	struct owned_view *o = (struct owned_view *)v;
	for (unsigned i = 0; i < LODE_EPOCHS; i++)
		lode_peer_epoch_drop(o->held[i]);
	free(o);
}

static_assert(LODE_EPOCHS == LODE_WIRE_PHASES, "a slot for each key phase of peer");

static struct lode_epoch_view *view_epoch(struct owned_view *o, struct lode_peer_epoch *e)
{
	unsigned slot = e->key_phase % LODE_EPOCHS;
	struct lode_epoch_view *v = &o->view.epochs[slot];
	if (o->held[slot] == e)
		return v;
	lode_peer_epoch_hold(e);
	o->held[slot] = e;
	v->key_phase = e->key_phase;
	v->tx_phase = e->peer_phase;
	v->version = e->version;
	v->rx_session = e->session;
	v->tx_session = e->peer_session;
	v->features = e->features;
	v->generation = e->serial;
	memcpy(v->rx_key, e->rx, sizeof(v->rx_key));
	memcpy(v->tx_key, e->tx, sizeof(v->tx_key));
	return v;
}

static void fill_epochs(struct owned_view *o, const struct lode_peer_state *s)
{
	for (unsigned i = 0; i < LODE_WIRE_PHASES; i++)
		if (s->rx[i])
			view_epoch(o, s->rx[i])->rx_valid = true;
	if (!s->tx)
		return;
	view_epoch(o, s->tx)->tx_valid = true;
	o->view.tx_epoch = s->tx->key_phase % LODE_EPOCHS;
}

static void fill_lanes(const struct lode_control *c, unsigned peer_idx,
	const struct lode_peer_state *s, struct lode_peer_view *v)
{
	const struct lode_peer_epoch *e = s->tx;
	for (unsigned i = 0; i < LODE_WIRE_PHASES && !e; i++)
		e = s->rx[i];
	v->n_lanes = e ? LODE_MIN(e->n_rx_lanes, e->n_tx_lanes) : 1;
	for (unsigned l = 0; l < LODE_LANES_MAX; l++)
		v->lane_owner[l] = (uint8_t)lane_owner(c, peer_idx, l);
}

/* Asks for the MAC address of a path's next hop, not too often. */
static void want_next_hop(struct lode_control *c, struct peer_slot *slot, unsigned path,
	const struct lode_resolve *want, uint64_t now_ns)
{
	if (now_ns < slot->resolve_ns[path])
		return;
	slot->resolve_ns[path] = now_ns + RESOLVE_GAP_NS;
	c->params.resolve(c->params.ctx, want);
}

static void fill_next_hop(struct lode_control *c, struct peer_slot *slot, unsigned path,
	struct lode_path_view *v, uint64_t now_ns)
{
	const struct lode_resolve want = {
		.ip = next_hop(c, v->port_idx, &v->remote), .port_idx = v->port_idx};
	const struct lode_neighbour *n = find_neighbour(c, v->port_idx, &want.ip);
	if (n)
		memcpy(slot->next_hop_mac[path], n->mac, 6);
	else
		want_next_hop(c, slot, path, &want, now_ns);
	memcpy(v->dst_mac, slot->next_hop_mac[path], 6);
}

static void fill_path(struct lode_control *c, struct peer_slot *slot, unsigned path,
	const struct lode_peer_path *from, struct lode_path_view *v, uint64_t now_ns)
{
	const struct lode_config *config = c->prepared->config;
	const struct port_state *port = &c->ports[from->port_idx];
	v->valid = true;
	v->port_idx = from->port_idx;
	memcpy(v->name, from->name, sizeof(v->name));
	memcpy(v->src_mac, port->mac, 6);
	v->vlan = config->ports[from->port_idx].vlan;
	v->link_mtu_bytes = port->mtu_bytes;
	v->up_kbps = config->ports[from->port_idx].up_kbps;
	v->local_port = config->udp_port;
	for (unsigned l = 0; l < LODE_LANES_MAX; l++)
		v->remote_port[l] = from->remote[l].port;
	const struct lode_ip *local =
		port_address(c, from->port_idx, lode_ip_is_v4(&from->remote[0].ip));
	if (lode_ip_is_none(&from->remote[0].ip) || !local || !port->up)
		return; /* nothing can be sent yet: remote stays none */
	v->local = *local;
	v->remote = from->remote[0].ip;
	fill_next_hop(c, slot, path, v, now_ns);
}

static bool make_view(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	const struct lode_peer_state *s = lode_peer_state(slot->peer);
	struct owned_view *o = calloc(1, sizeof(*o));
	if (!o)
		return false; /* the old view stays; tried again by the next poll */
	o->view.refs = 1;
	o->view.release = release_view;
	o->view.peer_idx = (uint8_t)peer_idx;
	o->view.association = s->association;
	fill_epochs(o, s);
	fill_lanes(c, peer_idx, s, &o->view);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (s->paths[p].valid)
			fill_path(c, slot, p, &s->paths[p], &o->view.paths[p], now_ns);
	lode_peer_view_unref(slot->view);
	slot->view = &o->view;
	slot->view_generation = s->generation;
	slot->view_serial = c->serial + 1;
	slot->installed_told = false;
	slot->stale = true;
	c->budgets_stale = UINT8_MAX;
	return true;
}

/* Next hops that nobody answered for yet are asked for again. */
static void ask_again(struct lode_control *c, struct peer_slot *slot, uint64_t now_ns)
{
	static const uint8_t no_mac[6];
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lode_path_view *v = &slot->view->paths[p];
		if (!v->valid || lode_ip_is_none(&v->remote) || memcmp(v->dst_mac, no_mac, 6))
			continue;
		const struct lode_resolve want = {
			.ip = next_hop(c, v->port_idx, &v->remote), .port_idx = v->port_idx};
		want_next_hop(c, slot, p, &want, now_ns);
	}
}

bool refresh_views(struct lode_control *c, uint64_t now_ns)
{
	bool changed = false, all_stale = c->views_stale;
	c->views_stale = false; /* asking for a next hop may set it again */
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		struct peer_slot *slot = &c->peers[i];
		if (!slot->peer)
			continue;
		bool stale = all_stale || !slot->view ||
			     slot->view_generation != lode_peer_state(slot->peer)->generation;
		if (stale && make_view(c, i, now_ns))
			changed = true;
		else if (stale)
			c->views_stale = true;
		else
			ask_again(c, slot, now_ns);
	}
	return changed;
}
