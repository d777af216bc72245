/* SPDX-License-Identifier: BSD-3-Clause */
#include "rowscale.h"

#include "predict.h"
#include "words.h"

#include <math.h>

#define GAIN_MIN_BITS 1 /* per element, against the unscaled base */

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

static unsigned residual_bits(uint64_t target, uint64_t pred, enum lode_delta_type t)
{
	uint64_t z = word_residual(target, pred, 8 * type_bytes(t), true, COMBINE_DIFF);
	return z ? 64u - (unsigned)__builtin_clzll(z) : 0;
}

/* What a scale did to the bit lengths of the residuals of some elements. */
struct gain {
	uint32_t n_seen;
	int64_t bits; /* saved */
};

/* Tries the scale on up to 64 elements of a row. */
static void measure_row(struct gain *g, const uint8_t *base, const uint8_t *target, uint32_t from,
	uint32_t to, const struct op *op, float scale)
{
	enum lode_delta_type t = op->el.type;
	unsigned w = type_bytes(t);
	uint8_t scaled[64 * 4];
	uint32_t n = LODE_MIN(to - from, 64u);
	struct op row = {.predictor = LODE_DELTA_PREDICT_ROW_SCALE,
		.el = op->el,
		.len = n * w,
		.cols = n,
		.scales = (const uint8_t *)&scale,
		.n_scales = 1};
	memcpy(scaled, base + from * w, n * w);
	predict_elements(&row, NULL, scaled);
	for (uint32_t i = 0; i < n; i++, g->n_seen++) {
		uint64_t want = word_load(target + (from + i) * w, w);
		g->bits += residual_bits(want, word_load(base + (from + i) * w, w), t);
		g->bits -= residual_bits(want, word_load(scaled + i * w, w), t);
	}
}

bool row_scale_fit(struct op *op, const uint8_t *base, const uint8_t *target, uint64_t cols,
	uint64_t first_element, struct buf *scales)
{
	uint32_t n = op->len / type_bytes(op->el.type);
	struct gain gain = {0};
	if (cols < 4 || cols > UINT32_MAX || !predict_allowed(op))
		return false;
	op->cols = (uint32_t)cols;
	op->first = (uint32_t)(first_element % cols);
	op->n_scales = 0;
	scales->len = 0;
	for (uint32_t from = 0, to; from < n; from = to) {
		to = LODE_MIN(n, from + op->cols - (from ? 0 : op->first));
		/* judged on the start of a long row before all of it is read */
		float scale = fit_row(base, target, from, LODE_MIN(to, from + 256), op->el.type);
		measure_row(&gain, base, target, from, to, op, scale);
		if (gain.n_seen >= 128 && gain.bits < GAIN_MIN_BITS * (int64_t)gain.n_seen)
			return false;
		scale = fit_row(base, target, from, to, op->el.type);
		put_bytes(scales, &scale, sizeof(scale));
		op->n_scales++;
	}
	op->scales = scales->data;
	return !scales->failed && gain.bits >= GAIN_MIN_BITS * (int64_t)gain.n_seen;
}
