/* SPDX-License-Identifier: BSD-3-Clause */
/* Sixteen lanes as two AVX2 registers, with FMA. vpmaddubsw adds two products in 16 saturating bits,
 * so activations are split in nibbles: then eight k-groups fit without saturation and the sums are
 * those of VNNI. What each operation does is told in vec_portable.h. */
#pragma once

#include "compiler.h"
#include "lode_nn.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

typedef struct {
	__m256 lo, hi;
} v16f;
typedef struct {
	__m256i lo, hi;
} v16i;

#define BOTH_F(op, a, b)                               \
	(v16f)                                         \
	{                                              \
		op((a).lo, (b).lo), op((a).hi, (b).hi) \
	}
#define BOTH_I(op, a, b)                               \
	(v16i)                                         \
	{                                              \
		op((a).lo, (b).lo), op((a).hi, (b).hi) \
	}

INLINE v16f vf_load(const float *p)
{
	return (v16f){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
INLINE __m256i lane_mask(int n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE v16f vf_load_part(const float *p, unsigned n)
{
	return (v16f){_mm256_maskload_ps(p, lane_mask((int)n)),
		_mm256_maskload_ps(p + 8, lane_mask((int)n - 8))};
}
INLINE v16f vf_load_strided(const float *p, unsigned stride, unsigned n)
{
	float all[16] = {0};
	for (unsigned l = 0; l < n; l++)
		all[l] = p[l * stride];
	return vf_load(all);
}
INLINE void vf_store(float *p, v16f v)
{
	_mm256_storeu_ps(p, v.lo);
	_mm256_storeu_ps(p + 8, v.hi);
}
INLINE void vf_store_part(float *p, unsigned n, v16f v)
{
	_mm256_maskstore_ps(p, lane_mask((int)n), v.lo);
	_mm256_maskstore_ps(p + 8, lane_mask((int)n - 8), v.hi);
}
INLINE v16f vf_set1(float x)
{
	return (v16f){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
INLINE v16f vf_add(v16f a, v16f b)
{
	return BOTH_F(_mm256_add_ps, a, b);
}
INLINE v16f vf_sub(v16f a, v16f b)
{
	return BOTH_F(_mm256_sub_ps, a, b);
}
INLINE v16f vf_mul(v16f a, v16f b)
{
	return BOTH_F(_mm256_mul_ps, a, b);
}
INLINE v16f vf_div(v16f a, v16f b)
{
	return BOTH_F(_mm256_div_ps, a, b);
}
INLINE v16f vf_fma(v16f a, v16f b, v16f c)
{
	return (v16f){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
INLINE v16f vf_max(v16f a, v16f b)
{
	return BOTH_F(_mm256_max_ps, a, b);
}
INLINE v16f vf_min(v16f a, v16f b)
{
	return BOTH_F(_mm256_min_ps, a, b);
}
INLINE v16f vf_clamp_abs(v16f x, v16f limit)
{
	return vf_max(vf_min(x, limit), vf_sub(vf_set1(0), limit));
}
INLINE v16f vf_min_abs(v16f x, v16f limit)
{
	v16f sign = vf_set1(-0.0f);
	return vf_min(BOTH_F(_mm256_andnot_ps, sign, x), limit);
}
INLINE v16f vf_with_sign(v16f y, v16f x)
{
	v16f sign = vf_set1(-0.0f);
	sign = BOTH_F(_mm256_and_ps, sign, x);
	return BOTH_F(_mm256_xor_ps, y, sign);
}
/* Adding 1.5 * 2^23 leaves the nearest integer in the low bits. */
INLINE __m256 nearest_bits(__m256 x)
{
	return _mm256_add_ps(x, _mm256_set1_ps(12582912.0f));
}
INLINE __m256 fraction_half(__m256 x)
{
	return _mm256_sub_ps(x, _mm256_sub_ps(nearest_bits(x), _mm256_set1_ps(12582912.0f)));
}
INLINE v16f vf_fraction(v16f x)
{
	return (v16f){fraction_half(x.lo), fraction_half(x.hi)};
}
INLINE __m256 scale_exp2_half(__m256 p, __m256 x)
{
	__m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(nearest_bits(x)), 23);
	return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}
INLINE v16f vf_scale_exp2(v16f p, v16f x, v16f fraction)
{
	(void)fraction;
	return (v16f){scale_exp2_half(p.lo, x.lo), scale_exp2_half(p.hi, x.hi)};
}
INLINE bool vf_has_nan(v16f x)
{
	return _mm256_movemask_ps(_mm256_or_ps(_mm256_cmp_ps(x.lo, x.lo, _CMP_UNORD_Q),
		       _mm256_cmp_ps(x.hi, x.hi, _CMP_UNORD_Q))) != 0;
}
INLINE v16i vf_round(v16f x)
{
	return (v16i){_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)};
}
INLINE v16i vf_bits(v16f x)
{
	return (v16i){_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)};
}
INLINE v16f vf_from_int(v16i x)
{
	return (v16f){_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)};
}
INLINE float vf_sum(v16f x)
{
	__m256 a = _mm256_add_ps(x.lo, x.hi);
	__m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	b = _mm_add_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INLINE void vf_sums8(const v16f *x, float to[8])
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = vf_sum(x[i]);
}
INLINE float vf_highest(v16f x)
{
	__m256 a = _mm256_max_ps(x.lo, x.hi);
	__m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	b = _mm_max_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
INLINE __m256 lookup_half(const float table[16], __m256i index)
{
	__m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table), index);
	__m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8), index);
	/* Bit 3 of the index moves to the sign, where the blend looks. */
	return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}
INLINE v16f vf_lookup(const float table[16], v16i index)
{
	return (v16f){lookup_half(table, index.lo), lookup_half(table, index.hi)};
}

INLINE v16f vf_lookup8(const float table[16], v16i index)
{
	__m256 low = _mm256_load_ps(table);
	return (v16f){
		_mm256_permutevar8x32_ps(low, index.lo), _mm256_permutevar8x32_ps(low, index.hi)};
}

INLINE v16i vi_load(const void *p)
{
	return (v16i){_mm256_loadu_si256(p), _mm256_loadu_si256((const __m256i *)p + 1)};
}
INLINE void vi_store(void *p, v16i v)
{
	_mm256_storeu_si256(p, v.lo);
	_mm256_storeu_si256((__m256i *)p + 1, v.hi);
}
INLINE v16i vi_set1(int32_t x)
{
	return (v16i){_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
INLINE __m256i load_dup(const void *p)
{
	int32_t x;
	__builtin_memcpy(&x, p, sizeof(x));
	return _mm256_set1_epi32(x);
}
INLINE v16i vi_load_dup(const void *p)
{
	__m256i x = load_dup(p);
	return (v16i){x, x};
}
INLINE v16i vi_add(v16i a, v16i b)
{
	return BOTH_I(_mm256_add_epi32, a, b);
}
INLINE v16i vi_sub(v16i a, v16i b)
{
	return BOTH_I(_mm256_sub_epi32, a, b);
}
INLINE v16i vi_max(v16i a, v16i b)
{
	return BOTH_I(_mm256_max_epi32, a, b);
}
INLINE v16i vi_min(v16i a, v16i b)
{
	return BOTH_I(_mm256_min_epi32, a, b);
}
INLINE v16i vi_xor(v16i a, v16i b)
{
	return BOTH_I(_mm256_xor_si256, a, b);
}
INLINE v16i vi_shift_left(v16i x, const int n)
{
	return (v16i){_mm256_slli_epi32(x.lo, n), _mm256_slli_epi32(x.hi, n)};
}
INLINE int32_t vi_sum(v16i x)
{
	__m256i a = _mm256_add_epi32(x.lo, x.hi);
	__m128i b = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
	b = _mm_add_epi32(b, _mm_shuffle_epi32(b, 0x4e));
	return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
INLINE int32_t vi_highest(v16i x)
{
	__m256i a = _mm256_max_epi32(x.lo, x.hi);
	__m128i b = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
	b = _mm_max_epi32(b, _mm_shuffle_epi32(b, 0x4e));
	return _mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xb1)));
}
INLINE void vi_store_u8(uint8_t *p, v16i x)
{
	__m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xd8);
	__m128i bytes =
		_mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
	_mm_storeu_si128((__m128i *)p, bytes);
}
INLINE void store_u8x2(uint8_t *p, v16i a, v16i b)
{
	__m256i bytes =
		_mm256_packus_epi16(_mm256_packs_epi32(a.lo, a.hi), _mm256_packs_epi32(b.lo, b.hi));
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	_mm256_storeu_si256((__m256i *)p, _mm256_permutevar8x32_epi32(bytes, order));
}
INLINE void vi_store_u8x4(uint8_t *p, v16i a, v16i b, v16i c, v16i d)
{
	store_u8x2(p, a, b);
	store_u8x2(p + 32, c, d);
}

INLINE __m256i low_nibbles(__m256i u8)
{
	return _mm256_and_si256(u8, _mm256_set1_epi8(15));
}
INLINE __m256i high_nibbles(__m256i u8)
{
	return low_nibbles(_mm256_srli_epi16(u8, 4));
}
/* 32-bit sums from the 16-bit ones of low and high nibbles. */
INLINE __m256i widen(__m256i sum, __m256i low, __m256i high)
{
	sum = _mm256_add_epi32(sum, _mm256_madd_epi16(low, _mm256_set1_epi16(1)));
	return _mm256_add_epi32(sum, _mm256_madd_epi16(high, _mm256_set1_epi16(16)));
}
INLINE __m256i dot4_half(__m256i sum, __m256i u8, __m256i s8)
{
	return widen(sum, _mm256_maddubs_epi16(low_nibbles(u8), s8),
		_mm256_maddubs_epi16(high_nibbles(u8), s8));
}
INLINE v16i vi_dot4(v16i sum, v16i u8, v16i s8)
{
	return (v16i){dot4_half(sum.lo, u8.lo, s8.lo), dot4_half(sum.hi, u8.hi, s8.hi)};
}

#define MAX_K_GROUPS	 (LODE_NN_MAX_HIDDEN / 4 + 8)
#define GROUPS_PER_WIDEN 8 /* 8 groups x 2 products x 15 x 128 = 30720 < 2^15 */

/* *sum += add in 16-bit lanes; by hand, or the compiler copies every sum around the loop. */
INLINE void add_words(__m256i *sum, __m256i add)
{
	__asm__("vpaddw %1, %0, %0" : "+x"(*sum) : "x"(add));
}

/* The nibbles of one row's inputs, split once for all its outputs. */
struct nibbles {
	uint8_t low[4 * MAX_K_GROUPS + 32], high[4 * MAX_K_GROUPS + 32];
};

INLINE void split_nibbles(struct nibbles *n, const uint8_t *a, unsigned k_groups)
{
	for (unsigned i = 0; i < 4 * k_groups; i += 32) {
		__m256i u8 = _mm256_loadu_si256((const __m256i *)(a + i));
		_mm256_storeu_si256((__m256i *)(n->low + i), low_nibbles(u8));
		_mm256_storeu_si256((__m256i *)(n->high + i), high_nibbles(u8));
	}
}

/* Sums of n_groups k-groups from first on, at most GROUPS_PER_WIDEN, widened and added. */
INLINE void dot_chunk(__m256i *sum, const struct nibbles *in, unsigned first, unsigned n_groups,
	const int8_t *w, unsigned w_stride, const unsigned n_halves)
{
	__m256i low[4], high[4];
	const uint8_t *in_low = in->low + 4 * first, *in_high = in->high + 4 * first;
	const uint8_t *end = in_low + 4 * n_groups;
	w += (size_t)first * w_stride;
	UNROLL
	for (unsigned h = 0; h < n_halves; h++)
		low[h] = high[h] = _mm256_setzero_si256();
	do {
		__m256i four_low = load_dup(in_low), four_high = load_dup(in_high);
		UNROLL
		for (unsigned h = 0; h < n_halves; h++) {
			__m256i weights = _mm256_load_si256((const __m256i *)w + h);
			add_words(&low[h], _mm256_maddubs_epi16(four_low, weights));
			add_words(&high[h], _mm256_maddubs_epi16(four_high, weights));
		}
		in_low += 4;
		in_high += 4;
		w += w_stride;
	} while (in_low != end);
	UNROLL
	for (unsigned h = 0; h < n_halves; h++)
		sum[h] = widen(sum[h], low[h], high[h]);
}

/* n_halves registers of eight outputs, 2 or 4: as many as fit with both nibble sums. */
INLINE void dot_halves(__m256i *sum, const struct nibbles *in, const int8_t *w, unsigned w_stride,
	unsigned k_groups, const unsigned n_halves)
{
	unsigned g = 0;
	UNROLL
	for (unsigned h = 0; h < n_halves; h++)
		sum[h] = _mm256_setzero_si256();
	for (; k_groups - g > GROUPS_PER_WIDEN; g += GROUPS_PER_WIDEN)
		dot_chunk(sum, in, g, GROUPS_PER_WIDEN, w, w_stride, n_halves);
	dot_chunk(sum, in, g, k_groups - g, w, w_stride, n_halves);
}

INLINE void dot_row(v16i *sum, const uint8_t *a, const int8_t *w, unsigned w_stride,
	unsigned k_groups, const unsigned n_vecs, const unsigned n_split)
{
	struct nibbles in;
	unsigned v = 0;
	(void)n_split;
	split_nibbles(&in, a, k_groups);
	for (; v + 2 <= n_vecs; v += 2)
		dot_halves((__m256i *)(sum + v), &in, w + 64 * v, w_stride, k_groups, 4);
	if (v < n_vecs)
		dot_halves((__m256i *)(sum + v), &in, w + 64 * v, w_stride, k_groups, 2);
}

/* Four outputs of a narrow layer: products of one output are in a register's half, two outputs in a
 * register. */
INLINE __m128i dot_narrow_four(
	const uint8_t *a, const int8_t *w, unsigned n_chunks, const unsigned n_rows)
{
	__m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
	for (unsigned first = 0; first < n_chunks; first += 4) {
		__m256i low[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
		__m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
		for (unsigned chunk = 0; chunk < 4; chunk++, a += 16, w += 16 * n_rows) {
			__m256i in =
				_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)a));
			UNROLL
			for (unsigned i = 0; i < 2; i++) {
				__m256i weights = _mm256_load_si256((const __m256i *)w + i);
				add_words(&low[i], _mm256_maddubs_epi16(low_nibbles(in), weights));
				add_words(
					&high[i], _mm256_maddubs_epi16(high_nibbles(in), weights));
			}
		}
		sum[0] = widen(sum[0], low[0], high[0]);
		sum[1] = widen(sum[1], low[1], high[1]);
	}
	sum[0] = _mm256_hadd_epi32(sum[0], sum[1]);
	sum[0] = _mm256_hadd_epi32(sum[0], sum[0]); /* outputs 0 2 0 2 and 1 3 1 3 */
	return _mm_unpacklo_epi32(
		_mm256_castsi256_si128(sum[0]), _mm256_extracti128_si256(sum[0], 1));
}

INLINE v16i dot_narrow(const uint8_t *a, const int8_t *w, unsigned n_chunks, const unsigned n_rows)
{
	__m128i low = dot_narrow_four(a, w, n_chunks, n_rows), high = low;
	if (n_rows == 8)
		high = dot_narrow_four(a, w + 64, n_chunks, n_rows);
	__m256i sums = _mm256_set_m128i(high, low);
	return (v16i){sums, sums};
}

INLINE void dot_tile(v16i sum[16], const uint8_t *a, size_t a_stride, const int8_t *w,
	unsigned w_stride, unsigned k_groups, const unsigned n_vecs, const unsigned n_split)
{
	for (unsigned r = 0; r < 4; r++)
		dot_row(sum + r * n_vecs, a + r * a_stride, w, w_stride, k_groups, n_vecs, n_split);
}
