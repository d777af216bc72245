/* SPDX-License-Identifier: BSD-3-Clause */
#include "lowrank.h"

#include "coders.h"
#include "linalg.h"
#include "predict.h"
#include "words.h"

#include <math.h>

#define SAMPLE_MAX 96	      /* rows and columns of the sub-matrix that decides */
#define OVERSAMPLE 4	      /* vectors beyond the rank in the search for the range */
#define N_MAX	   (1u << 24) /* elements of a tensor */
#define N_MIN	   4096
#define GAIN_MIN   0.75 /* bits per element the sample must promise */
#define PROBE_ROWS 64	/* rows on which precisions are compared */

/* One tensor on trial. */
struct update {
	enum lode_delta_type type;
	const uint8_t *base, *target;
	uint32_t rows, cols, rank;
	float *d;      /* target - base, row-major */
	double *u, *v; /* rows x rank, cols x rank */
};

static double load(const uint8_t *p, uint64_t i, enum lode_delta_type t)
{
	uint32_t bits = 0;
	unsigned w = type_bytes(t);
	float f;
	memcpy(&bits, p + i * w, w);
	if (t == LODE_DELTA_F16)
		return f16_to_f32((uint16_t)bits);
	if (t == LODE_DELTA_BF16)
		return bf16_to_f32((uint16_t)bits);
	memcpy(&f, &bits, sizeof(f));
	return f;
}

static double difference(const struct update *m, uint64_t i)
{
	double d = load(m->target, i, m->type) - load(m->base, i, m->type);
	return isfinite(d) ? d : 0;
}

/* ---- is it worth it ---- */

/* Rank with the largest saving, from the spectrum of an evenly spaced sub-matrix; 0: none. */
static uint32_t promising_rank(const struct update *m)
{
	unsigned n = LODE_MIN(SAMPLE_MAX, LODE_MIN(m->rows, m->cols)), best = 0;
	double *sub = calloc(2ul * n * n, sizeof(*sub)), *gram = sub ? sub + n * n : NULL;
	double lambda[LOW_RANK_MAX], rest = 0, total, best_saving = 0;
	double n_elements = (double)m->rows * m->cols;
	if (!sub)
		return 0;
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < n; k++)
			sub[i * n + k] = difference(
				m, (uint64_t)i * m->rows / n * m->cols + (uint64_t)k * m->cols / n);
	gram_rows(sub, n, n, gram);
	largest_eigen(gram, n, LODE_MIN(LOW_RANK_MAX, n), lambda);
	for (unsigned i = 0; i < n; i++)
		rest += gram[i * n + i];
	total = rest;
	for (unsigned r = 1; total > 0 && r <= LOW_RANK_MAX && r < n / 2; r++) {
		rest = LODE_MAX(rest - lambda[r - 1], total * 1e-14);
		double gain = 0.5 * log2(total / rest);
		double saving = gain - 20.0 * r * (m->rows + m->cols) / n_elements;
		if (gain > GAIN_MIN && saving > best_saving + 0.1) {
			best_saving = saving;
			best = r;
		}
	}
	free(sub);
	return best;
}

/* ---- factors ---- */

/* y = D x or D' x, for k vectors stored as rows of length cols (rows) each. */
static void multiply(
	const struct update *m, const double *x, double *y, unsigned k, bool transposed)
{
	memset(y, 0, sizeof(*y) * k * (transposed ? m->cols : m->rows));
	for (uint32_t i = 0; i < m->rows; i++) {
		const float *row = m->d + (uint64_t)i * m->cols;
		for (unsigned j = 0; j < k; j++) {
			const double *xj = x + (uint64_t)j * (transposed ? m->rows : m->cols);
			double *yj = y + (uint64_t)j * (transposed ? m->cols : m->rows);
			if (transposed) {
				for (uint32_t c = 0; c < m->cols; c++)
					yj[c] += row[c] * xj[i];
			} else {
				for (uint32_t c = 0; c < m->cols; c++)
					yj[i] += row[c] * xj[c];
			}
		}
	}
}

/* u and v with u v' ~ D, both scaled by the roots of the singular values. */
static bool factorise(struct update *m)
{
	unsigned k = m->rank + OVERSAMPLE;
	struct lode_rng rng;
	double *q = malloc(sizeof(*q) * k * (m->rows + m->cols)), lambda[LOW_RANK_MAX + OVERSAMPLE];
	double gram[(LOW_RANK_MAX + OVERSAMPLE) * (LOW_RANK_MAX + OVERSAMPLE)];
	double rotate[(LOW_RANK_MAX + OVERSAMPLE) * (LOW_RANK_MAX + OVERSAMPLE)];
	if (!q)
		return false;
	double *b = q + (uint64_t)k * m->rows;
	lode_rng_seed(&rng, 1);
	for (uint64_t i = 0; i < (uint64_t)k * m->cols; i++)
		b[i] = lode_rng_normal(&rng);
	for (unsigned pass = 0; pass < 2; pass++) {
		multiply(m, b, q, k, false);
		orthonormalise(q, k, m->rows);
		multiply(m, q, b, k, true);
	}
	gram_rows(b, k, m->cols, gram);
	symmetric_eigen(gram, k, lambda, rotate);
	for (unsigned r = 0; r < m->rank; r++) {
		double root = sqrt(sqrt(LODE_MAX(lambda[r], 1e-300)));
		for (uint32_t i = 0; i < m->rows; i++) {
			double sum = 0;
			for (unsigned j = 0; j < k; j++)
				sum += q[(uint64_t)j * m->rows + i] * rotate[j * k + r];
			m->u[(uint64_t)i * m->rank + r] = sum * root;
		}
		for (uint32_t i = 0; i < m->cols; i++) {
			double sum = 0;
			for (unsigned j = 0; j < k; j++)
				sum += b[(uint64_t)j * m->cols + i] * rotate[j * k + r];
			m->v[(uint64_t)i * m->rank + r] = sum / root;
		}
	}
	free(q);
	return true;
}

/* ---- precision ---- */

static void quantise(const struct update *m, int half_scale, struct low_rank_factors *f)
{
	size_t n_u = (size_t)m->rows * m->rank, n_v = (size_t)m->cols * m->rank;
	for (size_t i = 0; i < n_u; i++)
		f->numbers[i] = (int32_t)lrint(ldexp(m->u[i], half_scale));
	for (size_t i = 0; i < n_v; i++)
		f->numbers[n_u + i] = (int32_t)lrint(ldexp(m->v[i], half_scale));
	f->lr = (struct low_rank){
		m->rows, m->cols, m->rank, 2 * half_scale, f->numbers, f->numbers + n_u};
}

/* Mean bit length of the residuals of some rows, with the correction or without (lr NULL). */
static double probe_bits(const struct update *m, const struct low_rank *lr)
{
	unsigned w = type_bytes(m->type);
	uint8_t *pred = malloc((size_t)m->cols * w);
	uint64_t sum = 0, n = 0;
	uint32_t step = LODE_MAX(m->rows / PROBE_ROWS, 1u);
	for (uint32_t row = 0; pred && row < m->rows; row += step) {
		struct op op = {.predictor = LODE_DELTA_PREDICT_LOW_RANK,
			.el.type = m->type,
			.len = m->cols * w,
			.first_element = (uint64_t)row * m->cols};
		const uint8_t *want = m->target + op.first_element * w;
		memcpy(pred, m->base + op.first_element * w, op.len);
		if (lr)
			predict_elements(&op, lr, pred);
		for (uint32_t c = 0; c < m->cols; c++, n++) {
			uint64_t z = word_residual(word_load(want + c * w, w),
				word_load(pred + c * w, w), 8 * w, true, COMBINE_DIFF);
			sum += z ? 64u - (unsigned)__builtin_clzll(z) : 0;
		}
	}
	free(pred);
	return n ? (double)sum / (double)n : 64;
}

static double largest(const struct update *m)
{
	double top = 0;
	for (size_t i = 0; i < (size_t)m->rows * m->rank; i++)
		top = LODE_MAX(top, fabs(m->u[i]));
	for (size_t i = 0; i < (size_t)m->cols * m->rank; i++)
		top = LODE_MAX(top, fabs(m->v[i]));
	return top;
}

/* Tries factors of 8 to 26 bits; false when none beats the plain base. */
static bool choose_precision(const struct update *m, struct low_rank_factors *f)
{
	double n = (double)m->rows * m->cols, n_factors = (double)(m->rows + m->cols) * m->rank;
	double plain = probe_bits(m, NULL) * n, best = plain * 0.97;
	int exponent, best_scale = 0;
	frexp(largest(m), &exponent);
	for (int bits = 8; bits <= 26; bits += 2) {
		int half_scale = bits - exponent;
		if (half_scale < 1 || half_scale > 60)
			continue;
		quantise(m, half_scale, f);
		double cost = probe_bits(m, &f->lr) * n + n_factors * bits;
		if (cost < best) {
			best = cost;
			best_scale = half_scale;
		}
	}
	if (best_scale)
		quantise(m, best_scale, f);
	return best_scale != 0;
}

/* ---- the whole ---- */

static struct low_rank_factors *make_factors(struct update *m)
{
	size_t n_factors = (size_t)(m->rows + m->cols) * m->rank;
	struct low_rank_factors *f = calloc(1, sizeof(*f));
	m->d = malloc(sizeof(*m->d) * m->rows * m->cols);
	m->u = malloc(sizeof(*m->u) * n_factors);
	m->v = m->u ? m->u + (size_t)m->rows * m->rank : NULL;
	if (f)
		f->numbers = malloc(sizeof(*f->numbers) * n_factors);
	bool ok = f && f->numbers && m->d && m->u;
	for (uint64_t i = 0; ok && i < (uint64_t)m->rows * m->cols; i++)
		m->d[i] = (float)difference(m, i);
	ok = ok && factorise(m) && choose_precision(m, f);
	free(m->d);
	free(m->u);
	if (ok)
		return f;
	low_rank_free(f);
	return NULL;
}

struct low_rank_factors *low_rank_find(enum lode_delta_type type, const uint8_t *base,
	const uint8_t *target, uint64_t rows, uint64_t cols)
{
	bool has_floats =
		type == LODE_DELTA_F32 || type == LODE_DELTA_F16 || type == LODE_DELTA_BF16;
	if (!has_floats || rows < 16 || cols < 16 || rows > N_MAX || cols > N_MAX ||
		rows * cols < N_MIN || rows * cols > N_MAX)
		return NULL;
	struct update m = {.type = type,
		.base = base,
		.target = target,
		.rows = (uint32_t)rows,
		.cols = (uint32_t)cols};
	m.rank = promising_rank(&m);
	if (!m.rank || (rows + cols) * m.rank > RESOURCE_MAX / 4)
		return NULL;
	return make_factors(&m);
}

void low_rank_free(struct low_rank_factors *f)
{
	if (f)
		free(f->numbers);
	free(f);
}

void low_rank_write(const struct low_rank_factors *f, struct buf *out)
{
	const struct element el = {LODE_DELTA_U32, COMBINE_DIFF, 0};
	size_t n = (size_t)(f->lr.rows + f->lr.cols) * f->lr.rank;
	uint8_t *nothing = calloc(n, 4);
	struct token_model model = {0};
	if (!nothing) {
		out->failed = true;
		return;
	}
	put_u8(out, 1);
	put_varint(out, f->lr.rows);
	put_varint(out, f->lr.cols);
	put_u8(out, (uint8_t)f->lr.rank);
	put_u8(out, (uint8_t)f->lr.scale);
	tokens_encode(&el, nothing, (const uint8_t *)f->numbers, n, &model, out);
	free(nothing);
}
