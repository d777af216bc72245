/* SPDX-License-Identifier: BSD-3-Clause */
/* A network in training: its parameters in one flat array, and passes over a batch. Weights are stored
 * [in, out], so that forward and gradient products read them along rows. */
#pragma once

#include "kernels.h"
#include "lode_train.h"

#define PARAMS_MAX  20
#define OUT_COLUMNS ALIGN_COLS /* of the head; those behind n_out stay 0 */

struct param {
	char name[LODE_NN_NAME_BYTES]; /* of the tensor in a file */
	unsigned rows, cols;	       /* in, out; out padded. A vector has rows 1 */
	unsigned out;		       /* without padding */
	size_t at;		       /* in w, grad */
	bool is_weight;		       /* decays, and is stored transposed in a file */
};

struct lode_train_net {
	struct lode_nn_desc desc;
	const struct kernels *k;
	unsigned max_rows; /* of a batch */
	unsigned n_params;
	struct param params[PARAMS_MAX];
	size_t n_values;
	real *w, *grad, *adam_m, *adam_v;
	real *transposed; /* of the weights, as at the last forward pass */
	real *work;	  /* activations of a batch */
	size_t n_work;
	const struct net_ops *ops;
};

struct net_ops {
	/* Adds the parameters, and says how many values of work one row needs. */
	size_t (*layout)(struct lode_train_net *net);
	/* x [rows, inputs] -> out [rows, OUT_COLUMNS], before the output function. */
	void (*forward)(struct lode_train_net *net, const real *x, unsigned rows, real *out);
	/* Adds to grad; after forward with the same x. */
	void (*backward)(
		struct lode_train_net *net, const real *x, unsigned rows, const real *d_out);
};
extern const struct net_ops mlp_ops, lstm_ops, transformer_ops;

int net_new(struct lode_train_net **net, const struct lode_nn_desc *desc, unsigned max_rows,
	uint64_t seed, struct lode_err *err);
/* For layout. */
void net_add_linear(struct lode_train_net *net, const char *layer, unsigned in, unsigned out);
void net_add_vector(struct lode_train_net *net, const char *name, unsigned rows, unsigned cols);
/* Index of a parameter by its place in the order of layout. */
static inline real *net_w(const struct lode_train_net *net, unsigned param)
{
	return net->w + net->params[param].at;
}
static inline real *net_grad(const struct lode_train_net *net, unsigned param)
{
	return net->grad + net->params[param].at;
}

/* y = x W + b, with W the parameter and b the next one; x has a row stride. */
void linear_forward(const struct lode_train_net *net, unsigned param, const real *x, size_t stride,
	unsigned rows, real *y);
/* Gradients of W and b; d_x [rows, in] = d_y W^T unless NULL, added to d_x if add. */
void linear_backward(struct lode_train_net *net, unsigned param, const real *x, size_t stride,
	unsigned rows, const real *d_y, real *d_x, bool add);

/* Part of an epoch's passes: gradient of the loss of a batch by the outputs, and the loss itself. */
struct target {
	float any, log_burst, share;
};
double loss_and_gradient(const real *out, const struct target *targets, unsigned rows, unsigned of,
	unsigned n_out, real *d_out);
double net_train_batch(struct lode_train_net *net, const real *x, const struct target *targets,
	unsigned rows, double rate, double decay, double clip, uint64_t step, real *out,
	real *d_out);
