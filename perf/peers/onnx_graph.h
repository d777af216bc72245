/* SPDX-License-Identifier: BSD-3-Clause */
/* An ONNX graph being written: the few parts that the networks of nn_onnx.c need. What fails for want of memory is
 * marked in the bytes. */
#pragma once

#include "nn_onnx.h"

enum {
	TYPE_FLOAT = 1,
	TYPE_UINT8 = 2,
	TYPE_INT8 = 3,
	TYPE_INT32 = 6,
	TYPE_INT64 = 7,
	ATTRIBUTE_INT = 2,
	ATTRIBUTE_STRING = 3,
	ATTRIBUTE_INTS = 7
};

struct graph {
	struct onnx_bytes b;
	unsigned n_names;
	enum { GEMM_FLOAT, GEMM_FIXED, GEMM_DYNAMIC } gemm;
};

/* ---- protobuf ---- */

void put_int(struct onnx_bytes *b, unsigned field, uint64_t v);
void put_text(struct onnx_bytes *b, unsigned field, const char *text);
/* Moves a finished message into its parent. */
void put_message(struct onnx_bytes *b, unsigned field, struct onnx_bytes *m);

/* ---- constants, inputs and outputs ---- */

void tensor(struct graph *g, const char *name, int type, const int64_t *dims, unsigned n_dims,
	const void *data, size_t bytes);
void ints(struct graph *g, const char *name, const int64_t *v, unsigned n);
/* Named by letter and the graph's number. */
void scalar(struct graph *g, const char *letter, int type, const void *v, size_t bytes);
void value(struct graph *g, unsigned field, const char *name, const int64_t *dims, unsigned n_dims);

/* ---- nodes; inputs, outputs: names with spaces between, "-" is an empty one ---- */

struct onnx_bytes node_begin(const char *op, const char *inputs, const char *outputs);
void attribute_int(struct onnx_bytes *node, const char *name, int64_t v);
void attribute_text(struct onnx_bytes *node, const char *name, const char *text);
void attribute_ints(struct onnx_bytes *node, const char *name, const int64_t *v, unsigned n);
/* One without attributes. */
void node(struct graph *g, const char *op, const char *inputs, const char *outputs);
/* The same, with each % in the names replaced by the graph's number. */
void node_n(struct graph *g, const char *op, const char *inputs, const char *outputs);
