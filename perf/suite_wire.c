/* SPDX-License-Identifier: BSD-3-Clause */
/* Sealing and opening a datagram (AES-256-GCM, bursts of 32, libipsec-mb against OpenSSL), the replay window, what a
 * handshake costs the control lcore, and what a flood of them does to it. */
#include "wire_handshake.h"

#include "lode_aead.h"
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
		handshake_rows(p);
	if (lode_perf_wanted(p, "flood"))
		flood_rows(p);
	return 0;
}
