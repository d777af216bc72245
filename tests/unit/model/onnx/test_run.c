/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "../onnx_build.h"
#include "lode_onnx.h"

#include <math.h>

/* Runs the graph on one input and compares its one output. Takes the graph. */
static void expect_run(struct graph_build *b, const float *in, const float *expected, size_t n)
{
	struct pbw *m = build_model(b);
	struct lode_onnx_graph *g;
	struct lode_onnx_array *out;
	struct lode_err err = {0};
	unsigned n_out;
	cr_assert_eq(lode_onnx_graph_open(&g, m->buf, m->n, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_onnx_graph_run(g, &in, &out, &n_out, &err), 0, "%s", err.msg);
	cr_assert_eq(n_out, 1);
	cr_assert_eq(out[0].n_elements, n, "%llu", (unsigned long long)out[0].n_elements);
	for (size_t i = 0; i < n; i++)
		cr_assert_float_eq(out[0].data[i], expected[i], 1e-6f * (1 + fabsf(expected[i])),
			"[%zu] %g, %g expected", i, (double)out[0].data[i], (double)expected[i]);
	lode_onnx_results_free(out, n_out);
	lode_onnx_graph_free(g);
	free(m);
}

#define EXPECT(b, in, ...)                              \
	expect_run(b, in, (const float[]){__VA_ARGS__}, \
		sizeof((const float[]){__VA_ARGS__}) / sizeof(float))

static const float one_to_six[] = {1, 2, 3, 4, 5, 6};

/* x [2,3], y the output, one node between. */
static struct graph_build one_op(struct node_build n)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(2, 3));
	build_add(&b, n);
	build_output(&b, "y");
	return b;
}

Test(onnx_run, add)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(0, 3)); /* a symbolic batch counts as 1 */
	build_floats(&b, "c", DIMS(3), (const float[]){10, 20, 30});
	build_op(&b, "Add", "x c", "y");
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 11, 22, 33);
}

Test(onnx_run, linear)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(1, 3));
	build_floats(&b, "w", DIMS(2, 3), (const float[]){1, 0, -1, .5f, .5f, .5f});
	build_floats(&b, "b", DIMS(2), (const float[]){10, 20});
	struct node_build n = build_node("Gemm", "x w b", "y");
	build_attr_int(&n, "transB", 1);
	build_attr_float(&n, "alpha", 2);
	build_attr_float(&n, "beta", .5f);
	build_add(&b, n);
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 1, 16);
}

Test(onnx_run, gemm_with_transposed_a)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(3, 2));
	build_floats(&b, "w", DIMS(3, 1), (const float[]){1, 10, 100});
	struct node_build n = build_node("Gemm", "x w", "y");
	build_attr_int(&n, "transA", 1);
	build_add(&b, n);
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 531, 642);
}

Test(onnx_run, classifier)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(1, 2));
	build_floats(&b, "w1", DIMS(2, 2), (const float[]){1, -1, 1, -1});
	build_floats(&b, "b1", DIMS(2), (const float[]){0, 1});
	build_floats(&b, "w2", DIMS(2, 3), (const float[]){1, 0, 0, 0, 1, 0});
	build_op(&b, "MatMul", "x w1", "a");
	build_op(&b, "Add", "a b1", "c");
	build_op(&b, "Relu", "c", "d");
	build_op(&b, "MatMul", "d w2", "e");
	build_op(&b, "Softmax", "e", "y");
	build_output(&b, "y");
	/* hidden [3, 0] after the ReLU, logits [3, 0, 0] */
	float sum = expf(3) + 2;
	EXPECT(&b, one_to_six, expf(3) / sum, 1 / sum, 1 / sum);
}

Test(onnx_run, sigmoid_tanh_erf_and_gelu)
{
	const float x[6] = {-100, -1, 0, 1, 2, 100};
	struct graph_build b = one_op(build_node("Sigmoid", "x", "y"));
	EXPECT(&b, x, 0, .26894142f, .5f, .73105858f, .88079708f, 1);
	b = one_op(build_node("Tanh", "x", "y"));
	EXPECT(&b, x, -1, -.76159416f, 0, .76159416f, .96402758f, 1);
	b = one_op(build_node("Erf", "x", "y"));
	EXPECT(&b, x, -1, -.84270079f, 0, .84270079f, .99532227f, 1);
	b = one_op(build_node("Gelu", "x", "y"));
	EXPECT(&b, x, 0, -.15865525f, 0, .84134475f, 1.95449974f, 100);
}

Test(onnx_run, softmax_before_and_since_opset_13)
{
	float e[6], sum = 0, row[2] = {0};
	for (int i = 0; i < 6; i++) {
		e[i] = expf(one_to_six[i]);
		sum += e[i];
		row[i / 3] += e[i];
	}
	struct node_build n = build_node("Softmax", "x", "y");
	build_attr_int(&n, "axis", 0);
	struct graph_build b = one_op(n);
	b.opset = 11; /* everything behind the axis is one dimension */
	EXPECT(&b, one_to_six, e[0] / sum, e[1] / sum, e[2] / sum, e[3] / sum, e[4] / sum,
		e[5] / sum);
	b = one_op(build_node("Softmax", "x", "y"));
	EXPECT(&b, one_to_six, e[0] / row[0], e[1] / row[0], e[2] / row[0], e[3] / row[1],
		e[4] / row[1], e[5] / row[1]);
}

Test(onnx_run, layer_norm_is_what_its_parts_say)
{
	const float s = 1.2247356859f; /* 1 / sqrt(2/3 + 1e-5) */
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(2, 3));
	build_floats(&b, "two", 0, NULL, (const float[]){2});
	build_floats(&b, "eps", 0, NULL, (const float[]){1e-5f});
	struct node_build mean = build_node("ReduceMean", "x", "m"),
			  var = build_node("ReduceMean", "q", "v");
	build_attr_ints(&mean, "axes", DIMS(-1));
	build_attr_ints(&var, "axes", DIMS(-1));
	build_add(&b, mean);
	build_op(&b, "Sub", "x m", "d");
	build_op(&b, "Pow", "d two", "q");
	build_add(&b, var);
	build_op(&b, "Add", "v eps", "ve");
	build_op(&b, "Sqrt", "ve", "sd");
	build_op(&b, "Div", "d sd", "y");
	build_output(&b, "y");
	EXPECT(&b, one_to_six, -s, 0, s, -s, 0, s);
	b = build_graph();
	b.opset = 17;
	build_input(&b, "x", DIMS(2, 3));
	build_floats(&b, "g", DIMS(3), (const float[]){1, 2, 3});
	build_floats(&b, "c", DIMS(3), (const float[]){5, 5, 5});
	build_op(&b, "LayerNormalization", "x g c", "y");
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 5 - s, 5, 5 + 3 * s, 5 - s, 5, 5 + 3 * s);
}

Test(onnx_run, shapes_move_elements)
{
	struct node_build n = build_node("Transpose", "x", "y");
	struct graph_build b = one_op(n);
	EXPECT(&b, one_to_six, 1, 4, 2, 5, 3, 6);

	n = build_node("Flatten", "x", "y");
	build_attr_int(&n, "axis", 0);
	b = one_op(n);
	EXPECT(&b, one_to_six, 1, 2, 3, 4, 5, 6);

	n = build_node("Gather", "x i", "y");
	build_attr_int(&n, "axis", 1);
	b = one_op(n);
	build_ints(&b, "i", 2, (const int64_t[]){-1, 0});
	EXPECT(&b, one_to_six, 3, 1, 6, 4);

	b = one_op(build_node("Slice", "x s e a t", "y"));
	build_ints(&b, "s", 1, (const int64_t[]){0});
	build_ints(&b, "e", 1, (const int64_t[]){INT64_MAX});
	build_ints(&b, "a", 1, (const int64_t[]){-1});
	build_ints(&b, "t", 1, (const int64_t[]){2});
	EXPECT(&b, one_to_six, 1, 3, 4, 6);

	n = build_node("Concat", "x x", "y");
	build_attr_int(&n, "axis", 1);
	b = one_op(n);
	EXPECT(&b, one_to_six, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6);

	b = one_op(build_node("Reshape", "x s", "r"));
	build_ints(&b, "s", 3, (const int64_t[]){3, -1, 1});
	build_op(&b, "Squeeze", "r", "q");
	build_op(&b, "Transpose", "q", "y");
	EXPECT(&b, one_to_six, 1, 3, 5, 2, 4, 6);

	b = one_op(build_node("Shape", "x", "y"));
	EXPECT(&b, one_to_six, 2, 3);

	b = one_op(build_node("Unsqueeze", "x a", "u"));
	build_ints(&b, "a", 2, (const int64_t[]){0, 3});
	build_op(&b, "Shape", "u", "y");
	EXPECT(&b, one_to_six, 1, 2, 3, 1);
}

Test(onnx_run, batched_matmul_broadcasts)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(3, 1, 2));
	build_floats(&b, "w", DIMS(2, 2), (const float[]){1, 0, 1, 1});
	build_op(&b, "MatMul", "x w", "y");
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 3, 2, 7, 4, 11, 6);
	b = build_graph();
	build_input(&b, "x", DIMS(3));
	build_op(&b, "MatMul", "x x", "y"); /* two vectors give a scalar */
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 14);
}

Test(onnx_run, quantised_and_back)
{
	struct graph_build b = one_op(build_node("QuantizeLinear", "x s z", "q"));
	build_floats(&b, "s", DIMS(3), (const float[]){1, .02f, .5f});
	int64_t three = 3;
	pbw_put(b.graph, 5, build_tensor("z", 1, &three, 3, "\x00\xff\x01", 3));
	build_op(&b, "DequantizeLinear", "q s z", "y");
	/* column 1 saturates at 127, column 2 is exact */
	EXPECT(&b, one_to_six, 1, 2, 3, 4, 2.56f, 6);
}

Test(onnx_run, lstm_of_one_unit_follows_its_definition)
{
	/* gates i, o, f, c */
	const float w[4] = {.1f, .2f, .3f, .4f}, rec[4] = {-.5f, .6f, .7f, -.8f};
	const float bias[8] = {.01f, .02f, .03f, .04f, .05f, .06f, .07f, .08f};
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(6, 1, 1));
	build_floats(&b, "w", DIMS(1, 4, 1), w);
	build_floats(&b, "r", DIMS(1, 4, 1), rec);
	build_floats(&b, "b", DIMS(1, 8), bias);
	struct node_build n = build_node("LSTM", "x w r b", "y");
	build_attr_int(&n, "hidden_size", 1);
	build_add(&b, n);
	build_output(&b, "y");
	float expected[6];
	double h = 0, c = 0;
	for (int t = 0; t < 6; t++) {
		double gate[4];
		for (int k = 0; k < 4; k++)
			gate[k] = (double)w[k] * (double)one_to_six[t] + (double)rec[k] * h +
				  (double)bias[k] + (double)bias[4 + k];
		double i = 1 / (1 + exp(-gate[0])), o = 1 / (1 + exp(-gate[1])),
		       f = 1 / (1 + exp(-gate[2]));
		c = f * c + i * tanh(gate[3]);
		h = o * tanh(c);
		expected[t] = (float)h;
	}
	expect_run(&b, one_to_six, expected, 6);
}

Test(onnx_run, constants_and_casts)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(2));
	struct node_build n = {pbw_new()};
	pbw_text(n.node, 2, "c");
	pbw_text(n.node, 4, "Constant");
	build_attr_float(&n, "value_float", 2.5f);
	build_add(&b, n);
	build_op(&b, "Mul", "x c", "p");
	n = build_node("Cast", "p", "i");
	build_attr_int(&n, "to", 7);
	build_add(&b, n);
	n = build_node("Cast", "i", "y");
	build_attr_int(&n, "to", 1);
	build_add(&b, n);
	build_output(&b, "y");
	EXPECT(&b, one_to_six, 2, 5);
}
