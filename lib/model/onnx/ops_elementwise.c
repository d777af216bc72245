/* SPDX-License-Identifier: BSD-3-Clause */
/* Elementwise operators with numpy broadcasting. */
#include "graph.h"

#include <math.h>

bool need_floats(const struct run *r)
{
	for (unsigned k = 0; k < LODE_ONNX_MAX_ARITY; k++)
		if (r->in[k] && r->in[k]->integer)
			return false;
	return true;
}

static int unary(struct run *r, float (*f)(float))
{
	const struct array *a = r->in[0];
	if (!need_floats(r))
		return op_fail(r, -ENOTSUP, "integers");
	int rc = array_new(r, &r->out[0], false, a->dims, a->rank);
	for (uint64_t i = 0; !rc && i < a->n; i++)
		r->out[0].f[i] = f(a->f[i]);
	return rc;
}

static float relu(float x)
{
	return x > 0 ? x : 0;
}
static float sigmoid(float x)
{
	return 1 / (1 + expf(-x));
}
static float gelu_erf(float x)
{
	return .5f * x * (1 + erff(x * (float)M_SQRT1_2));
}
static float gelu_tanh(float x)
{
	return .5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}
static float same(float x)
{
	return x;
}

int op_sqrt(struct run *r)
{
	return unary(r, sqrtf);
}
int op_erf(struct run *r)
{
	return unary(r, erff);
}
int op_relu(struct run *r)
{
	return unary(r, relu);
}
int op_sigmoid(struct run *r)
{
	return unary(r, sigmoid);
}
int op_tanh(struct run *r)
{
	return unary(r, tanhf);
}
int op_gelu(struct run *r)
{
	struct lode_span text;
	bool approximate =
		attr_text(r->node, "approximate", 0, &text) && lode_span_is(text, "tanh");
	return unary(r, approximate ? gelu_tanh : gelu_erf);
}

int op_identity(struct run *r)
{
	const struct array *a = r->in[0];
	if (!a->integer)
		return unary(r, same);
	int rc = array_new(r, &r->out[0], true, a->dims, a->rank);
	if (!rc)
		memcpy(r->out[0].i, a->i, a->n * sizeof(int64_t));
	return rc;
}

int op_cast(struct run *r)
{
	const struct array *a = r->in[0];
	int64_t to = attr_int(r->node, "to", 0);
	bool integer = to == LODE_ONNX_INT64 || to == LODE_ONNX_INT32;
	if (!integer && to != LODE_ONNX_FLOAT)
		return op_fail(r, -ENOTSUP, "to type %lld; float, int32 and int64 are known",
			(long long)to);
	int rc = array_new(r, &r->out[0], integer, a->dims, a->rank);
	for (uint64_t i = 0; !rc && i < a->n; i++) {
		double v = a->integer ? (double)a->i[i] : (double)a->f[i];
		if (integer && !(fabs(v) < 0x1p62))
			return op_fail(r, -EINVAL, "%g is not an integer", v);
		if (integer)
			r->out[0].i[i] = (int64_t)v;
		else
			r->out[0].f[i] = (float)v;
	}
	return rc;
}

int broadcast_shapes(
	struct run *r, const struct array *a, const struct array *b, struct broadcast *s)
{
	const struct array *side[2] = {a, b};
	s->rank = LODE_MAX(a->rank, b->rank);
	for (uint32_t d = 0; d < s->rank; d++)
		s->dims[d] = 1;
	for (int k = 0; k < 2; k++) {
		uint64_t step = 1;
		for (uint32_t d = s->rank, own = side[k]->rank; d-- > 0;) {
			int64_t dim = own ? side[k]->dims[--own] : 1;
			s->step[k][d] = dim == 1 ? 0 : step;
			step *= (uint64_t)dim;
			if (dim != 1 && s->dims[d] != 1 && s->dims[d] != dim)
				return op_fail(r, -EINVAL,
					"dimension %u: %lld and %lld do not broadcast", d,
					(long long)s->dims[d], (long long)dim);
			s->dims[d] = dim == 1 ? s->dims[d] : dim;
		}
	}
	return 0;
}

void broadcast_next(const struct broadcast *s, int64_t *at, uint64_t offset[2])
{
	for (uint32_t d = s->rank; d-- > 0;) {
		offset[0] += s->step[0][d];
		offset[1] += s->step[1][d];
		if (++at[d] < s->dims[d])
			return;
		offset[0] -= s->step[0][d] * (uint64_t)s->dims[d];
		offset[1] -= s->step[1][d] * (uint64_t)s->dims[d];
		at[d] = 0;
	}
}

static int binary(struct run *r, float (*f)(float, float), int64_t (*g)(int64_t, int64_t))
{
	struct broadcast s;
	bool integer = r->in[0]->integer;
	if (integer != r->in[1]->integer || (integer && !g))
		return op_fail(r, -ENOTSUP, "these element types");
	int rc = broadcast_shapes(r, r->in[0], r->in[1], &s);
	if (!rc)
		rc = array_new(r, &r->out[0], integer, s.dims, s.rank);
	int64_t at[LODE_ONNX_MAX_RANK] = {0};
	uint64_t offset[2] = {0};
	for (uint64_t i = 0; !rc && i < r->out[0].n; i++, broadcast_next(&s, at, offset)) {
		if (integer)
			r->out[0].i[i] = g(r->in[0]->i[offset[0]], r->in[1]->i[offset[1]]);
		else
			r->out[0].f[i] = f(r->in[0]->f[offset[0]], r->in[1]->f[offset[1]]);
	}
	return rc;
}

static float add_f(float a, float b)
{
	return a + b;
}
static float sub_f(float a, float b)
{
	return a - b;
}
static float mul_f(float a, float b)
{
	return a * b;
}
static float div_f(float a, float b)
{
	return a / b;
}
/* Integers wrap: they are shapes, and a wrapped shape is refused later. */
static int64_t add_i(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t sub_i(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t mul_i(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a * (uint64_t)b);
}

int op_add(struct run *r)
{
	return binary(r, add_f, add_i);
}
int op_sub(struct run *r)
{
	return binary(r, sub_f, sub_i);
}
int op_mul(struct run *r)
{
	return binary(r, mul_f, mul_i);
}
int op_div(struct run *r)
{
	return binary(r, div_f, NULL);
}
int op_pow(struct run *r)
{
	return binary(r, powf, NULL);
}

int op_expand(struct run *r)
{
	const struct array *shape = r->in[1];
	struct array target = {.rank = (uint32_t)shape->n};
	struct broadcast s;
	if (!shape->integer || shape->n > LODE_ONNX_MAX_RANK || r->in[0]->integer)
		return op_fail(r, -ENOTSUP, "this shape or element type");
	for (uint32_t d = 0; d < target.rank; d++)
		target.dims[d] = LODE_MAX(shape->i[d], 1);
	int rc = broadcast_shapes(r, r->in[0], &target, &s);
	if (!rc)
		rc = array_new(r, &r->out[0], false, s.dims, s.rank);
	int64_t at[LODE_ONNX_MAX_RANK] = {0};
	uint64_t offset[2] = {0};
	for (uint64_t i = 0; !rc && i < r->out[0].n; i++, broadcast_next(&s, at, offset))
		r->out[0].f[i] = r->in[0]->f[offset[0]];
	return rc;
}
