/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_repair.h"

#include <criterion/criterion.h>
#include <math.h>

static struct lode_repair_input one_path(double loss, double burst, double pps)
{
	return (struct lode_repair_input){.scheme = LODE_REPAIR_SCHEME_AUTO,
		.deadline_ns = 20 * LODE_NS_PER_MS,
		.residual = 1e-3,
		.rtt_ns = 60 * LODE_NS_PER_MS,
		.pps = pps,
		.copies = 1,
		.n_paths = 1,
		.paths = {{1, loss, burst}}};
}

static struct lode_repair_decision decide(const struct lode_repair_input *in)
{
	struct lode_repair_decision d;
	lode_repair_decide(in, &d);
	return d;
}

Test(repair, table_holds_what_the_model_says)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 5);
	for (unsigned i = 0; i < 40; i++) {
		unsigned r = (unsigned)lode_rng_below(&rng, LODE_REPAIR_TABLE_RESIDUAL);
		unsigned w = (unsigned)lode_rng_below(&rng, 4); /* longer windows take long */
		struct lode_repair_channel c = {
			lode_repair_table_loss[lode_rng_below(&rng, LODE_REPAIR_TABLE_LOSS)],
			lode_repair_table_bad[lode_rng_below(&rng, LODE_REPAIR_TABLE_BAD)],
			lode_repair_table_density[lode_rng_below(&rng, LODE_REPAIR_TABLE_DENSITY)]};
		unsigned want = lode_repair_model_rate(
			&c, (unsigned)lode_repair_table_window[w], lode_repair_table_residual[r]);
		double got = lode_repair_table_rate(
			&c, lode_repair_table_window[w], lode_repair_table_residual[r]);
		cr_assert_float_eq(got, want, 0.01, "loss %g bad %g density %g window %g: %g, %u",
			c.loss, c.bad_pkts, c.density, lode_repair_table_window[w], got, want);
	}
}

Test(repair, model_is_exact_where_it_can_be_reckoned)
{
	/* No parity: what is lost stays lost. */
	struct lode_repair_channel c = {0.05, 1, 1};
	cr_assert_float_eq(lode_repair_model_residual(&c, 20, 0), 0.05, 1e-9);
	/* Losses without memory, one repair per source, one source of time: both must be lost. */
	cr_assert_float_eq(lode_repair_model_residual(&c, 1, 256), 0.05 * 0.05, 3e-4);
}

Test(repair, more_loss_longer_bursts_and_shorter_deadlines_cost_more)
{
	struct lode_repair_input in = one_path(0.03, 1, 1000);
	unsigned base = decide(&in).rate_q8;
	cr_assert(base > 0.10 * 256 && base < 0.2 * 256, "%u", base);
	in.paths[0].loss = 0.1;
	cr_assert_gt(decide(&in).rate_q8, base);
	in = one_path(0.03, 4, 1000);
	cr_assert_gt(decide(&in).rate_q8, base);
	in = one_path(0.03, 1, 300);
	cr_assert_gt(decide(&in).rate_q8, base);
	in = one_path(0.03, 8, 1000);
	unsigned alone = decide(&in).rate_q8;
	in.n_paths = 4;
	for (unsigned i = 0; i < 4; i++)
		in.paths[i] = (struct lode_repair_path){0.25, 0.03, 8};
	cr_assert_lt(decide(&in).rate_q8, alone);
}

Test(repair, means_follow_round_trip_and_packets_in_the_deadline)
{
	struct lode_repair_input in = one_path(0.002, 1, 1000);
	cr_assert_not(decide(&in).nack);
	cr_assert_gt(decide(&in).rate_q8, 0);
	in.rtt_ns = 8 * LODE_NS_PER_MS; /* asking again is enough */
	cr_assert(decide(&in).nack);
	cr_assert_eq(decide(&in).rate_q8, 0);
	in.paths[0].loss = 0.05; /* not any more: parity for the rest, less than alone */
	in.rtt_ns = 15 * LODE_NS_PER_MS;
	unsigned both = decide(&in).rate_q8;
	in.rtt_ns = 60 * LODE_NS_PER_MS;
	cr_assert(both > 0 && both < decide(&in).rate_q8);
	in = one_path(0.02, 1, 100); /* 2 packets in 20 ms */
	in.n_paths = 2;
	in.paths[0].weight = in.paths[1].weight = 0.5;
	in.paths[1].loss = 0.02;
	cr_assert_eq(decide(&in).copies, 2);
	cr_assert_eq(decide(&in).rate_q8, 0);
	in.n_paths = 1; /* no second path: parity all the same */
	in.paths[0].weight = 1;
	cr_assert_eq(decide(&in).copies, 1);
	cr_assert_gt(decide(&in).rate_q8, 0);
}

Test(repair, clean_paths_and_full_ones_pay_nothing_or_little)
{
	struct lode_repair_input in = one_path(0, 1, 1000);
	cr_assert_eq(decide(&in).rate_q8, 0);
	in = one_path(0.01, 8, 1000);
	unsigned spare = decide(&in).rate_q8;
	in.queueing = true;
	unsigned full = decide(&in).rate_q8;
	cr_assert(full < spare && full <= 0.033 * 256 + 1, "%u %u", full, spare);
	in.scheme = LODE_REPAIR_SCHEME_NACK;
	cr_assert_eq(decide(&in).rate_q8, 0);
	in.scheme = LODE_REPAIR_SCHEME_NONE;
	cr_assert(!decide(&in).nack && decide(&in).rate_q8 == 0);
}

Test(repair, fixed_is_what_was_asked_for)
{
	struct lode_repair_input in = one_path(0, 1, 1000);
	in.scheme = LODE_REPAIR_SCHEME_FIXED;
	in.n_sources = 10;
	in.n_repairs = 2;
	cr_assert_eq(decide(&in).rate_q8, 51);
	cr_assert_eq(decide(&in).span, 10);
}

Test(repair, strange_input_gives_possible_decisions)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 9);
	for (unsigned i = 0; i < 2000; i++) {
		struct lode_repair_input in = one_path(lode_rng_unit(&rng) * 1.5,
			lode_rng_unit(&rng) * 1000, lode_rng_unit(&rng) * 1e7);
		in.residual = lode_rng_unit(&rng);
		in.rtt_ns = lode_rng_below(&rng, LODE_NS_PER_S);
		in.late_ns = lode_rng_below(&rng, LODE_NS_PER_S);
		in.copies = (uint8_t)(1 + lode_rng_below(&rng, 4));
		in.paths[0].weight = lode_rng_unit(&rng);
		struct lode_repair_decision d = decide(&in);
		cr_assert(d.rate_q8 <= LODE_REPAIR_RATE_MAX && d.span >= 1 &&
			  d.span <= LODE_REPAIR_SPAN_MAX && d.copies >= 1 && d.copies <= 4);
	}
}

Test(repair, decisions_expire_by_packets_and_by_time)
{
	struct lode_repair_cache c = {0};
	struct lode_repair_decision d = {.rate_q8 = 77};
	cr_assert_eq(lode_repair_cache_rate(&c, 5), 0);
	lode_repair_cache_put(&c, &d, 26, 1000);
	for (unsigned i = 0; i < LODE_REPAIR_CACHED_PKTS; i++)
		cr_assert_eq(lode_repair_cache_rate(&c, 999), 77);
	cr_assert_eq(lode_repair_cache_rate(&c, 999), 26);
	lode_repair_cache_put(&c, &d, 26, 1000);
	cr_assert_eq(lode_repair_cache_rate(&c, 1000), 26);
	cr_assert_eq(c.n_expired, 3);
}

Test(repair, ladder_has_its_steps)
{
	cr_assert_eq(lode_repair_ladder(0.009), 0);
	cr_assert_eq(lode_repair_ladder(0.01), 26);
	cr_assert_eq(lode_repair_ladder(0.1), 51);
	cr_assert_eq(lode_repair_ladder(0.2), 85);
	cr_assert_eq(lode_repair_ladder(0.6), 128);
}
