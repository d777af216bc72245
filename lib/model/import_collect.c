/* SPDX-License-Identifier: BSD-3-Clause */
#include "import.h"

static const struct lode_onnx_array *constant(const struct found *f, const char *name)
{
	return name[0] ? lode_onnx_graph_constant(f->g, name) : NULL;
}

static bool is(const struct lode_onnx_node_view *n, const char *op)
{
	return !strcmp(n->op, op);
}

/* The constant operand of an Add or Mul whose other operand is `value` ("" for any). */
static const struct lode_onnx_array *operand(
	const struct found *f, const struct lode_onnx_node_view *n, const char *value)
{
	for (int k = 0; k < 2; k++) {
		const struct lode_onnx_array *c = constant(f, n->in[k]);
		if (c && (!value[0] || !strcmp(n->in[1 - k], value)))
			return c;
	}
	return NULL;
}

/* The vector that the next Add behind node i puts on its result; *add is that node. */
static const struct lode_onnx_array *added_vector(
	const struct found *f, unsigned i, uint64_t n, unsigned *add)
{
	struct lode_onnx_node_view source, next;
	lode_onnx_graph_node(f->g, i, &source);
	for (*add = i + 1; lode_onnx_graph_node(f->g, *add, &next); ++*add) {
		const struct lode_onnx_array *c =
			is(&next, "Add") ? operand(f, &next, source.out[0]) : NULL;
		if (c && c->n_elements == n && c->rank == 1)
			return c;
	}
	return NULL;
}

static int add_linear(struct found *f, struct found_linear l, struct lode_err *err)
{
	if (f->n_linears == MAX_LINEARS || l.weight->rank != 2)
		return lode_err_set(err, -ENOTSUP,
			"more than %d linear layers, or one that is no matrix", MAX_LINEARS);
	l.n_out = (uint32_t)l.weight->dims[!l.out_first];
	l.n_in = (uint32_t)l.weight->dims[l.out_first];
	if (l.bias && l.bias->n_elements != l.n_out)
		return lode_err_set(
			err, -ENOTSUP, "bias '%.60s' has not one element per output", l.bias->name);
	f->linears[f->n_linears++] = l;
	return 0;
}

static int take_gemm(
	struct found *f, unsigned i, const struct lode_onnx_node_view *n, struct lode_err *err)
{
	struct found_linear l = {.weight = constant(f, n->in[1]), .bias = constant(f, n->in[2])};
	l.out_first = lode_onnx_node_int(f->g, i, "transB", 0) != 0;
	bool plain = lode_onnx_node_float(f->g, i, "alpha", 1) == 1 &&
		     lode_onnx_node_float(f->g, i, "beta", 1) == 1 &&
		     !lode_onnx_node_int(f->g, i, "transA", 0);
	if (!l.weight || !plain || (n->in[2][0] && !l.bias))
		return lode_err_set(err, -ENOTSUP,
			"node %u: Gemm with constant weights, alpha and beta 1 and "
			"no transA is expected",
			i);
	return add_linear(f, l, err);
}

static int take_lstm(
	struct found *f, unsigned i, const struct lode_onnx_node_view *n, struct lode_err *err)
{
	if (f->lstm_w)
		return lode_err_set(err, -ENOTSUP, "node %u: a second LSTM", i);
	f->lstm_w = constant(f, n->in[1]);
	f->lstm_rec = constant(f, n->in[2]);
	f->lstm_bias = constant(f, n->in[3]);
	f->n_lstm_before = f->n_linears;
	if (!f->lstm_w || !f->lstm_rec || f->lstm_w->rank != 3 || f->lstm_rec->rank != 3)
		return lode_err_set(
			err, -ENOTSUP, "node %u: LSTM with constant W and R is expected", i);
	return 0;
}

static int take_norm(struct found *f, const struct lode_onnx_array *scale,
	const struct lode_onnx_array *bias, struct lode_err *err)
{
	if (f->n_norms == MAX_NORMS || !scale || !bias)
		return lode_err_set(err, -ENOTSUP,
			"more than %d layer norms, or one without constants", MAX_NORMS);
	f->norms[f->n_norms++] = (struct found_norm){scale, bias};
	return 0;
}

static int take_node(struct found *f, unsigned i, const struct lode_onnx_node_view *n, bool last,
	struct lode_err *err)
{
	const struct lode_onnx_array *c;
	unsigned add;
	if (is(n, "Gemm"))
		return take_gemm(f, i, n, err);
	if (is(n, "LSTM"))
		return take_lstm(f, i, n, err);
	if (is(n, "LayerNormalization"))
		return take_norm(f, constant(f, n->in[1]), constant(f, n->in[2]), err);
	if (is(n, "MatMul") && (c = constant(f, n->in[1])))
		return add_linear(f,
			(struct found_linear){.weight = c,
				.bias = c->rank == 2 ? added_vector(f, i, c->dims[1], &add) : NULL},
			err);
	if (is(n, "Mul") && (c = operand(f, n, "")) && c->rank == 1 && c->n_elements > 1) {
		const struct lode_onnx_array *bias = added_vector(f, i, c->n_elements, &add);
		return bias ? take_norm(f, c, bias, err) : 0;
	}
	if (is(n, "Add") && (c = operand(f, n, "")) && c->rank >= 2 &&
		c->n_elements > c->dims[c->rank - 1])
		f->position = c;
	f->attention |= is(n, "Softmax") && !last;
	f->gelu |= is(n, "Gelu") || is(n, "Erf") || (is(n, "Tanh") && !last);
	if (last)
		f->output = is(n, "Sigmoid")   ? LODE_NN_OUT_SIGMOID
			    : is(n, "Softmax") ? LODE_NN_OUT_SOFTMAX
					       : LODE_NN_OUT_LINEAR;
	return 0;
}

/* [batch, features], [batch, steps, features] or [steps, batch, features] with a batch of 1. */
static int set_sizes(struct found *f, struct lode_err *err)
{
	const struct lode_onnx_array *in = lode_onnx_graph_input(f->g, 0);
	const struct lode_onnx_array *out = lode_onnx_graph_output(f->g, 0);
	if (!in || lode_onnx_graph_input(f->g, 1) || lode_onnx_graph_output(f->g, 1))
		return lode_err_set(err, -ENOTSUP, "one input and one output are expected");
	bool fits = in->rank >= 1 && in->rank <= 3 &&
		    in->n_elements <= LODE_NN_MAX_IN * LODE_NN_MAX_STEPS;
	uint64_t n_in = fits ? in->dims[in->rank - 1] : 0;
	uint64_t n_steps = fits ? in->n_elements / n_in : 0;
	fits = fits && (in->rank < 3 || in->dims[0] == 1 || in->dims[1] == 1) &&
	       (in->rank != 2 || n_steps == 1) && n_in <= UINT16_MAX;
	if (!fits)
		return lode_err_set(err, -ENOTSUP,
			"input '%.60s' is not [1, features], [1, steps, features] or [steps, 1, "
			"features]",
			in->name);
	f->n_in = (uint16_t)n_in;
	f->n_steps = (uint16_t)n_steps;
	const struct found_linear *head = f->n_linears ? &f->linears[f->n_linears - 1] : NULL;
	if (!head || head->n_out > LODE_NN_MAX_OUT)
		return lode_err_set(err, -ENOTSUP,
			"output '%.60s' does not come from a linear layer of at most "
			"%d outputs",
			out->name, LODE_NN_MAX_OUT);
	f->n_out = (uint16_t)head->n_out;
	return 0;
}

int import_collect(const struct lode_onnx_graph *g, struct found *f, struct lode_err *err)
{
	*f = (struct found){.g = g};
	struct lode_onnx_node_view n;
	unsigned n_nodes = lode_onnx_graph_n_nodes(g), last = n_nodes;
	/* the last operator that computes: shapes may still be changed behind it */
	static const char *const computing[] = {
		"Sigmoid", "Softmax", "Gemm", "MatMul", "Add", "Relu", "Tanh"};
	for (unsigned i = 0; i < n_nodes; i++) {
		lode_onnx_graph_node(g, i, &n);
		for (size_t k = 0; k < LODE_ARRAY_LEN(computing); k++)
			if (is(&n, computing[k]))
				last = i;
	}
	for (unsigned i = 0; lode_onnx_graph_node(g, i, &n); i++) {
		int rc = take_node(f, i, &n, i == last, err);
		if (rc)
			return rc;
	}
	return set_sizes(f, err);
}
