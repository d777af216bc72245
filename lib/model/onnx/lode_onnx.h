/* SPDX-License-Identifier: BSD-3-Clause */
/* onnx: reading ONNX files in place: where their tensors are, what graph they describe, and running a
 * small graph in FP32. Input is memory that outlives what is made from it; nothing is re-encoded. Any
 * thread may call; an object belongs to one thread. Files are hostile: every length is checked, depth
 * and counts are limited. Actions return 0 or -errno with a sentence. */
#pragma once

#include "lode_base.h"

struct lode_span {
	const uint8_t *data;
	uint64_t n_bytes;
};

static inline bool lode_span_is(struct lode_span s, const char *text)
{
	return s.n_bytes == strlen(text) && !memcmp(s.data, text, s.n_bytes);
}

/* TensorProto.DataType. */
enum lode_onnx_type {
	LODE_ONNX_UNDEFINED = 0,
	LODE_ONNX_FLOAT = 1,
	LODE_ONNX_UINT8 = 2,
	LODE_ONNX_INT8 = 3,
	LODE_ONNX_UINT16 = 4,
	LODE_ONNX_INT16 = 5,
	LODE_ONNX_INT32 = 6,
	LODE_ONNX_INT64 = 7,
	LODE_ONNX_STRING = 8,
	LODE_ONNX_BOOL = 9,
	LODE_ONNX_FLOAT16 = 10,
	LODE_ONNX_DOUBLE = 11,
	LODE_ONNX_UINT32 = 12,
	LODE_ONNX_UINT64 = 13,
	LODE_ONNX_BFLOAT16 = 16,
	LODE_ONNX_FLOAT8E4M3FN = 17,
	LODE_ONNX_FLOAT8E5M2 = 19,
};

/* Where the elements of a TensorProto are. */
enum lode_onnx_payload {
	LODE_ONNX_NO_DATA,
	LODE_ONNX_RAW,	  /* raw_data: elements little-endian */
	LODE_ONNX_FLOATS, /* float_data, packed: little-endian floats */
	LODE_ONNX_DOUBLES,
	LODE_ONNX_VARINTS,  /* int32_data, int64_data or uint64_data, packed */
	LODE_ONNX_EXTERNAL, /* in another file */
};

#define LODE_ONNX_MAX_RANK 8

/* One TensorProto as it stands. odd says why its payload is not one plain range: a static sentence, or
 * NULL. name and dims are valid in any case. */
struct lode_onnx_tensor {
	struct lode_span name;
	uint32_t data_type; /* enum lode_onnx_type, or a newer one */
	uint32_t rank;
	uint64_t dims[LODE_ONNX_MAX_RANK];
	enum lode_onnx_payload payload;
	struct lode_span bytes;		/* not for external data */
	struct lode_span location;	/* external data only */
	uint64_t offset_bytes, n_bytes; /* n_bytes is UINT64_MAX when the file does not say */
	const char *odd;
};

struct lode_onnx_limits {
	uint32_t n_nodes; /* of the whole file */
	uint32_t depth;	  /* graphs inside graphs */
};

/* path: name of an initializer, or graph/node/attribute and name joined by '/'. sparse: part of a
 * SparseTensorProto. A negative return stops the walk with that code. */
typedef int lode_onnx_visit(void *ctx, const char *path, const struct lode_onnx_tensor *t,
	bool sparse, struct lode_err *err);

/* True when every top-level field is well-formed, one of them is the IR version and exactly one the
 * graph. Field order and unknown fields do not matter. */
bool lode_onnx_sniff(const uint8_t *data, uint64_t n_bytes);

/* Visits every tensor of the file: initializers, attributes of nodes, sparse ones, sub-graphs,
 * functions, training graphs. */
int lode_onnx_walk(const uint8_t *data, uint64_t n_bytes, const struct lode_onnx_limits *limits,
	lode_onnx_visit *visit, void *ctx, struct lode_err *err);

/* ---- running a graph: a small FP32 interpreter, strict about what it accepts ---- */

struct lode_onnx_graph;

/* Checks the whole file: known operators of the default domain only (operators.c), opset 7 to
 * 21, every value defined once and before it is used (so no cycles), no sub-graphs, sparse, external,
 * odd or empty tensors, at most 10000 nodes. data must outlive the graph. */
int lode_onnx_graph_open(
	struct lode_onnx_graph **graph, const void *data, uint64_t n_bytes, struct lode_err *err);
void lode_onnx_graph_free(struct lode_onnx_graph *graph);

/* A value of single precision. Dimensions with a name instead of a number count as 1. */
struct lode_onnx_array {
	const char *name;
	uint32_t rank;
	uint64_t dims[LODE_ONNX_MAX_RANK];
	uint64_t n_elements;
	float *data; /* NULL in descriptions */
};

/* Inputs without initializer, and outputs, by index; NULL past the last. */
const struct lode_onnx_array *lode_onnx_graph_input(const struct lode_onnx_graph *g, unsigned i);
const struct lode_onnx_array *lode_onnx_graph_output(const struct lode_onnx_graph *g, unsigned i);
unsigned lode_onnx_graph_n_nodes(const struct lode_onnx_graph *g);
uint64_t lode_onnx_graph_n_params(const struct lode_onnx_graph *g);

/* Runs the graph: in[i] has the elements of input i. *out becomes an array of one value per output,
 * freed by lode_onnx_results_free. Allocates; at most 256 MiB of values and 10^10 multiplications, else
 * -E2BIG. -EINVAL: shapes that do not fit, -ENOTSUP: a variant of an operator. */
int lode_onnx_graph_run(const struct lode_onnx_graph *g, const float *const *in,
	struct lode_onnx_array **out, unsigned *n_out, struct lode_err *err);
void lode_onnx_results_free(struct lode_onnx_array *out, unsigned n_out);

/* ---- looking into a graph, for import ---- */

#define LODE_ONNX_MAX_ARITY 8

struct lode_onnx_node_view {
	const char *op;
	unsigned n_in, n_out;
	const char *in[LODE_ONNX_MAX_ARITY], *out[LODE_ONNX_MAX_ARITY]; /* "" if absent */
};

/* False past the last node. */
bool lode_onnx_graph_node(
	const struct lode_onnx_graph *g, unsigned i, struct lode_onnx_node_view *view);
/* Integer attribute, or `missing` without it. */
int64_t lode_onnx_node_int(
	const struct lode_onnx_graph *g, unsigned i, const char *attribute, int64_t missing);
float lode_onnx_node_float(
	const struct lode_onnx_graph *g, unsigned i, const char *attribute, float missing);
/* The value of an initializer or Constant in single precision; NULL if the name is not one. */
const struct lode_onnx_array *lode_onnx_graph_constant(
	const struct lode_onnx_graph *g, const char *name);
