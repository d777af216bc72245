/* SPDX-License-Identifier: BSD-3-Clause */
/* When a flow leaves its path for a better one. */
#include "pair.h"

#include <criterion/criterion.h>

#define MS LODE_NS_PER_MS
#define S  LODE_NS_PER_S

/* Two paths that are up, path 0 preferred and 30 ms slower than path 1; the flow is on it for 3 s. */
static struct pair *begin(unsigned cls, uint64_t every_ns)
{
	struct pair *p = pair_new(5, 2, "null");
	for (unsigned i = 0; i < 2; i++)
		p->pipe[i][0].delay_ns = 40 * MS;
	pair_choose(p, cls, 3, 0, 1);
	pair_run(p, p->now_ns + 2 * S);
	for (uint64_t end_ns = p->now_ns + 3 * S; p->now_ns < end_ns;) {
		pair_send(p, 0, 0, cls, 200, ECN_NOT_ECT);
		pair_run(p, p->now_ns + every_ns);
	}
	cr_assert_eq(p->site[0].flows[0].state.path, 1, "on path 0");
	return p;
}

/* How long the flow takes to be on path 1 when that is preferred, at most a second. */
static uint64_t moved_after_ns(struct pair *p, unsigned cls, uint64_t every_ns)
{
	uint64_t start_ns = p->now_ns;
	while (p->site[0].flows[0].state.path != 2 && p->now_ns - start_ns < S) {
		pair_send(p, 0, 0, cls, 200, ECN_NOT_ECT);
		pair_run(p, p->now_ns + every_ns);
	}
	return p->now_ns - start_ns;
}

Test(steer, moves_in_a_pause_that_no_packet_can_overtake)
{
	struct pair *p = begin(LODE_WEB, 50 * MS);
	pair_choose(p, LODE_WEB, 3, 1, 1);
	cr_assert_leq(moved_after_ns(p, LODE_WEB, 50 * MS), 110 * MS);
	pair_run(p, p->now_ns + S);
	cr_assert_eq(pair_misordered(p, 1), 0);
	pair_check(p);
	pair_free(p);
}

Test(steer, does_not_wait_for_a_pause_for_ever)
{
	struct pair *p = begin(LODE_GAMING, 5 * MS);
	pair_choose(p, LODE_GAMING, 3, 1, 1);
	uint64_t took_ns = moved_after_ns(p, LODE_GAMING, 5 * MS);
	cr_assert(took_ns >= 140 * MS && took_ns <= 200 * MS, "%lu ms", took_ns / MS);
	pair_run(p, p->now_ns + S);
	pair_check(p);
	pair_free(p);
}

Test(steer, stays_when_the_choice_is_for_new_flows)
{
	struct pair *p = begin(LODE_WEB, 50 * MS);
	union lode_choice c = {.allowed = 3,
		.preferred = 1,
		.copies = 1,
		.flags = LODE_CHOICE_NEW_FLOWS,
		.serial = 2};
	atomic_store(&p->site[0].shared->choice[0][LODE_WEB], c.word);
	cr_assert_geq(moved_after_ns(p, LODE_WEB, 50 * MS), S);
	pair_send(p, 0, 1, LODE_WEB, 200, ECN_NOT_ECT);
	pair_run(p, p->now_ns + 100 * MS);
	cr_assert_eq(p->site[0].flows[1].state.path, 2, "a new flow begins on path 1");
	pair_free(p);
}

Test(steer, counts_segments_of_each_class_by_path)
{
	struct pair *p = begin(LODE_WEB, 50 * MS);
	struct lode_lane_summary s;
	lode_lane_summarise(p->site[0].lane, p->now_ns, &s);
	cr_assert_eq(s.classes[LODE_WEB].tx_path[0], 60);
	cr_assert_eq(s.classes[LODE_WEB].tx_path[1], 0);
	cr_assert_eq(s.classes[LODE_BULK].tx_path[0], 0);
	pair_free(p);
}
