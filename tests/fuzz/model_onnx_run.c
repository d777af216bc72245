/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes as a graph, run once when it is taken and small. */
#include "lode_onnx.h"

#include <stdlib.h>

enum { MAX_INPUT = 4096, MAX_INPUTS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct lode_onnx_graph *g)
{
	static const float zeros[MAX_INPUT];
	const float *in[MAX_INPUTS];
	const struct lode_onnx_array *a;
	struct lode_onnx_array *out;
	struct lode_err err;
	unsigned n_out, n_in = 0;
	for (; (a = lode_onnx_graph_input(g, n_in)); n_in++) {
		if (a->n_elements > MAX_INPUT)
			return;
		in[n_in] = zeros;
	}
	if (!lode_onnx_graph_run(g, in, &out, &n_out, &err))
		lode_onnx_results_free(out, n_out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_onnx_graph *g;
	struct lode_err err;
	if (lode_onnx_graph_open(&g, data, size, &err))
		return 0;
	run(g);
	lode_onnx_graph_free(g);
	return 0;
}
