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
