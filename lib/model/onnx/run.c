/* SPDX-License-Identifier: BSD-3-Clause */
/* Executes the nodes in order. Everything a run makes lives until its end: graphs are small. */
#include "graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int op_fail(struct run *r, int code, const char *fmt, ...)
{
	char what[300];
	va_list args;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	return lode_err_set(r->err, code, "%s: %s", r->node->op->name, what);
}

int array_new(struct run *r, struct array *a, bool integer, const int64_t *dims, uint32_t rank)
{
	*a = (struct array){.integer = integer, .rank = rank, .n = 1};
	if (rank > LODE_ONNX_MAX_RANK)
		return op_fail(r, -E2BIG, "result has %u dimensions, %d are allowed", rank,
			LODE_ONNX_MAX_RANK);
	for (uint32_t i = 0; i < rank; i++) {
		a->dims[i] = dims[i];
		if (dims[i] < 1)
			return op_fail(r, -EINVAL, "result has dimension %lld", (long long)dims[i]);
		if (__builtin_mul_overflow(a->n, (uint64_t)dims[i], &a->n) ||
			a->n > MAX_VALUE_BYTES)
			return op_fail(
				r, -E2BIG, "result has more than %llu elements", MAX_VALUE_BYTES);
	}
	r->value_bytes += a->n * (integer ? sizeof(int64_t) : sizeof(float));
	if (r->value_bytes > MAX_VALUE_BYTES)
		return op_fail(r, -E2BIG, "values take more than %llu bytes", MAX_VALUE_BYTES);
	a->data = calloc(a->n, integer ? sizeof(int64_t) : sizeof(float));
	return a->data ? 0
		       : op_fail(r, -ENOMEM, "no memory for %llu elements",
				 (unsigned long long)a->n);
}

int count_multiplies(struct run *r, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t n;
	if (__builtin_mul_overflow(a, b, &n) || __builtin_mul_overflow(n, c, &n) ||
		__builtin_add_overflow(r->multiplies, n, &r->multiplies) ||
		r->multiplies > MAX_MULTIPLIES)
		return op_fail(r, -E2BIG, "the graph needs more than %llu multiplications",
			MAX_MULTIPLIES);
	return 0;
}

static int run_node(struct run *r, struct array *values)
{
	const struct node *n = r->node;
	for (unsigned k = 0; k < LODE_ONNX_MAX_ARITY; k++) {
		r->in[k] = k < n->n_in && n->in[k] != NO_VALUE ? &values[n->in[k]] : NULL;
		r->out[k] = (struct array){0};
		if (r->in[k] && !r->in[k]->data)
			return op_fail(r, -ENOTSUP,
				"input '%s' is an optional output that is not computed",
				r->g->values[n->in[k]].name);
	}
	int rc = n->op->run(r);
	for (unsigned k = 0; k < LODE_ONNX_MAX_ARITY; k++) {
		if (!rc && k < n->n_out && n->out[k] != NO_VALUE &&
			!r->g->values[n->out[k]].constant)
			values[n->out[k]] = r->out[k];
		else
			free(r->out[k].data);
	}
	return rc;
}

static int set_inputs(struct run *r, struct array *values, const float *const *in)
{
	const struct lode_onnx_graph *g = r->g;
	for (unsigned i = 0; i < g->n_inputs; i++) {
		int64_t dims[LODE_ONNX_MAX_RANK];
		for (uint32_t d = 0; d < g->inputs[i].rank; d++)
			dims[d] = (int64_t)g->inputs[i].dims[d];
		struct array *a = &values[g->input_values[i]];
		int rc = array_new(r, a, false, dims, g->inputs[i].rank);
		if (rc)
			return rc;
		memcpy(a->f, in[i], a->n * sizeof(float));
	}
	return 0;
}

static int take_output(const struct lode_onnx_graph *g, const struct array *a, unsigned i,
	struct lode_onnx_array *out, struct lode_err *err)
{
	*out = (struct lode_onnx_array){
		.name = g->outputs[i].name, .rank = a->rank, .n_elements = a->n};
	for (uint32_t d = 0; d < a->rank; d++)
		out->dims[d] = (uint64_t)a->dims[d];
	out->data = calloc(a->n, sizeof(float));
	if (!out->data || !a->data)
		return lode_err_set(err, a->data ? -ENOMEM : -ENOTSUP,
			"output '%.80s' is not there", out->name);
	for (uint64_t k = 0; k < a->n; k++)
		out->data[k] = a->integer ? (float)a->i[k] : a->f[k];
	return 0;
}

static int take_outputs(const struct lode_onnx_graph *g, const struct array *values,
	struct lode_onnx_array **out, struct lode_err *err)
{
	*out = calloc(g->n_outputs, sizeof(**out));
	if (!*out)
		return lode_err_set(err, -ENOMEM, "no memory for %u outputs", g->n_outputs);
	for (unsigned i = 0; i < g->n_outputs; i++) {
		int rc = take_output(g, &values[g->output_values[i]], i, *out + i, err);
		if (rc)
			return rc;
	}
	return 0;
}

int lode_onnx_graph_run(const struct lode_onnx_graph *g, const float *const *in,
	struct lode_onnx_array **out, unsigned *n_out, struct lode_err *err)
{
	static const struct operator_row input_row = {.name = "input"};
	static const struct node input_node = {.op = &input_row};
	struct array *values = calloc(g->n_values + 1, sizeof(*values));
	struct run r = {.g = g, .node = &input_node, .err = err};
	*out = NULL;
	*n_out = g->n_outputs;
	if (!values)
		return lode_err_set(err, -ENOMEM, "no memory for %zu values", g->n_values);
	for (size_t i = 0; i < g->n_values; i++)
		if (g->values[i].constant)
			values[i] = g->values[i].array;
	int rc = set_inputs(&r, values, in);
	for (unsigned i = 0; !rc && i < g->n_nodes; i++) {
		r.node = &g->nodes[i];
		rc = run_node(&r, values);
		if (rc)
			lode_err_prefix(err, "node %u", i);
	}
	if (!rc)
		rc = take_outputs(g, values, out, err);
	if (rc) {
		lode_onnx_results_free(*out, *n_out);
		*out = NULL;
	}
	for (size_t i = 0; i < g->n_values; i++)
		if (!g->values[i].constant)
			free(values[i].data);
	free(values);
	return rc;
}

void lode_onnx_results_free(struct lode_onnx_array *out, unsigned n_out)
{
	for (unsigned i = 0; out && i < n_out; i++)
		free(out[i].data);
	free(out);
}
