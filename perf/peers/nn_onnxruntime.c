/* SPDX-License-Identifier: BSD-3-Clause */
/* ONNX Runtime in FP32 and INT8, one thread, all graph optimisations, input and output bound once. The library
 * is loaded at run time: LODE_ORT_LIB names it (npm's onnxruntime-node carries one), else the loader
 * looks for libonnxruntime.so.1. Its C interface is a table of functions that only ever grows, so the
 * few that are needed are named by their places. */
#include "nn_onnx.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum place {
	GET_ERROR_MESSAGE = 2,
	CREATE_ENV = 3,
	CREATE_SESSION_FROM_ARRAY = 8,
	RUN = 9,
	CREATE_SESSION_OPTIONS = 10,
	SET_INTRA_OP_THREADS = 24,
	CREATE_TENSOR_WITH_DATA = 49,
	CREATE_CPU_MEMORY_INFO = 69,
};

#define TYPE_FLOAT 1

struct api_base {
	void *const *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
};

struct session {
	void *const *api;
	void *library, *env, *options, *session, *memory, *in, *out;
	float *in_data, *out_data;
};

typedef void *(*run_fn)(void *session, const void *options, const char *const *in_names,
	const void *const *ins, size_t n_ins, const char *const *out_names, size_t n_outs,
	void **outs);

static bool ok(struct session *s, void *status, char why[128])
{
	if (status) {
		const char *(*message)(void *) = (const char *(*)(void *))s->api[GET_ERROR_MESSAGE];
		snprintf(why, 128, "%s", message(status));
	}
	return !status;
}

static bool load(struct session *s, char why[128])
{
	const char *path = getenv("LODE_ORT_LIB");
	const struct api_base *(*base)(void);
	s->library = dlopen(path ? path : "libonnxruntime.so.1", RTLD_NOW);
	if (!s->library) {
		snprintf(why, 128, "library not found, LODE_ORT_LIB can name it");
		return false;
	}
	base = (const struct api_base *(*)(void))dlsym(s->library, "OrtGetApiBase");
	s->api = base ? base()->get_api(1) : NULL;
	if (!s->api)
		snprintf(why, 128, "library has no usable interface");
	return s->api != NULL;
}

static bool create(struct session *s, const struct onnx_bytes *model, char why[128])
{
	void *(*create_env)(int, const char *, void **) = (void *)s->api[CREATE_ENV];
	void *(*create_options)(void **) = (void *)s->api[CREATE_SESSION_OPTIONS];
	void *(*set_threads)(void *, int) = (void *)s->api[SET_INTRA_OP_THREADS];
	void *(*create_session)(void *, const void *, size_t, void *, void **) =
		(void *)s->api[CREATE_SESSION_FROM_ARRAY];
	return ok(s, create_env(3, "lode-perf", &s->env), why) &&
	       ok(s, create_options(&s->options), why) && ok(s, set_threads(s->options, 1), why) &&
	       ok(s, create_session(s->env, model->data, model->len, s->options, &s->session), why);
}

static bool bind_buffers(struct session *s, const struct perf_net *net, unsigned batch,
	const int64_t *dims, unsigned n_dims, char why[128])
{
	void *(*memory_info)(int, int, void **) = (void *)s->api[CREATE_CPU_MEMORY_INFO];
	void *(*tensor)(void *, void *, size_t, const int64_t *, size_t, int, void **) =
		(void *)s->api[CREATE_TENSOR_WITH_DATA];
	const int64_t out_dims[] = {batch, net->desc.n_out};
	size_t n_in = 1, n_out = (size_t)batch * net->desc.n_out;
	for (unsigned i = 0; i < n_dims; i++)
		n_in *= (size_t)dims[i];
	s->in_data = calloc(n_in, sizeof(float));
	s->out_data = calloc(n_out, sizeof(float));
	for (size_t i = 0; s->in_data && i < n_in; i++)
		s->in_data[i] = net->inputs[i % (PERF_INPUTS * perf_net_in(net))];
	return s->in_data && s->out_data && ok(s, memory_info(0, 0, &s->memory), why) &&
	       ok(s, tensor(s->memory, s->in_data, n_in * 4, dims, n_dims, TYPE_FLOAT, &s->in),
		       why) &&
	       ok(s, tensor(s->memory, s->out_data, n_out * 4, out_dims, 2, TYPE_FLOAT, &s->out),
		       why);
}

/* The library's own objects stay until the program ends: releasing them needs more of its table. */
static void close_session(void *session)
{
	free(session);
}

static void *run_once(struct session *s)
{
	static const char *const in_names[] = {"x"}, *const out_names[] = {"y"};
	run_fn run = (run_fn)s->api[RUN];
	const void *ins[] = {s->in};
	return run(s->session, NULL, in_names, ins, 1, out_names, 1, &s->out);
}

static void run_session(void *session)
{
	run_once(session);
}

static void *open_session(const struct perf_net *net, enum lode_nn_form form,
	enum onnx_precision precision, unsigned batch, char why[128])
{
	struct onnx_bytes model;
	int64_t dims[3];
	unsigned n_dims;
	struct session *s = calloc(1, sizeof(*s));
	if (!s || onnx_write(net, form, precision, batch, &model, dims, &n_dims)) {
		free(s);
		return NULL;
	}
	bool made = load(s, why) && create(s, &model, why) &&
		    bind_buffers(s, net, batch, dims, n_dims, why);
	free(model.data);
	made = made && ok(s, run_once(s), why);
	if (!made) {
		free(s);
		return NULL;
	}
	return s;
}

static void *open_fp32(
	const struct perf_net *net, enum lode_nn_form form, unsigned batch, char why[128])
{
	return open_session(net, form, ONNX_FP32, batch, why);
}

static void *open_int8(
	const struct perf_net *net, enum lode_nn_form form, unsigned batch, char why[128])
{
	return open_session(net, form, ONNX_INT8, batch, why);
}

const struct nn_peer nn_peer_onnxruntime = {
	"ONNX Runtime FP32", open_fp32, run_session, close_session};
const struct nn_peer nn_peer_onnxruntime_int8 = {
	"ONNX Runtime INT8", open_int8, run_session, close_session};
