/* SPDX-License-Identifier: BSD-3-Clause */
/* Predictors: base bytes to predicted elements, in exactly the same bits on every machine (single IEEE
 * operations, round to nearest even, no contraction). */
#pragma once

#include "format.h"

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f); /* round to nearest even, NaN stays a quiet NaN */
static inline float bf16_to_f32(uint16_t h)
{
	uint32_t v = (uint32_t)h << 16;
	float f;
	memcpy(&f, &v, sizeof(f));
	return f;
}
uint16_t f32_to_bf16(float f);

/* Base bytes an op needs: its own length, half or twice of it for casts, 0 without prediction. */
uint32_t predict_base_bytes(const struct op *op);
/* Whether the op's types allow its predictor. */
bool predict_allowed(const struct op *op);
/* In place: the op's base bytes lie at buf + predict_base_at, afterwards the prediction is in buf[0 ..
 * len). lr may be NULL unless the predictor is LOW_RANK. */
uint32_t predict_base_at(const struct op *op);
void predict_elements(const struct op *op, const struct low_rank *lr, uint8_t *buf);
