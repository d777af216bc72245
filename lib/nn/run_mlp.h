/* SPDX-License-Identifier: BSD-3-Clause */
/* MLP: one row, or up to MAX_ROWS rows in tiles of four. */
#pragma once

#include "run_linear.h"

INLINE bool mlp_input(const struct lode_nn_model *m, const float *in, uint8_t *row)
{
	return quantise_input(
		in, window_floats(&m->desc), model_at(m, m->in_mul), model_at(m, m->in_add), row);
}

static int mlp_one(
	const struct lode_nn_model *m, struct mlp_scratch *s, const float *in, float *out)
{
	unsigned from = 0, last = m->n_linears - 1;
	if (!mlp_input(m, in, s->bytes[0]))
		return -EINVAL;
	for (unsigned i = 0; i < last; i++, from ^= 1)
		linear_row(m, &m->linear[i], s->bytes[from], s->bytes[from ^ 1]);
	linear_row(m, &m->linear[last], s->bytes[from], s->head[0]);
	finish(&m->desc, s->head[0], out);
	return 0;
}

/* n_rows: a multiple of 4, at most MAX_ROWS. */
static int mlp_tile(const struct lode_nn_model *m, struct mlp_scratch *s, const float *in,
	unsigned n_rows, float *out)
{
	unsigned n_in = window_floats(&m->desc), from = 0, last = m->n_linears - 1;
	size_t stride = ROW_BYTES(n_in);
	for (unsigned r = 0; r < n_rows; r++)
		if (!mlp_input(m, in + r * n_in, s->bytes[0] + r * stride))
			return -EINVAL;
	for (unsigned i = 0; i < last; i++, from ^= 1) {
		size_t next_stride = ROW_BYTES(16u * m->linear[i].n_vecs);
		linear_rows(m, &m->linear[i], s->bytes[from], stride, s->bytes[from ^ 1],
			next_stride, n_rows);
		stride = next_stride;
	}
	linear_rows(
		m, &m->linear[last], s->bytes[from], stride, s->head, sizeof(s->head[0]), n_rows);
	for (unsigned r = 0; r < n_rows; r++)
		finish(&m->desc, s->head[r], out + r * m->desc.n_out);
	return 0;
}

static int run_mlp(const struct lode_nn_model *m, uint8_t *scratch, const float *in,
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
