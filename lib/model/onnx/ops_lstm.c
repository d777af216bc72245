/* SPDX-License-Identifier: BSD-3-Clause */
/* LSTM, forward, one direction, default activations. ONNX orders the gates i, o, f, c. */
#include "graph.h"

#include <math.h>
#include <stdlib.h>

static float sigmoid(float x)
{
	return 1 / (1 + expf(-x));
}

/* Sizes, after all shapes have been checked. */
struct lstm {
	uint64_t n_steps, n_batch, n_in, n_hidden;
	const float *w, *rec, *bias; /* [4h, in], [4h, h], [8h] or NULL */
	float *gates;		     /* [4h] */
};

static bool has_shape(const struct array *a, int64_t x, int64_t y, int64_t z, uint32_t rank)
{
	int64_t dims[] = {x, y, z};
	if (a->integer || a->rank != rank)
		return false;
	for (uint32_t d = 0; d < rank; d++)
		if (a->dims[d] != dims[d])
			return false;
	return true;
}

/* One row of a batch through one step; h and c are replaced. */
static void step(const struct lstm *l, const float *x, float *h, float *c)
{
	uint64_t n = l->n_hidden;
	for (uint64_t g = 0; g < 4 * n; g++) {
		float sum = l->bias ? l->bias[g] + l->bias[4 * n + g] : 0;
		for (uint64_t k = 0; k < l->n_in; k++)
			sum += l->w[g * l->n_in + k] * x[k];
		for (uint64_t k = 0; k < n; k++)
			sum += l->rec[g * n + k] * h[k];
		l->gates[g] = sum;
	}
	for (uint64_t k = 0; k < n; k++) {
		float i = sigmoid(l->gates[k]), o = sigmoid(l->gates[n + k]);
		float f = sigmoid(l->gates[2 * n + k]), g = tanhf(l->gates[3 * n + k]);
		c[k] = f * c[k] + i * g;
		h[k] = o * tanhf(c[k]);
	}
}

static int check(struct run *r, struct lstm *l)
{
	const struct array *x = r->in[0], *w = r->in[1], *rec = r->in[2], *bias = r->in[3];
	int64_t n_hidden = attr_int(r->node, "hidden_size", 0);
	struct lode_span direction;
	bool forward = !attr_text(r->node, "direction", 0, &direction) ||
		       lode_span_is(direction, "forward");
	struct lode_span unused;
	if (!forward || attr_text(r->node, "activations", 0, &unused) || r->in[4] || r->in[7] ||
		attr_int(r->node, "layout", 0) || attr_int(r->node, "input_forget", 0))
		return op_fail(r, -ENOTSUP,
			"only forward, default activations, no lengths, no peepholes, layout 0");
	if (x->integer || x->rank != 3 || n_hidden < 1 || n_hidden > 65536 ||
		!has_shape(w, 1, 4 * n_hidden, x->dims[2], 3) ||
		!has_shape(rec, 1, 4 * n_hidden, n_hidden, 3) ||
		(bias && !has_shape(bias, 1, 8 * n_hidden, 0, 2)))
		return op_fail(r, -EINVAL, "X, W, R and B do not fit hidden_size %lld",
			(long long)n_hidden);
	for (int k = 5; k <= 6; k++)
		if (r->in[k] && !has_shape(r->in[k], 1, x->dims[1], n_hidden, 3))
			return op_fail(r, -EINVAL, "initial state does not fit hidden_size %lld",
				(long long)n_hidden);
	*l = (struct lstm){.n_steps = (uint64_t)x->dims[0],
		.n_batch = (uint64_t)x->dims[1],
		.n_in = (uint64_t)x->dims[2],
		.n_hidden = (uint64_t)n_hidden,
		.w = w->f,
		.rec = rec->f,
		.bias = bias ? bias->f : NULL};
	return count_multiplies(r, l->n_steps * l->n_batch, 4 * l->n_hidden, l->n_in + l->n_hidden);
}

/* Y [steps, 1, batch, hidden], Y_h and Y_c [1, batch, hidden]; the last two are the running state. */
int op_lstm(struct run *r)
{
	struct lstm l = {0};
	int rc = check(r, &l);
	if (rc)
		return rc;
	int64_t n_steps = (int64_t)l.n_steps, n_batch = (int64_t)l.n_batch,
		n_hidden = (int64_t)l.n_hidden;
	int64_t y_dims[] = {n_steps, 1, n_batch, n_hidden}, state_dims[] = {1, n_batch, n_hidden};
	rc = array_new(r, &r->out[0], false, y_dims, 4);
	for (int k = 1; !rc && k <= 2; k++) {
		rc = array_new(r, &r->out[k], false, state_dims, 3);
		if (!rc && r->in[4 + k])
			memcpy(r->out[k].f, r->in[4 + k]->f, r->out[k].n * sizeof(float));
	}
	l.gates = calloc(4 * l.n_hidden, sizeof(float));
	if (!rc && !l.gates)
		rc = op_fail(r, -ENOMEM, "no memory for gates");
	for (uint64_t t = 0; !rc && t < l.n_steps; t++) {
		for (uint64_t b = 0; b < l.n_batch; b++)
			step(&l, r->in[0]->f + (t * l.n_batch + b) * l.n_in,
				r->out[1].f + b * l.n_hidden, r->out[2].f + b * l.n_hidden);
		memcpy(r->out[0].f + t * l.n_batch * l.n_hidden, r->out[1].f,
			l.n_batch * l.n_hidden * sizeof(float));
	}
	free(l.gates);
	return rc;
}
