/* SPDX-License-Identifier: BSD-3-Clause */
/* A parsed graph: values by index, nodes in the order of the file. */
#pragma once

#include "lode_onnx.h"
#include "protobuf.h"

enum { MAX_NODES = 10000, MAX_IO = 16, NO_VALUE = -1 };

#define MAX_VALUE_BYTES (256ull << 20)
#define MAX_MULTIPLIES	10000000000ull

/* Elements are float, or int64_t for every integer type. */
struct array {
	bool integer;
	bool is_signed; /* decoded from int8 */
	uint32_t rank;
	int64_t dims[LODE_ONNX_MAX_RANK];
	uint64_t n;
	union {
		float *f;
		int64_t *i;
		void *data;
	};
};

struct value {
	char *name;
	bool defined;  /* while the graph is read: something produces it */
	bool constant; /* array holds it from the start */
	struct array array;
	struct lode_onnx_array view; /* of a float constant */
};

struct node {
	const struct operator_row *op;
	struct pb body; /* attributes are looked up when they are needed */
	unsigned n_in, n_out;
	int in[LODE_ONNX_MAX_ARITY], out[LODE_ONNX_MAX_ARITY]; /* value indices or NO_VALUE */
};

struct lode_onnx_graph {
	const uint8_t *start;
	int64_t opset;
	struct value *values;
	size_t n_values;
	int *buckets; /* hash by name -> value index + 1, open addressing */
	size_t n_buckets;
	struct node *nodes;
	unsigned n_nodes;
	struct lode_onnx_array inputs[MAX_IO], outputs[MAX_IO];
	int input_values[MAX_IO], output_values[MAX_IO];
	unsigned n_inputs, n_outputs;
	uint64_t n_params;
};

/* Index of the value of that name, made if it is new; "" is NO_VALUE. */
int value_index(
	struct lode_onnx_graph *g, const uint8_t *name, uint64_t n, int *idx, struct lode_err *err);
/* Index of the value of that name, NO_VALUE if there is none. */
int values_find(const struct lode_onnx_graph *g, const char *name);
/* -EEXIST if something defines it already. */
int value_define(struct lode_onnx_graph *g, int idx, struct lode_err *err);
/* Twice the buckets and room for as many values; false without memory. */
bool values_grow(struct lode_onnx_graph *g);

/* What a running operator sees. in[k] is NULL for an absent input; it fills out[k] with array_new. */
struct run {
	const struct lode_onnx_graph *g;
	const struct node *node;
	const struct array *in[LODE_ONNX_MAX_ARITY];
	struct array out[LODE_ONNX_MAX_ARITY];
	uint64_t value_bytes, multiplies;
	struct lode_err *err;
};

typedef int operator_fn(struct run *r);

/* The whitelist. */
struct operator_row {
	const char *name;
	uint8_t min_in, max_in, max_out;
	operator_fn *run;
};
extern const struct operator_row operators[];

/* Elements are zero. dims are checked: positive, within the budget. */
int array_new(struct run *r, struct array *a, bool integer, const int64_t *dims, uint32_t rank);
/* Shape of two arrays broadcast against each other, and the step of each along every dimension (0
 * where it repeats). */
struct broadcast {
	uint32_t rank;
	int64_t dims[LODE_ONNX_MAX_RANK];
	uint64_t step[2][LODE_ONNX_MAX_RANK];
};
int broadcast_shapes(
	struct run *r, const struct array *a, const struct array *b, struct broadcast *s);
/* Advances a multi-dimensional index by one and keeps both element offsets in step. */
void broadcast_next(const struct broadcast *s, int64_t *at, uint64_t offset[2]);

/* No input has integers. */
bool need_floats(const struct run *r);

/* Fails when the budget of multiplications is used up. */
int count_multiplies(struct run *r, uint64_t a, uint64_t b, uint64_t c);
/* "Gemm: " and a sentence, -EINVAL or -ENOTSUP. */
int op_fail(struct run *r, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Attributes of a node. */
int64_t attr_int(const struct node *n, const char *name, int64_t missing);
float attr_float(const struct node *n, const char *name, float missing);
/* Up to max integers; how many, 0 without the attribute, -1 if there are more. */
int attr_ints(const struct node *n, const char *name, int64_t *out, int max);
/* True and the text of a string attribute, or of element i of a string list. */
bool attr_text(const struct node *n, const char *name, unsigned i, struct lode_span *text);
/* True if there is a tensor attribute of that name. */
bool attr_tensor(const struct node *n, const char *name, struct lode_onnx_tensor *t);

/* Decodes a TensorProto of known elements; data by malloc. */
int tensor_decode(const struct lode_onnx_tensor *t, struct array *a, struct lode_err *err);

/* Operators, by file. */
operator_fn op_add, op_sub, op_mul, op_div, op_pow, op_sqrt, op_erf, op_relu, op_sigmoid, op_tanh,
	op_gelu, op_identity, op_cast;
operator_fn op_matmul, op_gemm, op_softmax, op_layer_norm, op_reduce_mean;
operator_fn op_reshape, op_flatten, op_transpose, op_squeeze, op_unsqueeze, op_concat, op_gather,
	op_slice, op_shape, op_constant_of_shape, op_expand, op_constant;
operator_fn op_lstm;
operator_fn op_quantize, op_dequantize;
