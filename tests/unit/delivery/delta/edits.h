/* SPDX-License-Identifier: BSD-3-Clause */
/* Made-up tensors and the ways they change. */
#pragma once

#include "format.h"

enum edit {
	EDIT_NONE,
	EDIT_FINETUNE, /* every element a little */
	EDIT_SPARSE,   /* some elements */
	EDIT_PRUNE,    /* half to a signed zero */
	EDIT_SCALE,    /* rows times a factor */
	EDIT_LOW_RANK, /* plus an outer product */
	EDIT_RETRAIN,  /* all drawn anew */
	EDIT_NOISE,    /* random bits, NaN and infinities among them */
	N_EDITS,
};

/* n elements drawn from a Gaussian and stored as t. */
void draw_elements(struct lode_rng *rng, enum lode_delta_type t, uint8_t *to, size_t n);
/* The edited version of from; rows of cols elements. */
void edit_elements(struct lode_rng *rng, enum edit e, enum lode_delta_type t, const uint8_t *from,
	uint8_t *to, size_t n, size_t cols);
