/* SPDX-License-Identifier: BSD-3-Clause */
/* Which path a class gets, and why. The lane's summaries are played by the test. */
#include "fixture.h"

#include <stdlib.h>

#define CONFIG BASE "peers:\n" PEER("one", KEY_1, "10.2.0.0/16")

TestSuite(select, .init = setup, .fini = teardown);

/* Two paths, a on port 1 (wan0) and b on a port without budget. */
static struct lode_lane_summary world;
static uint64_t now_ns;

static void step(uint64_t ns)
{
	now_ns += ns;
	world.now_ns = now_ns;
	lode_lane_summary_publish(&c->peers[0].lanes[0]->summary, &world);
	lode_control_poll(c, now_ns);
}

static void run(uint64_t ns)
{
	for (uint64_t end = now_ns + ns; now_ns < end;)
		step(10 * MS);
}

static void name_paths(void)
{
	struct lode_path_view *path = c->peers[0].view->paths;
	strcpy(path[0].name, "a");
	strcpy(path[1].name, "b");
	path[0].valid = path[1].valid = true;
	path[0].port_idx = 1;
	path[1].port_idx = 2;
	c->ports[2].up = true;
}

static void begin(void)
{
	now_ns = S;
	memset(&world, 0, sizeof(world));
	lode_control_poll(c, now_ns);
	name_paths();
	for (unsigned p = 0; p < 2; p++)
		world.paths[p] = (struct lode_path_summary){.state = LODE_PATH_UP,
			.srtt_us = 20000 + 20000 * p,
			.jitter_us = 1000,
			.pacing_kbps = 50000};
	run(S);
}

/* Packets of the class over the path, some of them lost. */
static void carry(unsigned cls, unsigned path, unsigned pkts, unsigned lost)
{
	world.paths[path].tx_pkts += pkts;
	world.paths[path].tx_bytes += 1000 * pkts;
	world.paths[path].told_pkts += pkts;
	world.paths[path].lost_pkts += lost;
	world.paths[path].lost_runs += (lost + 1) / 2;
	world.classes[cls].tx_path[path] += pkts;
}

static struct lode_choice_status explain(unsigned cls)
{
	struct lode_choice_status st;
	cr_assert_eq(lode_control_explain(c, 0, (enum lode_class)cls, &st), 0);
	return st;
}

Test(select, takes_the_best_path_and_says_why)
{
	begin();
	cr_assert_eq(choice_of(LODE_GAMING).preferred, 0);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
	struct lode_choice_status st = explain(LODE_GAMING);
	cr_assert_eq(st.last.reason.tipped, LODE_TERM_LATENCY);
	cr_assert_eq(st.last.reason.runner_up, 1);
	cr_assert(st.last.reason.score[0] > st.last.reason.score[1]);
	cr_assert_eq(st.last.why, LODE_WHY_FIRST);
	cr_assert_not(st.listed);
}

Test(select, leaves_a_browned_out_path_within_four_tenths_of_a_second)
{
	begin();
	world.paths[0].srtt_us = 130000;
	world.paths[0].jitter_us = 40000;
	uint64_t fell_ns = now_ns;
	while (choice_of(LODE_GAMING).preferred == 0 && now_ns - fell_ns < S)
		step(10 * MS);
	cr_assert_leq(now_ns - fell_ns, 150 * MS);
	cr_assert_eq(explain(LODE_GAMING).last.why, LODE_WHY_BETTER);
	struct lode_decision log[4];
	cr_assert_geq(lode_control_decisions(c, log, 4), 2);
	cr_assert_eq(log[0].from, 0);
	cr_assert_eq(log[0].to, 1);
}

Test(select, acts_at_once_on_a_path_event)
{
	begin();
	world.paths[0].state = LODE_PATH_SUSPECT;
	atomic_fetch_add(&shared->path_events, 1);
	step(MS); /* not yet time for the 10 ms look */
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 1);
	cr_assert_eq(explain(LODE_VOIP).last.why, LODE_WHY_DEAD);
	cr_assert_gt(lode_counter_read(&lode_control_counters(c)->failovers), 0);
	world.paths[0].state = LODE_PATH_UP;
	run(9 * S);
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 1);
	run(2 * S);
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 0);
}

static uint64_t n_decided(void)
{
	struct lode_selector_stats stats;
	cr_assert_eq(lode_control_selector_stats(c, 0, &stats), 0);
	return stats.counters.decisions;
}

Test(select, looks_only_at_peers_with_news)
{
	static const uint8_t mac[6] = {2};
	begin();
	uint64_t before = n_decided();
	for (uint64_t end = now_ns + S; now_ns < end;)
		lode_control_poll(c, now_ns += 10 * MS);
	cr_assert_eq(n_decided(), before);
	step(10 * MS);
	cr_assert_eq(n_decided(), before + LODE_N_CLASSES);
	/* A port that goes down is news without a lane that tells of it. */
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 0);
	lode_control_set_port(c, 1, mac, 1500, false);
	lode_control_poll(c, now_ns += 10 * MS);
	cr_assert_eq(choice_of(LODE_VOIP).preferred, 1);
}

Test(select, listed_links_win)
{
	begin();
	struct lode_config_class *web = &c->prepared->config->classes[LODE_WEB];
	strcpy(web->links[0], "b");
	web->n_links = 1;
	run(S);
	cr_assert_eq(choice_of(LODE_WEB).preferred, 1);
	cr_assert_eq(choice_of(LODE_WEB).allowed, 2);
	cr_assert_eq(choice_of(LODE_WEB).backup, 1);
	cr_assert(explain(LODE_WEB).listed);
	strcpy(web->links[1], "a");
	web->n_links = 2;
	web->prefer = LODE_PREFER_LEARNED;
	run(S);
	cr_assert_eq(choice_of(LODE_WEB).preferred, 0);
}

Test(select, learns_from_the_fate_of_traffic)
{
	begin();
	for (unsigned i = 0; i < 50 && choice_of(LODE_WEB).preferred == 0; i++) {
		carry(LODE_WEB, 0, 100, 6); /* data loses 6 %, probes nothing */
		run(100 * MS);
	}
	cr_assert_eq(choice_of(LODE_WEB).preferred, 1);
	cr_assert_eq(explain(LODE_WEB).last.reason.tipped, LODE_TERM_LEARNED);
	struct lode_selector_stats stats;
	cr_assert_eq(lode_control_selector_stats(c, 0, &stats), 0);
	cr_assert_lt(stats.residual[LODE_WEB][0], -0.05);
	/* A class that did not send there learned less. */
	cr_assert_gt(stats.residual[LODE_MANAGEMENT][0], stats.residual[LODE_WEB][0]);
}

Test(select, a_path_that_loses_half_is_set_aside)
{
	begin();
	for (unsigned i = 0; i < 5; i++) {
		carry(LODE_BULK, 0, 300, 150);
		carry(LODE_BULK, 1, 300, 0);
		world.paths[0].loss_ppm = 500000;
		run(100 * MS);
	}
	cr_assert_eq(choice_of(LODE_BULK).allowed, 2);
	cr_assert_eq(choice_of(LODE_BULK).backup, 1);
	cr_assert_eq(explain(LODE_BULK).poor, 1);
	run(3 * S / 2); /* probes see nothing: it is tried again after a while */
	cr_assert_eq(choice_of(LODE_BULK).allowed, 2);
	run(S);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
	/* But not while it comes and goes. */
	carry(LODE_BULK, 0, 100, 50);
	step(10 * MS);
	for (unsigned i = 0; i < 10; i++) {
		world.paths[0].state = i % 2 ? LODE_PATH_UP : LODE_PATH_DOWN;
		run(S);
		cr_assert_eq(explain(LODE_BULK).poor, 1);
	}
	world.paths[0].loss_ppm = 0;
	run(5 * S);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
	/* When all are as bad, none is. */
	world.paths[0].probe_loss_ppm = world.paths[1].probe_loss_ppm = 300000;
	run(2 * S);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
}

Test(select, a_path_that_begins_to_lose_half_is_set_aside_at_once)
{
	begin();
	carry(LODE_BULK, 0, 40, 20); /* too few to be sure */
	step(10 * MS);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
	carry(LODE_BULK, 0, 8, 4);
	step(10 * MS);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 2);
	cr_assert_eq(explain(LODE_BULK).poor, 1);
}

Test(select, a_short_outage_or_a_full_buffer_sets_no_path_aside)
{
	begin();
	carry(LODE_BULK, 0, 60, 40);
	world.paths[0].lost_runs = 1;
	step(10 * MS);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
	world.paths[0].owd_us = 40000;
	carry(LODE_BULK, 0, 60, 40);
	step(10 * MS);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 3);
	cr_assert_eq(explain(LODE_BULK).poor, 0);
}

Test(select, a_slow_path_that_loses_a_fifth_is_set_aside)
{
	begin();
	world.paths[0].loss_ppm = 200000;
	for (unsigned i = 0; i < 40; i++) { /* every second window has too little to tell */
		carry(LODE_BULK, 0, i % 2 ? 25 : 10, i % 2 ? 5 : 2);
		run(50 * MS);
	}
	cr_assert_eq(choice_of(LODE_BULK).allowed, 2);
}

Test(select, takes_turns_for_new_flows_only)
{
	begin();
	c->prepared->config->selector.algorithm = LODE_ALGORITHM_ROUND_ROBIN;
	cr_assert_eq(selector_sync(c, 0, now_ns), 0);
	unsigned on[2] = {0};
	for (unsigned i = 0; i < 20; i++) {
		step(10 * MS);
		on[choice_of(LODE_WEB).preferred]++;
	}
	cr_assert_eq(on[0], 10);
	cr_assert_eq(choice_of(LODE_WEB).flags, LODE_CHOICE_NEW_FLOWS);
}

/* ---- quota ---- */

#define JUNE_2026 1780272000ull /* seconds since 1970 */

static void set_wall(uint64_t wall_s)
{
	atomic_store(&shared->wall_offset_ns, (int64_t)(wall_s * S - now_ns));
}

Test(select, a_budget_is_spent_evenly)
{
	begin();
	c->prepared->config->ports[1].monthly_gb = 720; /* 1 GB an hour */
	c->prepared->config->ports[1].up_kbps = 0;
	set_wall(JUNE_2026);
	/* Bulk takes 4 GB an hour wherever it may. Steps of a minute of the calendar. */
	double on_a = 0, worst = 0;
	for (unsigned minute = 0; minute < 30 * 24 * 60; minute++) {
		if (choice_of(LODE_BULK).allowed & 1) {
			world.paths[0].tx_bytes += 4000000000 / 60;
			on_a += 4.0 / 60;
		}
		set_wall(JUNE_2026 + 60 * minute);
		step(10 * MS);
		double pace = (double)minute / 60;
		worst = LODE_MAX(worst, on_a > pace ? on_a - pace : pace - on_a);
	}
	struct lode_quota_status q;
	lode_control_quota(c, 1, &q);
	cr_assert_lt(worst, 1.5, "%.2f hours off the pace", worst);
	cr_assert_float_eq((double)q.used_bytes / 1e9, 720, 2);
	cr_assert_eq(q.budget_bytes, 720000000000ull);
	set_wall(JUNE_2026 + 30 * 86400 + 10); /* July */
	step(10 * MS);
	lode_control_quota(c, 1, &q);
	cr_assert_eq(q.used_bytes, 0);
}

Test(select, hungry_classes_leave_first)
{
	begin();
	c->prepared->config->ports[1].monthly_gb = 720;
	set_wall(JUNE_2026 + 86400);
	world.paths[0].tx_bytes += 24000000000 + 3000000000; /* three hours ahead */
	run(100 * MS);
	cr_assert_eq(choice_of(LODE_BULK).allowed, 2);
	cr_assert_eq(choice_of(LODE_WEB).allowed, 3);
	cr_assert_eq(explain(LODE_BULK).thrifty, 1);
	world.paths[0].tx_bytes += 50000000000;
	run(100 * MS);
	cr_assert_eq(choice_of(LODE_WEB).allowed, 2);
	cr_assert_eq(choice_of(LODE_GAMING).allowed, 2);
	/* But rather over budget than not at all. */
	world.paths[1].state = LODE_PATH_DOWN;
	run(100 * MS);
	cr_assert_eq(choice_of(LODE_GAMING).preferred, 0);
}

/* ---- over a restart ---- */

static char state[LODE_CONTROL_STATE_BYTES];

static void learn_something(void)
{
	begin();
	set_wall(JUNE_2026);
	c->prepared->config->ports[1].monthly_gb = 720;
	for (unsigned i = 0; i < 20; i++) {
		carry(LODE_WEB, 0, 100, 10);
		run(100 * MS);
	}
}

Test(select, what_was_learned_survives_a_restart)
{
	struct lode_selector_stats before, after;
	struct lode_quota_status used, kept;
	learn_something();
	lode_control_selector_stats(c, 0, &before);
	lode_control_quota(c, 1, &used);
	cr_assert_gt(lode_control_state(c, state, sizeof(state)), 0);
	restart(CONFIG, state);
	lode_control_poll(c, now_ns);
	name_paths();
	set_wall(JUNE_2026);
	step(10 * MS);
	lode_control_selector_stats(c, 0, &after);
	cr_assert_float_eq(before.residual[LODE_WEB][0], after.residual[LODE_WEB][0], 0.05);
	cr_assert_lt(after.residual[LODE_WEB][0], -0.05);
	lode_control_quota(c, 1, &kept);
	cr_assert_geq(kept.used_bytes, used.used_bytes);
}

Test(select, a_link_that_gets_another_id_keeps_what_was_learned)
{
	struct lode_selector_stats stats;
	learn_something();
	strcpy(c->peers[0].view->paths[0].name, "b");
	strcpy(c->peers[0].view->paths[1].name, "a");
	run(20 * MS);
	lode_control_selector_stats(c, 0, &stats);
	cr_assert_lt(stats.residual[LODE_WEB][1], -0.05);
	cr_assert_gt(stats.residual[LODE_WEB][0], -0.05);
}

Test(select, state_that_is_not_ours_is_refused_in_whole)
{
	static const char *const bad[] = {"", "lodestone-selector 2 5\n",
		"lodestone-selector 1 x\n", "lodestone-selector 1 5\nnonsense\n",
		"lodestone-selector 1 5\nquota wan0 1\n",
		"lodestone-selector 1 5\nquota wan0 1 99999999999999999999999\n",
		"lodestone-selector 1 5\npath one l value 3 1 2\n",
		"lodestone-selector 1 5\npath one l value 1 1 2\n",
		"lodestone-selector 1 5\npath one l value 999999999 1\n",
		"lodestone-selector 1 5\npath one l what 1 1\n",
		"lodestone-selector 1 5\npath one\n",
		"lodestone-selector 1 5\nquota wan0 1515 7\npath one l value 1 nonsense\n"};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		cr_assert_eq(remember_read(c, bad[i], &err), -EINVAL, "case %u", i);
		cr_assert_eq(c->n_remembered, 0);
		cr_assert_eq(c->quota[1].used_bytes, 0);
	}
	cr_assert_eq(remember_read(c, "lodestone-selector 1 5\nquota wan0 1515 7\n", &err), 0);
	cr_assert_eq(c->quota[1].used_bytes, 7);
	/* Numbers that a selector cannot take do not reach it. */
	cr_assert_eq(remember_read(c, "lodestone-selector 1 5\npath one a value 1 nan\n", &err), 0);
	begin();
}

Test(select, state_without_room_is_refused)
{
	learn_something();
	cr_assert_eq(lode_control_state(c, state, 64), -ENOSPC);
}
