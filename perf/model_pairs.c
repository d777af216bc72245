/* SPDX-License-Identifier: BSD-3-Clause */
#include "model_pairs.h"

#include "lode_base.h"
#include "lode_package.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define VOCABULARY  2048
#define LORA_RANK   8
#define MAX_TENSORS 512

const struct pair_recipe pair_recipes[] = {
	{"ft-f32-r.01", PAIR_FINETUNE, PAIR_F32, 0.01},
	{"ft-f32-r.0005", PAIR_FINETUNE, PAIR_F32, 0.0005},
	{"head-f32", PAIR_HEAD, PAIR_F32, 0.01},
	{"lora8-f32", PAIR_LORA, PAIR_F32, 0.01},
	{"prune50-f32", PAIR_PRUNE, PAIR_F32, 0},
	{"retrain-f32", PAIR_RETRAIN, PAIR_F32, 0},
	{"ft-bf16-r.01", PAIR_FINETUNE, PAIR_BF16, 0.01},
	{"lora8-bf16", PAIR_LORA, PAIR_BF16, 0.01},
	{"tiny-bf16", PAIR_FINETUNE, PAIR_BF16, 0.0005},
	{"ft-f16-r.01", PAIR_FINETUNE, PAIR_F16, 0.01},
	{"ft-int8-r.01", PAIR_FINETUNE, PAIR_I8, 0.01},
};
const unsigned n_pair_recipes = LODE_ARRAY_LEN(pair_recipes);

/* One matrix in both versions, as floats. */
struct matrix {
	uint64_t rows, cols;
	double std;
	float *base, *target;
};

static double draw_scale(struct lode_rng *rng)
{
	return exp(0.3 * lode_rng_normal(rng));
}

static void draw_rows(struct matrix *m, float *to, struct lode_rng *rng)
{
	for (uint64_t i = 0; i < m->rows; i++) {
		double std = m->std * draw_scale(rng);
		for (uint64_t k = 0; k < m->cols; k++)
			to[i * m->cols + k] = (float)(std * lode_rng_normal(rng));
	}
}

static void finetune(struct matrix *m, double r, struct lode_rng *rng)
{
	for (uint64_t i = 0; i < m->rows; i++) {
		double std = r * m->std * draw_scale(rng);
		for (uint64_t k = 0; k < m->cols; k++)
			m->target[i * m->cols + k] =
				m->base[i * m->cols + k] + (float)(std * lode_rng_normal(rng));
	}
}

static void add_low_rank(struct matrix *m, double r, struct lode_rng *rng)
{
	double *a = malloc((m->rows + m->cols) * LORA_RANK * sizeof(*a));
	double *b = a ? a + m->rows * LORA_RANK : NULL;
	double unit = sqrt(r * m->std / sqrt(LORA_RANK));
	for (uint64_t i = 0; a && i < (m->rows + m->cols) * LORA_RANK; i++)
		a[i] = unit * lode_rng_normal(rng);
	for (uint64_t i = 0; a && i < m->rows; i++)
		for (uint64_t k = 0; k < m->cols; k++) {
			double sum = 0;
			for (unsigned j = 0; j < LORA_RANK; j++)
				sum += a[i * LORA_RANK + j] * b[k * LORA_RANK + j];
			m->target[i * m->cols + k] = m->base[i * m->cols + k] + (float)sum;
		}
	free(a);
}

/* Multiplies with a mask, so that negative weights become -0. */
static void prune(struct matrix *m)
{
	double threshold = 0.6745 * m->std; /* half of a Gaussian's weights are below */
	for (uint64_t i = 0; i < m->rows * m->cols; i++)
		m->target[i] = m->base[i] * (fabs(m->base[i]) >= threshold ? 1.0f : 0.0f);
}

static int draw_matrix(
	struct matrix *m, const struct pair_recipe *r, bool last, struct lode_rng *rng)
{
	uint64_t n = m->rows * m->cols;
	m->base = malloc(2 * n * sizeof(float));
	if (!m->base)
		return -ENOMEM;
	m->target = m->base + n;
	draw_rows(m, m->base, rng);
	memcpy(m->target, m->base, n * sizeof(float));
	if (r->kind == PAIR_FINETUNE || (r->kind == PAIR_HEAD && last))
		finetune(m, r->r, rng);
	else if (r->kind == PAIR_LORA)
		add_low_rank(m, r->r, rng);
	else if (r->kind == PAIR_PRUNE)
		prune(m);
	else if (r->kind == PAIR_RETRAIN)
		draw_rows(m, m->target, rng);
	return 0;
}

/* ---- storage types ---- */

static uint16_t to_bf16(float f)
{
	uint32_t v;
	memcpy(&v, &f, sizeof(v));
	return (uint16_t)((v + 0x7fff + (v >> 16 & 1)) >> 16);
}

/* Weights here are normal numbers or zero in float16 once values below 2^-14 are flushed. */
static uint16_t to_f16(float f)
{
	uint32_t v;
	memcpy(&v, &f, sizeof(v));
	uint32_t sign = v >> 16 & 0x8000, magnitude = v & 0x7fffffff;
	if (magnitude < 0x38800000)
		return (uint16_t)sign;
	return (uint16_t)(sign | (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}

static uint8_t to_i8(float f, double std)
{
	double q = rint(f / (4 * std / 127));
	return (uint8_t)(int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
}

/* In place: narrower elements overwrite the floats they came from. */
static void store(float *values, uint64_t n, double std, enum pair_dtype dtype)
{
	uint8_t *to = (uint8_t *)values;
	for (uint64_t i = 0; i < n && dtype != PAIR_F32; i++) {
		float f = values[i];
		uint16_t h = dtype == PAIR_BF16 ? to_bf16(f) : dtype == PAIR_F16 ? to_f16(f) : 0;
		if (dtype == PAIR_I8)
			to[i] = to_i8(f, std);
		else
			memcpy(to + 2 * i, &h, sizeof(h));
	}
}

static int write_images(struct matrix *m, char (*names)[32], unsigned n, enum pair_dtype dtype,
	struct model_pair *out)
{
	static const enum lode_dtype dtypes[] = {LODE_F32, LODE_BF16, LODE_F16, LODE_I8};
	struct lode_tensor_out base[MAX_TENSORS], target[MAX_TENSORS];
	for (unsigned i = 0; i < n; i++) {
		store(m[i].base, m[i].rows * m[i].cols, m[i].std, dtype);
		store(m[i].target, m[i].rows * m[i].cols, m[i].std, dtype);
		base[i] = (struct lode_tensor_out){
			names[i], dtypes[dtype], 2, {m[i].rows, m[i].cols}, m[i].base};
		target[i] = base[i];
		target[i].data = m[i].target;
	}
	int rc = lode_safetensors_write(base, n, NULL, 0, &out->base, &out->base_len, NULL);
	if (!rc)
		rc = lode_safetensors_write(
			target, n, NULL, 0, &out->target, &out->target_len, NULL);
	return rc;
}

int model_pair_make(const struct pair_recipe *r, unsigned n_layers, unsigned width, uint64_t seed,
	struct model_pair *out)
{
	const unsigned shapes[4][2] = {
		{3 * width, width}, {width, width}, {4 * width, width}, {width, 4 * width}};
	struct matrix m[MAX_TENSORS] = {0};
	char names[MAX_TENSORS][32];
	struct lode_rng rng;
	unsigned n = 0;
	int rc = 0;
	lode_rng_seed(&rng, seed);
	*out = (struct model_pair){0};
	for (unsigned layer = 0; layer < n_layers && n + 5 < MAX_TENSORS; layer++)
		for (unsigned k = 0; k < 4; k++, n++) {
			snprintf(names[n], sizeof(names[n]), "layer%03u.%u", layer, k);
			m[n] = (struct matrix){
				shapes[k][0], shapes[k][1], 0.02 + 0.01 * k, NULL, NULL};
		}
	snprintf(names[n], sizeof(names[n]), "zz.head");
	m[n++] = (struct matrix){VOCABULARY, width, 0.03, NULL, NULL};
	for (unsigned i = 0; i < n && !rc; i++)
		rc = draw_matrix(&m[i], r, i == n - 1, &rng);
	if (!rc)
		rc = write_images(m, names, n, r->dtype, out);
	for (unsigned i = 0; i < n; i++)
		free(m[i].base);
	if (rc) {
		free(out->base);
		free(out->target);
		*out = (struct model_pair){0};
	}
	return rc;
}
