/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_snapshot.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- routes against a linear search ---- */

#define N_ROUTES 400

struct naive_route {
	struct lode_prefix prefix;
	uint8_t idx;
};

static bool covers(const struct lode_prefix *p, const struct lode_ip *ip)
{
	for (unsigned bit = 0; bit < p->len; bit++) {
		if ((p->ip.b[bit / 8] ^ ip->b[bit / 8]) & 0x80 >> bit % 8)
			return false;
	}
	return true;
}

/* The newest of the longest prefixes; NULL: none. */
static const struct naive_route *naive_lookup(
	const struct naive_route *r, unsigned n, const struct lode_ip *ip)
{
	const struct naive_route *best = NULL;
	for (unsigned i = 0; i < n; i++) {
		if (covers(&r[i].prefix, ip) && (!best || r[i].prefix.len >= best->prefix.len))
			best = &r[i];
	}
	return best;
}

/* Addresses that share leading bytes, so that prefixes nest. */
static struct lode_ip random_ip(struct lode_rng *rng, bool v4)
{
	struct lode_ip ip;
	for (unsigned i = 0; i < 16; i++)
		ip.b[i] = (uint8_t)lode_rng_below(rng, i < 14 ? 2 : 256);
	return v4 ? lode_ip_from_v4_be(
			    (uint32_t)(lode_rng_below(rng, 3) | lode_rng_below(rng, 4) << 8 |
				       lode_rng_u64(rng) << 16))
		  : ip;
}

static void agree(const struct lode_routes *r, const struct naive_route *naive, unsigned n,
	const struct lode_ip *ip)
{
	const struct naive_route *want = naive_lookup(naive, n, ip);
	const struct lode_route *got = lode_ip_is_v4(ip) ? lode_routes_lookup4(r, lode_ip_v4_be(ip))
							 : lode_routes_lookup6(r, ip->b);
	cr_assert_eq(got->kind, want ? LODE_ROUTE_PEER : LODE_ROUTE_NONE);
	if (want)
		cr_assert_eq(got->idx, want->idx);
	cr_assert_eq(lode_routes_lookup6(r, ip->b), got, "both families live in one table");
}

Test(routes, agree_with_a_linear_search)
{
	struct naive_route naive[N_ROUTES];
	struct lode_rng rng;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct lode_routes *r = lode_routes_new();
		lode_rng_seed(&rng, seed);
		for (unsigned i = 0; i < N_ROUTES; i++) {
			bool v4 = lode_rng_below(&rng, 2);
			struct lode_route route = {.kind = LODE_ROUTE_PEER, .idx = (uint8_t)i};
			naive[i].idx = (uint8_t)i;
			naive[i].prefix.ip = random_ip(&rng, v4);
			naive[i].prefix.len = (uint8_t)(v4 ? 96 + lode_rng_below(&rng, 33)
							   : lode_rng_below(&rng, 129));
			cr_assert_eq(lode_routes_add(r, &naive[i].prefix, &route), 0);
			for (unsigned k = 0; k < 20; k++) {
				struct lode_ip ip = random_ip(&rng, k % 2);
				agree(r, naive, i + 1, &ip);
				agree(r, naive, i + 1,
					&naive[lode_rng_below(&rng, i + 1)].prefix.ip);
			}
		}
		lode_routes_unref(r);
	}
}

Test(routes, refuse_what_is_no_prefix)
{
	struct lode_routes *r = lode_routes_new();
	struct lode_prefix prefix = {.len = 129};
	struct lode_route route = {.kind = LODE_ROUTE_HOST};
	cr_assert_eq(lode_routes_add(r, &prefix, &route), -EINVAL);
	cr_assert_eq(lode_routes_lookup4(r, 0)->kind, LODE_ROUTE_NONE);
	prefix.len = 0;
	cr_assert_eq(lode_routes_add(r, &prefix, &route), 0);
	cr_assert_eq(lode_routes_lookup4(r, 0x01020304)->kind, LODE_ROUTE_HOST);
	lode_routes_unref(r);
}

/* ---- neighbours ---- */

Test(neighbours, find_what_was_added_and_nothing_else)
{
	struct lode_neighbours *t = lode_neighbours_new(100, 42);
	for (unsigned i = 0; i < 100; i++) {
		struct lode_neighbour n = {
			.ip = lode_ip_from_v4_be(i / 2), .port_idx = i % 2, .mac = {(uint8_t)i}};
		cr_assert_eq(lode_neighbours_add(t, &n), 0);
	}
	struct lode_neighbour more = {.ip = lode_ip_from_v4_be(1000)};
	cr_assert_eq(lode_neighbours_add(t, &more), -ENOSPC);
	for (unsigned i = 0; i < 200; i++) {
		struct lode_ip ip = lode_ip_from_v4_be(i / 2);
		const struct lode_neighbour *n = lode_neighbours_lookup(t, i % 2, &ip);
		cr_assert_eq(n != NULL, i < 100);
		if (n)
			cr_assert_eq(n->mac[0], i);
	}
	struct lode_neighbour again = {.ip = lode_ip_from_v4_be(3), .port_idx = 1, .mac = {0xee}};
	cr_assert_eq(lode_neighbours_add(t, &again), 0, "replaces, needs no room");
	cr_assert_eq(lode_neighbours_lookup(t, 1, &again.ip)->mac[0], 0xee);
	lode_neighbours_unref(t);
}

/* ---- snapshots ---- */

static unsigned n_released;

static void count_release(struct lode_peer_view *v)
{
	n_released++;
	free(v);
}

static struct lode_peer_view *view(uint8_t peer_idx, const uint16_t sessions[LODE_EPOCHS])
{
	struct lode_peer_view *v = calloc(1, sizeof(*v));
	v->refs = 1;
	v->release = count_release;
	v->peer_idx = peer_idx;
	for (unsigned e = 0; e < LODE_EPOCHS; e++) {
		v->epochs[e].rx_valid = sessions[e] != 0;
		v->epochs[e].rx_session = sessions[e];
	}
	return v;
}

Test(snapshot, sessions_lead_to_peers_and_references_are_given_back)
{
	struct lode_routes *routes = lode_routes_new();
	struct lode_snapshot *a = lode_snapshot_new(1), *b = lode_snapshot_new(2);
	/* Every peer with three epochs, all of them crowding into neighbouring slots. */
	for (unsigned p = 0; p < LODE_PEERS_MAX; p++) {
		uint16_t s[LODE_EPOCHS];
		for (unsigned e = 0; e < LODE_EPOCHS; e++)
			s[e] = (uint16_t)(1 + (p * LODE_EPOCHS + e) % 100 + 512 * (p % 100));
		a->peers[p] = b->peers[p] = view((uint8_t)p, s);
	}
	a->routes = b->routes = routes;
	cr_assert_eq(lode_snapshot_finish(a, NULL), 0);
	cr_assert_eq(lode_snapshot_finish(b, NULL), 0);
	for (unsigned p = 0; p < LODE_PEERS_MAX; p++) {
		for (unsigned e = 0; e < LODE_EPOCHS; e++) {
			const struct lode_session_slot *slot =
				lode_snapshot_session(a, a->peers[p]->epochs[e].rx_session);
			cr_assert_not_null(slot);
			cr_assert(slot->peer_idx == p && slot->epoch == e);
		}
		lode_peer_view_unref(a->peers[p]); /* control forgets it; the snapshots hold it */
	}
	cr_assert_null(lode_snapshot_session(a, 0));
	cr_assert_null(lode_snapshot_session(a, 65535));
	lode_snapshot_free(a);
	cr_assert_eq(n_released, 0);
	lode_snapshot_free(b);
	cr_assert_eq(n_released, LODE_PEERS_MAX);
	lode_routes_unref(routes);
}

Test(snapshot, refuses_one_session_for_two_peers)
{
	uint16_t s[LODE_EPOCHS] = {77};
	struct lode_err err = {0};
	struct lode_snapshot *a = lode_snapshot_new(1);
	a->peers[0] = view(0, s);
	a->peers[5] = view(5, s);
	cr_assert_eq(lode_snapshot_finish(a, &err), -EEXIST);
	cr_assert_not_null(strstr(err.msg, "77"));
	lode_peer_view_unref(a->peers[0]);
	lode_peer_view_unref(a->peers[5]);
	lode_snapshot_free(a);
	cr_assert_eq(n_released, 2);
}

/* ---- the seqlock: a reader never sees half of a summary ---- */

#define N_PUBLISHED 20000

static void *publish(void *arg)
{
	struct lode_lane_summary s;
	memset(&s, 0, sizeof(s));
	for (uint64_t i = 1; i <= N_PUBLISHED; i++) {
		s.now_ns = i;
		s.paths[3].tx_bytes = i;
		s.classes[LODE_N_CLASSES - 1].duplicates = i;
		lode_lane_summary_publish(arg, &s);
	}
	return NULL;
}

Test(summary, is_read_whole)
{
	struct lode_lane_summary *slot = calloc(1, sizeof(*slot));
	struct lode_lane_summary s;
	pthread_t writer;
	uint64_t n_read = 0;
	pthread_create(&writer, NULL, publish, slot);
	do {
		if (!lode_lane_summary_read(slot, &s))
			continue;
		n_read++;
		cr_assert_eq(s.now_ns, s.paths[3].tx_bytes);
		cr_assert_eq(s.now_ns, s.classes[LODE_N_CLASSES - 1].duplicates);
	} while (s.now_ns != N_PUBLISHED);
	pthread_join(writer, NULL);
	cr_assert_gt(n_read, 0);
	free(slot);
}
