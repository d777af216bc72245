/* SPDX-License-Identifier: BSD-3-Clause */
/* The four published files and their twins with random weights, against outputs recorded by another
 * implementation. */
#include <criterion/criterion.h>

#include "data_dir.h"
#include "lode_model.h"

#include <math.h>

struct vectors {
	struct lode_package pkg;
	const float *in, *out;
	uint32_t n;
};

static const char *const kinds[] = {
	"transformer_loss", "lstm_loss_predictor", "ppo_congestion", "dqn_congestion"};

static void open_vectors(struct vectors *v, const char *data_dir, const char *set, const char *kind)
{
	char path[512];
	struct lode_err err;
	snprintf(
		path, sizeof(path), "%s/nn-vectors/%s/%s.vectors.safetensors", data_dir, set, kind);
	cr_assert_eq(
		lode_package_open(&v->pkg, path, &lode_limits_delivery, &err), 0, "%s", err.msg);
	const struct lode_extent *in = lode_package_tensor(&v->pkg, "input");
	v->in = (const float *)lode_extent_data(&v->pkg, in);
	v->out = (const float *)lode_extent_data(&v->pkg, lode_package_tensor(&v->pkg, "output"));
	v->n = (uint32_t)in->dims[0];
	cr_assert_eq(v->n, 64);
}

/* Inputs drawn like the recorded ones: three quarters uniform, the rest normal. */
static float *draw(uint64_t seed, uint32_t n_rows, unsigned n_in)
{
	float *in = calloc((size_t)n_rows * n_in, sizeof(*in));
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	for (uint32_t row = 0; row < n_rows; row++)
		for (unsigned i = 0; i < n_in; i++)
			in[(size_t)row * n_in + i] =
				(float)(row % 4 ? lode_rng_unit(&rng) : lode_rng_normal(&rng));
	return in;
}

/* calibrated: on inputs like the recorded ones; else on the schema's. */
static struct lode_model *load(
	const char *data_dir, const char *set, const char *kind, bool calibrated)
{
	char path[512];
	bool published = !strcmp(set, "published");
	snprintf(path, sizeof(path), "%s/%s/%s.safetensors", data_dir,
		published ? "legacy-models" : "nn-vectors/random", kind);
	unsigned n_in = strstr(kind, "loss") ? 160 : 8;
	float *calibration = draw(7, 1000, n_in);
	struct lode_model_options options = {.calibration = calibration, .n_calibration = 1000};
	struct lode_model *m;
	struct lode_err err;
	cr_assert_eq(
		lode_model_load(&m, path, calibrated ? &options : NULL, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_model_inputs(m), n_in);
	free(calibration);
	return m;
}

/* Every combination of file set and kind. */
static void for_each(
	void (*check)(const struct lode_model *m, const struct vectors *v, const char *kind),
	bool calibrated)
{
	const char *data_dir = data_dir_or_skip();
	static const char *const sets[] = {"published", "random"};
	for (int s = 0; s < 2; s++)
		for (size_t k = 0; k < LODE_ARRAY_LEN(kinds); k++) {
			struct vectors v;
			open_vectors(&v, data_dir, sets[s], kinds[k]);
			struct lode_model *m = load(data_dir, sets[s], kinds[k], calibrated);
			check(m, &v, kinds[k]);
			lode_model_free(m);
			lode_package_close(&v.pkg);
		}
}

static void check_fp32(const struct lode_model *m, const struct vectors *v, const char *kind)
{
	float out[8];
	unsigned n_in = lode_model_inputs(m), n_out = lode_model_outputs(m);
	for (uint32_t row = 0; row < v->n; row++) {
		cr_assert_eq(lode_model_reference(m, v->in + row * n_in, out), 0);
		for (unsigned i = 0; i < n_out; i++) {
			float expected = v->out[row * n_out + i];
			cr_assert_float_eq(out[i], expected, 1e-5f * (1 + fabsf(expected)),
				"%s row %u output %u: %.8g, %.8g recorded", kind, row, i,
				(double)out[i], (double)expected);
		}
	}
}

Test(legacy, fp32_equals_the_recorded_outputs)
{
	for_each(check_fp32, true);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* Probabilities: mean error at most .006 and 99 % at most .03, over 1000 inputs like the recorded. */
static void check_int8(const struct lode_model *m, const struct vectors *v, const char *kind)
{
	enum { N = 1000 };
	static float errors[N];
	if (m->role != LODE_MODEL_LOSS)
		return;
	unsigned n_in = lode_model_inputs(m);
	void *scratch = aligned_alloc(64, LODE_NN_SCRATCH_BYTES);
	float *in = draw(11, N, n_in), exact, quantised;
	double sum = 0;
	for (int row = 0; row < N; row++) {
		cr_assert_eq(lode_model_reference(m, in + (size_t)row * n_in, &exact), 0);
		cr_assert_eq(lode_model_run(m, scratch, in + (size_t)row * n_in, &quantised), 0);
		errors[row] = fabsf(exact - quantised);
		sum += (double)errors[row];
	}
	qsort(errors, N, sizeof(*errors), by_value);
	cr_expect_leq(sum / N, .006, "%s: mean error %g", kind, sum / N);
	cr_expect_leq(
		errors[N * 99 / 100], .03f, "%s: p99 error %g", kind, (double)errors[N * 99 / 100]);
	free(in);
	free(scratch);
}

Test(legacy, int8_probabilities_stay_close)
{
	for_each(check_int8, true);
}

static unsigned largest(const float *v, unsigned n)
{
	unsigned at = 0;
	for (unsigned i = 1; i < n; i++)
		at = v[i] > v[at] ? i : at;
	return at;
}

static void check_actions(const struct lode_model *m, const struct vectors *v, const char *kind)
{
	enum { N = 10000 };
	if (m->role != LODE_MODEL_DQN)
		return;
	void *scratch = aligned_alloc(64, LODE_NN_SCRATCH_BYTES);
	float *in = calloc(N * 8, sizeof(*in)), exact[6], quantised[6];
	int equal = 0;
	lode_schema_sample(m->schema, 1, 13, N, in);
	for (int row = 0; row < N; row++) {
		cr_assert_eq(lode_model_reference(m, in + row * 8, exact), 0);
		cr_assert_eq(lode_model_run(m, scratch, in + row * 8, quantised), 0);
		equal += largest(exact, 6) == largest(quantised, 6);
	}
	cr_expect_geq(equal, N * 99 / 100, "%s: %d of %d actions equal", kind, equal, N);
	free(in);
	free(scratch);
}

Test(legacy, int8_actions_agree)
{
	for_each(check_actions, false);
}

Test(legacy, older_files_become_int8_files)
{
	const char *data_dir = data_dir_or_skip();
	for (size_t k = 0; k < LODE_ARRAY_LEN(kinds); k++) {
		struct lode_model *m = load(data_dir, "published", kinds[k], false), *q;
		struct lode_model_source source;
		struct lode_err err;
		uint8_t *image;
		size_t n_bytes;
		cr_assert_eq(lode_model_as_source(m, &source, &err), 0, "%s", err.msg);
		cr_assert_eq(lode_model_write(&source, LODE_NN_FORMAT_INT8, &image, &n_bytes, &err),
			0, "%s: %s", kinds[k], err.msg);
		cr_assert_lt(n_bytes, m->file_bytes);
		cr_assert_eq(lode_model_load_memory(&q, image, n_bytes, "int8", NULL, &err), 0,
			"%s", err.msg);
		cr_assert_eq(q->role, m->role);
		lode_model_free(q);
		lode_model_free(m);
		free(image);
	}
}
