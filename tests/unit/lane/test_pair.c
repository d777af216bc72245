/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <criterion/criterion.h>

#define MS LODE_NS_PER_MS

/* Mixed traffic of both sites, one packet per flow and ms. */
static void mixed(struct pair *p, unsigned ms, unsigned n_flows)
{
	static const uint16_t sizes[] = {60, 120, 250, 700, 1400, 1420};
	for (unsigned t = 0; t < ms; t++) {
		for (unsigned i = 0; i < 2 * n_flows; i++) {
			unsigned flow = i / 2;
			pair_send(p, i % 2, flow, flow % (LODE_N_CLASSES - 1),
				sizes[lode_rng_below(&p->rng, LODE_ARRAY_LEN(sizes))], ECN_NOT_ECT);
		}
		pair_run(p, p->now_ns + MS);
	}
}

static void settle(struct pair *p)
{
	pair_run(p, p->now_ns + 1500 * MS);
}

static void assert_all_delivered(const struct pair *p, unsigned from)
{
	for (unsigned f = 0; f < PAIR_FLOWS; f++) {
		const struct flow_check *c = &p->site[from].flows[f];
		cr_assert_eq(c->delivered, c->sent, "flow %u: %u of %u", f, c->delivered, c->sent);
	}
}

Test(pair, clean_paths_lose_nothing_and_keep_order)
{
	struct pair *p = pair_new(1, 4, "auto");
	settle(p);
	mixed(p, 300, 20);
	settle(p);
	pair_check(p);
	for (unsigned i = 0; i < 2; i++) {
		assert_all_delivered(p, i);
		cr_assert_eq(pair_misordered(p, i), 0);
		cr_assert_eq(lode_lane_backlog_pkts(p->site[i].lane), 0);
	}
	pair_free(p);
}

Test(pair, unequal_delays_keep_order)
{
	struct pair *p = pair_new(2, 4, "null");
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned path = 0; path < 4; path++)
			p->pipe[i][path].delay_ns = (5 + 12 * path) * MS;
	}
	settle(p);
	mixed(p, 600, 30);
	settle(p);
	pair_check(p);
	for (unsigned i = 0; i < 2; i++)
		assert_all_delivered(p, i);
	cr_assert_eq(pair_misordered(p, 0) + pair_misordered(p, 1), 0);
	pair_free(p);
}

Test(pair, faults_alter_nothing_and_repeat_nothing)
{
	for (uint64_t seed = 10; seed < 11; seed++) {
		struct pair *p = pair_new(seed, 4, "null");
		for (unsigned i = 0; i < 2; i++) {
			for (unsigned path = 0; path < 4; path++) {
				p->pipe[i][path].loss = 0.02 * path;
				p->pipe[i][path].duplicate = 0.05;
				p->pipe[i][path].jitter_ns = 15 * MS;
			}
		}
		settle(p);
		mixed(p, 1000, 30);
		settle(p);
		pair_check(p);
		cr_assert_gt(lode_lane_counters(p->site[0].lane)->rx_waited, 0);
		cr_assert_gt(lode_lane_counters(p->site[0].lane)->drop_rx_replay, 0);
		cr_assert_eq(p->site[0].lane->n_waiting, 0, "nobody waits for ever");
		pair_free(p);
	}
}

Test(pair, small_packets_share_segments)
{
	struct pair *p = pair_new(3, 2, "null");
	settle(p);
	for (unsigned t = 0; t < 50; t++) {
		for (unsigned i = 0; i < 40; i++)
			pair_send(p, 0, i % 16, LODE_BULK, 60 + i, ECN_NOT_ECT);
		pair_run(p, p->now_ns + MS);
	}
	settle(p);
	pair_check(p);
	assert_all_delivered(p, 0);
	cr_assert_eq(pair_misordered(p, 1), 0);
	const struct lode_lane_counters *tx = lode_lane_counters(p->site[0].lane);
	cr_assert_gt(tx->tx_bundled, 1500);
	cr_assert_lt(tx->tx_segments, 400);
	cr_assert_eq(lode_lane_counters(p->site[1].lane)->rx_bundles, tx->tx_segments);
	pair_free(p);
}

Test(pair, long_packets_go_in_parts)
{
	struct pair *p = pair_new(4, 2, "null");
	for (unsigned i = 0; i < 2; i++) {
		p->pipe[0][i].jitter_ns = 3 * MS;
		p->pipe[0][i].duplicate = 0.1;
	}
	settle(p);
	for (unsigned t = 0; t < 300; t++) {
		pair_send(p, 0, t % 5, LODE_STREAMING, 1450 + t % 50, ECN_ECT0);
		pair_run(p, p->now_ns + MS);
	}
	settle(p);
	pair_check(p);
	assert_all_delivered(p, 0);
	cr_assert_gt(lode_lane_counters(p->site[1].lane)->rx_parts, 500);
	pair_free(p);
}

Test(pair, copies_survive_the_loss_of_a_path)
{
	struct pair *p = pair_new(5, 3, "null");
	pair_choose(p, LODE_VOIP, 7, LODE_NO_PATH, 2);
	settle(p);
	for (unsigned t = 0; t < 300; t++) {
		if (t == 100)
			p->pipe[0][0].dead = p->pipe[1][0].dead = true;
		if (t == 200)
			p->pipe[0][1].dead = p->pipe[1][1].dead = true;
		if (t == 190)
			p->pipe[0][0].dead = p->pipe[1][0].dead = false;
		pair_send(p, 0, 0, LODE_VOIP, 200, ECN_NOT_ECT);
		pair_run(p, p->now_ns + 10 * MS);
	}
	settle(p);
	pair_check(p);
	assert_all_delivered(p, 0);
	cr_assert_gt(lode_lane_counters(p->site[1].lane)->drop_rx_duplicate, 80);
	pair_free(p);
}

Test(pair, congestion_marks_come_through)
{
	struct pair *p = pair_new(6, 1, "null");
	settle(p);
	p->pipe[0][0].ce = true;
	for (unsigned t = 0; t < 50; t++) {
		pair_send(p, 0, 0, LODE_WEB, 300, ECN_ECT0);
		pair_send(p, 0, 1, LODE_WEB, 300, ECN_NOT_ECT);
		pair_run(p, p->now_ns + MS);
	}
	settle(p);
	pair_check(p);
	assert_all_delivered(p, 0);
	cr_assert_eq(lode_lane_counters(p->site[1].lane)->rx_ce, 50);
	pair_free(p);
}
