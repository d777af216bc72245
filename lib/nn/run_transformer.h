/* SPDX-License-Identifier: BSD-3-Clause */
/* One-layer transformer read at the last step: full, last-step, streaming and folded forms. The
 * residual stream is float; every linear layer reads bytes. */
#pragma once

#include "run_attention.h"

INLINE struct attention attention_of(const struct lode_nn_model *m)
{
	const struct lode_nn_desc *d = &m->desc;
	return (struct attention){.n_steps = d->n_steps,
		.n_groups = m->tf.n_steps_4 / 4u,
		.n_heads = d->n_heads,
		.head_dims = d->d_model / d->n_heads,
		.head_vecs = m->tf.head_vecs,
		.score_mul = m->tf.score_mul,
		.out = m->tf.attn};
}

static void layer(const struct lode_nn_model *m, unsigned index, const uint8_t *in,
	size_t in_stride, void *out, size_t out_stride, unsigned n_rows)
{
	if (n_rows == 1)
		linear_row(m, &m->linear[index], in, out);
	else
		linear_rows(m, &m->linear[index], in, in_stride, out, out_stride, n_rows);
}

INLINE void to_bytes(const float *v, unsigned n_vecs, struct quantiser q, uint8_t *out)
{
	for (unsigned i = 0; i < n_vecs; i++)
		vi_store_u8(out + 16 * i,
			vf_round(vf_fma(vf_load(v + 16 * i), vf_set1(q.mul), vf_set1(q.add))));
}

/* n: values that count; the lanes after them are 0 and must not enter the variance. */
static void layer_norm(float *v, unsigned n, const float *gain, const float *bias)
{
	unsigned n_vecs = ALIGN_UP(n, 16u) / 16;
	float per_n = 1.0f / (float)n;
	v16f sum = vf_set1(0), squares = vf_set1(0);
	for (unsigned i = 0; i < n_vecs; i++)
		sum = vf_add(sum, vf_load(v + 16 * i));
	v16f mean = vf_set1(vf_sum(sum) * per_n);
	for (unsigned i = 0; i < n_vecs; i++) {
		vf_store(v + 16 * i, vf_sub(vf_load(v + 16 * i), mean));
		v16f x = n - 16 * i >= 16 ? vf_load(v + 16 * i)
					  : vf_load_part(v + 16 * i, n - 16 * i);
		squares = vf_fma(x, x, squares);
	}
	float deviation = __builtin_sqrtf(vf_sum(squares) * per_n + 1e-5f);
	v16f scale = vf_set1(1.0f / deviation);
	for (unsigned i = 0; i < n_vecs; i++) {
		v16f x = vf_mul(vf_load(v + 16 * i), scale);
		vf_store(v + 16 * i, vf_fma(x, vf_load(gain + 16 * i), vf_load(bias + 16 * i)));
	}
}

/* Norm, if there is one, and bytes of each row. */
INLINE void settle(const struct lode_nn_model *m, unsigned norm, struct quantiser q, float *stream,
	size_t stream_row, uint8_t *bytes, size_t row, unsigned n_rows)
{
	const struct packed_transformer *t = &m->tf;
	for (unsigned r = 0; r < n_rows; r++, stream += stream_row, bytes += row) {
		if (m->desc.norm == LODE_NN_NORM_POST)
			layer_norm(stream, m->desc.d_model, model_at(m, t->gain[norm]),
				model_at(m, t->bias[norm]));
		to_bytes(stream, t->dm_vecs, q, bytes);
	}
}

INLINE void add_rows(float *stream, const float *add, size_t n)
{
	for (size_t i = 0; i < n; i += 16)
		vf_store(stream + i, vf_add(vf_load(stream + i), vf_load(add + i)));
}

/* From the stream after attention and its residual to the output; the last of n_rows is read. */
SHARED void feed_forward(const struct lode_nn_model *m, const struct transformer_scratch *s,
	float *stream, unsigned n_rows, unsigned last, float *out)
{
	settle(m, 0, m->tf.mid, stream, s->stream_row, s->mid, s->row, n_rows);
	layer(m, TF_FF1, s->mid, s->row, s->ff1, s->ff_row, n_rows);
	layer(m, TF_FF2, s->ff1, s->ff_row, s->add, 4 * s->row, n_rows);
	add_rows(stream, s->add, n_rows * s->stream_row);
	settle(m, 1, m->tf.final, stream, s->stream_row, s->final, s->row, n_rows);
	linear_row(m, &m->linear[TF_PRED], s->final + last * s->row, s->head);
	finish(&m->desc, s->head, out);
}

/* ---- full, last and stream ---- */

/* One step's features as floats, zero-padded; within the calibrated range, as their bytes are. */
static void pad_row(const struct lode_nn_model *m, const float *in, size_t n, float *stream)
{
	const float *low = model_at(m, m->tf.in_low), *high = model_at(m, m->tf.in_high);
	unsigned n_in = m->desc.n_in;
	memset(stream, 0, n * sizeof(*stream));
	for (unsigned i = 0; i < n_in; i += 16) {
		unsigned some = LODE_MIN(n_in - i, 16u);
		v16f x = vf_min(
			vf_max(vf_load_part(in + i, some), vf_load(low + i)), vf_load(high + i));
		vf_store_part(stream + i, some, x);
	}
}

/* The residual stream of one step of a stream before attention. */
static void embed_row(
	const struct lode_nn_model *m, const struct transformer_scratch *s, const float *in)
{
	if (m->desc.embed == LODE_NN_EMBED_LINEAR)
		linear_row(m, &m->linear[TF_EMBED], s->in, s->stream);
	else
		pad_row(m, in, s->stream_row, s->stream);
}

/* What query, key and value layers read: the input's bytes, or those of the embedding. */
static void embed_rows(const struct lode_nn_model *m, const struct transformer_scratch *s,
	const float *in, const uint8_t **rows, size_t *stride)
{
	const struct lode_nn_desc *d = &m->desc;
	const float *position = m->tf.position ? model_at(m, m->tf.position) : NULL;
	unsigned steps = m->tf.n_steps_4;
	*rows = s->in;
	*stride = d->n_in;
	bool pad = d->embed == LODE_NN_EMBED_PAD;
	/* Without embedding and positions only the steps that are queries have a residual stream. */
	unsigned first = pad && !position && m->form == LODE_NN_FORM_LAST ? d->n_steps - 1u : 0;
	if (!pad)
		linear_rows(m, &m->linear[TF_EMBED], s->in, d->n_in, s->stream, 4 * s->row, steps);
	for (unsigned i = first; i < steps; i++) {
		float *stream = s->stream + i * s->stream_row;
		if (pad && i < d->n_steps)
			pad_row(m, in + i * d->n_in, s->stream_row, stream);
		else if (pad)
			memset(stream, 0, s->stream_row * sizeof(*stream));
		if (position && i < d->n_steps)
			add_rows(stream, position + i * s->stream_row, s->stream_row);
	}
	if (pad && !position)
		return;
	to_bytes(s->stream, steps * m->tf.dm_vecs, m->tf.embed, s->embed);
	*rows = s->embed;
	*stride = s->row;
}

INLINE void attend_row(const struct attention *a, const struct transformer_scratch *s, unsigned row,
	const uint8_t *keys, const int8_t *values)
{
	uint8_t *q = s->query + row * s->dims;
	for (size_t i = 0; i < s->dims; i += 4) {
		uint32_t four;
		memcpy(&four, q + i, 4);
		four ^= 0x80808080u;
		memcpy(q + i, &four, 4);
	}
	attend(a, keys, values, (int8_t *)q, s->attn + row * s->dims);
}

static int run_window(const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out)
{
	const struct lode_nn_desc *d = &m->desc;
	struct transformer_scratch s;
	struct attention a = attention_of(m);
	const uint8_t *rows;
	size_t stride;
	unsigned n = d->n_steps, steps = m->tf.n_steps_4;
	transformer_places(m, scratch, &s);
	if (!quantise_input(in, n * d->n_in, model_at(m, m->in_mul), model_at(m, m->in_add), s.in))
		return -EINVAL;
	memset(s.in + n * d->n_in, 0, (steps - n) * d->n_in);
	embed_rows(m, &s, in, &rows, &stride);
	layer(m, TF_KEY, rows, stride, s.key, s.dims, steps);
	for (unsigned i = 0; i < n; i++)
		put_key(s.key + i * s.dims, s.dims, i, 16u * m->tf.step_vecs, s.keys);
	put_values(m, &m->linear[TF_VALUE], rows, stride, n, s.values);
	/* The last form runs the last row only, in place 0. */
	unsigned first = m->form == LODE_NN_FORM_FULL ? 0 : n - 1;
	unsigned n_rows = m->form == LODE_NN_FORM_FULL ? steps : 1;
	layer(m, TF_QUERY, rows + first * stride, stride, s.query, s.dims, n_rows);
	for (unsigned i = 0; i < n_rows; i++)
		attend_row(&a, &s, i, s.keys, s.values);
	layer(m, TF_OUT, s.attn, s.dims, s.add, 4 * s.row, n_rows);
	float *stream = s.stream + first * s.stream_row;
	add_rows(stream, s.add, n_rows * s.stream_row);
	feed_forward(m, &s, stream, n_rows, n - 1 - first, out);
	return 0;
}

static int run_stream_step(
	const struct lode_nn_model *m, uint8_t *scratch, void *state, const float *in, float *out)
{
	const struct lode_nn_desc *d = &m->desc;
	struct stream_state *ring = state;
	struct transformer_scratch s;
	struct attention a = attention_of(m);
	size_t n_slots = 16u * m->tf.step_vecs;
	transformer_places(m, scratch, &s);
	uint8_t *keys = (uint8_t *)(ring + 1);
	int8_t *values = (int8_t *)keys + s.dims * n_slots;
	if (!quantise_input(in, d->n_in, model_at(m, m->in_mul), model_at(m, m->in_add), s.in))
		return -EINVAL;
	embed_row(m, &s, in);
	const uint8_t *row = s.in;
	if (d->embed == LODE_NN_EMBED_LINEAR) {
		to_bytes(s.stream, m->tf.dm_vecs, m->tf.embed, s.embed);
		row = s.embed;
	}
	linear_row(m, &m->linear[TF_KEY], row, s.key);
	put_key(s.key, s.dims, ring->next, n_slots, keys);
	linear_row(m, &m->linear[TF_VALUE], row, s.key);
	put_value(s.key, s.dims, ring->next, values);
	ring->next = ring->next + 1 == d->n_steps ? 0 : ring->next + 1;
	ring->n_seen += ring->n_seen < d->n_steps;
	if (ring->n_seen < d->n_steps)
		return -EAGAIN;
	linear_row(m, &m->linear[TF_QUERY], row, s.query);
	attend_row(&a, &s, 0, keys, values);
	linear_row(m, &m->linear[TF_OUT], s.attn, s.add);
	add_rows(s.stream, s.add, s.stream_row);
	feed_forward(m, &s, s.stream, 1, 0, out);
	return 0;
}

/* ---- folded: attention weights and mixtures of the inputs themselves ---- */

/* out = last row of the matrix + sum over in[i] * row i; n_vecs vectors wide. */
static void affine(const float *in, unsigned n_in, const float *matrix, unsigned n_vecs, float *out)
{
	for (unsigned v = 0; v < n_vecs; v++) {
		v16f sum = vf_load(matrix + 16 * (n_in * n_vecs + v));
		for (unsigned i = 0; i < n_in; i++)
			sum = vf_fma(vf_set1(in[i]), vf_load(matrix + 16 * (i * n_vecs + v)), sum);
		vf_store(out + 16 * v, sum);
	}
}

/* out = last row of the matrix + sum over z[j] * row j, in two chains. */
INLINE void mix_values(const float *z, unsigned n, const float *matrix, unsigned n_vecs, float *out)
{
	for (unsigned v = 0; v < n_vecs; v++) {
		v16f even = vf_load(matrix + 16 * (n * n_vecs + v)), odd = vf_set1(0);
		unsigned j = 0;
		for (; j + 2 <= n; j += 2) {
			const float *row = matrix + 16 * (j * n_vecs + v);
			even = vf_fma(vf_set1(z[j]), vf_load(row), even);
			odd = vf_fma(vf_set1(z[j + 1]), vf_load(row + 16 * n_vecs), odd);
		}
		if (j < n)
			even = vf_fma(vf_set1(z[j]), vf_load(matrix + 16 * (j * n_vecs + v)), even);
		vf_store(out + 16 * v, vf_add(even, odd));
	}
}

INLINE v16f mixed(const v16f *weights, const float *column, const unsigned n_vecs)
{
	v16f sum = vf_mul(weights[0], vf_load(column));
	UNROLL
	for (unsigned v = 1; v < n_vecs; v++)
		sum = vf_fma(weights[v], vf_load(column + 16 * v), sum);
	return sum;
}

/* One head. u: n_in weights of the features, then (with positions) n_vecs vectors of scores. columns:
 * features by slots. z: n_in mixed features, then (with positions) n_steps weights. */
INLINE void fold_head_vecs(const struct lode_nn_model *m, const float *u, const float *columns,
	float *z, const unsigned n_vecs)
{
	unsigned n_in = m->desc.n_in, n_steps = m->desc.n_steps, slots = 16 * n_vecs;
	v16f score[4];
	v16f highest, total = vf_set1(0);
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++) {
		score[v] = vf_from_int(slot_mask(n_steps, v));
		if (m->tf.position)
			score[v] = vf_add(score[v], vf_load(u + ALIGN_UP(n_in, 16u) + 16 * v));
	}
	for (unsigned i = 0; i < n_in; i++) {
		UNROLL
		for (unsigned v = 0; v < n_vecs; v++)
			score[v] = vf_fma(
				vf_set1(u[i]), vf_load(columns + i * slots + 16 * v), score[v]);
	}
	highest = score[0];
	UNROLL
	for (unsigned v = 1; v < n_vecs; v++)
		highest = vf_max(highest, score[v]);
	highest = vf_set1(vf_highest(highest));
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++) {
		score[v] = exp2_fine(vf_max(vf_sub(score[v], highest), vf_set1(-100)));
		total = vf_add(total, score[v]);
	}
	v16f scale = vf_set1(1.0f / vf_sum(total));
	UNROLL
	for (unsigned v = 0; v < n_vecs; v++)
		score[v] = vf_mul(score[v], scale);
	unsigned i = 0;
	for (; i + 8 <= n_in; i += 8) {
		v16f eight[8];
		UNROLL
		for (unsigned k = 0; k < 8; k++)
			eight[k] = mixed(score, columns + (i + k) * slots, n_vecs);
		vf_sums8(eight, z + i);
	}
	for (; i < n_in; i++)
		z[i] = vf_sum(mixed(score, columns + i * slots, n_vecs));
	for (unsigned v = 0; m->tf.position && v < n_vecs; v++)
		vf_store_part(
			z + n_in + 16 * v, n_steps - 16 * v < 16 ? n_steps - 16 * v : 16, score[v]);
}

SHARED void fold_head(const struct lode_nn_model *m, const float *u, const float *columns, float *z)
{
	switch (m->tf.step_vecs) {
	case 1:
		fold_head_vecs(m, u, columns, z, 1);
		break;
	case 2:
		fold_head_vecs(m, u, columns, z, 2);
		break;
	case 3:
		fold_head_vecs(m, u, columns, z, 3);
		break;
	default:
		fold_head_vecs(m, u, columns, z, 4);
		break;
	}
}

/* The steps' features as columns, [n_in][slots], within the calibrated range. False if not finite. */
INLINE bool to_columns(const struct lode_nn_model *m, const float *in, float *columns)
{
	const float *low = model_at(m, m->tf.in_low), *high = model_at(m, m->tf.in_high);
	unsigned n_in = m->desc.n_in, n_steps = m->desc.n_steps, slots = 16u * m->tf.step_vecs;
	v16f not_finite = vf_set1(0);
	for (unsigned i = 0; i < n_in; i++) {
		float *column = columns + i * slots;
		for (unsigned s = 0; s < slots; s += 16) {
			unsigned some = LODE_MIN(n_steps - s, 16u);
			v16f x = vf_load_strided(in + s * n_in + i, n_in, some);
			not_finite = vf_fma(x, vf_set1(0), not_finite);
			x = vf_min(vf_max(x, vf_set1(low[i])), vf_set1(high[i]));
			vf_store(column + s, x);
		}
	}
	return !vf_has_nan(not_finite);
}

static int run_folded(const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out)
{
	const struct lode_nn_desc *d = &m->desc;
	const struct packed_transformer *t = &m->tf;
	struct transformer_scratch s;
	transformer_places(m, scratch, &s);
	float *u = s.fold_u, *z = s.fold_z, last[LODE_NN_MAX_D_MODEL];
	if (!to_columns(m, in, s.columns))
		return -EINVAL;
	for (unsigned i = 0; i < d->n_in; i++)
		last[i] = s.columns[i * 16 * t->step_vecs + d->n_steps - 1];
	affine(last, d->n_in, model_at(m, t->fold_in), t->fold_in_vecs, u);
	const float *value = model_at(m, t->fold_value);
	for (unsigned h = 0; h < d->n_heads; h++) {
		const float *head = u + 16u * (t->dm_vecs + h * t->head_in_vecs);
		fold_head(m, head, s.columns, z);
		mix_values(z, t->n_mixed, value, t->head_vecs, s.add + 16u * h * t->head_vecs);
		value += 16u * (t->n_mixed + 1u) * t->head_vecs;
	}
	to_bytes(s.add, d->n_heads * t->head_vecs, t->attn, s.attn);
	linear_row(m, &m->linear[TF_OUT], s.attn, s.add);
	add_rows(u, s.add, s.stream_row);
	feed_forward(m, &s, u, 1, 0, out);
	return 0;
}

static int run_transformer(
	const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out)
{
	return m->form == LODE_NN_FORM_FOLDED ? run_folded(m, scratch, in, out)
					      : run_window(m, scratch, in, out);
}
