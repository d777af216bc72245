/* SPDX-License-Identifier: BSD-3-Clause */
/* Linear layers and the steps around them. Included by each kernels_*.c after its vec_*.h. */
#pragma once

#include "activations.h"
#include "scratch.h"

/* Large layers are worth one call; left to itself the compiler copies them to every place of use. */
#define SHARED static __attribute__((noinline))

/* Bytes of 16 inputs; not_finite becomes NaN where one is, as x * 0 is 0 for finite x only. */
INLINE v16i input_bytes(v16f x, const float *mul, const float *add, v16f *not_finite)
{
	*not_finite = vf_fma(x, vf_set1(0), *not_finite);
	v16f y = vf_fma(x, vf_load(mul), vf_load(add));
	return vf_round(vf_min(vf_max(y, vf_set1(0)), vf_set1(255)));
}

/* n floats to bytes. Returns false if one of them is NaN or infinite. mul and add are periodic and
 * padded to 16; writes up to 15 bytes past n. */
INLINE bool quantise_input(
	const float *in, unsigned n, const float *mul, const float *add, uint8_t *out)
{
	v16f not_finite = vf_set1(0);
	unsigned i = 0;
	for (; i + 16 <= n; i += 16)
		vi_store_u8(out + i, input_bytes(vf_load(in + i), mul + i, add + i, &not_finite));
	if (i < n)
		vi_store_u8(out + i,
			input_bytes(vf_load_part(in + i, n - i), mul + i, add + i, &not_finite));
	return !vf_has_nan(not_finite);
}

INLINE v16f scaled_sum(v16i sum, const float *mul, const float *add)
{
	return vf_fma(vf_from_int(sum), vf_load(mul), vf_load(add));
}

/* The integers that a byte sink stores. */
INLINE v16i sunk(v16i sum, const struct lode_nn_model *m, const struct packed_linear *l,
	unsigned vec, const enum sink sink)
{
	const float *mul = model_at(m, l->mul), *add = model_at(m, l->add);
	v16f y = scaled_sum(sum, mul + 16 * vec, add + 16 * vec);
	if (sink == SINK_GELU)
		y = gelu(y, model_at(m, l->table));
	return vf_round(y);
}

/* Stores n_vecs results from output vec on, of one row. out points to the row, bytes or floats. */
INLINE void sink_row(const v16i *sum, const struct lode_nn_model *m, const struct packed_linear *l,
	unsigned vec, const unsigned n_vecs, const enum sink sink, void *out)
{
	const float *mul = model_at(m, l->mul), *add = model_at(m, l->add);
	unsigned v = 0;
	if (sink == SINK_F32) {
		for (; v < n_vecs; v++)
			vf_store((float *)out + 16 * (vec + v),
				scaled_sum(sum[v], mul + 16 * (vec + v), add + 16 * (vec + v)));
		return;
	}
	UNROLL
	for (; v + 4 <= n_vecs; v += 4)
		vi_store_u8x4((uint8_t *)out + 16 * (vec + v), sunk(sum[v], m, l, vec + v, sink),
			sunk(sum[v + 1], m, l, vec + v + 1, sink),
			sunk(sum[v + 2], m, l, vec + v + 2, sink),
			sunk(sum[v + 3], m, l, vec + v + 3, sink));
	if (n_vecs % 4 == 1)
		vi_store_u8((uint8_t *)out + 16 * (vec + v), sunk(sum[v], m, l, vec + v, sink));
	if (n_vecs % 4 == 2)
		vi_store_u8x4((uint8_t *)out + 16 * (vec + v), sunk(sum[v], m, l, vec + v, sink),
			sunk(sum[v + 1], m, l, vec + v + 1, sink), vi_set1(0), vi_set1(0));
}

/* Where vector vec of a layer starts and how far its k-groups are apart. */
INLINE const int8_t *panel(const struct lode_nn_model *m, const struct packed_linear *l,
	unsigned vec, unsigned *w_stride)
{
	unsigned first = vec / PANEL_VECS * PANEL_VECS;
	unsigned width = LODE_MIN(l->n_vecs - first, (unsigned)PANEL_VECS);
	*w_stride = 64 * width;
	return (const int8_t *)model_at(m, l->weights) + (size_t)first * 64 * l->k_padded +
	       64 * (vec - first);
}

INLINE void linear_part(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, void *out, unsigned vec, const unsigned n_vecs, const unsigned n_split,
	const enum sink sink)
{
	v16i sum[PANEL_VECS];
	unsigned w_stride;
	const int8_t *w = panel(m, l, vec, &w_stride);
	dot_row(sum, in, w, w_stride, l->k_padded, n_vecs, n_split);
	sink_row(sum, m, l, vec, n_vecs, sink, out);
}

/* A layer of one panel, what most are: everything but the number of inputs is a constant. */
INLINE void linear_panel(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, void *out, const unsigned n_vecs, const unsigned n_split,
	const enum sink sink)
{
	v16i sum[PANEL_VECS];
	dot_row(sum, in, model_at(m, l->weights), 64 * n_vecs, l->k_padded, n_vecs, n_split);
	sink_row(sum, m, l, 0, n_vecs, sink, out);
}

INLINE void linear_panels(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, void *out, const enum sink sink)
{
	unsigned vec = 0;
	for (; vec + 8 <= l->n_vecs; vec += 8)
		linear_part(m, l, in, out, vec, 8, 2, sink);
	if (vec + 4 <= l->n_vecs) {
		linear_part(m, l, in, out, vec, 4, 4, sink);
		vec += 4;
	}
	if (vec + 2 <= l->n_vecs) {
		linear_part(m, l, in, out, vec, 2, 4, sink);
		vec += 2;
	}
	if (vec < l->n_vecs)
		linear_part(m, l, in, out, vec, 1, 8, sink);
}

INLINE void linear_row_to(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, void *out, const enum sink sink)
{
	switch (l->n_vecs) {
	case 2:
		linear_panel(m, l, in, out, 2, 4, sink);
		break;
	case 4:
		linear_panel(m, l, in, out, 4, 4, sink);
		break;
	case 8:
		linear_panel(m, l, in, out, 8, 2, sink);
		break;
	default:
		linear_panels(m, l, in, out, sink);
	}
}

/* A narrow layer's result for one row. */
INLINE v16f narrow_row(
	const struct lode_nn_model *m, const struct packed_linear *l, const uint8_t *in)
{
	const int8_t *w = model_at(m, l->weights);
	v16i sum = l->n_rows == 4 ? dot_narrow(in, w, l->k_padded / 4, 4)
				  : dot_narrow(in, w, l->k_padded / 4, 8);
	return scaled_sum(sum, model_at(m, l->mul), model_at(m, l->add));
}

/* out = the layer's result for one row, as its sink says. */
SHARED void linear_row(
	const struct lode_nn_model *m, const struct packed_linear *l, const uint8_t *in, void *out)
{
	if (l->n_rows)
		vf_store(out, narrow_row(m, l, in));
	else if (l->sink == SINK_F32)
		linear_row_to(m, l, in, out, SINK_F32);
	else if (l->sink == SINK_U8)
		linear_row_to(m, l, in, out, SINK_U8);
	else
		linear_row_to(m, l, in, out, SINK_GELU);
}

INLINE void linear_tile(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, size_t in_stride, uint8_t *out, size_t out_stride, unsigned vec,
	const unsigned n_vecs, const enum sink sink)
{
	v16i sum[16];
	unsigned w_stride;
	const int8_t *w = panel(m, l, vec, &w_stride);
	if (n_vecs == 1)
		dot_tile(sum, in, in_stride, w, w_stride, l->k_padded, 1, 4);
	else
		dot_tile(sum, in, in_stride, w, w_stride, l->k_groups, n_vecs, 1);
	for (unsigned r = 0; r < 4; r++)
		sink_row(sum + r * n_vecs, m, l, vec, n_vecs, sink, out + r * out_stride);
}

INLINE void linear_rows_to(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, size_t in_stride, uint8_t *out, size_t out_stride, unsigned n_rows,
	const enum sink sink)
{
	unsigned vec = 0;
	for (; vec + 4 <= l->n_vecs; vec += 4)
		for (unsigned r = 0; r < n_rows; r += 4)
			linear_tile(m, l, in + r * in_stride, in_stride, out + r * out_stride,
				out_stride, vec, 4, sink);
	for (; vec < l->n_vecs; vec++)
		for (unsigned r = 0; r < n_rows; r += 4)
			linear_tile(m, l, in + r * in_stride, in_stride, out + r * out_stride,
				out_stride, vec, 1, sink);
}

/* n_rows a multiple of 4; strides in bytes. */
SHARED void linear_rows(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, size_t in_stride, void *out, size_t out_stride, unsigned n_rows)
{
	for (unsigned r = 0; l->n_rows && r < n_rows; r++)
		vf_store((float *)((uint8_t *)out + r * out_stride),
			narrow_row(m, l, in + r * in_stride));
	if (l->n_rows)
		return;
	if (l->sink == SINK_F32)
		linear_rows_to(m, l, in, in_stride, out, out_stride, n_rows, SINK_F32);
	else if (l->sink == SINK_U8)
		linear_rows_to(m, l, in, in_stride, out, out_stride, n_rows, SINK_U8);
	else
		linear_rows_to(m, l, in, in_stride, out, out_stride, n_rows, SINK_GELU);
}

/* ---- the network's last step ---- */

static void softmax(float *v, unsigned n)
{
	float max = v[0], total = 0;
	for (unsigned i = 1; i < n; i++)
		max = v[i] > max ? v[i] : max;
	for (unsigned i = 0; i < n; i += 16) {
		v16f z = vf_mul(vf_sub(vf_load(v + i), vf_set1(max)), vf_set1(LOG2E));
		vf_store(v + i, exp2_fine(vf_clamp_abs(z, vf_set1(120))));
	}
	for (unsigned i = 0; i < n; i++)
		total += v[i];
	for (unsigned i = 0; i < n; i += 16)
		vf_store(v + i, vf_div(vf_load(v + i), vf_set1(total)));
}

/* v: the head's n_out values, padded to 16; changed. */
SHARED void finish_other(const struct lode_nn_desc *d, float *v, float *out)
{
	unsigned n = d->n_out;
	if (d->output == LODE_NN_OUT_SOFTMAX)
		softmax(v, n);
	if (d->output == LODE_NN_OUT_SIGMOID_FIRST)
		vf_store_part(v, 1, sigmoid(vf_load(v)));
	for (unsigned i = 0; d->output == LODE_NN_OUT_SIGMOID && i < n; i += 16)
		vf_store(v + i, sigmoid(vf_load(v + i)));
	for (unsigned i = 0; i < n; i += 16)
		vf_store_part(out + i, LODE_MIN(n - i, 16u), vf_load(v + i));
}

INLINE void finish(const struct lode_nn_desc *d, float *v, float *out)
{
	if (d->output == LODE_NN_OUT_LINEAR && d->n_out <= 16)
		vf_store_part(out, d->n_out, vf_load(v));
	else
		finish_other(d, v, out);
}
