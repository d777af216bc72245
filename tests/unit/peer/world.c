/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBE_NS    (50 * MS)
#define PROBE_BYTES (LODE_WIRE_CONTROL_OVERHEAD)
#define INSTALL_NS  (2 * MS)

static void seeded_random(void *ctx, void *buf, size_t len)
{
	struct site *s = ctx;
	uint8_t *b = buf;
	for (size_t i = 0; i < len; i++)
		b[i] = (uint8_t)lode_rng_u64(&s->world->rng);
}

static int save_counter(void *ctx, uint64_t counter)
{
	struct site *s = ctx;
	if (s->disk_full)
		return -ENOSPC;
	cr_assert_gt(counter, s->counter_saved);
	s->counter_saved = counter;
	return 0;
}

struct lode_endpoint site_endpoint(const struct site *s, unsigned port)
{
	return (struct lode_endpoint){s->addr[port], UDP_PORT};
}

static void launch(struct world *w, const struct flight *f)
{
	if (lode_rng_unit(&w->rng) < w->loss || w->n_flights == LODE_ARRAY_LEN(w->flights))
		return;
	unsigned n_copies = 1 + (lode_rng_unit(&w->rng) < w->duplicate);
	while (n_copies-- && w->n_flights < LODE_ARRAY_LEN(w->flights)) {
		struct flight *slot = &w->flights[w->n_flights++];
		*slot = *f;
		slot->at_ns = w->now_ns + w->delay_ns;
		if (w->jitter_ns)
			slot->at_ns += lode_rng_below(&w->rng, w->jitter_ns);
	}
}

static void send_datagram(struct site *s, unsigned port, const struct lode_endpoint *to,
	const uint8_t *data, size_t len)
{
	struct flight f = {.from = site_endpoint(s, port), .to = *to, .len = (uint16_t)len};
	cr_assert_leq(len, sizeof(f.data));
	memcpy(f.data, data, len);
	if (data[0] >> 4 == LODE_WIRE_HANDSHAKE_INIT)
		s->world->last_init = f;
	if (!s->world->blocked[s->idx])
		launch(s->world, &f);
}

static void send_handshake(void *ctx, const struct lode_peer_datagram *d)
{
	struct site *s = ctx;
	s->world->n_handshakes_sent++;
	send_datagram(s, d->port_idx, &d->remote, d->data, d->len);
}

struct world *world_new(uint64_t seed, unsigned n_links)
{
	struct world *w = calloc(1, sizeof(*w));
	cr_assert(w);
	lode_rng_seed(&w->rng, seed);
	w->aead = lode_aead_new("openssl", NULL);
	w->delay_ns = 20 * MS;
	w->now_ns = 1000 * SECOND;
	for (unsigned i = 0; i < 2; i++) {
		struct site *s = &w->sites[i];
		s->world = w;
		s->idx = i;
		seeded_random(s, s->priv, 32);
		lode_noise_public_key(s->priv, s->pub);
		for (unsigned port = 0; port < N_PORTS; port++)
			s->addr[port] = lode_ip_from_v4_be(
				__builtin_bswap32(10u << 24 | (i + 1) << 16 | (port + 1) << 8 | 1));
	}
	for (unsigned i = 0; i < 2; i++) {
		struct lode_peer_params *p = &w->sites[i].params;
		memcpy(p->public_key, w->sites[1 - i].pub, 32);
		p->n_links = (uint8_t)n_links;
		for (unsigned port = 0; port < n_links; port++) {
			snprintf(p->links[port].name, LODE_NAME_MAX, "wan%u", port);
			p->links[port].port_idx = (uint8_t)port;
		}
		p->lanes = (struct lode_wire_lanes){
			.n_lanes = 2, .udp_port = {UDP_PORT, UDP_PORT + 1}};
	}
	return w;
}

static void hold_view(struct lode_peer_state *v, void (*change)(struct lode_peer_epoch *))
{
	for (unsigned i = 0; i < LODE_WIRE_PHASES; i++)
		if (v->rx[i])
			change(v->rx[i]);
	if (v->tx)
		change(v->tx);
}

static void take_view(struct site *s, const struct lode_peer_state *state)
{
	struct lode_peer_state old = s->view;
	s->view = *state;
	hold_view(&s->view, lode_peer_epoch_hold);
	hold_view(&old, lode_peer_epoch_drop);
	for (unsigned i = 0; i < LODE_WIRE_PHASES; i++) {
		uint64_t serial = s->view.rx[i] ? s->view.rx[i]->serial : 0;
		if (s->windows[i].serial != serial)
			s->windows[i] = (struct phase_windows){.serial = serial};
	}
	if (s->view.tx && s->view.tx->serial != s->number_serial) {
		s->number_serial = s->view.tx->serial;
		memset(s->number, 0, sizeof(s->number));
		s->tx_serials++;
	}
}

void site_on(struct site *s, bool dials)
{
	struct lode_err err = {0};
	struct site *other = &s->world->sites[1 - s->idx];
	s->host_params.aead = s->world->aead;
	s->host_params.udp_port = UDP_PORT;
	s->host_params.counter = s->counter_saved;
	s->host_params.ctx = s;
	s->host_params.random = seeded_random;
	s->host_params.save_counter = save_counter;
	s->host_params.send = send_handshake;
	memcpy(s->host_params.private_key, s->priv, 32);
	for (unsigned i = 0; i < s->params.n_links; i++)
		s->params.links[i].remote =
			dials ? site_endpoint(other, s->params.links[i].port_idx)
			      : (struct lode_endpoint){0};
	s->host = lode_peer_host_new(&s->host_params, &err);
	cr_assert(s->host, "%s", err.msg);
	s->peer = lode_peer_new(s->host, &s->params, s->world->now_ns, &err);
	cr_assert(s->peer, "%s", err.msg);
	s->install_ns = LODE_NEVER_NS;
	s->probe_ns = s->world->now_ns;
}

void site_off(struct site *s)
{
	static const struct lode_peer_state nothing;
	if (!s->host)
		return;
	lode_peer_host_free(s->host); /* before the workers' view: epochs must live on */
	take_view(s, &nothing);
	s->host = NULL;
	s->peer = NULL;
	s->report = (struct lode_peer_report){0};
}

void world_free(struct world *w)
{
	site_off(&w->sites[0]);
	site_off(&w->sites[1]);
	lode_aead_free(w->aead);
	free(w);
}

/* ---- the workers' part ---- */

static void probe_path(struct site *s, unsigned path)
{
	struct lode_peer_epoch *e = s->view.tx;
	const struct lode_peer_path *p = &s->view.paths[path];
	if (!p->valid || !p->remote[0].port)
		return;
	uint8_t data[PROBE_BYTES] = {0};
	uint64_t number = s->number[path]++;
	struct lode_wire_clear h = {.type = LODE_WIRE_CONTROL,
		.version = e->version,
		.key_phase = e->peer_phase,
		.path = (uint8_t)path,
		.session = e->peer_session,
		.number = (uint32_t)number};
	lode_wire_put_clear(data, &h);
	struct lode_aead_op op = {.data = data,
		.nonce = lode_wire_nonce(path, 0, number),
		.aad_bytes = LODE_WIRE_CLEAR_BYTES,
		.text_bytes = LODE_WIRE_CONTROL_BYTES};
	lode_aead_seal_burst(e->tx[0], &op, 1);
	s->n_sent++;
	send_datagram(s, p->port_idx, &p->remote[0], data, sizeof(data));
}

static void open_packet(struct site *s, unsigned port, struct flight *f)
{
	struct lode_wire_clear h;
	lode_wire_get_clear(f->data, &h);
	struct lode_peer_epoch *e = h.key_phase < LODE_WIRE_PHASES ? s->view.rx[h.key_phase] : NULL;
	if (!e || e->session != h.session || !s->view.paths[h.path].valid) {
		s->n_no_key++;
		return;
	}
	struct lode_wire_replay *window = &s->windows[h.key_phase].path[h.path];
	uint64_t number = lode_wire_replay_expand(window, h.number);
	struct lode_aead_op op = {.data = f->data,
		.nonce = lode_wire_nonce(h.path, h.lane, number),
		.aad_bytes = LODE_WIRE_CLEAR_BYTES,
		.text_bytes = (uint16_t)(f->len - LODE_WIRE_CLEAR_BYTES - LODE_WIRE_TAG_BYTES)};
	if (!lode_aead_open_burst(e->rx[0], &op, 1)) {
		s->n_forged++;
		return;
	}
	bool newest = number >= window->next;
	if (!lode_wire_replay_accept(window, number))
		return;
	s->n_opened++;
	s->report.rx_epoch = LODE_MAX(s->report.rx_epoch, e->serial);
	s->report.last_rx_ns = s->world->now_ns;
	lode_peer_report(s->peer, &s->report, s->world->now_ns);
	if (newest)
		lode_peer_roam(s->peer, h.path, h.lane, port, &f->from, s->world->now_ns);
}

static void arrive(struct site *s, unsigned port, struct flight *f)
{
	if (!s->host || f->len < LODE_WIRE_CLEAR_BYTES)
		return;
	if (f->data[0] >> 4 < LODE_WIRE_HANDSHAKE_INIT) {
		open_packet(s, port, f);
		return;
	}
	struct lode_peer_datagram d = {.local = f->to,
		.remote = f->from,
		.data = f->data,
		.len = f->len,
		.port_idx = (uint8_t)port};
	lode_peer_host_input(s->host, s->world->now_ns, &d);
}

void world_inject(struct world *w, const struct flight *f)
{
	struct flight copy = *f;
	for (unsigned i = 0; i < 2; i++)
		for (unsigned port = 0; port < N_PORTS; port++) {
			struct lode_endpoint at = site_endpoint(&w->sites[i], port);
			if (lode_endpoint_equal(&at, &f->to))
				arrive(&w->sites[i], port, &copy);
		}
}

/* ---- time ---- */

static uint64_t site_step(struct site *s)
{
	struct world *w = s->world;
	if (!s->host)
		return LODE_NEVER_NS;
	if (w->now_ns >= s->install_ns) {
		s->install_ns = LODE_NEVER_NS;
		take_view(s, lode_peer_state(s->peer));
		lode_peer_installed(s->peer, s->view.generation, w->now_ns);
	}
	if (w->now_ns >= s->probe_ns) {
		s->probe_ns = w->now_ns + PROBE_NS;
		for (unsigned path = 0; s->view.tx && path < LODE_WIRE_PATHS; path++)
			probe_path(s, path);
	}
	uint64_t due = lode_peer_host_poll(s->host, w->now_ns);
	cr_assert_gt(due, w->now_ns, "poll must leave nothing due");
	if (lode_peer_state(s->peer)->generation != s->view.generation &&
		s->install_ns == LODE_NEVER_NS)
		s->install_ns = w->now_ns + 1 + lode_rng_below(&w->rng, INSTALL_NS);
	return LODE_MIN(due, LODE_MIN(s->install_ns, s->probe_ns));
}

static void deliver_due(struct world *w)
{
	for (unsigned i = 0; i < w->n_flights;) {
		if (w->flights[i].at_ns > w->now_ns) {
			i++;
			continue;
		}
		struct flight f = w->flights[i];
		w->flights[i] = w->flights[--w->n_flights];
		world_inject(w, &f);
		i = 0; /* what arrived may have sent */
	}
}

void world_run(struct world *w, uint64_t for_ns)
{
	uint64_t end_ns = w->now_ns + for_ns;
	while (w->now_ns < end_ns) {
		deliver_due(w);
		uint64_t next = end_ns;
		next = LODE_MIN(next, site_step(&w->sites[0]));
		next = LODE_MIN(next, site_step(&w->sites[1]));
		for (unsigned i = 0; i < w->n_flights; i++)
			next = LODE_MIN(next, LODE_MAX(w->flights[i].at_ns, w->now_ns + 1));
		w->now_ns = next;
	}
}

bool world_agrees(struct world *w)
{
	uint64_t before[2], forged[2];
	for (unsigned i = 0; i < 2; i++) {
		struct lode_peer_info info;
		if (!w->sites[i].peer)
			return false;
		lode_peer_info(w->sites[i].peer, &info);
		if (!info.established)
			return false;
		before[i] = w->sites[i].n_opened;
		forged[i] = w->sites[i].n_forged;
	}
	double loss = w->loss;
	w->loss = 0;
	world_run(w, 3 * PROBE_NS + 2 * (w->delay_ns + w->jitter_ns));
	w->loss = loss;
	return w->sites[0].n_opened > before[0] && w->sites[1].n_opened > before[1] &&
	       w->sites[0].n_forged == forged[0] && w->sites[1].n_forged == forged[1];
}

const struct lode_peer_counters *site_counters(const struct site *s)
{
	return lode_peer_host_counters(s->host);
}
