/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl model: look at model files, check, run, convert them. Works without a gateway. */
#include "model.h"

#include "lode_file.h"
#include "lode_schemas.h"

#include <stdlib.h>

enum { JSON_BYTES = 1 << 20 };

/* What a lode_json writer makes, as jansson value; NULL after having complained. */
static json_t *parse_json(struct lode_json *j)
{
	json_error_t where;
	json_t *v = lode_json_end(j) < 0 ? NULL : json_loads(j->buf, 0, &where);
	free(j->buf);
	if (!v)
		complain(EXIT_OTHER, "the description is too long");
	return v;
}

static void begin_json(struct lode_json *j, size_t n_bytes)
{
	char *text = malloc(n_bytes);
	if (!text)
		abort();
	lode_json_begin(j, text, n_bytes);
}

static json_t *describe_array(const struct lode_onnx_array *a)
{
	json_t *dims = json_array();
	for (uint32_t i = 0; i < a->rank; i++)
		json_array_append_new(dims, json_integer((json_int_t)a->dims[i]));
	return json_pack("{s:s,s:o}", "name", a->name, "shape", dims);
}

static json_t *describe_graph(const struct lode_onnx_graph *g)
{
	json_t *inputs = json_array(), *outputs = json_array(), *operators = json_object();
	const struct lode_onnx_array *a;
	struct lode_onnx_node_view node;
	for (unsigned i = 0; (a = lode_onnx_graph_input(g, i)); i++)
		json_array_append_new(inputs, describe_array(a));
	for (unsigned i = 0; (a = lode_onnx_graph_output(g, i)); i++)
		json_array_append_new(outputs, describe_array(a));
	for (unsigned i = 0; lode_onnx_graph_node(g, i, &node); i++)
		json_object_set_new(operators, node.op,
			json_integer(json_integer_value(json_object_get(operators, node.op)) + 1));
	return json_pack("{s:s,s:I,s:I,s:o,s:o,s:o}", "format", "ONNX", "params",
		(json_int_t)lode_onnx_graph_n_params(g), "nodes",
		(json_int_t)lode_onnx_graph_n_nodes(g), "inputs", inputs, "outputs", outputs,
		"operators", operators);
}

static int info(struct lodectl *ctl, int argc, char **argv)
{
	struct runnable r;
	struct lode_json j;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl model info FILE");
	int code = runnable_open(&r, argv[0]);
	if (code)
		return code;
	json_t *v;
	if (r.model) {
		begin_json(&j, JSON_BYTES);
		lode_model_json(r.model, &j);
		v = parse_json(&j);
	} else {
		v = describe_graph(r.graph);
	}
	runnable_close(&r);
	return print_answer(ctl, v);
}

static int verify(struct lodectl *ctl, int argc, char **argv)
{
	struct runnable r;
	int worst = argc ? EXIT_OK : complain(EXIT_OTHER, "usage: lodectl model verify FILE...");
	for (int i = 0; i < argc; i++) {
		int code = runnable_open(&r, argv[i]);
		worst = LODE_MAX(worst, code);
		if (code)
			continue;
		if (r.model && r.model->n_golden)
			printf("%s: ok, %u golden vectors, largest INT8 error %.3g\n", argv[i],
				r.model->n_golden, (double)r.model->golden_error);
		else
			printf("%s: ok, no golden vectors\n", argv[i]);
		runnable_close(&r);
	}
	return worst;
}

/* Tensors and hashes of any model file or folder, read under the delivery limits. */
static int manifest(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_package pkg;
	struct lode_manifest m;
	struct lode_json j;
	struct lode_err err;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl model manifest FILE|FOLDER");
	if (lode_package_open(&pkg, argv[0], &lode_limits_delivery, &err)) {
		lode_package_close(&pkg);
		return complain(EXIT_OTHER, "%s", err.msg);
	}
	int rc = lode_manifest_make(&m, &pkg, &err);
	size_t n_text = JSON_BYTES + 512 * pkg.n_extents;
	for (size_t i = 0; i < pkg.n_extents; i++)
		n_text += 6 * strlen(pkg.extents[i].name);
	json_t *v = NULL;
	if (!rc) {
		begin_json(&j, n_text);
		lode_manifest_json(&m, &pkg, &j);
		v = parse_json(&j);
		lode_manifest_free(&m);
	}
	lode_package_close(&pkg);
	if (!v)
		return rc ? complain(EXIT_OTHER, "%s", err.msg) : EXIT_OTHER;
	print_json(v);
	json_decref(v);
	return EXIT_OK;
}

static int write_model(
	const struct lode_model_source *source, enum lode_nn_format format, const char *path)
{
	uint8_t *image;
	size_t n_bytes;
	struct lode_err err;
	if (lode_model_write(source, format, &image, &n_bytes, &err))
		return complain(EXIT_OTHER, "%s", err.msg);
	int rc = lode_file_replace(path, 0644, image, n_bytes, &err);
	free(image);
	return rc ? complain(EXIT_ENVIRONMENT, "%s", err.msg) : EXIT_OK;
}

static int quantise(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_model *m;
	struct lode_model_source source;
	const struct lode_model_options options = {
		.schemas = lode_engine_schemas, .n_schemas = lode_engine_n_schemas};
	struct lode_err err;
	if (argc != 2)
		return complain(EXIT_OTHER, "usage: lodectl model quantise MASTER OUT");
	if (lode_model_load(&m, argv[0], &options, &err))
		return complain(EXIT_OTHER, "%s", err.msg);
	int code = lode_model_as_source(m, &source, &err)
			   ? complain(EXIT_OTHER, "%s", err.msg)
			   : write_model(&source, LODE_NN_FORMAT_INT8, argv[1]);
	lode_model_free(m);
	return code;
}

static int find_role(const char *name, enum lode_model_role *role)
{
	for (int i = 0; i < LODE_MODEL_ROLES; i++)
		if (i != LODE_MODEL_PPO &&
			!strcmp(name, lode_model_role_name((enum lode_model_role)i))) {
			*role = (enum lode_model_role)i;
			return EXIT_OK;
		}
	return complain(EXIT_OTHER, "role '%s': loss, dqn or oracle is expected", name);
}

static int find_schema(const char *name, const struct lode_schema **schema)
{
	char names[256] = "";
	for (unsigned i = 0; i < lode_engine_n_schemas; i++) {
		if (!strcmp(name, lode_engine_schemas[i]->name)) {
			*schema = lode_engine_schemas[i];
			return EXIT_OK;
		}
		size_t n = strlen(names);
		snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "",
			lode_engine_schemas[i]->name);
	}
	return complain(EXIT_OTHER, "schema '%s': one of %s is expected", name, names);
}

/* A network out of an ONNX graph, as FP32 master. */
static int import(struct lodectl *ctl, int argc, char **argv)
{
	struct runnable r;
	struct lode_model_import net;
	struct lode_err err;
	struct lode_model_source source = {.n_nets = 1, .licence = "", .card = "{}"};
	if (argc != 4)
		return complain(
			EXIT_OTHER, "usage: lodectl model import GRAPH.onnx ROLE SCHEMA OUT");
	int code = find_role(argv[1], &source.role);
	if (!code)
		code = find_schema(argv[2], &source.schema);
	if (!code)
		code = runnable_open(&r, argv[0]);
	if (code)
		return code;
	if (!r.graph) {
		code = complain(EXIT_OTHER, "%s: not an ONNX file", argv[0]);
	} else if (lode_model_import_onnx(r.graph, &net, &err)) {
		code = complain(EXIT_OTHER, "%s: %s", argv[0], err.msg);
	} else {
		source.name = "imported from ONNX";
		source.nets[0].desc = net.desc;
		source.nets[0].fp32 = net.fp32;
		source.nets[0].n_fp32 = net.n_fp32;
		code = write_model(&source, LODE_NN_FORMAT_FP32, argv[3]);
		free(net.memory);
	}
	runnable_close(&r);
	return code;
}

const struct command model_commands[] = {
	{"model", "info", "FILE", "architecture, size, schema, golden vectors", info},
	{"model", "verify", "FILE...", "load each file and check its golden vectors", verify},
	{"model", "run", "FILE [INPUT.json]", "one inference; without input a seeded one",
		model_run},
	{"model", "bench", "FILE", "latency of one inference, warm and cold", model_bench},
	{"model", "manifest", "FILE|FOLDER", "tensors and hashes as JSON", manifest},
	{"model", "quantise", "MASTER OUT", "an INT8 file from an FP32 one", quantise},
	{"model", "import", "GRAPH.onnx ROLE SCHEMA OUT", "an FP32 master from an ONNX graph",
		import},
	{"model", "push", "FILE RELEASE [try]", "give the gateway a signed model", model_push},
	{"model", "commit", "", "the model on trial stays", model_commit},
	{"model", "rollback", "", "the model on trial goes", model_rollback},
	COMMANDS_END,
};
