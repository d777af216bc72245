/* SPDX-License-Identifier: BSD-3-Clause */
/* Two or more whole gateways in virtual time: what the product promises, end to end. */
#include "lode_path.h"
#include "lode_sim.h"

#include <criterion/criterion.h>

#define S  LODE_NS_PER_S
#define MS LODE_NS_PER_MS

static struct lode_sim_params params;
static struct lode_err err;

static void setup(void)
{
	cr_assert_eq(lode_sim_eal_init(384, &err), 0, "%s", err.msg);
	params = (struct lode_sim_params){.seed = 42,
		.n_sites = 2,
		.n_wan_ports = 2,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 32768,
		.n_flow_entries = 1024,
		.up_kbps = {50000, 20000},
		.uplink = {{.rate_bps = 50000000, .delay_ns = 10 * MS},
			{.rate_bps = 20000000, .delay_ns = 25 * MS}}};
}
TestSuite(sim, .init = setup, .timeout = 100);

static struct lode_sim *start(void)
{
	struct lode_sim *s = lode_sim_new(&params, &err);
	cr_assert(s, "%s", err.msg);
	return s;
}

/* Nothing altered, twice or astray, and every packet buffer back. */
static void finish(struct lode_sim *s, unsigned n_flows)
{
	for (unsigned i = 0; i < n_flows; i++)
		cr_assert_eq(lode_sim_flow_stats(s, i)->altered_pkts, 0, "flow %u", i);
	cr_assert_eq(lode_sim_stats(s)->misdelivered_pkts, 0);
	cr_assert_eq(lode_sim_stats(s)->log_errors, 0);
	lode_sim_flush(s);
	cr_assert_eq(lode_sim_mbufs_in_use(s), 0);
	lode_sim_free(s);
}

static unsigned add(struct lode_sim *s, struct lode_sim_flow flow)
{
	int idx = lode_sim_add_flow(s, &flow, &err);
	cr_assert_geq(idx, 0, "%s", err.msg);
	return (unsigned)idx;
}

static struct lode_sim_flow voip(unsigned src, unsigned dst, uint64_t stop_ns)
{
	return (struct lode_sim_flow){.kind = LODE_SIM_CBR,
		.src = src,
		.dst = dst,
		.dscp = 46,
		.pkt_bytes = 200,
		.pps = 100,
		.start_ns = S,
		.stop_ns = stop_ns};
}

static struct lode_sim_flow transfer(uint64_t bytes)
{
	return (struct lode_sim_flow){.kind = LODE_SIM_TCP,
		.dst = 1,
		.pkt_bytes = 1500,
		.start_ns = S,
		.stop_ns = LODE_NEVER_NS,
		.total_bytes = bytes};
}

static uint64_t digest_of_run(uint64_t seed)
{
	params.seed = seed;
	params.uplink[0].loss = 0.01;
	params.uplink[1].jitter_ns = 2 * MS;
	struct lode_sim *s = start();
	add(s, voip(0, 1, 3 * S));
	add(s, voip(1, 0, 3 * S));
	add(s, transfer(2000000));
	lode_sim_run(s, 4 * S);
	uint64_t digest = lode_sim_digest(s);
	cr_assert_gt(lode_sim_flow_stats(s, 2)->delivered_bytes, 100000);
	finish(s, 3);
	return digest;
}

Test(sim, same_seed_same_bytes)
{
	uint64_t first = digest_of_run(1);
	cr_assert_eq(digest_of_run(1), first);
	cr_assert_neq(digest_of_run(2), first);
}

Test(sim, both_families_and_real_encryption)
{
	params.aead = "auto";
	struct lode_sim *s = start();
	struct lode_sim_flow v6 = voip(0, 1, 3 * S), big6 = transfer(500000);
	v6.v6 = big6.v6 = true;
	unsigned a = add(s, v6), b = add(s, big6), c = add(s, voip(1, 0, 3 * S));
	lode_sim_run(s, 6 * S);
	cr_assert_eq(lode_sim_flow_stats(s, a)->received_pkts, 200);
	cr_assert_neq(lode_sim_flow_stats(s, b)->done_ns, 0);
	cr_assert_eq(lode_sim_flow_stats(s, c)->received_pkts, 200);
	cr_assert_lt(lode_sim_flow_stats(s, b)->mss_bytes, 1440, "MSS must fit the tunnel");
	finish(s, 3);
}

Test(sim, transfer_survives_a_cut_path)
{
	struct lode_sim *s = start();
	unsigned f = add(s, transfer(20000000));
	lode_sim_run(s, 2 * S);
	lode_sim_cut(s, 0, 0, true);
	uint64_t before = lode_sim_flow_stats(s, f)->delivered_bytes;
	lode_sim_run(s, 5 * S);
	uint64_t during = lode_sim_flow_stats(s, f)->delivered_bytes - before;
	cr_assert_gt(during, 1000000, "the other path carries on");
	lode_sim_cut(s, 0, 0, false);
	lode_sim_run(s, 40 * S);
	cr_assert_neq(lode_sim_flow_stats(s, f)->done_ns, 0);
	cr_assert_geq(lode_sim_flow_stats(s, f)->delivered_bytes, 20000000);
	finish(s, 1);
}

Test(sim, copied_calls_lose_nothing_when_a_path_dies)
{
	struct lode_sim *s = start(); /* VoIP: two copies by default */
	unsigned f = add(s, voip(0, 1, 10 * S)), g = add(s, voip(1, 0, 10 * S));
	lode_sim_run(s, 3 * S);
	lode_sim_cut(s, 0, 0, true);
	lode_sim_run(s, 6 * S);
	lode_sim_cut(s, 0, 0, false);
	lode_sim_run(s, 11 * S);
	for (unsigned i = f; i <= g; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_eq(st->received_pkts, st->sent_pkts, "flow %u", i);
		cr_assert_eq(st->duplicate_pkts, 0);
	}
	finish(s, 2);
}

Test(sim, single_calls_are_back_within_a_quarter_second)
{
	params.yaml = "classes: {voip: {copies: 1}}\n";
	struct lode_sim *s = start();
	unsigned f = add(s, voip(0, 1, 10 * S)), g = add(s, voip(1, 0, 10 * S));
	lode_sim_run(s, 3 * S);
	lode_sim_cut(s, 0, 0, true);
	lode_sim_run(s, 11 * S);
	for (unsigned i = f; i <= g; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_leq(st->longest_gap_ns, 250 * MS + 15 * MS, "%lu ms",
			(unsigned long)(st->longest_gap_ns / MS)); /* and one way of path 1 more */
		cr_assert_geq(st->received_pkts + 25, st->sent_pkts);
	}
	finish(s, 2);
}

/* Where the packets of a class go now: pairs of path counters, before and after. */
static uint64_t sent_on(struct lode_sim *s, unsigned path)
{
	struct lode_peer_status st;
	cr_assert_eq(lode_control_peer_status(lode_sim_control(s, 0), 0, 0, &st), 0);
	return st.paths[path].tx_bytes;
}

Test(sim, class_returns_to_its_preferred_link)
{
	params.yaml = "classes: {voip: {copies: 1, links: [net1, net0]}}\n";
	struct lode_sim *s = start();
	unsigned f = add(s, voip(0, 1, 40 * S));
	const struct lode_control_counters *c = lode_control_counters(lode_sim_control(s, 0));
	lode_sim_run(s, 4 * S);
	uint64_t before[2] = {sent_on(s, 0), sent_on(s, 1)};
	lode_sim_run(s, 8 * S);
	cr_assert_gt(sent_on(s, 1) - before[1], 2 * (sent_on(s, 0) - before[0]), "preferred");
	lode_sim_cut(s, 0, 1, true);
	lode_sim_run(s, 12 * S);
	cr_assert_gt(lode_counter_read(&c->failovers), 0);
	lode_sim_cut(s, 0, 1, false);
	lode_sim_run(s, 34 * S);
	cr_assert_gt(lode_counter_read(&c->failbacks), 0);
	before[0] = sent_on(s, 0), before[1] = sent_on(s, 1);
	lode_sim_run(s, 38 * S);
	cr_assert_gt(sent_on(s, 1) - before[1], 2 * (sent_on(s, 0) - before[0]), "back");
	cr_assert_geq(lode_sim_flow_stats(s, f)->received_pkts + 27, 3700);
	finish(s, 1);
}

Test(sim, spokes_reach_each_other_through_the_hub)
{
	params.topology = LODE_SIM_HUB;
	params.n_sites = 4;
	params.n_wan_ports = 1;
	struct lode_sim *s = start();
	unsigned a = add(s, voip(1, 3, 4 * S)), b = add(s, voip(2, 0, 4 * S));
	struct lode_sim_flow f = transfer(1000000);
	f.src = 2;
	unsigned c = add(s, f);
	lode_sim_run(s, 8 * S);
	cr_assert_eq(lode_sim_flow_stats(s, a)->received_pkts, 300);
	cr_assert_eq(lode_sim_flow_stats(s, b)->received_pkts, 300);
	cr_assert_neq(lode_sim_flow_stats(s, c)->done_ns, 0);
	const struct lode_worker_counters *hub = lode_worker_counters(lode_sim_worker(s, 0, 0));
	cr_assert_geq(lode_counter_read(&hub->transit), 300);
	finish(s, 3);
}

/* Each path of each site must be found from the packets that come in on it. */
Test(sim, hub_learns_where_the_others_are)
{
	params.topology = LODE_SIM_HUB_LEARNS;
	params.n_sites = 3;
	params.yaml = "classes: {voip: {copies: 1}}\n";
	struct lode_sim *s = start();
	unsigned a = add(s, voip(0, 1, 8 * S)), b = add(s, voip(1, 2, 8 * S));
	lode_sim_run(s, 4 * S);
	for (unsigned peer = 0; peer < 2; peer++) {
		struct lode_peer_status st;
		lode_control_peer_status(lode_sim_control(s, 0), peer, 0, &st);
		cr_assert_eq(st.n_paths, 2);
		for (unsigned p = 0; p < 2; p++)
			cr_assert_eq(st.paths[p].state, LODE_PATH_UP, "peer %u path %u", peer, p);
	}
	lode_sim_cut(s, 1, 0, true);
	lode_sim_run(s, 9 * S);
	cr_assert_geq(lode_sim_flow_stats(s, a)->received_pkts + 27, 700);
	cr_assert_geq(lode_sim_flow_stats(s, b)->received_pkts + 27, 700);
	finish(s, 2);
}

/* A router in between forgets its binding: the next packet from inside brings the new one. */
Test(sim, rebinding_nat_costs_a_blink)
{
	params.n_wan_ports = 1;
	params.topology = LODE_SIM_HUB_LEARNS;
	struct lode_sim *s = start();
	lode_sim_set_nat(s, 1, 0, 1);
	unsigned f = add(s, voip(0, 1, 10 * S)), g = add(s, voip(1, 0, 10 * S));
	for (unsigned binding = 2; binding < 5; binding++) {
		lode_sim_run(s, 2 * binding * S);
		lode_sim_set_nat(s, 1, 0, binding);
	}
	lode_sim_run(s, 11 * S);
	cr_assert_geq(lode_counter_read(&lode_control_counters(lode_sim_control(s, 0))->roams), 4);
	for (unsigned i = f; i <= g; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_leq(st->longest_gap_ns, 250 * MS, "flow %u: %lu ms", i,
			(unsigned long)(st->longest_gap_ns / MS));
		cr_assert_geq(st->received_pkts + 45, st->sent_pkts, "flow %u", i);
	}
	finish(s, 2);
}

Test(sim, several_workers_share_the_work)
{
	params.n_workers = 3;
	params.n_sites = 3;
	struct lode_sim *s = start();
	for (unsigned i = 0; i < 6; i++)
		add(s, voip(i % 3, (i + 1 + i / 3) % 3, 3 * S));
	lode_sim_run(s, 4 * S);
	for (unsigned i = 0; i < 6; i++)
		cr_assert_eq(lode_sim_flow_stats(s, i)->received_pkts, 200, "flow %u", i);
	uint64_t n = 0;
	for (unsigned w = 0; w < 3; w++)
		n += lode_counter_read(&lode_worker_counters(lode_sim_worker(s, 0, w))->handoff);
	cr_assert_gt(n, 0);
	finish(s, 6);
}

Test(sim, restarted_gateway_is_back_in_seconds)
{
	struct lode_sim *s = start();
	unsigned f = add(s, voip(0, 1, 20 * S)), g = add(s, voip(1, 0, 20 * S));
	lode_sim_run(s, 5 * S);
	cr_assert_eq(lode_sim_restart(s, 1, &err), 0, "%s", err.msg);
	lode_sim_run(s, 21 * S);
	for (unsigned i = f; i <= g; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_leq(st->longest_gap_ns, 5 * S);
		cr_assert_eq(st->duplicate_pkts, 0);
		cr_assert_gt(st->received_pkts, 1300);
	}
	finish(s, 2);
}

Test(sim, new_keys_without_a_lost_packet)
{
	params.n_wan_ports = 1;
	params.rekey_ns = 10 * S;
	struct lode_sim *s = start();
	unsigned f = add(s, voip(0, 1, 80 * S)), g = add(s, voip(1, 0, 80 * S));
	lode_sim_run(s, 82 * S);
	struct lode_peer_status st;
	lode_control_peer_status(lode_sim_control(s, 0), 0, 0, &st);
	cr_assert_geq(st.n_handshakes, 8, "every slot for keys is used twice and more");
	cr_assert_eq(lode_sim_flow_stats(s, f)->received_pkts, 7900);
	cr_assert_eq(lode_sim_flow_stats(s, g)->received_pkts, 7900);
	finish(s, 2);
}

Test(sim, configuration_changes_under_traffic)
{
	struct lode_sim *s = start();
	unsigned f = add(s, voip(0, 1, 8 * S)), g = add(s, voip(1, 0, 8 * S));
	for (unsigned i = 0; i < 50; i++) {
		lode_sim_run(s, (20 + i) * S / 10);
		const char *yaml = i % 2 ? "rules: [{name: r, class: gaming, dscp: 46}]\n"
					 : "classes: {voip: {codel_target_ms: 7}}\n";
		cr_assert_eq(lode_sim_reconfigure(s, i % 2, yaml, &err), 0, "%s", err.msg);
	}
	cr_assert_neq(lode_sim_reconfigure(s, 0, "tunnel: {udp_port: 4000}\n", &err), 0);
	lode_sim_run(s, 9 * S);
	cr_assert_eq(lode_sim_flow_stats(s, f)->received_pkts, 700);
	cr_assert_eq(lode_sim_flow_stats(s, g)->received_pkts, 700);
	finish(s, 2);
}

/* Frames of all kinds that nobody asked for: no effect but counters. */
Test(sim, garbage_does_not_hurt)
{
	struct lode_sim *s = start();
	struct lode_rng rng;
	unsigned f = add(s, voip(0, 1, 6 * S));
	lode_rng_seed(&rng, 9);
	for (uint64_t t = S; t < 6 * S; t += MS) {
		uint8_t frame[400];
		size_t len = 14 + lode_rng_below(&rng, sizeof(frame) - 14);
		for (size_t i = 0; i < len; i++)
			frame[i] = (uint8_t)lode_rng_u64(&rng);
		static const uint8_t headers[] = {2, 0x10, 0, 1, 1, 0, 2, 0x10, 0, 0, 1, 0, 8, 0,
			0x45, 0, 1, 0, 0, 0, 0, 0, 64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2, 0xca,
			0xbc, 0xca, 0xbc, 0, 0xec};
		if (len > 300) {
			memcpy(frame, headers, sizeof(headers));
			uint32_t sum = 0;
			for (unsigned i = 14; i < 34; i += 2)
				sum += i == 24 ? 0 : lode_load_be16(frame + i);
			sum = (sum & 0xffff) + (sum >> 16);
			lode_store_be16(frame + 24, (uint16_t) ~(sum + (sum >> 16)));
		}
		lode_sim_run(s, t);
		lode_sim_inject(s, 1, 0, frame, len);
	}
	lode_sim_run(s, 7 * S);
	const struct lode_worker_counters *w = lode_worker_counters(lode_sim_worker(s, 1, 0));
	cr_assert_gt(lode_counter_read(&w->drop_unknown_session), 10);
	cr_assert_eq(lode_sim_flow_stats(s, f)->received_pkts, 500);
	finish(s, 1);
}

/* ---- several lanes ---- */

#define OPEN "tunnel: {lanes_open_load: 0}\n"

static struct lode_sim_flow bulk(unsigned src, unsigned dst, uint32_t pps, uint64_t stop_ns)
{
	return (struct lode_sim_flow){.kind = LODE_SIM_CBR,
		.src = src,
		.dst = dst,
		.dscp = 10,
		.pkt_bytes = 1200,
		.pps = pps,
		.start_ns = 3 * S,
		.stop_ns = stop_ns};
}

/* Bulk segments that the lane of a worker sent. */
static uint64_t segments_of(struct lode_sim *s, unsigned site, unsigned worker)
{
	const struct lode_lane *lane = lode_worker_lane(lode_sim_worker(s, site, worker), 0);
	return lane ? lode_counter_read(&lode_lane_counters(lane)->tx_segments) : 0;
}

Test(sim, bulk_spreads_over_lanes_in_order)
{
	params.n_workers = 4;
	params.yaml = OPEN;
	struct lode_sim *s = start();
	for (unsigned i = 0; i < 24; i++)
		add(s, bulk(i % 2, !(i % 2), 100, 8 * S));
	lode_sim_run(s, 10 * S);
	for (unsigned i = 0; i < 24; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_eq(st->received_pkts, st->sent_pkts, "flow %u: %lu of %lu", i,
			(unsigned long)st->received_pkts, (unsigned long)st->sent_pkts);
		cr_assert_eq(st->reordered_pkts, 0, "flow %u", i);
	}
	for (unsigned site = 0; site < 2; site++)
		for (unsigned w = 0; w < 4; w++)
			cr_assert_gt(segments_of(s, site, w), 100, "site %u worker %u", site, w);
	finish(s, 24);
}

Test(sim, lanes_share_the_rate_of_the_paths)
{
	params.n_workers = 4;
	params.yaml = OPEN;
	struct lode_sim *s = start();
	for (unsigned i = 0; i < 12; i++) {
		struct lode_sim_flow f = transfer(0);
		f.start_ns = 3 * S;
		f.stop_ns = 13 * S;
		add(s, f);
	}
	unsigned call = add(s, voip(0, 1, 13 * S));
	lode_sim_run(s, 8 * S);
	uint64_t before = 0, after = 0;
	for (unsigned i = 0; i < 12; i++)
		before += lode_sim_flow_stats(s, i)->delivered_bytes;
	lode_sim_run(s, 13 * S);
	for (unsigned i = 0; i < 12; i++)
		after += lode_sim_flow_stats(s, i)->delivered_bytes;
	double mbps = (double)(after - before) * 8 / 5e6;
	const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, call);
	cr_assert_gt(mbps, 55, "%g Mbit/s of 70", mbps);
	lode_sim_run(s, 14 * S);
	cr_assert_eq(st->received_pkts, st->sent_pkts);
	finish(s, 13);
}

/* Flows stay on their lanes, and so in order, when for a while nothing gets through at all. */
Test(sim, an_outage_does_not_stir_the_lanes)
{
	params.n_workers = 2;
	params.yaml = OPEN;
	struct lode_sim *s = start();
	for (unsigned i = 0; i < 16; i++)
		add(s, bulk(i % 2, !(i % 2), 100, 12 * S));
	lode_sim_run(s, 6 * S);
	uint64_t before = segments_of(s, 0, 1);
	for (unsigned i = 0; i < 4; i++) {
		lode_sim_run(s, 6 * S + i / 2 * 800 * MS);
		lode_sim_cut(s, 0, i % 2, i < 2);
	}
	lode_sim_run(s, 14 * S);
	for (unsigned i = 0; i < 16; i++)
		cr_assert_eq(lode_sim_flow_stats(s, i)->reordered_pkts, 0, "flow %u", i);
	cr_assert_gt(segments_of(s, 0, 1), 2 * before);
	finish(s, 16);
}

/* Both ends use as many lanes as the end with fewer workers. */
Test(sim, lane_counts_that_differ)
{
	params.site_workers[0] = 4;
	params.site_workers[1] = 2;
	params.yaml = OPEN;
	struct lode_sim *s = start();
	for (unsigned i = 0; i < 16; i++)
		add(s, bulk(i % 2, !(i % 2), 100, 6 * S));
	lode_sim_run(s, 8 * S);
	for (unsigned i = 0; i < 16; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_eq(st->received_pkts, st->sent_pkts, "flow %u", i);
		cr_assert_eq(st->reordered_pkts, 0, "flow %u", i);
	}
	for (unsigned site = 0; site < 2; site++)
		for (unsigned w = 0; w < 2; w++)
			cr_assert_gt(segments_of(s, site, w), 100, "site %u worker %u", site, w);
	cr_assert_eq(segments_of(s, 0, 2) + segments_of(s, 0, 3), 0);
	finish(s, 16);
}

/* Every lane's port becomes another one that tells nothing of the others: each is learned by itself. A few
 * packets may go while the controller finds the rate. */
Test(sim, lanes_behind_a_nat_that_rewrites_every_port)
{
	params.n_wan_ports = 1;
	params.n_workers = 3;
	params.topology = LODE_SIM_HUB_LEARNS;
	params.yaml = OPEN;
	struct lode_sim *s = start();
	lode_sim_set_cgnat(s, 1, 0, 120 * S);
	for (unsigned i = 0; i < 16; i++) {
		struct lode_sim_flow f = bulk(i % 2, !(i % 2), 50, 11 * S);
		f.start_ns = 6 * S;
		add(s, f);
	}
	lode_sim_run(s, 13 * S);
	for (unsigned i = 0; i < 16; i++) {
		const struct lode_sim_flow_stats *st = lode_sim_flow_stats(s, i);
		cr_assert_geq(st->received_pkts + 3, st->sent_pkts, "flow %u: %lu of %lu", i,
			(unsigned long)st->received_pkts, (unsigned long)st->sent_pkts);
		cr_assert_eq(st->reordered_pkts, 0, "flow %u", i);
	}
	for (unsigned site = 0; site < 2; site++)
		for (unsigned w = 0; w < 3; w++)
			cr_assert_gt(segments_of(s, site, w), 50, "site %u worker %u", site, w);
	finish(s, 16);
}
