/* SPDX-License-Identifier: BSD-3-Clause */
/* Strangers who know our key and own addresses: they get cookies, and their initiations are read. However many they
 * send, a peer gets in. */
#include <criterion/criterion.h>

#include "world.h"

#include <stdlib.h>

#define NETWORKS 20
#define ROUND	 60 /* messages of one address at a time */

struct proven {
	struct lode_endpoint from;
	uint16_t len;
	uint8_t data[LODE_PEER_DATAGRAM_MAX];
};

/* A host that calls b and is none of its peers. */
struct stranger {
	struct lode_rng rng;
	struct lode_peer_host *host;
	struct proven last;
};

static void on_random(void *ctx, void *buf, size_t len)
{
	struct stranger *s = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&s->rng);
}

static int on_save(void *ctx, uint64_t counter)
{
	return 0;
}

static void on_send(void *ctx, const struct lode_peer_datagram *d)
{
	struct stranger *s = ctx;
	s->last.len = d->len;
	memcpy(s->last.data, d->data, d->len);
}

static struct lode_peer_host *make_stranger(struct stranger *s, const struct site *b)
{
	struct lode_peer_host_params host = {.aead = b->world->aead,
		.udp_port = UDP_PORT,
		.ctx = s,
		.random = on_random,
		.save_counter = on_save,
		.send = on_send};
	struct lode_peer_params peer = {.n_links = 1,
		.links = {{.name = "wan0", .remote = site_endpoint(b, 0)}},
		.lanes = {.n_lanes = 1, .udp_port = {UDP_PORT}}};
	lode_rng_seed(&s->rng, 99);
	on_random(s, host.private_key, sizeof(host.private_key));
	memcpy(peer.public_key, b->pub, sizeof(b->pub));
	s->host = lode_peer_host_new(&host, NULL);
	cr_assert(s->host);
	cr_assert(lode_peer_new(s->host, &peer, b->world->now_ns, NULL));
	lode_peer_host_poll(s->host, b->world->now_ns);
	return s->host;
}

static void send_to(struct site *b, const struct proven *p)
{
	const struct lode_peer_datagram d = {
		.local = site_endpoint(b, 0), .remote = p->from, .data = p->data, .len = p->len};
	lode_peer_host_input(b->host, b->world->now_ns, &d);
	if (lode_peer_host_busy(b->host))
		lode_peer_host_poll(b->host, b->world->now_ns);
}

static bool answered(const struct world *w, const struct lode_endpoint *at)
{
	return w->n_flights && lode_endpoint_equal(&w->flights[w->n_flights - 1].to, at);
}

/* The stranger's initiation with the mac2 of an address in network i. */
static void prove(struct stranger *s, struct site *b, unsigned i, struct proven *out)
{
	struct world *w = b->world;
	s->last.from = (struct lode_endpoint){lode_ip_from_v4_be(1000 + i), UDP_PORT};
	for (unsigned k = 0; k < 1000 && !answered(w, &s->last.from); k++)
		send_to(b, &s->last);
	cr_assert(answered(w, &s->last.from), "no cookie came");
	const struct flight *cookie = &w->flights[--w->n_flights];
	const struct lode_peer_datagram d = {
		.remote = site_endpoint(b, 0), .data = cookie->data, .len = cookie->len};
	struct lode_endpoint from = s->last.from;
	memset(s->last.data + s->last.len - LODE_NOISE_MAC_BYTES, 0, LODE_NOISE_MAC_BYTES);
	cr_assert_eq(lode_peer_host_input(s->host, w->now_ns + i * SECOND, &d), 0);
	*out = s->last;
	out->from = from;
	memset(s->last.data + s->last.len - LODE_NOISE_MAC_BYTES, 0, LODE_NOISE_MAC_BYTES);
}

/* b is new, and knows where a is or not; a is off. */
static struct site *new_b(struct world *w, bool knows)
{
	site_on(&w->sites[0], true);
	site_on(&w->sites[1], false);
	world_run(w, SECOND);
	site_off(&w->sites[0]);
	site_off(&w->sites[1]);
	site_on(&w->sites[1], knows);
	w->blocked[1] = false;
	return &w->sites[1];
}

/* Whether a gets in within two seconds in which n addresses send all the time. */
static bool gets_in(unsigned n, bool known)
{
	struct world *w = world_new(31, 1);
	struct site *b = new_b(w, known);
	struct stranger s = {0};
	struct proven from[NETWORKS];
	struct lode_peer_host *host = make_stranger(&s, b);
	for (unsigned i = 0; i < n; i++)
		prove(&s, b, i, &from[i]);
	world_run(w, 2 * SECOND);
	uint64_t n_before = site_counters(b)->refused_stranger, start_ns = w->now_ns;
	for (unsigned ms = 0; ms < 2000; ms += 50) {
		if (ms == 100)
			site_on(&w->sites[0], true);
		for (unsigned i = 0; i < n; i++)
			for (unsigned k = 0; k < ROUND; k++)
				send_to(b, &from[i]);
		world_run(w, 50 * MS);
	}
	uint64_t n_seconds = (w->now_ns - start_ns) / SECOND + 1;
	cr_assert_leq(site_counters(b)->refused_stranger - n_before,
		n_seconds * 50 * LODE_MIN(n, 10u), "that many are read");
	cr_assert_gt(site_counters(b)->refused_load, 0);
	bool in = world_agrees(w);
	lode_peer_host_free(host);
	world_free(w);
	return in;
}

Test(floods, one_address_does_not_fill_the_room)
{
	cr_assert(gets_in(1, false));
}

Test(floods, many_addresses_do_but_peers_keep_their_place)
{
	cr_assert_not(gets_in(NETWORKS, false), "or this test shows nothing");
	cr_assert(gets_in(NETWORKS, true));
}

/* When the time for cookies is used up, who has one is still read. */
Test(floods, who_has_a_cookie_comes_first)
{
	struct world *w = world_new(32, 1);
	struct site *b = new_b(w, false);
	struct stranger s = {0};
	struct proven p;
	struct lode_peer_host *host = make_stranger(&s, b);
	prove(&s, b, 0, &p);
	world_run(w, 2 * SECOND);
	s.last.from.ip = lode_ip_from_v4_be(7);
	for (unsigned i = 0; i < 50; i++) /* these are read: the load begins */
		send_to(b, &s.last);
	lode_peer_host_poll(b->host, w->now_ns);
	w->blocked[1] = true;
	while (site_counters(b)->refused_load == 0)
		send_to(b, &s.last);
	cr_assert_not(lode_peer_host_busy(b->host));
	uint64_t n_read = site_counters(b)->refused_stranger;
	send_to(b, &p);
	cr_assert_eq(site_counters(b)->refused_stranger, n_read + 1);
	lode_peer_host_free(host);
	world_free(w);
}
