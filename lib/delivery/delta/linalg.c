/* SPDX-License-Identifier: BSD-3-Clause */
#include "linalg.h"

#include "lode_base.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define JACOBI_SWEEPS 12

static double dot(const double *a, const double *b, uint64_t len)
{
	double sum = 0;
	for (uint64_t i = 0; i < len; i++)
		sum += a[i] * b[i];
	return sum;
}

void gram_rows(const double *x, unsigned n, uint64_t len, double *out)
{
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k <= i; k++)
			out[i * n + k] = out[k * n + i] = dot(x + i * len, x + k * len, len);
}

void orthonormalise(double *x, unsigned k, uint64_t len)
{
	for (unsigned i = 0; i < k; i++) {
		double *xi = x + i * len, before = dot(xi, xi, len);
		for (unsigned pass = 0; pass < 2; pass++)
			for (unsigned j = 0; j < i; j++) {
				double p = dot(xi, x + j * len, len);
				for (uint64_t c = 0; c < len; c++)
					xi[c] -= p * x[j * len + c];
			}
		double norm = dot(xi, xi, len);
		double scale = norm > before * 1e-24 && norm > 0 ? 1 / sqrt(norm) : 0;
		for (uint64_t c = 0; c < len; c++)
			xi[c] *= scale;
	}
}

/* Rotates rows and columns p and q so that their common element becomes zero. */
static void rotate(double *a, double *vectors, unsigned n, unsigned p, unsigned q)
{
	double apq = a[p * n + q];
	if (apq == 0)
		return;
	double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
	double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
	double c = 1 / sqrt(t * t + 1), s = t * c;
	for (unsigned i = 0; i < n; i++) {
		double x = a[i * n + p], y = a[i * n + q];
		a[i * n + p] = c * x - s * y;
		a[i * n + q] = s * x + c * y;
	}
	for (unsigned i = 0; i < n; i++) {
		double x = a[p * n + i], y = a[q * n + i];
		a[p * n + i] = c * x - s * y;
		a[q * n + i] = s * x + c * y;
	}
	for (unsigned i = 0; vectors && i < n; i++) {
		double x = vectors[i * n + p], y = vectors[i * n + q];
		vectors[i * n + p] = c * x - s * y;
		vectors[i * n + q] = s * x + c * y;
	}
}

static void swap_columns(double *values, double *vectors, unsigned n, unsigned i, unsigned k)
{
	double v = values[i];
	values[i] = values[k];
	values[k] = v;
	for (unsigned r = 0; vectors && r < n; r++) {
		double x = vectors[r * n + i];
		vectors[r * n + i] = vectors[r * n + k];
		vectors[r * n + k] = x;
	}
}

void symmetric_eigen(double *a, unsigned n, double *values, double *vectors)
{
	if (vectors) {
		memset(vectors, 0, sizeof(*vectors) * n * n);
		for (unsigned i = 0; i < n; i++)
			vectors[i * n + i] = 1;
	}
	for (unsigned sweep = 0; sweep < JACOBI_SWEEPS; sweep++)
		for (unsigned p = 0; p < n; p++)
			for (unsigned q = p + 1; q < n; q++)
				if (fabs(a[p * n + q]) >
					1e-15 * sqrt(fabs(a[p * n + p] * a[q * n + q])))
					rotate(a, vectors, n, p, q);
	for (unsigned i = 0; i < n; i++)
		values[i] = a[i * n + i];
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = i + 1; k < n; k++)
			if (values[k] > values[i])
				swap_columns(values, vectors, n, i, k);
}

/* y = x a for k rows x; a is symmetric. */
static void multiply_rows(const double *a, unsigned n, const double *x, unsigned k, double *y)
{
	memset(y, 0, sizeof(*y) * n * k);
	for (unsigned r = 0; r < k; r++)
		for (unsigned i = 0; i < n; i++)
			for (unsigned c = 0; c < n; c++)
				y[r * n + c] += x[r * n + i] * a[i * n + c];
}

void largest_eigen(const double *a, unsigned n, unsigned k, double *values)
{
	double *x = calloc(2ul * n * k, sizeof(*x)), *y = x + (size_t)n * k, small[32 * 32];
	struct lode_rng rng;
	memset(values, 0, sizeof(*values) * k);
	if (!x)
		return;
	lode_rng_seed(&rng, 2);
	for (unsigned i = 0; i < n * k; i++)
		x[i] = lode_rng_normal(&rng);
	for (unsigned step = 0; step < 2; step++) {
		multiply_rows(a, n, x, k, y);
		orthonormalise(y, k, n);
		memcpy(x, y, sizeof(*x) * n * k);
	}
	multiply_rows(a, n, x, k, y);
	for (unsigned i = 0; i < k; i++)
		for (unsigned j = 0; j < k; j++)
			small[i * k + j] = dot(x + i * n, y + j * n, n);
	symmetric_eigen(small, k, values, NULL);
	free(x);
}
