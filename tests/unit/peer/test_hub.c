/* SPDX-License-Identifier: BSD-3-Clause */
/* One appliance with many peers: each message finds its peer, no index is given twice, peers come and go. */
#include <criterion/criterion.h>

#include "world.h"

#include <stdlib.h>

#define N_SPOKES 64

/* Hosts joined by a wire without delay; handshake messages wait in a mailbox. */
struct node {
	struct lode_rng rng;
	struct lode_peer_host *host;
	struct lode_peer *peers[N_SPOKES]; /* a spoke has one */
	uint8_t priv[32], pub[32];
	struct lode_endpoint at;
	struct mailbox *mailbox;
};

struct mailbox {
	unsigned n;
	struct {
		struct lode_endpoint from, to;
		uint16_t len;
		uint8_t data[LODE_PEER_DATAGRAM_MAX];
	} letters[4 * N_SPOKES];
};

static void node_random(void *ctx, void *buf, size_t len)
{
	struct node *n = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&n->rng);
}

static int node_save(void *ctx, uint64_t counter)
{
	return 0;
}

static void node_send(void *ctx, const struct lode_peer_datagram *d)
{
	struct node *n = ctx;
	struct mailbox *m = n->mailbox;
	cr_assert_lt(m->n, LODE_ARRAY_LEN(m->letters));
	m->letters[m->n].from = n->at;
	m->letters[m->n].to = d->remote;
	m->letters[m->n].len = d->len;
	memcpy(m->letters[m->n++].data, d->data, d->len);
}

static void node_init(struct node *n, unsigned idx, struct mailbox *m, const struct lode_aead *aead)
{
	lode_rng_seed(&n->rng, idx + 1);
	node_random(n, n->priv, 32);
	lode_noise_public_key(n->priv, n->pub);
	n->at = (struct lode_endpoint){
		lode_ip_from_v4_be(__builtin_bswap32(0x0a000001 + idx)), UDP_PORT};
	n->mailbox = m;
	struct lode_peer_host_params params = {.aead = aead,
		.udp_port = UDP_PORT,
		.load_per_s = 1000,
		.ctx = n,
		.random = node_random,
		.save_counter = node_save,
		.send = node_send};
	memcpy(params.private_key, n->priv, 32);
	n->host = lode_peer_host_new(&params, NULL);
	cr_assert(n->host);
}

static struct lode_peer *connect_to(struct node *n, const struct node *other, bool dials)
{
	struct lode_peer_params params = {.n_links = 1,
		.links = {{.name = "wan0"}},
		.lanes = {.n_lanes = 1, .udp_port = {UDP_PORT}}};
	memcpy(params.public_key, other->pub, 32);
	if (dials)
		params.links[0].remote = other->at;
	struct lode_err err = {0};
	struct lode_peer *p = lode_peer_new(n->host, &params, SECOND, &err);
	cr_assert(p, "%s", err.msg);
	return p;
}

static void installed(struct node *n, uint64_t now_ns)
{
	for (unsigned i = 0; i < N_SPOKES; i++)
		if (n->peers[i])
			lode_peer_installed(n->peers[i], UINT64_MAX, now_ns);
}

/* Delivers what waits and what that brings about; workers are instant. */
static void deliver(struct node *nodes, struct mailbox *m, uint64_t now_ns)
{
	for (unsigned i = 0; i < m->n; i++) {
		for (unsigned k = 0; k <= N_SPOKES; k++) {
			struct node *to = &nodes[k];
			if (!to->host || !lode_endpoint_equal(&to->at, &m->letters[i].to))
				continue;
			struct lode_peer_datagram d = {.local = to->at,
				.remote = m->letters[i].from,
				.data = m->letters[i].data,
				.len = m->letters[i].len};
			lode_peer_host_input(to->host, now_ns, &d);
			installed(to, now_ns);
		}
	}
	m->n = 0;
}

static void confirm(struct lode_peer *hub_side, uint64_t now_ns)
{
	const struct lode_peer_state *s = lode_peer_state(hub_side);
	for (unsigned phase = 0; phase < LODE_WIRE_PHASES; phase++) {
		struct lode_peer_report r = {.last_rx_ns = now_ns};
		r.rx_epoch = s->rx[phase] ? s->rx[phase]->serial : 0;
		if (r.rx_epoch)
			lode_peer_report(hub_side, &r, now_ns);
	}
}

static void check_sessions(struct node *hub, struct node *spokes)
{
	static uint8_t taken[65536];
	memset(taken, 0, sizeof(taken));
	for (unsigned i = 0; i < N_SPOKES; i++) {
		const struct lode_peer_epoch *at_hub = lode_peer_state(hub->peers[i])->tx;
		const struct lode_peer_epoch *at_spoke = lode_peer_state(spokes[i].peers[0])->tx;
		cr_assert(at_hub && at_spoke, "spoke %u", i);
		cr_assert_eq(at_hub->session, at_spoke->peer_session);
		cr_assert_eq(at_hub->peer_session, at_spoke->session);
		cr_assert_eq(at_hub->key_phase, at_spoke->peer_phase);
		cr_assert_neq(at_hub->session, 0);
		cr_assert_not(taken[at_hub->session]);
		taken[at_hub->session] = 1;
	}
}

Test(hub, sixty_four_peers_at_once)
{
	struct lode_aead *aead = lode_aead_new("openssl", NULL);
	struct mailbox *m = calloc(1, sizeof(*m));
	struct node *nodes = calloc(N_SPOKES + 1, sizeof(*nodes));
	struct node *hub = &nodes[0], *spokes = nodes + 1;
	uint64_t now_ns = SECOND;
	for (unsigned i = 0; i <= N_SPOKES; i++)
		node_init(&nodes[i], i, m, aead);
	for (unsigned i = 0; i < N_SPOKES; i++) {
		hub->peers[i] = connect_to(hub, &spokes[i], false);
		spokes[i].peers[0] = connect_to(&spokes[i], hub, true);
		lode_peer_host_poll(spokes[i].host, now_ns);
	}
	deliver(nodes, m, now_ns);
	for (unsigned i = 0; i < N_SPOKES; i++)
		cr_assert_null(lode_peer_state(hub->peers[i])->tx, "nothing is confirmed yet");
	for (unsigned i = 0; i < N_SPOKES; i++)
		confirm(hub->peers[i], now_ns);
	check_sessions(hub, spokes);

	/* One leaves; the others do not notice; it comes back as a stranger until it is added again. */
	lode_peer_free(hub->peers[7]);
	hub->peers[7] = NULL;
	lode_peer_closed(spokes[7].peers[0], now_ns);
	now_ns += 2 * SECOND;
	lode_peer_host_poll(spokes[7].host, now_ns);
	deliver(nodes, m, now_ns);
	cr_assert_eq(lode_peer_host_counters(hub->host)->refused_stranger, 1);
	cr_assert_null(lode_peer_state(spokes[7].peers[0])->tx);
	hub->peers[7] = connect_to(hub, &spokes[7], false);
	now_ns += SECOND;
	lode_peer_host_poll(spokes[7].host, now_ns);
	deliver(nodes, m, now_ns);
	confirm(hub->peers[7], now_ns);
	check_sessions(hub, spokes);

	for (unsigned i = 0; i <= N_SPOKES; i++)
		lode_peer_host_free(nodes[i].host);
	free(nodes);
	free(m);
	lode_aead_free(aead);
}

/* Sixty-four peers to call and as many calling: no poll and no row of inputs does more than its share. */
Test(hub, work_is_spread_over_polls)
{
	struct lode_aead *aead = lode_aead_new("openssl", NULL);
	struct mailbox *m = calloc(1, sizeof(*m));
	struct node *nodes = calloc(N_SPOKES + 1, sizeof(*nodes));
	struct node *hub = &nodes[0];
	uint64_t now_ns = SECOND;
	for (unsigned i = 0; i <= N_SPOKES; i++)
		node_init(&nodes[i], i, m, aead);
	for (unsigned i = 0; i < N_SPOKES; i++)
		hub->peers[i] = connect_to(hub, &nodes[i + 1], true);
	unsigned n_polls = 0, n_sent = 0;
	while (n_sent < N_SPOKES) {
		uint64_t due_ns = lode_peer_host_poll(hub->host, now_ns);
		cr_assert_leq(m->n, n_sent + 8, "poll %u", n_polls);
		n_sent = m->n;
		cr_assert(n_sent == N_SPOKES || due_ns <= now_ns + MS);
		now_ns += MS;
		n_polls++;
	}
	cr_assert_geq(n_polls, 8);

	/* And back: each spoke calls the hub, which says when it has had enough. */
	m->n = 0;
	for (unsigned i = 1; i <= N_SPOKES; i++) {
		nodes[i].peers[0] = connect_to(&nodes[i], hub, true);
		lode_peer_host_poll(nodes[i].host, now_ns);
	}
	unsigned n_taken = 0, n_rows = 0;
	for (; n_taken < N_SPOKES; n_rows++) {
		unsigned n_row = 0;
		while (!lode_peer_host_busy(hub->host) && n_taken < N_SPOKES) {
			struct lode_peer_datagram d = {.local = hub->at,
				.remote = m->letters[n_taken].from,
				.data = m->letters[n_taken].data,
				.len = m->letters[n_taken].len};
			lode_peer_host_input(hub->host, now_ns, &d);
			n_taken++;
			n_row++;
		}
		cr_assert_leq(n_row, 8);
		cr_assert_eq(lode_peer_host_poll(hub->host, now_ns), now_ns + MS);
	}
	cr_assert_geq(n_rows, 8);
	for (unsigned i = 0; i <= N_SPOKES; i++)
		lode_peer_host_free(nodes[i].host);
	free(nodes);
	free(m);
	lode_aead_free(aead);
}

Test(hub, cheap_floods_are_spread_too)
{
	struct world *w = world_new(3, 1);
	site_on(&w->sites[0], true);
	site_on(&w->sites[1], false);
	world_run(w, 2 * SECOND);
	struct site *b = &w->sites[1];
	struct lode_peer_datagram d = {.remote = site_endpoint(&w->sites[0], 0),
		.data = w->last_init.data,
		.len = w->last_init.len};
	lode_peer_host_poll(b->host, w->now_ns);
	unsigned n = 0;
	for (; !lode_peer_host_busy(b->host); n++)
		lode_peer_host_input(b->host, w->now_ns, &d);
	cr_assert_leq(n, 100, "read, then cookies");
	lode_peer_host_poll(b->host, w->now_ns);
	uint8_t junk[300] = {[0] = LODE_WIRE_HANDSHAKE_INIT << 4 | 1};
	d.data = junk;
	d.len = sizeof(junk);
	for (n = 0; !lode_peer_host_busy(b->host); n++)
		lode_peer_host_input(b->host, w->now_ns, &d);
	cr_assert_eq(n, 250, "wrong MACs");
	world_free(w);
}

/* A snapshot outlives the peer and its host: the keys in it still work. */
Test(hub, epochs_outlive_their_peer)
{
	struct world *w = world_new(1, 1);
	struct site *a = &w->sites[0];
	site_on(a, true);
	site_on(&w->sites[1], false);
	world_run(w, 2 * SECOND);
	struct lode_peer_epoch *e = lode_peer_state(a->peer)->tx;
	lode_peer_epoch_hold(e);
	site_off(a);
	uint8_t data[64] = {0};
	struct lode_aead_op op = {
		.data = data, .nonce = 1ull << 40, .aad_bytes = 8, .text_bytes = 8};
	lode_aead_seal_burst(e->tx[0], &op, 1);
	cr_assert_neq(lode_load_le64(data + 16), 0);
	lode_peer_epoch_drop(e);
	world_free(w);
}
