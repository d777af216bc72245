/* SPDX-License-Identifier: BSD-3-Clause */
/* MLP: one row, or up to MAX_ROWS rows in tiles of four. */
#pragma once

#include "run_linear.h"

/* The common case, bytes between layers, is worth a copy of its own. */
INLINE void hidden_layer(const struct lode_nn_model *m, const struct packed_linear *l,
	const uint8_t *in, uint8_t *out)
{
	if (l->sink == SINK_U8)
		linear_row_to(m, l, in, out, SINK_U8);
	else
		linear_row(m, l, in, out);
}

static void mlp_head(const struct lode_nn_model *m, struct mlp_scratch *s,
	const struct packed_linear *l, const uint8_t *in, float *out)
{
	if (l->n_rows && m->desc.output == LODE_NN_OUT_LINEAR) {
		vf_store_part(out, m->desc.n_out, narrow_row(m, l, in));
		return;
	}
	linear_row(m, l, in, s->head);
	finish(&m->desc, s->head, out);
}

SHARED int mlp_one(
	const struct lode_nn_model *m, struct mlp_scratch *s, const float *in, float *out)
{
	const struct packed_linear *l = m->linear, *last = l + m->n_linears - 1;
	uint8_t *from = s->bytes[0], *to = s->bytes[1];
	if (!quantise_input(in, window_floats(&m->desc), model_at(m, m->in_mul),
		    model_at(m, m->in_add), from))
		return -EINVAL;
	for (; l < last; l++) {
		hidden_layer(m, l, from, to);
		uint8_t *swap = from;
		from = to;
		to = swap;
	}
	mlp_head(m, s, last, from, out);
	return 0;
}

/* Rows of inputs to rows of bytes; returns their stride, 0 if an input is not finite. Where rows of
 * bytes can lie side by side, rows do not end inside vectors. */
INLINE size_t mlp_inputs(
	const struct lode_nn_model *m, const float *in, unsigned n_rows, uint8_t *out)
{
	const float *mul = model_at(m, m->in_mul), *add = model_at(m, m->in_add);
	unsigned n_in = window_floats(&m->desc);
	if (n_in == 16 || n_in == 8 || n_in == 4) {
		v16f not_finite = vf_set1(0);
		for (unsigned i = 0; i < n_rows * n_in; i += 16)
			vi_store_u8(out + i, input_bytes(vf_load(in + i), mul, add, &not_finite));
		return vf_has_nan(not_finite) ? 0 : n_in;
	}
	for (unsigned r = 0; r < n_rows; r++)
		if (!quantise_input(in + r * n_in, n_in, mul, add, out + r * ROW_BYTES(n_in)))
			return 0;
	return ROW_BYTES(n_in);
}

/* n_rows: a multiple of 4, at most MAX_ROWS. */
static int mlp_tile(const struct lode_nn_model *m, struct mlp_scratch *s, const float *in,
	unsigned n_rows, float *out)
{
	unsigned from = 0, last = m->n_linears - 1;
	size_t stride = mlp_inputs(m, in, n_rows, s->bytes[0]);
	if (!stride)
		return -EINVAL;
	for (unsigned i = 0; i < last; i++, from ^= 1) {
		size_t next_stride = ROW_BYTES(16u * m->linear[i].n_vecs);
		linear_rows(m, &m->linear[i], s->bytes[from], stride, s->bytes[from ^ 1],
			next_stride, n_rows);
		stride = next_stride;
	}
	for (unsigned r = 0; r < n_rows; r++)
		mlp_head(m, s, &m->linear[last], s->bytes[from] + r * stride,
			out + r * m->desc.n_out);
	return 0;
}

static int run_mlp(const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out)
{
	return mlp_one(m, (struct mlp_scratch *)scratch, in, out);
}

static int run_mlp_batch(const struct lode_nn_model *m, uint8_t *scratch, const float *in,
	uint32_t n_rows, float *out)
{
	struct mlp_scratch *s = (struct mlp_scratch *)scratch;
	while (n_rows) {
		unsigned n = n_rows < 4 ? 1 : LODE_MIN(n_rows & ~3u, (uint32_t)MAX_ROWS);
		int rc = n == 1 ? mlp_one(m, s, in, out) : mlp_tile(m, s, in, n, out);
		if (rc)
			return rc;
		n_rows -= n;
		in += (size_t)n * window_floats(&m->desc);
		out += (size_t)n * m->desc.n_out;
	}
	return 0;
}
