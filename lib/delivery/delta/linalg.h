/* SPDX-License-Identifier: BSD-3-Clause */
/* The little linear algebra the search for low rank needs. Matrices are row-major. */
#pragma once

#include <stdint.h>

/* out = x x', n x n, of n rows of length len. */
void gram_rows(const double *x, unsigned n, uint64_t len, double *out);
/* Makes k rows of length len orthonormal (modified Gram-Schmidt, twice); dependent ones become zero. */
void orthonormalise(double *x, unsigned k, uint64_t len);
/* Eigenvalues of a symmetric n x n matrix by cyclic Jacobi rotations, largest first; a is destroyed.
 * vectors: column i belongs to value i; may be NULL. */
void symmetric_eigen(double *a, unsigned n, double *values, double *vectors);
/* The k largest eigenvalues of a symmetric positive matrix, k <= 32, by two steps of subspace iteration:
 * good for values that stand out, too small for those that do not. a is kept. Without memory: zeros. */
void largest_eigen(const double *a, unsigned n, unsigned k, double *values);
