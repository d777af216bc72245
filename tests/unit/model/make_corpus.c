/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes the seeds of the fuzz targets of this room: make_model_corpus tests/fuzz/corpus */
#include "make_model.h"
#include "onnx_build.h"

#include <sys/stat.h>

static const char *root;

static void put(const char *target, const char *name, const void *data, size_t n)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", root, target);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(data, 1, n, f) != n || fclose(f)) {
		perror(path);
		exit(1);
	}
}

/* ---- safetensors ---- */

static void put_header(const char *name, const char *header, size_t n_data)
{
	uint8_t file[4096] = {0};
	uint64_t n = strlen(header);
	memcpy(file, &n, 8);
	memcpy(file + 8, header, n);
	put("model_package_safetensors", name, file, 8 + n + n_data);
}

#define T(name, begin, end) \
	"\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" begin "," end "]}"

static void put_safetensors(void)
{
	put_header("plain", "{" T("a", "0", "4") "," T("b", "4", "8") "}", 8);
	put_header(
		"metadata", "{\"__metadata__\":{\"k\":\"v\\u00e9\\n\"}," T("a", "0", "4") "}", 4);
	put_header("overlap", "{" T("a", "0", "4") "," T("b", "0", "4") "}", 4);
	put_header("hole", "{" T("a", "0", "4") "," T("b", "8", "12") "}", 12);
	put_header("duplicate", "{" T("a", "0", "4") "," T("a", "4", "8") "}", 8);
	put_header("huge", "{" T("a", "0", "18446744073709551615") "}", 4);
	put_header("deep", "{\"a\":{\"dtype\":{\"x\":{\"y\":[[[[1]]]]}}}}", 0);
	put_header("escapes",
		"{\"\\ud83d\\ude00\\\"\\\\\":{\"shape\":[],\"dtype\":\"F64\",\"data_offsets\":[0,8]"
		"}}",
		8);
	put_header("types",
		"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]},"
		"\"b\":{\"dtype\":\"BF16\",\"shape\":[2,0],\"data_offsets\":[2,2]}}",
		2);
	put("model_package_safetensors", "length", "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
}

/* ---- ONNX ---- */

static void put_model(const char *name, struct graph_build *b)
{
	struct pbw *m = build_model(b);
	put("model_package_onnx", name, m->buf, m->n);
	put("model_onnx_run", name, m->buf, m->n);
	free(m);
}

static struct graph_build started(void)
{
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(2, 3));
	return b;
}

static void put_mlp(void)
{
	struct graph_build b = started();
	build_floats(&b, "w", DIMS(2, 3), (const float[]){1, 2, 3, 4, 5, 6});
	build_floats(&b, "b", DIMS(2), (const float[]){1, 2});
	struct node_build n = build_node("Gemm", "x w b", "h");
	build_attr_int(&n, "transB", 1);
	build_add(&b, n);
	build_op(&b, "Relu", "h", "r");
	build_op(&b, "Softmax", "r", "y");
	build_output(&b, "y");
	put_model("mlp", &b);
}

static void put_shapes(void)
{
	struct graph_build b = started();
	build_ints(&b, "s", 3, (const int64_t[]){3, -1, 1});
	build_ints(&b, "i", 1, (const int64_t[]){1});
	build_ints(&b, "from", 1, (const int64_t[]){0});
	build_ints(&b, "to", 1, (const int64_t[]){2});
	build_op(&b, "Reshape", "x s", "a");
	build_op(&b, "Squeeze", "a", "b");
	struct node_build n = build_node("Transpose", "b", "c");
	build_attr_ints(&n, "perm", DIMS(1, 0));
	build_add(&b, n);
	build_op(&b, "Gather", "c i", "d");
	build_op(&b, "Slice", "d from to", "e");
	n = build_node("Concat", "e d", "f");
	build_attr_int(&n, "axis", 0);
	build_add(&b, n);
	build_op(&b, "Shape", "f", "g");
	build_op(&b, "ConstantOfShape", "g", "h");
	build_op(&b, "Expand", "f g", "k");
	build_op(&b, "Unsqueeze", "k i", "l");
	n = build_node("Flatten", "l", "y");
	build_add(&b, n);
	build_output(&b, "y");
	put_model("shapes", &b);
}

static void put_lstm(void)
{
	const float zeros[64] = {0};
	struct graph_build b = build_graph();
	build_input(&b, "x", DIMS(2, 1, 3));
	build_floats(&b, "w", DIMS(1, 8, 3), zeros);
	build_floats(&b, "r", DIMS(1, 8, 2), zeros);
	build_floats(&b, "b", DIMS(1, 16), zeros);
	struct node_build n = build_node("LSTM", "x w r b", "y");
	build_attr_int(&n, "hidden_size", 2);
	build_add(&b, n);
	build_output(&b, "y");
	put_model("lstm", &b);
}

static void put_norm_and_quant(void)
{
	struct graph_build b = started();
	b.opset = 17;
	build_floats(&b, "g", DIMS(3), (const float[]){1, 1, 1});
	build_op(&b, "LayerNormalization", "x g g", "a");
	struct node_build n = build_node("ReduceMean", "a", "m");
	build_attr_ints(&n, "axes", DIMS(1));
	build_add(&b, n);
	build_op(&b, "Sub", "a m", "b");
	build_floats(&b, "s", DIMS(1), (const float[]){.1f});
	build_op(&b, "QuantizeLinear", "b s", "q");
	build_op(&b, "DequantizeLinear", "q s", "d");
	n = build_node("Cast", "d", "i");
	build_attr_int(&n, "to", 7);
	build_add(&b, n);
	build_op(&b, "Add", "i i", "y");
	build_output(&b, "y");
	put_model("norm", &b);
}

static void put_odd_onnx(void)
{
	struct graph_build b = started();
	struct pbw *t = pbw_new(), *entry = pbw_new(), *sparse = pbw_new(), *branch = pbw_new();
	pbw_u64(t, 1, 2);
	pbw_u64(t, 2, 1);
	pbw_text(t, 8, "w");
	pbw_text(entry, 1, "location");
	pbw_text(entry, 2, "w.data");
	pbw_put(t, 13, entry);
	entry = pbw_new();
	pbw_text(entry, 1, "offset");
	pbw_text(entry, 2, "8");
	pbw_put(t, 13, entry);
	entry = pbw_new();
	pbw_text(entry, 1, "length");
	pbw_text(entry, 2, "8");
	pbw_put(t, 13, entry);
	pbw_u64(t, 14, 1);
	pbw_put(b.graph, 5, t);
	put_model("external", &b);
	b = started();
	int64_t two = 2;
	pbw_put(sparse, 1, build_tensor("v", 1, &two, 1, "12345678", 8));
	pbw_put(b.graph, 15, sparse);
	struct node_build n = build_node("If", "x", "y");
	struct pbw *inner = pbw_new();
	pbw_put(inner, 5, build_tensor("w", 1, &two, 1, "12345678", 8));
	pbw_text(branch, 1, "then_branch");
	pbw_put(branch, 6, inner);
	pbw_put(n.node, 5, branch);
	build_add(&b, n);
	put_model("inner", &b);
	put("model_package_onnx", "varint",
		"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x3a\x00", 14);
}

/* ---- models ---- */

static void put_models(void)
{
	static const uint16_t width[] = {4, 2};
	struct made_model made;
	struct lode_err err;
	struct lode_nn_desc desc = lode_nn_desc_mlp(8, 1, width, 2, LODE_NN_OUT_LINEAR);
	for (int format = 0; format < 2; format++) {
		if (make_model(&made, LODE_MODEL_DQN, &desc, &lode_schema_oxidize_drl,
			    (enum lode_nn_format)format, &err)) {
			fprintf(stderr, "%s\n", err.msg);
			exit(1);
		}
		put("model_load", format ? "int8" : "fp32", made.image, made.n_bytes);
		made_free(&made);
	}
	const char *header =
		"{\"l1.weight\":{\"dtype\":\"F32\",\"shape\":[128,8],\"data_offsets\":[0,4]}}";
	uint8_t file[200] = {(uint8_t)strlen(header)};
	memcpy(file + 8, header, strlen(header));
	put("model_load", "older", file, 8 + strlen(header) + 4);
	char text[LODE_NETWORK_TEXT_BYTES];
	struct lode_nn_desc all[] = {
		desc, lode_nn_desc_transformer(), lode_nn_desc_lstm(8, 20, 64, 2)};
	for (size_t i = 0; i < LODE_ARRAY_LEN(all); i++) {
		lode_network_print(&all[i], text);
		put("model_network", lode_nn_kind_name(all[i].kind), text, strlen(text));
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
		return 1;
	}
	root = argv[1];
	put_safetensors();
	put_mlp();
	put_shapes();
	put_lstm();
	put_norm_and_quant();
	put_odd_onnx();
	put_models();
	return 0;
}
