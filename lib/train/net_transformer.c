/* SPDX-License-Identifier: BSD-3-Clause */
/* One transformer layer read at the last step: embedding and position table, attention of the last step over all,
 * residuals with layer norm behind (Vaswani et al. 2017), ReLU. Only the last step needs more than its key and
 * value. */
#include "net.h"

#include <math.h>

enum {
	EMBED = 0,
	QKV = 2,
	OUT = 4,
	FF1 = 6,
	FF2 = 8,
	PRED = 10,
	POSITION = 12,
	NORM1 = 13,
	NORM2 = 15
};
#define EPSILON ((real)1e-5)

struct trail {
	real *e, *kv;	       /* per step: embedding; key and value */
	real *q, *p, *ctx;     /* attention of the last step; p: [heads, steps] */
	real *hat1, *std1, *u; /* first norm: normalised, 1/deviation, out */
	real *f;	       /* feed-forward */
	real *hat2, *std2, *z;
	real *d_e, *d_kv, *d_q, *d_a, *d_b, *d_f;
};

static size_t carve(const struct lode_train_net *net, unsigned rows, struct trail *t)
{
	const struct lode_nn_desc *d = &net->desc;
	size_t dm = d->d_model, steps = d->n_steps, at = 0;
	struct {
		real **to;
		size_t n;
	} parts[] = {{&t->e, dm * steps}, {&t->kv, 2 * dm * steps}, {&t->q, dm},
		{&t->p, d->n_heads * steps}, {&t->ctx, dm}, {&t->hat1, dm}, {&t->std1, 1},
		{&t->u, dm}, {&t->f, d->d_ffn}, {&t->hat2, dm}, {&t->std2, 1}, {&t->z, dm},
		{&t->d_e, dm * steps}, {&t->d_kv, 2 * dm * steps}, {&t->d_q, dm}, {&t->d_a, dm},
		{&t->d_b, dm}, {&t->d_f, d->d_ffn}};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(parts); i++) {
		*parts[i].to = net->work ? net->work + at * rows : NULL;
		at += parts[i].n;
	}
	return at;
}

static size_t layout(struct lode_train_net *net)
{
	const struct lode_nn_desc *d = &net->desc;
	struct trail t;
	unsigned dm = d->d_model;
	net_add_linear(net, "embed", d->n_in, dm);
	net_add_linear(net, "qkv", dm, 3 * dm);
	net_add_linear(net, "out", dm, dm);
	net_add_linear(net, "ff1", dm, d->d_ffn);
	net_add_linear(net, "ff2", d->d_ffn, dm);
	net_add_linear(net, "pred", dm, d->n_out);
	net_add_vector(net, "position", d->n_steps, dm);
	net_add_vector(net, "norm1.weight", 1, dm);
	net_add_vector(net, "norm1.bias", 1, dm);
	net_add_vector(net, "norm2.weight", 1, dm);
	net_add_vector(net, "norm2.bias", 1, dm);
	return carve(net, 1, &t);
}

/* ---- parts ---- */

/* y = a + b per row, then normalised, scaled and shifted. b has a row stride. */
static void norm_forward(const struct lode_train_net *net, unsigned param, unsigned rows,
	const real *a, const real *b, size_t b_stride, real *hat, real *inv_std, real *out)
{
	unsigned n = net->desc.d_model;
	const real *gain = net_w(net, param), *bias = net_w(net, param + 1);
	for (size_t r = 0; r < rows; r++, a += n, b += b_stride, hat += n, out += n) {
		real mean = 0, var = 0;
		for (unsigned i = 0; i < n; i++)
			mean += hat[i] = a[i] + b[i];
		mean /= (real)n;
		for (unsigned i = 0; i < n; i++)
			var += (hat[i] - mean) * (hat[i] - mean);
		inv_std[r] = (real)(1 / sqrt((double)(var / (real)n + EPSILON)));
		for (unsigned i = 0; i < n; i++) {
			hat[i] = (hat[i] - mean) * inv_std[r];
			out[i] = hat[i] * gain[i] + bias[i];
		}
	}
}

/* d: gradient of the output in, of the sum out. */
static void norm_backward(struct lode_train_net *net, unsigned param, unsigned rows,
	const real *hat, const real *inv_std, real *d)
{
	unsigned n = net->desc.d_model;
	const real *gain = net_w(net, param);
	real *d_gain = net_grad(net, param), *d_bias = net_grad(net, param + 1);
	for (size_t r = 0; r < rows; r++, hat += n, d += n) {
		real sum = 0, dot = 0;
		for (unsigned i = 0; i < n; i++) {
			d_gain[i] += d[i] * hat[i];
			d_bias[i] += d[i];
			d[i] *= gain[i];
			sum += d[i];
			dot += d[i] * hat[i];
		}
		for (unsigned i = 0; i < n; i++)
			d[i] = (d[i] - (sum + hat[i] * dot) / (real)n) * inv_std[r];
	}
}

/* Attention of one row and head: q [dh], keys and values [steps] apart by 2 d_model. */
static void attend(const struct lode_nn_desc *d, const real *q, const real *kv, real *p, real *ctx)
{
	unsigned dh = d->d_model / d->n_heads;
	size_t stride = 2u * d->d_model;
	real scale = (real)(1 / sqrt(dh)), top = -1e30f, sum = 0;
	for (unsigned s = 0; s < d->n_steps; s++) {
		p[s] = 0;
		for (unsigned i = 0; i < dh; i++)
			p[s] += q[i] * kv[s * stride + i];
		p[s] *= scale;
		top = LODE_MAX(top, p[s]);
	}
	for (unsigned s = 0; s < d->n_steps; s++)
		sum += p[s] = (real)exp((double)(p[s] - top));
	memset(ctx, 0, dh * sizeof(real));
	for (unsigned s = 0; s < d->n_steps; s++) {
		p[s] /= sum;
		for (unsigned i = 0; i < dh; i++)
			ctx[i] += p[s] * kv[s * stride + d->d_model + i];
	}
}

static void attend_backward(const struct lode_nn_desc *d, const real *q, const real *kv,
	const real *p, const real *d_ctx, real *d_q, real *d_kv)
{
	unsigned dh = d->d_model / d->n_heads;
	size_t stride = 2u * d->d_model;
	real d_p[LODE_NN_MAX_STEPS], mean = 0, scale = (real)(1 / sqrt(dh));
	for (unsigned s = 0; s < d->n_steps; s++) {
		d_p[s] = 0;
		for (unsigned i = 0; i < dh; i++) {
			d_p[s] += d_ctx[i] * kv[s * stride + d->d_model + i];
			d_kv[s * stride + d->d_model + i] = p[s] * d_ctx[i];
		}
		mean += p[s] * d_p[s];
	}
	memset(d_q, 0, dh * sizeof(real));
	for (unsigned s = 0; s < d->n_steps; s++) {
		real d_s = p[s] * (d_p[s] - mean) * scale;
		for (unsigned i = 0; i < dh; i++) {
			d_q[i] += d_s * kv[s * stride + i];
			d_kv[s * stride + i] = d_s * q[i];
		}
	}
}

/* y [rows, n] = x [rows, d_model] times columns [first, first + n) of the QKV weights, plus bias. */
static void project(const struct lode_train_net *net, unsigned first, unsigned n, const real *x,
	size_t stride, unsigned rows, real *y)
{
	const struct param *w = &net->params[QKV];
	for (size_t r = 0; r < rows; r++)
		memcpy(y + r * n, net_w(net, QKV + 1) + first, n * sizeof(real));
	net->k->gemm(rows, n, w->rows, x, stride, 1, net->w + w->at + first, w->cols, y, n, true);
}

static void project_backward(struct lode_train_net *net, unsigned first, unsigned n, const real *x,
	size_t stride, unsigned rows, const real *d_y, real *d_x, size_t d_stride)
{
	const struct param *w = &net->params[QKV];
	real *d_b = net_grad(net, QKV + 1) + first, *t = net->transposed + w->at;
	net->k->gemm(
		w->rows, n, rows, x, 1, stride, d_y, n, net->grad + w->at + first, w->cols, true);
	for (size_t r = 0; r < rows; r++)
		for (unsigned c = 0; c < n; c++)
			d_b[c] += d_y[r * n + c];
	for (size_t c = 0; c < n; c++)
		for (size_t r = 0; r < w->rows; r++)
			t[c * w->rows + r] = net->w[w->at + r * w->cols + first + c];
	net->k->gemm(rows, w->rows, n, d_y, n, 1, t, w->rows, d_x, d_stride, true);
}

/* ---- passes ---- */

static void embed(struct lode_train_net *net, const real *x, unsigned rows, real *e)
{
	const struct lode_nn_desc *d = &net->desc;
	size_t n = (size_t)d->n_steps * d->d_model;
	linear_forward(net, EMBED, x, d->n_in, rows * d->n_steps, e);
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < n; i++)
			e[r * n + i] += net_w(net, POSITION)[i];
}

static void forward(struct lode_train_net *net, const real *x, unsigned rows, real *out)
{
	const struct lode_nn_desc *d = &net->desc;
	unsigned dm = d->d_model, dh = dm / d->n_heads;
	size_t row = (size_t)dm * d->n_steps;
	struct trail t;
	carve(net, rows, &t);
	const real *last = t.e + row - dm;
	embed(net, x, rows, t.e);
	project(net, dm, 2 * dm, t.e, dm, rows * d->n_steps, t.kv);
	project(net, 0, dm, last, row, rows, t.q);
	for (size_t r = 0; r < rows; r++)
		for (unsigned h = 0; h < d->n_heads; h++)
			attend(d, t.q + r * dm + h * dh, t.kv + 2 * r * row + h * dh,
				t.p + (r * d->n_heads + h) * d->n_steps, t.ctx + r * dm + h * dh);
	linear_forward(net, OUT, t.ctx, dm, rows, t.d_a);
	norm_forward(net, NORM1, rows, t.d_a, last, row, t.hat1, t.std1, t.u);
	linear_forward(net, FF1, t.u, dm, rows, t.f);
	for (size_t i = 0; i < (size_t)rows * d->d_ffn; i++)
		t.f[i] = t.f[i] > 0 ? t.f[i] : 0;
	linear_forward(net, FF2, t.f, d->d_ffn, rows, t.d_a);
	norm_forward(net, NORM2, rows, t.d_a, t.u, dm, t.hat2, t.std2, t.z);
	linear_forward(net, PRED, t.z, dm, rows, out);
}

static void backward(struct lode_train_net *net, const real *x, unsigned rows, const real *d_out)
{
	const struct lode_nn_desc *d = &net->desc;
	unsigned dm = d->d_model, dh = dm / d->n_heads;
	size_t row = (size_t)dm * d->n_steps;
	struct trail t;
	carve(net, rows, &t);
	linear_backward(net, PRED, t.z, dm, rows, d_out, t.d_a, false);
	norm_backward(net, NORM2, rows, t.hat2, t.std2, t.d_a);
	linear_backward(net, FF2, t.f, d->d_ffn, rows, t.d_a, t.d_f, false);
	for (size_t i = 0; i < (size_t)rows * d->d_ffn; i++)
		t.d_f[i] = t.f[i] > 0 ? t.d_f[i] : 0;
	linear_backward(net, FF1, t.u, dm, rows, t.d_f, t.d_a, true); /* the residual is in d_a */
	norm_backward(net, NORM1, rows, t.hat1, t.std1, t.d_a);
	linear_backward(net, OUT, t.ctx, dm, rows, t.d_a, t.d_b, false);
	for (size_t r = 0; r < rows; r++)
		for (unsigned h = 0; h < d->n_heads; h++)
			attend_backward(d, t.q + r * dm + h * dh, t.kv + 2 * r * row + h * dh,
				t.p + (r * d->n_heads + h) * d->n_steps, t.d_b + r * dm + h * dh,
				t.d_q + r * dm + h * dh, t.d_kv + 2 * r * row + h * dh);
	memset(t.d_e, 0, rows * row * sizeof(real));
	for (size_t r = 0; r < rows; r++)
		memcpy(t.d_e + r * row + row - dm, t.d_a + r * dm, dm * sizeof(real));
	project_backward(net, dm, 2 * dm, t.e, dm, rows * d->n_steps, t.d_kv, t.d_e, dm);
	project_backward(net, 0, dm, t.e + row - dm, row, rows, t.d_q, t.d_e + row - dm, row);
	linear_backward(net, EMBED, x, d->n_in, rows * d->n_steps, t.d_e, NULL, false);
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < row; i++)
			net_grad(net, POSITION)[i] += t.d_e[r * row + i];
}

const struct net_ops transformer_ops = {.layout = layout, .forward = forward, .backward = backward};
