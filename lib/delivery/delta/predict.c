/* SPDX-License-Identifier: BSD-3-Clause */
#include "predict.h"

#include <math.h>

static uint32_t float_bits(float f)
{
	uint32_t v;
	memcpy(&v, &f, sizeof(v));
	return v;
}

static float bits_float(uint32_t v)
{
	float f;
	memcpy(&f, &v, sizeof(f));
	return f;
}

float f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
	if (e == 31)
		return bits_float(sign | 0x7f800000 | m << 13);
	if (e)
		return bits_float(sign | (e + 112) << 23 | m << 13);
	float f = (float)m * 0x1p-24f;
	return sign ? -f : f;
}

uint16_t f32_to_f16(float f)
{
	uint32_t v = float_bits(f), magnitude = v & 0x7fffffff;
	uint16_t sign = (uint16_t)(v >> 16 & 0x8000);
	if (magnitude > 0x7f800000)
		return sign | 0x7e00 | (uint16_t)(magnitude >> 13 & 0x3ff);
	if (magnitude >= 0x477ff000) /* rounds to infinity */
		return sign | 0x7c00;
	if (magnitude < 0x38800000) { /* subnormal: the addition rounds at 2^-24 */
		float sum = bits_float(magnitude) + 0.5f;
		return sign | (uint16_t)(float_bits(sum) - 0x3f000000);
	}
	uint32_t odd = magnitude >> 13 & 1;
	return sign | (uint16_t)((magnitude + 0xfff + odd - 0x38000000) >> 13);
}

uint16_t f32_to_bf16(float f)
{
	uint32_t v = float_bits(f);
	if ((v & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(v >> 16 | 0x40);
	return (uint16_t)((v + 0x7fff + (v >> 16 & 1)) >> 16);
}

static inline float load_float(const uint8_t *p, enum lode_delta_type t)
{
	uint32_t v = 0;
	if (t == LODE_DELTA_F32) {
		memcpy(&v, p, 4);
		return bits_float(v);
	}
	memcpy(&v, p, 2);
	return t == LODE_DELTA_F16 ? f16_to_f32((uint16_t)v) : bf16_to_f32((uint16_t)v);
}

static inline void store_float(uint8_t *p, enum lode_delta_type t, float f)
{
	if (t == LODE_DELTA_F32) {
		memcpy(p, &f, 4);
		return;
	}
	uint16_t v = t == LODE_DELTA_F16 ? f32_to_f16(f) : f32_to_bf16(f);
	memcpy(p, &v, 2);
}

static bool has_float_arithmetic(enum lode_delta_type t)
{
	return t == LODE_DELTA_F32 || t == LODE_DELTA_F16 || t == LODE_DELTA_BF16;
}

bool predict_allowed(const struct op *op)
{
	switch (op->predictor) {
	case LODE_DELTA_PREDICT_NONE:
	case LODE_DELTA_PREDICT_BASE:
		return true;
	case LODE_DELTA_PREDICT_ROW_SCALE:
	case LODE_DELTA_PREDICT_LOW_RANK:
		return has_float_arithmetic(op->el.type);
	case LODE_DELTA_PREDICT_CAST:
		return has_float_arithmetic(op->el.type) && has_float_arithmetic(op->base_type) &&
		       op->el.type != op->base_type;
	default:
		return false;
	}
}

uint32_t predict_base_bytes(const struct op *op)
{
	if (op->predictor == LODE_DELTA_PREDICT_NONE)
		return 0;
	if (op->predictor != LODE_DELTA_PREDICT_CAST)
		return op->len;
	return op->len / type_bytes(op->el.type) * type_bytes(op->base_type);
}

uint32_t predict_base_at(const struct op *op)
{
	uint32_t n = predict_base_bytes(op);
	return n && n < op->len ? op->len - n : 0;
}

/* Not a number and infinity stay what the base has. */
static void predict_row_scale(const struct op *op, uint8_t *buf)
{
	unsigned w = type_bytes(op->el.type);
	uint32_t n = op->len / w, column = op->first;
	const uint8_t *scale_at = op->scales;
	float scale = bits_float(lode_load_le32(scale_at));
	for (uint32_t i = 0; i < n; i++, column++) {
		if (column == op->cols) {
			column = 0;
			scale_at += 4;
			scale = bits_float(lode_load_le32(scale_at));
		}
		float f = load_float(buf + i * w, op->el.type);
		if (isfinite(f))
			store_float(buf + i * w, op->el.type, f * scale);
	}
}

static void predict_low_rank(const struct op *op, const struct low_rank *lr, uint8_t *buf)
{
	unsigned w = type_bytes(op->el.type);
	uint32_t n = op->len / w;
	uint64_t row = op->first_element / lr->cols, column = op->first_element % lr->cols;
	double unit = ldexp(1, -lr->scale);
	for (uint32_t i = 0; i < n; i++, column++) {
		if (column == lr->cols) {
			column = 0;
			row++;
		}
		const int32_t *u = lr->u + row * lr->rank, *v = lr->v + column * lr->rank;
		int64_t dot = 0;
		for (uint32_t k = 0; k < lr->rank; k++)
			dot += (int64_t)u[k] * v[k];
		float f = load_float(buf + i * w, op->el.type);
		if (isfinite(f))
			store_float(
				buf + i * w, op->el.type, (float)((double)f + (double)dot * unit));
	}
}

static void predict_cast(const struct op *op, uint8_t *buf)
{
	unsigned w = type_bytes(op->el.type), base_w = type_bytes(op->base_type);
	const uint8_t *from = buf + predict_base_at(op);
	for (uint32_t i = 0; i < op->len / w; i++)
		store_float(buf + i * w, op->el.type, load_float(from + i * base_w, op->base_type));
}

void predict_elements(const struct op *op, const struct low_rank *lr, uint8_t *buf)
{
	switch (op->predictor) {
	case LODE_DELTA_PREDICT_NONE:
		memset(buf, 0, op->len);
		break;
	case LODE_DELTA_PREDICT_ROW_SCALE:
		predict_row_scale(op, buf);
		break;
	case LODE_DELTA_PREDICT_LOW_RANK:
		predict_low_rank(op, lr, buf);
		break;
	case LODE_DELTA_PREDICT_CAST:
		predict_cast(op, buf);
		break;
	default:
		break;
	}
}
