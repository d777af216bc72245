/* SPDX-License-Identifier: BSD-3-Clause */
/* A LAN that takes smaller packets than the one they come from. */
#include "lode_sim.h"

#include <criterion/criterion.h>

#define S  LODE_NS_PER_S
#define MS LODE_NS_PER_MS

static uint64_t worker_count(struct lode_sim *s, unsigned site, size_t offset)
{
	const struct lode_worker_counters *c = lode_worker_counters(lode_sim_worker(s, site, 0));
	return lode_counter_read((const uint64_t *)((const uint8_t *)c + offset));
}
#define COUNT(site, name) worker_count(s, site, offsetof(struct lode_worker_counters, name))

/* The hosts put together what was cut; nothing is altered or missing, and the books balance at any time, also
 * while there are too few packet buffers to cut everything. */
Test(sim_fragments, packets_are_cut_for_a_smaller_lan)
{
	struct lode_err err;
	cr_assert_eq(lode_sim_eal_init(384, &err), 0, "%s", err.msg);
	struct lode_sim_params params = {.seed = 7,
		.n_sites = 2,
		.n_wan_ports = 1,
		.n_workers = 1,
		.lan_mtu = {0, 600},
		.aead = "null",
		.n_mbufs = 8192,
		.n_flow_entries = 1024,
		.uplink = {{.rate_bps = 50000000, .delay_ns = 10 * MS}}};
	struct lode_sim *s = lode_sim_new(&params, &err);
	cr_assert(s, "%s", err.msg);
	struct lode_sim_flow flow = {.kind = LODE_SIM_CBR,
		.dst = 1,
		.may_fragment = true,
		.dscp = 10,
		.pkt_bytes = 1400,
		.pps = 200,
		.start_ns = 2 * S,
		.stop_ns = 6 * S};
	cr_assert_geq(lode_sim_add_flow(s, &flow, &err), 0, "%s", err.msg);
	const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, 0);
	for (uint64_t t = 2 * S; t < 4 * S; t += 13 * MS) {
		lode_sim_run(s, t);
		cr_assert_eq(lode_sim_audit(s, &err), 0, "%s", err.msg);
	}
	cr_assert_leq(st->lost_pkts, 5, "some are on their way");
	cr_assert_gt(COUNT(1, fragmented), 300);
	cr_assert_eq(COUNT(1, fragments), 3 * COUNT(1, fragmented));
	for (uint64_t t = 4 * S; t < 7 * S; t += 13 * MS) {
		lode_sim_take_buffers(s, t / (13 * MS) % 8);
		lode_sim_run(s, t);
		cr_assert_eq(lode_sim_audit(s, &err), 0, "%s", err.msg);
	}
	cr_assert_gt(COUNT(1, drop_uncut), 0);
	cr_assert_eq(st->altered_pkts + st->doubled_pkts, 0);
	cr_assert_eq(lode_sim_stats(s)->broken_pkts, 0);
	lode_sim_free(s);
}
