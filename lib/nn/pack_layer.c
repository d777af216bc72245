/* SPDX-License-Identifier: BSD-3-Clause */
/* One layer at a time. Scales and offsets are folded in double precision here, so that running is one multiply-add per
 * output. */
#include "pack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct range range_of(const struct weights *w, const char *point)
{
	char name[LODE_NN_NAME_BYTES];
	snprintf(name, sizeof(name), "%s.range", point);
	const float *v = weights_find(w, name)->data;
	return (struct range){.low = v[0], .step = v[1]};
}

struct quantiser quantiser_of(struct range r)
{
	return (struct quantiser){.mul = (float)(1 / r.step), .add = (float)(-r.low / r.step)};
}

const void *tensor_data(const struct weights *w, const char *layer, const char *suffix)
{
	char name[LODE_NN_NAME_BYTES];
	snprintf(name, sizeof(name), "%s%s", layer, suffix);
	return weights_find(w, name)->data;
}

void source_open(struct source *s, const struct weights *w, const char *layer, unsigned first_row,
	unsigned n_rows)
{
	char name[LODE_NN_NAME_BYTES];
	snprintf(name, sizeof(name), "%s.weight", layer);
	snprintf(s->name, sizeof(s->name), "%s", layer);
	const struct lode_nn_tensor *t = weights_find(w, name);
	s->weight = t->data;
	s->scale = tensor_data(w, layer, ".scale");
	s->bias = tensor_data(w, layer, ".bias");
	s->n_cols = t->dims[1];
	for (unsigned i = 0; i < LODE_ARRAY_LEN(s->row); i++)
		s->row[i] = (int16_t)(i < n_rows ? (int)(first_row + i) : NONE);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(s->col); i++)
		s->col[i] = (int16_t)(i < s->n_cols ? (int)i : NONE);
}

void reads_point(struct source *s, struct range r)
{
	s->in_step = r.step;
	for (unsigned i = 0; i < LODE_NN_MAX_HIDDEN; i++)
		s->in_offset[i] = r.low / r.step;
}

void reads_features(struct source *s, const struct lode_nn_desc *d, const struct weights *w)
{
	const float *range = tensor_data(w, "in", ".range");
	s->in_step = 1;
	for (unsigned i = 0; i < s->n_cols; i++) {
		unsigned f = i % d->n_in;
		s->in_offset[i] = (double)range[2 * f] / range[2 * f + 1];
	}
}

static int8_t weight_at(const struct source *s, unsigned out, unsigned in)
{
	if (s->row[out] == NONE || s->col[in] == NONE)
		return 0;
	return s->weight[(size_t)s->row[out] * s->n_cols + (unsigned)s->col[in]];
}

static void put_weights(
	struct lode_nn_model *m, const struct packed_linear *l, const struct source *s)
{
	int8_t *to = (int8_t *)m + l->weights;
	for (unsigned in = 0; l->n_rows && in < 4u * l->k_padded; in += 16)
		for (unsigned out = 0; out < l->n_rows; out++)
			for (unsigned i = 0; i < 16; i++)
				*to++ = weight_at(s, out, in + i);
	if (l->n_rows)
		return;
	for (unsigned first = 0; first < l->n_vecs; first += PANEL_VECS) {
		unsigned end = LODE_MIN(first + PANEL_VECS, (unsigned)l->n_vecs);
		for (unsigned g = 0; g < l->k_padded; g++)
			for (unsigned out = 16 * first; out < 16 * end; out++)
				for (unsigned i = 0; i < 4; i++)
					*to++ = weight_at(s, out, 4 * g + i);
	}
}

/* The layer in real numbers, per packed output: y = sum * mul + add. reach: largest |sum|. */
struct real {
	double mul, add, reach;
};

static struct real real_output(const struct packed_linear *l, const struct source *s, unsigned out)
{
	if (s->row[out] == NONE)
		return (struct real){0};
	unsigned row = (unsigned)s->row[out];
	struct real r = {.mul = s->scale[row] * s->in_step, .add = s->bias[row]};
	for (unsigned i = 0; i < 4u * l->k_padded; i++) {
		int w = weight_at(s, out, i);
		if (w)
			r.add += r.mul * w * s->in_offset[s->col[i]];
		r.reach += 255 * abs(w);
	}
	return r;
}

static double gelu(double x)
{
	return x / (1 + exp(-2 * 0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

/* Coefficients c0, c1, c2 of each segment's quadratic in t = u - segment, through the Chebyshev
 * points of [-1/2, 1/2]. */
static void gelu_table(float *table, struct range out)
{
	const double node = 0.4330127018922193; /* sqrt(3) / 4 */
	for (int s = 0; s < 16; s++) {
		double c[3] = {0}, x = (s - GELU_ZERO) / GELU_PER_UNIT;
		if (s == 15) {
			c[0] = x;
			c[1] = 1 / GELU_PER_UNIT;
		} else if (s > 0) {
			double below = gelu(x - node / GELU_PER_UNIT);
			double above = gelu(x + node / GELU_PER_UNIT);
			c[0] = gelu(x);
			c[1] = (above - below) / (2 * node);
			c[2] = (above + below - 2 * c[0]) / (2 * node * node);
		}
		table[s] = (float)((c[0] - out.low) / out.step);
		table[16 + s] = (float)(c[1] / out.step);
		table[32 + s] = (float)(c[2] / out.step);
	}
}

int pack_linear(struct lode_nn_model *m, unsigned index, const struct source *s,
	const struct range *out, struct lode_err *err)
{
	const struct packed_linear *l = &m->linear[index];
	float *mul = (float *)((uint8_t *)m + l->mul), *add = (float *)((uint8_t *)m + l->add);
	put_weights(m, l, s);
	if (l->sink == SINK_GELU)
		gelu_table((float *)((uint8_t *)m + l->table), *out);
	for (unsigned i = 0; i < 16u * l->n_vecs; i++) {
		struct real r = real_output(l, s, i);
		double per_step = out ? 1 / out->step : 1;
		double largest = (r.reach * r.mul + fabs(r.add)) * per_step;
		mul[i] = (float)(r.mul * per_step);
		add[i] = (float)(out ? (r.add - out->low) * per_step : r.add);
		if (l->sink == SINK_GELU) {
			mul[i] = (float)(r.mul * GELU_PER_UNIT);
			add[i] = (float)(r.add * GELU_PER_UNIT + GELU_ZERO);
		}
		if (!(largest < 0x1p30))
			return lode_err_set(err, -ERANGE,
				"layer %s, output %u: reaches %g of its steps, allowed is 2^30",
				s->name, i, largest);
	}
	return 0;
}

void pack_input(struct lode_nn_model *m, const struct weights *w, unsigned n_floats)
{
	const float *range = tensor_data(w, "in", ".range");
	float *mul = (float *)((uint8_t *)m + m->in_mul),
	      *add = (float *)((uint8_t *)m + m->in_add);
	for (unsigned i = 0; i < ALIGN_UP(n_floats, 16u); i++) {
		unsigned f = i % m->desc.n_in;
		double low = range[2 * f], step = range[2 * f + 1];
		mul[i] = (float)(1 / step);
		add[i] = (float)(-low / step);
	}
}

int activation_range(const struct lode_nn_desc *d, const struct weights *w, const char *point,
	struct range *r, struct lode_err *err)
{
	*r = range_of(w, point);
	if (d->activation == LODE_NN_RELU && r->low != 0)
		return lode_err_set(err, -EINVAL,
			"tensor %s.range: low must be 0 after a ReLU, found %g", point, r->low);
	return 0;
}

int symmetric_range(
	const struct weights *w, const char *point, struct range *r, struct lode_err *err)
{
	*r = range_of(w, point);
	if (r->low != -128 * r->step)
		return lode_err_set(err, -EINVAL,
			"tensor %s.range: low must be -128 steps, found %g of %g", point, r->low,
			r->step);
	return 0;
}
