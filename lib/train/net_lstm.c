/* SPDX-License-Identifier: BSD-3-Clause */
/* LSTM over all steps, head on the last hidden state; back-propagation through time (Hochreiter and
 * Schmidhuber 1997; Werbos 1990). */
#include "net.h"

enum { INPUT = 0, HIDDEN = 2, HEAD = 4 };

/* What one batch leaves behind for the way back: per step gates, state, its tanh and output. */
struct trail {
	real *gates, *c, *c_tanh, *h;
	real *d_h, *d_c, *d_gates;
};

static struct trail trail_of(const struct lode_train_net *net, unsigned rows)
{
	size_t n = (size_t)rows * net->desc.n_hidden, steps = net->desc.n_steps;
	real *at = net->work;
	struct trail t = {.gates = at};
	t.c = t.gates + 4 * n * steps;
	t.c_tanh = t.c + n * steps;
	t.h = t.c_tanh + n * steps;
	t.d_h = t.h + n * steps;
	t.d_c = t.d_h + n;
	t.d_gates = t.d_c + n;
	return t;
}

static size_t layout(struct lode_train_net *net)
{
	const struct lode_nn_desc *d = &net->desc;
	net_add_linear(net, "input_proj", d->n_in, 4u * d->n_hidden);
	net_add_linear(net, "hidden_proj", d->n_hidden, 4u * d->n_hidden);
	net_add_linear(net, "output_proj", d->n_hidden, d->n_out);
	return (size_t)d->n_hidden * (7u * d->n_steps + 6);
}

static void forward(struct lode_train_net *net, const real *x, unsigned rows, real *out)
{
	const struct lode_nn_desc *d = &net->desc;
	const struct param *w = &net->params[HIDDEN];
	struct trail t = trail_of(net, rows);
	size_t n = (size_t)rows * d->n_hidden, x_stride = (size_t)d->n_in * d->n_steps;
	for (unsigned s = 0; s < d->n_steps; s++) {
		real *gates = t.gates + 4 * n * s, *h = t.h + n * s;
		linear_forward(net, INPUT, x + (size_t)s * d->n_in, x_stride, rows, gates);
		if (s > 0) /* its bias is in the input's */
			net->k->gemm(rows, w->cols, w->rows, h - n, d->n_hidden, 1, net->w + w->at,
				w->cols, gates, w->cols, true);
		net->k->lstm_forward(rows, d->n_hidden, gates, s ? t.c + n * (s - 1) : NULL,
			t.c + n * s, t.c_tanh + n * s, h);
	}
	linear_forward(net, HEAD, t.h + n * (d->n_steps - 1u), d->n_hidden, rows, out);
}

static const real *hidden_transposed(struct lode_train_net *net)
{
	const struct param *p = &net->params[HIDDEN];
	real *t = net->transposed + p->at;
	for (size_t c = 0; c < p->cols; c++)
		for (size_t r = 0; r < p->rows; r++)
			t[c * p->rows + r] = net->w[p->at + r * p->cols + c];
	return t;
}

static void backward(struct lode_train_net *net, const real *x, unsigned rows, const real *d_out)
{
	const struct lode_nn_desc *d = &net->desc;
	const struct param *w = &net->params[HIDDEN];
	const real *w_t = hidden_transposed(net);
	struct trail t = trail_of(net, rows);
	unsigned width = d->n_hidden;
	size_t n = (size_t)rows * width, x_stride = (size_t)d->n_in * d->n_steps;
	linear_backward(net, HEAD, t.h + n * (d->n_steps - 1u), width, rows, d_out, t.d_h, false);
	memset(t.d_c, 0, n * sizeof(real));
	for (unsigned s = d->n_steps; s-- > 0;) {
		net->k->lstm_backward(rows, width, t.gates + 4 * n * s,
			s ? t.c + n * (s - 1) : NULL, t.c_tanh + n * s, t.d_h, t.d_c, t.d_gates);
		linear_backward(net, INPUT, x + (size_t)s * d->n_in, x_stride, rows, t.d_gates,
			NULL, false);
		if (s == 0)
			break;
		net->k->gemm(width, w->cols, rows, t.h + n * (s - 1), 1, width, t.d_gates, w->cols,
			net->grad + w->at, w->cols, true);
		net->k->gemm(rows, width, w->cols, t.d_gates, w->cols, 1, w_t, width, t.d_h, width,
			false);
	}
}

const struct net_ops lstm_ops = {.layout = layout, .forward = forward, .backward = backward};
