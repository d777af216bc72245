/* SPDX-License-Identifier: BSD-3-Clause */
/* From file to graph. Names become indices; the order of nodes is the order of execution, which ONNX
 * demands to be topological, and which is checked. */
#include "graph.h"

#include "proto.h"
#include "tensor.h"

#include <stdio.h>
#include <stdlib.h>

enum { MIN_OPSET = 7, MAX_OPSET = 21 };

static void make_view(struct value *v)
{
	if (v->array.integer)
		return;
	v->view = (struct lode_onnx_array){.name = v->name,
		.rank = v->array.rank,
		.n_elements = v->array.n,
		.data = v->array.f};
	for (uint32_t i = 0; i < v->array.rank; i++)
		v->view.dims[i] = (uint64_t)v->array.dims[i];
}

static int add_initializer(
	struct lode_onnx_graph *g, const struct pb_field *f, struct lode_err *err)
{
	struct lode_onnx_tensor t;
	int idx;
	if (!tensor_parse(pb_open(f), &t))
		return lode_err_set(err, -EBADMSG,
			"offset %zu: an initializer is not well-formed protobuf",
			(size_t)(f->data - g->start));
	int rc = value_index(g, t.name.data, t.name.n_bytes, &idx, err);
	if (!rc && idx == NO_VALUE)
		rc = lode_err_set(err, -EBADMSG, "an initializer has no name");
	if (!rc)
		rc = value_define(g, idx, err);
	if (rc)
		return rc;
	struct value *v = &g->values[idx];
	rc = tensor_decode(&t, &v->array, err);
	if (rc) {
		lode_err_prefix(err, "initializer '%.80s'", v->name);
		return rc;
	}
	v->constant = true;
	make_view(v);
	g->n_params += v->array.integer ? 0 : v->array.n;
	return 0;
}

/* ---- inputs and outputs ---- */

static bool parse_dim(struct pb m, uint64_t *dim)
{
	struct pb_field f;
	*dim = 1; /* a name, or nothing */
	while (pb_next(&m, &f) > 0)
		if (f.number == DIM_VALUE && f.wire == PB_VARINT)
			*dim = f.value;
	return *dim >= 1 && *dim <= MAX_VALUE_BYTES / 4;
}

static bool parse_shape(struct pb m, struct lode_onnx_array *a)
{
	struct pb_field f;
	while (pb_next(&m, &f) > 0) {
		if (f.number != SHAPE_DIM || f.wire != PB_LEN)
			continue;
		if (a->rank == LODE_ONNX_MAX_RANK || !parse_dim(pb_open(&f), &a->dims[a->rank]))
			return false;
		a->n_elements *= a->dims[a->rank++];
		if (a->n_elements > MAX_VALUE_BYTES / 4)
			return false;
	}
	return true;
}

/* Follows one length-delimited field of each number in turn. */
static bool descend(struct pb *m, const uint32_t *numbers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pb_field f;
		int rc;
		while ((rc = pb_next(m, &f)) > 0 && (f.number != numbers[i] || f.wire != PB_LEN))
			;
		if (rc <= 0)
			return false;
		*m = pb_open(&f);
	}
	return true;
}

static int parse_value_info(struct lode_onnx_graph *g, const struct pb_field *f,
	struct lode_onnx_array *a, int *idx, struct lode_err *err)
{
	static const uint32_t shape_path[] = {VALUE_TYPE, TYPE_TENSOR, TYPE_SHAPE},
			      name_path[] = {VALUE_NAME};
	struct pb name = pb_open(f), shape = pb_open(f);
	*a = (struct lode_onnx_array){.n_elements = 1};
	if (!descend(&name, name_path, 1) || name.p == name.end)
		return lode_err_set(err, -EBADMSG, "offset %zu: an input or output has no name",
			(size_t)(f->data - g->start));
	int rc = value_index(g, name.p, (uint64_t)(name.end - name.p), idx, err);
	if (rc)
		return rc;
	a->name = g->values[*idx].name;
	if (descend(&shape, shape_path, 3) && !parse_shape(shape, a))
		return lode_err_set(
			err, -E2BIG, "'%.80s': its shape is 0, negative or too large", a->name);
	return 0;
}

static int add_input(struct lode_onnx_graph *g, const struct pb_field *f, struct lode_err *err)
{
	struct lode_onnx_array a;
	int idx;
	int rc = parse_value_info(g, f, &a, &idx, err);
	if (rc || g->values[idx].constant)
		return rc; /* older files list their initializers as inputs too */
	if (g->n_inputs == MAX_IO)
		return lode_err_set(err, -E2BIG, "more than %d inputs", MAX_IO);
	g->input_values[g->n_inputs] = idx;
	g->inputs[g->n_inputs++] = a;
	return value_define(g, idx, err);
}

static int add_output(struct lode_onnx_graph *g, const struct pb_field *f, struct lode_err *err)
{
	if (g->n_outputs == MAX_IO)
		return lode_err_set(err, -E2BIG, "more than %d outputs", MAX_IO);
	int rc = parse_value_info(
		g, f, &g->outputs[g->n_outputs], &g->output_values[g->n_outputs], err);
	if (!rc)
		g->n_outputs++;
	return rc;
}

/* ---- nodes ---- */

static int find_operator(struct lode_span name, struct lode_span domain,
	const struct operator_row **op, struct lode_err *err)
{
	bool known_domain = !domain.n_bytes || lode_span_is(domain, "ai.onnx");
	for (*op = operators; known_domain && (*op)->name; ++*op)
		if (lode_span_is(name, (*op)->name))
			return 0;
	char text[80];
	snprintf(text, sizeof(text), "%.*s%s%.*s", (int)LODE_MIN(domain.n_bytes, 30u),
		(const char *)domain.data, domain.n_bytes ? "." : "",
		(int)LODE_MIN(name.n_bytes, 40u), (const char *)name.data);
	for (char *c = text; *c; c++)
		*c = *c < 0x20 || *c == 0x7f ? '?' : *c;
	return lode_err_set(err, -ENOTSUP, "operator '%s' is not one that is run here", text);
}

static int connect_input(
	struct lode_onnx_graph *g, struct node *n, const struct pb_field *f, struct lode_err *err)
{
	if (n->n_in == LODE_ONNX_MAX_ARITY)
		return lode_err_set(err, -E2BIG, "more than %d inputs", LODE_ONNX_MAX_ARITY);
	int idx, rc = value_index(g, f->data, f->n_bytes, &idx, err);
	if (rc)
		return rc;
	if (idx != NO_VALUE && !g->values[idx].defined)
		return lode_err_set(err, -EINVAL,
			"input '%.80s' is used before anything defines it", g->values[idx].name);
	n->in[n->n_in++] = idx;
	return 0;
}

static int connect_output(
	struct lode_onnx_graph *g, struct node *n, const struct pb_field *f, struct lode_err *err)
{
	if (n->n_out == LODE_ONNX_MAX_ARITY)
		return lode_err_set(err, -E2BIG, "more than %d outputs", LODE_ONNX_MAX_ARITY);
	int idx, rc = value_index(g, f->data, f->n_bytes, &idx, err);
	if (!rc && idx != NO_VALUE)
		rc = value_define(g, idx, err);
	n->out[n->n_out++] = idx;
	return rc;
}

static int parse_node(struct lode_onnx_graph *g, const struct pb_field *node, struct node *n,
	struct lode_err *err)
{
	struct pb m = pb_open(node);
	struct pb_field f;
	struct lode_span op = {0}, domain = {0};
	int rc = 0;
	*n = (struct node){.body = m};
	while (!rc && pb_next(&m, &f) > 0) {
		if (f.wire != PB_LEN)
			continue;
		if (f.number == NODE_OP_TYPE)
			op = (struct lode_span){f.data, f.n_bytes};
		else if (f.number == NODE_DOMAIN)
			domain = (struct lode_span){f.data, f.n_bytes};
		else if (f.number == NODE_INPUT)
			rc = connect_input(g, n, &f, err);
	}
	m = n->body; /* outputs after all inputs: a node must not use its own */
	while (!rc && pb_next(&m, &f) > 0)
		if (f.number == NODE_OUTPUT && f.wire == PB_LEN)
			rc = connect_output(g, n, &f, err);
	if (!rc)
		rc = find_operator(op, domain, &n->op, err);
	if (rc)
		return rc;
	if (n->n_in < n->op->min_in || n->n_in > n->op->max_in || n->n_out > n->op->max_out ||
		!n->n_out)
		return lode_err_set(err, -EINVAL,
			"%s has %u inputs and %u outputs, %u to %u and 1 to %u expected",
			n->op->name, n->n_in, n->n_out, n->op->min_in, n->op->max_in,
			n->op->max_out);
	for (unsigned i = 0; i < n->op->min_in; i++)
		if (n->in[i] == NO_VALUE)
			return lode_err_set(err, -EINVAL, "%s: input %u is absent", n->op->name, i);
	return 0;
}

static int add_node(struct lode_onnx_graph *g, const struct pb_field *f, struct lode_err *err)
{
	/* the walk has counted them already */
	if (!(g->n_nodes & (g->n_nodes - 1))) {
		struct node *grown =
			reallocarray(g->nodes, g->n_nodes ? 2 * g->n_nodes : 1, sizeof(*grown));
		if (!grown)
			return lode_err_set(err, -ENOMEM, "no memory for %u nodes", g->n_nodes);
		g->nodes = grown;
	}
	struct node *n = &g->nodes[g->n_nodes];
	int rc = parse_node(g, f, n, err);
	if (rc) {
		lode_err_prefix(err, "node %u", g->n_nodes);
		return rc;
	}
	g->n_nodes++;
	struct lode_onnx_tensor t;
	if (strcmp(n->op->name, "Constant") || !attr_tensor(n, "value", &t))
		return 0;
	struct value *v = &g->values[n->out[0]];
	rc = n->out[0] == NO_VALUE ? 0 : tensor_decode(&t, &v->array, err);
	if (rc) {
		lode_err_prefix(err, "Constant '%.80s'", v->name);
		return rc;
	}
	v->constant = true;
	make_view(v);
	return 0;
}

/* ---- the file ---- */

/* Every field of that number in the graph, in order. */
static int each(struct lode_onnx_graph *g, struct pb m, uint32_t number,
	int (*add)(struct lode_onnx_graph *, const struct pb_field *, struct lode_err *),
	struct lode_err *err)
{
	struct pb_field f;
	int rc = 0;
	while (!rc && pb_next(&m, &f) > 0)
		if (f.number == number && f.wire == PB_LEN)
			rc = add(g, &f, err);
	return rc;
}

static int read_opset(struct lode_onnx_graph *g, const struct pb_field *f, struct lode_err *err)
{
	struct pb m = pb_open(f);
	struct pb_field field;
	struct lode_span domain = {0};
	int64_t version = 0;
	while (pb_next(&m, &field) > 0) {
		if (field.number == OPSET_DOMAIN && field.wire == PB_LEN)
			domain = (struct lode_span){field.data, field.n_bytes};
		if (field.number == OPSET_VERSION && field.wire == PB_VARINT)
			version = (int64_t)field.value;
	}
	if (domain.n_bytes && !lode_span_is(domain, "ai.onnx"))
		return 0; /* its operators are refused one by one */
	g->opset = version;
	if (version < MIN_OPSET || version > MAX_OPSET)
		return lode_err_set(err, -ENOTSUP, "operator set %lld: %d to %d expected",
			(long long)version, MIN_OPSET, MAX_OPSET);
	return 0;
}

static int read_graph(struct lode_onnx_graph *g, const struct pb_field *graph, struct lode_err *err)
{
	struct pb m = pb_open(graph);
	int rc = each(g, m, GRAPH_INITIALIZER, add_initializer, err);
	if (!rc)
		rc = each(g, m, GRAPH_INPUT, add_input, err);
	if (!rc)
		rc = each(g, m, GRAPH_NODE, add_node, err);
	if (!rc)
		rc = each(g, m, GRAPH_OUTPUT, add_output, err);
	for (unsigned i = 0; !rc && i < g->n_outputs; i++)
		if (!g->values[g->output_values[i]].defined)
			rc = lode_err_set(err, -EINVAL, "output '%.80s' is defined by nothing",
				g->outputs[i].name);
	if (!rc && !g->n_outputs)
		rc = lode_err_set(err, -EINVAL, "the graph has no outputs");
	return rc;
}

/* Strict about tensors anywhere in the file; the graph itself decodes those it uses. */
static int refuse_odd(void *ctx, const char *path, const struct lode_onnx_tensor *t, bool sparse,
	struct lode_err *err)
{
	if (sparse)
		return lode_err_set(
			err, -EINVAL, "tensor '%.80s': sparse tensors are not allowed here", path);
	if (t->odd)
		return lode_err_set(err, -EINVAL, "tensor '%.80s': %s", path, t->odd);
	if (t->payload == LODE_ONNX_EXTERNAL)
		return lode_err_set(
			err, -EPERM, "tensor '%.80s': external data is not allowed here", path);
	return 0;
}

static int read_model(struct lode_onnx_graph *g, uint64_t n_bytes, struct lode_err *err)
{
	static const struct lode_onnx_limits limits = {.n_nodes = MAX_NODES, .depth = 0};
	struct pb m = {g->start, g->start + n_bytes};
	if (!lode_onnx_sniff(g->start, n_bytes))
		return lode_err_set(err, -EBADMSG, "not an ONNX file");
	int rc = lode_onnx_walk(g->start, n_bytes, &limits, refuse_odd, NULL, err);
	if (!rc)
		rc = each(g, m, MODEL_OPSET, read_opset, err);
	if (!rc && !g->opset)
		rc = lode_err_set(err, -EINVAL, "the file names no operator set");
	return rc ? rc : each(g, m, MODEL_GRAPH, read_graph, err);
}

int lode_onnx_graph_open(
	struct lode_onnx_graph **graph, const void *data, uint64_t n_bytes, struct lode_err *err)
{
	struct lode_onnx_graph *g = calloc(1, sizeof(*g));
	*graph = NULL;
	if (!g || !values_grow(g)) {
		free(g);
		return lode_err_set(err, -ENOMEM, "no memory for a graph");
	}
	g->start = data;
	int rc = read_model(g, n_bytes, err);
	if (rc) {
		lode_onnx_graph_free(g);
		return rc;
	}
	*graph = g;
	return 0;
}

void lode_onnx_graph_free(struct lode_onnx_graph *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_values; i++) {
		free(g->values[i].name);
		free(g->values[i].array.data);
	}
	free(g->values);
	free(g->buckets);
	free(g->nodes);
	free(g);
}
