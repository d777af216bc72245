/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptions of networks: limits, the tensors they need, arithmetic about their shapes. */
#include "lode_nn.h"

#include <math.h>
#include <stdio.h>

const char *lode_nn_kind_name(enum lode_nn_kind kind)
{
	static const char *const names[] = {"mlp", "lstm", "transformer"};
	return (unsigned)kind < LODE_ARRAY_LEN(names) ? names[kind] : "unknown";
}

struct lode_nn_desc lode_nn_desc_mlp(uint16_t n_in, uint16_t n_steps, const uint16_t *width,
	uint16_t n_layers, enum lode_nn_output output)
{
	struct lode_nn_desc d = {.kind = LODE_NN_MLP, .n_in = n_in, .n_steps = n_steps};
	d.output = output;
	d.n_layers = n_layers;
	for (unsigned i = 0; i < LODE_MIN(n_layers, LODE_NN_MAX_LAYERS); i++)
		d.width[i] = width[i];
	if (n_layers >= 1 && n_layers <= LODE_NN_MAX_LAYERS)
		d.n_out = width[n_layers - 1];
	return d;
}

struct lode_nn_desc lode_nn_desc_lstm(
	uint16_t n_in, uint16_t n_steps, uint16_t n_hidden, uint16_t n_out)
{
	return (struct lode_nn_desc){.kind = LODE_NN_LSTM,
		.n_in = n_in,
		.n_steps = n_steps,
		.n_out = n_out,
		.output = LODE_NN_OUT_SIGMOID,
		.n_hidden = n_hidden};
}

struct lode_nn_desc lode_nn_desc_transformer_legacy(void)
{
	return (struct lode_nn_desc){.kind = LODE_NN_TRANSFORMER,
		.n_in = 8,
		.n_steps = 20,
		.n_out = 1,
		.output = LODE_NN_OUT_SIGMOID,
		.activation = LODE_NN_GELU,
		.d_model = 64,
		.n_heads = 4,
		.d_ffn = 256};
}

struct lode_nn_desc lode_nn_desc_transformer(void)
{
	struct lode_nn_desc d = lode_nn_desc_transformer_legacy();
	d.activation = LODE_NN_RELU;
	d.d_ffn = 128;
	d.embed = LODE_NN_EMBED_LINEAR;
	d.position = LODE_NN_POSITION_TABLE;
	d.norm = LODE_NN_NORM_POST;
	return d;
}

static int in_range(struct lode_err *err, const char *field, unsigned value, unsigned max)
{
	if (value >= 1 && value <= max)
		return 0;
	return lode_err_set(err, -EINVAL, "%s must be 1 to %u, found %u", field, max, value);
}

static int check_mlp(const struct lode_nn_desc *d, struct lode_err *err)
{
	int rc = in_range(err, "n_layers", d->n_layers, LODE_NN_MAX_LAYERS);
	if (rc)
		return rc;
	rc = in_range(err, "n_in * n_steps", (unsigned)d->n_in * d->n_steps, LODE_NN_MAX_IN);
	for (unsigned i = 0; !rc && i < d->n_layers; i++)
		rc = in_range(err, "width", d->width[i], LODE_NN_MAX_HIDDEN);
	if (!rc && d->width[d->n_layers - 1] != d->n_out)
		rc = lode_err_set(err, -EINVAL,
			"width of the last layer must be n_out %u, found %u", d->n_out,
			d->width[d->n_layers - 1]);
	return rc;
}

static int check_transformer(const struct lode_nn_desc *d, struct lode_err *err)
{
	int rc = in_range(err, "d_model", d->d_model, LODE_NN_MAX_D_MODEL);
	if (!rc)
		rc = in_range(err, "n_heads", d->n_heads, LODE_NN_MAX_HEADS);
	if (!rc)
		rc = in_range(err, "d_ffn", d->d_ffn, LODE_NN_MAX_HIDDEN);
	if (!rc)
		rc = in_range(err, "embed + 1", d->embed + 1u, LODE_NN_EMBED_LINEAR + 1);
	if (!rc)
		rc = in_range(err, "position + 1", d->position + 1u, LODE_NN_POSITION_TABLE + 1);
	if (!rc)
		rc = in_range(err, "norm + 1", d->norm + 1u, LODE_NN_NORM_POST + 1);
	if (rc)
		return rc;
	if (d->d_model % (4u * d->n_heads))
		return lode_err_set(err, -EINVAL,
			"d_model must be a multiple of 4 * n_heads = %u, found %u", 4u * d->n_heads,
			d->d_model);
	if (d->embed == LODE_NN_EMBED_PAD && d->n_in > d->d_model)
		return lode_err_set(err, -EINVAL, "zero padding needs n_in <= d_model %u, found %u",
			d->d_model, d->n_in);
	return 0;
}

int lode_nn_desc_check(const struct lode_nn_desc *d, struct lode_err *err)
{
	int rc = in_range(err, "n_in", d->n_in, LODE_NN_MAX_IN);
	if (!rc)
		rc = in_range(err, "n_steps", d->n_steps, LODE_NN_MAX_STEPS);
	if (!rc)
		rc = in_range(err, "n_out", d->n_out, LODE_NN_MAX_OUT);
	if (!rc)
		rc = in_range(err, "output + 1", d->output + 1u, LODE_NN_OUT_SIGMOID_FIRST + 1);
	if (!rc)
		rc = in_range(err, "activation + 1", d->activation + 1u, LODE_NN_GELU + 1);
	if (rc)
		return rc;
	switch (d->kind) {
	case LODE_NN_MLP:
		return check_mlp(d, err);
	case LODE_NN_LSTM:
		rc = in_range(err, "n_in", d->n_in, LODE_NN_MAX_LSTM);
		return rc ? rc : in_range(err, "n_hidden", d->n_hidden, LODE_NN_MAX_LSTM);
	case LODE_NN_TRANSFORMER:
		rc = in_range(err, "n_in", d->n_in, LODE_NN_MAX_D_MODEL);
		return rc ? rc : check_transformer(d, err);
	}
	return lode_err_set(
		err, -EINVAL, "kind must be mlp, lstm or transformer, found %d", (int)d->kind);
}

/* ---- the tensors of a description ---- */

struct spec_list {
	struct lode_nn_tensor *specs;
	unsigned n;
	enum lode_nn_format format;
};

static void add_spec(struct spec_list *l, const char *name, const char *suffix,
	enum lode_nn_type type, uint32_t rows, uint32_t cols)
{
	struct lode_nn_tensor *t = &l->specs[l->n++];
	*t = (struct lode_nn_tensor){.type = type, .n_dims = cols ? 2 : 1, .dims = {rows, cols}};
	snprintf(t->name, sizeof(t->name), "%s%s", name, suffix);
}

static void add_linear(struct spec_list *l, const char *name, uint32_t n_out, uint32_t n_in)
{
	bool int8 = l->format == LODE_NN_FORMAT_INT8;
	add_spec(l, name, ".weight", int8 ? LODE_NN_S8 : LODE_NN_F32, n_out, n_in);
	if (int8)
		add_spec(l, name, ".scale", LODE_NN_F32, n_out, 0);
	add_spec(l, name, ".bias", LODE_NN_F32, n_out, 0);
}

static void add_range(struct spec_list *l, const char *point, uint32_t rows)
{
	if (l->format == LODE_NN_FORMAT_INT8)
		add_spec(l, point, ".range", LODE_NN_F32, rows, 2);
}

static void add_norm(struct spec_list *l, const char *name, uint32_t n)
{
	add_spec(l, name, ".weight", LODE_NN_F32, n, 0);
	add_spec(l, name, ".bias", LODE_NN_F32, n, 0);
}

static void mlp_specs(const struct lode_nn_desc *d, struct spec_list *l)
{
	uint32_t n_in = (uint32_t)d->n_in * d->n_steps;
	for (unsigned i = 0; i < d->n_layers; i++) {
		char name[8];
		snprintf(name, sizeof(name), "l%u", i + 1);
		add_linear(l, name, d->width[i], n_in);
		if (i + 1u < d->n_layers)
			add_range(l, name, 1);
		n_in = d->width[i];
	}
}

static void lstm_specs(const struct lode_nn_desc *d, struct spec_list *l)
{
	add_linear(l, "input_proj", 4u * d->n_hidden, d->n_in);
	add_linear(l, "hidden_proj", 4u * d->n_hidden, d->n_hidden);
	add_linear(l, "output_proj", d->n_out, d->n_hidden);
}

static void transformer_specs(const struct lode_nn_desc *d, struct spec_list *l)
{
	static const char *const points[] = {"q", "k", "v", "attn", "mid", "ff1", "final"};
	bool pad = d->embed == LODE_NN_EMBED_PAD;
	bool int8 = l->format == LODE_NN_FORMAT_INT8;
	if (!pad)
		add_linear(l, "embed", d->d_model, d->n_in);
	if (d->position == LODE_NN_POSITION_TABLE)
		add_spec(l, "position", "", LODE_NN_F32, d->n_steps, d->d_model);
	if (!pad || d->position == LODE_NN_POSITION_TABLE)
		add_range(l, "embed", 1);
	add_linear(l, "qkv", 3u * d->d_model, d->d_model);
	add_linear(l, "out", d->d_model, d->d_model);
	add_linear(l, "ff1", d->d_ffn, d->d_model);
	add_linear(l, "ff2", d->d_model, d->d_ffn);
	add_linear(l, "pred", d->n_out, d->d_model);
	if (d->norm == LODE_NN_NORM_POST) {
		add_norm(l, "norm1", d->d_model);
		add_norm(l, "norm2", d->d_model);
	}
	for (unsigned i = 0; int8 && i < LODE_ARRAY_LEN(points); i++)
		add_range(l, points[i], 1);
}

unsigned lode_nn_specs(const struct lode_nn_desc *d, enum lode_nn_format format,
	struct lode_nn_tensor specs[LODE_NN_MAX_TENSORS])
{
	struct spec_list l = {.specs = specs, .format = format};
	add_range(&l, "in", d->n_in);
	switch (d->kind) {
	case LODE_NN_MLP:
		mlp_specs(d, &l);
		break;
	case LODE_NN_LSTM:
		lstm_specs(d, &l);
		break;
	case LODE_NN_TRANSFORMER:
		transformer_specs(d, &l);
		break;
	}
	return l.n;
}
