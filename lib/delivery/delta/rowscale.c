/* SPDX-License-Identifier: BSD-3-Clause */
#include "rowscale.h"

#include "predict.h"
#include "words.h"

#include <math.h>

static double element(const uint8_t *p, uint32_t i, enum lode_delta_type t)
{
	uint32_t v = 0;
	unsigned w = type_bytes(t);
	memcpy(&v, p + i * w, w);
	if (t == LODE_DELTA_F16)
		return f16_to_f32((uint16_t)v);
	if (t == LODE_DELTA_BF16)
		return bf16_to_f32((uint16_t)v);
	float f;
	memcpy(&f, &v, sizeof(f));
	return f;
}

/* Least squares of one row. */
static float fit_row(const uint8_t *base, const uint8_t *target, uint32_t from, uint32_t to,
	enum lode_delta_type t)
{
	double xy = 0, xx = 0;
	for (uint32_t i = from; i < to; i++) {
		double x = element(base, i, t), y = element(target, i, t);
		xy += x * y;
		xx += x * x;
	}
	float scale = xx > 0 ? (float)(xy / xx) : 1;
	return isfinite(scale) && scale != 0 ? scale : 1;
}

/* How many of up to 64 elements of a row the scale predicts to 8 units in the last place. */
static uint32_t count_near(const uint8_t *base, const uint8_t *target, uint32_t from, uint32_t to,
	enum lode_delta_type t, float scale, uint32_t *n_seen)
{
	uint32_t near = 0;
	double unit = ldexp(8, -(int)type_mantissa_bits(t));
	for (uint32_t i = from; i < to && i < from + 64; i++) {
		double x = element(base, i, t), y = element(target, i, t);
		near += fabs((double)scale * x - y) <= unit * fabs(y);
		++*n_seen;
	}
	return near;
}

bool row_scale_fit(struct op *op, const uint8_t *base, const uint8_t *target, uint64_t cols,
	uint64_t first_element, struct buf *scales)
{
	enum lode_delta_type t = op->el.type;
	uint32_t n = op->len / type_bytes(t), n_seen = 0, n_near = 0;
	if (cols < 4 || cols > UINT32_MAX || type_mantissa_bits(t) == 52)
		return false;
	op->cols = (uint32_t)cols;
	op->first = (uint32_t)(first_element % cols);
	op->n_scales = 0;
	scales->len = 0;
	for (uint32_t from = 0, to; from < n; from = to) {
		to = LODE_MIN(n, from + op->cols - (from ? 0 : op->first));
		float scale = fit_row(base, target, from, to, t);
		n_near += count_near(base, target, from, to, t, scale, &n_seen);
		put_bytes(scales, &scale, sizeof(scale));
		op->n_scales++;
		if (n_seen >= 256 && n_near < n_seen / 2)
			return false;
	}
	op->scales = scales->data;
	return !scales->failed && n_near >= n_seen / 2 + 1;
}
