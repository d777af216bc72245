/* SPDX-License-Identifier: BSD-3-Clause */
/* nn: inference of the gateway's small networks. Weights are signed bytes with one scale per output
 * channel, activations unsigned bytes, sums 32-bit integers, everything between layers IEEE single
 * precision in one fixed order of operations: the same model and input give the same bits on every
 * instruction set. A plain FP32 reference stands beside it.
 *
 * A built model is immutable: any number of threads may run it, each with a scratch (and, for
 * recurrent runs, a state) of its own. Running allocates nothing and takes time independent of the
 * values. Actions return 0 or -errno.
 *
 * Way of a model:  FP32 tensors -> lode_nn_reference_run over calibration inputs -> ranges
 *                  -> lode_nn_quantise -> INT8 tensors (what an INT8 file holds)
 *                  -> lode_nn_model_build -> one packed block of memory -> lode_nn_run / _step */
#pragma once

#include "lode_base.h"

/* ---- what a network looks like ---- */

#define LODE_NN_MAX_IN \
	512 /* features of a whole input: n_in * n_steps for an MLP, n_in otherwise */
#define LODE_NN_MAX_OUT	    64
#define LODE_NN_MAX_STEPS   64
#define LODE_NN_MAX_LAYERS  6	 /* linear layers of an MLP */
#define LODE_NN_MAX_HIDDEN  1024 /* MLP layer or feed-forward width */
#define LODE_NN_MAX_LSTM    256
#define LODE_NN_MAX_D_MODEL 256
#define LODE_NN_MAX_HEADS   16
#define LODE_NN_MAX_TENSORS 40
#define LODE_NN_NAME_BYTES  32

enum lode_nn_kind { LODE_NN_MLP, LODE_NN_LSTM, LODE_NN_TRANSFORMER };
enum lode_nn_activation { LODE_NN_RELU, LODE_NN_GELU }; /* GELU: the tanh form */
enum lode_nn_embed {
	LODE_NN_EMBED_PAD,   /* features, zero-padded to d_model */
	LODE_NN_EMBED_LINEAR /* a linear layer n_in -> d_model */
};
enum lode_nn_position { LODE_NN_POSITION_NONE, LODE_NN_POSITION_TABLE };
enum lode_nn_norm { LODE_NN_NORM_NONE, LODE_NN_NORM_POST }; /* after each residual sum, eps 1e-5 */
enum lode_nn_output {
	LODE_NN_OUT_LINEAR,
	LODE_NN_OUT_SIGMOID,
	LODE_NN_OUT_SOFTMAX,
	LODE_NN_OUT_SIGMOID_FIRST /* output 0 a probability, the others as they are */
};

/* Input of every kind: n_steps rows (oldest first) of n_in floats, contiguous. Fields that a kind
 * does not use are 0.
 *   MLP          l1, l2, ... : the flattened input through n_layers linear layers, activation between;
 *                width[i] are the outputs of layer i, the last one n_out
 *   LSTM         gates i, f, g, o; initial state 0; head on the last hidden state
 *   transformer  one layer, attention over all steps (not causal), read at the last step */
struct lode_nn_desc {
	enum lode_nn_kind kind;
	uint16_t n_in, n_steps, n_out;
	enum lode_nn_output output;
	enum lode_nn_activation activation; /* MLP, transformer */
	/* MLP */
	uint16_t n_layers;
	uint16_t width[LODE_NN_MAX_LAYERS];
	/* LSTM */
	uint16_t n_hidden;
	/* transformer; d_model / n_heads must be a multiple of 4 */
	uint16_t d_model, n_heads, d_ffn;
	enum lode_nn_embed embed;
	enum lode_nn_position position;
	enum lode_nn_norm norm;
};

/* -EINVAL with the field, the limit and the value if the network is outside what this room runs. */
int lode_nn_desc_check(const struct lode_nn_desc *desc, struct lode_err *err);
const char *lode_nn_kind_name(enum lode_nn_kind kind);

/* Shapes that are in use; each is complete and passes the check. */
struct lode_nn_desc lode_nn_desc_mlp(uint16_t n_in, uint16_t n_steps, const uint16_t *width,
	uint16_t n_layers, enum lode_nn_output output);
struct lode_nn_desc lode_nn_desc_lstm(
	uint16_t n_in, uint16_t n_steps, uint16_t n_hidden, uint16_t n_out);
/* Transformer of 20 x 8, d 64, 4 heads: the published older shape (zero padding, GELU, ffn 256). */
struct lode_nn_desc lode_nn_desc_transformer_legacy(void);
/* The improved one: linear embedding, position table, layer norm, ReLU, ffn 128. */
struct lode_nn_desc lode_nn_desc_transformer(void);

/* ---- tensors, FP32 and INT8 ---- */

enum lode_nn_type { LODE_NN_F32, LODE_NN_S8 };
enum lode_nn_format { LODE_NN_FORMAT_FP32, LODE_NN_FORMAT_INT8 };

/* A view; row-major, linear weights are [out, in]. data must be aligned to its element. */
struct lode_nn_tensor {
	char name[LODE_NN_NAME_BYTES];
	enum lode_nn_type type;
	uint32_t n_dims;
	uint32_t dims[2];
	const void *data;
};

/* Names, types and shapes (data NULL) that a network of this description has, in a fixed order.
 * Writes up to LODE_NN_MAX_TENSORS, returns how many. desc must pass lode_nn_desc_check.
 *
 * FP32: X.weight [out, in], X.bias [out] for the linear layers X:
 *   MLP          l1, l2, ...
 *   LSTM         input_proj, hidden_proj (rows: gates i, f, g, o), output_proj
 *   transformer  [embed] qkv out ff1 ff2 pred; [position [n_steps, d_model]];
 *                [norm1.weight norm1.bias norm2.weight norm2.bias]
 * INT8: X.weight becomes S8 and X.scale [out] is added: weight = scale * s8. Each activation point P
 * adds P.range [rows, 2] with columns (low, step): value = low + step * u8. `in.range` has one row per
 * feature, and the layers that read the input (l1, input_proj, embed; qkv without embed) hold
 * weight * step(feature). The other points have one row: the MLP's l1, l2, ... without the last;
 * the transformer's [embed] q k v attn mid ff1 final. */
unsigned lode_nn_specs(const struct lode_nn_desc *desc, enum lode_nn_format format,
	struct lode_nn_tensor specs[LODE_NN_MAX_TENSORS]);

/* Every spec is there with its type and shape, nothing else is, all floats are finite, scales and
 * steps positive. The message names tensor, expected and found. */
int lode_nn_tensors_check(const struct lode_nn_desc *desc, enum lode_nn_format format,
	const struct lode_nn_tensor *tensors, unsigned n_tensors, struct lode_err *err);
const struct lode_nn_tensor *lode_nn_tensor_find(
	const struct lode_nn_tensor *tensors, unsigned n_tensors, const char *name);
uint64_t lode_nn_tensor_bytes(const struct lode_nn_tensor *t);
/* Multiplications of one run, from the shapes. */
uint64_t lode_nn_macs(const struct lode_nn_desc *desc);

/* ---- FP32 reference; plain C, allocates, not for the data path ---- */

#define LODE_NN_MAX_POINTS 8

/* Smallest and largest value seen at each activation point, see lode_nn_ranges_init. */
struct lode_nn_ranges {
	uint64_t n_samples;
	float in_low[LODE_NN_MAX_IN], in_high[LODE_NN_MAX_IN]; /* per feature, n_in of them */
	float low[LODE_NN_MAX_POINTS], high[LODE_NN_MAX_POINTS];
};

void lode_nn_ranges_init(struct lode_nn_ranges *ranges);

/* in: n_steps * n_in floats, out: n_out floats. tensors must have passed lode_nn_tensors_check as
 * FP32. ranges, if not NULL, is widened by what this input shows. -EINVAL: input not finite. */
int lode_nn_reference_run(const struct lode_nn_desc *desc, const struct lode_nn_tensor *tensors,
	unsigned n_tensors, const float *in, float *out, struct lode_nn_ranges *ranges);

/* ---- quantisation: FP32 tensors and ranges -> INT8 tensors ---- */

/* Bytes of memory that lode_nn_quantise needs for the data of its tensors. */
size_t lode_nn_quantise_bytes(const struct lode_nn_desc *desc);

/* Symmetric per output channel for weights, min-max for activations. Fills tensors (names, shapes,
 * data inside memory, aligned to 64) in the order of lode_nn_specs and *n_tensors. */
int lode_nn_quantise(const struct lode_nn_desc *desc, const struct lode_nn_tensor *fp32,
	unsigned n_fp32, const struct lode_nn_ranges *ranges, void *memory, size_t memory_bytes,
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS], unsigned *n_tensors,
	struct lode_err *err);

/* ---- the packed model ---- */

enum lode_nn_isa {
	LODE_NN_ISA_AUTO,
	LODE_NN_PORTABLE,
	LODE_NN_AVX2,
	LODE_NN_AVX512VNNI,
	LODE_NN_NEON /* with the dot products of ARMv8.2 */
};

/* The best one this CPU has. */
enum lode_nn_isa lode_nn_isa_best(void);
bool lode_nn_isa_available(enum lode_nn_isa isa);
const char *lode_nn_isa_name(enum lode_nn_isa isa);

/* How a transformer is computed; all give the same function in real arithmetic, and full, last and
 * stream the same bits. Other kinds take AUTO only. */
enum lode_nn_form {
	LODE_NN_FORM_AUTO,   /* folded */
	LODE_NN_FORM_FULL,   /* every step through every layer */
	LODE_NN_FORM_LAST,   /* keys and values of all steps, the rest for the last step only */
	LODE_NN_FORM_STREAM, /* lode_nn_step only: keys and values in a ring; no position table */
	LODE_NN_FORM_FOLDED  /* attention in the input space: W_k and W_o W_v W_e multiplied out */
};

const char *lode_nn_form_name(enum lode_nn_form form);

struct lode_nn_model; /* starts at the caller's memory; holds offsets only, so it may be copied */

/* Size of the block for a description; desc must pass the check. */
size_t lode_nn_model_bytes(const struct lode_nn_desc *desc, enum lode_nn_form form);

/* Packs INT8 tensors into memory (64-byte aligned, at least lode_nn_model_bytes; a 2 MB page spares
 * TLB misses). Runs the tensor checks itself. memory stays the caller's and must outlive the model.
 * -EINVAL: description, tensors or form; -ENOTSUP: this CPU lacks isa; -ENOSPC; -ERANGE: a scale that
 * no trained model has. */
int lode_nn_model_build(void *memory, size_t memory_bytes, const struct lode_nn_desc *desc,
	const struct lode_nn_tensor *tensors, unsigned n_tensors, enum lode_nn_isa isa,
	enum lode_nn_form form, const struct lode_nn_model **model, struct lode_err *err);

enum lode_nn_isa lode_nn_model_isa(const struct lode_nn_model *m);
enum lode_nn_form lode_nn_model_form(const struct lode_nn_model *m);
/* Bytes of the block in use: what has to be in cache for a warm run. */
size_t lode_nn_model_used_bytes(const struct lode_nn_model *m);

/* Scratch for one thread (64-byte aligned); LODE_NN_SCRATCH_BYTES is enough for every model. */
size_t lode_nn_scratch_bytes(const struct lode_nn_model *m);
#define LODE_NN_SCRATCH_BYTES (640u << 10)

/* in: n_steps * n_in floats; out: n_out floats. -EINVAL: an input is NaN or infinite, out untouched;
 * -ENOTSUP: the model is of the stream form. */
int lode_nn_run(const struct lode_nn_model *m, void *scratch, const float *in, float *out);

/* n_rows inputs, contiguous; an MLP is faster so per row, the others run row by row with the same
 * result. -EINVAL as above: no row of out is valid then. */
int lode_nn_run_batch(
	const struct lode_nn_model *m, void *scratch, const float *in, uint32_t n_rows, float *out);

/* Recurrent runs: LSTM with kept state, transformer of the stream form. state: lode_nn_state_bytes,
 * 64-byte aligned, one per series (path); reset starts a series. in: one step of n_in floats.
 * A stream answers once n_steps steps have been given: -EAGAIN before (the step is taken, out is
 * untouched). After n_steps steps from reset the answer equals lode_nn_run on that window.
 * -EINVAL: input not finite, state as it was; -ENOTSUP: not a recurrent model. */
size_t lode_nn_state_bytes(const struct lode_nn_model *m);
void lode_nn_state_reset(const struct lode_nn_model *m, void *state);
int lode_nn_step(
	const struct lode_nn_model *m, void *scratch, void *state, const float *in, float *out);

/* Prefetches up to max_bytes of the weights from offset on towards L1/L2; returns the next offset, 0
 * when all is done. A poll loop spreads the calls over the rounds before a decision is due. */
size_t lode_nn_prefetch(const struct lode_nn_model *m, size_t offset, size_t max_bytes);
