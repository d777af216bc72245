/* SPDX-License-Identifier: BSD-3-Clause */
/* The encoder of one op: which predictor and coder make a range smallest, by measured size. */
#pragma once

#include "coders.h"
#include "plan.h"

/* What won for a tensor so far, so that its further blocks try less. */
struct choice {
	bool known;
	enum lode_delta_coder coder;
	enum lode_delta_predictor predictor;
	enum combine combine;
	uint32_t n_ops;
};

struct op_encoder {
	enum lode_delta_mode mode;
	bool adaptive; /* the adaptive coder may be used */
	ZSTD_CCtx *cctx;
	struct space *base;
	struct choice choice; /* of the tensor being coded */
	uint32_t choice_tensor;
	/* State that ops of one block share. */
	struct token_model tokens;
	struct adaptive_model *model, *trial_model, *won_model;
	bool model_ready;
	/* Scratch. */
	uint8_t *window, *pred, *zeros;
};

int op_encoder_init(struct op_encoder *e, enum lode_delta_mode mode, struct space *base);
void op_encoder_clear(struct op_encoder *e);
/* A new range begins: what its tensors chose before does not count. */
void op_encoder_forget(struct op_encoder *e);
/* A new block begins: nothing is shared with the one before. */
void op_encoder_start_block(struct op_encoder *e);

/* What an op came to. */
struct op_result {
	struct op op;
	struct buf payload; /* the caller frees it */
	struct buf params;  /* row scales, op.scales points into it */
};

/* Codes len target bytes of a segment from offset skip on; len is a whole number of elements. Never more than len
 * bytes of payload. Returns 0 or -ENOMEM. */
int op_encode(struct op_encoder *e, const struct plan *plan, const struct segment *s, uint64_t skip,
	const uint8_t *target, uint32_t len, struct op_result *out);
void op_result_clear(struct op_result *r);
