/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_loss.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define WINDOW_NS LODE_LOSS_WINDOW_NS
#define TOLD	  5 /* windows until the fate of packets is told */

struct bench {
	struct lode_loss *loss;
	struct lode_loss_stats stats;
	uint64_t now_ns;
	uint32_t lost[4096]; /* of PKTS in each window */
	unsigned n;
};
#define PKTS 20

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	b->now_ns = 1000 * LODE_NS_PER_S;
	b->loss = lode_loss_init(aligned_alloc(64, lode_loss_bytes()), 0, b->now_ns);
	return b;
}

static void bench_free(struct bench *b)
{
	free(b->loss);
	free(b);
}

/* A window of PKTS packets, `lost` of which will be lost in one run. */
static void step(struct bench *b, uint32_t lost)
{
	b->now_ns += WINDOW_NS;
	b->lost[b->n % LODE_ARRAY_LEN(b->lost)] = lost;
	uint32_t told = b->n >= TOLD ? b->lost[(b->n - TOLD) % LODE_ARRAY_LEN(b->lost)] : 0;
	struct lode_loss_window w = {.end_ns = b->now_ns,
		.sent_pkts = PKTS,
		.sent_bytes = PKTS * 1000,
		.delivered_pkts = b->n >= TOLD ? PKTS - told : 0,
		.lost_pkts = told,
		.loss_bursts = told > 0,
		.longest_burst = told,
		.told_age_us = TOLD * 10000,
		.min_rtt_us = 40000,
		.rtt_us = 40000,
		.delivery_kbps = 16000,
		.inflight_bytes = TOLD * PKTS * 1000,
		.phase_ms = UINT32_MAX};
	b->n++;
	lode_loss_observe(b->loss, &w, &b->stats);
}

Test(loss, says_nothing_before_the_first_window)
{
	struct bench *b = bench_new();
	struct lode_loss_forecast f = lode_loss_expected(b->loss, b->now_ns);
	cr_assert_eq(f.expires_ns, 0);
	cr_assert_eq(f.loss_ppm, 0);
	cr_assert_eq(lode_loss_newest(b->loss)->expires_ns, 0);
	cr_assert_not(lode_loss_warm(b->loss));
	bench_free(b);
}

Test(loss, finds_out_what_became_of_each_window)
{
	struct bench *b = bench_new();
	struct lode_loss_outcome o;
	for (unsigned i = 0; i < 60; i++)
		step(b, i % 7 == 3 ? 2 : 0);
	for (unsigned i = 10; i < 60 - TOLD - 1; i++) {
		uint64_t from_ns = b->now_ns - (60 - i) * WINDOW_NS;
		cr_assert_eq(lode_loss_get_outcome(b->loss, from_ns, from_ns + WINDOW_NS, &o), 0);
		cr_assert_float_eq(o.sent_pkts, PKTS, 1e-3);
		cr_assert_float_eq(o.lost_pkts, i % 7 == 3 ? 2 : 0, 1e-3, "window %u: %g", i,
			(double)o.lost_pkts);
		if (i % 7 == 3)
			cr_assert_float_eq(o.mean_burst, 2, 1e-3);
	}
	cr_assert_eq(lode_loss_get_outcome(b->loss, b->now_ns - WINDOW_NS, b->now_ns, &o), -EAGAIN);
	cr_assert_eq(lode_loss_get_outcome(b->loss, b->now_ns - 3 * LODE_NS_PER_S,
			     b->now_ns - 2 * LODE_NS_PER_S, &o),
		-ENODATA);
	bench_free(b);
}

/* Lossy seconds and clean seconds in turn: the classic must tell them apart, and its figures must be right. */
Test(loss, classic_learns_regimes)
{
	struct bench *b = bench_new();
	struct lode_rng rng;
	double in_lossy = 0, in_clean = 0, burst = 0;
	unsigned n_lossy = 0, n_clean = 0;
	lode_rng_seed(&rng, 1);
	for (unsigned i = 0; i < 4000; i++) {
		bool bad = i / 200 % 2;
		step(b, bad && lode_rng_unit(&rng) < 0.4 ? 3 : 0);
		bool settled = i > 1000 && i % 200 > 50;
		double any = lode_loss_newest(b->loss)->any_ppm / 1e6;
		in_lossy += settled && bad ? any : 0;
		in_clean += settled && !bad ? any : 0;
		n_lossy += settled && bad;
		n_clean += settled && !bad;
		burst = lode_loss_newest(b->loss)->burst_centi / 100.0;
	}
	/* The truth: 1 - 0.6^5 = 0.92 in lossy seconds. */
	cr_assert_gt(in_lossy / n_lossy, 0.75, "%g", in_lossy / n_lossy);
	cr_assert_lt(in_clean / n_clean, 0.15, "%g", in_clean / n_clean);
	cr_assert_float_eq(burst, 3, 0.1);
	struct lode_loss_score s;
	lode_loss_score(&b->stats, LODE_LOSS_BY_CLASSIC, &s);
	cr_assert_gt(s.n, 3900);
	cr_assert_gt(s.auc, 0.85, "%g", s.auc);
	cr_assert_gt(s.skill, 0.4, "%g", s.skill);
	cr_assert_lt(s.ece, 0.08, "%g", s.ece);
	bench_free(b);
}

Test(loss, expected_covers_50_to_100_ms_and_expires)
{
	struct bench *b = bench_new();
	for (unsigned i = 0; i < 40; i++)
		step(b, 1);
	struct lode_loss_forecast f = lode_loss_expected(b->loss, b->now_ns + 60 * LODE_NS_PER_MS);
	cr_assert_eq(f.made_ns, b->now_ns);
	cr_assert_gt(f.loss_ppm, 0);
	f = lode_loss_expected(b->loss, b->now_ns);
	cr_assert_eq(f.made_ns, b->now_ns - 50 * LODE_NS_PER_MS);
	cr_assert_eq(lode_loss_expected(b->loss, b->now_ns + 100 * LODE_NS_PER_MS).expires_ns, 0);
	bench_free(b);
}

Test(loss, a_gap_starts_anew_without_forgetting_rates)
{
	struct bench *b = bench_new();
	for (unsigned i = 0; i < 1000; i++)
		step(b, i % 10 == 0);
	uint64_t outcomes = b->stats.outcomes;
	cr_assert(lode_loss_warm(b->loss));
	b->now_ns += LODE_NS_PER_S;
	step(b, 0);
	cr_assert_not(lode_loss_warm(b->loss));
	cr_assert_eq(b->stats.outcomes, outcomes);
	cr_assert_gt(lode_loss_newest(b->loss)->any_ppm, 10000);
	cr_assert_eq(lode_loss_due_ns(b->loss), b->now_ns + WINDOW_NS);
	bench_free(b);
}

/* AUC, Brier and calibration of the bins against their definitions over single outcomes. */
Test(loss, scores_are_what_they_are_defined_as)
{
	static struct lode_loss_stats stats;
	struct lode_loss_bins *bins = &stats.bins[2][LODE_LOSS_BY_MODEL];
	static const struct {
		unsigned bin;
		float p;
		bool lossy;
	} all[] = {{3, .1f, false}, {3, .1f, true}, {9, .3f, false}, {9, .3f, false},
		{20, .8f, true}, {20, .8f, false}, {30, .9f, true}};
	double wins = 0, pairs = 0, brier = 0;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(all); i++) {
		bins->n[all[i].bin]++;
		bins->n_lossy[all[i].bin] += all[i].lossy;
		bins->p_sum[all[i].bin] += all[i].p;
		bins->brier_sum += pow((double)all[i].p - all[i].lossy, 2);
		brier += pow((double)all[i].p - all[i].lossy, 2) / LODE_ARRAY_LEN(all);
		for (unsigned k = 0; k < LODE_ARRAY_LEN(all); k++) {
			bool pair = all[i].lossy && !all[k].lossy;
			pairs += pair;
			wins += !pair			   ? 0
				: all[i].bin > all[k].bin  ? 1
				: all[i].bin == all[k].bin ? .5
							   : 0;
		}
	}
	struct lode_loss_score s;
	lode_loss_score(&stats, LODE_LOSS_BY_MODEL, &s);
	cr_assert_eq(s.n, 7);
	cr_assert_eq(s.n_lossy, 3);
	cr_assert_float_eq(s.auc, wins / pairs, 1e-9);
	cr_assert_float_eq(s.brier, brier, 1e-9);
	cr_assert_float_eq(s.skill, 1 - brier / (12.0 / 49), 1e-9);
	/* |0.2-1| + |0.6-0| + |1.6-1| + |0.9-1| over 7 */
	cr_assert_float_eq(s.ece, 2.1 / 7, 1e-6);
	lode_loss_score(&stats, LODE_LOSS_BY_CLASSIC, &s);
	cr_assert(isnan(s.auc) && isnan(s.brier));
}

/* ---- models ---- */

/* An MLP that always says the same probability: weights 0, bias the logit. */
static struct lode_model *constant_model(float logit, const struct lode_schema *schema)
{
	static const uint16_t width[] = {4, 3};
	static float l1[4 * 160], b1[4], l2[3 * 4], b2[3];
	struct lode_model_source source = {
		.name = "constant", .role = LODE_MODEL_LOSS, .schema = schema, .n_nets = 1};
	struct lode_nn_tensor *specs = calloc(LODE_NN_MAX_TENSORS, sizeof(*specs));
	const void *data[] = {l1, b1, l2, b2};
	source.nets[0].desc = lode_nn_desc_mlp(8, 20, width, 2, LODE_NN_OUT_SIGMOID_FIRST);
	source.nets[0].n_fp32 = lode_nn_specs(&source.nets[0].desc, LODE_NN_FORMAT_FP32, specs);
	for (unsigned i = 0; i < source.nets[0].n_fp32; i++)
		specs[i].data = data[i];
	source.nets[0].fp32 = specs;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(l1); i++)
		l1[i] = 1e-3f;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(l2); i++)
		l2[i] = 1e-6f;
	b2[0] = logit;
	b2[1] = logf(4);
	b2[2] = 0; /* a share of one half */
	uint8_t *image;
	size_t n_bytes;
	struct lode_err err = {0};
	struct lode_model *m;
	struct lode_model_options options = {
		.schemas = lode_loss_schemas, .n_schemas = lode_loss_n_schemas};
	cr_assert_eq(lode_model_write(&source, LODE_NN_FORMAT_INT8, &image, &n_bytes, &err), 0,
		"%s", err.msg);
	cr_assert_eq(lode_model_load_memory(&m, image, n_bytes, "constant", &options, &err), 0,
		"%s", err.msg);
	free(image);
	free(specs);
	return m;
}

static void run_model(struct bench *b, const struct lode_loss_model *m, unsigned n, double p_lossy)
{
	void *scratch = aligned_alloc(64, LODE_NN_SCRATCH_BYTES);
	struct lode_rng rng;
	lode_rng_seed(&rng, 7);
	for (unsigned i = 0; i < n; i++) {
		step(b, lode_rng_unit(&rng) < p_lossy ? 5 : 0);
		lode_loss_decide(b->loss, m, scratch, NULL, &b->stats);
	}
	free(scratch);
}

Test(loss, model_answers_once_it_has_20_windows)
{
	struct bench *b = bench_new();
	struct lode_err err;
	struct lode_loss_model m;
	struct lode_model *file = constant_model(-2, &lode_schema_loss);
	cr_assert_eq(lode_loss_model_init(&m, file, 1, &err), 0);
	run_model(b, &m, 30, 0);
	const struct lode_loss_forecast *f = lode_loss_newest(b->loss);
	cr_assert_eq(b->stats.decisions[LODE_LOSS_BY_MODEL], 11);
	cr_assert_eq(b->stats.fallbacks[LODE_LOSS_WARMING], 19);
	cr_assert_eq(f->source, LODE_LOSS_BY_MODEL);
	double any = 1 / (1 + exp(2));
	cr_assert_float_eq(f->any_ppm, any * 1e6, 3000, "%u", f->any_ppm);
	cr_assert_float_eq(f->loss_ppm, any * 0.5e6, 3000);
	cr_assert_float_eq(f->burst_centi, 400, 10);
	run_model(b, NULL, 3, 0);
	cr_assert_eq(lode_loss_newest(b->loss)->source, LODE_LOSS_BY_CLASSIC);
	cr_assert_eq(b->stats.fallbacks[LODE_LOSS_NO_MODEL], 3);
	lode_model_free(file);
	bench_free(b);
}

Test(loss, a_model_that_loses_is_not_asked_and_comes_back)
{
	struct bench *b = bench_new();
	struct lode_err err;
	struct lode_loss_model liar, right;
	struct lode_loss_path_score score;
	struct lode_model *bad = constant_model(4, &lode_schema_loss),
			  *good = constant_model(-7, &lode_schema_loss);
	cr_assert_eq(lode_loss_model_init(&liar, bad, 1, &err), 0);
	cr_assert_eq(lode_loss_model_init(&right, good, 2, &err), 0);
	run_model(b, &liar, 2500, 0);
	lode_loss_get_path_score(b->loss, &score);
	cr_assert(score.losing);
	cr_assert_gt(score.brier[LODE_LOSS_BY_MODEL], 0.9);
	cr_assert_gt(b->stats.fallbacks[LODE_LOSS_LOSING], 300);
	cr_assert_eq(lode_loss_newest(b->loss)->source, LODE_LOSS_BY_CLASSIC);
	run_model(b, &right, 12000, 0);
	lode_loss_get_path_score(b->loss, &score);
	cr_assert_not(score.losing);
	cr_assert_eq(lode_loss_newest(b->loss)->source, LODE_LOSS_BY_MODEL);
	lode_model_free(bad);
	lode_model_free(good);
	bench_free(b);
}

Test(loss, a_swap_keeps_what_is_known_of_the_path)
{
	struct bench *b = bench_new();
	struct lode_err err;
	struct lode_loss_model before, after;
	struct lode_loss_path_score score;
	struct lode_model *first = constant_model(-2, &lode_schema_loss),
			  *second = constant_model(1, &lode_schema_loss_1);
	float in[2][LODE_LOSS_STEPS * 8];
	cr_assert_eq(lode_loss_model_init(&before, first, 1, &err), 0);
	cr_assert_eq(lode_loss_model_init(&after, second, 2, &err), 0);
	run_model(b, &before, 300, 0.2);
	lode_loss_get_path_score(b->loss, &score);
	cr_assert_gt(score.outcomes, 200);
	uint64_t warming = b->stats.fallbacks[LODE_LOSS_WARMING];
	lode_loss_features(b->loss, &lode_schema_loss, in[0]);
	/* The next window is the other one's, of another schema, with all windows of before. */
	run_model(b, &after, 1, 0);
	lode_loss_features(b->loss, &lode_schema_loss, in[1]);
	const struct lode_loss_forecast *f = lode_loss_newest(b->loss);
	cr_assert_eq(f->source, LODE_LOSS_BY_MODEL);
	cr_assert_float_eq(f->any_ppm, 1e6 / (1 + exp(-1)), 5000, "%u", f->any_ppm);
	cr_assert_eq(b->stats.fallbacks[LODE_LOSS_WARMING], warming);
	for (unsigned i = 0; i + 1 < LODE_LOSS_STEPS; i++) /* but for the slow column */
		cr_assert_eq(memcmp(&in[1][8 * i], &in[0][8 * (i + 1)], 7 * sizeof(float)), 0);
	/* The scores of the first are not the second's. */
	lode_loss_get_path_score(b->loss, &score);
	cr_assert_eq(score.outcomes, 0);
	run_model(b, &after, 50, 0);
	lode_loss_get_path_score(b->loss, &score);
	cr_assert(score.outcomes > 20 && score.outcomes < 50);
	cr_assert_float_eq(score.brier[LODE_LOSS_BY_MODEL], 0.53, 0.3);
	lode_model_free(first);
	lode_model_free(second);
	bench_free(b);
}

Test(loss, refuses_models_it_cannot_feed)
{
	static const struct lode_feature one[8] = {{"x", "1", 1, 0, 0, 1}, {"x", "1", 1, 0, 0, 1},
		{"x", "1", 1, 0, 0, 1}, {"x", "1", 1, 0, 0, 1}, {"x", "1", 1, 0, 0, 1},
		{"x", "1", 1, 0, 0, 1}, {"x", "1", 1, 0, 0, 1}, {"x", "1", 1, 0, 0, 1}};
	static const struct lode_schema other = {"other/1", 8, one};
	struct bench *b = bench_new();
	float out[LODE_LOSS_STEPS * 8];
	struct lode_loss_model m;
	struct lode_err err;
	struct lode_model *file = constant_model(0, &lode_schema_loss);
	file->schema = &other;
	cr_assert_eq(lode_loss_model_init(&m, file, 1, &err), -EINVAL);
	cr_assert(strstr(err.msg, "other/1"), "%s", err.msg);
	file->schema = &lode_schema_loss;
	file->role = LODE_MODEL_DQN;
	cr_assert_eq(lode_loss_model_init(&m, file, 1, &err), -EINVAL);
	cr_assert_eq(lode_loss_features(b->loss, &other, out), -ENOTSUP);
	lode_model_free(file);
	bench_free(b);
}

Test(loss, features_stay_in_range_whatever_comes)
{
	struct bench *b = bench_new();
	struct lode_rng rng;
	float out[LODE_LOSS_STEPS * 8];
	lode_rng_seed(&rng, 3);
	for (unsigned i = 0; i < 2000; i++) {
		struct lode_loss_window w;
		uint32_t *words = (uint32_t *)&w;
		for (unsigned k = 0; k < sizeof(w) / 4; k++)
			words[k] = (uint32_t)lode_rng_u64(&rng) >>
				   lode_rng_below(&rng, 32); /* all magnitudes */
		b->now_ns += lode_rng_below(&rng, 2 * WINDOW_NS);
		w.end_ns = b->now_ns;
		lode_loss_observe(b->loss, &w, &b->stats);
		for (unsigned s = 0; s < lode_loss_n_schemas; s++) {
			cr_assert_eq(lode_loss_features(b->loss, lode_loss_schemas[s], out), 0);
			for (unsigned k = 0; k < LODE_ARRAY_LEN(out); k++)
				cr_assert(out[k] >= -1 && out[k] <= 1, "schema %u feature %u: %g",
					s, k % 8, (double)out[k]);
		}
		cr_assert_leq(lode_loss_newest(b->loss)->any_ppm, 1000000);
		cr_assert_leq(lode_loss_newest(b->loss)->loss_ppm, 1000000);
		cr_assert_geq(lode_loss_newest(b->loss)->burst_centi, 100);
	}
	bench_free(b);
}
