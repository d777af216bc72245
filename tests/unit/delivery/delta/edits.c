/* SPDX-License-Identifier: BSD-3-Clause */
#include "edits.h"

#include "predict.h"

#include <math.h>

static double get_number(const uint8_t *p, size_t i, enum lode_delta_type t)
{
	unsigned w = type_bytes(t);
	uint64_t v = 0;
	float f;
	double d;
	memcpy(&v, p + i * w, w);
	switch (t) {
	case LODE_DELTA_F64:
		memcpy(&d, &v, 8);
		return d;
	case LODE_DELTA_F32:
		memcpy(&f, &v, 4);
		return f;
	case LODE_DELTA_F16:
		return f16_to_f32((uint16_t)v);
	case LODE_DELTA_BF16:
		return bf16_to_f32((uint16_t)v);
	default:
		return (double)v;
	}
}

static void put_number(uint8_t *p, size_t i, enum lode_delta_type t, double d)
{
	unsigned w = type_bytes(t);
		uint64_t v = fabs(d) < 9e18 ? (uint64_t)(int64_t)d : 0;
	float f = (float)d;
	if (t == LODE_DELTA_F64)
		memcpy(&v, &d, 8);
	else if (t == LODE_DELTA_F32)
		memcpy(&v, &f, 4);
	else if (t == LODE_DELTA_F16)
		v = f32_to_f16(f);
	else if (t == LODE_DELTA_BF16)
		v = f32_to_bf16(f);
	memcpy(p + i * w, &v, w);
}

static double unit_of(enum lode_delta_type t)
{
	return type_is_float(t) ? 0.03 : t == LODE_DELTA_U8 ? 25 : 1000;
}

void draw_elements(struct lode_rng *rng, enum lode_delta_type t, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_number(to, i, t, unit_of(t) * lode_rng_normal(rng));
}

static double edited(struct lode_rng *rng, enum edit e, enum lode_delta_type t, double d)
{
	switch (e) {
	case EDIT_FINETUNE:
		return d + 0.01 * unit_of(t) * lode_rng_normal(rng);
	case EDIT_SPARSE:
		return lode_rng_below(rng, 20) ? d : d + unit_of(t);
	case EDIT_PRUNE:
		return lode_rng_below(rng, 2) ? d : d * 0;
	case EDIT_RETRAIN:
		return unit_of(t) * lode_rng_normal(rng);
	default:
		return d;
	}
}

void edit_elements(struct lode_rng *rng, enum edit e, enum lode_delta_type t, const uint8_t *from,
	uint8_t *to, size_t n, size_t cols)
{
	unsigned w = type_bytes(t);
	double scale = 1.07, row = 0;
	if (e == EDIT_NONE)
		memcpy(to, from, n * w);
	for (size_t i = 0; i < n && e != EDIT_NONE; i++) {
		double d = get_number(from, i, t);
		uint64_t bits = lode_rng_u64(rng);
		if (i % cols == 0) {
			scale = 0.9 + 0.2 * lode_rng_unit(rng);
			row = 0.01 * unit_of(t) * lode_rng_normal(rng);
		}
		if (e == EDIT_NOISE)
			memcpy(to + i * w, &bits, w);
		else if (e == EDIT_SCALE)
			put_number(to, i, t, d * scale);
		else if (e == EDIT_LOW_RANK)
			put_number(to, i, t, d + row * (1 + (double)(i % cols * 37 % 19)));
		else
			put_number(to, i, t, edited(rng, e, t, d));
	}
}
