/* SPDX-License-Identifier: BSD-3-Clause */
/* The same source, but most elements in chunks: contexts side by side, then tokens one after another, then residuals
 * and elements side by side. */
#include "tokens_stream.h"
#include "words_avx512.h"

#define CHUNK 256

/* Sums of all lanes before each. */
static inline __attribute__((always_inline)) __m512i sums_before(__m512i v)
{
	const __m512i zero = _mm512_setzero_si512();
	__m512i sum = _mm512_alignr_epi32(v, zero, 15);
	sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 15));
	sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 14));
	sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 12));
	return _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, zero, 8));
}

/* n raw bits for each lane from *bit on; false when they are not there. */
static inline __attribute__((always_inline)) bool take_raw(
	const struct token_stream *s, size_t *bit, __m512i n, __m512i *out)
{
	const __m512i one = _mm512_set1_epi32(1), seven = _mm512_set1_epi64(7);
	const uint8_t *from = s->raw + *bit / 8;
	__m512i at = _mm512_add_epi32(sums_before(n), _mm512_set1_epi32((int)(*bit & 7)));
	*bit += (unsigned)_mm512_reduce_add_epi32(n);
	if (*bit > s->raw_bits)
		return false;
	__m256i low = _mm512_castsi512_si256(at), high = _mm512_extracti64x4_epi64(at, 1);
	__m512i a = _mm512_i32gather_epi64(_mm256_srli_epi32(low, 3), from, 1);
	__m512i b = _mm512_i32gather_epi64(_mm256_srli_epi32(high, 3), from, 1);
	a = _mm512_srlv_epi64(a, _mm512_and_si512(_mm512_cvtepu32_epi64(low), seven));
	b = _mm512_srlv_epi64(b, _mm512_and_si512(_mm512_cvtepu32_epi64(high), seven));
	__m512i bits = _mm512_inserti64x4(
		_mm512_castsi256_si512(_mm512_cvtepi64_epi32(a)), _mm512_cvtepi64_epi32(b), 1);
	*out = _mm512_and_si512(bits, _mm512_sub_epi32(_mm512_sllv_epi32(one, n), one));
	return true;
}

/* token_base */
static inline __attribute__((always_inline)) __m512i token_bases(__m512i token, __m512i *n_raw)
{
	const __m512i two = _mm512_set1_epi32(2), three = _mm512_set1_epi32(3);
	__mmask16 is_long = _mm512_cmpgt_epi32_mask(token, _mm512_set1_epi32(9));
	__m512i small = _mm512_maskz_sub_epi32(_mm512_cmpgt_epi32_mask(token, two), token, two);
	*n_raw = _mm512_maskz_srli_epi32(is_long, _mm512_sub_epi32(token, _mm512_set1_epi32(6)), 2);
	__m512i top = _mm512_and_si512(_mm512_sub_epi32(token, two), three);
	top = _mm512_add_epi32(top, _mm512_set1_epi32(4));
	return _mm512_mask_sllv_epi32(small, is_long, top, *n_raw);
}

/* word_restore of a difference, zeros too; garbage above the bits. */
static inline __attribute__((always_inline)) __m512i restore_lanes(
	__m512i z, __m512i token, __m512i p, unsigned bits, bool is_float)
{
	const __m512i one = _mm512_set1_epi32(1), sign = _mm512_set1_epi32((int)(1u << (bits - 1)));
	const __m512i none = _mm512_setzero_si512();
	__m512i d = _mm512_xor_si512(
		_mm512_srli_epi32(z, 1), _mm512_sub_epi32(none, _mm512_and_si512(z, one)));
	if (!is_float)
		return _mm512_add_epi32(p, d);
	__m512i v = _mm512_add_epi32(ordered_lanes(p, bits), d);
	__mmask16 positive = _mm512_test_epi32_mask(v, sign);
	v = _mm512_xor_si512(v, _mm512_mask_mov_epi32(_mm512_set1_epi32(-1), positive, sign));
	__mmask16 zero =
		_mm512_cmplt_epu32_mask(_mm512_sub_epi32(token, one), _mm512_set1_epi32(2));
	if (lode_unlikely(zero)) {
		__m512i same = _mm512_and_si512(p, sign);
		__mmask16 other = _mm512_cmpeq_epi32_mask(token, _mm512_set1_epi32(TOKEN_ZERO_NEG));
		v = _mm512_mask_mov_epi32(v, zero, same);
		v = _mm512_mask_xor_epi32(v, other, same, sign);
	}
	return v;
}

/* False when the words do not last. */
static inline __attribute__((always_inline)) bool chunk_tokens(struct token_stream *s,
	struct token_cursor *at, const uint8_t *context, uint8_t *token, unsigned n)
{
	const uint32_t(*slots)[1 << TOKEN_LOG2] = s->tables->slots;
	const uint8_t *words = at->words;
	uint32_t x0 = s->state[0], x1 = s->state[1], x2 = s->state[2], x3 = s->state[3];
	unsigned i = 0;
	for (; i < n && words <= s->words_end; i += 4) {
		token[i] = (uint8_t)rans_get(&x0, slots[context[i]], TOKEN_LOG2, &words);
		token[i + 1] = (uint8_t)rans_get(&x1, slots[context[i + 1]], TOKEN_LOG2, &words);
		token[i + 2] = (uint8_t)rans_get(&x2, slots[context[i + 2]], TOKEN_LOG2, &words);
		token[i + 3] = (uint8_t)rans_get(&x3, slots[context[i + 3]], TOKEN_LOG2, &words);
	}
	s->state[0] = x0, s->state[1] = x1, s->state[2] = x2, s->state[3] = x3;
	at->words = words;
	return i >= n;
}

/* Returns how many elements it did; less than a multiple of sixteen only leaves a tail, otherwise a stream is
 * too short and its cursor behind the end. */
static inline __attribute__((always_inline)) size_t decode_sixteens(struct token_stream *s,
	struct token_cursor *at, const uint8_t *pred, uint8_t *out, size_t n,
	const struct element el)
{
	const unsigned w = type_bytes(el.type), bits = 8 * w - el.shift;
	const bool is_float = type_is_float(el.type);
	const __m128i shift = _mm_cvtsi32_si128(el.shift);
	const __m128i exponent_at =
		_mm_cvtsi32_si128(is_float ? (int)type_mantissa_bits(el.type) : 0);
	const __m512i exponent_mask = _mm512_set1_epi32((int)token_exponent_mask(el.type));
	uint8_t context[CHUNK], token[CHUNK];
	size_t done = 0;
	while (rans_n_states(n) == RANS_STATES && n - done >= 16) {
		unsigned m = (unsigned)LODE_MIN(n - done, CHUNK) & ~15u;
		for (unsigned i = 0; i < m; i += 16) {
			__m512i p = load_lanes(pred + (done + i) * w, w);
			__m512i e =
				_mm512_and_si512(_mm512_srl_epi32(p, exponent_at), exponent_mask);
			_mm_storeu_si128((__m128i *)(context + i),
				_mm512_cvtepi32_epi8(context_lanes(s->tables->contexts, e)));
		}
		if (!chunk_tokens(s, at, context, token, m))
			break;
		for (unsigned i = 0; i < m; i += 16, done += 16) {
			__m512i n_raw, raw;
			__m512i t =
				_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(token + i)));
			__m512i base = token_bases(t, &n_raw);
			if (!take_raw(s, &at->raw_bit, n_raw, &raw))
				return done;
			__m512i p = _mm512_srl_epi32(load_lanes(pred + done * w, w), shift);
			__m512i v =
				restore_lanes(_mm512_add_epi32(base, raw), t, p, bits, is_float);
			store_lanes(out + done * w, _mm512_sll_epi32(v, shift), w);
		}
	}
	return done;
}

#define TOKENS_DECODE	tokens_decode_avx512
#define DECODE_SIXTEENS decode_sixteens
#include "tokens_decode.c"
