/* SPDX-License-Identifier: BSD-3-Clause */
/* The forms of the transformer are one function in real arithmetic: attention of the last step in double
 * precision, computed in full, for the last query only, with keys and values in a ring, and with the folded
 * matrices of a packed model. What follows attention is the same code in all forms. */
#include "nets.h"
#include "packed.h"
#include "points.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_D	  LODE_NN_MAX_D_MODEL
#define MAX_STEPS LODE_NN_MAX_STEPS

/* A net's INT8 tensors as real numbers. */
struct real {
	const struct net *net;
	unsigned n_in, dm, steps, heads, dh;
	double embed[MAX_D][MAX_D], constant[MAX_D], position[MAX_STEPS][MAX_D];
	double weight[3][MAX_D][MAX_D], bias[3][MAX_D]; /* query, key, value */
};

static const struct lode_nn_tensor *tensor(const struct net *n, const char *name)
{
	return lode_nn_tensor_find(n->int8, n->n_int8, name);
}

/* Weight of layer [row, col]; layers that read the input hold it times the feature's step. */
static double weight_of(const struct net *n, const char *layer, unsigned row, unsigned col)
{
	char name[LODE_NN_NAME_BYTES];
	snprintf(name, sizeof(name), "%s.weight", layer);
	const struct lode_nn_tensor *w = tensor(n, name);
	snprintf(name, sizeof(name), "%s.scale", layer);
	double v = ((const int8_t *)w->data)[row * w->dims[1] + col] *
		   (double)((const float *)tensor(n, name)->data)[row];
	if (!reads_input(&n->desc, layer))
		return v;
	return col < n->desc.n_in
		       ? v / (double)((const float *)tensor(n, "in.range")->data)[2 * col + 1]
		       : 0;
}

static struct real *real_new(const struct net *n)
{
	const struct lode_nn_desc *d = &n->desc;
	const struct lode_nn_tensor *position = tensor(n, "position");
	struct real *r = calloc(1, sizeof(*r));
	*r = (struct real){.net = n,
		.n_in = d->n_in,
		.dm = d->d_model,
		.steps = d->n_steps,
		.heads = d->n_heads,
		.dh = d->d_model / d->n_heads};
	for (unsigned o = 0; o < r->dm; o++) {
		for (unsigned i = 0; i < r->n_in; i++)
			r->embed[o][i] = d->embed == LODE_NN_EMBED_PAD
						 ? o == i
						 : weight_of(n, "embed", o, i);
		if (d->embed == LODE_NN_EMBED_LINEAR)
			r->constant[o] = (double)((const float *)tensor(n, "embed.bias")->data)[o];
		for (unsigned s = 0; position && s < r->steps; s++)
			r->position[s][o] = (double)((const float *)position->data)[s * r->dm + o];
		for (unsigned part = 0; part < 3; part++) {
			unsigned row = part * r->dm + o;
			r->bias[part][o] =
				(double)((const float *)tensor(n, "qkv.bias")->data)[row];
			for (unsigned i = 0; i < r->dm; i++)
				r->weight[part][o][i] = weight_of(n, "qkv", row, i);
		}
	}
	return r;
}

/* Query, key or value of one step. */
static void project(
	const struct real *r, unsigned part, const float *in, unsigned step, double *out)
{
	double h[MAX_D];
	for (unsigned o = 0; o < r->dm; o++) {
		h[o] = r->constant[o] + r->position[step][o];
		for (unsigned i = 0; i < r->n_in; i++)
			h[o] += r->embed[o][i] * (double)in[i];
	}
	for (unsigned o = 0; o < r->dm; o++) {
		out[o] = r->bias[part][o];
		for (unsigned i = 0; i < r->dm; i++)
			out[o] += r->weight[part][o][i] * h[i];
	}
}

/* softmax(scores) in place. */
static void softmax(double *score, unsigned n)
{
	double most = -INFINITY, total = 0;
	for (unsigned i = 0; i < n; i++)
		most = fmax(most, score[i]);
	for (unsigned i = 0; i < n; i++)
		total += score[i] = exp(score[i] - most);
	for (unsigned i = 0; i < n; i++)
		score[i] /= total;
}

static void attend(const struct real *r, const double *query, double key[][MAX_D],
	double value[][MAX_D], double *out)
{
	for (unsigned h = 0; h < r->heads; h++) {
		double score[MAX_STEPS] = {0};
		for (unsigned s = 0; s < r->steps; s++)
			for (unsigned k = h * r->dh; k < (h + 1) * r->dh; k++)
				score[s] += query[k] * key[s][k] / sqrt(r->dh);
		softmax(score, r->steps);
		for (unsigned k = h * r->dh; k < (h + 1) * r->dh; k++) {
			out[k] = 0;
			for (unsigned s = 0; s < r->steps; s++)
				out[k] += score[s] * value[s][k];
		}
	}
}

/* Every step asks; the last one's answer is read. */
static void full(const struct real *r, const float *in, double *out)
{
	static double query[MAX_STEPS][MAX_D], key[MAX_STEPS][MAX_D], value[MAX_STEPS][MAX_D];
	for (unsigned s = 0; s < r->steps; s++) {
		project(r, 0, in + s * r->n_in, s, query[s]);
		project(r, 1, in + s * r->n_in, s, key[s]);
		project(r, 2, in + s * r->n_in, s, value[s]);
	}
	for (unsigned s = 0; s < r->steps; s++)
		attend(r, query[s], key, value, out);
}

/* Only the last step asks; keys and values of n_given steps, the window at their end, in a ring. */
static void ring(const struct real *r, const float *in, unsigned n_given, double *out)
{
	static double key[MAX_STEPS][MAX_D], value[MAX_STEPS][MAX_D];
	double query[MAX_D];
	for (unsigned s = 0; s < n_given; s++) {
		unsigned step = n_given == r->steps ? s : 0; /* longer: without positions */
		project(r, 1, in + s * r->n_in, step, key[s % r->steps]);
		project(r, 2, in + s * r->n_in, step, value[s % r->steps]);
	}
	project(r, 0, in + (n_given - 1) * r->n_in, r->steps - 1, query);
	attend(r, query, key, value, out);
}

/* fold_in and fold_value of a packed model, applied in double. */
static void folded(const struct lode_nn_model *m, const float *in, double *out)
{
	const struct packed_transformer *t = &m->tf;
	const struct lode_nn_desc *d = &m->desc;
	const float *fold_in = model_at(m, t->fold_in), *value = model_at(m, t->fold_value);
	const float *last = in + (d->n_steps - 1u) * d->n_in;
	unsigned n_in = d->n_in, row = 16u * t->fold_in_vecs, dh = d->d_model / d->n_heads;
	for (unsigned h = 0; h < d->n_heads; h++) {
		double u[16 * 8] = {0}, score[MAX_STEPS] = {0};
		unsigned first = 16u * (t->dm_vecs + h * t->head_in_vecs);
		for (unsigned c = 0; c < 16u * t->head_in_vecs; c++)
			for (unsigned i = 0; i <= n_in; i++)
				u[c] += (double)fold_in[i * row + first + c] *
					(i < n_in ? (double)last[i] : 1);
		for (unsigned s = 0; s < d->n_steps; s++) {
			for (unsigned i = 0; i < n_in; i++)
				score[s] += u[i] * (double)in[s * n_in + i];
			if (t->position)
				score[s] += u[ALIGN_UP(n_in, 16u) + s];
			score[s] *= M_LN2;
		}
		softmax(score, d->n_steps);
		for (unsigned k = 0; k < dh; k++) {
			const float *column = value + k;
			double sum = (double)column[16u * t->head_vecs * t->n_mixed];
			for (unsigned s = 0; s < d->n_steps; s++) {
				for (unsigned i = 0; i < n_in; i++)
					sum += score[s] * (double)in[s * n_in + i] *
					       (double)column[16u * t->head_vecs * i];
				if (t->position)
					sum += score[s] *
					       (double)column[16u * t->head_vecs * (n_in + s)];
			}
			out[h * dh + k] = sum;
		}
		value += 16u * t->head_vecs * (t->n_mixed + 1u);
	}
}

static void expect_same(
	const char *what, const double *want, const double *got, unsigned n, double tolerance)
{
	for (unsigned i = 0; i < n; i++)
		cr_assert_float_eq(got[i], want[i], tolerance * (1 + fabs(want[i])),
			"%s: dimension %u is %.15g, full %.15g", what, i, got[i], want[i]);
}

static void check_forms(const struct lode_nn_desc *d, uint64_t seed)
{
	struct net *net = net_new(d, seed, 50);
	struct real *r = real_new(net);
	const struct lode_nn_model *m = net_build(net, LODE_NN_PORTABLE, LODE_NN_FORM_FOLDED);
	float *in = calloc(2 * (size_t)d->n_steps * d->n_in, sizeof(*in));
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	for (unsigned k = 0; k < 5; k++) {
		double want[MAX_D], got[MAX_D];
		float *window = in + (size_t)d->n_steps * d->n_in;
		net_input(d, &rng, in);
		net_input(d, &rng, window);
		full(r, window, want);
		ring(r, window, d->n_steps, got);
		expect_same("last query", want, got, d->d_model, 1e-12);
		if (d->position == LODE_NN_POSITION_NONE) {
			ring(r, in, 2u * d->n_steps, got);
			expect_same("ring", want, got, d->d_model, 1e-12);
		}
		folded(m, window, got);
		expect_same(
			"folded", want, got, d->d_model, 2e-6); /* matrices in single precision */
	}
	net_model_free(m);
	net_free(net);
	free(r);
	free(in);
}

Test(forms, are_one_function_in_real_arithmetic)
{
	struct lode_nn_desc d = lode_nn_desc_transformer(),
			    older = lode_nn_desc_transformer_legacy();
	check_forms(&d, 1);
	check_forms(&older, 2);
	older.position = LODE_NN_POSITION_TABLE;
	check_forms(&older, 3);
	d.position = LODE_NN_POSITION_NONE;
	d.n_in = 5;
	d.n_steps = 7;
	d.n_heads = 3;
	d.d_model = 60;
	check_forms(&d, 4);
}
