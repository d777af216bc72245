/* SPDX-License-Identifier: BSD-3-Clause */
/* Operators that move elements without changing them. */
#include "graph.h"

#include <stdlib.h>

static size_t element(const struct array *a)
{
	return a->integer ? sizeof(int64_t) : sizeof(float);
}

/* The same elements under another shape. */
static int reshaped(struct run *r, const struct array *a, const int64_t *dims, uint32_t rank)
{
	int rc = array_new(r, &r->out[0], a->integer, dims, rank);
	if (rc)
		return rc;
	if (r->out[0].n != a->n)
		return op_fail(r, -EINVAL, "%llu elements do not fit a shape of %llu",
			(unsigned long long)a->n, (unsigned long long)r->out[0].n);
	memcpy(r->out[0].data, a->data, a->n * element(a));
	return 0;
}

int op_reshape(struct run *r)
{
	const struct array *a = r->in[0], *shape = r->in[1];
	int64_t dims[LODE_ONNX_MAX_RANK], known = 1;
	int open = -1;
	if (!shape->integer || shape->rank != 1 || shape->n > LODE_ONNX_MAX_RANK)
		return op_fail(
			r, -EINVAL, "the shape must be at most %d integers", LODE_ONNX_MAX_RANK);
	bool copy_zero = !attr_int(r->node, "allowzero", 0);
	for (uint32_t d = 0; d < shape->n; d++) {
		dims[d] = shape->i[d];
		if (dims[d] == 0 && copy_zero && d < a->rank)
			dims[d] = a->dims[d];
		if (dims[d] == -1 && open < 0)
			open = (int)d;
		else if (dims[d] < 1 || __builtin_mul_overflow(known, dims[d], &known))
			return op_fail(r, -EINVAL, "dimension %u of the shape is %lld", d,
				(long long)dims[d]);
	}
	if (open >= 0)
		dims[open] = (int64_t)(a->n / (uint64_t)known);
	return reshaped(r, a, dims, (uint32_t)shape->n);
}

int op_flatten(struct run *r)
{
	const struct array *a = r->in[0];
	int64_t axis = attr_int(r->node, "axis", 1), dims[2] = {1, 1};
	if (axis < 0)
		axis += a->rank;
	if (axis < 0 || axis > a->rank)
		return op_fail(r, -EINVAL, "axis %lld of %u dimensions", (long long)axis, a->rank);
	for (uint32_t d = 0; d < a->rank; d++)
		dims[d >= (uint64_t)axis] *= a->dims[d];
	return reshaped(r, a, dims, 2);
}

/* Axes from the attribute (before opset 13) or the second input, as a bit set over `rank`
 * dimensions; -1 when they are out of range. */
static int axes_mask(struct run *r, uint32_t rank)
{
	int64_t axes[LODE_ONNX_MAX_RANK];
	int n = attr_ints(r->node, "axes", axes, LODE_ONNX_MAX_RANK), mask = 0;
	if (r->in[1] && r->in[1]->integer && r->in[1]->n <= LODE_ONNX_MAX_RANK) {
		n = (int)r->in[1]->n;
		memcpy(axes, r->in[1]->i, (size_t)n * sizeof(axes[0]));
	}
	for (int i = 0; i < n; i++) {
		int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
		if (axis < 0 || axis >= rank || mask & 1 << axis)
			return -1;
		mask |= 1 << axis;
	}
	return n < 0 ? -1 : mask;
}

int op_squeeze(struct run *r)
{
	const struct array *a = r->in[0];
	int64_t dims[LODE_ONNX_MAX_RANK];
	uint32_t rank = 0;
	int mask = axes_mask(r, a->rank);
	if (mask < 0)
		return op_fail(r, -EINVAL, "axes out of range");
	for (uint32_t d = 0; d < a->rank; d++) {
		bool drop = mask ? mask >> d & 1 : a->dims[d] == 1;
		if (drop && a->dims[d] != 1)
			return op_fail(r, -EINVAL, "dimension %u is %lld, not 1", d,
				(long long)a->dims[d]);
		if (!drop)
			dims[rank++] = a->dims[d];
	}
	return reshaped(r, a, dims, rank);
}

int op_unsqueeze(struct run *r)
{
	const struct array *a = r->in[0];
	int64_t dims[LODE_ONNX_MAX_RANK];
	uint64_t n_axes = r->in[1] ? r->in[1]->n : 0;
	int64_t listed[LODE_ONNX_MAX_RANK];
	if (!r->in[1])
		n_axes = (uint64_t)LODE_MAX(
			attr_ints(r->node, "axes", listed, LODE_ONNX_MAX_RANK), 0);
	uint64_t rank = a->rank + n_axes;
	int mask = rank <= LODE_ONNX_MAX_RANK ? axes_mask(r, (uint32_t)rank) : -1;
	if (mask <= 0)
		return op_fail(r, -EINVAL, "axes are missing or out of range");
	for (uint32_t d = 0, from = 0; d < rank; d++)
		dims[d] = mask >> d & 1 ? 1 : a->dims[from++];
	return reshaped(r, a, dims, (uint32_t)rank);
}

int op_transpose(struct run *r)
{
	const struct array *a = r->in[0];
	int64_t perm[LODE_ONNX_MAX_RANK], dims[LODE_ONNX_MAX_RANK];
	uint64_t step[LODE_ONNX_MAX_RANK], from_step[LODE_ONNX_MAX_RANK], next = 1;
	unsigned seen = 0;
	int n = attr_ints(r->node, "perm", perm, LODE_ONNX_MAX_RANK);
	for (uint32_t d = 0; n == 0 && d < a->rank; d++)
		perm[d] = a->rank - 1 - d;
	for (uint32_t d = a->rank; d-- > 0; next *= (uint64_t)a->dims[d])
		from_step[d] = next;
	for (uint32_t d = 0; d < a->rank; d++) {
		if ((n && n != (int)a->rank) || perm[d] < 0 || perm[d] >= a->rank ||
			seen & 1u << perm[d])
			return op_fail(
				r, -EINVAL, "perm is not a permutation of %u dimensions", a->rank);
		seen |= 1u << perm[d];
		dims[d] = a->dims[perm[d]];
		step[d] = from_step[perm[d]];
	}
	int rc = array_new(r, &r->out[0], a->integer, dims, a->rank);
	int64_t at[LODE_ONNX_MAX_RANK] = {0};
	uint64_t from = 0;
	for (uint64_t i = 0; !rc && i < a->n; i++) {
		memcpy((char *)r->out[0].data + i * element(a), (char *)a->data + from * element(a),
			element(a));
		for (uint32_t d = a->rank; d-- > 0;) {
			from += step[d];
			if (++at[d] < dims[d])
				break;
			from -= step[d] * (uint64_t)dims[d];
			at[d] = 0;
		}
	}
	return rc;
}

/* Elements before an axis, and bytes behind it. */
static bool around(const struct array *a, int64_t *axis, uint64_t *outer, uint64_t *inner_bytes)
{
	if (*axis < 0)
		*axis += a->rank;
	if (*axis < 0 || *axis >= a->rank)
		return false;
	*outer = 1;
	*inner_bytes = element(a);
	for (uint32_t d = 0; d < a->rank; d++)
		if (d != (uint64_t)*axis)
			*(d < (uint64_t)*axis ? outer : inner_bytes) *= (uint64_t)a->dims[d];
	return true;
}

int op_concat(struct run *r)
{
	const struct array *first = r->in[0];
	int64_t axis = attr_int(r->node, "axis", 0), dims[LODE_ONNX_MAX_RANK];
	uint64_t outer, inner;
	if (!around(first, &axis, &outer, &inner))
		return op_fail(
			r, -EINVAL, "axis %lld of %u dimensions", (long long)axis, first->rank);
	memcpy(dims, first->dims, sizeof(dims));
	for (unsigned k = 1; k < r->node->n_in; k++) {
		const struct array *a = r->in[k];
		bool fits = a && a->integer == first->integer && a->rank == first->rank;
		for (uint32_t d = 0; fits && d < a->rank; d++)
			fits = d == (uint64_t)axis || a->dims[d] == dims[d];
		if (!fits)
			return op_fail(r, -EINVAL, "input %u does not fit the others", k);
		dims[axis] += a->dims[axis];
	}
	int rc = array_new(r, &r->out[0], first->integer, dims, first->rank);
	char *out = r->out[0].data;
	for (uint64_t o = 0; !rc && o < outer; o++)
		for (unsigned k = 0; k < r->node->n_in; k++) {
			uint64_t n = (uint64_t)r->in[k]->dims[axis] * inner;
			memcpy(out, (char *)r->in[k]->data + o * n, n);
			out += n;
		}
	return rc;
}

int op_gather(struct run *r)
{
	const struct array *a = r->in[0], *index = r->in[1];
	int64_t axis = attr_int(r->node, "axis", 0), dims[2 * LODE_ONNX_MAX_RANK];
	uint64_t outer, inner;
	uint32_t rank = 0;
	if (!index->integer || !around(a, &axis, &outer, &inner))
		return op_fail(r, -EINVAL, "axis %lld of %u dimensions, or no integers",
			(long long)axis, a->rank);
	for (uint32_t d = 0; d < a->rank; d++) {
		if (d != (uint64_t)axis)
			dims[rank++] = a->dims[d];
		for (uint32_t k = 0; d == (uint64_t)axis && k < index->rank; k++)
			dims[rank++] = index->dims[k];
	}
	int rc = array_new(r, &r->out[0], a->integer, dims, rank);
	char *out = r->out[0].data;
	for (uint64_t o = 0; !rc && o < outer; o++)
		for (uint64_t k = 0; k < index->n; k++, out += inner) {
			int64_t at = index->i[k] < 0 ? index->i[k] + a->dims[axis] : index->i[k];
			if (at < 0 || at >= a->dims[axis])
				return op_fail(r, -EINVAL, "index %lld of %lld",
					(long long)index->i[k], (long long)a->dims[axis]);
			memcpy(out,
				(char *)a->data +
					(o * (uint64_t)a->dims[axis] + (uint64_t)at) * inner,
				inner);
		}
	return rc;
}

/* ---- slice ---- */

struct slice {
	int n;
	int64_t start[LODE_ONNX_MAX_RANK], end[LODE_ONNX_MAX_RANK], axis[LODE_ONNX_MAX_RANK],
		step[LODE_ONNX_MAX_RANK];
};

static int list(const struct array *a, int64_t *out)
{
	if (!a->integer || a->n > LODE_ONNX_MAX_RANK)
		return -1;
	memcpy(out, a->i, a->n * sizeof(*out));
	return (int)a->n;
}

/* From inputs, or attributes before opset 10. */
static bool read_slice(struct run *r, struct slice *s)
{
	for (int i = 0; i < LODE_ONNX_MAX_RANK; i++) {
		s->axis[i] = i;
		s->step[i] = 1;
	}
	if (!r->in[1]) {
		s->n = attr_ints(r->node, "starts", s->start, LODE_ONNX_MAX_RANK);
		int n_axes = attr_ints(r->node, "axes", s->axis, LODE_ONNX_MAX_RANK);
		return s->n > 0 && attr_ints(r->node, "ends", s->end, LODE_ONNX_MAX_RANK) == s->n &&
		       (n_axes == 0 || n_axes == s->n);
	}
	s->n = list(r->in[1], s->start);
	return s->n > 0 && r->in[2] && list(r->in[2], s->end) == s->n &&
	       (!r->in[3] || list(r->in[3], s->axis) == s->n) &&
	       (!r->in[4] || list(r->in[4], s->step) == s->n);
}

static int64_t clamp(int64_t v, int64_t dim)
{
	v = v < 0 ? v + dim : v;
	return v < 0 ? 0 : v > dim ? dim : v;
}

int op_slice(struct run *r)
{
	const struct array *a = r->in[0];
	struct slice s;
	int64_t first[LODE_ONNX_MAX_RANK] = {0}, step[LODE_ONNX_MAX_RANK], dims[LODE_ONNX_MAX_RANK];
	if (!read_slice(r, &s))
		return op_fail(r, -EINVAL, "starts, ends, axes and steps do not go together");
	for (uint32_t d = 0; d < a->rank; d++) {
		dims[d] = a->dims[d];
		step[d] = 1;
	}
	for (int i = 0; i < s.n; i++) {
		int64_t d = s.axis[i] < 0 ? s.axis[i] + a->rank : s.axis[i];
		if (d < 0 || d >= a->rank || s.step[i] < 1)
			return op_fail(r, -ENOTSUP, "axis %lld with step %lld",
				(long long)s.axis[i], (long long)s.step[i]);
		first[d] = clamp(s.start[i], a->dims[d]);
		step[d] = s.step[i];
		int64_t span = clamp(s.end[i], a->dims[d]) - first[d];
		dims[d] = span <= 0 ? 0 : (span - 1) / step[d] + 1;
	}
	int rc = array_new(r, &r->out[0], a->integer, dims, a->rank);
	int64_t at[LODE_ONNX_MAX_RANK] = {0};
	for (uint64_t i = 0; !rc && i < r->out[0].n; i++) {
		uint64_t from = 0;
		for (uint32_t d = 0; d < a->rank; d++)
			from = from * (uint64_t)a->dims[d] + (uint64_t)(first[d] + at[d] * step[d]);
		memcpy((char *)r->out[0].data + i * element(a), (char *)a->data + from * element(a),
			element(a));
		for (uint32_t d = a->rank; d-- > 0 && ++at[d] == dims[d];)
			at[d] = 0;
	}
	return rc;
}

/* ---- shapes as values, constants ---- */

int op_shape(struct run *r)
{
	int64_t rank = r->in[0]->rank;
	if (!rank)
		return op_fail(r, -ENOTSUP, "a scalar has an empty shape");
	int rc = array_new(r, &r->out[0], true, &rank, 1);
	if (!rc)
		memcpy(r->out[0].i, r->in[0]->dims, (size_t)rank * sizeof(int64_t));
	return rc;
}

int op_constant_of_shape(struct run *r)
{
	struct lode_onnx_tensor t;
	struct array value = {0};
	const struct array *shape = r->in[0];
	if (!shape->integer || shape->n > LODE_ONNX_MAX_RANK)
		return op_fail(
			r, -EINVAL, "the shape must be at most %d integers", LODE_ONNX_MAX_RANK);
	if (attr_tensor(r->node, "value", &t)) {
		int rc = tensor_decode(&t, &value, r->err);
		if (rc)
			return rc;
	}
	int rc = array_new(r, &r->out[0], value.integer, shape->i, (uint32_t)shape->n);
	for (uint64_t i = 0; !rc && value.data && i < r->out[0].n; i++)
		memcpy((char *)r->out[0].data + i * element(&value), value.data, element(&value));
	free(value.data);
	return rc;
}

/* A "value" tensor was decoded when the graph was read; what is left are single numbers and lists. */
int op_constant(struct run *r)
{
	int64_t list_of[LODE_ONNX_MAX_RANK], one = 1;
	struct lode_onnx_tensor t;
	if (attr_tensor(r->node, "value", &t))
		return 0;
	int n = attr_ints(r->node, "value_ints", list_of, LODE_ONNX_MAX_RANK);
	int64_t absent = INT64_MIN, number = attr_int(r->node, "value_int", absent);
	if (n > 0) {
		int64_t length = n;
		int rc = array_new(r, &r->out[0], true, &length, 1);
		if (!rc)
			memcpy(r->out[0].i, list_of, (size_t)n * sizeof(int64_t));
		return rc;
	}
	int rc = array_new(r, &r->out[0], number != absent, &one, 0);
	if (rc)
		return rc;
	float f = attr_float(r->node, "value_float", __builtin_nanf(""));
	if (number != absent)
		r->out[0].i[0] = number;
	else if (f == f)
		r->out[0].f[0] = f;
	else
		return op_fail(
			r, -ENOTSUP, "value, value_float, value_int or value_ints is expected");
	return 0;
}
