/* SPDX-License-Identifier: BSD-3-Clause */
/* Sixteen lanes as four NEON registers, with the dot products of ARMv8.2 (signed bytes only: inputs are
 * taken minus 128, and 128 times the weights is added back). What each operation does is told in
 * vec_portable.h. */
#pragma once

#include "compiler.h"

#include <arm_neon.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

typedef float32x4x4_t v16f;
typedef int32x4x4_t v16i;

#define EACH	    for (unsigned r = 0; r < 4; r++)
#define MAP_F(expr) MAP(v16f, expr)
#define MAP_I(expr) MAP(v16i, expr)
#define MAP(type, expr)                    \
	({                                 \
		type mapped;               \
		UNROLL                     \
		EACH mapped.val[r] = expr; \
		mapped;                    \
	})

INLINE v16f vf_load(const float *p)
{
	return MAP_F(vld1q_f32(p + 4 * r));
}
INLINE v16f vf_set1(float x)
{
	return MAP_F(vdupq_n_f32(x));
}
INLINE v16f vf_load_part(const float *p, unsigned n)
{
	float all[16] = {0};
	__builtin_memcpy(all, p, n * sizeof(*p));
	return vf_load(all);
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
	EACH vst1q_f32(p + 4 * r, v.val[r]);
}
INLINE void vf_store_part(float *p, unsigned n, v16f v)
{
	float all[16];
	vf_store(all, v);
	__builtin_memcpy(p, all, n * sizeof(*p));
}
INLINE v16f vf_add(v16f a, v16f b)
{
	return MAP_F(vaddq_f32(a.val[r], b.val[r]));
}
INLINE v16f vf_sub(v16f a, v16f b)
{
	return MAP_F(vsubq_f32(a.val[r], b.val[r]));
}
INLINE v16f vf_mul(v16f a, v16f b)
{
	return MAP_F(vmulq_f32(a.val[r], b.val[r]));
}
INLINE v16f vf_div(v16f a, v16f b)
{
	return MAP_F(vdivq_f32(a.val[r], b.val[r]));
}
INLINE v16f vf_fma(v16f a, v16f b, v16f c)
{
	return MAP_F(vfmaq_f32(c.val[r], a.val[r], b.val[r]));
}
/* Not vmaxq, which gives NaN where one is. */
INLINE float32x4_t max_quarter(float32x4_t a, float32x4_t b)
{
	return vbslq_f32(vcgtq_f32(a, b), a, b);
}
INLINE v16f vf_max(v16f a, v16f b)
{
	return MAP_F(max_quarter(a.val[r], b.val[r]));
}
INLINE v16f vf_min(v16f a, v16f b)
{
	return MAP_F(vbslq_f32(vcltq_f32(a.val[r], b.val[r]), a.val[r], b.val[r]));
}
INLINE v16f vf_min_abs(v16f x, v16f limit)
{
	return MAP_F(vminnmq_f32(vabsq_f32(x.val[r]), limit.val[r]));
}
INLINE v16f vf_with_sign(v16f y, v16f x)
{
	const uint32x4_t sign = vdupq_n_u32(1u << 31);
	return MAP_F(vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(y.val[r]),
		vandq_u32(vreinterpretq_u32_f32(x.val[r]), sign))));
}
INLINE v16f vf_clamp_abs(v16f x, v16f limit)
{
	return vf_with_sign(vf_min_abs(x, limit), x);
}
INLINE v16f vf_fraction(v16f x)
{
	return MAP_F(vsubq_f32(x.val[r], vrndnq_f32(x.val[r])));
}
INLINE v16f vf_scale_exp2(v16f p, v16f x, v16f fraction)
{
	const int32x4_t bias = vdupq_n_s32(127);
	v16f n = vf_sub(x, fraction);
	return MAP_F(vmulq_f32(p.val[r],
		vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.val[r]), bias), 23))));
}
INLINE bool vf_has_nan(v16f x)
{
	uint32x4_t same = vceqq_f32(x.val[0], x.val[0]);
	for (unsigned r = 1; r < 4; r++)
		same = vandq_u32(same, vceqq_f32(x.val[r], x.val[r]));
	return vminvq_u32(same) == 0;
}
/* The conversion saturates; above, INT32_MIN is asked for. */
INLINE int32x4_t round_quarter(float32x4_t x)
{
	uint32x4_t fits = vcltq_f32(x, vdupq_n_f32(0x1p31f));
	return vbslq_s32(fits, vcvtnq_s32_f32(x), vdupq_n_s32(INT32_MIN));
}
INLINE v16i vf_round(v16f x)
{
	return MAP_I(round_quarter(x.val[r]));
}
INLINE v16i vf_bits(v16f x)
{
	return MAP_I(vreinterpretq_s32_f32(x.val[r]));
}
INLINE v16f vf_from_int(v16i x)
{
	return MAP_F(vcvtq_f32_s32(x.val[r]));
}
INLINE float vf_sum(v16f x)
{
	float32x4_t a = vaddq_f32(vaddq_f32(x.val[0], x.val[2]), vaddq_f32(x.val[1], x.val[3]));
	float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
	return vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
}
INLINE void vf_sums8(const v16f *x, float to[8])
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = vf_sum(x[i]);
}
INLINE float vf_highest(v16f x)
{
	float32x4_t a =
		max_quarter(max_quarter(x.val[0], x.val[2]), max_quarter(x.val[1], x.val[3]));
	a = max_quarter(a, vextq_f32(a, a, 2));
	return vgetq_lane_f32(max_quarter(a, vextq_f32(a, a, 1)), 0);
}
INLINE v16f vf_lookup(const float table[16], v16i index)
{
	const uint8x16x4_t bytes = vld1q_u8_x4((const uint8_t *)table);
	const uint32x4_t four = vdupq_n_u32(0x04040404), within = vdupq_n_u32(0x03020100);
	const int32x4_t low = vdupq_n_s32(15);
	return MAP_F(vreinterpretq_f32_u8(vqtbl4q_u8(
		bytes, vreinterpretq_u8_u32(vmlaq_u32(within,
			       vreinterpretq_u32_s32(vandq_s32(index.val[r], low)), four)))));
}
INLINE v16f vf_lookup8(const float table[16], v16i index)
{
	return vf_lookup(table, index);
}

INLINE v16i vi_load(const void *p)
{
	return MAP_I(vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16 * r)));
}
INLINE void vi_store(void *p, v16i v)
{
	EACH vst1q_u8((uint8_t *)p + 16 * r, vreinterpretq_u8_s32(v.val[r]));
}
INLINE v16i vi_set1(int32_t x)
{
	return MAP_I(vdupq_n_s32(x));
}
INLINE v16i vi_load_dup(const void *p)
{
	int32_t x;
	__builtin_memcpy(&x, p, sizeof(x));
	return vi_set1(x);
}
INLINE v16i vi_add(v16i a, v16i b)
{
	return MAP_I(vaddq_s32(a.val[r], b.val[r]));
}
INLINE v16i vi_sub(v16i a, v16i b)
{
	return MAP_I(vsubq_s32(a.val[r], b.val[r]));
}
INLINE v16i vi_max(v16i a, v16i b)
{
	return MAP_I(vmaxq_s32(a.val[r], b.val[r]));
}
INLINE v16i vi_min(v16i a, v16i b)
{
	return MAP_I(vminq_s32(a.val[r], b.val[r]));
}
INLINE v16i vi_xor(v16i a, v16i b)
{
	return MAP_I(veorq_s32(a.val[r], b.val[r]));
}
INLINE v16i vi_shift_left(v16i x, int n)
{
	return MAP_I(vshlq_s32(x.val[r], vdupq_n_s32(n)));
}
INLINE int32_t vi_sum(v16i x)
{
	return vaddvq_s32(vaddq_s32(vaddq_s32(x.val[0], x.val[1]), vaddq_s32(x.val[2], x.val[3])));
}
INLINE int32_t vi_highest(v16i x)
{
	return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.val[0], x.val[1]), vmaxq_s32(x.val[2], x.val[3])));
}
INLINE void vi_store_u8(uint8_t *p, v16i x)
{
	uint16x8_t low = vcombine_u16(vqmovun_s32(x.val[0]), vqmovun_s32(x.val[1]));
	uint16x8_t high = vcombine_u16(vqmovun_s32(x.val[2]), vqmovun_s32(x.val[3]));
	vst1q_u8(p, vcombine_u8(vqmovn_u16(low), vqmovn_u16(high)));
}
INLINE void vi_store_u8x4(uint8_t *p, v16i a, v16i b, v16i c, v16i d)
{
	vi_store_u8(p, a);
	vi_store_u8(p + 16, b);
	vi_store_u8(p + 32, c);
	vi_store_u8(p + 48, d);
}

/* ---- sums of products ---- */

INLINE int8x16_t less_128(int32x4_t u8)
{
	return veorq_s8(vreinterpretq_s8_s32(u8), vdupq_n_s8(-128));
}
/* sum += (in - 128) . weights and half += 64 . weights: what is meant is sum + 2 half. */
INLINE void dot_quarter(int32x4_t *sum, int32x4_t *half, int8x16_t in, int8x16_t weights)
{
	*sum = vdotq_s32(*sum, in, weights);
	*half = vdotq_s32(*half, vdupq_n_s8(64), weights);
}
INLINE int32x4_t whole(int32x4_t sum, int32x4_t half)
{
	return vaddq_s32(sum, vshlq_n_s32(half, 1));
}
INLINE v16i vi_dot4(v16i sum, v16i u8, v16i s8)
{
	UNROLL
	EACH
	{
		int32x4_t half = vdupq_n_s32(0);
		dot_quarter(
			&sum.val[r], &half, less_128(u8.val[r]), vreinterpretq_s8_s32(s8.val[r]));
		sum.val[r] = whole(sum.val[r], half);
	}
	return sum;
}

/* One vector of outputs. */
INLINE v16i dot_column(const uint8_t *a, const int8_t *w, unsigned w_stride, unsigned k_groups)
{
	v16i sum = vi_set1(0), half = vi_set1(0);
	for (unsigned g = 0; g < k_groups; g++, w += w_stride) {
		int8x16_t in = less_128(vi_load_dup(a + 4 * g).val[0]);
		UNROLL
		EACH dot_quarter(&sum.val[r], &half.val[r], in, vld1q_s8(w + 16 * r));
	}
	return MAP_I(whole(sum.val[r], half.val[r]));
}
INLINE void dot_row(v16i *sum, const uint8_t *a, const int8_t *w, unsigned w_stride,
	unsigned k_groups, const unsigned n_vecs, const unsigned n_split)
{
	(void)n_split;
	for (unsigned v = 0; v < n_vecs; v++)
		sum[v] = dot_column(a, w + 64 * v, w_stride, k_groups);
}
INLINE void dot_tile(v16i sum[16], const uint8_t *a, size_t a_stride, const int8_t *w,
	unsigned w_stride, unsigned k_groups, const unsigned n_vecs, const unsigned n_split)
{
	for (unsigned r = 0; r < 4; r++)
		dot_row(sum + r * n_vecs, a + r * a_stride, w, w_stride, k_groups, n_vecs, n_split);
}
INLINE v16i dot_narrow(const uint8_t *a, const int8_t *w, unsigned n_chunks, const unsigned n_rows)
{
	int32x4_t sum[8], half[8];
	int32_t sums[16] = {0};
	UNROLL
	for (unsigned i = 0; i < n_rows; i++)
		sum[i] = half[i] = vdupq_n_s32(0);
	for (unsigned chunk = 0; chunk < n_chunks; chunk++, a += 16) {
		int8x16_t in = less_128(vreinterpretq_s32_u8(vld1q_u8(a)));
		UNROLL
		for (unsigned i = 0; i < n_rows; i++, w += 16)
			dot_quarter(&sum[i], &half[i], in, vld1q_s8(w));
	}
	UNROLL
	for (unsigned i = 0; i < n_rows; i++)
		sums[i] = vaddvq_s32(whole(sum[i], half[i]));
	return vi_load(sums);
}
