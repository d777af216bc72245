/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_train.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define N 600

static struct lode_train_window windows[N];
static uint32_t indices[N];
static float p[N], q[N];

static struct lode_train_data made_up(uint64_t seed)
{
	struct lode_train_data d = {.n = N, .windows = windows, .n_series = 6};
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	for (unsigned i = 0; i < N; i++) {
		double chance = lode_rng_unit(&rng);
		bool any = lode_rng_unit(&rng) < chance;
		windows[i] = (struct lode_train_window){.series = i / 100,
			.any = any,
			.usable = true,
			.onset = i % 3 == 0,
			.cause = any ? (uint8_t)(1 + i % 2) : 0,
			.ewma = (float)chance,
			.last = chance > 0.5,
			.markov = (uint8_t)(chance * 15)};
		indices[i] = i;
		p[i] = (float)(floor(chance * 50) / 50); /* ties */
		q[i] = (float)lode_rng_unit(&rng);
	}
	return d;
}

static double naive_auc(const float *score, bool onset_only)
{
	double wins = 0, pairs = 0;
	for (unsigned i = 0; i < N; i++)
		for (unsigned k = 0; k < N; k++) {
			bool counts = !onset_only || (windows[i].onset && windows[k].onset);
			if (!counts || !windows[i].any || windows[k].any)
				continue;
			pairs++;
			wins += score[i] > score[k] ? 1 : score[i] == score[k] ? 0.5 : 0;
		}
	return wins / pairs;
}

Test(metrics, are_what_they_are_defined_as)
{
	struct lode_train_data d = made_up(1);
	struct lode_train_metrics m;
	double brier = 0, log_loss = 0, any = 0;
	for (unsigned i = 0; i < N; i++) {
		double s = LODE_MIN(LODE_MAX((double)p[i], 1e-6), 1 - 1e-6);
		brier += pow(s - windows[i].any, 2) / N;
		log_loss -= log(windows[i].any ? s : 1 - s) / N;
		any += windows[i].any;
	}
	cr_assert_eq(lode_train_measure(&d, indices, N, p, &m, NULL), 0);
	cr_assert_float_eq(m.auc, naive_auc(p, false), 1e-9);
	cr_assert_float_eq(m.onset_auc, naive_auc(p, true), 1e-9);
	cr_assert_float_eq(m.brier, brier, 1e-9);
	cr_assert_float_eq(m.log_loss, log_loss, 1e-9);
	cr_assert_float_eq(m.skill, 1 - brier / (any / N * (1 - any / N)), 1e-9);
	cr_assert_eq(m.n_any, any);
	cr_assert(isnan(m.cause_auc[LODE_TRAIN_HANDOVER]));
	cr_assert_gt(m.cause_auc[LODE_TRAIN_QUEUE], 0.6);
	cr_assert_eq(lode_train_measure(&d, indices, 0, p, &m, NULL), -ENODATA);
}

Test(metrics, comparison_knows_a_better_predictor_from_the_same)
{
	struct lode_train_data d = made_up(2);
	struct lode_train_difference better, same;
	cr_assert_eq(lode_train_compare(&d, indices, N, p, q, 1, &better, NULL), 0);
	cr_assert_gt(better.auc, 0.2);
	cr_assert_gt(better.auc_low, 0.1);
	cr_assert_leq(better.auc_low, better.auc);
	cr_assert_geq(better.auc_high, better.auc);
	cr_assert_eq(lode_train_compare(&d, indices, N, p, p, 1, &same, NULL), 0);
	cr_assert_eq(same.auc, 0);
	cr_assert_eq(same.auc_low, 0);
	cr_assert_float_eq(same.skill_ratio, 1, 1e-12);
}

Test(metrics, baselines_learn_what_they_are_fitted_on)
{
	struct lode_train_data d = made_up(3);
	for (unsigned b = 0; b < LODE_TRAIN_CLASSIC; b++) {
		struct lode_train_metrics m;
		cr_assert_eq(lode_train_baseline((enum lode_train_baseline)b, &d, indices, N,
				     indices, N, q, NULL),
			0);
		cr_assert_eq(lode_train_measure(&d, indices, N, q, &m, NULL), 0);
		cr_assert_gt(m.auc, b == LODE_TRAIN_LAST ? 0.6 : 0.7, "%s: %g",
			lode_train_baseline_name((enum lode_train_baseline)b), m.auc);
		cr_assert_lt(m.ece, 0.08, "%s: %g",
			lode_train_baseline_name((enum lode_train_baseline)b), m.ece);
	}
	/* Isotonic: never falling in what it calibrates. */
	for (unsigned i = 0; i < N; i++)
		for (unsigned k = 0; k < N; k++)
			if (windows[i].ewma < windows[k].ewma)
				cr_assert_leq(q[i], q[k]);
}
