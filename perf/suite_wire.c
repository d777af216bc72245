/* SPDX-License-Identifier: BSD-3-Clause */
/* Sealing and opening a datagram (AES-256-GCM, bursts of 32, libipsec-mb against OpenSSL), the replay window, and
 * what a handshake costs the control lcore. */
#include "lode_perf.h"

#include "lode_aead.h"
#include "lode_peer.h"
#include "lode_noise.h"
#include "lode_wire.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BURST	  32
#define N_CALLS	  2000
#define N_BATCHES 21
#define SLOT	  2048

int suite_wire(struct lode_perf *p);

struct aead_run {
	struct lode_aead_key *key;
	struct lode_aead_op ops[BURST];
	uint8_t *slots, *sealed;
	uint64_t n_authentic;
};

static void seal(void *arg)
{
	struct aead_run *r = arg;
	lode_aead_seal_burst(r->key, r->ops, BURST);
}

/* Opening in place destroys the sealed text: each call starts from a copy, whose cost is measured apart. */
static void copy(void *arg)
{
	struct aead_run *r = arg;
	for (unsigned i = 0; i < BURST; i++)
		memcpy(r->slots + i * SLOT, r->sealed + i * SLOT,
			r->ops[i].aad_bytes + r->ops[i].text_bytes + LODE_AEAD_TAG_BYTES);
}

static void copy_and_open(void *arg)
{
	struct aead_run *r = arg;
	copy(r);
	r->n_authentic +=
		(uint64_t)__builtin_popcountll(lode_aead_open_burst(r->key, r->ops, BURST));
}

struct aead_ns {
	double seal, open;
};

static struct aead_ns measure_aead(const char *backend, uint16_t text_bytes)
{
	struct aead_ns ns = {NAN, NAN};
	static const uint8_t secret[LODE_AEAD_KEY_BYTES] = {1};
	struct lode_aead *a = lode_aead_new(backend, NULL);
	struct aead_run r = {.key = a ? lode_aead_key_new(a, secret, 1) : NULL,
		.slots = calloc(BURST, SLOT),
		.sealed = calloc(BURST, SLOT)};
	if (r.key && r.slots && r.sealed) {
		for (unsigned i = 0; i < BURST; i++)
			r.ops[i] = (struct lode_aead_op){.data = r.slots + i * SLOT,
				.nonce = i,
				.aad_bytes = LODE_WIRE_CLEAR_BYTES,
				.text_bytes = text_bytes};
		seal(&r);
		memcpy(r.sealed, r.slots, BURST * SLOT);
		ns.open = (lode_perf_median_ns(copy_and_open, &r, N_CALLS, N_BATCHES) -
				  lode_perf_median_ns(copy, &r, N_CALLS, N_BATCHES)) /
			  BURST;
		ns.seal = lode_perf_median_ns(seal, &r, N_CALLS, N_BATCHES) / BURST;
		if (r.n_authentic != (uint64_t)BURST * N_CALLS * N_BATCHES)
			ns.open = NAN; /* a number for failed openings would be a lie */
	}
	lode_aead_key_free(r.key);
	lode_aead_free(a);
	free(r.slots);
	free(r.sealed);
	return ns;
}

static void aead_rows(struct lode_perf *p)
{
	static const uint16_t sizes[] = {64, 512, 1400};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(sizes); i++) {
		char name[32];
		lode_perf_progress(p, "AEAD, %u bytes", sizes[i]);
		struct aead_ns evp = measure_aead("openssl", sizes[i]);
		struct aead_ns mb = measure_aead("ipsec-mb", sizes[i]);
		snprintf(name, sizeof(name), "seal-%u", sizes[i]);
		lode_perf_row(
			p, name, "ipsec-mb", mb.seal, "ns/packet", "openssl", evp.seal / mb.seal);
		lode_perf_row(p, name, "openssl", evp.seal, "ns/packet", NULL, NAN);
		snprintf(name, sizeof(name), "open-%u", sizes[i]);
		lode_perf_row(
			p, name, "ipsec-mb", mb.open, "ns/packet", "openssl", evp.open / mb.open);
		lode_perf_row(p, name, "openssl", evp.open, "ns/packet", NULL, NAN);
	}
}

/* ---- replay window ---- */

struct replay_run {
	struct lode_wire_replay window;
	uint64_t number;
};

/* Neighbours swapped, as two queues of a NIC deliver them. */
static void accept_pair(void *arg)
{
	struct replay_run *r = arg;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t low = (uint32_t)(r->number + !i);
		uint64_t number = lode_wire_replay_expand(&r->window, low);
		if (lode_wire_replay_check(&r->window, number))
			lode_wire_replay_accept(&r->window, number);
	}
	r->number += 2;
}

/* ---- handshake ---- */

struct end {
	struct lode_peer_host *host;
	struct lode_peer *peer;
	struct lode_rng rng;
	struct end *other;
	uint8_t msg[LODE_PEER_DATAGRAM_MAX];
	struct lode_peer_datagram last;
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
	e->last.local = e->last.remote =
		(struct lode_endpoint){.ip = lode_ip_from_v4_be(1), .port = 1};
}

static bool make_ends(struct end ends[2], const struct lode_aead *aead, uint64_t now_ns)
{
	uint8_t priv[2][32], pub[2][32];
	for (unsigned i = 0; i < 2; i++) {
		lode_rng_seed(&ends[i].rng, i + 1);
		end_random(&ends[i], priv[i], 32);
		struct lode_peer_host_params params = {.aead = aead,
			.udp_port = 1,
			.load_per_s = 1u << 30,
			.ctx = &ends[i],
			.random = end_random,
			.save_counter = end_save,
			.send = end_send};
		memcpy(params.private_key, priv[i], 32);
		ends[i].host = lode_peer_host_new(&params, NULL);
		if (lode_noise_public_key(priv[i], pub[i]) || !ends[i].host)
			return false;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct lode_peer_params params = {.n_links = 1,
			.links = {{.name = "wan0"}},
			.lanes = {.n_lanes = 1, .udp_port = {1}}};
		memcpy(params.public_key, pub[1 - i], 32);
		if (!i)
			params.links[0].remote =
				(struct lode_endpoint){.ip = lode_ip_from_v4_be(1), .port = 1};
		ends[i].peer = lode_peer_new(ends[i].host, &params, now_ns, NULL);
		if (!ends[i].peer)
			return false;
	}
	return true;
}

/* CPU of the responder for one initiation up to its answer: the part that a stranger can ask for. */
static double responder_us(void)
{
	enum { N = 200 };
	struct end ends[2] = {0};
	uint64_t now_ns = LODE_NS_PER_S, spent_ns = 0;
	struct lode_aead *aead = lode_aead_new("auto", NULL);
	bool ok = aead && make_ends(ends, aead, now_ns);
	for (unsigned i = 0; ok && i < N; i++) {
		lode_peer_host_poll(ends[0].host, now_ns); /* a new attempt: none was answered */
		uint64_t start_ns = lode_perf_cpu_ns();
		ok = !lode_peer_host_input(ends[1].host, now_ns, &ends[0].last);
		lode_peer_installed(ends[1].peer, UINT64_MAX, now_ns);
		spent_ns += lode_perf_cpu_ns() - start_ns;
		now_ns += 20 * LODE_NS_PER_S;
		lode_peer_host_poll(ends[0].host, now_ns); /* the attempt fails */
		now_ns += 20 * LODE_NS_PER_S;
	}
	lode_peer_host_free(ends[0].host);
	lode_peer_host_free(ends[1].host);
	lode_aead_free(aead);
	return ok ? (double)spent_ns / N / 1e3 : NAN;
}

int suite_wire(struct lode_perf *p)
{
	if (lode_perf_wanted(p, "aead"))
		aead_rows(p);
	if (lode_perf_wanted(p, "replay")) {
		static struct replay_run r;
		double ns = lode_perf_median_ns(accept_pair, &r, 100000, N_BATCHES) / 2;
		lode_perf_row(p, "replay", "expand, check, accept", ns, "ns/packet", NULL, NAN);
	}
	if (lode_perf_wanted(p, "handshake"))
		lode_perf_row(
			p, "handshake", "responder", responder_us(), "us/initiation", NULL, NAN);
	return 0;
}
