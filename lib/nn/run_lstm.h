/* SPDX-License-Identifier: BSD-3-Clause */
/* LSTM. Vectors of the packed gates: block by block of 16 units, in a block i, f, g, o; their scales
 * carry -log2(e) (-2 log2(e) for g), so that a gate is 1 / (1 + 2^z) and tanh (1 - 2^z) / (1 + 2^z). */
#pragma once

#include "run_linear.h"

#define GATES 4

INLINE v16f exp2_gate(v16f z)
{
	return exp2_coarse(vf_clamp_abs(z, vf_set1(30)));
}

/* Cell and hidden state of 16 units from their four gate exponents. Products of the denominators stay
 * below 2^91, so two reciprocals do for five activations. */
INLINE void lstm_units(const float *z, float *c, uint8_t *h)
{
	v16f one = vf_set1(1);
	v16f ei = exp2_gate(vf_load(z)), ef = exp2_gate(vf_load(z + 16)),
	     eg = exp2_gate(vf_load(z + 32));
	v16f ig = vf_mul(vf_add(one, ei), vf_add(one, eg)), f = vf_add(one, ef);
	v16f above = vf_fma(vf_load(c), ig, vf_mul(vf_sub(one, eg), f));
	v16f cell = vf_mul(above, reciprocal(vf_mul(ig, f)));
	v16f ec = exp2_gate(vf_mul(cell, vf_set1(-2 * LOG2E))), eo = exp2_gate(vf_load(z + 48));
	v16f hidden = vf_mul(vf_sub(one, ec), reciprocal(vf_mul(vf_add(one, ec), vf_add(one, eo))));
	vf_store(c, cell);
	vi_store_u8(h, vf_round(vf_fma(hidden, vf_set1(127), vf_set1(128))));
}

/* Gate exponents of n_vecs vectors from vec on, into z. */
INLINE void gate_sums(const struct lode_nn_model *m, const uint8_t *x, const uint8_t *h,
	unsigned vec, const unsigned n_vecs, float *z)
{
	const struct packed_linear *lx = &m->linear[LSTM_INPUT], *lh = &m->linear[LSTM_HIDDEN];
	const float *mul_x = model_at(m, lx->mul), *add = model_at(m, lx->add);
	const float *mul_h = model_at(m, lh->mul);
	v16i sum_x[2 * GATES], sum_h[2 * GATES];
	unsigned stride_x, stride_h;
	const int8_t *wx = panel(m, lx, vec, &stride_x), *wh = panel(m, lh, vec, &stride_h);
	dot_row(sum_x, x, wx, stride_x, lx->k_groups, n_vecs, 1);
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++)
		vf_store(z + 16 * v,
			scaled_sum(sum_x[v], mul_x + 16 * (vec + v), add + 16 * (vec + v)));
	dot_row(sum_h, h, wh, stride_h, lh->k_padded, n_vecs, 2);
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++)
		vf_store(z + 16 * v, vf_fma(vf_from_int(sum_h[v]), vf_load(mul_h + 16 * (vec + v)),
					     vf_load(z + 16 * v)));
}

/* All sums first, then all units: while the last units' long chain of operations runs, the next step
 * can already sum over the hidden units that are ready. */
static void lstm_cell(const struct lode_nn_model *m, const uint8_t *x, const uint8_t *h, float *c,
	float *z, uint8_t *h_next)
{
	unsigned n_vecs = m->linear[LSTM_HIDDEN].n_vecs, vec = 0;
	for (; vec + 2 * GATES <= n_vecs; vec += 2 * GATES)
		gate_sums(m, x, h, vec, 2 * GATES, z + 16 * vec);
	if (vec < n_vecs)
		gate_sums(m, x, h, vec, GATES, z + 16 * vec);
	for (unsigned unit = 0; unit < 16 * n_vecs / GATES; unit += 16)
		lstm_units(z + GATES * unit, c + unit, h_next + unit);
}

static void lstm_head(const struct lode_nn_model *m, const uint8_t *h, float *head, float *out)
{
	linear_row(m, &m->linear[LSTM_HEAD], h, head);
	finish(&m->desc, head, out);
}

static int run_lstm_window(
	const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out)
{
	struct lstm_scratch *s = (struct lstm_scratch *)scratch;
	unsigned n_in = m->desc.n_in;
	uint8_t *h = s->state.h, *h_next = s->h_next;
	lstm_reset(&s->state);
	for (unsigned step = 0; step < m->desc.n_steps; step++) {
		if (!quantise_input(in + step * n_in, n_in, model_at(m, m->in_mul),
			    model_at(m, m->in_add), s->in))
			return -EINVAL;
		lstm_cell(m, s->in, h, s->state.c, s->z, h_next);
		uint8_t *swap = h;
		h = h_next;
		h_next = swap;
	}
	lstm_head(m, h, s->head, out);
	return 0;
}

static int run_lstm_step(
	const struct lode_nn_model *m, uint8_t *scratch, void *state, const float *in, float *out)
{
	struct lstm_scratch *s = (struct lstm_scratch *)scratch;
	struct lstm_state *keep = state;
	if (!quantise_input(
		    in, m->desc.n_in, model_at(m, m->in_mul), model_at(m, m->in_add), s->in))
		return -EINVAL;
	lstm_cell(m, s->in, keep->h, keep->c, s->z, s->h_next);
	for (unsigned i = 0; i < 4u * m->linear[LSTM_HIDDEN].n_vecs; i += 64)
		vi_store(keep->h + i, vi_load(s->h_next + i));
	lstm_head(m, keep->h, s->head, out);
	return 0;
}
