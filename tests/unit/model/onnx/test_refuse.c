/* SPDX-License-Identifier: BSD-3-Clause */
/* What is not run, and that the reason is told. */
#include <criterion/criterion.h>

#include "../onnx_build.h"
#include "lode_onnx.h"

static void refuse_bytes(const void *data, size_t n, const char *why)
{
	struct lode_onnx_graph *g;
	struct lode_err err = {0};
	int rc = lode_onnx_graph_open(&g, data, n, &err);
	if (!rc) {
		float in[64] = {0};
		const float *ins[] = {in, in, in};
		struct lode_onnx_array *out;
		unsigned n_out;
		rc = lode_onnx_graph_run(g, ins, &out, &n_out, &err);
		cr_assert_null(out);
		lode_onnx_graph_free(g);
	}
	cr_assert_lt(rc, 0, "%s", why);
	cr_expect(strstr(err.msg, why), "'%s' expected in '%s'", why, err.msg);
}

/* Takes the graph. */
static void refuse(struct graph_build *b, const char *why)
{
	struct pbw *m = build_model(b);
	refuse_bytes(m->buf, m->n, why);
	free(m);
}

static struct graph_build start(void)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(2, 3));
	return b;
}

Test(onnx_refuse, operators_outside_the_list)
{
	struct graph_build b = start();
	build_op(&b, "Loop", "x", "y");
	build_output(&b, "y");
	refuse(&b, "operator 'Loop' is not one");
	b = start();
	struct node_build n = build_node("Relu", "x", "y");
	pbw_text(n.node, 7, "com.example");
	build_add(&b, n);
	refuse(&b, "operator 'com.example.Relu' is not one");
}

Test(onnx_refuse, cycles_and_double_definitions)
{
	struct graph_build b = start();
	build_op(&b, "Add", "x z", "y");
	build_op(&b, "Relu", "y", "z");
	build_output(&b, "z");
	refuse(&b, "'z' is used before anything defines it");
	b = start();
	build_op(&b, "Add", "x y", "y");
	refuse(&b, "'y' is used before");
	b = start();
	build_op(&b, "Relu", "x", "y");
	build_op(&b, "Tanh", "x", "y");
	refuse(&b, "'y' is defined twice");
	b = start();
	build_floats(&b, "w", DIMS(1), (const float[]){1});
	build_floats(&b, "w", DIMS(1), (const float[]){1});
	refuse(&b, "'w' is defined twice");
	b = start();
	build_output(&b, "nowhere");
	refuse(&b, "'nowhere' is defined by nothing");
	b = start();
	refuse(&b, "no outputs");
}

Test(onnx_refuse, operator_sets)
{
	static const int64_t versions[] = {0, 6, 22, -1};
	for (size_t i = 0; i < LODE_ARRAY_LEN(versions); i++) {
		struct graph_build b = start();
		b.opset = versions[i];
		refuse(&b, "operator set");
	}
}

Test(onnx_refuse, odd_tensors)
{
	struct graph_build b = start();
	int64_t zero = 0, two = 2;
	pbw_put(b.graph, 5, build_tensor("w", 1, &zero, 1, NULL, 0));
	refuse(&b, "dimension 0 is 0");
	b = start();
	pbw_put(b.graph, 5, build_tensor("w", 1, &two, 1, "1234", 4));
	refuse(&b, "need 8 bytes, 4 found");
	b = start();
	pbw_put(b.graph, 5, build_tensor("w", 1, &two, 10, "1234", 4));
	refuse(&b, "element type 10");
	b = start();
	pbw_put(b.graph, 5, build_tensor("w", DIMS(1ll << 40, 1ll << 40), 1, "1234", 4));
	refuse(&b, "too large");
	b = start();
	struct pbw *t = build_tensor("w", 1, &two, 1, NULL, 0), *entry = pbw_new();
	t->n -= 2; /* without the empty raw_data */
	pbw_text(entry, 1, "location");
	pbw_text(entry, 2, "w.data");
	pbw_put(t, 13, entry);
	pbw_u64(t, 14, 1);
	pbw_put(b.graph, 5, t);
	refuse(&b, "external data is not allowed");
	b = start();
	struct pbw *sparse = pbw_new();
	pbw_put(sparse, 1, build_tensor("s", 1, &two, 1, "12345678", 8));
	pbw_put(b.graph, 15, sparse);
	refuse(&b, "sparse tensors are not allowed");
}

Test(onnx_refuse, sub_graphs)
{
	struct graph_build b = start();
	struct node_build n = build_node("Relu", "x", "y");
	struct pbw *attribute = pbw_new();
	pbw_text(attribute, 1, "body");
	pbw_put(attribute, 6, pbw_new());
	pbw_put(n.node, 5, attribute);
	build_add(&b, n);
	refuse(&b, "graphs inside graphs");
}

Test(onnx_refuse, shapes_that_do_not_fit)
{
	struct graph_build b = start();
	build_floats(&b, "w", DIMS(2, 2), (const float[]){1, 2, 3, 4});
	build_op(&b, "MatMul", "x w", "y");
	build_output(&b, "y");
	refuse(&b, "inner dimensions are 3 and 2");
	b = start();
	build_floats(&b, "w", DIMS(2), (const float[]){1, 2});
	build_op(&b, "Add", "x w", "y");
	build_output(&b, "y");
	refuse(&b, "do not broadcast");
	b = start();
	build_ints(&b, "s", 2, (const int64_t[]){4, -1});
	build_op(&b, "Reshape", "x s", "y");
	build_output(&b, "y");
	refuse(&b, "6 elements do not fit");
	b = start();
	build_ints(&b, "i", 1, (const int64_t[]){3});
	struct node_build n = build_node("Gather", "x i", "y");
	build_attr_int(&n, "axis", 1);
	build_add(&b, n);
	build_output(&b, "y");
	refuse(&b, "index 3 of 3");
	b = start();
	build_ints(&b, "s", 1, (const int64_t[]){2});
	build_ints(&b, "e", 1, (const int64_t[]){1});
	build_op(&b, "Slice", "x s e", "y");
	build_output(&b, "y");
	refuse(&b, "dimension 0");
	b = start();
	build_op(&b, "Softmax", "", "y");
	refuse(&b, "input 0 is absent");
	b = start();
	build_op(&b, "Add", "x", "y");
	refuse(&b, "has 1 inputs");
}

Test(onnx_refuse, more_memory_or_work_than_is_sane)
{
	struct graph_build b = start();
	build_ints(&b, "s", 4, (const int64_t[]){1 << 20, 1 << 20, 2, 3});
	build_op(&b, "Expand", "x s", "y");
	build_output(&b, "y");
	refuse(&b, "more than");
	b = start();
	build_ints(&b, "s", 2, (const int64_t[]){4096, 4096});
	build_op(&b, "ConstantOfShape", "s", "a");
	build_op(&b, "MatMul", "a a", "y");
	build_output(&b, "y");
	refuse(&b, "multiplications");
	b = start();
	build_op(&b, "Identity", "x", "f");
	for (int i = 0; i < 9; i++) { /* 6 * 8^9 elements */
		char in[128] = "", out[16];
		for (int k = 0; k < 8; k++)
			sprintf(in + strlen(in), "%sf%.*s", k ? " " : "", i, "xxxxxxxxx");
		sprintf(out, "f%.*s", i + 1, "xxxxxxxxx");
		build_op(&b, "Concat", in, out);
	}
	build_output(&b, "fxxxxxxxxx");
	refuse(&b, "values take more than");
}

Test(onnx_refuse, every_cut_of_a_file)
{
	struct graph_build b = start();
	build_floats(&b, "w", DIMS(3), (const float[]){1, 2, 3});
	build_op(&b, "Add", "x w", "y");
	build_output(&b, "y");
	struct pbw *m = build_model(&b);
	for (size_t n = 0; n < m->n; n++) {
		uint8_t *copy = malloc(n + 1); /* its own size, for the sanitizer */
		memcpy(copy, m->buf, n);
		refuse_bytes(copy, n, "");
		free(copy);
	}
	free(m);
}
