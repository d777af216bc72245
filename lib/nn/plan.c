/* SPDX-License-Identifier: BSD-3-Clause */
/* Where everything of a packed model lies: sizes first, so that the caller can give the memory. */
#include "packed.h"

static uint32_t take(struct lode_nn_model *m, uint32_t bytes)
{
	uint32_t at = m->used_bytes;
	m->used_bytes += ALIGN_UP(bytes, 64u);
	return at;
}

static unsigned vecs(unsigned n)
{
	return ALIGN_UP(n, 16u) / 16;
}

/* Partial sums that linear_row takes: the fewer vectors, the more. */
static unsigned even_groups(unsigned n_vecs)
{
	unsigned rest = n_vecs % PANEL_VECS;
	return rest & 1 ? 8 : rest ? 4 : 2;
}

static void plan_linear(
	struct lode_nn_model *m, unsigned index, unsigned n_vecs, unsigned n_in, enum sink sink)
{
	struct packed_linear *l = &m->linear[index];
	l->n_vecs = (uint16_t)n_vecs;
	l->k_groups = (uint16_t)(ALIGN_UP(n_in, 4u) / 4);
	l->k_padded = (uint16_t)ALIGN_UP(l->k_groups, even_groups(n_vecs));
	l->sink = sink;
	l->mul = take(m, 64 * n_vecs);
	l->add = take(m, 64 * n_vecs);
	l->table = sink == SINK_GELU ? take(m, 3 * 64) : 0;
	l->weights = take(m, 64u * n_vecs * l->k_padded);
	m->n_linears = LODE_MAX(m->n_linears, index + 1);
}

/* The last layer of a network: narrow if it can be. */
static void plan_head(struct lode_nn_model *m, unsigned index, unsigned n_out, unsigned n_in)
{
	struct packed_linear *l = &m->linear[index];
	if (n_out > NARROW_MAX) {
		plan_linear(m, index, vecs(n_out), n_in, SINK_F32);
		return;
	}
	l->n_vecs = 1;
	l->k_groups = (uint16_t)(ALIGN_UP(n_in, 4u) / 4);
	l->k_padded = (uint16_t)(ALIGN_UP(n_in, 64u) / 4);
	l->n_rows = n_out <= 4 ? 4 : 8;
	l->sink = SINK_F32;
	l->mul = take(m, 64);
	l->add = take(m, 64);
	l->weights = take(m, 4u * l->k_padded * l->n_rows);
	m->n_linears = LODE_MAX(m->n_linears, index + 1);
}

static void plan_input(struct lode_nn_model *m, uint32_t n_floats)
{
	m->in_mul = take(m, 64 * vecs(n_floats));
	m->in_add = take(m, 64 * vecs(n_floats));
}

static enum sink activation_sink(const struct lode_nn_desc *d)
{
	return d->activation == LODE_NN_GELU ? SINK_GELU : SINK_U8;
}

static void plan_mlp(struct lode_nn_model *m)
{
	const struct lode_nn_desc *d = &m->desc;
	unsigned n_in = window_floats(d);
	plan_input(m, n_in);
	for (unsigned i = 0; i < d->n_layers; i++) {
		bool last = i + 1u == d->n_layers;
		if (last)
			plan_head(m, i, d->n_out, n_in);
		else
			plan_linear(m, i, vecs(d->width[i]), n_in, activation_sink(d));
		n_in = d->width[i];
	}
}

static void plan_lstm(struct lode_nn_model *m)
{
	const struct lode_nn_desc *d = &m->desc;
	plan_input(m, d->n_in);
	plan_linear(m, LSTM_INPUT, 4 * vecs(d->n_hidden), d->n_in, SINK_F32);
	plan_linear(m, LSTM_HIDDEN, 4 * vecs(d->n_hidden), d->n_hidden, SINK_F32);
	plan_head(m, LSTM_HEAD, d->n_out, d->n_hidden);
}

static void plan_attention(struct lode_nn_model *m)
{
	const struct lode_nn_desc *d = &m->desc;
	struct packed_transformer *t = &m->tf;
	bool bytes_in = d->embed == LODE_NN_EMBED_PAD && !t->position;
	unsigned n_in = bytes_in ? d->n_in : d->d_model;
	unsigned dims = d->n_heads * t->head_vecs;
	plan_input(m, m->form == LODE_NN_FORM_STREAM ? d->n_in : window_floats(d));
	if (d->embed == LODE_NN_EMBED_LINEAR)
		plan_linear(m, TF_EMBED, t->dm_vecs, d->n_in, SINK_F32);
	for (unsigned i = TF_QUERY; i <= TF_VALUE; i++)
		plan_linear(m, i, dims, n_in, SINK_U8);
	plan_linear(m, TF_OUT, t->dm_vecs, 16 * dims, SINK_F32);
}

static void plan_fold(struct lode_nn_model *m)
{
	const struct lode_nn_desc *d = &m->desc;
	struct packed_transformer *t = &m->tf;
	t->head_in_vecs = (uint16_t)(vecs(d->n_in) + (t->position ? t->step_vecs : 0));
	t->n_mixed = (uint16_t)(d->n_in + (t->position ? d->n_steps : 0));
	t->fold_in_vecs = (uint16_t)(t->dm_vecs + d->n_heads * t->head_in_vecs);
	t->fold_in = take(m, 64u * (d->n_in + 1u) * t->fold_in_vecs);
	t->fold_value = take(m, 64u * d->n_heads * (t->n_mixed + 1u) * t->head_vecs);
	plan_linear(m, TF_OUT, t->dm_vecs, 16 * d->n_heads * t->head_vecs, SINK_F32);
}

static void plan_transformer(struct lode_nn_model *m)
{
	const struct lode_nn_desc *d = &m->desc;
	struct packed_transformer *t = &m->tf;
	t->dm_vecs = (uint16_t)vecs(d->d_model);
	t->head_vecs = (uint16_t)vecs(d->d_model / d->n_heads);
	t->step_vecs = (uint16_t)vecs(d->n_steps);
	t->n_steps_4 = (uint16_t)ALIGN_UP(d->n_steps, 4u);
	if (d->position == LODE_NN_POSITION_TABLE)
		t->position =
			m->form == LODE_NN_FORM_FOLDED
				? m->used_bytes /* part of the folded matrices, only its presence counts */
				: take(m, 64u * d->n_steps * t->dm_vecs);
	t->in_low = take(m, 64 * vecs(d->n_in));
	t->in_high = take(m, 64 * vecs(d->n_in));
	if (m->form == LODE_NN_FORM_FOLDED)
		plan_fold(m);
	else
		plan_attention(m);
	for (unsigned i = 0; d->norm == LODE_NN_NORM_POST && i < 2; i++) {
		t->gain[i] = take(m, 64u * t->dm_vecs);
		t->bias[i] = take(m, 64u * t->dm_vecs);
	}
	plan_linear(m, TF_FF1, vecs(d->d_ffn), d->d_model, activation_sink(d));
	plan_linear(m, TF_FF2, t->dm_vecs, d->d_ffn, SINK_F32);
	plan_head(m, TF_PRED, d->n_out, d->d_model);
}

void plan_model(struct lode_nn_model *m, const struct lode_nn_desc *desc, enum lode_nn_form form)
{
	*m = (struct lode_nn_model){.desc = *desc, .form = form};
	m->used_bytes = ALIGN_UP((uint32_t)sizeof(*m), 64u);
	switch (desc->kind) {
	case LODE_NN_MLP:
		plan_mlp(m);
		break;
	case LODE_NN_LSTM:
		plan_lstm(m);
		break;
	case LODE_NN_TRANSFORMER:
		plan_transformer(m);
		break;
	}
}
