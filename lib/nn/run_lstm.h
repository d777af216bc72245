/* SPDX-License-Identifier: BSD-3-Clause */
/* LSTM. Vectors of the packed gates: block by block of 16 units, in a block i, f, g, o. A gate is
 * sigmoid(x) = (1 + tanh(x / 2)) / 2, so that all five activations are one table of tanh: the scales carry
 * its steps (half of them for i, f, o), and cells are kept in its steps too. */
#pragma once

#include "run_linear.h"

#define GATES 4

/* Cell and hidden state of 16 units from their four gates. */
INLINE void lstm_units(const v16f gate[GATES], float *c, uint8_t *h)
{
	v16f i = tanh_steps(gate[0]), f = tanh_steps(gate[1]), g = tanh_steps(gate[2]),
	     o = tanh_steps(gate[3]);
	v16f cell = vf_load(c);
	v16f kept = vf_fma(f, cell, cell), added = vf_fma(i, g, g); /* both twice */
	cell = vf_fma(added, vf_set1(TANH_PER_UNIT / 2), vf_mul(kept, vf_set1(0.5f)));
	v16f shown = tanh_steps(cell);
	v16f hidden = vf_fma(o, shown, shown);
	vf_store(c, cell);
	vi_store_u8(
		h, vf_round(vf_fma(hidden, vf_set1(LSTM_H_STEPS / 2.0f), vf_set1(LSTM_H_ZERO))));
}

/* The units of n_vecs vectors of gates from vec on. Gates stay in registers: stores between loads of
 * weights would often have the low address bits of one, which makes the load wait. */
INLINE void lstm_panel(const struct lode_nn_model *m, const uint8_t *x, const uint8_t *h,
	unsigned vec, const unsigned n_vecs, float *c, uint8_t *h_next)
{
	const struct packed_linear *lx = &m->linear[LSTM_INPUT], *lh = &m->linear[LSTM_HIDDEN];
	const float *mul_x = model_at(m, lx->mul), *add = model_at(m, lx->add);
	const float *mul_h = model_at(m, lh->mul);
	v16f gate[2 * GATES];
	v16i sum[2 * GATES];
	unsigned stride_x, stride_h;
	const int8_t *wx = panel(m, lx, vec, &stride_x), *wh = panel(m, lh, vec, &stride_h);
	dot_row(sum, x, wx, stride_x, lx->k_groups, n_vecs, 1);
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++)
		gate[v] = scaled_sum(sum[v], mul_x + 16 * (vec + v), add + 16 * (vec + v));
	dot_row(sum, h, wh, stride_h, lh->k_padded, n_vecs, 2);
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++)
		gate[v] = vf_fma(vf_from_int(sum[v]), vf_load(mul_h + 16 * (vec + v)), gate[v]);
	UNROLL
	for (unsigned v = 0; v < n_vecs; v += GATES)
		lstm_units(gate + v, c + 16 * v / GATES, h_next + 16 * v / GATES);
}

/* Panel by panel: while the units of one wait for each other, the sums of the next can run. */
static void lstm_cell(const struct lode_nn_model *m, const uint8_t *x, const uint8_t *h, float *c,
	uint8_t *h_next)
{
	unsigned n_vecs = m->linear[LSTM_HIDDEN].n_vecs, vec = 0;
	for (; vec + 2 * GATES <= n_vecs; vec += 2 * GATES)
		lstm_panel(m, x, h, vec, 2 * GATES, c + 4 * vec, h_next + 4 * vec);
	if (vec < n_vecs)
		lstm_panel(m, x, h, vec, GATES, c + 4 * vec, h_next + 4 * vec);
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
		lstm_cell(m, s->in, h, s->state.c, h_next);
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
	lstm_cell(m, s->in, keep->h, keep->c, s->h_next);
	for (unsigned i = 0; i < 4u * m->linear[LSTM_HIDDEN].n_vecs; i += 64)
		vi_store(keep->h + i, vi_load(s->h_next + i));
	lstm_head(m, keep->h, s->head, out);
	return 0;
}
