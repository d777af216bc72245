/* SPDX-License-Identifier: BSD-3-Clause */
/* Products, softmax, norms. Plain loops: this is for checks and imports, not for the data path. */
#include "graph.h"

#include <math.h>

/* c[m,n] += a[m,k] * b[k,n], steps in elements. */
static void product(float *c, const float *a, const float *b, uint64_t m, uint64_t n, uint64_t k,
	uint64_t a_row, uint64_t a_col, uint64_t b_row, uint64_t b_col)
{
	for (uint64_t i = 0; i < m; i++)
		for (uint64_t x = 0; x < k; x++) {
			float v = a[i * a_row + x * a_col];
			for (uint64_t j = 0; j < n; j++)
				c[i * n + j] += v * b[x * b_row + j * b_col];
		}
}

int op_gemm(struct run *r)
{
	const struct array *a = r->in[0], *b = r->in[1], *bias = r->in[2];
	bool ta = attr_int(r->node, "transA", 0) != 0, tb = attr_int(r->node, "transB", 0) != 0;
	float alpha = attr_float(r->node, "alpha", 1), beta = attr_float(r->node, "beta", 1);
	if (!need_floats(r) || a->rank != 2 || b->rank != 2)
		return op_fail(r, -EINVAL, "two matrices of floats expected");
	int64_t m = a->dims[ta], k = a->dims[!ta], n = b->dims[!tb];
	if (b->dims[tb] != k)
		return op_fail(r, -EINVAL, "inner dimensions are %lld and %lld", (long long)k,
			(long long)b->dims[tb]);
	int64_t dims[] = {m, n};
	struct array shape = {.rank = 2, .dims = {m, n}};
	struct broadcast s;
	int rc = array_new(r, &r->out[0], false, dims, 2);
	if (!rc)
		rc = count_multiplies(r, (uint64_t)m, (uint64_t)n, (uint64_t)k);
	if (!rc && bias)
		rc = broadcast_shapes(r, bias, &shape, &s);
	if (rc)
		return rc;
	if (bias && (s.rank != 2 || s.dims[0] != m || s.dims[1] != n))
		return op_fail(r, -EINVAL, "the bias does not fit the result");
	product(r->out[0].f, a->f, b->f, (uint64_t)m, (uint64_t)n, (uint64_t)k,
		ta ? 1 : (uint64_t)k, ta ? (uint64_t)m : 1, tb ? 1 : (uint64_t)n,
		tb ? (uint64_t)k : 1);
	int64_t at[LODE_ONNX_MAX_RANK] = {0};
	uint64_t offset[2] = {0};
	for (uint64_t i = 0; i < r->out[0].n; i++) {
		r->out[0].f[i] = alpha * r->out[0].f[i] + (bias ? beta * bias->f[offset[0]] : 0);
		if (bias)
			broadcast_next(&s, at, offset);
	}
	return 0;
}

/* Batched: all but the last two dimensions broadcast. */
int op_matmul(struct run *r)
{
	const struct array *a = r->in[0], *b = r->in[1];
	if (!need_floats(r) || a->rank < 1 || b->rank < 1)
		return op_fail(r, -EINVAL, "arrays of floats expected");
	/* vectors are matrices with one row or one column that disappears from the result */
	struct array sides[2] = {*a, *b};
	if (a->rank == 1)
		sides[0] = (struct array){.rank = 2, .dims = {1, a->dims[0]}, .f = a->f};
	if (b->rank == 1)
		sides[1] = (struct array){.rank = 2, .dims = {b->dims[0], 1}, .f = b->f};
	uint32_t ra = sides[0].rank, rb = sides[1].rank;
	int64_t m = sides[0].dims[ra - 2], k = sides[0].dims[ra - 1], n = sides[1].dims[rb - 1];
	if (sides[1].dims[rb - 2] != k)
		return op_fail(r, -EINVAL, "inner dimensions are %lld and %lld", (long long)k,
			(long long)sides[1].dims[rb - 2]);
	struct broadcast s;
	struct array batch[2] = {{.rank = ra - 2}, {.rank = rb - 2}};
	memcpy(batch[0].dims, sides[0].dims, sizeof(batch[0].dims));
	memcpy(batch[1].dims, sides[1].dims, sizeof(batch[1].dims));
	int rc = broadcast_shapes(r, &batch[0], &batch[1], &s);
	if (rc)
		return rc;
	int64_t dims[LODE_ONNX_MAX_RANK + 2];
	uint32_t rank = s.rank;
	uint64_t n_batch = 1;
	memcpy(dims, s.dims, sizeof(s.dims));
	for (uint32_t d = 0; d < rank; d++)
		n_batch *= (uint64_t)
			dims[d]; /* cannot overflow: each product of a side is in memory */
	if (a->rank > 1)
		dims[rank++] = m;
	if (b->rank > 1)
		dims[rank++] = n;
	rc = array_new(r, &r->out[0], false, dims, rank);
	if (!rc)
		rc = count_multiplies(r, n_batch * (uint64_t)m, (uint64_t)n, (uint64_t)k);
	int64_t at[LODE_ONNX_MAX_RANK] = {0};
	uint64_t offset[2] = {0};
	for (uint64_t i = 0; !rc && i < n_batch; i++, broadcast_next(&s, at, offset))
		product(r->out[0].f + i * (uint64_t)(m * n), a->f + offset[0] * (uint64_t)(m * k),
			b->f + offset[1] * (uint64_t)(k * n), (uint64_t)m, (uint64_t)n, (uint64_t)k,
			(uint64_t)k, 1, (uint64_t)n, 1);
	return rc;
}

/* ---- along one axis ---- */

/* Splits the shape at an axis: outer, the axis itself, inner. */
static bool split_axis(
	const struct array *a, int64_t axis, uint64_t *outer, uint64_t *n, uint64_t *inner)
{
	if (axis < 0)
		axis += a->rank;
	if (axis < 0 || axis >= a->rank)
		return false;
	*outer = *inner = 1;
	*n = (uint64_t)a->dims[axis];
	for (uint32_t d = 0; d < a->rank; d++)
		if (d != (uint64_t)axis)
			*(d < (uint64_t)axis ? outer : inner) *= (uint64_t)a->dims[d];
	return true;
}

static void softmax(const float *in, float *out, uint64_t n, uint64_t step)
{
	float max = -INFINITY, sum = 0;
	for (uint64_t i = 0; i < n; i++)
		max = fmaxf(max, in[i * step]);
	for (uint64_t i = 0; i < n; i++)
		sum += out[i * step] = expf(in[i * step] - max);
	for (uint64_t i = 0; i < n; i++)
		out[i * step] /= sum;
}

int op_softmax(struct run *r)
{
	const struct array *a = r->in[0];
	bool flat = r->g->opset < 13; /* everything behind the axis is one dimension */
	int64_t axis = attr_int(r->node, "axis", flat ? 1 : -1);
	uint64_t outer, n, inner;
	if (!need_floats(r) || !split_axis(a, axis, &outer, &n, &inner))
		return op_fail(r, -EINVAL, "axis %lld of %u dimensions", (long long)axis, a->rank);
	if (flat) {
		n *= inner;
		inner = 1;
	}
	int rc = array_new(r, &r->out[0], false, a->dims, a->rank);
	for (uint64_t o = 0; !rc && o < outer; o++)
		for (uint64_t i = 0; i < inner; i++)
			softmax(a->f + o * n * inner + i, r->out[0].f + o * n * inner + i, n,
				inner);
	return rc;
}

int op_layer_norm(struct run *r)
{
	const struct array *a = r->in[0], *scale = r->in[1], *bias = r->in[2];
	int64_t axis = attr_int(r->node, "axis", -1);
	float epsilon = attr_float(r->node, "epsilon", 1e-5f);
	uint64_t outer, n, inner;
	if (!need_floats(r) || !split_axis(a, axis, &outer, &n, &inner))
		return op_fail(r, -EINVAL, "axis %lld of %u dimensions", (long long)axis, a->rank);
	n *= inner;
	if (scale->n != n || (bias && bias->n != n))
		return op_fail(
			r, -EINVAL, "scale and bias need %llu elements", (unsigned long long)n);
	int rc = array_new(r, &r->out[0], false, a->dims, a->rank);
	for (uint64_t o = 0; !rc && o < outer; o++) {
		const float *x = a->f + o * n;
		double mean = 0, var = 0;
		for (uint64_t i = 0; i < n; i++)
			mean += (double)x[i] / (double)n;
		for (uint64_t i = 0; i < n; i++)
			var += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
		for (uint64_t i = 0; i < n; i++)
			r->out[0].f[o * n + i] =
				(float)(((double)x[i] - mean) / sqrt(var + (double)epsilon)) *
					scale->f[i] +
				(bias ? bias->f[i] : 0);
	}
	return rc;
}

/* One axis, which is how layer norms are written out. */
int op_reduce_mean(struct run *r)
{
	const struct array *a = r->in[0];
	int64_t axes[2], dims[LODE_ONNX_MAX_RANK];
	int n_axes = attr_ints(r->node, "axes", axes, 2);
	if (!n_axes && r->in[1] && r->in[1]->integer && r->in[1]->n == 1) {
		axes[0] = r->in[1]->i[0];
		n_axes = 1;
	}
	uint64_t outer, n, inner;
	if (a->integer || n_axes != 1 || !split_axis(a, axes[0], &outer, &n, &inner))
		return op_fail(r, -ENOTSUP, "one axis of floats is expected");
	uint32_t rank = 0, axis = (uint32_t)(axes[0] < 0 ? axes[0] + a->rank : axes[0]);
	bool keep = attr_int(r->node, "keepdims", 1) != 0;
	for (uint32_t d = 0; d < a->rank; d++)
		if (d != axis || keep)
			dims[rank++] = d == axis ? 1 : a->dims[d];
	int rc = array_new(r, &r->out[0], false, dims, rank);
	for (uint64_t o = 0; !rc && o < outer; o++)
		for (uint64_t i = 0; i < inner; i++) {
			double sum = 0;
			for (uint64_t k = 0; k < n; k++)
				sum += (double)a->f[(o * n + k) * inner + i];
			r->out[0].f[o * inner + i] = (float)(sum / (double)n);
		}
	return rc;
}
