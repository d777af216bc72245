/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernels for NEON with dot products. Built with those flags. */
#include "vec_neon.h"

#include "run_lstm.h"
#include "run_mlp.h"
#include "run_transformer.h"

const struct kernels kernels_neon = {
	.mlp = run_mlp,
	.mlp_batch = run_mlp_batch,
	.lstm_window = run_lstm_window,
	.lstm_step = run_lstm_step,
	.transformer = run_transformer,
	.transformer_step = run_stream_step,
};
