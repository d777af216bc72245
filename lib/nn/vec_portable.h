/* SPDX-License-Identifier: BSD-3-Clause */
/* Sixteen lanes in plain C: the definition of every vector operation. Each float operation is one
 * IEEE operation per lane, so every instruction set gives the same bits. */
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define UNROLL

/* Calls, not inlined copies: this is the version that has to be right, not fast, and the optimiser
 * would take minutes over sixteen-lane structs in the large functions. */
#define INLINE static __attribute__((noinline, unused))
#define LANES  for (unsigned l = 0; l < 16; l++)

typedef struct {
	float lane[16];
} v16f;
typedef struct {
	int32_t lane[16];
} v16i;

/* No pointer needs alignment except those of vf_lookup and of weights. */
INLINE v16f vf_load(const float *p)
{
	v16f v;
	memcpy(&v, p, sizeof(v));
	return v;
}
/* n in 0..16 lanes, the others 0; reads no further. */
INLINE v16f vf_load_part(const float *p, unsigned n)
{
	v16f v = {{0}};
	memcpy(&v, p, n * sizeof(float));
	return v;
}
/* n in 0..16 lanes, stride floats apart, the others 0; reads no further. */
INLINE v16f vf_load_strided(const float *p, unsigned stride, unsigned n)
{
	v16f v = {{0}};
	for (unsigned l = 0; l < n; l++)
		v.lane[l] = p[l * stride];
	return v;
}
INLINE void vf_store(float *p, v16f v)
{
	memcpy(p, &v, sizeof(v));
}
INLINE void vf_store_part(float *p, unsigned n, v16f v)
{
	memcpy(p, &v, n * sizeof(float));
}
INLINE v16f vf_set1(float x)
{
	v16f v;
	LANES v.lane[l] = x;
	return v;
}
INLINE v16f vf_add(v16f a, v16f b)
{
	LANES a.lane[l] += b.lane[l];
	return a;
}
INLINE v16f vf_sub(v16f a, v16f b)
{
	LANES a.lane[l] -= b.lane[l];
	return a;
}
INLINE v16f vf_mul(v16f a, v16f b)
{
	LANES a.lane[l] *= b.lane[l];
	return a;
}
INLINE v16f vf_div(v16f a, v16f b)
{
	LANES a.lane[l] /= b.lane[l];
	return a;
}
/* a * b + c, rounded once. */
INLINE v16f vf_fma(v16f a, v16f b, v16f c)
{
	LANES a.lane[l] = fmaf(a.lane[l], b.lane[l], c.lane[l]);
	return a;
}
/* x minus the nearest integer (ties to even), |x| < 2^22: exact. */
INLINE v16f vf_fraction(v16f x)
{
	LANES x.lane[l] -= rintf(x.lane[l]);
	return x;
}
/* p * 2^(x - fraction), fraction = vf_fraction(x), p in [1/2, 2], |x| <= 124. */
INLINE v16f vf_scale_exp2(v16f p, v16f x, v16f fraction)
{
	LANES p.lane[l] *= ldexpf(1, (int)(x.lane[l] - fraction.lane[l]));
	return p;
}
/* The second one if either is NaN. */
INLINE v16f vf_max(v16f a, v16f b)
{
	LANES a.lane[l] = a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l];
	return a;
}
INLINE v16f vf_min(v16f a, v16f b)
{
	LANES a.lane[l] = a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l];
	return a;
}
/* x within +-limit, limit > 0. */
INLINE v16f vf_clamp_abs(v16f x, v16f limit)
{
	LANES x.lane[l] = copysignf(fminf(fabsf(x.lane[l]), limit.lane[l]), x.lane[l]);
	return x;
}
/* Magnitude of x, at most limit > 0. */
INLINE v16f vf_min_abs(v16f x, v16f limit)
{
	LANES x.lane[l] = fminf(fabsf(x.lane[l]), limit.lane[l]);
	return x;
}
/* y times the sign of x. */
INLINE v16f vf_with_sign(v16f y, v16f x)
{
	LANES y.lane[l] = signbit(x.lane[l]) ? -y.lane[l] : y.lane[l];
	return y;
}
INLINE bool vf_has_nan(v16f x)
{
	bool any = false;
	LANES any |= x.lane[l] != x.lane[l];
	return any;
}
/* To nearest, ties to even; what lies outside 32 bits becomes INT32_MIN. */
INLINE v16i vf_round(v16f x)
{
	v16i r;
	LANES
	{
		float y = rintf(x.lane[l]);
		r.lane[l] = y >= -0x1p31f && y < 0x1p31f ? (int32_t)y : INT32_MIN;
	}
	return r;
}
INLINE v16i vf_bits(v16f x)
{
	v16i r;
	memcpy(&r, &x, sizeof(r));
	return r;
}
INLINE v16f vf_from_int(v16i x)
{
	v16f r;
	LANES r.lane[l] = (float)x.lane[l];
	return r;
}
/* Lane i with lane i + 8, then + 4, + 2, + 1: the order is part of the definition. */
INLINE float vf_sum(v16f x)
{
	for (unsigned n = 8; n; n /= 2)
		for (unsigned l = 0; l < n; l++)
			x.lane[l] += x.lane[l + n];
	return x.lane[0];
}
/* vf_sum of each of eight. */
INLINE void vf_sums8(const v16f *x, float to[8])
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = vf_sum(x[i]);
}
INLINE float vf_highest(v16f x)
{
	for (unsigned n = 8; n; n /= 2)
		for (unsigned l = 0; l < n; l++)
			x.lane[l] = x.lane[l] > x.lane[l + n] ? x.lane[l] : x.lane[l + n];
	return x.lane[0];
}
/* table[index & 15]; table is aligned to 64 bytes. */
INLINE v16f vf_lookup(const float table[16], v16i index)
{
	v16f r;
	LANES r.lane[l] = table[index.lane[l] & 15];
	return r;
}

/* The same of a table whose index is below 8 in its low four bits. */
INLINE v16f vf_lookup8(const float table[16], v16i index)
{
	return vf_lookup(table, index);
}

INLINE v16i vi_load(const void *p)
{
	v16i v;
	memcpy(&v, p, sizeof(v));
	return v;
}
INLINE void vi_store(void *p, v16i v)
{
	memcpy(p, &v, sizeof(v));
}
INLINE v16i vi_set1(int32_t x)
{
	v16i v;
	LANES v.lane[l] = x;
	return v;
}
/* The same four bytes in every lane. */
INLINE v16i vi_load_dup(const void *p)
{
	int32_t x;
	memcpy(&x, p, sizeof(x));
	return vi_set1(x);
}
INLINE v16i vi_add(v16i a, v16i b)
{
	LANES a.lane[l] += b.lane[l];
	return a;
}
INLINE v16i vi_sub(v16i a, v16i b)
{
	LANES a.lane[l] -= b.lane[l];
	return a;
}
INLINE v16i vi_max(v16i a, v16i b)
{
	LANES a.lane[l] = a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l];
	return a;
}
INLINE v16i vi_min(v16i a, v16i b)
{
	LANES a.lane[l] = a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l];
	return a;
}
INLINE v16i vi_xor(v16i a, v16i b)
{
	LANES a.lane[l] ^= b.lane[l];
	return a;
}
INLINE v16i vi_shift_left(v16i x, unsigned n)
{
	LANES x.lane[l] = (int32_t)((uint32_t)x.lane[l] << n);
	return x;
}
INLINE int32_t vi_sum(v16i x)
{
	int32_t sum = 0;
	LANES sum += x.lane[l];
	return sum;
}
INLINE int32_t vi_highest(v16i x)
{
	int32_t max = x.lane[0];
	LANES max = x.lane[l] > max ? x.lane[l] : max;
	return max;
}
/* Sixteen bytes, saturated to 0..255. */
INLINE void vi_store_u8(uint8_t *p, v16i x)
{
	LANES p[l] = (uint8_t)(x.lane[l] < 0 ? 0 : x.lane[l] > 255 ? 255 : x.lane[l]);
}
INLINE void vi_store_u8x4(uint8_t *p, v16i a, v16i b, v16i c, v16i d)
{
	vi_store_u8(p, a);
	vi_store_u8(p + 16, b);
	vi_store_u8(p + 32, c);
	vi_store_u8(p + 48, d);
}
/* Per lane: sum plus four products of an unsigned with a signed byte, without saturation. */
INLINE v16i vi_dot4(v16i sum, v16i u8, v16i s8)
{
	LANES
	{
		uint8_t u[4];
		int8_t s[4];
		memcpy(u, &u8.lane[l], 4);
		memcpy(s, &s8.lane[l], 4);
		sum.lane[l] += u[0] * s[0] + u[1] * s[1] + u[2] * s[2] + u[3] * s[3];
	}
	return sum;
}

/* sum[v] lane l: row a against output 16 v + l. Weights are laid out as packed.h tells: k-group g at
 * w + g * w_stride, 64 bytes per vector. n_split says how many partial
 * sums may be made, to break dependences; k_groups is a multiple of it. */
INLINE void dot_row(v16i *sum, const uint8_t *a, const int8_t *w, unsigned w_stride,
	unsigned k_groups, unsigned n_vecs, unsigned n_split)
{
	(void)n_split;
	for (unsigned v = 0; v < n_vecs; v++)
		sum[v] = vi_set1(0);
	for (unsigned g = 0; g < k_groups; g++)
		for (unsigned v = 0; v < n_vecs; v++)
			sum[v] = vi_dot4(sum[v], vi_load_dup(a + 4 * g),
				vi_load(w + (size_t)g * w_stride + 64 * v));
}

/* Lane r: row a against output r of n_rows, 4 or 8, of a narrow layer (packed.h); the lanes after them
 * hold anything. n_chunks: of 16 inputs, a multiple of 4. */
INLINE v16i dot_narrow(const uint8_t *a, const int8_t *w, unsigned n_chunks, unsigned n_rows)
{
	v16i sum = vi_set1(0);
	for (unsigned chunk = 0; chunk < n_chunks; chunk++, a += 16)
		for (unsigned r = 0; r < n_rows; r++)
			for (unsigned i = 0; i < 16; i++)
				sum.lane[r] += a[i] * *w++;
	return sum;
}

/* Four rows: sum[r * n_vecs + v]. */
INLINE void dot_tile(v16i sum[16], const uint8_t *a, size_t a_stride, const int8_t *w,
	unsigned w_stride, unsigned k_groups, unsigned n_vecs, unsigned n_split)
{
	for (unsigned r = 0; r < 4; r++)
		dot_row(sum + r * n_vecs, a + r * a_stride, w, w_stride, k_groups, n_vecs, n_split);
}
