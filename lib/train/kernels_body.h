/* SPDX-License-Identifier: BSD-3-Clause */
/* Included once per instruction set, with VEC_BYTES, GEMM_ROWS and KERNELS set. */
#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef real vec __attribute__((vector_size(VEC_BYTES)));
typedef real vec_unaligned __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real))));
#define LANES (VEC_BYTES / sizeof(real))

/* ---- matrix product: a tile of up to GEMM_ROWS x 4 vectors stays in registers ---- */

static inline __attribute__((always_inline)) void tile(unsigned rows, unsigned vecs, unsigned k,
	const real *a, size_t a_row, size_t a_col, const real *b, size_t ldb, real *c, size_t ldc,
	bool add)
{
	vec sum[GEMM_ROWS][4];
#pragma GCC unroll 8
	for (unsigned i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (unsigned j = 0; j < vecs; j++)
			sum[i][j] =
				add ? *(const vec_unaligned *)(c + i * ldc + j * LANES) : (vec){0};
	for (unsigned p = 0; p < k; p++, a += a_col, b += ldb) {
		vec row[4];
#pragma GCC unroll 4
		for (unsigned j = 0; j < vecs; j++)
			row[j] = *(const vec_unaligned *)(b + j * LANES);
#pragma GCC unroll 8
		for (unsigned i = 0; i < rows; i++)
#pragma GCC unroll 4
			for (unsigned j = 0; j < vecs; j++)
				sum[i][j] += a[i * a_row] * row[j];
	}
#pragma GCC unroll 8
	for (unsigned i = 0; i < rows; i++)
#pragma GCC unroll 4
		for (unsigned j = 0; j < vecs; j++)
			*(vec_unaligned *)(c + i * ldc + j * LANES) = sum[i][j];
}

static inline __attribute__((always_inline)) void column(unsigned vecs, unsigned m, unsigned k,
	const real *a, size_t a_row, size_t a_col, const real *b, size_t ldb, real *c, size_t ldc,
	bool add)
{
	unsigned i = 0;
	for (; i + GEMM_ROWS <= m; i += GEMM_ROWS)
		tile(GEMM_ROWS, vecs, k, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc, ldc,
			add);
	for (; i + 2 <= m; i += 2)
		tile(2, vecs, k, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc, ldc, add);
	if (i < m)
		tile(1, vecs, k, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc, ldc, add);
}

static void gemm(unsigned m, unsigned n, unsigned k, const real *a, size_t a_row, size_t a_col,
	const real *b, size_t ldb, real *c, size_t ldc, bool add)
{
	unsigned j = 0;
	for (; j + 4 * LANES <= n; j += 4 * LANES)
		column(4, m, k, a, a_row, a_col, b + j, ldb, c + j, ldc, add);
	for (; j + LANES <= n; j += LANES)
		column(1, m, k, a, a_row, a_col, b + j, ldb, c + j, ldc, add);
}

/* ---- exp of a vector ---- */

#ifdef LODE_TRAIN_DOUBLE
static inline vec exp_of(vec x)
{
	for (unsigned i = 0; i < LANES; i++)
		x[i] = exp(x[i]);
	return x;
}
#else
typedef int32_t ivec __attribute__((vector_size(VEC_BYTES)));

static inline vec pick(ivec which, vec yes, vec no)
{
	return (vec)(((ivec)yes & which) | ((ivec)no & ~which));
}

/* 2^n times a polynomial on [-0.5, 0.5] ln 2 (Cephes), relative error 2e-7. */
static inline vec exp_of(vec x)
{
	const real shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
	x = pick(x < -87.0f, (vec){0} - 87.0f, pick(x > 87.0f, (vec){0} + 87.0f, x));
	vec n = x * 1.44269504f + shift;
	vec power = (vec)(((ivec)n - 0x4b400000 + 127) << 23);
	n -= shift;
	vec r = x - n * 0.693359375f + n * 2.12194440e-4f;
	vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
	p = p * r + 8.3334519073e-3f;
	p = p * r + 4.1665795894e-2f;
	p = p * r + 1.6666665459e-1f;
	p = p * r + 5.0000001201e-1f;
	return (p * r * r + r + 1) * power;
}
#endif

static inline vec sigmoid_of(vec x)
{
	return 1 / (1 + exp_of(-x));
}

static inline vec tanh_of(vec x)
{
	return 2 * sigmoid_of(2 * x) - 1;
}

static inline vec load(const real *p)
{
	return *(const vec_unaligned *)p;
}

static inline void store(real *p, vec v)
{
	*(vec_unaligned *)p = v;
}

/* ---- LSTM cells; n_hidden is a multiple of ALIGN_COLS, so of LANES ---- */

static void cells_forward(
	unsigned n, real *gates, const real *c_before, real *c, real *c_tanh, real *h)
{
	for (unsigned u = 0; u < n; u += LANES) {
		vec i = sigmoid_of(load(gates + u)), f = sigmoid_of(load(gates + n + u));
		vec g = tanh_of(load(gates + 2 * n + u)), o = sigmoid_of(load(gates + 3 * n + u));
		vec state = i * g + (c_before ? f * load(c_before + u) : (vec){0});
		vec t = tanh_of(state);
		store(gates + u, i);
		store(gates + n + u, f);
		store(gates + 2 * n + u, g);
		store(gates + 3 * n + u, o);
		store(c + u, state);
		store(c_tanh + u, t);
		store(h + u, o * t);
	}
}

static void lstm_forward(unsigned n_rows, unsigned n, real *gates, const real *c_before, real *c,
	real *c_tanh, real *h)
{
	for (size_t r = 0; r < n_rows; r++)
		cells_forward(n, gates + 4 * n * r, c_before ? c_before + n * r : NULL, c + n * r,
			c_tanh + n * r, h + n * r);
}

static void cells_backward(unsigned n, const real *gates, const real *c_before, const real *c_tanh,
	const real *d_h, real *d_c, real *d_gates)
{
	for (unsigned u = 0; u < n; u += LANES) {
		vec i = load(gates + u), f = load(gates + n + u), g = load(gates + 2 * n + u);
		vec o = load(gates + 3 * n + u), t = load(c_tanh + u), dh = load(d_h + u);
		vec before = c_before ? load(c_before + u) : (vec){0};
		vec dc = load(d_c + u) + dh * o * (1 - t * t);
		store(d_gates + u, dc * g * i * (1 - i));
		store(d_gates + n + u, dc * before * f * (1 - f));
		store(d_gates + 2 * n + u, dc * i * (1 - g * g));
		store(d_gates + 3 * n + u, dh * t * o * (1 - o));
		store(d_c + u, dc * f);
	}
}

static void lstm_backward(unsigned n_rows, unsigned n, const real *gates, const real *c_before,
	const real *c_tanh, const real *d_h, real *d_c, real *d_gates)
{
	for (size_t r = 0; r < n_rows; r++)
		cells_backward(n, gates + 4 * n * r, c_before ? c_before + n * r : NULL,
			c_tanh + n * r, d_h + n * r, d_c + n * r, d_gates + 4 * n * r);
}

static void adam(size_t n, real *restrict w, const real *restrict grad, real *restrict m,
	real *restrict v, const struct adam_step *s)
{
	for (size_t i = 0; i < n; i++) {
		real g = grad[i] * s->scale;
		m[i] += (1 - s->beta1) * (g - m[i]);
		v[i] += (1 - s->beta2) * (g * g - v[i]);
		real root = sizeof(real) == 4 ? (real)__builtin_sqrtf((float)(v[i] * s->correct2))
					      : (real)__builtin_sqrt((double)(v[i] * s->correct2));
		w[i] -= s->rate * (m[i] * s->correct1 / (root + s->epsilon) + s->decay * w[i]);
	}
}

const struct kernels KERNELS = {
	.name = KERNELS_NAME,
	.gemm = gemm,
	.lstm_forward = lstm_forward,
	.lstm_backward = lstm_backward,
	.adam = adam,
};
