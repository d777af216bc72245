/* SPDX-License-Identifier: BSD-3-Clause */
/* The peers of the configuration: made, changed, fed with what workers heard. */
#include "control.h"

#include <stdlib.h>

/* lode_peer_host_params.send: to worker 0, which has a queue on every port. */
static void send_datagram(void *ctx, const struct lode_peer_datagram *from)
{
	struct lode_control *c = ctx;
	const struct lode_ip *local =
		port_address(c, from->port_idx, lode_ip_is_v4(&from->remote.ip));
	if (!c->ports[from->port_idx].up || from->len > LODE_DATAGRAM_MAX ||
		(lode_ip_is_none(&from->local.ip) && !local))
		return; /* as if lost: it is sent again */
	struct lode_datagram d;
	memset(&d, 0, offsetof(struct lode_datagram, data));
	d.local = lode_ip_is_none(&from->local.ip) ? *local : from->local.ip;
	d.local_port = from->local.port ? from->local.port : c->prepared->config->udp_port;
	d.remote = from->remote.ip;
	d.remote_port = from->remote.port;
	d.next_hop = next_hop(c, from->port_idx, &from->remote.ip);
	d.port_idx = from->port_idx;
	d.len = from->len;
	memcpy(d.data, from->data, from->len);
	lode_ring_push(c->params.rings[0]->from_control, &d);
}

static void host_random(void *ctx, void *buf, size_t len)
{
	struct lode_control *c = ctx;
	c->params.random(c->params.ctx, buf, len);
}

static int host_save_counter(void *ctx, uint64_t counter)
{
	struct lode_control *c = ctx;
	return c->params.save_counter(c->params.ctx, counter);
}

int make_host(struct lode_control *c, struct lode_err *err)
{
	struct lode_peer_host_params params = {.aead = c->params.aead,
		.rekey_ns = c->params.rekey_ns,
		.udp_port = c->prepared->config->udp_port,
		.features = LODE_WIRE_FEATURE_REPAIR,
		.counter = c->params.counter,
		.ctx = c,
		.random = host_random,
		.save_counter = host_save_counter,
		.send = send_datagram};
	memcpy(params.private_key, c->params.private_key, sizeof(params.private_key));
	c->host = lode_peer_host_new(&params, err);
	explicit_bzero(&params, sizeof(params));
	return c->host ? 0 : (err && err->code ? err->code : -ENOMEM);
}

/* ---- configuration ---- */

static unsigned fill_links(const struct lode_config_peer *from, struct lode_peer_link *links)
{
	for (unsigned i = 0; i < from->n_links; i++) {
		links[i] = (struct lode_peer_link){
			.port_idx = from->links[i].port_idx, .remote = from->links[i].remote};
		memcpy(links[i].name, from->links[i].name, sizeof(links[i].name));
	}
	return from->n_links;
}

/* Each on its worker's port; no worker has two lanes of a peer. */
static struct lode_wire_lanes announced_lanes(const struct lode_control *c, unsigned peer_idx)
{
	const struct lode_config *config = c->prepared->config;
	struct lode_wire_lanes lanes = {
		.n_lanes = (uint8_t)LODE_MIN((unsigned)config->lanes, c->params.n_workers)};
	for (unsigned l = 0; l < lanes.n_lanes; l++)
		lanes.udp_port[l] = (uint16_t)(config->udp_port + lane_owner(c, peer_idx, l));
	return lanes;
}

static int make_lane_slots(struct lode_control *c, unsigned i, unsigned n)
{
	struct peer_slot *slot = &c->peers[i];
	for (unsigned l = 0; l < n; l++) {
		if (!slot->lanes[l])
			slot->lanes[l] = aligned_alloc(LODE_CACHE_LINE, sizeof(*slot->lanes[l]));
		if (!slot->lanes[l])
			return -ENOMEM;
		memset(slot->lanes[l], 0, sizeof(*slot->lanes[l]));
	}
	return 0;
}

static void show_lane_slots(struct lode_control *c, unsigned i, bool show)
{
	struct lode_shared *shared = c->params.shared;
	for (unsigned l = 0; l < LODE_LANES_MAX; l++) {
		struct lane_slot *s = show ? c->peers[i].lanes[l] : NULL;
		atomic_store_explicit(
			&shared->summary[i][l], s ? &s->summary : NULL, memory_order_release);
		atomic_store_explicit(
			&shared->report[i][l], s ? &s->report : NULL, memory_order_release);
	}
}

static int add_peer(struct lode_control *c, unsigned i, uint64_t now_ns, struct lode_err *err)
{
	const struct lode_config_peer *from = &c->prepared->config->peers[i];
	struct peer_slot *slot = &c->peers[i];
	struct lode_peer_params params = {.has_psk = from->has_psk, .lanes = announced_lanes(c, i)};
	if (make_lane_slots(c, i, params.lanes.n_lanes))
		return lode_err_set(err, -ENOMEM, "peer %s: no memory", from->name);
	memcpy(params.public_key, from->public_key, sizeof(params.public_key));
	memcpy(params.psk, from->psk, sizeof(params.psk));
	params.n_links = (uint8_t)fill_links(from, params.links);
	slot->peer = lode_peer_new(c->host, &params, now_ns, err);
	explicit_bzero(&params, sizeof(params));
	if (!slot->peer)
		return lode_err_prefix(err, "peer %s", from->name);
	show_lane_slots(c, i, true);
	return 0;
}

/* The lanes' slots stay: one may still be written to. */
static void remove_peer(struct lode_control *c, unsigned i)
{
	struct peer_slot *slot = &c->peers[i];
	if (slot->peer)
		lode_peer_free(slot->peer);
	lode_peer_view_unref(slot->view);
	selector_free(c, i);
	c->budgets_stale = UINT8_MAX;
	struct lane_slot *lanes[LODE_LANES_MAX];
	memcpy(lanes, slot->lanes, sizeof(lanes));
	memset(slot, 0, sizeof(*slot));
	memcpy(slot->lanes, lanes, sizeof(lanes));
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		atomic_store_explicit(&c->params.shared->choice[i][cls], 0, memory_order_relaxed);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		atomic_store_explicit(
			&c->params.shared->rate_share_kbps[i][p], 0, memory_order_relaxed);
}

static bool same_peer(const struct lode_config *from, const struct lode_config *to, unsigned i)
{
	if (!from || i >= from->n_peers || i >= to->n_peers)
		return false;
	const struct lode_config_peer *a = &from->peers[i], *b = &to->peers[i];
	return !memcmp(a->public_key, b->public_key, sizeof(a->public_key)) &&
	       a->has_psk == b->has_psk && !memcmp(a->psk, b->psk, sizeof(a->psk));
}

static int update_peer(struct lode_control *c, unsigned i, uint64_t now_ns, struct lode_err *err)
{
	const struct lode_config_peer *to = &c->prepared->config->peers[i];
	struct lode_peer_link links[LODE_LINKS_MAX];
	struct lode_wire_lanes lanes = announced_lanes(c, i);
	unsigned n = fill_links(to, links);
	return lode_peer_set_links(c->peers[i].peer, links, n, &lanes, now_ns, err);
}

static bool same_links(const struct lode_config_peer *a, const struct lode_config_peer *b)
{
	if (a->n_links != b->n_links)
		return false;
	for (unsigned i = 0; i < a->n_links; i++) {
		const struct lode_config_link *x = &a->links[i], *y = &b->links[i];
		if (strcmp(x->name, y->name) || x->port_idx != y->port_idx ||
			memcmp(&x->remote.ip, &y->remote.ip, sizeof(x->remote.ip)) ||
			x->remote.port != y->remote.port)
			return false;
	}
	return true;
}

int sync_peers(struct lode_control *c, const struct lode_config *from, uint64_t now_ns,
	struct lode_err *err)
{
	const struct lode_config *to = c->prepared->config;
	int rc = 0;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (c->peers[i].peer && !same_peer(from, to, i))
			remove_peer(c, i);
	for (unsigned i = 0; i < to->n_peers && !rc; i++) {
		if (!c->peers[i].peer)
			rc = add_peer(c, i, now_ns, err);
		else if (!same_links(&from->peers[i], &to->peers[i]))
			rc = update_peer(c, i, now_ns, err);
		if (!rc && selector_sync(c, i, now_ns))
			rc = lode_err_set(err, -ENOMEM, "peer %s: no memory", to->peers[i].name);
	}
	return rc;
}

void free_peers(struct lode_control *c)
{
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		remove_peer(c, i);
		show_lane_slots(c, i, false);
		for (unsigned l = 0; l < LODE_LANES_MAX; l++)
			free(c->peers[i].lanes[l]);
	}
	if (c->host)
		lode_peer_host_free(c->host);
}

/* ---- what workers heard ---- */

static void take_datagram(struct lode_control *c, const struct lode_datagram *d, uint64_t now_ns)
{
	const struct lode_peer_datagram in = {
		.local = {.ip = d->local, .port = d->local_port},
		.remote = {.ip = d->remote, .port = d->remote_port},
		.data = d->data,
		.len = d->len,
		.port_idx = d->port_idx,
	};
	if (lode_peer_host_input(c->host, now_ns, &in) < 0)
		lode_counter_add(&c->counters.handshakes_refused, 1);
}

void take_rings(struct lode_control *c, uint64_t now_ns)
{
	struct lode_datagram datagram;
	struct lode_peer_message msg;
	c->first_ring++; /* a flood on one ring must not starve the others */
	for (unsigned i = 0; i < c->params.n_workers; i++) {
		const struct lode_worker_rings *rings =
			c->params.rings[(c->first_ring + i) % c->params.n_workers];
		while (!lode_peer_host_busy(c->host) && lode_ring_pop(rings->to_control, &datagram))
			take_datagram(c, &datagram, now_ns);
		while (lode_ring_pop(rings->messages, &msg))
			if (msg.type == LODE_WIRE_TLV_CLOSE && c->peers[msg.peer_idx].peer)
				lode_peer_closed(c->peers[msg.peer_idx].peer, now_ns);
	}
}

/* The peer's packets on that lane come from another address than we send to. A NAT maps each lane's port by
 * itself, but all of a path to one address (RFC 4787, REQ-2): further lanes follow the home lane's. */
static void follow_roaming(struct lode_control *c, struct peer_slot *slot, unsigned lane,
	const struct lode_lane_summary *summary)
{
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lode_path_summary *s = &summary->paths[p];
		const struct lode_path_view *v = slot->view ? &slot->view->paths[p] : NULL;
		if (!v || !v->valid || !s->remote_port)
			continue;
		bool same_ip = !memcmp(&s->remote, &v->remote, sizeof(s->remote));
		if ((same_ip && s->remote_port == v->remote_port[lane]) || (!same_ip && lane))
			continue;
		const struct lode_endpoint remote = {.ip = s->remote, .port = s->remote_port};
		/* A path that we cannot send on yet has no estimator, so no time of its newest packet. */
		uint64_t heard_ns = LODE_MAX(s->last_rx_ns, s->remote_ns);
		if (lode_peer_roam(slot->peer, p, lane, v->port_idx, &remote, heard_ns) == 0)
			lode_counter_add(&c->counters.roams, 1);
	}
}

static bool has_backlog(const struct lode_lane_summary *s)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		if (s->classes[cls].queue_pkts)
			return true;
	return false;
}

static void add_to_report(struct lode_peer_report *r, const struct lode_lane_summary *s)
{
	r->rx_epoch = LODE_MAX(r->rx_epoch, s->rx_generation);
	r->last_rx_ns = LODE_MAX(r->last_rx_ns, s->last_rx_ns);
	r->tx_packets = LODE_MAX(r->tx_packets, s->tx_packets);
}

/* For the log and the counters: sessions that began or ended. */
static void watch_session(struct lode_control *c, unsigned i)
{
	struct peer_slot *slot = &c->peers[i];
	struct lode_peer_info info;
	lode_peer_info(slot->peer, &info);
	if (info.established == slot->established)
		return;
	slot->established = info.established;
	if (info.established)
		lode_counter_add(&c->counters.handshakes, 1);
	control_log(c, LODE_LOG_INFO, "peer %s: session %s", c->prepared->config->peers[i].name,
		info.established ? "established" : "lost");
}

/* A lane stops asking about paths that it cannot send on; what it said of them last is not true any more. */
static void mark_dead_ports(const struct lode_control *c, struct peer_slot *slot)
{
	for (unsigned p = 0; slot->view && p < LODE_LINKS_MAX; p++) {
		const struct lode_path_view *v = &slot->view->paths[p];
		if (v->valid && !c->ports[v->port_idx].up)
			slot->summary.paths[p].state = LODE_PATH_DOWN;
	}
}

/* A lane that writes just now, or has not begun, is read next time. */
static void read_peer(struct lode_control *c, struct peer_slot *slot, unsigned n, uint64_t now_ns)
{
	struct lode_peer_report r = {0};
	slot->backlog = false;
	for (unsigned l = 0; l < n && slot->lanes[l]; l++) {
		struct lode_lane_summary s;
		if (!lode_lane_summary_read(&slot->lanes[l]->summary, &s) || s.now_ns == 0)
			continue;
		if (l == 0) {
			slot->summary = s;
			slot->have_summary = true;
		}
		slot->backlog |= has_backlog(&s);
		add_to_report(&r, &s);
		follow_roaming(c, slot, l, &s);
	}
	mark_dead_ports(c, slot);
	add_to_report(&r, &slot->summary);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (lode_path_usable(slot->summary.paths[p].state))
			r.rtt_us = LODE_MAX(r.rtt_us, slot->summary.paths[p].srtt_us);
	if (slot->have_summary)
		lode_peer_report(slot->peer, &r, now_ns);
}

/* A lane has published since the last look. */
static bool has_news(struct peer_slot *slot, unsigned n)
{
	bool news = false;
	for (unsigned l = 0; l < n && slot->lanes[l]; l++) {
		uint32_t sequence = atomic_load_explicit(
			&slot->lanes[l]->summary.sequence, memory_order_relaxed);
		news |= sequence != slot->read[l];
		slot->read[l] = sequence;
	}
	return news;
}

bool look_at_peer(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	unsigned n = slot->view ? slot->view->n_lanes : 1;
	watch_session(c, peer_idx);
	if (!has_news(slot, n) && !slot->stale)
		return false;
	slot->stale = false;
	slot->elapsed_ns = slot->looked_ns ? now_ns - slot->looked_ns : TICK_NS;
	slot->looked_ns = now_ns;
	read_peer(c, slot, n, now_ns);
	return true;
}
