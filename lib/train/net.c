/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- parameters ---- */

static struct param *add(struct lode_train_net *net, const char *layer, const char *suffix)
{
	struct param *p = &net->params[net->n_params++];
	assert(net->n_params <= PARAMS_MAX);
	snprintf(p->name, sizeof(p->name), "%s%s", layer, suffix);
	p->at = net->n_values;
	return p;
}

static void place(struct lode_train_net *net, struct param *p, unsigned rows, unsigned out)
{
	p->rows = rows;
	p->out = out;
	p->cols = (out + ALIGN_COLS - 1) / ALIGN_COLS * ALIGN_COLS;
	net->n_values += (size_t)p->rows * p->cols;
}

void net_add_linear(struct lode_train_net *net, const char *layer, unsigned in, unsigned out)
{
	struct param *w = add(net, layer, ".weight");
	w->is_weight = true;
	place(net, w, in, out);
	place(net, add(net, layer, ".bias"), 1, out);
}

void net_add_vector(struct lode_train_net *net, const char *name, unsigned rows, unsigned cols)
{
	place(net, add(net, name, ""), rows, cols);
}

/* Uniform in +-sqrt(3 / in): variance 1 / in. Gains are 1, all else 0. */
static void draw_weights(struct lode_train_net *net, uint64_t seed)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	for (unsigned i = 0; i < net->n_params; i++) {
		const struct param *p = &net->params[i];
		bool gain = strncmp(p->name, "norm", 4) == 0 && strstr(p->name, ".weight");
		double bound = p->is_weight ? sqrt(3.0 / p->rows) : 0;
		real *w = net_w(net, i);
		for (unsigned r = 0; r < p->rows; r++)
			for (unsigned c = 0; c < p->out; c++)
				w[(size_t)r * p->cols + c] =
					gain ? 1 : (real)(bound * (2 * lode_rng_unit(&rng) - 1));
	}
}

int net_new(struct lode_train_net **out, const struct lode_nn_desc *desc, unsigned max_rows,
	uint64_t seed, struct lode_err *err)
{
	static const struct net_ops *const kinds[] = {&mlp_ops, &lstm_ops, &transformer_ops};
	struct lode_train_net *net = calloc(1, sizeof(*net));
	*out = NULL;
	if (!net)
		return lode_err_set(err, -ENOMEM, "no memory for a network");
	net->desc = *desc;
	net->k = kernels_best();
	net->max_rows = max_rows;
	net->ops = kinds[desc->kind];
	net->n_work = net->ops->layout(net) * max_rows;
	size_t n = net->n_values;
	net->w = calloc(5 * n, sizeof(real));
	net->work = calloc(net->n_work, sizeof(real));
	if (!net->w || !net->work) {
		lode_train_net_free(net);
		return lode_err_set(err, -ENOMEM, "no memory for %zu weights", n);
	}
	net->grad = net->w + n;
	net->adam_m = net->w + 2 * n;
	net->adam_v = net->w + 3 * n;
	net->transposed = net->w + 4 * n;
	draw_weights(net, seed);
	*out = net;
	return 0;
}

void lode_train_net_free(struct lode_train_net *net)
{
	if (!net)
		return;
	free(net->w);
	free(net->work);
	free(net);
}

/* ---- linear layers ---- */

void linear_forward(const struct lode_train_net *net, unsigned param, const real *x, size_t stride,
	unsigned rows, real *y)
{
	const struct param *w = &net->params[param], *b = w + 1;
	for (size_t r = 0; r < rows; r++)
		memcpy(y + r * w->cols, net->w + b->at, w->cols * sizeof(real));
	net->k->gemm(
		rows, w->cols, w->rows, x, stride, 1, net->w + w->at, w->cols, y, w->cols, true);
}

static const real *transpose(struct lode_train_net *net, const struct param *p)
{
	const real *w = net->w + p->at;
	real *t = net->transposed + p->at;
	for (size_t c = 0; c < p->cols; c++)
		for (size_t r = 0; r < p->rows; r++)
			t[c * p->rows + r] = w[r * p->cols + c];
	return t;
}

void linear_backward(struct lode_train_net *net, unsigned param, const real *x, size_t stride,
	unsigned rows, const real *d_y, real *d_x, bool add_to)
{
	const struct param *w = &net->params[param], *b = w + 1;
	real *d_b = net->grad + b->at;
	net->k->gemm(w->rows, w->cols, rows, x, 1, stride, d_y, w->cols, net->grad + w->at, w->cols,
		true);
	for (size_t r = 0; r < rows; r++)
		for (unsigned c = 0; c < w->cols; c++)
			d_b[c] += d_y[r * w->cols + c];
	if (d_x)
		net->k->gemm(rows, w->rows, w->cols, d_y, w->cols, 1, transpose(net, w), w->rows,
			d_x, w->rows, add_to);
}

/* ---- loss ---- */

#define BURST_WEIGHT 0.05
#define SHARE_WEIGHT 0.3

/* log(1 + exp(x)), without overflow. */
static double softplus(double x)
{
	return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Cross entropy of a logit with a target in [0, 1], and its derivative. */
static double cross_entropy(double logit, double target, double *derivative)
{
	*derivative = 1 / (1 + exp(-logit)) - target;
	return softplus(logit) - target * logit;
}

double loss_and_gradient(const real *out, const struct target *targets, unsigned rows, unsigned of,
	unsigned n_out, real *d_out)
{
	double sum = 0, each = 1.0 / of, d;
	memset(d_out, 0, (size_t)rows * OUT_COLUMNS * sizeof(real));
	for (unsigned r = 0; r < rows; r++, out += OUT_COLUMNS, d_out += OUT_COLUMNS) {
		const struct target *t = &targets[r];
		sum += cross_entropy((double)out[0], (double)t->any, &d);
		d_out[0] = (real)(d * each);
		if (n_out > 1 && t->any > 0) {
			double off = (double)out[1] - (double)t->log_burst;
			sum += BURST_WEIGHT * off * off / 2;
			d_out[1] = (real)(BURST_WEIGHT * off * each);
		}
		if (n_out > 2 && t->any > 0) {
			sum += SHARE_WEIGHT * cross_entropy((double)out[2], (double)t->share, &d);
			d_out[2] = (real)(SHARE_WEIGHT * d * each);
		}
	}
	return sum * each;
}

/* ---- one step of AdamW ---- */

#define SLICE_ROWS \
	32 /* of a batch at a time: what a slice leaves behind for the way back fits a cache */

static double gradient_norm(const struct lode_train_net *net)
{
	double sum = 0;
	for (size_t i = 0; i < net->n_values; i++)
		sum += (double)net->grad[i] * (double)net->grad[i];
	return sqrt(sum);
}

double net_train_batch(struct lode_train_net *net, const real *x, const struct target *targets,
	unsigned rows, double rate, double decay, double clip, uint64_t step, real *out,
	real *d_out)
{
	size_t n_in = (size_t)net->desc.n_in * net->desc.n_steps;
	double loss = 0;
	memset(net->grad, 0, net->n_values * sizeof(real));
	for (unsigned at = 0; at < rows; at += SLICE_ROWS) {
		unsigned n = LODE_MIN(rows - at, (unsigned)SLICE_ROWS);
		net->ops->forward(net, x + at * n_in, n, out);
		loss += loss_and_gradient(out, targets + at, n, rows, net->desc.n_out, d_out);
		net->ops->backward(net, x + at * n_in, n, d_out);
	}
	double norm = gradient_norm(net);
	struct adam_step s = {.rate = (real)rate,
		.beta1 = (real)0.9,
		.beta2 = (real)0.999,
		.epsilon = (real)1e-8,
		.correct1 = (real)(1 / (1 - pow(0.9, (double)step))),
		.correct2 = (real)(1 / (1 - pow(0.999, (double)step))),
		.scale = (real)(norm > clip ? clip / norm : 1)};
	for (unsigned i = 0; i < net->n_params; i++) {
		const struct param *p = &net->params[i];
		s.decay = p->is_weight ? (real)decay : 0;
		net->k->adam((size_t)p->rows * p->cols, net->w + p->at, net->grad + p->at,
			net->adam_m + p->at, net->adam_v + p->at, &s);
	}
	return loss;
}
