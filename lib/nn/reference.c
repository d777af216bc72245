/* SPDX-License-Identifier: BSD-3-Clause */
/* FP32 reference: the definition of what every network computes, as plain as it can be written. Sums
 * are taken in double so that it is closer to the mathematics than any fast form. */
#include "points.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct ref {
	const struct lode_nn_desc *desc;
	const struct lode_nn_tensor *tensors;
	unsigned n_tensors;
	struct lode_nn_ranges *ranges; /* may be NULL */
};

void lode_nn_ranges_init(struct lode_nn_ranges *r)
{
	r->n_samples = 0;
	for (unsigned i = 0; i < LODE_NN_MAX_IN; i++) {
		r->in_low[i] = INFINITY;
		r->in_high[i] = -INFINITY;
	}
	for (unsigned i = 0; i < LODE_NN_MAX_POINTS; i++) {
		r->low[i] = INFINITY;
		r->high[i] = -INFINITY;
	}
}

static void observe(const struct ref *r, unsigned point, const float *v, unsigned n)
{
	for (unsigned i = 0; r->ranges && i < n; i++) {
		r->ranges->low[point] = fminf(r->ranges->low[point], v[i]);
		r->ranges->high[point] = fmaxf(r->ranges->high[point], v[i]);
	}
}

static void observe_input(const struct ref *r, const float *in)
{
	if (!r->ranges)
		return;
	r->ranges->n_samples++;
	for (unsigned s = 0; s < r->desc->n_steps; s++)
		for (unsigned i = 0; i < r->desc->n_in; i++, in++) {
			r->ranges->in_low[i] = fminf(r->ranges->in_low[i], *in);
			r->ranges->in_high[i] = fmaxf(r->ranges->in_high[i], *in);
		}
}

static const struct lode_nn_tensor *tensor(
	const struct ref *r, const char *layer, const char *suffix)
{
	char name[LODE_NN_NAME_BYTES];
	snprintf(name, sizeof(name), "%s%s", layer, suffix);
	return lode_nn_tensor_find(r->tensors, r->n_tensors, name);
}

static const float *values(const struct ref *r, const char *layer, const char *suffix)
{
	return tensor(r, layer, suffix)->data;
}

/* out = W in + b, for the rows [first, first + n_out) of W. */
static void linear_rows(const struct ref *r, const char *layer, unsigned first, unsigned n_out,
	const float *in, float *out)
{
	const struct lode_nn_tensor *t = tensor(r, layer, ".weight");
	const float *w = t->data, *bias = values(r, layer, ".bias");
	unsigned n_in = t->dims[1];
	for (unsigned o = 0; o < n_out; o++) {
		double sum = bias[first + o];
		for (unsigned i = 0; i < n_in; i++)
			sum += (double)w[(size_t)(first + o) * n_in + i] * in[i];
		out[o] = (float)sum;
	}
}

static void linear(const struct ref *r, const char *layer, const float *in, float *out)
{
	linear_rows(r, layer, 0, tensor(r, layer, ".weight")->dims[0], in, out);
}

static double sigmoid(double x)
{
	return 1.0 / (1.0 + exp(-x));
}

static void activate(enum lode_nn_activation kind, float *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		double x = v[i];
		if (kind == LODE_NN_RELU)
			v[i] = fmaxf(v[i], 0);
		else
			v[i] = (float)(x * sigmoid(2 * 0.7978845608028654 *
						   (x + 0.044715 * x * x * x)));
	}
}

static void softmax(float *v, unsigned n)
{
	double max = -INFINITY, sum = 0;
	for (unsigned i = 0; i < n; i++)
		max = fmax(max, v[i]);
	for (unsigned i = 0; i < n; i++)
		sum += exp(v[i] - max);
	for (unsigned i = 0; i < n; i++)
		v[i] = (float)(exp(v[i] - max) / sum);
}

static void output(const struct lode_nn_desc *d, float *v)
{
	if (d->output == LODE_NN_OUT_SOFTMAX)
		softmax(v, d->n_out);
	unsigned n_sigmoid = d->output == LODE_NN_OUT_SIGMOID	      ? d->n_out
			     : d->output == LODE_NN_OUT_SIGMOID_FIRST ? 1
								      : 0;
	for (unsigned i = 0; i < n_sigmoid; i++)
		v[i] = (float)sigmoid(v[i]);
}

static void layer_norm(const struct ref *r, const char *layer, float *v, unsigned n)
{
	const float *gain = values(r, layer, ".weight"), *bias = values(r, layer, ".bias");
	double mean = 0, var = 0;
	for (unsigned i = 0; i < n; i++)
		mean += v[i] / (double)n;
	for (unsigned i = 0; i < n; i++)
		var += (v[i] - mean) * (v[i] - mean) / n;
	for (unsigned i = 0; i < n; i++)
		v[i] = (float)((v[i] - mean) / sqrt(var + 1e-5) * gain[i] + bias[i]);
}

/* ---- the three kinds ---- */

static void mlp(const struct ref *r, const float *in, float *out)
{
	const struct lode_nn_desc *d = r->desc;
	float a[LODE_NN_MAX_HIDDEN], b[LODE_NN_MAX_HIDDEN];
	float *from = a, *to = b;
	memcpy(from, in, sizeof(float) * d->n_in * d->n_steps);
	for (unsigned i = 0; i < d->n_layers; i++) {
		char name[8];
		snprintf(name, sizeof(name), "l%u", i + 1);
		linear(r, name, from, to);
		if (i + 1u < d->n_layers) {
			activate(d->activation, to, d->width[i]);
			observe(r, i, to, d->width[i]);
		}
		float *swap = from;
		from = to;
		to = swap;
	}
	memcpy(out, from, sizeof(float) * d->n_out);
}

static void lstm(const struct ref *r, const float *in, float *out)
{
	const struct lode_nn_desc *d = r->desc;
	unsigned n = d->n_hidden;
	float h[LODE_NN_MAX_LSTM] = {0}, zx[4 * LODE_NN_MAX_LSTM], zh[4 * LODE_NN_MAX_LSTM];
	double c[LODE_NN_MAX_LSTM] = {0};
	for (unsigned s = 0; s < d->n_steps; s++) {
		linear(r, "input_proj", in + s * d->n_in, zx);
		linear(r, "hidden_proj", h, zh);
		for (unsigned u = 0; u < n; u++) {
			double i = sigmoid(zx[u] + zh[u]);
			double f = sigmoid(zx[n + u] + zh[n + u]);
			double g = tanh(zx[2 * n + u] + zh[2 * n + u]);
			double o = sigmoid(zx[3 * n + u] + zh[3 * n + u]);
			c[u] = f * c[u] + i * g;
			h[u] = (float)(o * tanh(c[u]));
		}
	}
	linear(r, "output_proj", h, out);
}

/* q, o: d_model; k, v: n_steps rows of d_model. */
static void attend(
	const struct lode_nn_desc *d, const float *q, const float *k, const float *v, float *o)
{
	unsigned dm = d->d_model, dh = dm / d->n_heads;
	memset(o, 0, dm * sizeof(*o));
	for (unsigned head = 0; head < dm; head += dh) {
		float p[LODE_NN_MAX_STEPS];
		for (unsigned s = 0; s < d->n_steps; s++) {
			double dot = 0;
			for (unsigned i = head; i < head + dh; i++)
				dot += (double)q[i] * k[s * dm + i];
			p[s] = (float)(dot / sqrt(dh));
		}
		softmax(p, d->n_steps);
		for (unsigned i = head; i < head + dh; i++) {
			double sum = 0;
			for (unsigned s = 0; s < d->n_steps; s++)
				sum += (double)p[s] * v[s * dm + i];
			o[i] = (float)sum;
		}
	}
}

/* out += add, then the norm if there is one, then the point is observed. */
static void residual(
	const struct ref *r, const char *norm, unsigned point, const float *add, float *out)
{
	unsigned dm = r->desc->d_model;
	for (unsigned i = 0; i < dm; i++)
		out[i] += add[i];
	if (r->desc->norm == LODE_NN_NORM_POST)
		layer_norm(r, norm, out, dm);
	observe(r, point, out, dm);
}

static void embed(const struct ref *r, const float *in, unsigned step, float *h)
{
	const struct lode_nn_desc *d = r->desc;
	if (d->embed == LODE_NN_EMBED_LINEAR) {
		linear(r, "embed", in, h);
	} else {
		memset(h, 0, d->d_model * sizeof(*h));
		memcpy(h, in, d->n_in * sizeof(*h));
	}
	for (unsigned i = 0; d->position == LODE_NN_POSITION_TABLE && i < d->d_model; i++)
		h[i] += values(r, "position", "")[step * d->d_model + i];
	observe(r, POINT_EMBED, h, d->d_model);
}

/* Only the last step is read, and no step's result depends on another's query: so the queries of the
 * other steps are left out. */
static void transformer(const struct ref *r, const float *in, float *out, float *k, float *v)
{
	const struct lode_nn_desc *d = r->desc;
	unsigned dm = d->d_model, steps = d->n_steps;
	float h[LODE_NN_MAX_D_MODEL], q[LODE_NN_MAX_D_MODEL], o[LODE_NN_MAX_D_MODEL];
	float add[LODE_NN_MAX_D_MODEL], ff[LODE_NN_MAX_HIDDEN];
	for (unsigned s = 0; s < steps; s++) {
		embed(r, in + s * d->n_in, s, h);
		linear_rows(r, "qkv", dm, dm, h, k + s * dm);
		linear_rows(r, "qkv", 2 * dm, dm, h, v + s * dm);
	}
	observe(r, POINT_K, k, steps * dm);
	observe(r, POINT_V, v, steps * dm);
	linear_rows(r, "qkv", 0, dm, h, q);
	observe(r, POINT_Q, q, dm);
	attend(d, q, k, v, o);
	observe(r, POINT_ATTN, o, dm);
	linear(r, "out", o, add);
	residual(r, "norm1", POINT_MID, add, h);
	linear(r, "ff1", h, ff);
	activate(d->activation, ff, d->d_ffn);
	observe(r, POINT_FF1, ff, d->d_ffn);
	linear(r, "ff2", ff, add);
	residual(r, "norm2", POINT_FINAL, add, h);
	linear(r, "pred", h, out);
}

int lode_nn_reference_run(const struct lode_nn_desc *d, const struct lode_nn_tensor *tensors,
	unsigned n_tensors, const float *in, float *out, struct lode_nn_ranges *ranges)
{
	struct ref r = {.desc = d, .tensors = tensors, .n_tensors = n_tensors, .ranges = ranges};
	for (unsigned i = 0; i < (unsigned)d->n_in * d->n_steps; i++)
		if (!isfinite(in[i]))
			return -EINVAL;
	float *kv = NULL;
	size_t kv_floats = (size_t)d->n_steps * d->d_model;
	if (d->kind == LODE_NN_TRANSFORMER) {
		kv = malloc(2 * kv_floats * sizeof(*kv));
		if (!kv)
			return -ENOMEM;
	}
	observe_input(&r, in);
	switch (d->kind) {
	case LODE_NN_MLP:
		mlp(&r, in, out);
		break;
	case LODE_NN_LSTM:
		lstm(&r, in, out);
		break;
	case LODE_NN_TRANSFORMER:
		transformer(&r, in, out, kv, kv + kv_floats);
		break;
	}
	output(d, out);
	free(kv);
	return 0;
}
