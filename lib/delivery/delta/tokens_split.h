/* SPDX-License-Identifier: BSD-3-Clause */
/* The first pass of the token encoder: elements to tokens, their counts and their raw low bits. */
#pragma once

#include "coders.h"
#include "words.h"

/* The elements as tokens, and how often each came in each of the most contexts. */
struct token_plan {
	struct token_contexts contexts;
	uint32_t counts[TOKEN_CONTEXTS][N_TOKENS];
	uint8_t *token, *exponent; /* per element */
	uint8_t *raw;
	size_t raw_len;
};

/* Where raw bits go. */
struct raw_writer {
	uint8_t *to;
	uint64_t acc;
	unsigned n_acc; /* in acc, below 8 between calls */
};

/* n <= 56; bits above n are zero. */
static inline __attribute__((always_inline)) void raw_append(
	struct raw_writer *w, uint64_t bits, unsigned n)
{
	unsigned total = w->n_acc + n;
	w->acc |= bits << w->n_acc;
	lode_store_le64(w->to, w->acc);
	w->to += total / 8;
	w->acc >>= total & ~7u;
	w->n_acc = total & 7;
}

/* Elements from first on, one at a time. */
static inline __attribute__((always_inline)) void split_each(struct token_plan *plan,
	const struct element el, const uint8_t *restrict pred, const uint8_t *restrict target,
	size_t first, size_t n, struct raw_writer *to)
{
	const unsigned w = type_bytes(el.type), bits = 8 * w - el.shift;
	const bool is_float = type_is_float(el.type);
	const unsigned exponent_at = is_float ? type_mantissa_bits(el.type) - el.shift : 0;
	uint8_t *restrict token_to = plan->token, *restrict exponent_to = plan->exponent;
	struct raw_writer raw = *to;
	uint8_t context[256];
	for (unsigned e = 0; e < 256; e++)
		context[e] = (uint8_t)token_context(plan->contexts, e);
	for (size_t i = first; i < n; i++) {
		uint32_t p = (uint32_t)(word_load(pred + i * w, w) >> el.shift);
		uint32_t t = (uint32_t)(word_load(target + i * w, w) >> el.shift);
		uint32_t z = (uint32_t)word_residual(t, p, bits, is_float, COMBINE_DIFF);
		unsigned n_raw, token = token_of(z, &n_raw);
		if (is_float && lode_unlikely(!(t & word_mask(bits - 1)) && z)) {
			token = t == (p & 1u << (bits - 1)) ? TOKEN_ZERO : TOKEN_ZERO_NEG;
			n_raw = 0;
		}
		unsigned exponent = p >> exponent_at & token_exponent_mask(el.type);
		token_to[i] = (uint8_t)token;
		exponent_to[i] = (uint8_t)exponent;
		plan->counts[context[exponent]][token]++;
		raw_append(&raw, z & ((1u << n_raw) - 1), n_raw);
	}
	*to = raw;
}
