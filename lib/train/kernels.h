/* SPDX-License-Identifier: BSD-3-Clause */
/* The inner loops, built once per instruction set. The order of every sum is fixed, so that a run can be
 * repeated on the same machine. */
#pragma once

#include "real.h"

#include <stdbool.h>
#include <stddef.h>

#define ALIGN_COLS 16 /* widths of all layers are padded to a multiple */

struct adam_step {
	real rate, decay, beta1, beta2, epsilon;
	real correct1, correct2; /* 1 / (1 - beta^t) */
	real scale;		 /* of the gradient: clipping, batch size */
};

struct kernels {
	const char *name;
	/* C[m x n] = (add ? C : 0) + A[m x k] B[k x n]. A has element strides (row, column), B and C are
	 * row-major; n is a multiple of ALIGN_COLS. */
	void (*gemm)(unsigned m, unsigned n, unsigned k, const real *a, size_t a_row, size_t a_col,
		const real *b, size_t ldb, real *c, size_t ldc, bool add);
	/* One step of n_hidden units of n_rows sequences. gates [rows, 4 h]: sums in, i f g o out. c_tanh: tanh
	 * of the new state. c_before NULL: 0. */
	void (*lstm_forward)(unsigned n_rows, unsigned n_hidden, real *gates, const real *c_before,
		real *c, real *c_tanh, real *h);
	/* Gradients of the sums into d_gates; d_c is in and out: of the new state, then of the one before. */
	void (*lstm_backward)(unsigned n_rows, unsigned n_hidden, const real *gates,
		const real *c_before, const real *c_tanh, const real *d_h, real *d_c,
		real *d_gates);
	/* Loshchilov and Hutter 2019, decoupled weight decay. */
	void (*adam)(size_t n, real *w, const real *grad, real *m, real *v,
		const struct adam_step *step);
};

/* The best this CPU has. */
const struct kernels *kernels_best(void);
extern const struct kernels kernels_plain, kernels_avx2, kernels_avx512;
