/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl model run: one inference on a given or generated input. */
#include "model.h"

#include "lode_schemas.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole file, at most as large as the engine takes. */
static int read_file(const char *path, uint8_t **data, size_t *n_bytes)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		int code = complain(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return code;
	}
	bool fits = S_ISREG(st.st_mode) && (uint64_t)st.st_size <= lode_limits_engine.file_bytes;
	*n_bytes = fits ? (size_t)st.st_size : 0;
	*data = fits ? malloc(*n_bytes + 1) : NULL;
	bool ok = *data && read(fd, *data, *n_bytes) == (ssize_t)*n_bytes;
	close(fd);
	if (ok)
		return EXIT_OK;
	free(*data);
	*data = NULL;
	return complain(EXIT_ENVIRONMENT, "%s: a regular file of at most %llu bytes is expected",
		path, (unsigned long long)lode_limits_engine.file_bytes);
}

int runnable_open(struct runnable *r, const char *path)
{
	const struct lode_model_options options = {
		.schemas = lode_engine_schemas, .n_schemas = lode_engine_n_schemas};
	struct lode_err err;
	size_t n_bytes = 0;
	*r = (struct runnable){0};
	int code = read_file(path, &r->onnx, &n_bytes);
	if (code)
		return code;
	if (lode_onnx_sniff(r->onnx, n_bytes)) {
		if (lode_onnx_graph_open(&r->graph, r->onnx, n_bytes, &err)) {
			runnable_close(r);
			return complain(EXIT_OTHER, "%s: %s", path, err.msg);
		}
		return EXIT_OK;
	}
	int rc = lode_model_load_memory(&r->model, r->onnx, n_bytes, path, &options, &err);
	r->scratch = aligned_alloc(LODE_CACHE_LINE, LODE_NN_SCRATCH_BYTES);
	if (rc || !r->scratch) {
		runnable_close(r);
		return complain(EXIT_OTHER, "%s", rc ? err.msg : "no memory");
	}
	return EXIT_OK;
}

void runnable_close(struct runnable *r)
{
	lode_model_free(r->model);
	lode_onnx_graph_free(r->graph);
	free(r->scratch);
	free(r->onnx);
	*r = (struct runnable){0};
}

size_t runnable_inputs(const struct runnable *r, unsigned i)
{
	if (r->model)
		return i == 0 ? lode_model_inputs(r->model) : 0;
	const struct lode_onnx_array *a = lode_onnx_graph_input(r->graph, i);
	return a ? a->n_elements : 0;
}

static int run_graph(const struct lode_onnx_graph *g, const float *const *in, float **out,
	size_t *n_out, struct lode_err *err)
{
	struct lode_onnx_array *values;
	unsigned n_values;
	int rc = lode_onnx_graph_run(g, in, &values, &n_values, err);
	if (rc)
		return rc;
	*n_out = 0;
	for (unsigned i = 0; i < n_values; i++)
		*n_out += values[i].n_elements;
	*out = calloc(*n_out + 1, sizeof(**out));
	float *at = *out;
	for (unsigned i = 0; *out && i < n_values; at += values[i++].n_elements)
		memcpy(at, values[i].data, values[i].n_elements * sizeof(*at));
	lode_onnx_results_free(values, n_values);
	return *out ? 0 : lode_err_set(err, -ENOMEM, "no memory for %zu outputs", *n_out);
}

int runnable_run(const struct runnable *r, const float *const *in, float **out, size_t *n_out,
	struct lode_err *err)
{
	if (r->graph)
		return run_graph(r->graph, in, out, n_out, err);
	*n_out = lode_model_outputs(r->model);
	*out = calloc(*n_out, sizeof(**out));
	int rc = *out ? lode_model_run(r->model, r->scratch, in[0], *out) : -ENOMEM;
	if (rc)
		free(*out);
	return rc ? lode_err_set(err, rc, "the input is not finite") : 0;
}

void runnable_sample(const struct runnable *r, uint64_t seed, float **in)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	if (r->model) {
		lode_schema_sample(
			r->model->schema, r->model->nets[0].desc.n_steps, seed, 1, in[0]);
		return;
	}
	for (unsigned i = 0; runnable_inputs(r, i); i++)
		for (size_t k = 0; k < runnable_inputs(r, i); k++)
			in[i][k] = (float)lode_rng_normal(&rng);
}

/* ---- input as JSON: [numbers, nested as one likes], or one such array per input in an array ---- */

static bool flatten(const json_t *v, float *out, size_t room, size_t *n)
{
	size_t i;
	json_t *item;
	if (json_is_number(v)) {
		if (*n == room)
			return false;
		out[(*n)++] = (float)json_number_value(v);
		return true;
	}
	if (!json_is_array(v))
		return false;
	json_array_foreach(v, i, item) if (!flatten(item, out, room, n)) return false;
	return true;
}

static int read_input(const struct runnable *r, const char *path, float **in)
{
	json_error_t where;
	json_t *v = strcmp(path, "-") ? json_load_file(path, JSON_REJECT_DUPLICATES, &where)
				      : json_loadf(stdin, JSON_REJECT_DUPLICATES, &where);
	if (!v)
		return complain(EXIT_OTHER, "%s:%d: %s", path, where.line, where.text);
	bool several = runnable_inputs(r, 1) > 0;
	int code = EXIT_OK;
	for (unsigned i = 0; !code && runnable_inputs(r, i); i++) {
		const json_t *own = several ? json_array_get(v, i) : v;
		size_t n = 0, room = runnable_inputs(r, i);
		if (!own || !flatten(own, in[i], room, &n) || n != room)
			code = complain(
				EXIT_OTHER, "%s: input %u needs %zu numbers", path, i, room);
	}
	json_decref(v);
	return code;
}

static json_t *numbers(const float *v, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_real((double)v[i]));
	return list;
}

static int print_run(
	struct lodectl *ctl, const struct runnable *r, float **in, const float *out, size_t n_out)
{
	if (!ctl->json) {
		for (size_t i = 0; i < n_out; i++)
			printf("%.7g\n", (double)out[i]);
		return EXIT_OK;
	}
	json_t *inputs = json_array();
	for (unsigned i = 0; runnable_inputs(r, i); i++)
		json_array_append_new(inputs, numbers(in[i], runnable_inputs(r, i)));
	json_t *v = json_pack("{s:o,s:o}", "input", inputs, "output", numbers(out, n_out));
	print_json(v);
	json_decref(v);
	return EXIT_OK;
}

int model_run(struct lodectl *ctl, int argc, char **argv)
{
	struct runnable r;
	float *in[MAX_INPUTS] = {0}, *out = NULL;
	size_t n_out;
	struct lode_err err;
	if (argc < 1 || argc > 2)
		return complain(EXIT_OTHER, "usage: lodectl model run FILE [INPUT.json]");
	int code = runnable_open(&r, argv[0]);
	if (code)
		return code;
	for (unsigned i = 0; i < MAX_INPUTS && runnable_inputs(&r, i); i++)
		in[i] = calloc(runnable_inputs(&r, i), sizeof(float));
	if (argc == 2)
		code = read_input(&r, argv[1], in);
	else
		runnable_sample(&r, 1, in);
	if (!code && runnable_run(&r, (const float *const *)in, &out, &n_out, &err))
		code = complain(EXIT_OTHER, "%s: %s", argv[0], err.msg);
	if (!code) {
		code = print_run(ctl, &r, in, out, n_out);
		free(out);
	}
	for (unsigned i = 0; i < MAX_INPUTS; i++)
		free(in[i]);
	runnable_close(&r);
	return code;
}
