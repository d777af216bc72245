/* SPDX-License-Identifier: BSD-3-Clause */
/* Linear layers with ReLU between. work: the outputs of all layers but the last, then their gradients. */
#include "net.h"

#include <stdio.h>

static size_t layout(struct lode_train_net *net)
{
	const struct lode_nn_desc *d = &net->desc;
	unsigned in = (unsigned)d->n_in * d->n_steps;
	size_t work = 0;
	for (unsigned i = 0; i < d->n_layers; i++) {
		char name[8];
		snprintf(name, sizeof(name), "l%u", i + 1);
		net_add_linear(net, name, in, d->width[i]);
		in = d->width[i];
		work += i + 1u < d->n_layers ? 2u * net->params[2 * i].cols : 0;
	}
	return work;
}

static void forward(struct lode_train_net *net, const real *x, unsigned rows, real *out)
{
	const real *from = x;
	size_t stride = (size_t)net->desc.n_in * net->desc.n_steps;
	real *to = net->work;
	for (unsigned i = 0; i < net->desc.n_layers; i++) {
		bool last = i + 1u == net->desc.n_layers;
		size_t cols = net->params[2 * i].cols, n = rows * cols;
		linear_forward(net, 2 * i, from, stride, rows, last ? out : to);
		for (size_t k = 0; !last && k < n; k++)
			to[k] = to[k] > 0 ? to[k] : 0;
		from = to;
		stride = cols;
		to += 2 * n;
	}
}

/* From the last layer down; each layer's outputs lie 2 n before those of the next, their gradients n behind. */
static void backward(struct lode_train_net *net, const real *x, unsigned rows, const real *d_out)
{
	real *behind = net->work;
	for (unsigned i = 0; i + 1u < net->desc.n_layers; i++)
		behind += 2 * (size_t)rows * net->params[2 * i].cols;
	const real *d_y = d_out;
	for (unsigned i = net->desc.n_layers; i-- > 1;) {
		size_t cols = net->params[2 * (i - 1)].cols, n = rows * cols;
		real *y = behind - 2 * n, *d_x = behind - n;
		linear_backward(net, 2 * i, y, cols, rows, d_y, d_x, false);
		for (size_t k = 0; k < n; k++)
			d_x[k] = y[k] > 0 ? d_x[k] : 0;
		d_y = d_x;
		behind -= 2 * n;
	}
	linear_backward(
		net, 0, x, (size_t)net->desc.n_in * net->desc.n_steps, rows, d_y, NULL, false);
}

const struct net_ops mlp_ops = {.layout = layout, .forward = forward, .backward = backward};
