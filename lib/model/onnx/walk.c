/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto.h"
#include "tensor.h"

#include <stdio.h>

enum { PATH_BYTES = 4096 };

struct walk {
	const uint8_t *start;
	const struct lode_onnx_limits *limits;
	lode_onnx_visit *visit;
	void *ctx;
	struct lode_err *err;
	uint32_t n_nodes, depth;
	size_t n_path;
	char path[PATH_BYTES];
};

bool lode_onnx_sniff(const uint8_t *data, uint64_t n_bytes)
{
	struct pb m = {data, data + n_bytes};
	struct pb_field f;
	unsigned n_graphs = 0, n_versions = 0;
	int rc;
	while ((rc = pb_next(&m, &f)) > 0) {
		n_graphs += f.number == MODEL_GRAPH && f.wire == PB_LEN;
		n_versions += f.number == MODEL_IR_VERSION && f.wire == PB_VARINT;
	}
	return rc == 0 && n_graphs == 1 && n_versions == 1;
}

static int broken(struct walk *w, const uint8_t *at, const char *what)
{
	return lode_err_set(w->err, -EBADMSG, "offset %zu: %s is not well-formed protobuf",
		(size_t)(at - w->start), what);
}

/* Appends "/name" (without the slash in front of the first); the caller cuts back to the old
 * length. */
static int push(struct walk *w, const uint8_t *name, uint64_t n)
{
	bool slash = w->n_path > 0;
	if (n >= PATH_BYTES - w->n_path - slash)
		return lode_err_set(w->err, -E2BIG,
			"'%.60s...': a tensor path is longer than %d bytes", w->path, PATH_BYTES);
	if (slash)
		w->path[w->n_path++] = '/';
	if (n)
		memcpy(w->path + w->n_path, name, n);
	w->n_path += n;
	w->path[w->n_path] = 0;
	return 0;
}

static void pop(struct walk *w, size_t n_path)
{
	w->n_path = n_path;
	w->path[n_path] = 0;
}

static int walk_tensor(struct walk *w, const struct pb_field *f, bool sparse)
{
	struct lode_onnx_tensor t;
	if (!tensor_parse(pb_open(f), &t))
		return broken(w, f->data, "a TensorProto");
	size_t n_path = w->n_path;
	int rc = 0;
	if (t.name.n_bytes || !n_path)
		rc = push(w, t.name.data, t.name.n_bytes);
	if (!rc)
		rc = w->visit(w->ctx, w->path, &t, sparse, w->err);
	pop(w, n_path);
	return rc;
}

static int walk_sparse(struct walk *w, const struct pb_field *sparse)
{
	static const char *const parts[] = {
		[SPARSE_VALUES] = "values", [SPARSE_INDICES] = "indices"};
	struct pb m = pb_open(sparse);
	struct pb_field f;
	size_t n_path = w->n_path;
	int rc, n;
	while ((n = pb_next(&m, &f)) > 0) {
		if (f.wire != PB_LEN || (f.number != SPARSE_VALUES && f.number != SPARSE_INDICES))
			continue;
		const char *part = parts[f.number];
		rc = push(w, (const uint8_t *)part, strlen(part));
		if (!rc)
			rc = walk_tensor(w, &f, true);
		pop(w, n_path);
		if (rc)
			return rc;
	}
	return n < 0 ? broken(w, m.p, "a SparseTensorProto") : 0;
}

static int walk_graph(struct walk *w, const struct pb_field *graph);

static int walk_attribute_value(struct walk *w, const struct pb_field *f)
{
	if (f->wire != PB_LEN)
		return 0;
	switch (f->number) {
	case ATTR_T:
	case ATTR_TENSORS:
		return walk_tensor(w, f, false);
	case ATTR_SPARSE_TENSOR:
	case ATTR_SPARSE_TENSORS:
		return walk_sparse(w, f);
	case ATTR_G:
	case ATTR_GRAPHS:
		if (w->depth == w->limits->depth)
			return lode_err_set(w->err, -E2BIG,
				"offset %zu: %s: more than %u graphs inside graphs",
				(size_t)(f->data - w->start), w->path, w->limits->depth);
		w->depth++;
		int rc = walk_graph(w, f);
		w->depth--;
		return rc;
	default:
		return 0;
	}
}

/* First length-delimited field of that number, empty if there is none or the message is broken. */
static struct lode_span find_text(struct pb m, uint32_t number)
{
	struct pb_field f;
	while (pb_next(&m, &f) > 0)
		if (f.number == number && f.wire == PB_LEN)
			return (struct lode_span){f.data, f.n_bytes};
	return (struct lode_span){m.end, 0};
}

static int walk_attribute(struct walk *w, const struct pb_field *attribute)
{
	struct lode_span name = find_text(pb_open(attribute), ATTR_NAME);
	size_t n_path = w->n_path;
	int rc = push(w, name.data, name.n_bytes), n = 0;
	struct pb m = pb_open(attribute);
	struct pb_field f;
	while (!rc && (n = pb_next(&m, &f)) > 0)
		rc = walk_attribute_value(w, &f);
	pop(w, n_path);
	return n < 0 ? broken(w, m.p, "an AttributeProto") : rc;
}

static int walk_node(struct walk *w, const struct pb_field *node)
{
	if (w->n_nodes++ >= w->limits->n_nodes)
		return lode_err_set(w->err, -E2BIG, "offset %zu: more than %u nodes",
			(size_t)(node->data - w->start), w->limits->n_nodes);
	struct lode_span name = find_text(pb_open(node), NODE_NAME);
	if (!name.n_bytes)
		name = find_text(pb_open(node), NODE_OUTPUT);
	size_t n_path = w->n_path;
	int rc = push(w, name.data, name.n_bytes), n = 0;
	struct pb m = pb_open(node);
	struct pb_field f;
	while (!rc && (n = pb_next(&m, &f)) > 0)
		if (f.number == NODE_ATTRIBUTE && f.wire == PB_LEN)
			rc = walk_attribute(w, &f);
	pop(w, n_path);
	return n < 0 ? broken(w, m.p, "a NodeProto") : rc;
}

static int walk_graph(struct walk *w, const struct pb_field *graph)
{
	struct pb m = pb_open(graph);
	struct pb_field f;
	int rc = 0, n = 0;
	while (!rc && (n = pb_next(&m, &f)) > 0) {
		if (f.wire != PB_LEN)
			continue;
		if (f.number == GRAPH_INITIALIZER)
			rc = walk_tensor(w, &f, false);
		else if (f.number == GRAPH_SPARSE_INITIALIZER)
			rc = walk_sparse(w, &f);
		else if (f.number == GRAPH_NODE)
			rc = walk_node(w, &f);
	}
	return n < 0 ? broken(w, m.p, "a GraphProto") : rc;
}

/* The graphs of a TrainingInfoProto, under the path "training". */
static int walk_training(struct walk *w, const struct pb_field *training)
{
	struct pb m = pb_open(training);
	struct pb_field f;
	int rc = push(w, (const uint8_t *)"training", 8), n = 0;
	while (!rc && (n = pb_next(&m, &f)) > 0)
		if (f.wire == PB_LEN &&
			(f.number == TRAINING_INITIALIZATION || f.number == TRAINING_ALGORITHM))
			rc = walk_graph(w, &f);
	pop(w, 0);
	return n < 0 ? broken(w, m.p, "a TrainingInfoProto") : rc;
}

static int walk_function(struct walk *w, const struct pb_field *function)
{
	struct lode_span name = find_text(pb_open(function), FUNCTION_NAME);
	int rc = push(w, name.data, name.n_bytes), n = 0;
	struct pb m = pb_open(function);
	struct pb_field f;
	while (!rc && (n = pb_next(&m, &f)) > 0) {
		if (f.number == FUNCTION_NODE && f.wire == PB_LEN)
			rc = walk_node(w, &f);
		else if (f.number == FUNCTION_ATTRIBUTE_PROTO && f.wire == PB_LEN)
			rc = walk_attribute(w, &f);
	}
	pop(w, 0);
	return n < 0 ? broken(w, m.p, "a FunctionProto") : rc;
}

int lode_onnx_walk(const uint8_t *data, uint64_t n_bytes, const struct lode_onnx_limits *limits,
	lode_onnx_visit *visit, void *ctx, struct lode_err *err)
{
	struct walk w = {.start = data, .limits = limits, .visit = visit, .ctx = ctx, .err = err};
	struct pb m = {data, data + n_bytes};
	struct pb_field f;
	int rc = 0, n = 0;
	while (!rc && (n = pb_next(&m, &f)) > 0) {
		if (f.wire != PB_LEN)
			continue;
		if (f.number == MODEL_GRAPH)
			rc = walk_graph(&w, &f);
		else if (f.number == MODEL_TRAINING)
			rc = walk_training(&w, &f);
		else if (f.number == MODEL_FUNCTIONS)
			rc = walk_function(&w, &f);
	}
	return n < 0 ? broken(&w, m.p, "the ModelProto") : rc;
}
