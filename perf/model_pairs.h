/* SPDX-License-Identifier: BSD-3-Clause */
/* Pairs of made-up model files, as large as wanted and the same for the same seed: Gaussian
 * weights with log-normal row scales, and an update of a known kind. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum pair_kind {
	PAIR_FINETUNE, /* every weight + N(0, r std of its row) */
	PAIR_HEAD,     /* only the last matrix */
	PAIR_LORA,     /* a rank-8 product, norm r, on every matrix */
	PAIR_PRUNE,    /* half of each tensor to zero, signs kept */
	PAIR_RETRAIN,  /* all weights drawn anew */
};

enum pair_dtype { PAIR_F32, PAIR_BF16, PAIR_F16, PAIR_I8 };

struct pair_recipe {
	const char *name;
	enum pair_kind kind;
	enum pair_dtype dtype;
	double r; /* std of the update over std of the weights */
};

extern const struct pair_recipe pair_recipes[];
extern const unsigned n_pair_recipes;

struct model_pair {
	uint8_t *base, *target; /* safetensors images; free both */
	size_t base_len, target_len;
};

/* n_layers of 12 width^2 weights each and a head of 2048 width. Returns 0 or -ENOMEM. */
int model_pair_make(const struct pair_recipe *r, unsigned n_layers, unsigned width, uint64_t seed,
	struct model_pair *out);
