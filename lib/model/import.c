/* SPDX-License-Identifier: BSD-3-Clause */
/* A network is guessed from the order and shapes of the linear layers, then held against the graph:
 * matching operator patterns would break with every exporter, numbers do not. */
#include "import.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROOF_ROWS = 8, PROOF_SEED = 5 };

#define PROOF_TOLERANCE 1e-4f

struct import {
	const struct found *f;
	struct lode_model_import *out;
};

static float *spec_data(struct import *im, const char *name)
{
	for (unsigned i = 0; i < im->out->n_fp32; i++)
		if (!strcmp(im->out->fp32[i].name, name))
			return (float *)im->out->fp32[i].data;
	return NULL;
}

/* Memory for every tensor the description asks for; zero, so a missing bias is one. */
static int make_tensors(struct import *im, struct lode_err *err)
{
	struct lode_model_import *out = im->out;
	int rc = lode_nn_desc_check(&out->desc, err);
	if (rc)
		return rc;
	size_t n = 0;
	out->n_fp32 = lode_nn_specs(&out->desc, LODE_NN_FORMAT_FP32, out->fp32);
	for (unsigned i = 0; i < out->n_fp32; i++)
		n += lode_nn_tensor_bytes(&out->fp32[i]) / sizeof(float);
	float *data = calloc(n, sizeof(*data));
	if (!data)
		return lode_err_set(err, -ENOMEM, "no memory for %zu weights", n);
	free(out->memory);
	out->memory = data;
	for (unsigned i = 0; i < out->n_fp32; i++) {
		out->fp32[i].data = data;
		data += lode_nn_tensor_bytes(&out->fp32[i]) / sizeof(float);
	}
	return 0;
}

static const char *tensor_name(const char *layer, const char *part, char name[LODE_NN_NAME_BYTES])
{
	snprintf(name, LODE_NN_NAME_BYTES, "%s.%s", layer, part);
	return name;
}

/* Copies rows of a linear layer to row `at` of a layer of ours. */
static int put_linear(struct import *im, const struct found_linear *l, const char *layer,
	uint32_t at, uint32_t n_out, uint32_t n_in, struct lode_err *err)
{
	char name[LODE_NN_NAME_BYTES];
	if (l->n_out != n_out || l->n_in != n_in)
		return lode_err_set(err, -ENOTSUP, "'%.60s' is [%u,%u], [%u,%u] expected for %s",
			l->weight->name, l->n_out, l->n_in, n_out, n_in, layer);
	float *w = spec_data(im, tensor_name(layer, "weight", name)) + (size_t)at * n_in;
	for (uint32_t row = 0; row < n_out; row++)
		for (uint32_t col = 0; col < n_in; col++)
			w[(size_t)row * n_in + col] =
				l->weight->data[l->out_first ? (size_t)row * n_in + col
							     : (size_t)col * n_out + row];
	if (l->bias)
		memcpy(spec_data(im, tensor_name(layer, "bias", name)) + at, l->bias->data,
			n_out * sizeof(float));
	return 0;
}

static int import_mlp(struct import *im, struct lode_err *err)
{
	const struct found *f = im->f;
	uint16_t width[LODE_NN_MAX_LAYERS];
	if (f->n_linears > LODE_NN_MAX_LAYERS)
		return lode_err_set(err, -ENOTSUP, "%u linear layers in a row, at most %d are run",
			f->n_linears, LODE_NN_MAX_LAYERS);
	for (unsigned i = 0; i < f->n_linears; i++)
		width[i] = (uint16_t)LODE_MIN(f->linears[i].n_out, (uint32_t)UINT16_MAX);
	im->out->desc =
		lode_nn_desc_mlp(f->n_in, f->n_steps, width, (uint16_t)f->n_linears, f->output);
	im->out->desc.activation = f->gelu ? LODE_NN_GELU : LODE_NN_RELU;
	int rc = make_tensors(im, err);
	uint32_t n_in = (uint32_t)f->n_in * f->n_steps;
	for (unsigned i = 0; !rc && i < f->n_linears; i++) {
		char layer[8];
		snprintf(layer, sizeof(layer), "l%u", i + 1);
		rc = put_linear(im, &f->linears[i], layer, 0, width[i], n_in, err);
		n_in = width[i];
	}
	return rc;
}

/* ONNX orders the gates i, o, f, c; ours are i, f, g (its c), o. */
static void put_gates(float *out, const float *in, uint32_t gate_floats)
{
	static const uint8_t from[] = {0, 2, 3, 1};
	for (unsigned k = 0; k < 4; k++)
		memcpy(out + (size_t)k * gate_floats, in + (size_t)from[k] * gate_floats,
			gate_floats * sizeof(float));
}

static int import_lstm(struct import *im, struct lode_err *err)
{
	const struct found *f = im->f;
	uint32_t n_hidden = (uint32_t)LODE_MIN(f->lstm_rec->dims[2], (uint64_t)UINT16_MAX);
	uint64_t gates = 4ull * n_hidden;
	if (f->n_linears != 1 || f->n_lstm_before || f->lstm_w->n_elements != gates * f->n_in ||
		f->lstm_rec->n_elements != gates * n_hidden ||
		(f->lstm_bias && f->lstm_bias->n_elements != 2 * gates))
		return lode_err_set(
			err, -ENOTSUP, "one LSTM and one linear head behind it are expected");
	im->out->desc = lode_nn_desc_lstm(f->n_in, f->n_steps, (uint16_t)n_hidden, f->n_out);
	im->out->desc.output = f->output;
	int rc = make_tensors(im, err);
	if (rc)
		return rc;
	put_gates(spec_data(im, "input_proj.weight"), f->lstm_w->data, n_hidden * f->n_in);
	put_gates(spec_data(im, "hidden_proj.weight"), f->lstm_rec->data, n_hidden * n_hidden);
	if (f->lstm_bias) {
		put_gates(spec_data(im, "input_proj.bias"), f->lstm_bias->data, n_hidden);
		put_gates(spec_data(im, "hidden_proj.bias"), f->lstm_bias->data + gates, n_hidden);
	}
	return put_linear(im, &f->linears[0], "output_proj", 0, f->n_out, n_hidden, err);
}

/* Layers in order: [embed] (qkv | q k v) out ff1 ff2 pred. */
static int describe_transformer(const struct found *f, unsigned n_heads, struct lode_nn_desc *d,
	bool *fused, struct lode_err *err)
{
	const struct found_linear *l = f->linears;
	unsigned n = f->n_linears;
	if (n < 5 || n > 8)
		return lode_err_set(err, -ENOTSUP,
			"%u linear layers around the attention, 5 to 8 are expected", n);
	*fused = n <= 6;
	uint32_t d_model = l[n - 1].n_in, d_ffn = l[n - 3].n_out;
	*d = (struct lode_nn_desc){.kind = LODE_NN_TRANSFORMER,
		.n_in = f->n_in,
		.n_steps = f->n_steps,
		.n_out = f->n_out,
		.output = f->output,
		.activation = f->gelu ? LODE_NN_GELU : LODE_NN_RELU,
		.d_model = (uint16_t)LODE_MIN(d_model, (uint32_t)UINT16_MAX),
		.n_heads = (uint16_t)n_heads,
		.d_ffn = (uint16_t)LODE_MIN(d_ffn, (uint32_t)UINT16_MAX),
		.embed = n % 2 ? LODE_NN_EMBED_PAD : LODE_NN_EMBED_LINEAR,
		.position = f->position ? LODE_NN_POSITION_TABLE : LODE_NN_POSITION_NONE,
		.norm = f->n_norms ? LODE_NN_NORM_POST : LODE_NN_NORM_NONE};
	if (f->n_norms == 1 ||
		(f->position && f->position->n_elements != (uint64_t)d_model * f->n_steps))
		return lode_err_set(err, -ENOTSUP,
			"one layer norm alone, or a position table of another shape");
	return 0;
}

static int put_qkv(struct import *im, bool fused, unsigned *k, struct lode_err *err)
{
	uint32_t d = im->out->desc.d_model;
	const struct found_linear *l = im->f->linears;
	if (fused)
		return put_linear(im, &l[(*k)++], "qkv", 0, 3 * d, d, err);
	int rc = 0;
	for (uint32_t part = 0; !rc && part < 3; part++)
		rc = put_linear(im, &l[(*k)++], "qkv", part * d, d, d, err);
	return rc;
}

static int put_norms(struct import *im, struct lode_err *err)
{
	char layer[8], name[LODE_NN_NAME_BYTES];
	uint32_t d = im->out->desc.d_model;
	for (unsigned i = 0; i < im->f->n_norms; i++) {
		const struct found_norm *n = &im->f->norms[i];
		if (n->scale->n_elements != d || n->bias->n_elements != d)
			return lode_err_set(err, -ENOTSUP, "layer norm '%.60s' has not %u elements",
				n->scale->name, d);
		snprintf(layer, sizeof(layer), "norm%u", i + 1);
		memcpy(spec_data(im, tensor_name(layer, "weight", name)), n->scale->data,
			d * sizeof(float));
		memcpy(spec_data(im, tensor_name(layer, "bias", name)), n->bias->data,
			d * sizeof(float));
	}
	return 0;
}

static int import_transformer(struct import *im, unsigned n_heads, struct lode_err *err)
{
	struct lode_nn_desc *d = &im->out->desc;
	const struct found_linear *l = im->f->linears;
	bool fused = false;
	unsigned k = 0;
	int rc = describe_transformer(im->f, n_heads, d, &fused, err);
	if (!rc)
		rc = make_tensors(im, err);
	if (!rc && d->embed == LODE_NN_EMBED_LINEAR)
		rc = put_linear(im, &l[k++], "embed", 0, d->d_model, d->n_in, err);
	if (!rc)
		rc = put_qkv(im, fused, &k, err);
	if (!rc)
		rc = put_linear(im, &l[k++], "out", 0, d->d_model, d->d_model, err);
	if (!rc)
		rc = put_linear(im, &l[k++], "ff1", 0, d->d_ffn, d->d_model, err);
	if (!rc)
		rc = put_linear(im, &l[k++], "ff2", 0, d->d_model, d->d_ffn, err);
	if (!rc)
		rc = put_linear(im, &l[k++], "pred", 0, d->n_out, d->d_model, err);
	if (!rc && im->f->position)
		memcpy(spec_data(im, "position"), im->f->position->data,
			(size_t)d->n_steps * d->d_model * sizeof(float));
	return rc ? rc : put_norms(im, err);
}

/* ---- proof ---- */

static int prove_row(
	const struct found *f, struct lode_model_import *out, const float *in, struct lode_err *err)
{
	float ours[LODE_NN_MAX_OUT];
	struct lode_onnx_array *theirs;
	unsigned n_out;
	int rc = lode_onnx_graph_run(f->g, &in, &theirs, &n_out, err);
	if (rc)
		return rc;
	rc = lode_nn_reference_run(&out->desc, out->fp32, out->n_fp32, in, ours, NULL);
	if (!rc && theirs[0].n_elements != out->desc.n_out)
		rc = lode_err_set(err, -ENOTSUP, "the graph gives %llu values, the network %u",
			(unsigned long long)theirs[0].n_elements, out->desc.n_out);
	for (unsigned i = 0; !rc && i < out->desc.n_out; i++) {
		float error = fabsf(ours[i] - theirs[0].data[i]) / (1 + fabsf(theirs[0].data[i]));
		out->largest_error = fmaxf(out->largest_error, error);
		if (!(error <= PROOF_TOLERANCE))
			rc = lode_err_set(err, -ENOTSUP,
				"looks like a known %s, but gives %.6g where the graph gives %.6g",
				lode_nn_kind_name(out->desc.kind), (double)ours[i],
				(double)theirs[0].data[i]);
	}
	lode_onnx_results_free(theirs, n_out);
	return rc;
}

static int prove(const struct found *f, struct lode_model_import *out, struct lode_err *err)
{
	struct lode_rng rng;
	size_t n = (size_t)f->n_in * f->n_steps;
	float *in = calloc(n, sizeof(*in));
	int rc = in ? 0 : lode_err_set(err, -ENOMEM, "no memory for inputs");
	lode_rng_seed(&rng, PROOF_SEED);
	out->largest_error = 0;
	for (int row = 0; !rc && row < PROOF_ROWS; row++) {
		for (size_t i = 0; i < n; i++)
			in[i] = (float)lode_rng_normal(&rng);
		rc = prove_row(f, out, in, err);
	}
	free(in);
	return rc;
}

/* The number of heads is nowhere written plainly in a graph: the one that fits is the one. */
static int find_heads(struct import *im, struct lode_err *err)
{
	uint32_t d_model = im->f->linears[im->f->n_linears - 1].n_in;
	int rc = lode_err_set(err, -ENOTSUP, "no number of heads fits a width of %u", d_model);
	for (unsigned n_heads = 1; n_heads <= LODE_NN_MAX_HEADS; n_heads++) {
		if (d_model % (4 * n_heads))
			continue;
		rc = import_transformer(im, n_heads, err);
		if (!rc)
			rc = prove(im->f, im->out, err);
		if (!rc || rc == -ENOMEM)
			return rc;
	}
	return rc;
}

int lode_model_import_onnx(
	const struct lode_onnx_graph *graph, struct lode_model_import *out, struct lode_err *err)
{
	struct found f;
	struct import im = {.f = &f, .out = out};
	*out = (struct lode_model_import){0};
	int rc = import_collect(graph, &f, err);
	if (rc)
		return rc;
	if (f.attention)
		rc = find_heads(&im, err);
	else
		rc = f.lstm_w ? import_lstm(&im, err) : import_mlp(&im, err);
	if (!rc && !f.attention)
		rc = prove(&f, out, err);
	if (rc) {
		free(out->memory);
		out->memory = NULL;
	}
	return rc;
}
