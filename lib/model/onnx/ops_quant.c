/* SPDX-License-Identifier: BSD-3-Clause */
/* QuantizeLinear and DequantizeLinear, one scale or one per element of an axis. Integers are kept as
 * 64 bits, so the range comes from the zero point's tensor: without one it is u8. */
#include "graph.h"

#include <math.h>

struct channels {
	const struct array *scale, *zero;
	uint64_t n, inner; /* of the axis */
};

static int read_channels(struct run *r, struct channels *c)
{
	const struct array *a = r->in[0];
	int64_t axis = attr_int(r->node, "axis", 1);
	*c = (struct channels){.scale = r->in[1], .zero = r->in[2], .n = 1, .inner = 1};
	if (c->scale->integer || (c->zero && (!c->zero->integer || c->zero->n != c->scale->n)))
		return op_fail(r, -EINVAL, "scale and zero point do not go together");
	if (c->scale->n == 1)
		return 0;
	if (axis < 0)
		axis += a->rank;
	if (axis < 0 || axis >= a->rank || (uint64_t)a->dims[axis] != c->scale->n)
		return op_fail(r, -EINVAL, "%llu scales do not fit axis %lld",
			(unsigned long long)c->scale->n, (long long)axis);
	c->n = c->scale->n;
	for (uint32_t d = (uint32_t)axis + 1; d < a->rank; d++)
		c->inner *= (uint64_t)a->dims[d];
	return 0;
}

static uint64_t channel(const struct channels *c, uint64_t i)
{
	return c->n == 1 ? 0 : i / c->inner % c->n;
}

int op_dequantize(struct run *r)
{
	struct channels c = {0};
	const struct array *a = r->in[0];
	int rc = read_channels(r, &c);
	if (!rc && !a->integer)
		rc = op_fail(r, -EINVAL, "integers are expected");
	if (!rc)
		rc = array_new(r, &r->out[0], false, a->dims, a->rank);
	for (uint64_t i = 0; !rc && i < a->n; i++) {
		uint64_t k = channel(&c, i);
		r->out[0].f[i] =
			((float)a->i[i] - (c.zero ? (float)c.zero->i[k] : 0)) * c.scale->f[k];
	}
	return rc;
}

int op_quantize(struct run *r)
{
	struct channels c = {0};
	const struct array *a = r->in[0];
	int rc = read_channels(r, &c);
	if (!rc && a->integer)
		rc = op_fail(r, -EINVAL, "floats are expected");
	if (!rc)
		rc = array_new(r, &r->out[0], true, a->dims, a->rank);
	bool s8 = c.zero && c.zero->is_signed;
	for (uint64_t i = 0; !rc && i < a->n; i++) {
		uint64_t k = channel(&c, i);
		float q = rintf(a->f[i] / c.scale->f[k]) + (c.zero ? (float)c.zero->i[k] : 0);
		r->out[0].i[i] = (int64_t)fminf(fmaxf(q, s8 ? -128 : 0), s8 ? 127 : 255);
	}
	return rc;
}
