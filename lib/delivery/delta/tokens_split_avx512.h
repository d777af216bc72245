/* SPDX-License-Identifier: BSD-3-Clause */
/* The first pass of the token encoder sixteen elements at a time, the same bits as split_each. What does not go side
 * by side is the place of the raw bits: neighbours are joined in 64-bit lanes first, so that one append takes
 * four elements, or two where they are long. */
#pragma once

#include "tokens_split.h"
#include "words_avx512.h"

#define SPLIT_MIN 256 /* elements; below that nothing is gained */

/* word_residual for differences. */
static inline __attribute__((always_inline)) __m512i residual_lanes(
	__m512i target, __m512i pred, unsigned bits, bool is_float)
{
	const __m128i unused = _mm_cvtsi32_si128((int)(32 - bits));
	if (is_float) {
		target = ordered_lanes(target, bits);
		pred = ordered_lanes(pred, bits);
	}
	__m512i d = _mm512_sll_epi32(_mm512_sub_epi32(target, pred), unused);
	__m512i twice = _mm512_srl_epi32(_mm512_slli_epi32(d, 1), unused);
	__m512i sign = _mm512_srl_epi32(_mm512_srai_epi32(d, 31), unused);
	return _mm512_xor_si512(twice, sign);
}

/* token_of; n_raw goes to *n_raw. */
static inline __attribute__((always_inline)) __m512i token_lanes(__m512i z, __m512i *n_raw)
{
	const __m512i two = _mm512_set1_epi32(2), four = _mm512_set1_epi32(4);
	__m512i q = _mm512_sub_epi32(
		_mm512_set1_epi32(29), _mm512_lzcnt_epi32(_mm512_or_si512(z, four)));
	__m512i token = _mm512_add_epi32(_mm512_slli_epi32(q, 2), _mm512_srlv_epi32(z, q));
	*n_raw = q;
	return _mm512_maskz_add_epi32(_mm512_test_epi32_mask(z, z), token, two);
}

static inline __attribute__((always_inline)) void append_lanes(
	struct raw_writer *raw, __m512i bits, __m512i n, unsigned step)
{
	uint64_t of_bits[8], of_n[8];
	_mm512_storeu_si512(of_bits, bits);
	_mm512_storeu_si512(of_n, n);
	for (unsigned k = 0; k < 8; k += step)
		raw_append(raw, of_bits[k], (unsigned)of_n[k]);
}

static inline __attribute__((always_inline)) void append_sixteen(
	struct raw_writer *raw, __m512i bits, __m512i n)
{
	const __m512i low = _mm512_set1_epi64(0xffffffff), most = _mm512_set1_epi64(56);
	__m512i n_low = _mm512_and_si512(n, low);
	__m512i bits2 = _mm512_or_si512(
		_mm512_and_si512(bits, low), _mm512_sllv_epi64(_mm512_srli_epi64(bits, 32), n_low));
	__m512i n2 = _mm512_add_epi64(n_low, _mm512_srli_epi64(n, 32));
	__m512i n4 = _mm512_add_epi64(n2, _mm512_alignr_epi64(n2, n2, 1));
	if (lode_likely(!_mm512_mask_cmpgt_epu64_mask(0x55, n4, most))) {
		__m512i next = _mm512_alignr_epi64(bits2, bits2, 1);
		append_lanes(raw, _mm512_or_si512(bits2, _mm512_sllv_epi64(next, n2)), n4, 2);
	} else if (!_mm512_cmpgt_epu64_mask(n2, most)) {
		append_lanes(raw, bits2, n2, 1);
	} else {
		uint32_t of_bits[16], of_n[16];
		_mm512_storeu_si512(of_bits, bits);
		_mm512_storeu_si512(of_n, n);
		for (unsigned k = 0; k < 16; k++)
			raw_append(raw, of_bits[k], of_n[k]);
	}
}

/* Counts go to two tables in turn: increments of one number wait for each other. */
static inline __attribute__((always_inline)) void count_sixteen(
	uint32_t *even, uint32_t *odd, __m512i at)
{
	uint16_t idx[16];
	_mm256_storeu_si256((__m256i *)idx, _mm512_cvtepi32_epi16(at));
	for (unsigned k = 0; k < 16; k += 2) {
		even[idx[k]]++;
		odd[idx[k + 1]]++;
	}
}

/* Returns how many elements it did. */
static inline __attribute__((always_inline)) size_t split_sixteens(struct token_plan *plan,
	const struct element el, const uint8_t *pred, const uint8_t *target, size_t n,
	struct raw_writer *to)
{
	const unsigned w = type_bytes(el.type), bits = 8 * w - el.shift;
	const bool is_float = type_is_float(el.type);
	const __m128i shift = _mm_cvtsi32_si128(el.shift);
	const __m128i exponent_at =
		_mm_cvtsi32_si128((int)(is_float ? type_mantissa_bits(el.type) - el.shift : 0));
	const __m512i exponent_mask = _mm512_set1_epi32((int)token_exponent_mask(el.type));
	const __m512i one = _mm512_set1_epi32(1), sign = _mm512_set1_epi32((int)(1u << (bits - 1)));
	uint32_t *even = plan->counts[0], odd[TOKEN_CONTEXTS * N_TOKENS] = {0};
	struct raw_writer raw = *to;
	size_t i = 0;
	for (; n >= SPLIT_MIN && i + 16 <= n; i += 16) {
		__m512i p = _mm512_srl_epi32(load_lanes(pred + i * w, w), shift);
		__m512i t = _mm512_srl_epi32(load_lanes(target + i * w, w), shift);
		__m512i n_raw, z = residual_lanes(t, p, bits, is_float);
		__m512i token = token_lanes(z, &n_raw);
		__m512i exponent =
			_mm512_and_si512(_mm512_srl_epi32(p, exponent_at), exponent_mask);
		/* zeros of either sign */
		__mmask16 zero = _mm512_mask_testn_epi32_mask(
			_mm512_test_epi32_mask(z, z), t, _mm512_sub_epi32(sign, one));
		if (is_float && lode_unlikely(zero)) {
			__mmask16 other = _mm512_cmpneq_epi32_mask(t, _mm512_and_si512(p, sign));
			token = _mm512_mask_set1_epi32(token, zero, TOKEN_ZERO);
			token = _mm512_mask_set1_epi32(token, zero & other, TOKEN_ZERO_NEG);
			n_raw = _mm512_mask_set1_epi32(n_raw, zero, 0);
		}
		_mm_storeu_si128((__m128i *)(plan->token + i), _mm512_cvtepi32_epi8(token));
		_mm_storeu_si128((__m128i *)(plan->exponent + i), _mm512_cvtepi32_epi8(exponent));
		__m512i context = context_lanes(plan->contexts, exponent);
		context = _mm512_mullo_epi32(context, _mm512_set1_epi32(N_TOKENS));
		count_sixteen(even, odd, _mm512_add_epi32(context, token));
		__m512i raw_mask = _mm512_sub_epi32(_mm512_sllv_epi32(one, n_raw), one);
		append_sixteen(&raw, _mm512_and_si512(z, raw_mask), n_raw);
	}
	for (unsigned k = 0; i && k < TOKEN_CONTEXTS * N_TOKENS; k++)
		even[k] += odd[k];
	*to = raw;
	return i;
}
