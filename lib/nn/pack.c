/* SPDX-License-Identifier: BSD-3-Clause */
/* The three kinds of networks, packed. */
#include "pack.h"

#include <math.h>
#include <stdio.h>

int pack_mlp(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	struct source s;
	struct range before = {0}, after = {0};
	pack_input(m, w, window_floats(d));
	for (unsigned i = 0; i < d->n_layers; i++) {
		char layer[8];
		bool last = i + 1u == d->n_layers;
		snprintf(layer, sizeof(layer), "l%u", i + 1);
		source_open(&s, w, layer, 0, d->width[i]);
		if (i == 0)
			reads_features(&s, d, w);
		else
			reads_point(&s, before);
		int rc = last ? 0 : activation_range(d, w, layer, &after, err);
		if (!rc)
			rc = pack_linear(m, i, &s, last ? NULL : &after, err);
		if (rc)
			return rc;
		before = after;
	}
	return 0;
}

/* Packed output: block of 16 units, gate, unit; the file has gate, unit. */
static void interleave_gates(struct source *s, unsigned n_hidden)
{
	for (unsigned i = 0; i < LODE_ARRAY_LEN(s->row); i++) {
		unsigned unit = i / 64 * 16 + i % 16, gate = i / 16 % 4;
		s->row[i] = (int16_t)(unit < n_hidden ? (int)(gate * n_hidden + unit) : NONE);
	}
}

/* Gates in steps of the tanh table, see run_lstm.h; all additive parts go into the input layer's. */
static void scale_gates(struct lode_nn_model *m)
{
	const struct packed_linear *lx = &m->linear[LSTM_INPUT], *lh = &m->linear[LSTM_HIDDEN];
	uint8_t *base = (uint8_t *)m;
	float *mul_x = (float *)(base + lx->mul), *add_x = (float *)(base + lx->add);
	float *mul_h = (float *)(base + lh->mul), *add_h = (float *)(base + lh->add);
	for (unsigned i = 0; i < 16u * lx->n_vecs; i++) {
		double factor = TANH_PER_UNIT * (i / 16 % 4 == 2 ? 1 : 0.5);
		mul_x[i] = (float)(mul_x[i] * factor);
		mul_h[i] = (float)(mul_h[i] * factor);
		add_x[i] = (float)(((double)add_x[i] + add_h[i]) * factor);
		add_h[i] = 0;
	}
}

int pack_lstm(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	const struct range hidden = {
		.low = -(double)LSTM_H_ZERO / LSTM_H_STEPS, .step = 1.0 / LSTM_H_STEPS};
	struct source s;
	pack_input(m, w, d->n_in);
	source_open(&s, w, "input_proj", 0, 0);
	interleave_gates(&s, d->n_hidden);
	reads_features(&s, d, w);
	int rc = pack_linear(m, LSTM_INPUT, &s, NULL, err);
	source_open(&s, w, "hidden_proj", 0, 0);
	interleave_gates(&s, d->n_hidden);
	reads_point(&s, hidden);
	if (!rc)
		rc = pack_linear(m, LSTM_HIDDEN, &s, NULL, err);
	scale_gates(m);
	source_open(&s, w, "output_proj", 0, d->n_out);
	reads_point(&s, hidden);
	return rc ? rc : pack_linear(m, LSTM_HEAD, &s, NULL, err);
}

/* Attention dimension i of padded heads -> dimension of d_model. */
static int16_t head_dim(const struct lode_nn_desc *d, unsigned head_vecs, unsigned i)
{
	unsigned head = i / (16 * head_vecs), dim = i % (16 * head_vecs);
	unsigned dh = d->d_model / d->n_heads;
	return (int16_t)(head < d->n_heads && dim < dh ? (int)(head * dh + dim) : NONE);
}

static int pack_qkv(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	struct range out[3] = {[1] = range_of(w, "k")};
	struct source s;
	int rc = symmetric_range(w, "q", &out[0], err);
	if (!rc)
		rc = symmetric_range(w, "v", &out[2], err);
	for (unsigned part = 0; !rc && part < 3; part++) {
		source_open(&s, w, "qkv", 0, 0);
		for (unsigned i = 0; i < LODE_ARRAY_LEN(s.row); i++) {
			int dim = head_dim(d, m->tf.head_vecs, i);
			s.row[i] = (int16_t)(dim == NONE ? NONE : dim + (int)(part * d->d_model));
		}
		if (reads_input(d, "qkv")) {
			reads_features(&s, d, w);
			for (unsigned i = d->n_in; i < LODE_ARRAY_LEN(s.col); i++)
				s.col[i] = NONE;
		} else {
			reads_point(&s, range_of(w, "embed"));
		}
		rc = pack_linear(m, TF_QUERY + part, &s, &out[part], err);
	}
	return rc;
}

static int pack_out(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	struct source s;
	source_open(&s, w, "out", 0, m->desc.d_model);
	reads_point(&s, range_of(w, "attn"));
	for (unsigned i = 0; i < LODE_ARRAY_LEN(s.col); i++)
		s.col[i] = head_dim(&m->desc, m->tf.head_vecs, i);
	return pack_linear(m, TF_OUT, &s, NULL, err);
}

static int pack_attention(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	struct packed_transformer *t = &m->tf;
	struct source s;
	struct range attn = range_of(w, "attn");
	int rc = 0;
	pack_input(m, w, m->form == LODE_NN_FORM_STREAM ? d->n_in : window_floats(d));
	t->score_mul = (float)(M_LOG2E * range_of(w, "q").step * range_of(w, "k").step /
			       sqrt((double)d->d_model / d->n_heads));
	t->attn.mul = (float)(range_of(w, "v").step / attn.step);
	t->attn.add = (float)(-attn.low / attn.step);
	if (d->embed == LODE_NN_EMBED_LINEAR) {
		source_open(&s, w, "embed", 0, d->d_model);
		reads_features(&s, d, w);
		rc = pack_linear(m, TF_EMBED, &s, NULL, err);
	}
	if (!reads_input(d, "qkv"))
		t->embed = quantiser_of(range_of(w, "embed"));
	if (!rc)
		rc = pack_qkv(m, w, err);
	return rc ? rc : pack_out(m, w, err);
}

/* The folded form's attention is in real numbers. */
static int pack_folded(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	int rc = fold_attention(m, w, err);
	m->tf.attn = quantiser_of(range_of(w, "attn"));
	return rc ? rc : pack_out(m, w, err);
}

/* n values to the packed vector at offset, padded with 0. */
static void put_floats(struct lode_nn_model *m, uint32_t offset, const float *v, unsigned n)
{
	float *to = (float *)((uint8_t *)m + offset);
	memset(to, 0, ALIGN_UP(n, 16u) * sizeof(*to));
	memcpy(to, v, n * sizeof(*to));
}

static int pack_feed_forward(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	struct source s;
	struct range ff1, mid = range_of(w, "mid"), final = range_of(w, "final");
	int rc = activation_range(d, w, "ff1", &ff1, err);
	m->tf.mid = quantiser_of(mid);
	m->tf.final = quantiser_of(final);
	source_open(&s, w, "ff1", 0, d->d_ffn);
	reads_point(&s, mid);
	if (!rc)
		rc = pack_linear(m, TF_FF1, &s, &ff1, err);
	if (rc)
		return rc;
	source_open(&s, w, "ff2", 0, d->d_model);
	reads_point(&s, ff1);
	rc = pack_linear(m, TF_FF2, &s, NULL, err);
	source_open(&s, w, "pred", 0, d->n_out);
	reads_point(&s, final);
	return rc ? rc : pack_linear(m, TF_PRED, &s, NULL, err);
}

/* Where a feature's bytes begin and end. */
static void pack_limits(struct lode_nn_model *m, const struct weights *w)
{
	const float *range = tensor_data(w, "in", ".range");
	float *low = (float *)((uint8_t *)m + m->tf.in_low);
	float *high = (float *)((uint8_t *)m + m->tf.in_high);
	for (unsigned i = 0; i < m->desc.n_in; i++) {
		low[i] = range[2 * i];
		high[i] = (float)(range[2 * i] + 255.0 * range[2 * i + 1]);
	}
}

int pack_transformer(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	struct packed_transformer *t = &m->tf;
	bool folded = m->form == LODE_NN_FORM_FOLDED;
	int rc = folded ? pack_folded(m, w, err) : pack_attention(m, w, err);
	if (!rc)
		rc = pack_feed_forward(m, w, err);
	if (rc)
		return rc;
	for (unsigned i = 0; d->norm == LODE_NN_NORM_POST && i < 2; i++) {
		const char *name = i ? "norm2" : "norm1";
		put_floats(m, t->gain[i], tensor_data(w, name, ".weight"), d->d_model);
		put_floats(m, t->bias[i], tensor_data(w, name, ".bias"), d->d_model);
	}
	pack_limits(m, w);
	const struct lode_nn_tensor *position = weights_find(w, "position");
	for (unsigned i = 0; position && !folded && i < d->n_steps; i++)
		put_floats(m, t->position + 64u * i * t->dm_vecs,
			(const float *)position->data + (size_t)i * d->d_model, d->d_model);
	return 0;
}
