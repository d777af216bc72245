/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_repair.h"

#include <criterion/criterion.h>
#include <math.h>

/* A path of which that loss is known. */
static struct lode_repair_path path_of(double weight, double loss, double burst)
{
	struct lode_repair_path p = {.weight = weight, .burst = burst};
	lode_repair_level_add(p.loss, loss, 1);
	return p;
}

static struct lode_repair_input one_path(double loss, double burst, double pps)
{
	return (struct lode_repair_input){.scheme = LODE_REPAIR_SCHEME_AUTO,
		.deadline_ns = 20 * LODE_NS_PER_MS,
		.residual = 1e-3,
		.rtt_ns = 60 * LODE_NS_PER_MS,
		.pps = pps,
		.copies = 1,
		.n_paths = 1,
		.paths = {path_of(1, loss, burst)}};
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
		unsigned w = (unsigned)lode_rng_below(&rng, 4); /* longer windows take long */
		struct lode_repair_channel c = {
			lode_repair_table_loss[lode_rng_below(&rng, LODE_REPAIR_TABLE_LOSS)],
			lode_repair_table_bad[lode_rng_below(&rng, LODE_REPAIR_TABLE_BAD)],
			lode_repair_table_density[lode_rng_below(&rng, LODE_REPAIR_TABLE_DENSITY)]};
		double got[LODE_REPAIR_TABLE_RATE];
		lode_repair_table_residuals(&c, lode_repair_table_window[w], got);
		cr_assert_float_eq(got[0], c.loss, 1e-9);
		for (unsigned r = 1; r < LODE_REPAIR_TABLE_RATE; r++) {
			double want = lode_repair_model_residual(&c,
				(unsigned)lode_repair_table_window[w],
				(unsigned)lode_repair_table_rate_q8[r]);
			want = LODE_MIN(LODE_MAX(want, 1e-18), c.loss);
			cr_assert_float_eq(log2(got[r]), log2(want), 0.6 / LODE_REPAIR_TABLE_UNIT,
				"loss %g bad %g density %g window %g rate %g: %g, %g", c.loss,
				c.bad_pkts, c.density, lode_repair_table_window[w],
				lode_repair_table_rate_q8[r], got[r], want);
			cr_assert_leq(got[r], got[r - 1] * 1.02, "more parity, more loss");
		}
	}
}

Test(repair, rate_is_the_least_that_does_it_and_no_more_than_it_is_worth)
{
	double left[LODE_REPAIR_TABLE_RATE];
	for (unsigned r = 0; r < LODE_REPAIR_TABLE_RATE; r++) /* falls tenfold in 64 / 256 */
		left[r] = 0.1 * pow(10, -lode_repair_table_rate_q8[r] / 64);
	cr_assert_float_eq(lode_repair_table_rate(left, 0.1, 0), 0, 1e-9);
	cr_assert_float_eq(lode_repair_table_rate(left, 0.01, 0), 64, 1e-6);
	cr_assert_float_eq(lode_repair_table_rate(left, 0.001, 0), 128, 1e-6);
	/* 0.1 * 10^-4x + price x is least at x = log10(0.4 ln 10 / price) / 4. */
	cr_assert_float_eq(
		lode_repair_table_rate(left, 1e-6, 0.04), 64 * log10(0.4 * M_LN10 / 0.04), 1e-6);
	cr_assert_float_eq(lode_repair_table_rate(left, 0.05, 0.04), 64 * log10(2), 1e-6,
		"no more than the residual takes");
	cr_assert_float_eq(lode_repair_table_rate(left, 0, 2), 0, 1e-9);
	/* Little parity that brings nothing does not hide that much parity does. */
	for (unsigned r = 0; r < 4; r++)
		left[r] = 0.1;
	cr_assert_gt(lode_repair_table_rate(left, 1e-6, 0.04), 32);
}

/* Packets through Gilbert-Elliott losses, told in tens. */
static void tell(
	struct lode_repair_belief *b, struct lode_rng *rng, unsigned n, double loss, double burst)
{
	double leave = 1 / burst, enter = burst > 1 ? leave * loss / (1 - loss) : loss;
	bool bad = false;
	for (unsigned i = 0; i < n / 10; i++) {
		unsigned lost = 0, runs = 0;
		for (unsigned k = 0; k < 10; k++) {
			bool was = bad;
			bad = lode_rng_unit(rng) < (bad && burst > 1 ? 1 - leave : enter);
			lost += bad;
			runs += bad && !was;
		}
		lode_repair_belief_observe(b, 10 * LODE_NS_PER_MS, 10, lost, runs);
	}
}

Test(repair, belief_follows_the_channel)
{
	struct lode_repair_belief b;
	struct lode_repair_path p = {.weight = 1};
	struct lode_rng rng;
	lode_rng_seed(&rng, 3);
	lode_repair_belief_init(&b);
	tell(&b, &rng, 1000, 0, 1);
	lode_repair_path_believe(&p, &b);
	cr_assert_lt(lode_repair_path_loss(&p), 1e-4);
	tell(&b, &rng, 100, 0.1, 1); /* a tenth of a second is enough */
	lode_repair_path_believe(&p, &b);
	cr_assert_gt(lode_repair_path_loss(&p), 0.03);
	tell(&b, &rng, 3000, 0.05, 4);
	lode_repair_path_believe(&p, &b);
	cr_assert(lode_repair_path_loss(&p) > 0.02 && lode_repair_path_loss(&p) < 0.12, "%g",
		lode_repair_path_loss(&p));
	cr_assert(p.burst > 2.5 && p.burst < 6, "%g", p.burst);
	tell(&b, &rng, 1000, 0, 1);
	lode_repair_path_believe(&p, &b);
	cr_assert_lt(lode_repair_path_loss(&p), 0.003);
	double sum = 0;
	for (unsigned k = 0; k < LODE_REPAIR_LEVELS; k++)
		sum += p.loss[k];
	cr_assert_float_eq(sum, 1, 1e-5);
}

Test(repair, belief_takes_whatever_is_told)
{
	struct lode_repair_belief b;
	struct lode_rng rng;
	lode_rng_seed(&rng, 8);
	lode_repair_belief_init(&b);
	for (unsigned i = 0; i < 5000; i++) {
		struct lode_repair_path p;
		lode_repair_belief_observe(&b, lode_rng_u64(&rng) >> lode_rng_below(&rng, 60),
			(uint32_t)(lode_rng_u64(&rng) >> (32 + lode_rng_below(&rng, 32))),
			(uint32_t)(lode_rng_u64(&rng) >> (32 + lode_rng_below(&rng, 32))),
			lode_rng_unit(&rng) * 1e6);
		lode_repair_path_believe(&p, &b);
		double loss = lode_repair_path_loss(&p);
		cr_assert(loss >= 0 && loss <= 0.2001 && p.burst >= 1 && p.burst <= 8.1, "%g %g",
			loss, p.burst);
	}
}

Test(repair, what_is_foreseen_counts_a_quarter)
{
	struct lode_repair_path p = path_of(1, 0.01, 1);
	struct lode_repair_foreseen f = {.any = 0.9, .share = 0.1, .burst = 4, .n_pkts = 10};
	lode_repair_path_foresee(&p, &f);
	cr_assert_float_eq(lode_repair_path_loss(&p), 0.01 + 0.08 / 4, 1e-6);
	cr_assert_float_eq(p.burst, 4, 1e-9);
	f.any = 0.01; /* less than believed: nothing */
	lode_repair_path_foresee(&p, &f);
	cr_assert_float_eq(lode_repair_path_loss(&p), 0.03, 1e-6);
}

Test(repair, a_budget_is_kept_where_it_binds)
{
	struct lode_repair_budget b = {0};
	for (unsigned i = 0; i < 5000; i++) { /* spends 0.5 / (1 + 100 price) */
		double rate = 0.5 / (1 + 100 * lode_repair_budget_price(&b));
		lode_repair_budget_observe(
			&b, 10 * LODE_NS_PER_MS, 1000, (uint32_t)(1000 * rate), 0.2);
	}
	cr_assert_float_eq(b.spent, 0.2, 0.02, "%g", b.spent);
	cr_assert_gt(lode_repair_budget_price(&b), 0);
	for (unsigned i = 0; i < 5000; i++)
		lode_repair_budget_observe(&b, 10 * LODE_NS_PER_MS, 1000, 100, 0.2);
	cr_assert_eq(lode_repair_budget_price(&b), 0, "it is enough");
	lode_repair_budget_observe(&b, 10 * LODE_NS_PER_MS, 1000, 900, 1);
	cr_assert_eq(lode_repair_budget_price(&b), 0, "no budget");
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
	in.paths[0] = path_of(1, 0.1, 1);
	cr_assert_gt(decide(&in).rate_q8, base);
	in = one_path(0.03, 4, 1000);
	cr_assert_gt(decide(&in).rate_q8, base);
	in = one_path(0.03, 1, 300);
	cr_assert_gt(decide(&in).rate_q8, base);
	in = one_path(0.03, 8, 1000);
	unsigned alone = decide(&in).rate_q8;
	in.n_paths = 4;
	for (unsigned i = 0; i < 4; i++)
		in.paths[i] = path_of(0.25, 0.03, 8);
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
	in.paths[0] = path_of(1, 0.05, 1); /* not any more: parity for the rest, less than alone */
	in.rtt_ns = 15 * LODE_NS_PER_MS;
	unsigned both = decide(&in).rate_q8;
	in.rtt_ns = 60 * LODE_NS_PER_MS;
	cr_assert(both > 0 && both < decide(&in).rate_q8);
	in = one_path(0.02, 1, 100); /* 2 packets in 20 ms */
	in.n_paths = 2;
	in.paths[0] = in.paths[1] = path_of(0.5, 0.02, 1);
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

Test(repair, parity_goes_where_it_will_be_there_when_needed)
{
	struct lode_repair_input in = one_path(0, 1, 1000);
	in.n_paths = 4;
	in.paths[0] = path_of(0.25, 0.03, 1);
	in.paths[1] = path_of(0.25, 0.05, 4);
	in.paths[2] = path_of(0.25, 0.001, 1);
	in.paths[3] = path_of(0.25, 0, 1);
	in.paths[3].slower_ns = 15 * LODE_NS_PER_MS; /* clean, but most of it would come too late */
	struct lode_repair_decision d = decide(&in);
	const uint8_t want[] = {2, 0, 1, 3};
	cr_assert_eq(d.n_ranked, 4);
	cr_assert_arr_eq(d.ranked, want, 4);
	/* As lossy, but the class is on the other one: that is where a burst would have to be mended. */
	in.n_paths = 2;
	in.paths[0] = path_of(0.9, 0.01, 4);
	in.paths[1] = path_of(0.1, 0.01, 4);
	cr_assert_eq(decide(&in).ranked[0], 1);
}

Test(repair, fixed_is_what_was_asked_for)
{
	struct lode_repair_input in = one_path(0, 1, 1000);
	in.scheme = LODE_REPAIR_SCHEME_FIXED;
	in.n_sources = 10;
	in.n_repairs = 2;
	cr_assert_eq(decide(&in).rate_q8, 51);
	cr_assert_eq(decide(&in).span, 10);
	cr_assert_eq(decide(&in).n_ranked, 0);
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
		in.price = lode_rng_unit(&rng) < 0.5 ? 0 : lode_rng_unit(&rng);
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
