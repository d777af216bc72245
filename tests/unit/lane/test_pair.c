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

/* Every 100 ms some path of some direction gets other faults, or dies, or comes back. */
static void make_trouble(struct pair *p)
{
	struct pipe *pipe =
		&p->pipe[lode_rng_below(&p->rng, 2)][lode_rng_below(&p->rng, PAIR_PATHS)];
	pipe->loss = 0.1 * lode_rng_unit(&p->rng);
	pipe->duplicate = 0.1 * lode_rng_unit(&p->rng);
	pipe->jitter_ns = lode_rng_below(&p->rng, 20 * MS);
	pipe->delay_ns = lode_rng_below(&p->rng, 40 * MS);
	pipe->dead = lode_rng_below(&p->rng, 5) == 0;
	pipe->ce = lode_rng_below(&p->rng, 3) == 0;
}

Test(pair, faults_alter_nothing_and_repeat_nothing)
{
	uint64_t n_waited = 0;
	for (uint64_t seed = 10; seed < 16; seed++) {
		struct pair *p = pair_new(seed, 4, "null");
		pair_choose(p, LODE_VOIP, 15, LODE_NO_PATH, 3);
		pair_choose(p, LODE_WEB, 3, 1, 1);
		settle(p);
		for (unsigned t = 0; t < 10; t++) {
			make_trouble(p);
			mixed(p, 100, 30);
		}
		settle(p);
		pair_check(p);
		for (unsigned i = 0; i < 2; i++) {
			const struct lode_lane_counters *c = lode_lane_counters(p->site[i].lane);
			n_waited += c->rx_waited;
			cr_assert_gt(c->drop_rx_duplicate, 0);
			cr_assert_eq(p->site[i].lane->n_waiting, 0, "nobody waits for ever");
		}
		pair_free(p);
	}
	cr_assert_gt(n_waited, 10000);
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

Test(pair, goodbye_goes_over_every_path)
{
	struct pair *p = pair_new(31, 3, "auto");
	pair_run(p, LODE_NS_PER_S);
	lode_lane_close(p->site[0].lane, LODE_WIRE_CLOSE_SHUTDOWN, p->now_ns);
	pair_run(p, 2 * LODE_NS_PER_S);
	cr_assert_eq(p->site[1].n_closed, 3);
	cr_assert_eq(p->site[0].n_closed, 0);
	pair_check(p);
	pair_free(p);
}

Test(pair, a_lane_is_small)
{
	cr_assert_leq(lode_lane_bytes(), LODE_LANE_BYTES_MAX, "%zu bytes", lode_lane_bytes());
}

/* What one greedy flow of Bulk brings through, in Mbit/s of inner packets. */
static double goodput(struct pair *p, uint8_t allowed)
{
	uint64_t before = lode_lane_counters(p->site[1].lane)->delivered_bytes;
	pair_choose(p, LODE_BULK, allowed, LODE_NO_PATH, 1);
	uint64_t start_ns = p->now_ns;
	for (unsigned t = 0; t < 2000; t++) {
		while (lode_lane_backlog_pkts(p->site[0].lane) < 200) {
			if (p->site[0].flows[0].sent == PAIR_FLOW_PKTS - 1)
				break;
			pair_send(p, 0, 0, LODE_BULK, 1400, ECN_NOT_ECT);
		}
		if (p->site[0].flows[0].sent == PAIR_FLOW_PKTS - 1)
			break;
		pair_run(p, p->now_ns + MS);
	}
	uint64_t bytes = lode_lane_counters(p->site[1].lane)->delivered_bytes - before;
	return (double)bytes * 8e3 / (double)(p->now_ns - start_ns);
}

Test(pair, unequal_paths_add_up)
{
	static const double mbps[3] = {30, 10, 40};
	double got[3];
	for (unsigned run = 0; run < 3; run++) {
		struct pair *p = pair_new(20, 2, "null");
		for (unsigned i = 0; i < 2; i++) {
			p->pipe[i][0].rate_bps = 30 * 1000 * 1000;
			p->pipe[i][1].rate_bps = 10 * 1000 * 1000;
			p->pipe[i][1].delay_ns = 30 * MS;
			p->site[i].view.paths[0].up_kbps = 30 * 1000;
			p->site[i].view.paths[1].up_kbps = 10 * 1000;
			for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
				p->site[i].config->classes[cls].queue_limit_us = 2000000;
		}
		pair_publish(p);
		settle(p);
		got[run] = goodput(p, (uint8_t)(run + 1));
		settle(p);
		pair_check(p);
		pair_free(p);
		cr_assert_gt(got[run], 0.6 * mbps[run], "run %u: %.1f Mbit/s", run, got[run]);
	}
	cr_assert_gt(
		got[2], 0.95 * (got[0] + got[1]), "%.1f of %.1f + %.1f", got[2], got[0], got[1]);
}

Test(pair, a_dead_path_is_left_and_taken_again)
{
	struct pair *p = pair_new(21, 2, "null");
	pair_choose(p, LODE_VOIP, 3, 0, 1);
	settle(p);
	uint32_t *delivered = &p->site[0].flows[0].delivered, *sent = &p->site[0].flows[0].sent;
	uint64_t gap_ns = 0, last_ns = 0;
	uint32_t last = 0;
	for (unsigned t = 0; t < 1500; t++) {
		if (t == 200 || t == 600)
			for (unsigned i = 0; i < 2; i++)
				p->pipe[i][0].dead = t == 200;
		pair_send(p, 0, 0, LODE_VOIP, 200, ECN_NOT_ECT);
		pair_run(p, p->now_ns + 10 * MS);
		if (*delivered != last && last_ns != 0)
			gap_ns = LODE_MAX(gap_ns, p->now_ns - last_ns);
		if (*delivered != last)
			last_ns = p->now_ns;
		last = *delivered;
	}
	settle(p);
	pair_check(p);
	cr_assert_leq(gap_ns, 260 * MS, "silence of %lu ms", gap_ns / MS);
	cr_assert_leq(*sent - *delivered, 26, "%u lost", *sent - *delivered);
	cr_assert_geq(lode_lane_counters(p->site[0].lane)->flow_moves, 2, "away and back");
	cr_assert_eq(p->site[0].flows[0].state.path, 1, "back on the preferred path");
	pair_free(p);
}

Test(pair, new_keys_under_traffic_lose_nothing)
{
	struct pair *p = pair_new(22, 3, "auto");
	settle(p);
	for (unsigned k = 0; k < 7; k++) {
		mixed(p, 60, 10);
		pair_rekey(p, (k + 1) % LODE_EPOCHS, k + 2, k % 2);
	}
	mixed(p, 60, 10);
	settle(p);
	pair_check(p);
	for (unsigned i = 0; i < 2; i++) {
		assert_all_delivered(p, i);
		cr_assert_eq(p->site[i].lane->rx_generation, 8);
		cr_assert_eq(lode_lane_counters(p->site[i].lane)->drop_rx_auth, 0);
	}
	pair_free(p);
}

Test(pair, a_restarted_peer_is_heard_at_once)
{
	struct pair *p = pair_new(23, 2, "null");
	settle(p);
	for (unsigned round = 0; round < 4; round++) {
		mixed(p, 100, 10);
		settle(p);
		pair_restart(p, round % 2);
		settle(p);
	}
	uint32_t before = p->site[1].n_delivered, sent = p->site[0].flows[3].sent;
	mixed(p, 100, 10);
	settle(p);
	cr_assert_eq(p->site[1].n_delivered - before, 1000);
	cr_assert_eq(p->site[0].flows[3].sent - sent, 100);
	pair_free(p);
}

Test(pair, an_empty_pool_loses_packets_and_nothing_else)
{
	struct pair *p = pair_new(24, 2, "null");
	pair_choose(p, LODE_VOIP, 3, LODE_NO_PATH, 2);
	settle(p);
	/* Take all buffers but a few away, give them back in the middle. */
	static struct rte_mbuf *taken[PAIR_MBUFS];
	unsigned n = 0;
	while (rte_mempool_avail_count(p->pool) > 40)
		taken[n++] = rte_pktmbuf_alloc(p->pool);
	mixed(p, 100, 20);
	rte_pktmbuf_free_bulk(taken, n);
	settle(p);
	uint32_t before = p->site[1].n_delivered;
	mixed(p, 50, 10);
	settle(p);
	cr_assert_eq(p->site[0].n_altered + p->site[1].n_altered, 0);
	cr_assert_eq(p->site[0].n_twice + p->site[1].n_twice, 0);
	cr_assert_eq(p->site[1].n_delivered - before, 500, "as if nothing had been");
	pair_free(p);
}

static uint32_t published(const struct pair *p, unsigned site)
{
	return p->site[site].summary.sequence / 2;
}

Test(pair, a_lane_without_traffic_rests)
{
	struct pair *p = pair_new(26, 2, "null");
	settle(p);
	pair_run(p, p->now_ns + 500 * MS);
	uint32_t before = published(p, 0);
	pair_run(p, p->now_ns + 1000 * MS);
	cr_assert_leq(published(p, 0) - before, 11, "%u times", published(p, 0) - before);
	cr_assert_geq(published(p, 0) - before, 9);
	/* The first packet wakes it, and the one who gets it. */
	uint32_t others = published(p, 1);
	before = published(p, 0);
	pair_send(p, 0, 0, LODE_WEB, 200, ECN_NOT_ECT);
	pair_run(p, p->now_ns + MS);
	cr_assert_gt(published(p, 0), before);
	pair_run(p, p->now_ns + 250 * MS);
	cr_assert_geq(published(p, 0) - before, 25);
	cr_assert_geq(published(p, 1) - others, 20);
	pair_free(p);
}

Test(pair, a_lane_that_rests_tells_of_a_dead_path_at_once)
{
	struct pair *p = pair_new(27, 2, "null");
	struct lode_lane_summary s;
	settle(p);
	pair_run(p, p->now_ns + 500 * MS);
	p->pipe[0][1].dead = p->pipe[1][1].dead = true;
	for (unsigned ms = 0; lode_path_state(p->site[0].lane->path[1].est) == LODE_PATH_UP; ms++) {
		cr_assert_lt(ms, 200);
		pair_run(p, p->now_ns + MS);
	}
	cr_assert(lode_lane_summary_read(&p->site[0].summary, &s));
	cr_assert_eq(s.paths[1].state, LODE_PATH_SUSPECT);
	pair_free(p);
}

Test(pair, newest_address_of_the_peer_is_reported)
{
	struct pair *p = pair_new(25, 2, "null");
	settle(p);
	struct lode_lane_summary s;
	cr_assert(lode_lane_summary_read(&p->site[1].summary, &s));
	cr_assert_eq(s.paths[1].remote_port, 4000);
	cr_assert_eq(memcmp(&s.paths[1].remote, &p->site[1].view.paths[1].remote, 16), 0);
	cr_assert_eq(s.paths[0].state, LODE_PATH_UP);
	cr_assert_eq(s.rx_generation, 1);
	/* The peer's NAT gives it another port. */
	p->site[0].view.paths[1].local_port = 4999;
	pair_publish(p);
	pair_run(p, p->now_ns + 200 * MS);
	cr_assert(lode_lane_summary_read(&p->site[1].summary, &s));
	cr_assert_eq(s.paths[1].remote_port, 4999);
	pair_free(p);
}
