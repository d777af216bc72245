/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

TestSuite(control, .init = setup, .fini = teardown);

static const struct lode_snapshot *snapshot(void)
{
	return atomic_load(&shared->snapshot);
}

static struct lode_ip ip_of(const char *text)
{
	struct lode_ip ip;
	cr_assert_eq(lode_ip_parse(text, &ip), 0);
	return ip;
}

static unsigned route_kind(const char *text)
{
	struct lode_ip ip = ip_of(text);
	return lode_routes_lookup4(snapshot()->routes, lode_ip_v4_be(&ip))->kind;
}

Test(control, first_snapshot_has_routes_and_ports)
{
	lode_control_poll(c, S);
	cr_assert_eq(route_kind("10.1.0.77"), LODE_ROUTE_PORT);
	cr_assert_eq(route_kind("10.1.0.1"), LODE_ROUTE_BOX);
	cr_assert_eq(route_kind("10.2.3.4"), LODE_ROUTE_PEER);
	cr_assert_eq(
		route_kind("192.0.2.77"), LODE_ROUTE_NONE, "WAN networks are not for LAN hosts");
	cr_assert_eq(route_kind("8.8.8.8"), LODE_ROUTE_NONE);
	cr_assert(snapshot()->ports[1].up);
	cr_assert_null(snapshot()->peers[0], "no session yet");
}

Test(control, handshakes_leave_by_the_router)
{
	struct lode_datagram d;
	for (uint64_t t = S; t < 3 * S; t += 10 * MS)
		lode_control_poll(c, t);
	cr_assert(lode_ring_pop(rings.from_control, &d));
	cr_assert_eq(d.port_idx, 1);
	cr_assert_eq(d.local_port, 51900);
	struct lode_ip router = ip_of("192.0.2.254"), local = ip_of("192.0.2.1");
	cr_assert_arr_eq(&d.next_hop, &router, sizeof(router));
	cr_assert_arr_eq(&d.local, &local, sizeof(local));
}

Test(control, port_without_link_sends_nothing)
{
	struct lode_datagram d;
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	lode_control_set_port(c, 1, mac, 1500, false);
	for (uint64_t t = S; t < 3 * S; t += 10 * MS)
		lode_control_poll(c, t);
	cr_assert(!lode_ring_pop(rings.from_control, &d));
}

Test(control, neighbours_come_and_go)
{
	struct lode_neighbour n = {.ip = ip_of("10.1.0.5"), .mac = {2, 0, 0, 0, 0, 5}};
	lode_control_poll(c, S);
	uint64_t serial = lode_control_serial(c);
	lode_control_set_neighbour(c, &n);
	lode_control_poll(c, S + MS);
	cr_assert_gt(lode_control_serial(c), serial);
	const struct lode_neighbour *found =
		lode_neighbours_lookup(snapshot()->neighbours, 0, &n.ip);
	cr_assert(found && found->mac[5] == 5);
	serial = lode_control_serial(c);
	lode_control_set_neighbour(c, &n);
	lode_control_poll(c, S + 2 * MS);
	cr_assert_eq(lode_control_serial(c), serial, "nothing new, nothing published");
	lode_control_forget_neighbour(c, 0, &n.ip);
	lode_control_poll(c, S + 3 * MS);
	cr_assert_null(lode_neighbours_lookup(snapshot()->neighbours, 0, &n.ip));
}

Test(control, learned_addresses_replace_the_configured)
{
	const struct lode_prefix addr = {.ip = ip_of("10.9.0.2"), .len = 120};
	const struct lode_ip none = {0};
	lode_control_set_addrs(c, 0, &addr, 1, &none, &none);
	lode_control_poll(c, S);
	cr_assert_eq(route_kind("10.9.0.2"), LODE_ROUTE_BOX);
	cr_assert_eq(route_kind("10.9.0.3"), LODE_ROUTE_PORT);
	cr_assert_eq(route_kind("10.1.0.77"), LODE_ROUTE_NONE);
}

Test(control, apply_changes_peers_or_nothing)
{
	lode_control_poll(c, S);
	uint64_t serial = lode_control_serial(c);
	cr_assert_eq(lode_control_apply(c,
			     prepare(BASE "peers:\n" PEER("one", KEY_1, "10.2.0.0/16")
					     PEER("two", KEY_2, "10.3.0.0/16")),
			     2 * S, &err),
		0, "%s", err.msg);
	cr_assert_gt(lode_control_serial(c), serial);
	cr_assert_eq(route_kind("10.3.0.1"), LODE_ROUTE_PEER);
	struct lode_peer_status st;
	cr_assert_eq(lode_control_peer_status(c, 1, 2 * S, &st), 0);
	cr_assert_str_eq(st.name, "two");

	serial = lode_control_serial(c);
	int rc = lode_control_apply(c, prepare(BASE "tunnel: {udp_port: 4000}\n"), 3 * S, &err);
	cr_assert_eq(rc, -EBUSY);
	cr_assert(strstr(err.msg, "udp_port"), "%s", err.msg);
	cr_assert_eq(lode_control_serial(c), serial);
	cr_assert_eq(lode_control_config(c)->n_peers, 2);

	cr_assert_eq(lode_control_apply(c, prepare(BASE), 4 * S, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_control_peer_status(c, 0, 4 * S, &st), -ENOENT);
	cr_assert_eq(route_kind("10.3.0.1"), LODE_ROUTE_NONE);
}

/* Two peers with one key pass the configuration's checks but not peer's: everything must be as before. */
Test(control, apply_that_fails_late_is_taken_back)
{
	lode_control_poll(c, S);
	struct lode_prepared *bad = prepare(BASE "peers:\n" PEER("one", KEY_1, "10.2.0.0/16"));
	bad->config->peers[1] = bad->config->peers[0];
	bad->config->n_peers = 2;
	cr_assert_neq(lode_control_apply(c, bad, 2 * S, &err), 0);
	cr_assert_eq(lode_control_config(c)->n_peers, 1);
	struct lode_peer_status st;
	cr_assert_eq(lode_control_peer_status(c, 0, 2 * S, &st), 0);
	cr_assert_eq(lode_control_peer_status(c, 1, 2 * S, &st), -ENOENT);
	cr_assert_eq(route_kind("10.2.0.1"), LODE_ROUTE_PEER);
	cr_assert_eq(lode_counter_read(&lode_control_counters(c)->applies_refused), 1);
}

Test(control, old_snapshots_are_freed_when_no_worker_has_them)
{
	for (unsigned i = 0; i < 10; i++) {
		struct lode_neighbour n = {
			.ip = ip_of("10.1.0.5"), .mac = {2, 0, 0, 0, 0, (uint8_t)i}};
		lode_control_set_neighbour(c, &n);
		lode_control_poll(c, S + i * MS);
	}
	unsigned n = 0;
	for (const struct published *p = c->newest; p; p = p->next)
		n++;
	cr_assert_geq(n, 10);
	lode_control_reclaim(c, lode_control_serial(c) - 1, 2 * S);
	cr_assert(c->newest && c->newest->next && !c->newest->next->next,
		"newest and the one in use");
	lode_control_reclaim(c, UINT64_MAX, 2 * S);
	cr_assert(c->newest && !c->newest->next, "the newest always stays");
}

/* ---- decisions ---- */

static void report_states(const enum lode_path_state *states, uint64_t now_ns)
{
	struct lode_lane_summary s = {.now_ns = now_ns};
	for (unsigned p = 0; p < 2; p++)
		s.paths[p] = (struct lode_path_summary){
			.state = (uint8_t)states[p], .srtt_us = 20000 + 5000 * p};
	lode_lane_summary_publish(&c->peers[0].lanes[0]->summary, &s);
	lode_control_poll(c, now_ns);
}

Test(control, paths_over_a_port_without_link_are_down)
{
	static const enum lode_path_state up[2] = {LODE_PATH_UP, LODE_PATH_UP};
	struct lode_peer_status st;
	lode_control_poll(c, S);
	c->peers[0].view->paths[0].valid = c->peers[0].view->paths[1].valid = true;
	c->peers[0].view->paths[1].port_idx = 1;
	report_states(up, 2 * S);
	cr_assert_eq(c->peers[0].health[1].state, LODE_PATH_UP);
	struct lode_peer_view *view = c->peers[0].view;
	c->ports[1].up = false; /* what the lane says is from before */
	report_states(up, 3 * S);
	cr_assert_eq(view, c->peers[0].view);
	cr_assert_eq(lode_control_peer_status(c, 0, 3 * S, &st), 0);
	cr_assert_eq(st.paths[0].state, LODE_PATH_UP);
	cr_assert_eq(st.paths[1].state, LODE_PATH_DOWN);
	cr_assert_eq(c->peers[0].health[1].state, LODE_PATH_DOWN, "the policy knows too");
}

/* Path ids belong to peer; the policy only needs a view with names. */
Test(control, class_moves_at_once_and_returns_after_ten_seconds)
{
	lode_control_poll(c, S);
	strcpy(c->peers[0].view->paths[0].name, "a");
	strcpy(c->peers[0].view->paths[1].name, "b");
	c->peers[0].view->paths[0].valid = c->peers[0].view->paths[1].valid = true;
	struct lode_config_class *voip = &c->prepared->config->classes[LODE_VOIP];
	strcpy(voip->links[0], "b");
	strcpy(voip->links[1], "a");
	voip->n_links = 2;
	const enum lode_path_state up[] = {LODE_PATH_UP, LODE_PATH_UP};
	const enum lode_path_state b_down[] = {LODE_PATH_UP, LODE_PATH_SUSPECT};
	uint64_t t = 2 * S;
	report_states(up, t);
	report_states(up, t += 20 * MS);
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 1);
	cr_assert_eq(choice_of(LODE_VOIP).allowed, 3);
	cr_assert_eq(choice_of(LODE_BULK).preferred, 0);
	report_states(b_down, t += 20 * MS);
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 0, "at once");
	uint64_t back = t;
	while (choice_of(LODE_VOIP).preferred == 0 && t < 60 * S)
		report_states(up, t += 20 * MS);
	cr_assert(t - back >= 10 * S && t - back <= 10 * S + 100 * MS, "%lu ms",
		(unsigned long)((t - back) / MS));
	cr_assert_eq(lode_counter_read(&lode_control_counters(c)->failovers), 1);
	cr_assert_eq(lode_counter_read(&lode_control_counters(c)->failbacks), 1);
}
