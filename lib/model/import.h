/* SPDX-License-Identifier: BSD-3-Clause */
/* What import_collect.c finds in a graph and import.c makes a network of. */
#pragma once

#include "lode_model.h"

enum { MAX_LINEARS = 10, MAX_NORMS = 2 };

/* A weight and an optional bias, where they are in the graph. */
struct found_linear {
	const struct lode_onnx_array *weight, *bias;
	bool out_first; /* weight is [out, in], else [in, out] */
	uint32_t n_in, n_out;
};

struct found_norm {
	const struct lode_onnx_array *scale, *bias;
};

struct found {
	const struct lode_onnx_graph *g;
	struct found_linear linears[MAX_LINEARS];
	unsigned n_linears;
	struct found_norm norms[MAX_NORMS];
	unsigned n_norms;
	const struct lode_onnx_array *lstm_w, *lstm_rec, *lstm_bias; /* W not NULL: there is one */
	unsigned n_lstm_before;					     /* linears before it */
	const struct lode_onnx_array *position; /* added table of more than one row */
	bool attention;				/* a softmax that is not the last operator */
	bool gelu;
	enum lode_nn_output output;
	uint16_t n_in, n_steps, n_out;
};

int import_collect(const struct lode_onnx_graph *g, struct found *f, struct lode_err *err);
