/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "selector_reference.h"

#include <math.h>
#include <stdlib.h>

#define MS LODE_NS_PER_MS
#define S  LODE_NS_PER_S

static struct lode_selector *make(const struct lode_selector_params *params)
{
	void *memory = malloc(lode_selector_bytes(params->kind));
	cr_assert(memory);
	return lode_selector_init(memory, params, 0);
}

static const struct lode_selector_path good_path = {
	.rtt_ms = 20, .jitter_ms = 2, .mbps = 100, .availability = 1, .cost = 1};

/* Paths 0 to n-1, the first one the fastest. */
static void some_paths(struct lode_selector_path *path, unsigned n, uint64_t now_ns)
{
	memset(path, 0, LODE_SELECTOR_PATHS * sizeof(*path));
	for (unsigned i = 0; i < n; i++) {
		path[i] = good_path;
		path[i].rtt_ms += 20 * i;
		path[i].updated_ns = now_ns;
	}
}

static unsigned choose(
	struct lode_selector *s, enum lode_class cls, uint8_t healthy, uint64_t now_ns)
{
	struct lode_selector_choice choice;
	lode_selector_select(s, cls, healthy, now_ns, &choice);
	return choice.path;
}

/* ---- against the reference, bit for bit ---- */

struct twins {
	struct lode_selector *fast;
	struct reference *naive;
	struct lode_rng rng;
	uint64_t now_ns;
	struct lode_selector_choice kept[8]; /* choices whose outcome is not known yet */
	unsigned n_kept;
};

static void random_paths(struct twins *t)
{
	uint8_t known = (uint8_t)lode_rng_u64(&t->rng) | 1;
	struct lode_selector_path *path = t->naive->path;
	memset(path, 0, sizeof(t->naive->path));
	for (unsigned i = 0; i < LODE_SELECTOR_PATHS; i++) {
		if (!(known & 1u << i))
			continue;
		path[i] = (struct lode_selector_path){.rtt_ms = 1200 * lode_rng_unit(&t->rng),
			.jitter_ms = 150 * lode_rng_unit(&t->rng),
			.loss = .1 * lode_rng_unit(&t->rng),
			.mbps = 400 * lode_rng_unit(&t->rng),
			.availability = lode_rng_unit(&t->rng),
			.cost = 3 * lode_rng_unit(&t->rng),
			.updated_ns =
				t->now_ns - LODE_MIN(t->now_ns, lode_rng_below(&t->rng, 40 * S))};
	}
	t->naive->known = known;
	t->naive->now_ns = t->now_ns;
	lode_selector_update(t->fast, path, known, t->now_ns);
}

static void compare_scores(struct twins *t, unsigned cls)
{
	struct lode_selector_reason why;
	lode_selector_explain(t->fast, (enum lode_class)cls, 0, 0xff, &why);
	for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++) {
		bool linear = t->naive->params.kind == LODE_SELECTOR_LINUCB;
		if (!(t->naive->known & 1u << p) || (linear && p >= LODE_SELECTOR_LINEAR))
			continue;
		double want = reference_score(t->naive, cls, p);
		if (t->naive->params.kind == LODE_SELECTOR_VALUE)
			cr_assert(want == why.score[p], "class %u path %u: %a and %a", cls, p, want,
				why.score[p]);
		else
			cr_assert_float_eq(want, why.score[p], 1e-9);
	}
}

static void step_twins(struct twins *t)
{
	if (lode_rng_below(&t->rng, 4) == 0) {
		for (unsigned n = (unsigned)lode_rng_below(&t->rng, 3); n > 0; n--) {
			t->now_ns += S;
			reference_second(t->naive);
			lode_selector_update(t->fast, t->naive->path, t->naive->known, t->now_ns);
		}
		random_paths(t);
	}
	unsigned cls = (unsigned)lode_rng_below(&t->rng, LODE_N_CLASSES);
	struct lode_selector_choice choice;
	compare_scores(t, cls);
	unsigned want = reference_select(t->naive, cls, 0xff);
	if (want == LODE_SELECTOR_NONE)
		return; /* then turns are taken: nothing to compare */
	lode_selector_select(t->fast, (enum lode_class)cls, 0xff, t->now_ns, &choice);
	cr_assert_eq(choice.path, want);
	cr_assert(choice.promise == reference_promise(t->naive, cls, want));
	t->kept[t->n_kept++ % 8] = choice;
	const struct lode_selector_choice *old =
		&t->kept[lode_rng_below(&t->rng, LODE_MIN(t->n_kept, 8u))];
	if (!(t->naive->known & 1u << old->path))
		return;
	double reward = 2 * lode_rng_unit(&t->rng) - 1, weight = lode_rng_unit(&t->rng) + 1e-3;
	lode_selector_observe(t->fast, old, reward, weight);
	reference_observe(t->naive, old, reward, weight);
}

static void run_twins(enum lode_selector_kind kind, unsigned steps)
{
	struct lode_selector_params params = {.kind = kind,
		.explore = 0x2c,
		.ucb_c = 1.4,
		.ucb_context = .35,
		.linucb_alpha = .5};
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct twins t = {.now_ns = 1};
		t.fast = make(&params);
		t.naive = malloc(sizeof(*t.naive));
		reference_init(t.naive, &params);
		lode_rng_seed(&t.rng, seed);
		random_paths(&t);
		for (unsigned i = 0; i < steps; i++)
			step_twins(&t);
		free(t.naive);
		free(t.fast);
	}
}

Test(selector, value_equals_the_reference)
{
	run_twins(LODE_SELECTOR_VALUE, 3000);
}

Test(selector, ucb1_equals_the_reference)
{
	run_twins(LODE_SELECTOR_UCB1, 3000);
}

Test(selector, linucb_equals_the_reference)
{
	run_twins(LODE_SELECTOR_LINUCB, 400);
}

/* The rank-one updates against the equations solved from scratch. */
Test(selector, linucb_solves_the_regression)
{
	struct lode_selector_params params = {.kind = LODE_SELECTOR_LINUCB};
	struct twins t = {.now_ns = 1};
	t.fast = make(&params);
	t.naive = malloc(sizeof(*t.naive));
	reference_init(t.naive, &params);
	lode_rng_seed(&t.rng, 9);
	random_paths(&t);
	for (unsigned i = 0; i < 500; i++)
		step_twins(&t);
	struct lode_selector_choice choice;
	struct lode_selector_reason why;
	lode_selector_describe(t.fast, LODE_WEB, 0, t.now_ns, &choice);
	lode_selector_explain(t.fast, LODE_WEB, 0, t.naive->known, &why);
	cr_assert_float_eq(why.term[0][LODE_TERM_LEARNED],
		reference_linear_mean(t.naive, 0, choice.inputs), 1e-6);
	free(t.naive);
	free(t.fast);
}

/* ---- behaviour ---- */

Test(selector, takes_turns_over_healthy_paths)
{
	struct lode_selector_params params = {.kind = LODE_SELECTOR_ROUND_ROBIN};
	struct lode_selector *s = make(&params);
	unsigned count[LODE_SELECTOR_PATHS] = {0};
	for (unsigned i = 0; i < 30; i++)
		count[choose(s, LODE_WEB, 0x1a, 0)]++;
	cr_assert_eq(count[1], 10);
	cr_assert_eq(count[3], 10);
	cr_assert_eq(count[4], 10);
	cr_assert_eq(choose(s, LODE_WEB, 0, 0), LODE_SELECTOR_NONE);
	free(s);
}

Test(selector, without_estimates_takes_turns_and_says_so)
{
	struct lode_selector *s = make(&lode_selector_defaults);
	struct lode_selector_stats stats;
	unsigned a = choose(s, LODE_GAMING, 0x3, S), b = choose(s, LODE_GAMING, 0x3, S);
	cr_assert_neq(a, b);
	lode_selector_get_stats(s, &stats);
	cr_assert_eq(stats.counters.fallback_no_estimate, 2);
	free(s);
}

Test(selector, stays_within_the_margin_and_moves_after_the_hold)
{
	struct lode_selector_params params = lode_selector_defaults;
	struct lode_selector *s = make(&params);
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	some_paths(path, 2, S);
	lode_selector_update(s, path, 3, S);
	cr_assert_eq(choose(s, LODE_GAMING, 3, S), 0);
	path[0].rtt_ms = path[1].rtt_ms + 5; /* worse by 0.017: not worth a move */
	lode_selector_update(s, path, 3, S);
	for (unsigned i = 0; i < 100; i++)
		cr_assert_eq(choose(s, LODE_GAMING, 3, S + i * 10 * MS), 0);
	path[0].rtt_ms += 100;
	lode_selector_update(s, path, 3, 2 * S);
	cr_assert_eq(choose(s, LODE_GAMING, 3, 2 * S), 0);
	cr_assert_eq(choose(s, LODE_GAMING, 3, 2 * S + params.hold_ns - 1), 0);
	cr_assert_eq(choose(s, LODE_GAMING, 3, 2 * S + params.hold_ns), 1);
	free(s);
}

Test(selector, leaves_a_dead_path_at_once_and_returns_when_it_is_ripe)
{
	struct lode_selector *s = make(&lode_selector_defaults);
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	uint64_t ripe_ns = lode_selector_defaults.ripe_ns;
	some_paths(path, 2, S);
	lode_selector_update(s, path, 3, S);
	cr_assert_eq(choose(s, LODE_VOIP, 3, S), 0);
	cr_assert_eq(choose(s, LODE_VOIP, 2, 2 * S), 1);
	cr_assert_eq(choose(s, LODE_VOIP, 3, 2 * S + ripe_ns - 1), 1);
	cr_assert_eq(choose(s, LODE_VOIP, 3, 2 * S + ripe_ns), 1); /* better since now */
	cr_assert_eq(choose(s, LODE_VOIP, 3, 3 * S + ripe_ns), 0);
	/* Nothing else left: an unripe one is better than none. */
	choose(s, LODE_VOIP, 2, 20 * S);
	cr_assert_eq(choose(s, LODE_VOIP, 1, 21 * S), 0);
	free(s);
}

Test(selector, learns_what_probes_do_not_see_and_forgets_it)
{
	struct lode_selector_params params = lode_selector_defaults;
	params.explore = 0xff;
	struct lode_selector *s = make(&params);
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	struct lode_selector_choice choice;
	uint64_t now_ns = S;
	some_paths(path, 2, now_ns);
	lode_selector_update(s, path, 3, now_ns);
	unsigned n = 0;
	do { /* data on path 0 does worse by 0.3 than its probes promise */
		now_ns += 200 * MS;
		lode_selector_select(s, LODE_WEB, 3, now_ns, &choice);
		lode_selector_observe(s, &choice, choice.promise - (choice.path == 0 ? .3 : 0), 1);
	} while (choice.path == 0 && ++n < 50);
	cr_assert_lt(n, 20, "needed %u samples", n);
	struct lode_selector_reason why;
	lode_selector_explain(s, LODE_WEB, 1, 3, &why);
	cr_assert_eq(why.tipped, LODE_TERM_LEARNED);
	cr_assert_eq(why.runner_up, 0);
	for (unsigned i = 0; i < 400 && choice.path == 1;
		i++) { /* minutes later it is tried again */
		now_ns += S;
		lode_selector_update(s, path, 3, now_ns);
		lode_selector_select(s, LODE_WEB, 3, now_ns, &choice);
	}
	cr_assert_eq(choice.path, 0);
	free(s);
}

Test(selector, a_death_is_not_learned_as_treatment)
{
	struct lode_selector *s = make(&lode_selector_defaults);
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	struct lode_selector_choice choice;
	struct lode_selector_stats stats;
	some_paths(path, 2, S);
	lode_selector_update(s, path, 3, S);
	lode_selector_select(s, LODE_WEB, 3, S, &choice);
	choose(s, LODE_WEB, 2, S + 150 * MS);
	lode_selector_observe(s, &choice, -1, 1);
	lode_selector_get_stats(s, &stats);
	cr_assert_eq(stats.residual[LODE_WEB][0], 0);
	cr_assert_eq(stats.counters.observations, 1);
	free(s);
}

Test(selector, cost_moves_bulk_before_gaming)
{
	struct lode_selector *s = make(&lode_selector_defaults);
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	some_paths(path, 2, S);
	path[0].cost = 2;
	lode_selector_update(s, path, 3, S);
	cr_assert_eq(choose(s, LODE_GAMING, 3, S), 0);
	cr_assert_eq(choose(s, LODE_BULK, 3, S), 1);
	struct lode_selector_reason why;
	lode_selector_explain(s, LODE_BULK, 1, 3, &why);
	cr_assert_eq(why.tipped, LODE_TERM_COST);
	free(s);
}

Test(selector, hands_over_to_turns_when_it_loses)
{
	struct lode_selector *s = make(&lode_selector_defaults);
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	struct lode_selector_choice choice;
	struct lode_selector_stats stats;
	some_paths(path, 2, S);
	lode_selector_update(s, path, 3, S);
	for (unsigned i = 0; i < 1000; i++) { /* a path that does badly whatever is learned of it */
		lode_selector_describe(s, LODE_GAMING, 0, S, &choice);
		choice.promise = -1;
		lode_selector_observe(s, &choice, -1, 1);
	}
	lode_selector_get_stats(s, &stats);
	cr_assert(stats.losing);
	unsigned a = choose(s, LODE_GAMING, 3, S), b = choose(s, LODE_GAMING, 3, S);
	cr_assert_neq(a, b);
	lode_selector_get_stats(s, &stats);
	cr_assert_eq(stats.counters.fallback_losing, 2);
	free(s);
}

/* ---- what survives ---- */

static void learn(struct lode_selector *s, uint64_t now_ns)
{
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	struct lode_selector_choice choice;
	some_paths(path, 4, now_ns);
	lode_selector_update(s, path, 0xf, now_ns);
	for (unsigned i = 0; i < 60; i++) {
		lode_selector_select(
			s, (enum lode_class)(i % LODE_N_CLASSES), 0xf, now_ns, &choice);
		lode_selector_observe(s, &choice, .5, 1);
	}
}

Test(selector, keeps_what_it_learned_over_a_restart)
{
	for (unsigned kind = 0; kind < LODE_SELECTOR_KINDS; kind++) {
		struct lode_selector_params params = lode_selector_defaults;
		params.kind = (enum lode_selector_kind)kind;
		struct lode_selector *a = make(&params), *b = make(&params);
		double kept[LODE_SELECTOR_KEPT], again[LODE_SELECTOR_KEPT];
		learn(a, S);
		for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++) {
			unsigned n = lode_selector_keep(a, p, kept);
			if (n == 0)
				continue;
			cr_assert_eq(lode_selector_restore(b, p, kept, n, 0), 0);
			cr_assert_eq(lode_selector_keep(b, p, again), n);
			cr_assert_eq(memcmp(kept, again, n * sizeof(double)), 0);
		}
		free(a);
		free(b);
	}
}

Test(selector, what_is_old_counts_less)
{
	struct lode_selector *a = make(&lode_selector_defaults), *b = make(&lode_selector_defaults);
	struct lode_selector_stats before, after;
	double kept[LODE_SELECTOR_KEPT];
	learn(a, S);
	unsigned n = lode_selector_keep(a, 0, kept);
	cr_assert_eq(lode_selector_restore(b, 0, kept, n, 60 * S), 0);
	lode_selector_get_stats(a, &before);
	lode_selector_get_stats(b, &after);
	cr_assert_float_eq(
		after.weight[LODE_WEB][0] / before.weight[LODE_WEB][0], pow(.97, 60), 1e-9);
	cr_assert_float_eq(
		after.weight[LODE_GAMING][0] / before.weight[LODE_GAMING][0], pow(.999, 60), 1e-9);
	free(a);
	free(b);
}

Test(selector, refuses_numbers_that_cannot_be)
{
	struct lode_selector *s = make(&lode_selector_defaults);
	double good[LODE_SELECTOR_KEPT], bad[LODE_SELECTOR_KEPT];
	learn(s, S);
	unsigned n = lode_selector_keep(s, 0, good);
	const double wrong[][2] = {{0, NAN}, {0, -1}, {1, 1e6}, {2, INFINITY}, {3, 1e8}, {2, -5}};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(wrong); i++) {
		memcpy(bad, good, sizeof(bad));
		bad[(unsigned)wrong[i][0]] = wrong[i][1];
		cr_assert_eq(lode_selector_restore(s, 0, bad, n, 0), -EINVAL, "case %u", i);
	}
	cr_assert_eq(lode_selector_restore(s, 0, good, n - 1, 0), -EINVAL);
	cr_assert_eq(lode_selector_restore(s, LODE_SELECTOR_PATHS, good, n, 0), -EINVAL);
	cr_assert_eq(lode_selector_restore(s, 0, good, n, 0), 0);
	free(s);
}

/* ---- loss as probes see it ---- */

/* Mean estimate of 20 runs. */
static double loss_after(double share, unsigned n_probes)
{
	double sum = 0;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct lode_selector_loss l = {0};
		struct lode_rng rng;
		lode_rng_seed(&rng, seed);
		for (unsigned i = 0; i < n_probes; i++)
			lode_selector_loss_add(&l, lode_rng_unit(&rng) < share);
		sum += l.slow;
	}
	return sum / 20;
}

Test(selector, loss_is_found_soon_and_held_steady)
{
	cr_assert_float_eq(loss_after(.01, 8000), .01, .006);
	cr_assert_float_eq(loss_after(.2, 100), .2, .08);
	cr_assert_float_eq(loss_after(.2, 500), .2, .03);
	struct lode_selector_loss l = {0};
	for (unsigned i = 0; i < 1000; i++)
		lode_selector_loss_add(&l, false);
	lode_selector_loss_add(&l, true); /* one is chance */
	lode_selector_loss_add(&l, false);
	cr_assert_lt(l.slow, .005);
	for (unsigned i = 0; i < 30; i++)
		lode_selector_loss_add(&l, i % 3 == 0);
	cr_assert_gt(l.slow, .1);
	for (unsigned i = 0; i < 150; i++)
		lode_selector_loss_add(&l, false);
	cr_assert_lt(l.slow, .02);
}

Test(selector, an_outage_is_not_loss)
{
	struct lode_selector_loss l = {0};
	lode_selector_loss_add(&l, true); /* nobody there yet */
	lode_selector_loss_add(&l, false);
	cr_assert_eq(l.slow, 0);
	for (unsigned i = 0; i < 400; i++)
		lode_selector_loss_add(&l, true);
	lode_selector_loss_add(&l, false);
	cr_assert_eq(l.slow, 0);
}
