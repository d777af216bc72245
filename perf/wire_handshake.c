/* SPDX-License-Identifier: BSD-3-Clause */
/* What a flood does, in the time that the responder's CPU takes: messages arrive at a worker's ring by that clock,
 * the control lcore takes them as lib/control does and rests until it is due. So other programs on the machine do not
 * show, and no second core is needed. */
#include "wire_handshake.h"

#include "lode_aead.h"
#include "lode_noise.h"
#include "lode_peer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define RING_SLOTS  128 /* of lib/worker */
#define FLOOD_PER_S 100000
#define REST_NS	    (5 * LODE_NS_PER_MS) /* of the control lcore at most, as in lib/gateway */
#define TRAVEL_NS   (20 * LODE_NS_PER_MS)
#define N_FLOODS    5
#define GIVE_UP_NS  (10 * LODE_NS_PER_S)
#define N_TIMED	    200

enum { HUB, FRIEND, STRANGER, N_ENDS };

/* One of three appliances; what it sends is kept for the others. */
struct end {
	struct lode_peer_host *host;
	struct lode_peer *peer;
	struct lode_rng rng;
	struct lode_endpoint at;
	uint8_t pub[32], msg[LODE_PEER_DATAGRAM_MAX];
	struct lode_peer_datagram last;
	bool sent;
};

struct ends {
	struct end end[N_ENDS];
	struct lode_aead *aead;
};

static void end_random(void *ctx, void *buf, size_t len)
{
	struct end *e = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&e->rng);
}

static int end_save(void *ctx, uint64_t counter)
{
	return 0;
}

static void end_send(void *ctx, const struct lode_peer_datagram *d)
{
	struct end *e = ctx;
	e->last = *d;
	memcpy(e->msg, d->data, d->len);
	e->last.data = e->msg;
	e->sent = true;
}

static bool make_host(struct ends *y, unsigned i, uint32_t load_per_s, uint64_t seed)
{
	struct end *e = &y->end[i];
	lode_rng_seed(&e->rng, seed * N_ENDS + i + 1);
	struct lode_peer_host_params params = {.aead = y->aead,
		.udp_port = 1,
		.load_per_s = load_per_s,
		.ctx = e,
		.random = end_random,
		.save_counter = end_save,
		.send = end_send};
	e->at = (struct lode_endpoint){.ip = lode_ip_from_v4_be(i + 1), .port = 1};
	end_random(e, params.private_key, sizeof(params.private_key));
	e->host = lode_peer_host_new(&params, NULL);
	return e->host && !lode_noise_public_key(params.private_key, e->pub);
}

static bool add_peer(struct ends *y, unsigned at, unsigned of, bool calls, uint64_t now_ns)
{
	struct lode_peer_params params = {.n_links = 1,
		.links = {{.name = "wan0"}},
		.lanes = {.n_lanes = 1, .udp_port = {1}}};
	if (calls)
		params.links[0].remote = y->end[of].at;
	memcpy(params.public_key, y->end[of].pub, sizeof(params.public_key));
	y->end[at].peer = lode_peer_new(y->end[at].host, &params, now_ns, NULL);
	return y->end[at].peer;
}

/* The friend calls the hub, which knows it; so does the stranger, which the hub does not know. */
static bool make_ends(struct ends *y, uint32_t load_per_s, uint64_t seed, uint64_t now_ns)
{
	*y = (struct ends){.aead = lode_aead_new("auto", NULL)};
	bool ok = y->aead;
	for (unsigned i = 0; ok && i < N_ENDS; i++)
		ok = make_host(y, i, load_per_s, seed);
	return ok && add_peer(y, HUB, FRIEND, false, now_ns) &&
	       add_peer(y, FRIEND, HUB, true, now_ns) && add_peer(y, STRANGER, HUB, true, now_ns);
}

static void free_ends(struct ends *y)
{
	for (unsigned i = 0; i < N_ENDS; i++)
		lode_peer_host_free(y->end[i].host);
	lode_aead_free(y->aead);
}

/* Brings what `from` sent last to `to`. */
static int deliver(struct ends *y, unsigned from, unsigned to, uint64_t now_ns)
{
	struct lode_peer_datagram d = y->end[from].last;
	d.remote = y->end[from].at;
	d.local = y->end[to].at;
	y->end[from].sent = false;
	return lode_peer_host_input(y->end[to].host, now_ns, &d);
}

/* ---- what one message costs ---- */

/* CPU of the responder for one initiation up to its answer. */
static double responder_us(void)
{
	uint64_t now_ns = LODE_NS_PER_S, spent_ns = 0;
	struct ends y;
	bool ok = make_ends(&y, 1u << 30, 1, now_ns);
	for (unsigned i = 0; ok && i < N_TIMED; i++) {
		lode_peer_host_poll(
			y.end[FRIEND].host, now_ns); /* a new attempt: none was answered */
		uint64_t start_ns = lode_perf_cpu_ns();
		ok = !deliver(&y, FRIEND, HUB, now_ns);
		lode_peer_installed(y.end[HUB].peer, UINT64_MAX, now_ns);
		spent_ns += lode_perf_cpu_ns() - start_ns;
		now_ns += 20 * LODE_NS_PER_S;
		lode_peer_host_poll(y.end[FRIEND].host, now_ns); /* the attempt fails */
		now_ns += 20 * LODE_NS_PER_S;
	}
	free_ends(&y);
	return ok ? (double)spent_ns / N_TIMED / 1e3 : NAN;
}

/* Of a message from an address of its own each time; the fastest batch. */
static double refused_us(struct ends *y, uint64_t now_ns)
{
	struct lode_peer_datagram d = y->end[STRANGER].last;
	double best_us = INFINITY;
	for (unsigned batch = 0; batch < 50; batch++) {
		uint64_t start_ns = lode_perf_cpu_ns();
		for (unsigned i = 0; i < N_TIMED; i++) {
			d.remote.ip = lode_ip_from_v4_be(batch * N_TIMED + i + 100);
			lode_peer_host_input(y->end[HUB].host, now_ns, &d);
			lode_peer_host_poll(y->end[HUB].host, now_ns); /* time for cookies */
		}
		double us = (double)(lode_perf_cpu_ns() - start_ns) / N_TIMED / 1e3;
		best_us = LODE_MIN(best_us, us);
	}
	return best_us;
}

void handshake_rows(struct lode_perf *p)
{
	uint64_t now_ns = LODE_NS_PER_S;
	struct ends y;
	lode_perf_row(p, "handshake", "responder", responder_us(), "us/initiation", NULL, NAN);
	if (make_ends(&y, 1, 1, now_ns)) {
		lode_peer_host_poll(y.end[STRANGER].host, now_ns);
		lode_perf_row(p, "handshake", "answered with a cookie", refused_us(&y, now_ns),
			"us/initiation", NULL, NAN);
		y.end[STRANGER].msg[60] ^= 1;
		lode_perf_row(p, "handshake", "wrong mac1", refused_us(&y, now_ns), "us/initiation",
			NULL, NAN);
	}
	free_ends(&y);
}

/* ---- floods ---- */

enum flood { NO_FLOOD, GARBAGE, SPOOFED, ONE_ADDRESS, N_FLOOD_KINDS };

static const char *const flood_names[] = {"no flood", "100k/s with a wrong mac1",
	"100k/s from addresses of others", "100k/s with a cookie, one address"};

struct datagram {
	struct lode_endpoint from;
	uint16_t len;
	uint8_t data[LODE_PEER_DATAGRAM_MAX];
};

struct lcore {
	struct ends ends;
	enum flood kind;
	struct lode_ring *ring;
	uint64_t now_ns, arrived_ns, call_ns, busy_ns,
		longest_ns; /* call_ns: the friend's arrives */
	uint32_t n_arrived;
};

static void push(struct lcore *c, const struct end *e, struct lode_endpoint from)
{
	struct datagram d = {.from = from, .len = e->last.len};
	memcpy(d.data, e->msg, d.len);
	lode_ring_push(c->ring, &d);
}

/* The worker's part up to now: the friend's message stands in the row like any other. */
static void arrive(struct lcore *c)
{
	struct end *friend = &c->ends.end[FRIEND], *stranger = &c->ends.end[STRANGER];
	for (; c->arrived_ns < c->now_ns; c->arrived_ns += LODE_NS_PER_S / FLOOD_PER_S) {
		struct lode_endpoint from = stranger->at;
		if (c->kind != ONE_ADDRESS)
			from.ip = lode_ip_from_v4_be(100 + c->n_arrived++);
		if (friend->sent && c->arrived_ns >= c->call_ns) {
			push(c, friend, friend->at);
			friend->sent = false;
		} else if (c->kind != NO_FLOOD) {
			push(c, stranger, from);
		}
	}
}

/* Whatever the friend has to say travels for a while, in step with nothing here. */
static void travel(struct lcore *c, bool said_before)
{
	struct end *friend = &c->ends.end[FRIEND];
	if (friend->sent && !said_before)
		c->call_ns = c->now_ns + lode_rng_below(&friend->rng, TRAVEL_NS);
}

/* What the hub said to the friend reaches it. */
static void bring_answer(struct lcore *c)
{
	struct end *hub = &c->ends.end[HUB], *friend = &c->ends.end[FRIEND];
	bool said_before = friend->sent;
	if (hub->sent && !memcmp(&hub->last.remote.ip, &friend->at.ip, sizeof(friend->at.ip)))
		deliver(&c->ends, HUB, FRIEND, c->now_ns);
	hub->sent = false;
	travel(c, said_before);
}

/* As take_rings and lode_control_poll of lib/control. */
static uint64_t pass(struct lcore *c)
{
	struct end *hub = &c->ends.end[HUB];
	uint64_t spent_ns = 0, due_ns = 0, start_ns;
	struct datagram d;
	arrive(c);
	while (!lode_peer_host_busy(hub->host) && lode_ring_pop(c->ring, &d)) {
		struct lode_peer_datagram in = {
			.local = hub->at, .remote = d.from, .data = d.data, .len = d.len};
		start_ns = lode_perf_cpu_ns();
		lode_peer_host_input(hub->host, c->now_ns, &in);
		uint64_t ns = lode_perf_cpu_ns() - start_ns;
		spent_ns += ns;
		c->now_ns += ns;
		bring_answer(c);
		arrive(c);
	}
	start_ns = lode_perf_cpu_ns();
	due_ns = lode_peer_host_poll(hub->host, c->now_ns - spent_ns);
	lode_peer_installed(hub->peer, UINT64_MAX, c->now_ns);
	spent_ns += lode_perf_cpu_ns() - start_ns;
	bring_answer(c);
	c->busy_ns += spent_ns;
	c->longest_ns = LODE_MAX(c->longest_ns, spent_ns);
	return due_ns;
}

static bool friend_is_in(const struct lcore *c)
{
	return lode_peer_state(c->ends.end[FRIEND].peer)->tx;
}

static void run(struct lcore *c, uint64_t until_ns, bool call)
{
	while (c->now_ns < until_ns && !(call && friend_is_in(c))) {
		uint64_t due_ns = pass(c);
		struct end *friend = &c->ends.end[FRIEND];
		if (call && !friend->sent) {
			lode_peer_host_poll(friend->host, c->now_ns);
			lode_peer_installed(friend->peer, UINT64_MAX, c->now_ns);
			travel(c, false);
		}
		c->now_ns = LODE_MAX(c->now_ns, LODE_MIN(due_ns, c->now_ns + REST_NS));
	}
}

/* What the flood is made of: an initiation of the stranger's, with mac2 where its address is its own. */
static void arm(struct lcore *c)
{
	struct ends *y = &c->ends;
	lode_peer_host_poll(y->end[STRANGER].host, c->now_ns);
	while (c->kind == ONE_ADDRESS && !y->end[HUB].sent) {
		deliver(y, STRANGER, HUB, c->now_ns);
		lode_peer_host_poll(y->end[HUB].host, c->now_ns);
	}
	if (c->kind == ONE_ADDRESS)
		deliver(y, HUB, STRANGER, c->now_ns);
	if (c->kind == GARBAGE)
		y->end[STRANGER].msg[60] ^= 1;
}

struct outcome {
	double wait_ms, longest_us, busy;
};

static struct outcome flooded(enum flood kind, uint64_t seed)
{
	struct lcore c = {.kind = kind,
		.ring = lode_ring_new(RING_SLOTS, sizeof(struct datagram)),
		.now_ns = LODE_NS_PER_S,
		.arrived_ns = LODE_NS_PER_S};
	struct outcome o = {NAN, NAN, NAN};
	if (c.ring && make_ends(&c.ends, 0, seed, c.now_ns)) {
		arm(&c);
		run(&c, 2 * LODE_NS_PER_S, false);
		uint64_t start_ns = c.now_ns;
		run(&c, start_ns + GIVE_UP_NS, true);
		o.wait_ms = friend_is_in(&c) ? (double)(c.now_ns - start_ns) / 1e6 : INFINITY;
		o.longest_us = (double)c.longest_ns / 1e3;
		o.busy = (double)c.busy_ns / (double)(c.now_ns - LODE_NS_PER_S);
	}
	free_ends(&c.ends);
	lode_ring_free(c.ring);
	return o;
}

static int by_wait(const void *a, const void *b)
{
	const struct outcome *x = a, *y = b;
	return (x->wait_ms > y->wait_ms) - (x->wait_ms < y->wait_ms);
}

void flood_rows(struct lode_perf *p)
{
	for (unsigned kind = 0; kind < N_FLOOD_KINDS; kind++) {
		struct outcome o[N_FLOODS], worst = {0};
		char name[64];
		snprintf(name, sizeof(name), "flood, %s", flood_names[kind]);
		for (unsigned i = 0; i < N_FLOODS; i++) {
			o[i] = flooded((enum flood)kind, i);
			worst.longest_us = LODE_MAX(worst.longest_us, o[i].longest_us);
			worst.busy = LODE_MAX(worst.busy, o[i].busy);
		}
		qsort(o, N_FLOODS, sizeof(o[0]), by_wait);
		lode_perf_row(p, name, "longest pass", worst.longest_us, "us", NULL, NAN);
		lode_perf_row(p, name, "of the core", 100 * worst.busy, "%", NULL, NAN);
		lode_perf_row(p, name, "honest peer in, median", o[N_FLOODS / 2].wait_ms, "ms",
			NULL, NAN);
		lode_perf_row(
			p, name, "honest peer in, worst", o[N_FLOODS - 1].wait_ms, "ms", NULL, NAN);
	}
}
