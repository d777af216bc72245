/* SPDX-License-Identifier: BSD-3-Clause */
/* Activation points: the places where values become unsigned bytes. An MLP's point i is the output of
 * its layer i; the transformer's are named here. */
#pragma once

#include "lode_nn.h"

enum transformer_point {
	POINT_EMBED,
	POINT_Q, /* symmetric, used as a signed byte */
	POINT_K,
	POINT_V, /* symmetric, used as a signed byte */
	POINT_ATTN,
	POINT_MID,
	POINT_FF1,
	POINT_FINAL,
	N_TRANSFORMER_POINTS
};
static_assert(N_TRANSFORMER_POINTS <= LODE_NN_MAX_POINTS, "ranges hold every point");
static_assert(LODE_NN_MAX_LAYERS - 1 <= LODE_NN_MAX_POINTS, "ranges hold every point");

/* Hidden state of the LSTM, in (-1, 1): value = (byte - 128) / 127. */
#define LSTM_H_ZERO  128
#define LSTM_H_STEPS 127

/* True if the first layer reads the input's bytes (not an embedding with a position table). */
bool reads_input(const struct lode_nn_desc *desc, const char *layer);
