/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed models against the FP32 reference, and against themselves on other instruction sets. */
#include "nets.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

static const uint16_t dqn[] = {128, 128, 6}, ppo[] = {128, 128, 2}, oracle[] = {32, 32, 4};
static const uint16_t window_widths[] = {64, 64, 1}, odd[] = {37, 1, 130, 3};

struct shape {
	const char *name;
	struct lode_nn_desc desc;
};

static struct lode_nn_desc gelu(struct lode_nn_desc d)
{
	d.activation = LODE_NN_GELU;
	return d;
}

static struct lode_nn_desc odd_transformer(unsigned n_in, unsigned steps, unsigned heads,
	unsigned head_dim, unsigned ffn, int position)
{
	struct lode_nn_desc d = lode_nn_desc_transformer();
	d.n_in = (uint16_t)n_in;
	d.n_steps = (uint16_t)steps;
	d.n_heads = (uint16_t)heads;
	d.d_model = (uint16_t)(heads * head_dim);
	d.d_ffn = (uint16_t)ffn;
	d.position = position ? LODE_NN_POSITION_TABLE : LODE_NN_POSITION_NONE;
	return d;
}

static struct lode_nn_desc padded(struct lode_nn_desc d, enum lode_nn_position position)
{
	d.embed = LODE_NN_EMBED_PAD;
	d.position = position;
	d.norm = LODE_NN_NORM_NONE;
	return d;
}

#define MAX_SHAPES 32

static unsigned all_shapes(struct shape *s)
{
	const struct shape list[] = {
		{"dqn", lode_nn_desc_mlp(8, 1, dqn, 3, LODE_NN_OUT_LINEAR)},
		{"ppo history", lode_nn_desc_mlp(8, 4, ppo, 3, LODE_NN_OUT_LINEAR)},
		{"oracle", lode_nn_desc_mlp(8, 1, oracle, 3, LODE_NN_OUT_SOFTMAX)},
		{"window mlp", lode_nn_desc_mlp(8, 20, window_widths, 3, LODE_NN_OUT_SIGMOID)},
		{"window mlp gelu",
			gelu(lode_nn_desc_mlp(8, 20, window_widths, 3, LODE_NN_OUT_SIGMOID))},
		{"odd mlp", lode_nn_desc_mlp(7, 3, odd, 4, LODE_NN_OUT_SIGMOID_FIRST)},
		{"odd mlp gelu", gelu(lode_nn_desc_mlp(1, 1, odd, 4, LODE_NN_OUT_SOFTMAX))},
		{"lstm", lode_nn_desc_lstm(8, 20, 64, 1)},
		{"odd lstm", lode_nn_desc_lstm(5, 3, 37, 2)},
		{"tiny lstm", lode_nn_desc_lstm(1, 1, 1, 1)},
		{"transformer legacy", lode_nn_desc_transformer_legacy()},
		{"transformer", lode_nn_desc_transformer()},
		{"transformer gelu", gelu(lode_nn_desc_transformer())},
		{"transformer without position", odd_transformer(8, 20, 4, 16, 128, 0)},
		{"odd transformer", odd_transformer(3, 7, 3, 12, 50, 1)},
		{"one step", odd_transformer(1, 1, 1, 4, 1, 0)},
		{"long", odd_transformer(20, 64, 2, 40, 33, 1)},
		{"three vectors", odd_transformer(17, 33, 5, 20, 100, 0)},
		{"padded with position",
			padded(odd_transformer(8, 20, 4, 16, 64, 1), LODE_NN_POSITION_TABLE)},
		{"padded odd", padded(odd_transformer(5, 9, 2, 8, 64, 0), LODE_NN_POSITION_NONE)},
	};
	memcpy(s, list, sizeof(list));
	return LODE_ARRAY_LEN(list);
}

static unsigned forms_of(const struct lode_nn_desc *d, enum lode_nn_form forms[3])
{
	forms[0] = LODE_NN_FORM_AUTO;
	if (d->kind != LODE_NN_TRANSFORMER)
		return 1;
	forms[1] = LODE_NN_FORM_FULL;
	forms[2] = LODE_NN_FORM_LAST;
	return 3;
}

static const enum lode_nn_isa isas[] = {LODE_NN_PORTABLE, LODE_NN_AVX2, LODE_NN_AVX512VNNI};

#define WINDOW_MAX (LODE_NN_MAX_IN * 4)

/* Errors of quantised outputs against the reference over n inputs. */
struct errors {
	double mean, p99;
	unsigned n_argmax_equal, n;
};

static unsigned argmax(const float *v, unsigned n)
{
	unsigned best = 0;
	for (unsigned i = 1; i < n; i++)
		best = v[i] > v[best] ? i : best;
	return best;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct errors measure(const struct net *net, const struct lode_nn_model *m, unsigned n)
{
	static float in[WINDOW_MAX], want[LODE_NN_MAX_OUT], got[LODE_NN_MAX_OUT];
	double *errors = malloc(n * sizeof(*errors));
	void *scratch = net_aligned(lode_nn_scratch_bytes(m));
	struct errors e = {.n = n};
	struct lode_rng rng;
	lode_rng_seed(&rng, 77);
	for (unsigned i = 0; i < n; i++) {
		net_input(&net->desc, &rng, in);
		lode_nn_reference_run(&net->desc, net->fp32, net->n_fp32, in, want, NULL);
		cr_assert_eq(lode_nn_run(m, scratch, in, got), 0);
		errors[i] = 0;
		for (unsigned o = 0; o < net->desc.n_out; o++)
			errors[i] = fmax(errors[i], fabs((double)want[o] - got[o]));
		e.mean += errors[i] / n;
		e.n_argmax_equal += argmax(want, net->desc.n_out) == argmax(got, net->desc.n_out);
	}
	qsort(errors, n, sizeof(*errors), by_value);
	e.p99 = errors[n * 99 / 100];
	free(errors);
	free(scratch);
	return e;
}

Test(run, every_shape_is_near_the_reference)
{
	struct shape shapes[MAX_SHAPES];
	unsigned n = all_shapes(shapes);
	for (unsigned i = 0; i < n; i++) {
		struct net *net = net_new(&shapes[i].desc, i + 1, 200);
		enum lode_nn_form forms[3];
		for (unsigned f = 0; f < forms_of(&shapes[i].desc, forms); f++) {
			const struct lode_nn_model *m = net_build(net, LODE_NN_ISA_AUTO, forms[f]);
			struct errors e = measure(net, m, 200);
			cr_log_info("%s %s: mean %g p99 %g", shapes[i].name,
				lode_nn_form_name(forms[f]), e.mean, e.p99);
			cr_expect_lt(e.mean, 0.02, "%s %s: mean error %g", shapes[i].name,
				lode_nn_form_name(forms[f]), e.mean);
			net_model_free(m);
		}
		net_free(net);
	}
}

/* Inputs that a decider would never see, but that must not tell instruction sets apart. */
static void odd_input(const struct lode_nn_desc *d, struct lode_rng *rng, float *in)
{
	static const float odd_values[] = {0, -0.0f, 1e-42f, -1e-45f, 3e38f, -3e38f, 255, 0.5f};
	net_input(d, rng, in);
	unsigned n = (unsigned)d->n_in * d->n_steps;
	for (unsigned i = 0; i < n; i++) {
		if (lode_rng_below(rng, 8) == 0)
			in[i] = odd_values[lode_rng_below(rng, LODE_ARRAY_LEN(odd_values))];
		else if (lode_rng_below(rng, 4) == 0)
			in[i] = (float)lode_rng_normal(rng) * 3;
	}
}

static void check_bits(
	const char *name, const struct net *net, enum lode_nn_form form, unsigned n_inputs)
{
	const struct lode_nn_model *m[LODE_ARRAY_LEN(isas)];
	void *scratch = net_aligned(LODE_NN_SCRATCH_BYTES);
	float in[WINDOW_MAX], out[LODE_ARRAY_LEN(isas)][LODE_NN_MAX_OUT];
	struct lode_rng rng;
	unsigned n_isas = 0;
	lode_rng_seed(&rng, 5);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(isas); i++)
		if (lode_nn_isa_available(isas[i]))
			m[n_isas++] = net_build(net, isas[i], form);
	for (unsigned i = 0; i < n_inputs; i++) {
		odd_input(&net->desc, &rng, in);
		for (unsigned k = 0; k < n_isas; k++) {
			memset(out[k], 0, sizeof(out[k]));
			cr_assert_eq(lode_nn_run(m[k], scratch, in, out[k]), 0);
			cr_assert_eq(memcmp(out[k], out[0], sizeof(out[0])), 0,
				"%s %s: input %u: %s gives %.9g, %s %.9g", name,
				lode_nn_form_name(form), i, lode_nn_isa_name(isas[k]),
				(double)out[k][0], lode_nn_isa_name(isas[0]), (double)out[0][0]);
		}
		cr_assert(isfinite(out[0][0]));
	}
	for (unsigned k = 0; k < n_isas; k++)
		net_model_free(m[k]);
	free(scratch);
}

Test(run, same_bits_on_every_instruction_set)
{
	struct shape shapes[MAX_SHAPES];
	unsigned n = all_shapes(shapes);
	for (unsigned i = 0; i < n; i++) {
		struct net *net = net_new(&shapes[i].desc, i + 100, 50);
		enum lode_nn_form forms[3];
		for (unsigned f = 0; f < forms_of(&shapes[i].desc, forms); f++)
			check_bits(shapes[i].name, net, forms[f], 300);
		net_free(net);
	}
}

Test(run, full_and_last_give_the_same_bits)
{
	struct shape shapes[MAX_SHAPES];
	unsigned n = all_shapes(shapes);
	void *scratch = net_aligned(LODE_NN_SCRATCH_BYTES);
	for (unsigned i = 0; i < n; i++) {
		float in[WINDOW_MAX], a[LODE_NN_MAX_OUT], b[LODE_NN_MAX_OUT];
		struct lode_rng rng;
		if (shapes[i].desc.kind != LODE_NN_TRANSFORMER)
			continue;
		struct net *net = net_new(&shapes[i].desc, i + 1, 20);
		const struct lode_nn_model *full =
			net_build(net, LODE_NN_ISA_AUTO, LODE_NN_FORM_FULL);
		const struct lode_nn_model *last =
			net_build(net, LODE_NN_ISA_AUTO, LODE_NN_FORM_LAST);
		lode_rng_seed(&rng, i);
		for (unsigned k = 0; k < 500; k++) {
			net_input(&net->desc, &rng, in);
			cr_assert_eq(lode_nn_run(full, scratch, in, a), 0);
			cr_assert_eq(lode_nn_run(last, scratch, in, b), 0);
			cr_assert_eq(memcmp(a, b, sizeof(a[0]) * net->desc.n_out), 0, "%s: %g %g",
				shapes[i].name, (double)a[0], (double)b[0]);
		}
		net_model_free(full);
		net_model_free(last);
		net_free(net);
	}
	free(scratch);
}

static void check_stream(const char *name, struct net *net)
{
	const struct lode_nn_desc *d = &net->desc;
	bool lstm = d->kind == LODE_NN_LSTM;
	const struct lode_nn_model *window =
		net_build(net, LODE_NN_ISA_AUTO, lstm ? LODE_NN_FORM_AUTO : LODE_NN_FORM_LAST);
	const struct lode_nn_model *stream =
		net_build(net, LODE_NN_ISA_AUTO, lstm ? LODE_NN_FORM_AUTO : LODE_NN_FORM_STREAM);
	void *scratch = net_aligned(LODE_NN_SCRATCH_BYTES);
	void *state = net_aligned(lode_nn_state_bytes(stream));
	unsigned n_windows = lstm ? 1 : 3, n_in = d->n_in;
	float *in = calloc(n_windows * d->n_steps * n_in, sizeof(*in));
	float want[LODE_NN_MAX_OUT], got[LODE_NN_MAX_OUT];
	struct lode_rng rng;
	lode_rng_seed(&rng, 9);
	for (unsigned w = 0; w < n_windows; w++)
		net_input(d, &rng, in + w * d->n_steps * n_in);
	lode_nn_state_reset(stream, state);
	for (unsigned s = 0; s < n_windows * d->n_steps; s++) {
		int rc = lode_nn_step(stream, scratch, state, in + s * n_in, got);
		if (s + 1 < d->n_steps) {
			cr_assert_eq(rc, lstm ? 0 : -EAGAIN, "%s", name);
			continue;
		}
		cr_assert_eq(rc, 0, "%s", name);
		cr_assert_eq(
			lode_nn_run(window, scratch, in + (s + 1 - d->n_steps) * n_in, want), 0);
		cr_assert_eq(memcmp(want, got, sizeof(want[0]) * d->n_out), 0,
			"%s, step %u: window %.9g, steps %.9g", name, s, (double)want[0],
			(double)got[0]);
	}
	net_model_free(window);
	net_model_free(stream);
	free(in);
	free(state);
	free(scratch);
}

Test(run, steps_give_the_same_bits_as_windows)
{
	struct shape shapes[MAX_SHAPES];
	unsigned n = all_shapes(shapes);
	for (unsigned i = 0; i < n; i++) {
		const struct lode_nn_desc *d = &shapes[i].desc;
		if (d->kind == LODE_NN_MLP || d->position != LODE_NN_POSITION_NONE)
			continue;
		struct net *net = net_new(d, i + 1, 20);
		check_stream(shapes[i].name, net);
		net_free(net);
	}
}

Test(run, batch_gives_the_same_bits_as_single)
{
	struct shape shapes[MAX_SHAPES];
	unsigned n = all_shapes(shapes);
	void *scratch = net_aligned(LODE_NN_SCRATCH_BYTES);
	for (unsigned i = 0; i < n; i++) {
		const struct lode_nn_desc *d = &shapes[i].desc;
		unsigned n_rows = 71, n_in = (unsigned)d->n_in * d->n_steps;
		struct net *net = net_new(d, i + 1, 20);
		const struct lode_nn_model *m = net_build(net, LODE_NN_ISA_AUTO, LODE_NN_FORM_AUTO);
		float *in = calloc(n_rows * n_in, sizeof(*in));
		float *batch = calloc(n_rows * d->n_out, sizeof(*batch)), one[LODE_NN_MAX_OUT];
		struct lode_rng rng;
		lode_rng_seed(&rng, i);
		for (unsigned r = 0; r < n_rows; r++)
			net_input(d, &rng, in + r * n_in);
		cr_assert_eq(lode_nn_run_batch(m, scratch, in, n_rows, batch), 0);
		for (unsigned r = 0; r < n_rows; r++) {
			cr_assert_eq(lode_nn_run(m, scratch, in + r * n_in, one), 0);
			cr_assert_eq(memcmp(one, batch + r * d->n_out, d->n_out * sizeof(*one)), 0,
				"%s, row %u", shapes[i].name, r);
		}
		in[(n_rows - 1) * n_in] = NAN;
		cr_assert_eq(lode_nn_run_batch(m, scratch, in, n_rows, batch), -EINVAL);
		net_model_free(m);
		net_free(net);
		free(in);
		free(batch);
	}
	free(scratch);
}

Test(run, inputs_that_are_not_finite_are_refused)
{
	struct shape shapes[MAX_SHAPES];
	unsigned n = all_shapes(shapes);
	void *scratch = net_aligned(LODE_NN_SCRATCH_BYTES);
	const float bad[] = {NAN, INFINITY, -INFINITY};
	for (unsigned i = 0; i < n; i++) {
		const struct lode_nn_desc *d = &shapes[i].desc;
		struct net *net = net_new(d, i + 1, 20);
		unsigned n_in = (unsigned)d->n_in * d->n_steps;
		enum lode_nn_form forms[3];
		float in[WINDOW_MAX], out[LODE_NN_MAX_OUT] = {42};
		struct lode_rng rng;
		lode_rng_seed(&rng, i);
		for (unsigned f = 0; f < forms_of(d, forms); f++)
			for (unsigned k = 0; k < LODE_ARRAY_LEN(isas); k++) {
				if (!lode_nn_isa_available(isas[k]))
					continue;
				const struct lode_nn_model *m = net_build(net, isas[k], forms[f]);
				net_input(d, &rng, in);
				in[lode_rng_below(&rng, n_in)] = bad[lode_rng_below(&rng, 3)];
				cr_expect_eq(lode_nn_run(m, scratch, in, out), -EINVAL, "%s",
					shapes[i].name);
				cr_expect_eq(out[0], 42);
				net_model_free(m);
			}
		net_free(net);
	}
	free(scratch);
}

Test(run, refused_step_leaves_the_state)
{
	struct lode_nn_desc d = lode_nn_desc_lstm(8, 20, 64, 1);
	struct net *net = net_new(&d, 1, 20);
	const struct lode_nn_model *m = net_build(net, LODE_NN_ISA_AUTO, LODE_NN_FORM_AUTO);
	size_t bytes = lode_nn_state_bytes(m);
	void *scratch = net_aligned(LODE_NN_SCRATCH_BYTES), *state = net_aligned(bytes);
	void *before = net_aligned(bytes);
	float in[8] = {0.5f, 0.1f}, out;
	lode_nn_state_reset(m, state);
	cr_assert_eq(lode_nn_step(m, scratch, state, in, &out), 0);
	memcpy(before, state, bytes);
	in[7] = NAN;
	cr_assert_eq(lode_nn_step(m, scratch, state, in, &out), -EINVAL);
	cr_assert_eq(memcmp(before, state, bytes), 0);
	net_model_free(m);
	net_free(net);
	free(scratch);
	free(state);
	free(before);
}

/* The bars that a decider's model has to hold, on calibration-like inputs. */
static void check_bars(
	const char *name, struct lode_nn_desc d, enum lode_nn_form form, unsigned n_inputs)
{
	struct net *net = net_new(&d, 4242, 500);
	const struct lode_nn_model *m = net_build(net, LODE_NN_ISA_AUTO, form);
	struct errors e = measure(net, m, n_inputs);
	cr_expect_leq(e.mean, 0.006, "%s: mean error %g", name, e.mean);
	cr_expect_leq(e.p99, 0.03, "%s: p99 error %g", name, e.p99);
	net_model_free(m);
	net_free(net);
}

Test(accuracy, probabilities)
{
	check_bars("lstm", lode_nn_desc_lstm(8, 20, 64, 1), LODE_NN_FORM_AUTO, 500);
	check_bars("transformer legacy", lode_nn_desc_transformer_legacy(), LODE_NN_FORM_LAST, 500);
	check_bars("transformer legacy", lode_nn_desc_transformer_legacy(), LODE_NN_FORM_AUTO, 500);
	check_bars("transformer", lode_nn_desc_transformer(), LODE_NN_FORM_LAST, 500);
	check_bars("transformer", lode_nn_desc_transformer(), LODE_NN_FORM_AUTO, 500);
	check_bars("window mlp", lode_nn_desc_mlp(8, 20, window_widths, 3, LODE_NN_OUT_SIGMOID),
		LODE_NN_FORM_AUTO, 2000);
}

static void check_argmax(const char *name, struct lode_nn_desc d)
{
	struct net *net = net_new(&d, 4242, 2000);
	const struct lode_nn_model *m = net_build(net, LODE_NN_ISA_AUTO, LODE_NN_FORM_AUTO);
	struct errors e = measure(net, m, 10000);
	cr_expect_geq(e.n_argmax_equal, 9900, "%s: %u of 10000 equal", name, e.n_argmax_equal);
	net_model_free(m);
	net_free(net);
}

Test(accuracy, choices)
{
	check_argmax("dqn", lode_nn_desc_mlp(8, 1, dqn, 3, LODE_NN_OUT_LINEAR));
	check_argmax("oracle", lode_nn_desc_mlp(8, 1, oracle, 3, LODE_NN_OUT_SOFTMAX));
}

/* 10^5 inputs for each kind of layer, on every instruction set; sanitizers look for other mistakes than
 * wrong bits, and need fewer. */
#ifdef __SANITIZE_ADDRESS__
#define MANY_INPUTS 2000
#else
#define MANY_INPUTS 100000
#endif

Test(run, same_bits_on_many_inputs, .timeout = 200)
{
	static const uint16_t one[] = {19};
	struct lode_nn_desc linear = lode_nn_desc_mlp(13, 1, one, 1, LODE_NN_OUT_SOFTMAX);
	static const uint16_t two[] = {24, 3};
	struct lode_nn_desc relu = lode_nn_desc_mlp(13, 1, two, 2, LODE_NN_OUT_SIGMOID);
	struct shape shapes[] = {
		{"linear, softmax", linear},
		{"relu", relu},
		{"gelu", gelu(relu)},
		{"lstm cell", lode_nn_desc_lstm(8, 1, 24, 1)},
		{"attention, norm", odd_transformer(4, 5, 2, 8, 16, 1)},
	};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(shapes); i++) {
		struct net *net = net_new(&shapes[i].desc, i + 7, 50);
		enum lode_nn_form forms[3];
		for (unsigned f = 0; f < forms_of(&shapes[i].desc, forms); f++)
			check_bits(shapes[i].name, net, forms[f], MANY_INPUTS);
		net_free(net);
	}
}
