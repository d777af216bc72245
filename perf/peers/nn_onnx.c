/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn_onnx.h"

#include "onnx_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Signed bytes in [columns, rows], with a leading 1 for n_dims 3. Returns their scale. */
static float put_int8(struct graph *g, const char *name, unsigned n_dims, const float *weight,
	unsigned rows, unsigned columns)
{
	const int64_t dims[] = {1, columns, rows};
	size_t n = (size_t)rows * columns;
	int8_t *bytes = malloc(n);
	float most = 0;
	if (!bytes) {
		g->b.failed = true;
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		most = fmaxf(most, fabsf(weight[i]));
	for (unsigned r = 0; r < rows; r++)
		for (unsigned c = 0; c < columns; c++)
			bytes[c * rows + r] =
				(int8_t)lrintf(weight[(size_t)r * columns + c] * 127 / most);
	tensor(g, name, TYPE_INT8, dims + 3 - n_dims, n_dims, bytes, n);
	free(bytes);
	return most / 127;
}

/* The same layer in integers: fixed scales between operators, or scales found at run time. */
static void gemm_int8(struct graph *g, const float *weight, const float *bias, unsigned rows,
	unsigned columns, const char *in, const char *out)
{
	char names[64], result[64];
	const int64_t dims[] = {rows};
	const float in_step = 1 / 64.0f;
	const int8_t zero8 = 0;
	const uint8_t zero = 0;
	snprintf(names, sizeof(names), "w%u", g->n_names);
	float step = put_int8(g, names, 2, weight, rows, columns), both = step * in_step;
	snprintf(result, sizeof(result), "%s", out);
	scalar(g, "ws", TYPE_FLOAT, &step, 4);
	if (g->gemm == GEMM_DYNAMIC) {
		snprintf(names, sizeof(names), "b%u", g->n_names);
		tensor(g, names, TYPE_FLOAT, dims, 1, bias, rows * sizeof(*bias));
		node_n(g, "DynamicQuantizeLinear", in, "Q% QS% QZ%");
		node_n(g, "MatMulInteger", "Q% w% QZ%", "I%");
		snprintf(names, sizeof(names), "I%u", g->n_names);
		char to[16];
		snprintf(to, sizeof(to), "F%u", g->n_names);
		struct onnx_bytes cast = node_begin("Cast", names, to);
		attribute_int(&cast, "to", TYPE_FLOAT);
		put_message(&g->b, 1, &cast);
		node_n(g, "Mul", "QS% ws%", "S%");
		node_n(g, "Mul", "F% S%", "P%");
		node_n(g, "Add", "P% b%", result);
	} else {
		int32_t b[LODE_NN_MAX_HIDDEN];
		for (unsigned i = 0; i < rows; i++)
			b[i] = (int32_t)lrintf(bias[i] / both);
		snprintf(names, sizeof(names), "bq%u", g->n_names);
		tensor(g, names, TYPE_INT32, dims, 1, b, rows * sizeof(*b));
		scalar(g, "wz", TYPE_INT8, &zero8, 1);
		scalar(g, "as", TYPE_FLOAT, &in_step, 4);
		scalar(g, "az", TYPE_UINT8, &zero, 1);
		scalar(g, "bs", TYPE_FLOAT, &both, 4);
		snprintf(names, sizeof(names), "%s as%u az%u", in, g->n_names, g->n_names);
		node_n(g, "QuantizeLinear", names, "Q%");
		node_n(g, "DequantizeLinear", "Q% as% az%", "X%");
		node_n(g, "DequantizeLinear", "w% ws% wz%", "wf%");
		node_n(g, "DequantizeLinear", "bq% bs%", "bf%");
		node_n(g, "Gemm", "X% wf% bf%", result);
	}
	g->n_names++;
}

/* out = in W^T + b, for the rows [first, first + rows) of a layer (rows 0: all), times scale. */
static void gemm(struct graph *g, const struct perf_net *net, const char *layer, unsigned first,
	unsigned rows, float scale, const char *in, const char *out)
{
	char w[48], b[48], inputs[128], name[48];
	snprintf(name, sizeof(name), "%s.weight", layer);
	const struct lode_nn_tensor *t = lode_nn_tensor_find(net->fp32, net->n_fp32, name);
	snprintf(name, sizeof(name), "%s.bias", layer);
	const float *bias = lode_nn_tensor_find(net->fp32, net->n_fp32, name)->data;
	rows = rows ? rows : t->dims[0];
	const int64_t dims[] = {rows, t->dims[1]};
	size_t n = (size_t)rows * t->dims[1];
	float *copy = malloc((n + rows) * sizeof(*copy));
	if (!copy) {
		g->b.failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		copy[i] = scale * ((const float *)t->data)[(size_t)first * t->dims[1] + i];
	for (unsigned i = 0; i < rows; i++)
		copy[n + i] = scale * bias[first + i];
	if (g->gemm != GEMM_FLOAT) {
		gemm_int8(g, copy, copy + n, rows, t->dims[1], in, out);
		free(copy);
		return;
	}
	snprintf(w, sizeof(w), "w%u", g->n_names);
	snprintf(b, sizeof(b), "b%u", g->n_names++);
	tensor(g, w, TYPE_FLOAT, dims, 2, copy, n * sizeof(*copy));
	tensor(g, b, TYPE_FLOAT, dims, 1, copy + n, rows * sizeof(*copy));
	free(copy);
	snprintf(inputs, sizeof(inputs), "%s %s %s", in, w, b);
	struct onnx_bytes node_bytes = node_begin("Gemm", inputs, out);
	attribute_int(&node_bytes, "transB", 1);
	put_message(&g->b, 1, &node_bytes);
}

static void transpose(
	struct graph *g, const char *in, const char *out, int64_t a, int64_t b, int64_t c)
{
	struct onnx_bytes n = node_begin("Transpose", in, out);
	const int64_t perm[] = {a, b, c};
	attribute_ints(&n, "perm", perm, 3);
	put_message(&g->b, 1, &n);
}

static void mlp(struct graph *g, const struct perf_net *net)
{
	char from[8] = "x", to[8], layer[8];
	for (unsigned i = 0; i < net->desc.n_layers; i++) {
		bool last = i + 1u == net->desc.n_layers;
		snprintf(layer, sizeof(layer), "l%u", i + 1);
		snprintf(to, sizeof(to), last ? "z" : "g%u", i);
		gemm(g, net, layer, 0, 0, 1, from, to);
		snprintf(from, sizeof(from), "r%u", i);
		if (!last)
			node(g, "Relu", to, from);
	}
	node(g, net->desc.output == LODE_NN_OUT_SIGMOID ? "Sigmoid" : "Identity", "z", "y");
}

/* Weights of the quantised LSTM: [1, columns, rows] with one scale. */
static void gates_int8(
	struct graph *g, const char *name, const float *weight, unsigned rows, unsigned columns)
{
	const int64_t one[] = {1};
	const int8_t zero = 0;
	char part[8];
	float step = put_int8(g, name, 3, weight, rows, columns);
	snprintf(part, sizeof(part), "%ss", name);
	tensor(g, part, TYPE_FLOAT, one, 1, &step, 4);
	snprintf(part, sizeof(part), "%sz", name);
	tensor(g, part, TYPE_INT8, one, 1, &zero, 1);
}

/* ONNX has the gates in the order i, o, f, c. */
static void gates(struct graph *g, const struct perf_net *net, const char *name, const float *from,
	unsigned n_in)
{
	static const unsigned order[] = {0, 3, 1, 2};
	unsigned n = net->desc.n_hidden;
	const int64_t dims[] = {1, 4 * n, n_in};
	float *copy = malloc(4ul * n * n_in * sizeof(*copy));
	for (unsigned i = 0; copy && i < 4; i++)
		memcpy(copy + (size_t)i * n * n_in, from + (size_t)order[i] * n * n_in,
			(size_t)n * n_in * sizeof(*copy));
	g->b.failed |= !copy;
	if (copy && g->gemm != GEMM_FLOAT)
		gates_int8(g, name, copy, 4 * n, n_in);
	else if (copy)
		tensor(g, name, TYPE_FLOAT, dims, 3, copy, 4ul * n * n_in * sizeof(*copy));
	free(copy);
}

static const float *fp32(const struct perf_net *net, const char *name)
{
	return lode_nn_tensor_find(net->fp32, net->n_fp32, name)->data;
}

/* Biases are left out of the graph: they would cost it nothing, and ours has them. */
static void lstm(struct graph *g, const struct perf_net *net)
{
	const int64_t flat[] = {1, net->desc.n_hidden};
	bool is_int8 = g->gemm != GEMM_FLOAT;
	gates(g, net, "W", fp32(net, "input_proj.weight"), net->desc.n_in);
	gates(g, net, "R", fp32(net, "hidden_proj.weight"), net->desc.n_hidden);
	struct onnx_bytes n =
		is_int8 ? node_begin("DynamicQuantizeLSTM", "x W R - - - - - Ws Wz Rs Rz", "- h")
			: node_begin("LSTM", "x W R", "- h");
	if (is_int8)
		put_text(&n, 7, "com.microsoft");
	attribute_int(&n, "hidden_size", net->desc.n_hidden);
	put_message(&g->b, 1, &n);
	ints(g, "flat", flat, 2);
	node(g, "Reshape", "h flat", "h2");
	gemm(g, net, "output_proj", 0, 0, 1, "h2", "z");
	node(g, "Sigmoid", "z", "y");
}

/* last: one query instead of twenty. The score's scale is in the query weights. */
static void transformer(struct graph *g, const struct perf_net *net, bool last)
{
	const struct lode_nn_desc *d = &net->desc;
	int64_t dh = d->d_model / d->n_heads;
	const int64_t heads[] = {-1, d->n_heads, dh}, rows[] = {-1, d->d_model};
	const int64_t end[] = {d->n_steps - 1}, halves[] = {d->d_model, d->d_model};
	float scale = 0.25f;
	ints(g, "heads", heads, 3);
	ints(g, "rows", rows, 2);
	ints(g, "end", end, 1);
	ints(g, "halves", halves, 2);
	if (last)
		node(g, "Gather", "x end", "xq");
	else
		node(g, "Identity", "x", "xq");
	gemm(g, net, "qkv", 0, d->d_model, scale, "xq", "q");
	gemm(g, net, "qkv", d->d_model, 2 * d->d_model, 1, "x", "kv");
	struct onnx_bytes n = node_begin("Split", "kv halves", "k v");
	attribute_int(&n, "axis", 1);
	put_message(&g->b, 1, &n);
	node(g, "Reshape", "q heads", "q3");
	node(g, "Reshape", "k heads", "k3");
	node(g, "Reshape", "v heads", "v3");
	transpose(g, "q3", "qt", 1, 0, 2);
	transpose(g, "k3", "kt", 1, 2, 0);
	transpose(g, "v3", "vt", 1, 0, 2);
	node(g, "MatMul", "qt kt", "scores");
	node(g, "Softmax", "scores", "weights");
	node(g, "MatMul", "weights vt", "mixed");
	transpose(g, "mixed", "mixed3", 1, 0, 2);
	node(g, "Reshape", "mixed3 rows", "attended");
	gemm(g, net, "out", 0, 0, 1, "attended", "projected");
	node(g, "Add", "xq projected", "mid");
	gemm(g, net, "ff1", 0, 0, 1, "mid", "f1");
	n = node_begin("Gelu", "f1", "f2");
	attribute_text(&n, "approximate", "tanh");
	put_message(&g->b, 1, &n);
	gemm(g, net, "ff2", 0, 0, 1, "f2", "f3");
	node(g, "Add", "mid f3", "final");
	if (last)
		node(g, "Identity", "final", "read");
	else
		node(g, "Gather", "final end", "read");
	gemm(g, net, "pred", 0, 0, 1, "read", "z");
	node(g, "Sigmoid", "z", "y");
}

static void input_dims(
	const struct lode_nn_desc *d, unsigned batch, int64_t dims[3], unsigned *n_dims)
{
	*n_dims = 2;
	dims[0] = batch;
	dims[1] = (int64_t)d->n_in * d->n_steps;
	if (d->kind == LODE_NN_LSTM) {
		*n_dims = 3;
		dims[0] = d->n_steps;
		dims[1] = batch;
		dims[2] = d->n_in;
	} else if (d->kind == LODE_NN_TRANSFORMER) {
		dims[0] = d->n_steps;
		dims[1] = d->d_model;
	}
}

int onnx_write(const struct perf_net *net, enum lode_nn_form form, enum onnx_precision precision,
	unsigned batch, struct onnx_bytes *out, int64_t dims[3], unsigned *n_dims)
{
	const struct lode_nn_desc *d = &net->desc;
	const int64_t out_dims[] = {batch, d->n_out};
	struct graph g = {.gemm = precision == ONNX_FP32   ? GEMM_FLOAT
				  : d->kind == LODE_NN_MLP ? GEMM_FIXED
							   : GEMM_DYNAMIC};
	struct onnx_bytes opset = {0}, more = {0};
	if ((d->kind != LODE_NN_MLP && batch != 1) || d->embed != LODE_NN_EMBED_PAD ||
		d->norm != LODE_NN_NORM_NONE || d->position != LODE_NN_POSITION_NONE)
		return -ENOTSUP;
	input_dims(d, batch, dims, n_dims);
	put_text(&g.b, 2, d->kind == LODE_NN_MLP ? "mlp" : "net");
	value(&g, 11, "x", dims, *n_dims);
	value(&g, 12, "y", out_dims, 2);
	if (d->kind == LODE_NN_MLP)
		mlp(&g, net);
	else if (d->kind == LODE_NN_LSTM)
		lstm(&g, net);
	else
		transformer(&g, net, form == LODE_NN_FORM_LAST);
	*out = (struct onnx_bytes){0};
	put_int(out, 1, 9);
	put_message(out, 7, &g.b);
	put_int(&opset, 2, 20);
	put_message(out, 8, &opset);
	put_text(&more, 1, "com.microsoft");
	put_int(&more, 2, 1);
	put_message(out, 8, &more);
	return out->failed ? -ENOMEM : 0;
}
