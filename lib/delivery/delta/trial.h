/* SPDX-License-Identifier: BSD-3-Clause */
/* Every coder tried on one range; the smallest result stays. */
#pragma once

#include "choose.h"

#define SMALL_BYTES (64 * 1024)

/* One range on trial: what is known of it and the best form so far. */
struct trial {
	struct op_encoder *e;
	const struct segment *s;
	const uint8_t *target;
	struct op op; /* length, base range and element type filled in */
	struct op_result *best;
	size_t best_size;

	const uint8_t *pred;		/* the prediction, where there is one */
	size_t n;			/* elements */
	size_t n_changed;		/* against the base */
	uint64_t cols, first;		/* of the tensor */
	struct token_model token_model; /* after the best, if it set tables */
};

/* The bytes themselves, to begin with; they are copied when nothing has won against them. */
void start_trial(struct trial *t);

/* Coders on bytes. */
void try_zstd(struct trial *t);
void try_zstd_base(struct trial *t);
void try_fill(struct trial *t);
/* Bytes against bytes at the same place: finds patterns that cross elements. */
void try_byte_planes(struct trial *t);

/* Coders on elements, by the predictor and element type of op. */
void try_tokens(struct trial *t, struct op op);
void try_adaptive(struct trial *t, struct op op);
void try_planes(struct trial *t, struct op op, enum combine combine);
void try_sparse(struct trial *t, struct op op);
