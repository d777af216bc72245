/* SPDX-License-Identifier: BSD-3-Clause */
/* Sixteen elements side by side, as words.h has them one by one. */
#pragma once

#include "coders.h"

#include <immintrin.h>

/* Sixteen elements as 32-bit lanes. */
static inline __attribute__((always_inline)) __m512i load_lanes(const uint8_t *p, unsigned w)
{
	if (w == 4)
		return _mm512_loadu_si512(p);
	if (w == 2)
		return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}

/* word_to_ordered; lanes have garbage above their bits. */
static inline __attribute__((always_inline)) __m512i ordered_lanes(__m512i v, unsigned bits)
{
	const __m512i top = _mm512_set1_epi32((int)(1u << (bits - 1)));
	__mmask16 negative = _mm512_test_epi32_mask(v, top);
	return _mm512_xor_si512(v, _mm512_mask_set1_epi32(top, negative, -1));
}

/* Keeps the low bytes of each lane. */
static inline __attribute__((always_inline)) void store_lanes(uint8_t *p, __m512i v, unsigned w)
{
	if (w == 4)
		_mm512_storeu_si512(p, v);
	else if (w == 2)
		_mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(v));
	else
		_mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(v));
}

/* token_context */
static inline __attribute__((always_inline)) __m512i context_lanes(
	struct token_contexts c, __m512i exponent)
{
	__m512i context = _mm512_sub_epi32(_mm512_set1_epi32(c.top), exponent);
	context = _mm512_max_epi32(context, _mm512_setzero_si512());
	return _mm512_min_epi32(context, _mm512_set1_epi32(c.n - 1));
}
