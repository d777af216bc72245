/* SPDX-License-Identifier: BSD-3-Clause */
/* Small ONNX graphs for tests. */
#pragma once

#include "pb_build.h"

#include <stdio.h>

struct graph_build {
	struct pbw *graph;
	int64_t opset;
};

static inline struct graph_build build_graph(void)
{
	return (struct graph_build){pbw_new(), 13};
}

/* A ValueInfoProto; dimension 0 is symbolic. */
static inline void build_io(
	struct graph_build *b, uint32_t field, const char *name, uint32_t rank, const int64_t *dims)
{
	struct pbw *shape = pbw_new(), *tensor = pbw_new(), *type = pbw_new(), *info = pbw_new();
	for (uint32_t i = 0; i < rank; i++) {
		struct pbw *dim = pbw_new();
		if (dims[i])
			pbw_u64(dim, 1, (uint64_t)dims[i]);
		else
			pbw_text(dim, 2, "N");
		pbw_put(shape, 1, dim);
	}
	pbw_u64(tensor, 1, 1);
	pbw_put(tensor, 2, shape);
	pbw_put(type, 1, tensor);
	pbw_text(info, 1, name);
	pbw_put(info, 2, type);
	pbw_put(b->graph, field, info);
}

#define DIMS(...)                                                                         \
	(uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) \
	{                                                                                 \
		__VA_ARGS__                                                               \
	}

static inline void build_input(
	struct graph_build *b, const char *name, uint32_t rank, const int64_t *dims)
{
	build_io(b, 11, name, rank, dims);
}

static inline void build_output(struct graph_build *b, const char *name)
{
	build_io(b, 12, name, 0, NULL);
}

static inline struct pbw *build_tensor(const char *name, uint32_t rank, const int64_t *dims,
	uint32_t type, const void *raw, size_t n_bytes)
{
	struct pbw *t = pbw_new();
	for (uint32_t i = 0; i < rank; i++)
		pbw_u64(t, 1, (uint64_t)dims[i]);
	pbw_u64(t, 2, type);
	pbw_text(t, 8, name);
	pbw_len(t, 9, raw, n_bytes);
	return t;
}

static inline void build_floats(
	struct graph_build *b, const char *name, uint32_t rank, const int64_t *dims, const float *v)
{
	size_t n = 1;
	for (uint32_t i = 0; i < rank; i++)
		n *= (size_t)dims[i];
	pbw_put(b->graph, 5, build_tensor(name, rank, dims, 1, v, 4 * n));
}

static inline void build_ints(struct graph_build *b, const char *name, int64_t n, const int64_t *v)
{
	pbw_put(b->graph, 5, build_tensor(name, 1, &n, 7, v, 8 * (size_t)n));
}

/* Attributes of the node that comes next. */
struct node_build {
	struct pbw *node;
};

static inline struct node_build build_node(const char *op, const char *in, const char *out)
{
	struct node_build n = {pbw_new()};
	char copy[256], *rest = copy, *name;
	snprintf(copy, sizeof(copy), "%s", in);
	while ((name = strsep(&rest, " ")))
		pbw_text(n.node, 1, strcmp(name, "-") ? name : "");
	pbw_text(n.node, 2, out);
	pbw_text(n.node, 4, op);
	return n;
}

static inline void build_attr_int(struct node_build *n, const char *name, int64_t v)
{
	struct pbw *a = pbw_new();
	pbw_text(a, 1, name);
	pbw_u64(a, 3, (uint64_t)v);
	pbw_put(n->node, 5, a);
}

static inline void build_attr_float(struct node_build *n, const char *name, float v)
{
	struct pbw *a = pbw_new();
	pbw_text(a, 1, name);
	pbw_f32(a, 2, v);
	pbw_put(n->node, 5, a);
}

static inline void build_attr_ints(
	struct node_build *n, const char *name, uint32_t count, const int64_t *v)
{
	struct pbw *a = pbw_new();
	pbw_text(a, 1, name);
	for (uint32_t i = 0; i < count; i++)
		pbw_u64(a, 8, (uint64_t)v[i]);
	pbw_put(n->node, 5, a);
}

static inline void build_add(struct graph_build *b, struct node_build n)
{
	pbw_put(b->graph, 1, n.node);
}

/* Node without attributes. */
static inline void build_op(struct graph_build *b, const char *op, const char *in, const char *out)
{
	build_add(b, build_node(op, in, out));
}

/* The whole file; takes the graph. */
static inline struct pbw *build_model(struct graph_build *b)
{
	struct pbw *m = pbw_new(), *opset = pbw_new();
	pbw_u64(opset, 2, (uint64_t)b->opset);
	pbw_u64(m, 1, 8);
	pbw_put(m, 7, b->graph);
	pbw_put(m, 8, opset);
	b->graph = NULL;
	return m;
}
