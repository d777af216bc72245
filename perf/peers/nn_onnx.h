/* SPDX-License-Identifier: BSD-3-Clause */
/* The perf networks as ONNX models (opset 20), for engines that read those. Input "x", output "y". */
#pragma once

#include "../nn_nets.h"

enum onnx_precision {
	ONNX_FP32,
	ONNX_INT8 /* what suits the engine best: MLPs with fixed scales around each operator (QDQ), the
		   * others with scales found at run time */
};

struct onnx_bytes {
	uint8_t *data;
	size_t len, size;
	bool failed; /* no memory */
};

/* MLPs, LSTMs and the older transformer (whose input is given zero-padded, [20, 64]): full, or with the
 * last step's query only. -ENOTSUP for others. dims, n_dims: of the input. */
int onnx_write(const struct perf_net *net, enum lode_nn_form form, enum onnx_precision precision,
	unsigned batch, struct onnx_bytes *out, int64_t dims[3], unsigned *n_dims);
