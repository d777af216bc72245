/* SPDX-License-Identifier: BSD-3-Clause */
/* Elements as unsigned words. Floats are mapped to integers in the order of their values (negative ones
 * complemented), so that a small change is a small difference; residuals wrap at the word's width. All
 * functions are told the width, a constant where they are inlined into a loop. */
#pragma once

#include "format.h"

static inline uint64_t word_load(const uint8_t *p, unsigned w)
{
	uint64_t v = 0;
	memcpy(&v, p, w);
	return v;
}

static inline void word_store(uint8_t *p, uint64_t v, unsigned w)
{
	memcpy(p, &v, w);
}

static inline uint64_t word_mask(unsigned bits)
{
	return bits >= 64 ? ~0ull : (1ull << bits) - 1;
}

static inline uint64_t word_to_ordered(uint64_t v, unsigned bits)
{
	uint64_t negative = 0 - (v >> (bits - 1) & 1);
	return (v ^ (negative | 1ull << (bits - 1))) & word_mask(bits);
}

static inline uint64_t word_from_ordered(uint64_t v, unsigned bits)
{
	uint64_t negative = (v >> (bits - 1) & 1) - 1;
	return (v ^ (negative | 1ull << (bits - 1))) & word_mask(bits);
}

/* target and prediction to a residual whose small values are the likely ones, and back. */
static inline uint64_t word_residual(
	uint64_t target, uint64_t pred, unsigned bits, bool is_float, enum combine combine)
{
	if (combine == COMBINE_XOR)
		return target ^ pred;
	if (is_float) {
		target = word_to_ordered(target, bits);
		pred = word_to_ordered(pred, bits);
	}
	uint64_t d = target - pred;
	uint64_t sign = 0 - (d >> (bits - 1) & 1);
	return ((d << 1) ^ sign) & word_mask(bits);
}

static inline uint64_t word_restore(
	uint64_t residual, uint64_t pred, unsigned bits, bool is_float, enum combine combine)
{
	if (combine == COMBINE_XOR)
		return residual ^ pred;
	if (is_float)
		pred = word_to_ordered(pred, bits);
	uint64_t v = (pred + ((residual >> 1) ^ (0 - (residual & 1)))) & word_mask(bits);
	return is_float ? word_from_ordered(v, bits) : v;
}
