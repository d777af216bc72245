/* SPDX-License-Identifier: BSD-3-Clause */
/* The folded form. One layer read at the last step, nothing non-linear before keys and values: with
 * h_i = E x_i + e + p_i, query q = W_q h_L + b_q and per head d = 1..dims:
 *
 *   score_i = q . (W_k h_i + b_k)  =  ((W_k E)^T q) . x_i  +  (W_k p_i) . q  +  the same for all i
 *   mixture = sum_i a_i (W_v h_i + b_v)
 *           = (W_v E) sum_i a_i x_i  +  sum_i a_i (W_v p_i)  +  W_v e + b_v
 *
 * q is affine in x_L, so what multiplies x_i (and the score of p_i) is affine in x_L too: matrix
 * fold_in. The mixture is affine in mixed inputs and weights: matrix fold_value. Computed in double from
 * the INT8 tensors. */
#include "packed.h"
#include "points.h"

#include <math.h>
#include <stdlib.h>

struct fold {
	unsigned n_in, dm, steps, dh;
	double *embed;	     /* E [dm][n_in] */
	double *constant;    /* e [dm] */
	double *position;    /* p [steps][dm], NULL without */
	double *in[3];	     /* W_q E, W_k E, W_v E: [dm][n_in] */
	double *base[3];     /* W_q (e + p_L) + b_q; unused; W_v e + b_v: [dm] */
	double *steps_kv[3]; /* unused; W_k p_i, W_v p_i: [steps][dm] */
};

struct int8_layer {
	const int8_t *weight;
	const float *scale;
	uint32_t n_cols;
};

static struct int8_layer open_layer(const struct weights *w, const char *weight, const char *scale)
{
	const struct lode_nn_tensor *t = weights_find(w, weight);
	return (struct int8_layer){
		.weight = t->data, .scale = weights_find(w, scale)->data, .n_cols = t->dims[1]};
}

static double dequantised(const struct int8_layer *l, unsigned row, unsigned col)
{
	return (double)l->weight[(size_t)row * l->n_cols + col] * l->scale[row];
}

/* Layers that read the input hold weight * step of the feature. */
static double per_feature(const struct weights *w, unsigned feature)
{
	return 1 / (double)((const float *)weights_find(w, "in.range")->data)[2 * feature + 1];
}

static void open_embedding(struct fold *f, const struct lode_nn_desc *d, const struct weights *w)
{
	const struct lode_nn_tensor *p = weights_find(w, "position");
	for (unsigned i = 0; p && i < f->steps * f->dm; i++)
		f->position[i] = ((const float *)p->data)[i];
	if (d->embed == LODE_NN_EMBED_PAD) {
		for (unsigned i = 0; i < f->n_in; i++)
			f->embed[i * f->n_in + i] = 1;
		return;
	}
	struct int8_layer l = open_layer(w, "embed.weight", "embed.scale");
	const float *bias = weights_find(w, "embed.bias")->data;
	for (unsigned o = 0; o < f->dm; o++) {
		f->constant[o] = bias[o];
		for (unsigned i = 0; i < f->n_in; i++)
			f->embed[o * f->n_in + i] = dequantised(&l, o, i) * per_feature(w, i);
	}
}

/* Products of one of W_q, W_k, W_v with E, the constants and the positions. */
static void open_projection(
	struct fold *f, const struct lode_nn_desc *d, const struct weights *w, unsigned part)
{
	struct int8_layer l = open_layer(w, "qkv.weight", "qkv.scale");
	bool in_steps = reads_input(d, "qkv"); /* then only the features' columns count */
	const float *bias = weights_find(w, "qkv.bias")->data;
	const double *last = f->position ? f->position + (size_t)(f->steps - 1) * f->dm : NULL;
	for (unsigned o = 0; o < f->dm; o++) {
		double base = bias[part * f->dm + o];
		for (unsigned k = 0; k < (in_steps ? f->n_in : f->dm); k++) {
			double v = dequantised(&l, part * f->dm + o, k);
			v *= in_steps ? per_feature(w, k) : 1;
			base += v * (f->constant[k] + (part == 0 && last ? last[k] : 0));
			for (unsigned i = 0; i < f->n_in; i++)
				f->in[part][o * f->n_in + i] += v * f->embed[k * f->n_in + i];
			for (unsigned s = 0; f->position && s < f->steps; s++)
				f->steps_kv[part][s * f->dm + o] +=
					v * f->position[(size_t)s * f->dm + k];
		}
		f->base[part][o] = base;
	}
}

/* fold_in, columns of one head: key(d) is what dimension d of the query multiplies. */
static void write_query_column(const struct fold *f, unsigned head, const double *key,
	unsigned key_stride, float *column, unsigned row_floats)
{
	double scale = M_LOG2E / sqrt(f->dh);
	for (unsigned i = 0; i <= f->n_in; i++) {
		double sum = 0;
		for (unsigned o = head * f->dh; o < (head + 1) * f->dh; o++)
			sum += key[(size_t)o * key_stride] *
			       (i < f->n_in ? f->in[0][o * f->n_in + i] : f->base[0][o]);
		column[(size_t)i * row_floats] = (float)(sum * scale);
	}
}

static void write_fold_in(const struct fold *f, struct lode_nn_model *m)
{
	const struct packed_transformer *t = &m->tf;
	unsigned row_floats = 16u * t->fold_in_vecs;
	float *to = (float *)((uint8_t *)m + t->fold_in);
	for (unsigned o = 0; o < f->dm; o++) {
		double constant = f->constant[o];
		if (f->position)
			constant += f->position[(size_t)(f->steps - 1) * f->dm + o];
		for (unsigned i = 0; i < f->n_in; i++)
			to[(size_t)i * row_floats + o] = (float)f->embed[o * f->n_in + i];
		to[(size_t)f->n_in * row_floats + o] = (float)constant;
	}
	for (unsigned h = 0; h < m->desc.n_heads; h++) {
		float *head = to + 16u * (t->dm_vecs + h * t->head_in_vecs);
		float *scores = head + ALIGN_UP(f->n_in, 16u);
		for (unsigned i = 0; i < f->n_in; i++)
			write_query_column(f, h, f->in[1] + i, f->n_in, head + i, row_floats);
		for (unsigned s = 0; f->position && s < f->steps; s++)
			write_query_column(f, h, f->steps_kv[1] + (size_t)s * f->dm, 1, scores + s,
				row_floats);
	}
}

/* Value of dimension k that a unit of mixed input j (a feature, or the weight of a step) makes. */
static double folded_value(const struct fold *f, unsigned j, unsigned k)
{
	return j < f->n_in ? f->in[2][k * f->n_in + j] : f->steps_kv[2][(j - f->n_in) * f->dm + k];
}

static void write_fold_value(const struct fold *f, struct lode_nn_model *m)
{
	const struct packed_transformer *t = &m->tf;
	unsigned row_floats = 16u * t->head_vecs;
	float *to = (float *)((uint8_t *)m + t->fold_value);
	for (unsigned h = 0; h < m->desc.n_heads; h++)
		for (unsigned j = 0; j <= t->n_mixed; j++, to += row_floats)
			for (unsigned d = 0; d < f->dh; d++) {
				unsigned k = h * f->dh + d;
				to[d] = (float)(j < t->n_mixed ? folded_value(f, j, k)
							       : f->base[2][k]);
			}
}

static double *cut(double **at, size_t n)
{
	double *p = *at;
	*at += n;
	return p;
}

int fold_attention(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->desc;
	struct fold f = {.n_in = d->n_in,
		.dm = d->d_model,
		.steps = d->n_steps,
		.dh = d->d_model / d->n_heads};
	size_t per_in = (size_t)f.dm * f.n_in, per_steps = (size_t)f.dm * f.steps;
	double *memory = calloc(4 * (per_in + per_steps + f.dm), sizeof(*memory)), *at = memory;
	if (!memory)
		return lode_err_set(err, -ENOMEM, "no memory to fold the attention");
	f.embed = cut(&at, per_in);
	f.constant = cut(&at, f.dm);
	f.position = m->tf.position ? cut(&at, per_steps) : NULL;
	for (unsigned part = 0; part < 3; part++) {
		f.in[part] = cut(&at, per_in);
		f.base[part] = cut(&at, f.dm);
		f.steps_kv[part] = cut(&at, per_steps);
	}
	open_embedding(&f, d, w);
	for (unsigned part = 0; part < 3; part++)
		open_projection(&f, d, w, part);
	write_fold_in(&f, m);
	write_fold_value(&f, m);
	free(memory);
	return 0;
}
