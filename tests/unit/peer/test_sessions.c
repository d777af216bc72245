/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions in virtual time: loss, reordering, duplicates, both at once, rekeys, restarts. */
#include <criterion/criterion.h>

#include "world.h"

#define N_SEEDS 20

Test(sessions, one_dials_the_other_learns)
{
	struct world *w = world_new(1, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, false);
	world_run(w, SECOND);
	cr_assert(world_agrees(w));
	const struct lode_peer_state *state = lode_peer_state(b->peer);
	for (unsigned path = 0; path < 2; path++) {
		struct lode_endpoint want = site_endpoint(a, path);
		cr_assert(state->paths[path].valid);
		cr_assert(lode_endpoint_equal(&state->paths[path].remote[0], &want));
		cr_assert_eq(state->paths[path].remote[1].port, UDP_PORT + 1, "the second lane's");
	}
	cr_assert_eq(site_counters(a)->sessions, 1);
	cr_assert_eq(site_counters(b)->sessions, 1);
	world_free(w);
}

Test(sessions, the_responder_seals_only_after_it_opened)
{
	struct world *w = world_new(2, 1);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, true);
	struct lode_peer_info info;
	while (w->now_ns < 1005 * SECOND) {
		uint64_t opened[2] = {a->n_opened, b->n_opened};
		world_run(w, MS);
		for (unsigned i = 0; i < 2; i++) {
			struct site *s = &w->sites[i];
			lode_peer_info(s->peer, &info);
			if (info.established && !info.initiator && !opened[i])
				cr_assert_gt(s->n_opened, 0);
		}
	}
	cr_assert(world_agrees(w));
	world_free(w);
}

Test(sessions, survive_loss_reordering_and_duplicates)
{
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		struct world *w = world_new(seed, 1 + seed % 3);
		w->loss = 0.1 + 0.05 * (double)(seed % 9);
		w->duplicate = 0.2;
		w->jitter_ns = (seed % 5) * 30 * MS;
		site_on(&w->sites[0], true);
		site_on(&w->sites[1], seed % 2);
		world_run(w, 40 * SECOND);
		cr_assert(
			world_agrees(w), "seed %llu, loss %.2f", (unsigned long long)seed, w->loss);
		cr_assert_eq(w->sites[0].n_forged + w->sites[1].n_forged, 0);
		world_free(w);
	}
}

Test(sessions, both_begin_at_once)
{
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		struct world *w = world_new(seed + 100, 2);
		w->delay_ns = seed * 50 * MS; /* to a round trip of 2 s */
		site_on(&w->sites[0], true);
		site_on(&w->sites[1], true);
		world_run(w, 4 * SECOND);
		cr_assert(world_agrees(w), "seed %llu", (unsigned long long)seed);
		struct lode_peer_info info[2];
		lode_peer_info(w->sites[0].peer, &info[0]);
		lode_peer_info(w->sites[1].peer, &info[1]);
		cr_assert_eq(info[0].initiator + info[1].initiator, 1);
		unsigned smaller = memcmp(w->sites[0].pub, w->sites[1].pub, 32) < 0 ? 0 : 1;
		cr_assert(info[smaller].initiator, "seed %llu: the smaller key begins",
			(unsigned long long)seed);
		world_free(w);
	}
}

Test(sessions, the_larger_key_gets_through_when_the_smaller_cannot)
{
	struct world *w = world_new(7, 1);
	unsigned smaller = memcmp(w->sites[0].pub, w->sites[1].pub, 32) < 0 ? 0 : 1;
	struct site *silent = &w->sites[smaller];
	site_on(silent, true);
	/* What it dials is not where the other one is, but what comes in it can answer. */
	struct lode_peer_link link = silent->params.links[0];
	link.remote.port = 9;
	lode_ip_parse("192.0.2.9", &link.remote.ip);
	cr_assert_eq(
		lode_peer_set_links(silent->peer, &link, 1, &silent->params.lanes, w->now_ns, NULL),
		0);
	site_on(&w->sites[1 - smaller], true);
	world_run(w, 6 * SECOND);
	cr_assert(world_agrees(w));
	cr_assert_gt(site_counters(silent)->yielded, 0);
	world_free(w);
}

/* Ten minutes, several rekeys: no packet that arrives is ever without its key. */
static void run_rekeys(uint64_t seed, double loss)
{
	struct world *w = world_new(seed, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	w->loss = loss;
	w->duplicate = 0.1;
	w->jitter_ns = 40 * MS;
	site_on(a, true);
	site_on(b, seed % 2);
	world_run(w, 20 * SECOND);
	cr_assert(world_agrees(w));
	uint32_t association = lode_peer_state(a->peer)->association;
	uint64_t no_key = a->n_no_key + b->n_no_key;
	world_run(w, 600 * SECOND);
	cr_assert(world_agrees(w), "seed %llu", (unsigned long long)seed);
	cr_assert_geq(a->tx_serials, 5);
	cr_assert_geq(b->tx_serials, 5);
	cr_assert_leq(a->tx_serials, 12);
	cr_assert_eq(a->n_forged + b->n_forged, 0);
	cr_assert_eq(a->n_no_key + b->n_no_key, no_key, "seed %llu: packets came without their key",
		(unsigned long long)seed);
	cr_assert_eq(lode_peer_state(a->peer)->association, association, "a rekey keeps sequences");
	struct lode_peer_info info;
	lode_peer_info(a->peer, &info);
	cr_assert_lt(info.established_ns, 1021 * SECOND);
	world_free(w);
}

Test(sessions, rekey_without_a_packet_lost_for_want_of_a_key)
{
	run_rekeys(1, 0);
	run_rekeys(2, 0);
}

Test(sessions, rekey_under_loss)
{
	for (uint64_t seed = 3; seed <= 8; seed++)
		run_rekeys(seed, 0.05 * (double)(seed - 1));
}

Test(sessions, packets_sealed_ask_for_new_keys_too)
{
	struct world *w = world_new(4, 1);
	struct site *a = &w->sites[0];
	site_on(a, true);
	site_on(&w->sites[1], false);
	world_run(w, 5 * SECOND);
	cr_assert_eq(a->tx_serials, 1);
	a->report.tx_packets = LODE_PEER_REKEY_PACKETS;
	world_run(w, 200 * MS);
	a->report.tx_packets = 0;
	world_run(w, SECOND);
	cr_assert_eq(a->tx_serials, 2);
	world_free(w);
}

Test(sessions, old_keys_end_after_180_seconds)
{
	struct world *w = world_new(5, 1);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, false);
	world_run(w, 10 * SECOND);
	cr_assert(world_agrees(w));
	w->blocked[0] = w->blocked[1] = true;
	world_run(w, 165 * SECOND);
	cr_assert(lode_peer_state(a->peer)->tx, "still young enough");
	world_run(w, 10 * SECOND);
	for (unsigned i = 0; i < 2; i++) {
		const struct lode_peer_state *state = lode_peer_state(w->sites[i].peer);
		cr_assert_null(state->tx);
		for (unsigned phase = 0; phase < LODE_WIRE_PHASES; phase++)
			cr_assert_null(state->rx[phase]);
	}
	w->blocked[0] = w->blocked[1] = false;
	world_run(w, 12 * SECOND);
	cr_assert(world_agrees(w), "back when the network is");
	cr_assert_eq(lode_peer_state(a->peer)->association, 1, "the other end forgot nothing");
	world_free(w);
}

static void restart(bool dialler, bool both_dial)
{
	struct world *w = world_new(6 + dialler, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, both_dial);
	world_run(w, 30 * SECOND);
	cr_assert(world_agrees(w));
	struct site *s = dialler ? a : b, *other = dialler ? b : a;
	site_off(s);
	world_run(w, 5 * SECOND);
	site_on(s, s == a || both_dial);
	world_run(w, 8 * SECOND);
	cr_assert(world_agrees(w));
	cr_assert_eq(lode_peer_state(other->peer)->association, 2, "it noticed the lost memory");
	world_free(w);
}

Test(sessions, restart_of_either_end)
{
	restart(true, false);
	restart(false, false);
	restart(true, true);
	restart(false, true);
}

Test(sessions, goodbye_ends_the_session_at_once)
{
	struct world *w = world_new(9, 1);
	struct site *a = &w->sites[0];
	site_on(a, true);
	site_on(&w->sites[1], false);
	world_run(w, 2 * SECOND);
	lode_peer_closed(a->peer, w->now_ns);
	cr_assert_null(lode_peer_state(a->peer)->tx);
	world_run(w, 3 * SECOND);
	cr_assert(world_agrees(w), "and a new one begins a second later");
	world_free(w);
}

Test(sessions, quiet_when_nobody_answers)
{
	struct world *w = world_new(10, 2);
	site_on(&w->sites[0], true);
	world_run(w, 600 * SECOND);
	/* 7 rounds over 2 links in an attempt of 5 s, then a pause of 2 s: about 86 attempts. */
	cr_assert_leq(w->n_handshakes_sent, 1300);
	cr_assert_geq(w->n_handshakes_sent, 1000);
	struct lode_peer_info info;
	lode_peer_info(w->sites[0].peer, &info);
	cr_assert_geq(info.n_failed, 50);
	world_free(w);
}

Test(sessions, same_seed_same_bytes)
{
	uint64_t sent[2];
	struct flight last[2];
	for (unsigned i = 0; i < 2; i++) {
		struct world *w = world_new(11, 2);
		w->loss = 0.3;
		w->jitter_ns = 50 * MS;
		site_on(&w->sites[0], true);
		site_on(&w->sites[1], true);
		world_run(w, 130 * SECOND);
		sent[i] = w->n_handshakes_sent;
		last[i] = w->last_init;
		world_free(w);
	}
	cr_assert_eq(sent[0], sent[1]);
	cr_assert(!memcmp(&last[0], &last[1], sizeof(last[0])));
}
