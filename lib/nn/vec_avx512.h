/* SPDX-License-Identifier: BSD-3-Clause */
/* Sixteen lanes on AVX-512 with VNNI. The same names, with the same results to the last bit, are in
 * vec_avx2.h and vec_portable.h; what each operation does is told in vec_portable.h. */
#pragma once

#include "compiler.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m512 v16f;
typedef __m512i v16i;

INLINE v16f vf_load(const float *p)
{
	return _mm512_loadu_ps(p);
}
INLINE v16f vf_load_part(const float *p, unsigned n)
{
	return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE v16f vf_load_strided(const float *p, unsigned stride, unsigned n)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	__m512i index = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)stride));
	return _mm512_mask_i32gather_ps(
		_mm512_setzero_ps(), (__mmask16)((1u << n) - 1), index, p, 4);
}
INLINE void vf_store(float *p, v16f v)
{
	_mm512_storeu_ps(p, v);
}
INLINE void vf_store_part(float *p, unsigned n, v16f v)
{
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
INLINE v16f vf_set1(float x)
{
	return _mm512_set1_ps(x);
}
INLINE v16f vf_add(v16f a, v16f b)
{
	return _mm512_add_ps(a, b);
}
INLINE v16f vf_sub(v16f a, v16f b)
{
	return _mm512_sub_ps(a, b);
}
INLINE v16f vf_mul(v16f a, v16f b)
{
	return _mm512_mul_ps(a, b);
}
INLINE v16f vf_div(v16f a, v16f b)
{
	return _mm512_div_ps(a, b);
}
INLINE v16f vf_fma(v16f a, v16f b, v16f c)
{
	return _mm512_fmadd_ps(a, b, c);
}
INLINE v16f vf_max(v16f a, v16f b)
{
	return _mm512_max_ps(a, b);
}
INLINE v16f vf_min(v16f a, v16f b)
{
	return _mm512_min_ps(a, b);
}
INLINE v16f vf_clamp_abs(v16f x, v16f limit)
{
	return _mm512_range_ps(x, limit, 2);
}
INLINE v16f vf_min_abs(v16f x, v16f limit)
{
	return _mm512_range_ps(x, limit, 10);
}
INLINE v16f vf_with_sign(v16f y, v16f x)
{
	return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(y),
		_mm512_castps_si512(x), _mm512_set1_epi32(INT32_MIN), 0x78));
}
INLINE v16f vf_fraction(v16f x)
{
	return _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE v16f vf_scale_exp2(v16f p, v16f x, v16f fraction)
{
	return _mm512_scalef_ps(p, _mm512_sub_ps(x, fraction));
}
INLINE bool vf_has_nan(v16f x)
{
	return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q) != 0;
}
INLINE v16i vf_round(v16f x)
{
	return _mm512_cvtps_epi32(x);
}
INLINE v16i vf_bits(v16f x)
{
	return _mm512_castps_si512(x);
}
INLINE v16f vf_from_int(v16i x)
{
	return _mm512_cvtepi32_ps(x);
}
INLINE float vf_sum(v16f x)
{
	__m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
	__m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	b = _mm_add_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INLINE v16f add_eighths(v16f a, v16f b) /* lanes i and i + 8 of both, eight lanes each */
{
	return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
INLINE v16f add_quarters(v16f a, v16f b)
{
	return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
/* The additions of vf_sum, in the same order, on several vectors at once. */
INLINE void vf_sums8(const v16f *x, float to[8])
{
	const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
	v16f a = add_quarters(add_eighths(x[0], x[1]), add_eighths(x[2], x[3]));
	v16f b = add_quarters(add_eighths(x[4], x[5]), add_eighths(x[6], x[7]));
	v16f c = _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
	c = _mm512_add_ps(c, _mm512_movehdup_ps(c));
	_mm256_storeu_ps(to, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, c)));
}
INLINE float vf_highest(v16f x)
{
	__m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
	__m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	b = _mm_max_ps(b, _mm_movehl_ps(b, b));
	return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
INLINE v16f vf_lookup(const float table[16], v16i index)
{
	return _mm512_permutexvar_ps(index, _mm512_load_ps(table));
}

INLINE v16f vf_lookup8(const float table[16], v16i index)
{
	return vf_lookup(table, index);
}

INLINE v16i vi_load(const void *p)
{
	return _mm512_loadu_si512(p);
}
INLINE void vi_store(void *p, v16i v)
{
	_mm512_storeu_si512(p, v);
}
INLINE v16i vi_set1(int32_t x)
{
	return _mm512_set1_epi32(x);
}
INLINE v16i vi_load_dup(const void *p)
{
	int32_t x;
	__builtin_memcpy(&x, p, sizeof(x));
	return _mm512_set1_epi32(x);
}
INLINE v16i vi_add(v16i a, v16i b)
{
	return _mm512_add_epi32(a, b);
}
INLINE v16i vi_sub(v16i a, v16i b)
{
	return _mm512_sub_epi32(a, b);
}
INLINE v16i vi_max(v16i a, v16i b)
{
	return _mm512_max_epi32(a, b);
}
INLINE v16i vi_min(v16i a, v16i b)
{
	return _mm512_min_epi32(a, b);
}
INLINE v16i vi_xor(v16i a, v16i b)
{
	return _mm512_xor_si512(a, b);
}
#define vi_shift_left(x, n) _mm512_slli_epi32(x, n)
INLINE int32_t vi_sum(v16i x)
{
	return _mm512_reduce_add_epi32(x);
}
INLINE int32_t vi_highest(v16i x)
{
	return _mm512_reduce_max_epi32(x);
}
INLINE void vi_store_u8(uint8_t *p, v16i x)
{
	x = _mm512_max_epi32(x, _mm512_setzero_si512());
	_mm_storeu_si128((__m128i *)p, _mm512_cvtusepi32_epi8(x));
}
INLINE void vi_store_u8x4(uint8_t *p, v16i a, v16i b, v16i c, v16i d)
{
	const __m512i order =
		_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	__m512i ab = _mm512_packs_epi32(a, b), cd = _mm512_packs_epi32(c, d);
	__m512i bytes = _mm512_packus_epi16(ab, cd);
	_mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, bytes));
}
INLINE v16i vi_dot4(v16i sum, v16i u8, v16i s8)
{
	return _mm512_dpbusd_epi32(sum, u8, s8);
}

/* sum += in (u8) . weights (s8, aligned). By hand, because compilers copy every sum to another register
 * around the intrinsic in long loops. */
INLINE void dot_step(v16i *sum, v16i in, const int8_t *weights)
{
	__asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(in), "m"(*(const __m512i *)weights));
}
INLINE void dot_step_held(v16i *sum, v16i in, v16i weights)
{
	__asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(in), "v"(weights));
}

/* One row: n_vecs vectors of sums; the k-groups go round n_split partial sums, because a sum alone
 * could start a product only every five cycles. */
INLINE void dot_row(v16i *sum, const uint8_t *a, const int8_t *w, unsigned w_stride,
	unsigned k_groups, const unsigned n_vecs, const unsigned n_split)
{
	v16i part[16];
	UNROLL
	for (unsigned i = 0; i < n_vecs * n_split; i++)
		part[i] = _mm512_setzero_si512();
	for (unsigned g = 0; g < k_groups; g += n_split) {
		UNROLL
		for (unsigned s = 0; s < n_split; s++) {
			v16i in = vi_load_dup(a + 4 * (g + s));
			const int8_t *row = w + (size_t)(g + s) * w_stride;
			UNROLL
			for (unsigned v = 0; v < n_vecs; v++)
				dot_step(&part[s * n_vecs + v], in, row + 64 * v);
		}
	}
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++) {
		sum[v] = part[v];
		UNROLL
		for (unsigned s = 1; s < n_split; s++)
			sum[v] = _mm512_add_epi32(sum[v], part[s * n_vecs + v]);
	}
}

/* In each quarter of a vector 16 products become 4 sums, which are one output's. */
INLINE v16i dot_narrow(const uint8_t *a, const int8_t *w, unsigned n_chunks, const unsigned n_rows)
{
	const __m512i order =
		_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	__m512i acc[4];
	UNROLL
	for (unsigned i = 0; i < 4; i++)
		acc[i] = _mm512_setzero_si512();
	for (const uint8_t *end = a + 16 * n_chunks; a != end; a += 64) {
		UNROLL
		for (unsigned i = 0; i < n_rows; i++, w += 64)
			dot_step(&acc[i & 3],
				_mm512_broadcast_i32x4(
					_mm_loadu_si128((const __m128i *)a + 4 * i / n_rows)),
				w);
	}
	__m512i x = _mm512_add_epi32(acc[0], acc[2]), y = _mm512_add_epi32(acc[1], acc[3]);
	if (n_rows == 4)
		x = y = _mm512_add_epi32(x, y);
	x = _mm512_add_epi32(_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y));
	x = _mm512_add_epi32(x, _mm512_shuffle_epi32(x, _MM_PERM_BADC));
	return _mm512_permutexvar_epi32(order, x);
}

/* Four rows against n_vecs vectors of outputs, again with n_split partial sums. */
INLINE void dot_tile(v16i sum[16], const uint8_t *a, size_t a_stride, const int8_t *w,
	unsigned w_stride, unsigned k_groups, const unsigned n_vecs, const unsigned n_split)
{
	const unsigned n_sums = 4 * n_vecs;
	v16i acc[16];
	UNROLL
	for (unsigned i = 0; i < n_sums * n_split; i++)
		acc[i] = _mm512_setzero_si512();
	const uint8_t *end = a + 4 * (size_t)k_groups;
	do {
		UNROLL
		for (unsigned s = 0; s < n_split; s++, a += 4, w += w_stride) {
			v16i weights[4];
			UNROLL
			for (unsigned v = 0; v < n_vecs; v++)
				weights[v] = _mm512_load_si512(w + 64 * v);
			UNROLL
			for (unsigned r = 0; r < 4; r++) {
				v16i in = vi_load_dup(a + r * a_stride);
				UNROLL
				for (unsigned v = 0; v < n_vecs; v++)
					dot_step_held(
						&acc[s * n_sums + r * n_vecs + v], in, weights[v]);
			}
		}
	} while (a != end);
	UNROLL
	for (unsigned i = 0; i < n_sums; i++) {
		sum[i] = acc[i];
		UNROLL
		for (unsigned s = 1; s < n_split; s++)
			sum[i] = _mm512_add_epi32(sum[i], acc[s * n_sums + i]);
	}
}
