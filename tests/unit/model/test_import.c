/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks of ours, written as ONNX the way exporters do, come back the same. */
#include <criterion/criterion.h>

#include "make_model.h"
#include "onnx_build.h"

static const float *data_of(const struct made_net *net, const char *name)
{
	return lode_nn_tensor_find(net->tensors, net->n_tensors, name)->data;
}

static const struct lode_nn_tensor *tensor_of(const struct made_net *net, const char *name)
{
	return lode_nn_tensor_find(net->tensors, net->n_tensors, name);
}

/* in -> Gemm transB -> out, or MatMul + Add with the transposed weight. */
static void put_linear(struct graph_build *b, const struct made_net *net, const char *layer,
	bool gemm, const char *in, const char *out)
{
	char w[40], c[40], text[128], mid[48];
	snprintf(w, sizeof(w), "%s.weight", layer);
	snprintf(c, sizeof(c), "%s.bias", layer);
	snprintf(mid, sizeof(mid), "%s.mid", layer);
	const struct lode_nn_tensor *t = tensor_of(net, w);
	int64_t rows = t->dims[0], cols = t->dims[1];
	build_floats(b, c, 1, &rows, data_of(net, c));
	if (gemm) {
		build_floats(b, w, DIMS(rows, cols), t->data);
		snprintf(text, sizeof(text), "%s %s %s", in, w, c);
		struct node_build n = build_node("Gemm", text, out);
		build_attr_int(&n, "transB", 1);
		build_add(b, n);
		return;
	}
	float *turned = calloc((size_t)(rows * cols), sizeof(*turned));
	for (int64_t i = 0; i < rows; i++)
		for (int64_t k = 0; k < cols; k++)
			turned[k * rows + i] = ((const float *)t->data)[i * cols + k];
	build_floats(b, w, DIMS(cols, rows), turned);
	free(turned);
	snprintf(text, sizeof(text), "%s %s", in, w);
	build_op(b, "MatMul", text, mid);
	snprintf(text, sizeof(text), "%s %s", c, mid);
	build_op(b, "Add", text, out);
}

/* Imports the graph and compares every tensor. Takes the graph. */
static void expect_import(
	struct graph_build *b, const struct lode_nn_desc *desc, const struct made_net *net)
{
	struct pbw *m = build_model(b);
	struct lode_onnx_graph *g;
	struct lode_model_import import;
	struct lode_err err = {0};
	cr_assert_eq(lode_onnx_graph_open(&g, m->buf, m->n, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_model_import_onnx(g, &import, &err), 0, "%s", err.msg);
	char ours[LODE_NETWORK_TEXT_BYTES], found[LODE_NETWORK_TEXT_BYTES];
	lode_network_print(desc, ours);
	lode_network_print(&import.desc, found);
	cr_assert_str_eq(found, ours);
	cr_assert_eq(import.n_fp32, net->n_tensors);
	for (unsigned i = 0; i < net->n_tensors; i++)
		cr_assert_arr_eq(import.fp32[i].data, net->tensors[i].data,
			lode_nn_tensor_bytes(&net->tensors[i]), "%s", net->tensors[i].name);
	free(import.memory);
	lode_onnx_graph_free(g);
	free(m);
}

Test(import, mlp_by_gemm_and_by_matmul)
{
	const uint16_t width[] = {16, 8, 3};
	for (int gemm = 0; gemm < 2; gemm++) {
		struct lode_nn_desc desc = lode_nn_desc_mlp(8, 1, width, 3, LODE_NN_OUT_SOFTMAX);
		struct made_net net = make_net(&desc, 5);
		struct graph_build b = build_graph();
		build_input(&b, "x", DIMS(0, 8));
		put_linear(&b, &net, "l1", gemm, "x", "a");
		build_op(&b, "Relu", "a", "b");
		put_linear(&b, &net, "l2", gemm, "b", "c");
		build_op(&b, "Relu", "c", "d");
		put_linear(&b, &net, "l3", gemm, "d", "e");
		build_op(&b, "Softmax", "e", "y");
		build_output(&b, "y");
		expect_import(&b, &desc, &net);
		free(net.memory);
	}
}

/* Gates i, f, g, o to ONNX's i, o, f, c. */
static void reorder(const float *in, float *out, size_t gate)
{
	static const int to[] = {0, 2, 3, 1};
	for (int k = 0; k < 4; k++)
		memcpy(out + (size_t)to[k] * gate, in + (size_t)k * gate, gate * sizeof(float));
}

Test(import, lstm_with_its_gate_order)
{
	enum { H = 16, IN = 8, STEPS = 20 };
	struct lode_nn_desc desc = lode_nn_desc_lstm(IN, STEPS, H, 1);
	struct made_net net = make_net(&desc, 6);
	float w[4 * H * IN], rec[4 * H * H], bias[8 * H];
	reorder(data_of(&net, "input_proj.weight"), w, H * IN);
	reorder(data_of(&net, "hidden_proj.weight"), rec, H * H);
	reorder(data_of(&net, "input_proj.bias"), bias, H);
	reorder(data_of(&net, "hidden_proj.bias"), bias + 4 * H, H);
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(0, STEPS, IN)); /* batch first, as exporters write it */
	struct node_build n = build_node("Transpose", "x", "t");
	build_attr_ints(&n, "perm", DIMS(1, 0, 2));
	build_add(&b, n);
	build_floats(&b, "W", DIMS(1, 4 * H, IN), w);
	build_floats(&b, "R", DIMS(1, 4 * H, H), rec);
	build_floats(&b, "B", DIMS(1, 8 * H), bias);
	n = build_node("LSTM", "t W R B", "all");
	build_attr_int(&n, "hidden_size", H);
	build_add(&b, n);
	build_ints(&b, "one", 1, (const int64_t[]){1});
	build_op(&b, "Squeeze", "all one", "s");
	build_ints(&b, "last", 1, (const int64_t[]){-1});
	build_op(&b, "Gather", "s last", "h");
	n = build_node("Flatten", "h", "flat");
	build_add(&b, n);
	put_linear(&b, &net, "output_proj", true, "flat", "p");
	build_op(&b, "Sigmoid", "p", "y");
	build_output(&b, "y");
	expect_import(&b, &desc, &net);
	free(net.memory);
}

/* q, k or v [steps, d] -> [heads, steps, d / heads]. */
static void put_heads(
	struct graph_build *b, const char *from, const char *at, const char *out, bool key)
{
	char text[64], mid[16], cut[16];
	snprintf(cut, sizeof(cut), "%s.cut", out);
	snprintf(mid, sizeof(mid), "%s.split", out);
	snprintf(text, sizeof(text), "%s %s %s.end axis2", from, at, at);
	build_op(b, "Slice", text, cut);
	snprintf(text, sizeof(text), "%s headshape", cut);
	build_op(b, "Reshape", text, mid);
	struct node_build n = build_node("Transpose", mid, out);
	if (key)
		build_attr_ints(&n, "perm", DIMS(0, 2, 3, 1));
	else
		build_attr_ints(&n, "perm", DIMS(0, 2, 1, 3));
	build_add(b, n);
}

static void put_norm(struct graph_build *b, const struct made_net *net, const char *norm,
	const char *in, const char *out)
{
	char w[24], c[24], text[80];
	snprintf(w, sizeof(w), "%s.weight", norm);
	snprintf(c, sizeof(c), "%s.bias", norm);
	int64_t n = tensor_of(net, w)->dims[0];
	build_floats(b, w, 1, &n, data_of(net, w));
	build_floats(b, c, 1, &n, data_of(net, c));
	snprintf(text, sizeof(text), "%s %s %s", in, w, c);
	build_op(b, "LayerNormalization", text, out);
}

static struct graph_build transformer_graph(
	const struct lode_nn_desc *d, const struct made_net *net)
{
	int64_t dm = d->d_model, heads = d->n_heads, steps = d->n_steps;
	bool norm = d->norm == LODE_NN_NORM_POST;
	struct graph_build b = build_graph();
	b.opset = 17;
	build_input(&b, "x", DIMS(0, steps, d->n_in));
	const char *tokens = "x";
	if (d->embed == LODE_NN_EMBED_LINEAR) {
		put_linear(&b, net, "embed", false, "x", "embedded");
		tokens = "embedded";
	}
	if (d->position == LODE_NN_POSITION_TABLE) {
		char text[64];
		build_floats(&b, "table", DIMS(1, steps, dm), data_of(net, "position"));
		snprintf(text, sizeof(text), "%s table", tokens);
		build_op(&b, "Add", text, "tokens");
		tokens = "tokens";
	}
	put_linear(&b, net, "qkv", false, tokens, "qkv");
	build_ints(&b, "headshape", 4, (const int64_t[]){1, steps, heads, dm / heads});
	build_ints(&b, "joined", 3, (const int64_t[]){1, steps, dm});
	build_ints(&b, "axis2", 1, (const int64_t[]){2});
	const char *const parts[] = {"q", "k", "v"};
	for (int64_t i = 0; i < 3; i++) {
		char from[8], end[16];
		int64_t at = i * dm, to = at + dm;
		snprintf(from, sizeof(from), "%s.at", parts[i]);
		snprintf(end, sizeof(end), "%s.at.end", parts[i]);
		build_ints(&b, from, 1, &at);
		build_ints(&b, end, 1, &to);
		put_heads(&b, "qkv", from, parts[i], i == 1);
	}
	build_op(&b, "MatMul", "q k", "scores");
	build_floats(&b, "root", 0, NULL, (const float[]){sqrtf((float)(dm / heads))});
	build_op(&b, "Div", "scores root", "scaled");
	build_op(&b, "Softmax", "scaled", "weights");
	build_op(&b, "MatMul", "weights v", "mixed");
	struct node_build n = build_node("Transpose", "mixed", "turned");
	build_attr_ints(&n, "perm", DIMS(0, 2, 1, 3));
	build_add(&b, n);
	build_op(&b, "Reshape", "turned joined", "attention");
	put_linear(&b, net, "out", false, "attention", "projected");
	char text[64];
	snprintf(text, sizeof(text), "%s projected", tokens);
	build_op(&b, "Add", text, "sum1");
	if (norm)
		put_norm(&b, net, "norm1", "sum1", "mid");
	else
		build_op(&b, "Identity", "sum1", "mid");
	put_linear(&b, net, "ff1", false, "mid", "wide");
	n = build_node(d->activation == LODE_NN_GELU ? "Gelu" : "Relu", "wide", "active");
	if (d->activation == LODE_NN_GELU) {
		struct pbw *a = pbw_new();
		pbw_text(a, 1, "approximate");
		pbw_text(a, 4, "tanh");
		pbw_put(n.node, 5, a);
	}
	build_add(&b, n);
	put_linear(&b, net, "ff2", false, "active", "narrow");
	build_op(&b, "Add", "mid narrow", "sum2");
	if (norm)
		put_norm(&b, net, "norm2", "sum2", "done");
	else
		build_op(&b, "Identity", "sum2", "done");
	build_ints(&b, "laststep", 1, (const int64_t[]){-1});
	n = build_node("Gather", "done laststep", "last");
	build_attr_int(&n, "axis", 1);
	build_add(&b, n);
	put_linear(&b, net, "pred", false, "last", "logit");
	build_op(&b, "Sigmoid", "logit", "y");
	build_output(&b, "y");
	return b;
}

Test(import, transformer_with_embedding_position_and_norm)
{
	struct lode_nn_desc desc = lode_nn_desc_transformer();
	struct made_net net = make_net(&desc, 7);
	struct graph_build b = transformer_graph(&desc, &net);
	expect_import(&b, &desc, &net);
	free(net.memory);
}

Test(import, transformer_of_the_older_shape)
{
	/* a graph has no zero padding: its input is as wide as the model */
	struct lode_nn_desc desc = lode_nn_desc_transformer_legacy();
	desc.n_in = desc.d_model;
	struct made_net net = make_net(&desc, 8);
	struct graph_build b = transformer_graph(&desc, &net);
	expect_import(&b, &desc, &net);
	free(net.memory);
}

static void refuse_import(struct graph_build *b, const char *why)
{
	struct pbw *m = build_model(b);
	struct lode_onnx_graph *g;
	struct lode_model_import import;
	struct lode_err err = {0};
	cr_assert_eq(lode_onnx_graph_open(&g, m->buf, m->n, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_model_import_onnx(g, &import, &err), -ENOTSUP, "%s", why);
	cr_assert_null(import.memory);
	cr_expect(strstr(err.msg, why), "'%s' expected in '%s'", why, err.msg);
	lode_onnx_graph_free(g);
	free(m);
}

Test(import, what_only_looks_alike_is_refused)
{
	const uint16_t width[] = {16, 3};
	struct lode_nn_desc desc = lode_nn_desc_mlp(8, 1, width, 2, LODE_NN_OUT_LINEAR);
	struct made_net net = make_net(&desc, 9);
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(1, 8));
	put_linear(&b, &net, "l1", true, "x", "a");
	build_op(&b, "Sqrt", "a", "b"); /* not an activation of ours */
	put_linear(&b, &net, "l2", true, "b", "y");
	build_output(&b, "y");
	refuse_import(&b, "looks like a known mlp, but gives");
	b = build_graph();
	build_input(&b, "x", DIMS(1, 8));
	build_op(&b, "Relu", "x", "y");
	build_output(&b, "y");
	refuse_import(&b, "does not come from a linear layer");
	b = build_graph();
	build_input(&b, "x", DIMS(4, 8)); /* a batch of four is not one input */
	put_linear(&b, &net, "l1", true, "x", "y");
	build_output(&b, "y");
	refuse_import(&b, "is not [1, features]");
	free(net.memory);
}
