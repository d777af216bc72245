/* SPDX-License-Identifier: BSD-3-Clause */
/* oneDNN: the layers of an MLP as u8 x s8 inner products with ReLU, primitives built once, weights in
 * the layout that the library prefers. The input is given as bytes. */
#include "../nn_nets.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

struct layer {
	dnnl_primitive_t primitive;
	dnnl_memory_t weights, bias, dst;
};

struct session {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_memory_t src;
	unsigned n_layers;
	struct layer layer[LODE_NN_MAX_LAYERS];
};

static dnnl_status_t matrix(dnnl_memory_desc_t *md, unsigned rows, unsigned cols,
	dnnl_data_type_t type, dnnl_format_tag_t tag)
{
	const dnnl_dims_t dims = {rows, cols};
	return dnnl_memory_desc_init_by_tag(md, 2, dims, type, tag);
}

/* Weights of any value in the preferred layout: values do not change the time. */
static dnnl_status_t fill_weights(struct session *s, struct layer *l, const dnnl_memory_desc_t *md)
{
	void *data;
	dnnl_status_t rc = dnnl_memory_create(&l->weights, md, s->engine, DNNL_MEMORY_ALLOCATE);
	if (rc || dnnl_memory_get_data_handle(l->weights, &data))
		return rc ? rc : dnnl_runtime_error;
	for (size_t i = 0; i < dnnl_memory_desc_get_size(md); i++)
		((int8_t *)data)[i] = (int8_t)(i % 15) - 7;
	return dnnl_success;
}

static dnnl_status_t create_layer(struct session *s, struct layer *l, unsigned batch, unsigned n_in,
	unsigned n_out, bool last)
{
	dnnl_memory_desc_t src, weights, bias, dst;
	dnnl_inner_product_desc_t desc;
	dnnl_primitive_desc_t pd;
	dnnl_primitive_attr_t attr;
	dnnl_post_ops_t ops;
	const dnnl_dims_t bias_dims = {n_out};
	dnnl_status_t rc = matrix(&src, batch, n_in, dnnl_u8, dnnl_ab);
	rc = rc ? rc : matrix(&weights, n_out, n_in, dnnl_s8, dnnl_format_tag_any);
	rc = rc ? rc : dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a);
	rc = rc ? rc : matrix(&dst, batch, n_out, last ? dnnl_f32 : dnnl_u8, dnnl_ab);
	rc = rc ? rc
		: dnnl_inner_product_forward_desc_init(
			  &desc, dnnl_forward_inference, &src, &weights, &bias, &dst);
	rc = rc ? rc : dnnl_primitive_attr_create(&attr);
	rc = rc ? rc : dnnl_post_ops_create(&ops);
	if (!rc && !last)
		rc = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
	rc = rc ? rc : dnnl_primitive_attr_set_post_ops(attr, ops);
	rc = rc ? rc : dnnl_primitive_desc_create(&pd, &desc, attr, s->engine, NULL);
	if (rc)
		return rc;
	rc = dnnl_primitive_create(&l->primitive, pd);
	rc = rc ? rc
		: fill_weights(s, l, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
	rc = rc ? rc : dnnl_memory_create(&l->bias, &bias, s->engine, DNNL_MEMORY_ALLOCATE);
	rc = rc ? rc : dnnl_memory_create(&l->dst, &dst, s->engine, DNNL_MEMORY_ALLOCATE);
	void *data;
	if (!rc && !dnnl_memory_get_data_handle(l->bias, &data))
		memset(data, 0, n_out * sizeof(float));
	dnnl_primitive_desc_destroy(pd);
	dnnl_post_ops_destroy(ops);
	dnnl_primitive_attr_destroy(attr);
	return rc;
}

static void close_session(void *session)
{
	struct session *s = session;
	for (unsigned i = 0; i < s->n_layers; i++) {
		dnnl_primitive_destroy(s->layer[i].primitive);
		dnnl_memory_destroy(s->layer[i].weights);
		dnnl_memory_destroy(s->layer[i].bias);
		dnnl_memory_destroy(s->layer[i].dst);
	}
	dnnl_memory_destroy(s->src);
	dnnl_stream_destroy(s->stream);
	dnnl_engine_destroy(s->engine);
	free(s);
}

/* Its OpenMP would start a thread per core; all engines run on one here. */
static void use_one_thread(void)
{
	void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
	if (set)
		set(1);
}

static void *open_session(
	const struct perf_net *net, enum lode_nn_form form, unsigned batch, char why[128])
{
	unsigned n_in = perf_net_in(net);
	dnnl_memory_desc_t src;
	void *data;
	if (net->desc.kind != LODE_NN_MLP)
		return NULL;
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	use_one_thread();
	dnnl_status_t rc = dnnl_engine_create(&s->engine, dnnl_cpu, 0);
	rc = rc ? rc : dnnl_stream_create(&s->stream, s->engine, dnnl_stream_default_flags);
	rc = rc ? rc : matrix(&src, batch, n_in, dnnl_u8, dnnl_ab);
	rc = rc ? rc : dnnl_memory_create(&s->src, &src, s->engine, DNNL_MEMORY_ALLOCATE);
	rc = rc ? rc : dnnl_memory_get_data_handle(s->src, &data);
	if (!rc)
		memset(data, 77, (size_t)batch * n_in);
	for (unsigned i = 0; !rc && i < net->desc.n_layers; i++) {
		s->n_layers = i + 1;
		rc = create_layer(s, &s->layer[i], batch, n_in, net->desc.width[i],
			i + 1u == net->desc.n_layers);
		n_in = net->desc.width[i];
	}
	if (rc) {
		snprintf(why, 128, "oneDNN status %d", rc);
		close_session(s);
		return NULL;
	}
	return s;
}

static void run_session(void *session)
{
	struct session *s = session;
	dnnl_memory_t from = s->src;
	for (unsigned i = 0; i < s->n_layers; i++) {
		const struct layer *l = &s->layer[i];
		const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, from},
			{DNNL_ARG_WEIGHTS, l->weights}, {DNNL_ARG_BIAS, l->bias},
			{DNNL_ARG_DST, l->dst}};
		dnnl_primitive_execute(l->primitive, s->stream, 4, args);
		from = l->dst;
	}
	dnnl_stream_wait(s->stream);
}

const struct nn_peer nn_peer_dnnl = {"oneDNN u8s8", open_session, run_session, close_session};
