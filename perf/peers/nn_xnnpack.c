/* SPDX-License-Identifier: BSD-3-Clause */
/* XNNPACK: the layers of an MLP as qs8 operators, built once. The input is given as bytes, so its
 * quantisation costs nothing here. */
#include "../nn_nets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xnnpack.h>

#define WIDTH LODE_NN_MAX_HIDDEN

struct session {
	unsigned n_layers;
	xnn_operator_t op[LODE_NN_MAX_LAYERS];
	int8_t rows[2][PERF_INPUTS * WIDTH + XNN_EXTRA_BYTES];
};

static xnn_operator_t create_layer(const struct perf_net *net, unsigned i, unsigned n_in)
{
	static int8_t kernel[WIDTH * WIDTH];
	static int32_t bias[WIDTH];
	char name[16];
	xnn_operator_t op = NULL;
	snprintf(name, sizeof(name), "l%u.weight", i + 1);
	const float *w = lode_nn_tensor_find(net->fp32, net->n_fp32, name)->data;
	unsigned n_out = net->desc.width[i];
	bool last = i + 1u == net->desc.n_layers;
	for (unsigned k = 0; k < n_in * n_out; k++)
		kernel[k] = (int8_t)fmaxf(-127, fminf(127, w[k] * 127));
	if (xnn_create_fully_connected_nc_qs8(n_in, n_out, n_in, n_out, 0, 1.0f / 127, 1.0f / 127,
		    kernel, bias, 0, 1.0f / 64, last ? -128 : 0, 127, 0, &op) != xnn_status_success)
		return NULL;
	return op;
}

static void close_session(void *session)
{
	struct session *s = session;
	for (unsigned i = 0; i < s->n_layers; i++)
		if (s->op[i])
			xnn_delete_operator(s->op[i]);
	free(s);
}

static void *open_session(
	const struct perf_net *net, enum lode_nn_form form, unsigned batch, char why[128])
{
	unsigned n_in = perf_net_in(net);
	if (net->desc.kind != LODE_NN_MLP || xnn_initialize(NULL) != xnn_status_success)
		return NULL;
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	for (unsigned i = 0; i < sizeof(s->rows[0]); i++)
		s->rows[0][i] = (int8_t)(i % 127);
	s->n_layers = net->desc.n_layers;
	for (unsigned i = 0; i < s->n_layers; i++) {
		s->op[i] = create_layer(net, i, n_in);
		if (!s->op[i] || xnn_setup_fully_connected_nc_qs8(s->op[i], batch, s->rows[i % 2],
					 s->rows[(i + 1) % 2], NULL) != xnn_status_success) {
			snprintf(why, 128, "layer %u cannot be created", i + 1);
			close_session(s);
			return NULL;
		}
		n_in = net->desc.width[i];
	}
	return s;
}

static void run_session(void *session)
{
	struct session *s = session;
	for (unsigned i = 0; i < s->n_layers; i++)
		xnn_run_operator(s->op[i], NULL);
}

const struct nn_peer nn_peer_xnnpack = {"XNNPACK qs8", open_session, run_session, close_session};
