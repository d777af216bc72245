/* SPDX-License-Identifier: BSD-3-Clause */
/* The packed model: one block of memory that starts with struct lode_nn_model; places inside it are
 * byte offsets from its start, each aligned to 64. pack.c writes it, the kernels read it; every
 * instruction set reads the same block. */
#pragma once

#include "lode_nn.h"

#define ALIGN_UP(n, to) (((n) + (to)-1) / (to) * (to))
#define PANEL_VECS	8 /* vectors of 16 outputs in one panel */

/* What the sums of a linear layer become: y = sum * mul + add, per output. */
enum sink {
	SINK_F32,  /* y as it is */
	SINK_U8,   /* rounded and saturated: ReLU is the saturation at 0 */
	SINK_GELU, /* y is a place in the table, whose value is rounded and saturated */
};

/* Weights of a wide layer: panels of up to PANEL_VECS vectors; in a panel k-group after k-group, in a
 * k-group vector after vector, in a vector 16 outputs, of each output 4 consecutive inputs.
 * Of a narrow one (n_rows > 0: a head of up to NARROW_MAX outputs): 16 inputs after 16 inputs, in them
 * n_rows outputs, of each its 16 weights: so a vector holds four outputs and few sums are left to add.
 * Outputs and inputs are padded with zero weights. */
#define NARROW_MAX 8
struct packed_linear {
	uint32_t weights;  /* s8 */
	uint32_t mul, add; /* f32, n_vecs * 16 */
	uint32_t table;	   /* SINK_GELU: f32 [3][16], see gelu_table */
	uint16_t n_vecs;
	uint16_t k_groups; /* that hold inputs */
	uint16_t k_padded; /* with groups of zero weights, so that partial sums come out even */
	uint16_t n_rows;   /* narrow: outputs, padded to 4 or 8; else 0 */
	enum sink sink;
};

/* u8 = round(v * mul + add) */
struct quantiser {
	float mul, add;
};

enum transformer_linear { TF_EMBED, TF_QUERY, TF_KEY, TF_VALUE, TF_OUT, TF_FF1, TF_FF2, TF_PRED };
enum lstm_linear { LSTM_INPUT, LSTM_HIDDEN, LSTM_HEAD };
#define MAX_LINEARS 8
static_assert(LODE_NN_MAX_LAYERS <= MAX_LINEARS, "an MLP's layers fit");

struct packed_transformer {
	uint16_t dm_vecs;	   /* d_model in vectors */
	uint16_t head_vecs;	   /* one head in vectors: heads are padded to 16 in q, k and v */
	uint16_t step_vecs;	   /* n_steps in vectors */
	uint16_t n_steps_4;	   /* n_steps rounded up to 4 */
	uint32_t in_low, in_high;  /* f32 [n_in]: the calibrated range of each feature */
	uint32_t position;	   /* f32 [n_steps][dm_vecs * 16], 0 without a table */
	uint32_t gain[2], bias[2]; /* norms, f32 [dm_vecs * 16]; 0 without */
	float score_mul;	   /* integer score -> exponent of 2 */
	struct quantiser embed, attn, mid, final;
	/* folded form, all f32 */
	uint32_t
		fold_in; /* [n_in + 1][(dm_vecs + n_heads * head_in_vecs) * 16], last row constants */
	uint32_t fold_value; /* [n_heads][n_mixed + 1][head_vecs * 16], last row constants */
	uint16_t fold_in_vecs, head_in_vecs, n_mixed;
};

struct lode_nn_model {
	struct lode_nn_desc desc;
	enum lode_nn_isa isa;
	enum lode_nn_form form;
	uint32_t used_bytes, scratch_bytes, state_bytes;
	uint32_t in_mul, in_add; /* f32 for every float of an input (one step if run stepwise) */
	uint32_t n_linears;
	struct packed_linear linear[MAX_LINEARS];
	struct packed_transformer tf;
};

static inline const void *model_at(const struct lode_nn_model *m, uint32_t offset)
{
	return __builtin_assume_aligned((const uint8_t *)m + offset, 64);
}

/* Floats of one step's or one window's input; the input quantiser has as many entries. */
static inline uint32_t window_floats(const struct lode_nn_desc *d)
{
	return (uint32_t)d->n_in * d->n_steps;
}

/* ---- GELU between bytes: a quadratic in each of 16 segments, exact to a fraction of a step ---- */

/* Segment s is centred at x = (s - GELU_ZERO) / GELU_PER_UNIT; the outer two are straight lines. */
#define GELU_PER_UNIT 2.0
#define GELU_ZERO     7.5

/* ---- tanh of the LSTM: cubics in t = u - segment, u = |x| * TANH_PER_UNIT ---- */

#define TANH_PER_UNIT 1.6f

/* ---- making a model; desc and tensors have been checked ---- */

/* Fills everything of m but the block behind it: shapes, offsets, used_bytes. */
void plan_model(struct lode_nn_model *m, const struct lode_nn_desc *desc, enum lode_nn_form form);

struct weights {
	const struct lode_nn_tensor *tensors;
	unsigned n;
};

static inline const struct lode_nn_tensor *weights_find(const struct weights *w, const char *name)
{
	return lode_nn_tensor_find(w->tensors, w->n, name);
}

/* Writes the block of a planned model. */
int pack_mlp(struct lode_nn_model *m, const struct weights *w, struct lode_err *err);
int pack_lstm(struct lode_nn_model *m, const struct weights *w, struct lode_err *err);
int pack_transformer(struct lode_nn_model *m, const struct weights *w, struct lode_err *err);
/* The two matrices of the folded form. */
int fold_attention(struct lode_nn_model *m, const struct weights *w, struct lode_err *err);

/* ---- kernels of one instruction set ---- */

struct kernels {
	int (*mlp)(const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out);
	int (*mlp_batch)(const struct lode_nn_model *m, uint8_t *scratch, const float *in,
		uint32_t n_rows, float *out);
	int (*lstm_window)(
		const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out);
	int (*lstm_step)(const struct lode_nn_model *m, uint8_t *scratch, void *state,
		const float *in, float *out);
	int (*transformer)(
		const struct lode_nn_model *m, uint8_t *scratch, const float *in, float *out);
	int (*transformer_step)(const struct lode_nn_model *m, uint8_t *scratch, void *state,
		const float *in, float *out);
};

extern const struct kernels kernels_portable, kernels_avx2, kernels_avx512vnni, kernels_neon;
