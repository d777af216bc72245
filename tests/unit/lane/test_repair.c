/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <criterion/criterion.h>

#define MS LODE_NS_PER_MS

/* Losses in both directions of all paths, delay one way. */
static void lossy(struct pair *p, double loss, uint64_t delay_ns)
{
	for (unsigned i = 0; i < 2 * PAIR_PATHS; i++) {
		p->pipe[i / PAIR_PATHS][i % PAIR_PATHS].loss = loss;
		p->pipe[i / PAIR_PATHS][i % PAIR_PATHS].delay_ns = delay_ns;
	}
}

/* A stream of one packet per ms, from site 0; sizes vary. */
static void stream(struct pair *p, unsigned cls, unsigned n_pkts)
{
	for (unsigned i = 0; i < n_pkts; i++) {
		pair_send(p, 0, cls, cls, 200 + i * 37 % 1200, ECN_NOT_ECT);
		pair_run(p, p->now_ns + MS);
	}
}

static double lost_share(const struct pair *p, unsigned flow)
{
	const struct flow_check *f = &p->site[0].flows[flow];
	return 1 - (double)f->delivered / f->sent;
}

static const struct lode_repair_summary *stats(const struct pair *p, unsigned site, unsigned cls)
{
	return &p->site[site].lane->repair->classes[cls].stats;
}

static struct pair *start(uint64_t seed, unsigned n_paths, double loss, uint64_t delay_ns)
{
	struct pair *p = pair_new(seed, n_paths, "null");
	lossy(p, 0, delay_ns);
	pair_run(p, p->now_ns + 1500 * MS);
	lossy(p, loss, delay_ns);
	return p;
}

Test(repair, fixed_parity_brings_back_what_was_lost)
{
	struct pair *p = start(1, 2, 0.03, 30 * MS);
	pair_repair(p, LODE_STREAMING, LODE_REPAIR_FIXED, 100);
	stream(p, LODE_STREAMING, 4000);
	pair_run(p, p->now_ns + 300 * MS);
	pair_check(p);
	const struct lode_repair_summary *tx = stats(p, 0, LODE_STREAMING);
	const struct lode_repair_summary *rx = stats(p, 1, LODE_STREAMING);
	cr_assert_gt(rx->rx_recovered, 80);
	cr_assert_lt(lost_share(p, LODE_STREAMING), 0.001, "%g", lost_share(p, LODE_STREAMING));
	cr_assert_float_eq((double)tx->tx_repairs / tx->tx_sources, 0.2, 0.01);
	cr_assert_eq(tx->tx_resent, 0);
	pair_free(p);
}

Test(repair, what_is_asked_for_is_sent_again)
{
	struct pair *p = start(2, 2, 0.05, 10 * MS);
	pair_repair(p, LODE_BULK, LODE_REPAIR_NACK, 300);
	stream(p, LODE_BULK, 4000);
	pair_run(p, p->now_ns + 500 * MS);
	pair_check(p);
	const struct lode_repair_summary *tx = stats(p, 0, LODE_BULK);
	cr_assert_eq(tx->tx_repairs, 0);
	cr_assert_gt(tx->tx_resent, 100);
	cr_assert_gt(stats(p, 1, LODE_BULK)->rx_asked, 100);
	cr_assert_lt(lost_share(p, LODE_BULK), 0.002, "%g", lost_share(p, LODE_BULK));
	cr_assert_lt(pair_misordered(p, 1), 30, "%u", pair_misordered(p, 1));
	pair_free(p);
}

Test(repair, what_a_path_lost_is_sent_again_over_another)
{
	struct pair *p = start(6, 2, 0, 10 * MS);
	p->pipe[0][0].loss = 0.5;
	pair_choose(p, LODE_BULK, 3, 0, 1);
	pair_repair(p, LODE_BULK, LODE_REPAIR_NACK, 300);
	stream(p, LODE_BULK, 2000);
	pair_run(p, p->now_ns + 500 * MS);
	pair_check(p);
	cr_assert_gt(stats(p, 0, LODE_BULK)->tx_resent, 500);
	cr_assert_lt(lost_share(p, LODE_BULK), 0.01, "%g", lost_share(p, LODE_BULK));
	pair_free(p);
}

Test(repair, auto_learns_the_loss_and_meets_its_target)
{
	struct pair *p = start(3, 2, 0.05, 50 * MS);
	pair_repair(p, LODE_STREAMING, LODE_REPAIR_AUTO, 100); /* asking again takes too long */
	stream(p, LODE_STREAMING, 2000);
	uint32_t sent = p->site[0].flows[LODE_STREAMING].sent;
	uint32_t delivered = p->site[0].flows[LODE_STREAMING].delivered;
	stream(p, LODE_STREAMING, 5000);
	pair_run(p, p->now_ns + 500 * MS);
	pair_check(p);
	const struct flow_check *f = &p->site[0].flows[LODE_STREAMING];
	double lost = 1 - (double)(f->delivered - delivered) / (f->sent - sent + 60);
	const struct lode_repair_summary *tx = stats(p, 0, LODE_STREAMING);
	cr_assert_lt(lost, 0.013, "%g", lost);
	cr_assert_lt(lost_share(p, LODE_STREAMING), 0.01);
	cr_assert(tx->loss_ppm > 30000 && tx->loss_ppm < 75000, "%u", tx->loss_ppm);
	double overhead = (double)tx->tx_repairs / tx->tx_sources;
	cr_assert(overhead > 0.08 && overhead < 0.35, "%g", overhead);
	pair_free(p);
}

Test(repair, parity_goes_over_the_clean_path)
{
	struct pair *p = start(4, 2, 0, 50 * MS);
	p->pipe[0][0].loss = 0.05;
	pair_repair(p, LODE_STREAMING, LODE_REPAIR_AUTO, 100);
	pair_choose(p, LODE_STREAMING, 3, 0, 1);
	stream(p, LODE_STREAMING, 3000);
	const struct lode_repair_summary *tx = stats(p, 0, LODE_STREAMING);
	struct lode_path_stats on[2];
	for (unsigned i = 0; i < 2; i++)
		lode_path_get_stats(p->site[0].lane->path[i].est, &on[i]);
	cr_assert_gt(tx->tx_repairs, 100);
	/* Sources and some 160 probes and reports; no parity. */
	cr_assert(on[0].tx.pkts > 3000 && on[0].tx.pkts < 3250, "%lu", on[0].tx.pkts);
	cr_assert_gt(on[1].tx.pkts, tx->tx_repairs, "%lu", on[1].tx.pkts);
	pair_check(p);
	pair_free(p);
}

Test(repair, clean_paths_cost_nothing)
{
	struct pair *p = start(4, 2, 0, 10 * MS);
	pair_repair(p, LODE_STREAMING, LODE_REPAIR_AUTO, 100);
	stream(p, LODE_STREAMING, 1000);
	pair_run(p, p->now_ns + 50 * MS);
	pair_check(p);
	const struct lode_repair_summary *tx = stats(p, 0, LODE_STREAMING);
	cr_assert_eq(tx->tx_repairs + tx->tx_resent, 0);
	cr_assert_eq(p->site[0].lane->counters.tx_nacks, 0);
	cr_assert_null(p->site[0].lane->repair->classes[LODE_STREAMING].tx);
	cr_assert_eq(lost_share(p, LODE_STREAMING), 0);
	pair_free(p);
}

Test(repair, bundles_and_parts_come_back_in_order)
{
	struct pair *p = start(5, 3, 0.04, 20 * MS);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		pair_repair(p, cls, LODE_REPAIR_FIXED, 100);
	for (unsigned i = 0; i < 1500; i++) {
		for (unsigned flow = 0; flow < 8; flow++)
			pair_send(p, 0, flow, flow / 2, flow < 5 ? 60 + flow * 20 : 280 * flow,
				ECN_NOT_ECT);
		pair_run(p, p->now_ns + 2 * MS);
	}
	pair_run(p, p->now_ns + 300 * MS);
	pair_check(p);
	const struct lode_lane_counters *c = lode_lane_counters(p->site[1].lane);
	cr_assert_gt(c->rx_recovered, 100);
	cr_assert_gt(c->rx_bundles, 100);
	cr_assert_gt(c->rx_parts, 100);
	cr_assert_eq(c->rx_repairs_bad, 0);
	cr_assert_eq(p->site[1].n_altered, 0);
	pair_free(p);
}

Test(repair, a_peer_without_it_still_works)
{
	struct pair *p = start(6, 2, 0.02, 10 * MS);
	pair_repair(p, LODE_STREAMING, LODE_REPAIR_AUTO, 100);
	for (unsigned i = 0; i < 2; i++)
		for (unsigned e = 0; e < LODE_EPOCHS; e++)
			p->site[i].view.epochs[e].features = 0;
	pair_publish(p);
	stream(p, LODE_STREAMING, 1000);
	pair_check(p);
	const struct lode_lane_counters *c = lode_lane_counters(p->site[0].lane);
	cr_assert_eq(c->tx_repairs + c->tx_nacks + c->tx_resent, 0);
	cr_assert_eq(c->drop_rx_type, 0);
	cr_assert_float_eq(lost_share(p, LODE_STREAMING), 0.02, 0.02);
	pair_free(p);
}

Test(repair, mode_and_keys_change_while_it_runs)
{
	struct pair *p = start(7, 2, 0.03, 10 * MS);
	static const enum lode_repair_mode modes[] = {
		LODE_REPAIR_FIXED, LODE_REPAIR_OFF, LODE_REPAIR_AUTO, LODE_REPAIR_NACK};
	for (unsigned round = 0; round < 8; round++) {
		pair_repair(p, LODE_STREAMING, modes[round % 4], 100);
		stream(p, LODE_STREAMING, 200);
		if (round == 3)
			pair_rekey(p, 1, 2, 0);
		if (round == 5)
			pair_restart(p, 1);
	}
	pair_run(p, p->now_ns + 300 * MS);
	for (unsigned i = 0; i < 2; i++)
		cr_assert(p->site[i].n_altered == 0 && p->site[i].n_twice == 0);
	pair_free(p);
}

/* A code over fewer slots than classes: the others go without. */
Test(repair, slots_run_out)
{
	struct pair *p = start(8, 2, 0.02, 30 * MS);
	struct repair_pools *pools = &p->site[0].pools->repair;
	struct repair_tx *tx = pools->free_tx;
	pools->free_tx = NULL;
	pair_repair(p, LODE_WEB, LODE_REPAIR_FIXED, 100);
	stream(p, LODE_WEB, 300);
	pair_check(p);
	cr_assert_gt(lode_lane_counters(p->site[0].lane)->repair_no_slot, 0);
	cr_assert_eq(lode_lane_counters(p->site[0].lane)->tx_repairs, 0);
	pools->free_tx = tx;
	stream(p, LODE_WEB, 300);
	cr_assert_gt(lode_lane_counters(p->site[0].lane)->tx_repairs, 0);
	pair_free(p);
}
