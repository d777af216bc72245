/* SPDX-License-Identifier: BSD-3-Clause */
/* What the swarm does to gateways from their LAN, their ports and their own machine, one thing at a time. */
#include "lode_sim.h"

#include <criterion/criterion.h>

#define S  LODE_NS_PER_S
#define MS LODE_NS_PER_MS

static struct lode_sim_params params;
static struct lode_sim *sim;
static unsigned n_flows;
static struct lode_err err;

static void setup(void)
{
	cr_assert_eq(lode_sim_eal_init(256, &err), 0, "%s", err.msg);
	params = (struct lode_sim_params){.seed = 7,
		.n_sites = 2,
		.n_wan_ports = 2,
		.n_workers = 2,
		.aead = "null",
		.n_mbufs = 16384,
		.n_flow_entries = 1024,
		.yaml = "",
		.up_kbps = {50000, 20000},
		.uplink = {{.rate_bps = 50000000, .delay_ns = 10 * MS},
			{.rate_bps = 20000000, .delay_ns = 25 * MS}}};
}
TestSuite(sim_mishaps, .init = setup, .timeout = 100);

/* A flow of a hundred packets a second; returns its number. */
static unsigned start(struct lode_sim_flow flow)
{
	if (!sim)
		sim = lode_sim_new(&params, &err);
	cr_assert(sim, "%s", err.msg);
	flow.kind = LODE_SIM_CBR;
	flow.dst = 1;
	flow.pkt_bytes = 200;
	flow.pps = 100;
	flow.start_ns = S;
	flow.stop_ns = 5 * S;
	int idx = lode_sim_add_flow(sim, &flow, &err);
	cr_assert_geq(idx, 0, "%s", err.msg);
	n_flows++;
	return (unsigned)idx;
}

static void finish(struct lode_sim_totals *totals)
{
	const struct lode_sim_stats *st = lode_sim_stats(sim);
	for (unsigned i = 0; i < n_flows; i++) {
		const struct lode_sim_flow_stats *f = lode_sim_flow_stats(sim, i);
		cr_assert_eq(f->altered_pkts + f->doubled_pkts + f->remarked_pkts, 0, "flow %u", i);
	}
	cr_assert_eq(st->misdelivered_pkts + st->broken_pkts + st->log_errors, 0);
	cr_assert_eq(lode_sim_audit(sim, &err), 0, "%s", err.msg);
	lode_sim_totals(sim, totals);
	lode_sim_flush(sim);
	cr_assert_eq(lode_sim_mbufs_in_use(sim), 0);
	lode_sim_free(sim);
}

Test(sim_mishaps, strays_change_nothing_but_counters)
{
	struct lode_sim_totals t;
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	unsigned call = start((struct lode_sim_flow){.dscp = 46, .sure_class = LODE_VOIP + 1});
	for (unsigned i = 0; i < 4000; i++) {
		lode_sim_run(sim, S + i * MS);
		lode_sim_stray(sim, i % 2, &rng);
	}
	lode_sim_run(sim, 8 * S);
	cr_assert_eq(lode_sim_flow_stats(sim, call)->received_pkts, 400);
	finish(&t);
	const uint64_t reached[] = {t.workers.drop_malformed, t.workers.drop_too_long,
		t.workers.drop_vlan, t.workers.drop_not_ours, t.workers.drop_spoofed,
		t.workers.drop_ttl, t.workers.drop_no_route, t.workers.linearised,
		t.workers.local_forward, t.workers.exception, t.workers.icmp_sent};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(reached); i++)
		cr_expect_gt(reached[i], 0, "%u", i);
}

Test(sim_mishaps, marks_come_through_and_dscp_of_routers_does_not)
{
	const struct lode_sim_remark all = {
		.active = true, .ce_share = 1, .mark_all = true, .dscp = 5};
	struct lode_sim_totals t;
	unsigned ect = start((struct lode_sim_flow){.dscp = 16, .ecn = 2});
	unsigned not_ect = start((struct lode_sim_flow){.dscp = 16});
	for (unsigned port = 0; port < 2; port++)
		lode_sim_set_remark(sim, 0, port, &all);
	lode_sim_run(sim, 8 * S);
	cr_assert_eq(lode_sim_flow_stats(sim, ect)->received_pkts, 400);
	cr_assert_eq(lode_sim_flow_stats(sim, not_ect)->received_pkts, 0, "RFC 6040: dropped");
	finish(&t);
	cr_assert_eq(t.lanes.rx_ce, 400);
	cr_assert_eq(t.lanes.drop_rx_ce_not_ect, 400);
}

Test(sim_mishaps, a_port_without_carrier_costs_a_blink)
{
	struct lode_sim_totals t;
	unsigned call = start((struct lode_sim_flow){.dscp = 46});
	lode_sim_run(sim, 2 * S);
	lode_sim_set_carrier(sim, 0, 1, false);
	lode_sim_run(sim, 3 * S);
	lode_sim_set_carrier(sim, 0, 1, true);
	lode_sim_run(sim, 3500 * MS);
	lode_sim_set_carrier(sim, 1, 0, false); /* the LAN where it goes */
	lode_sim_run(sim, 4 * S);
	lode_sim_set_carrier(sim, 1, 0, true);
	lode_sim_run(sim, 8 * S);
	cr_assert_geq(lode_sim_flow_stats(sim, call)->received_pkts, 345);
	finish(&t);
	cr_assert_geq(t.workers.drop_port_down, 40);
}

/* Control, then each worker: the others go on, and nothing stays behind. */
Test(sim_mishaps, one_lcore_stands_still)
{
	struct lode_sim_totals t;
	unsigned call = start((struct lode_sim_flow){.dscp = 46});
	for (unsigned lcore = 0; lcore < 3; lcore++) {
		lode_sim_run(sim, (2 + lcore) * S);
		lode_sim_stall(sim, 0, lcore, lode_sim_now(sim) + 200 * MS);
	}
	lode_sim_run(sim, 8 * S);
	cr_assert_geq(lode_sim_flow_stats(sim, call)->received_pkts, 350);
	finish(&t);
}

/* Both ends forget what they knew of each other, though neither was restarted. */
Test(sim_mishaps, a_peer_leaves_the_configuration_and_comes_back)
{
	struct lode_sim_totals t;
	unsigned call = start((struct lode_sim_flow){.dscp = 46});
	lode_sim_run(sim, 2 * S);
	lode_sim_dismiss(sim, 0, 1);
	cr_assert_eq(lode_sim_reconfigure(sim, 0, "", &err), 0, "%s", err.msg);
	lode_sim_run(sim, 2500 * MS);
	lode_sim_dismiss(sim, 0, LODE_SIM_NOBODY);
	cr_assert_eq(lode_sim_reconfigure(sim, 0, "", &err), 0, "%s", err.msg);
	lode_sim_run(sim, 8 * S);
	cr_assert_geq(lode_sim_flow_stats(sim, call)->received_pkts, 300);
	finish(&t);
	cr_assert_gt(t.lanes.tx_pkts, 300, "counts of the lane that was closed are kept");
}
