/* SPDX-License-Identifier: BSD-3-Clause */
/* What is refused at the door: strangers, recordings, floods, wrong keys and versions. */
#include <criterion/criterion.h>

#include "world.h"

#include <stdlib.h>

static struct world *two_sites(uint64_t seed)
{
	struct world *w = world_new(seed, 1);
	site_on(&w->sites[0], true);
	site_on(&w->sites[1], false);
	return w;
}

Test(door, a_recorded_initiation_is_refused)
{
	struct world *w = two_sites(1);
	struct site *b = &w->sites[1];
	world_run(w, 2 * SECOND);
	cr_assert(world_agrees(w));
	struct flight recording = w->last_init;
	uint64_t n_sent = w->n_handshakes_sent, generation = lode_peer_state(b->peer)->generation;
	for (int i = 0; i < 10; i++)
		world_inject(w, &recording);
	cr_assert_eq(site_counters(b)->refused_replay, 10);
	cr_assert_eq(w->n_handshakes_sent, n_sent, "silence");
	cr_assert_eq(lode_peer_state(b->peer)->generation, generation);
	cr_assert(world_agrees(w));
	world_free(w);
}

Test(door, a_recording_from_before_a_restart_leads_to_no_session)
{
	struct world *w = two_sites(2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	world_run(w, 2 * SECOND);
	struct flight recording = w->last_init;
	site_off(a);
	site_off(b);
	site_on(b, false);
	world_inject(w, &recording);
	world_run(w, 20 * SECOND);
	cr_assert_null(lode_peer_state(b->peer)->tx);
	for (unsigned i = 0; i < LODE_WIRE_PHASES; i++)
		cr_assert_null(lode_peer_state(b->peer)->rx[i], "unconfirmed keys are dropped");
	site_on(a, true);
	world_run(w, 2 * SECOND);
	cr_assert(world_agrees(w), "and the real one gets in");
	world_free(w);
}

Test(door, repeats_of_one_initiation_get_one_answer_each_and_one_session)
{
	struct world *w = world_new(3, 3);
	w->duplicate = 1;
	site_on(&w->sites[0], true);
	site_on(&w->sites[1], false);
	world_run(w, 3 * SECOND);
	cr_assert(world_agrees(w));
	cr_assert_eq(site_counters(&w->sites[1])->sessions, 1);
	world_free(w);
}

Test(door, strangers_get_silence)
{
	struct world *w = two_sites(4);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	/* b expects another key at the other end. */
	site_off(b);
	b->params.public_key[5] ^= 1;
	site_on(b, false);
	uint64_t before = w->n_handshakes_sent;
	world_run(w, 10 * SECOND);
	cr_assert_gt(site_counters(b)->refused_stranger, 3);
	cr_assert_eq(site_counters(b)->responses_sent, 0);
	cr_assert_eq(w->n_handshakes_sent - before, site_counters(a)->initiations_sent);
	cr_assert_null(lode_peer_state(a->peer)->tx);
	world_free(w);
}

Test(door, who_does_not_know_our_key_gets_silence)
{
	struct world *w = two_sites(5);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_off(a);
	a->params.public_key[5] ^= 1; /* of b */
	site_on(a, true);
	world_run(w, 10 * SECOND);
	cr_assert_gt(site_counters(b)->refused_mac, 3);
	cr_assert_eq(site_counters(b)->responses_sent + site_counters(b)->cookies_sent, 0);
	world_free(w);
}

static void psk_case(bool at_a, bool at_b, bool same, bool works)
{
	struct world *w = world_new(6, 1);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	a->params.has_psk = at_a;
	b->params.has_psk = at_b;
	memset(a->params.psk, 7, 32);
	memset(b->params.psk, same ? 7 : 8, 32);
	site_on(a, true);
	site_on(b, false);
	world_run(w, 5 * SECOND);
	cr_assert_eq(world_agrees(w), works);
	if (at_a != at_b)
		cr_assert_gt(site_counters(b)->refused_psk, 0);
	if (!same)
		cr_assert_gt(site_counters(a)->refused_crypto, 0);
	world_free(w);
}

Test(door, preshared_keys_must_agree)
{
	psk_case(true, true, true, true);
	psk_case(true, false, true, false);
	psk_case(false, true, true, false);
	psk_case(true, true, false, false);
}

/* Initiations whose first MAC is right, from addresses that do not listen. */
static void flood(struct world *w, unsigned n)
{
	struct flight f = w->last_init;
	for (unsigned i = 0; i < n; i++) {
		f.from.port = (uint16_t)(1000 + i);
		world_inject(w, &f);
	}
}

Test(door, under_load_a_cookie_proves_the_address)
{
	struct world *w = two_sites(7);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	world_run(w, 2 * SECOND);
	site_off(a);
	site_off(b);
	site_on(b, false);
	w->n_handshakes_sent = 0;
	/* 200 a second; the first 50 may pass. */
	for (unsigned i = 0; i < 20; i++) {
		if (i == 10)
			site_on(a, true);
		flood(w, 100);
		world_run(w, 500 * MS);
	}
	cr_assert(world_agrees(w));
	cr_assert_gt(site_counters(b)->cookies_sent, 500);
	cr_assert_gt(site_counters(a)->cookies_received, 0);
	cr_assert_leq(site_counters(b)->refused_replay + site_counters(b)->responses_sent, 200,
		"a flood costs no curve arithmetic");
	world_free(w);
}

Test(door, a_cookie_of_another_address_is_worth_nothing)
{
	struct world *w = two_sites(8);
	struct site *b = &w->sites[1];
	b->host_params.load_per_s = 1;
	site_off(b);
	site_on(b, false);
	world_run(w, 5 * MS);
	struct flight f = w->last_init, forged = f;
	forged.data[20] ^= 1; /* mac1 wrong: no load */
	world_inject(w, &forged);
	w->blocked[1] = true; /* the flood is answered elsewhere */
	flood(w, 2);
	w->blocked[1] = false;
	world_run(w, 50 * MS); /* a has its cookie and repeats with it */
	struct flight with_cookie = w->last_init;
	cr_assert(memcmp(with_cookie.data, f.data, f.len), "mac2 is there now");
	uint64_t n_cookies = site_counters(b)->cookies_sent;
	with_cookie.from.port ^= 1;
	world_inject(w, &with_cookie);
	cr_assert_eq(site_counters(b)->cookies_sent, n_cookies + 1);
	world_free(w);
}

Test(door, versions_must_overlap)
{
	static const struct {
		uint8_t a_min, a_max, b_min, b_max, want;
	} cases[] = {{1, 1, 1, 2, 1}, {1, 2, 2, 3, 2}, {1, 2, 1, 2, 2}, {1, 1, 2, 3, 0},
		{3, 4, 1, 2, 0}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		struct world *w = world_new(9, 1);
		struct site *a = &w->sites[0], *b = &w->sites[1];
		a->host_params.version_min = cases[i].a_min;
		a->host_params.version_max = cases[i].a_max;
		b->host_params.version_min = cases[i].b_min;
		b->host_params.version_max = cases[i].b_max;
		a->host_params.features = 6;
		b->host_params.features = 3;
		site_on(a, true);
		site_on(b, false);
		world_run(w, 2 * SECOND);
		const struct lode_peer_epoch *e = lode_peer_state(a->peer)->tx;
		cr_assert_eq(e ? e->version : 0, cases[i].want, "case %zu", i);
		if (e)
			cr_assert_eq(e->features, 2);
		else
			cr_assert_gt(site_counters(b)->refused_version, 0);
		world_free(w);
	}
}

Test(door, counters_are_never_used_twice)
{
	struct world *w = two_sites(10);
	struct site *a = &w->sites[0];
	for (int i = 0; i < 5; i++) {
		world_run(w, 3 * SECOND);
		cr_assert(world_agrees(w), "restart %d: a higher counter is accepted at once", i);
		site_off(a);
		site_on(a, true);
	}
	site_off(a);
	a->disk_full = true;
	site_on(a, true);
	w->n_handshakes_sent = 0;
	world_run(w, 10 * SECOND);
	cr_assert_eq(site_counters(a)->initiations_sent, 0, "no counter kept, no initiation");
	a->disk_full = false;
	world_run(w, 10 * SECOND);
	cr_assert(world_agrees(w));
	world_free(w);
}

Test(door, noise_of_all_lengths_changes_nothing)
{
	struct world *w = two_sites(11);
	struct site *b = &w->sites[1];
	world_run(w, 2 * SECOND);
	cr_assert(world_agrees(w));
	uint64_t generation = lode_peer_state(b->peer)->generation;
	struct flight f = {.from = site_endpoint(&w->sites[0], 0), .to = site_endpoint(b, 0)};
	for (unsigned i = 0; i < 5000; i++) {
		f.len = (uint16_t)(8 + lode_rng_below(&w->rng, 300));
		for (unsigned j = 0; j < f.len; j++)
			f.data[j] = (uint8_t)lode_rng_u64(&w->rng);
		f.data[0] = (uint8_t)((4 + i % 3) << 4 | 1);
		world_inject(w, &f);
	}
	cr_assert_eq(lode_peer_state(b->peer)->generation, generation);
	cr_assert(world_agrees(w));
	world_free(w);
}

/* Every byte of a real initiation and of a real response changed, one at a time. */
Test(door, changed_bytes_are_refused)
{
	struct world *w = two_sites(12);
	struct site *b = &w->sites[1];
	w->blocked[0] = true;
	world_run(w, 10 * MS);
	struct flight init = w->last_init;
	for (unsigned i = 0; i < init.len - 16u; i++) { /* mac2 is not looked at without load */
		struct flight f = init;
		f.data[i] ^= 0x10;
		world_inject(w, &f);
		cr_assert_eq(lode_peer_state(b->peer)->generation, 0, "byte %u", i);
	}
	world_inject(w, &init);
	cr_assert_eq(lode_peer_state(b->peer)->generation, 1);
	world_free(w);
}
