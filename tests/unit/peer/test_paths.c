/* SPDX-License-Identifier: BSD-3-Clause */
/* Path ids, addresses, roaming, links that come and go. */
#include <criterion/criterion.h>

#include "world.h"

static void name_link(struct site *s, unsigned i, const char *name)
{
	memset(s->params.links[i].name, 0, LODE_NAME_MAX);
	strncpy(s->params.links[i].name, name, LODE_NAME_MAX - 1);
}

Test(paths, links_pair_by_name_and_ids_are_the_initiators)
{
	struct world *w = world_new(1, 3);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	name_link(a, 0, "dsl");
	name_link(a, 1, "lte");
	name_link(a, 2, "sat");
	name_link(b, 0, "lte");
	name_link(b, 1, "only-here");
	name_link(b, 2, "dsl");
	a->params.links[0].port_idx = 2; /* dsl: port 2 here as there */
	a->params.links[1].port_idx = 0;
	a->params.links[2].port_idx = 1;
	site_on(a, true);
	site_on(b, false);
	world_run(w, 2 * SECOND);
	cr_assert(world_agrees(w));
	const struct lode_peer_state *at_a = lode_peer_state(a->peer),
				     *at_b = lode_peer_state(b->peer);
	cr_assert_str_eq(at_b->paths[0].name, "dsl");
	cr_assert_str_eq(at_b->paths[1].name, "lte");
	cr_assert_eq(at_b->paths[0].port_idx, 2);
	cr_assert_eq(at_b->paths[1].port_idx, 0);
	cr_assert_not(at_b->paths[2].valid);
	cr_assert_not(at_a->paths[2].valid, "the other end does not have it");
	cr_assert_eq(at_a->paths[0].link_idx, 0);
	world_free(w);
}

Test(paths, ids_survive_rekeys_by_either_end)
{
	struct world *w = world_new(2, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	name_link(b, 0, "wan1");
	name_link(b, 1, "wan0");
	b->params.links[0].port_idx = 1;
	b->params.links[1].port_idx = 0;
	site_on(a, true);
	site_on(b, true);
	world_run(w, 2 * SECOND);
	char first[LODE_NAME_MAX];
	memcpy(first, lode_peer_state(a->peer)->paths[0].name, sizeof(first));
	for (unsigned i = 0; i < 4; i++) {
		/* The end whose turn it is cannot be heard: the other one renews. */
		struct lode_peer_info info;
		lode_peer_info(a->peer, &info);
		world_run(w, 115 * SECOND);
		w->blocked[i % 2] = true;
		world_run(w, 4 * SECOND);
		w->blocked[i % 2] = false;
		world_run(w, 25 * SECOND);
		cr_assert(world_agrees(w));
		cr_assert_str_eq(lode_peer_state(a->peer)->paths[0].name, first);
		cr_assert_str_eq(lode_peer_state(b->peer)->paths[0].name, first);
	}
	cr_assert_eq(lode_peer_state(a->peer)->association, 1);
	world_free(w);
}

Test(paths, roaming_follows_authentic_packets)
{
	struct world *w = world_new(3, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, false);
	world_run(w, 2 * SECOND);
	lode_ip_parse("198.51.100.77", &a->addr[1]);
	world_run(w, SECOND);
	struct lode_endpoint want = site_endpoint(a, 1);
	const struct lode_peer_path *path = &lode_peer_state(b->peer)->paths[1];
	cr_assert(lode_endpoint_equal(&path->remote[0], &want));
	cr_assert(
		!memcmp(&path->remote[1].ip, &want.ip, sizeof(want.ip)), "its other lane follows");
	cr_assert(world_agrees(w));
	world_free(w);
}

Test(paths, roaming_reports_that_make_no_sense_are_refused)
{
	struct world *w = world_new(4, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, false);
	world_run(w, 2 * SECOND);
	struct lode_endpoint to = site_endpoint(a, 0), none = {0};
	uint64_t generation = lode_peer_state(b->peer)->generation;
	cr_assert_eq(lode_peer_roam(b->peer, 5, 0, 0, &to, w->now_ns), -ENOENT);
	cr_assert_eq(lode_peer_roam(b->peer, 0, 9, 0, &to, w->now_ns), -ENOENT);
	cr_assert_eq(lode_peer_roam(b->peer, 0, 0, 1, &to, w->now_ns), -EINVAL);
	cr_assert_eq(lode_peer_roam(b->peer, 0, 0, 0, &none, w->now_ns), -EINVAL);
	cr_assert_eq(lode_peer_roam(b->peer, 0, 0, 0, &to, 1000 * SECOND), -ESTALE);
	cr_assert_eq(lode_peer_roam(b->peer, 0, 0, 0, &to, w->now_ns), 0, "where it is already");
	cr_assert_eq(lode_peer_state(b->peer)->generation, generation);
	world_free(w);
}

Test(paths, links_come_and_go_while_running)
{
	struct world *w = world_new(5, 2);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, false);
	world_run(w, 5 * SECOND);
	struct lode_peer_link links[3];
	memcpy(links, a->params.links, 2 * sizeof(links[0]));
	links[2] = (struct lode_peer_link){
		.name = "wan2", .port_idx = 2, .remote = site_endpoint(b, 2)};
	cr_assert_eq(lode_peer_set_links(a->peer, links, 3, &a->params.lanes, w->now_ns, NULL), 0);
	world_run(w, SECOND);
	cr_assert_not(
		lode_peer_state(a->peer)->paths[2].valid, "the other end does not have it yet");
	struct lode_peer_link at_b[3];
	memcpy(at_b, b->params.links, 2 * sizeof(links[0]));
	at_b[2] = (struct lode_peer_link){.name = "wan2", .port_idx = 2};
	cr_assert_eq(lode_peer_set_links(b->peer, at_b, 3, &b->params.lanes, w->now_ns, NULL), 0);
	world_run(w, 3 * SECOND);
	cr_assert(lode_peer_state(a->peer)->paths[2].valid);
	cr_assert(lode_peer_state(b->peer)->paths[2].valid);

	cr_assert_eq(
		lode_peer_set_links(a->peer, links + 1, 2, &a->params.lanes, w->now_ns, NULL), 0);
	cr_assert_not(lode_peer_state(a->peer)->paths[0].valid, "gone at once");
	world_run(w, 3 * SECOND);
	cr_assert_not(lode_peer_state(b->peer)->paths[0].valid);
	cr_assert_str_eq(lode_peer_state(b->peer)->paths[1].name, "wan1");
	cr_assert_str_eq(lode_peer_state(b->peer)->paths[2].name, "wan2");
	cr_assert(world_agrees(w));
	cr_assert_eq(lode_peer_state(b->peer)->association, 1, "nothing else starts anew");
	world_free(w);
}

Test(paths, a_new_address_in_the_configuration_is_used)
{
	struct world *w = world_new(6, 1);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, false);
	world_run(w, 5 * SECOND);
	lode_ip_parse("203.0.113.5", &b->addr[0]);
	struct lode_peer_link link = a->params.links[0];
	link.remote = site_endpoint(b, 0);
	cr_assert_eq(lode_peer_set_links(a->peer, &link, 1, &a->params.lanes, w->now_ns, NULL), 0);
	cr_assert_eq(lode_peer_state(a->peer)->paths[0].remote[0].port, UDP_PORT);
	cr_assert(!memcmp(&lode_peer_state(a->peer)->paths[0].remote[0].ip, &b->addr[0], 16));
	world_run(w, SECOND);
	cr_assert(world_agrees(w));
	cr_assert_eq(a->tx_serials, 1, "without a new handshake");
	world_free(w);
}

Test(paths, a_survivor_reaches_a_peer_that_moved_back)
{
	/* b learned a's address, a went silent and came back elsewhere: b's configured address works. */
	struct world *w = world_new(7, 1);
	struct site *a = &w->sites[0], *b = &w->sites[1];
	site_on(a, true);
	site_on(b, true);
	world_run(w, 2 * SECOND);
	struct lode_ip home = a->addr[0];
	lode_ip_parse("198.51.100.1", &a->addr[0]);
	world_run(w, 2 * SECOND);
	site_off(a);
	a->addr[0] = home;
	site_on(a, false);
	world_run(w, 15 * SECOND);
	cr_assert(world_agrees(w));
	world_free(w);
}

Test(paths, bad_parameters_are_named)
{
	struct world *w = world_new(8, 2);
	struct site *a = &w->sites[0];
	struct lode_err err;
	site_on(a, true);
	struct lode_peer_params p = a->params;
	cr_assert_null(lode_peer_new(a->host, &p, w->now_ns, &err));
	cr_assert_eq(err.code, -EEXIST);
	p.public_key[0] ^= 1;
	memcpy(p.links[1].name, p.links[0].name, LODE_NAME_MAX);
	cr_assert_null(lode_peer_new(a->host, &p, w->now_ns, &err));
	cr_assert_str_eq(err.msg, "peer: links 0 and 1 are both called \"wan0\"");
	p.n_links = 0;
	cr_assert_null(lode_peer_new(a->host, &p, w->now_ns, &err));
	p.n_links = 1;
	p.lanes.n_lanes = 0;
	cr_assert_null(lode_peer_new(a->host, &p, w->now_ns, &err));
	memcpy(p.public_key, a->pub, 32);
	cr_assert_null(lode_peer_new(a->host, &p, w->now_ns, &err));
	cr_assert_str_eq(err.msg, "peer: the public key is this appliance's own");
	world_free(w);
}
