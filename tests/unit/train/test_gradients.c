/* SPDX-License-Identifier: BSD-3-Clause */
/* Every gradient against central differences, with the room built in double; and the forward passes against nn's
 * reference, which defines what a network computes. */
#include "net.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define ROWS	5
#define STEP	1e-5
#define SAMPLES 60 /* values looked at per parameter */

struct batch {
	real *x, out[ROWS * OUT_COLUMNS], d_out[ROWS * OUT_COLUMNS];
	struct target targets[ROWS];
};

static struct batch *batch_new(const struct lode_nn_desc *d, uint64_t seed)
{
	struct batch *b = calloc(1, sizeof(*b));
	size_t n = (size_t)ROWS * d->n_in * d->n_steps;
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	b->x = calloc(n, sizeof(real));
	for (size_t i = 0; i < n; i++)
		b->x[i] = (real)(2 * lode_rng_unit(&rng) - 1);
	for (unsigned r = 0; r < ROWS; r++)
		b->targets[r] =
			(struct target){.any = r % 2, .log_burst = 0.7f * (float)r, .share = 0.3f};
	return b;
}

static void batch_free(struct batch *b)
{
	free(b->x);
	free(b);
}

static double loss(struct lode_train_net *net, struct batch *b)
{
	net->ops->forward(net, b->x, ROWS, b->out);
	return loss_and_gradient(b->out, b->targets, ROWS, ROWS, net->desc.n_out, b->d_out);
}

static void check(const struct lode_nn_desc *d)
{
	struct lode_train_net *net;
	struct lode_rng rng;
	struct batch *b = batch_new(d, 1);
	unsigned n_checked = 0;
	cr_assert_eq(net_new(&net, d, ROWS, 7, NULL), 0);
	lode_rng_seed(&rng, 3);
	for (size_t i = 0; i < net->n_values; i++) /* biases and gains too */
		net->w[i] += (real)(0.1 * lode_rng_normal(&rng));
	loss(net, b);
	memset(net->grad, 0, net->n_values * sizeof(real));
	net->ops->backward(net, b->x, ROWS, b->d_out);
	for (unsigned p = 0; p < net->n_params; p++)
		for (unsigned k = 0; k < SAMPLES; k++) {
			const struct param *at = &net->params[p];
			size_t row = lode_rng_below(&rng, at->rows);
			size_t i = at->at + row * at->cols + lode_rng_below(&rng, at->out);
			real w = net->w[i];
			double grad = (double)net->grad[i], up, down;
			net->w[i] = w + (real)STEP;
			up = loss(net, b);
			net->w[i] = w - (real)STEP;
			down = loss(net, b);
			net->w[i] = w;
			double slope = (up - down) / (2 * STEP);
			cr_assert_float_eq(grad, slope, 1e-7 + 1e-5 * fabs(slope),
				"%s [%zu]: gradient %.9g, central difference %.9g", at->name,
				i - at->at, grad, slope);
			n_checked += fabs(slope) > 1e-9;
		}
	cr_assert_gt(
		n_checked, net->n_params * SAMPLES / 3, "only %u gradients are not 0", n_checked);
	lode_train_net_free(net);
	batch_free(b);
}

static void check_forward(const struct lode_nn_desc *d)
{
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS];
	struct lode_train_net *net;
	struct batch *b = batch_new(d, 2);
	unsigned n_tensors, n_in = (unsigned)d->n_in * d->n_steps;
	void *memory;
	cr_assert_eq(net_new(&net, d, ROWS, 9, NULL), 0);
	cr_assert_eq(lode_train_tensors(net, tensors, &n_tensors, &memory, NULL), 0);
	cr_assert_eq(lode_nn_tensors_check(d, LODE_NN_FORMAT_FP32, tensors, n_tensors, NULL), 0);
	net->ops->forward(net, b->x, ROWS, b->out);
	for (unsigned r = 0; r < ROWS; r++) {
		float in[LODE_NN_MAX_IN * 4], expected[LODE_NN_MAX_OUT];
		for (unsigned i = 0; i < n_in; i++)
			in[i] = (float)b->x[r * n_in + i];
		cr_assert_eq(lode_nn_reference_run(d, tensors, n_tensors, in, expected, NULL), 0);
		double p = 1 / (1 + exp(-(double)b->out[r * OUT_COLUMNS]));
		cr_assert_float_eq(p, expected[0], 1e-5, "row %u", r);
		for (unsigned o = 1; o < d->n_out; o++)
			cr_assert_float_eq(b->out[r * OUT_COLUMNS + o], expected[o], 1e-4,
				"row %u output %u", r, o);
	}
	free(memory);
	lode_train_net_free(net);
	batch_free(b);
}

static struct lode_nn_desc mlp(void)
{
	static const uint16_t width[] = {32, 48, 3};
	return lode_nn_desc_mlp(8, 5, width, 3, LODE_NN_OUT_SIGMOID_FIRST);
}

static struct lode_nn_desc lstm(void)
{
	struct lode_nn_desc d = lode_nn_desc_lstm(8, 6, 16, 3);
	d.output = LODE_NN_OUT_SIGMOID_FIRST;
	return d;
}

static struct lode_nn_desc transformer(void)
{
	struct lode_nn_desc d = lode_nn_desc_transformer();
	d.n_steps = 6;
	d.d_model = 32;
	d.d_ffn = 48;
	d.n_out = 3;
	d.output = LODE_NN_OUT_SIGMOID_FIRST;
	return d;
}

Test(gradients, mlp)
{
	struct lode_nn_desc d = mlp();
	check(&d);
	check_forward(&d);
}

Test(gradients, lstm)
{
	struct lode_nn_desc d = lstm();
	check(&d);
	check_forward(&d);
}

Test(gradients, transformer)
{
	struct lode_nn_desc d = transformer();
	check(&d);
	check_forward(&d);
}

/* ---- the matrix product against its definition, on all shapes and strides ---- */

static void naive(unsigned m, unsigned n, unsigned k, const real *a, size_t a_row, size_t a_col,
	const real *b, size_t ldb, real *c, size_t ldc, bool add)
{
	for (size_t i = 0; i < m; i++)
		for (size_t j = 0; j < n; j++) {
			real sum = add ? c[i * ldc + j] : 0;
			for (size_t p = 0; p < k; p++)
				sum += a[i * a_row + p * a_col] * b[p * ldb + j];
			c[i * ldc + j] = sum;
		}
}

Test(gradients, matrix_product)
{
	static real a[64 * 64], b[64 * 80], c[64 * 80], expected[64 * 80];
	struct lode_rng rng;
	lode_rng_seed(&rng, 5);
	const struct kernels *k = kernels_best();
	for (unsigned trial = 0; trial < 200; trial++) {
		unsigned m = 1 + (unsigned)lode_rng_below(&rng, 20);
		unsigned n = ALIGN_COLS * (1 + (unsigned)lode_rng_below(&rng, 5));
		unsigned depth = 1 + (unsigned)lode_rng_below(&rng, 30);
		bool add = trial % 2, across = trial % 3 == 0;
		for (unsigned i = 0; i < LODE_ARRAY_LEN(a); i++)
			a[i] = (real)lode_rng_unit(&rng);
		for (unsigned i = 0; i < LODE_ARRAY_LEN(b); i++) {
			b[i] = (real)lode_rng_unit(&rng);
			c[i] = expected[i] = (real)lode_rng_unit(&rng);
		}
		size_t a_row = across ? 1 : 64, a_col = across ? 64 : 1;
		k->gemm(m, n, depth, a, a_row, a_col, b, 80, c, 80, add);
		naive(m, n, depth, a, a_row, a_col, b, 80, expected, 80, add);
		for (unsigned i = 0; i < LODE_ARRAY_LEN(c); i++)
			cr_assert_float_eq(
				c[i], expected[i], 1e-12, "trial %u, value %u", trial, i);
	}
}
