/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks with random weights for suite nn, and the runners of other engines that it compares with.
 * An engine that is not installed is left out with a note. */
#pragma once

#include "lode_nn.h"
#include "lode_perf.h"

struct perf_net {
	const char *name;
	struct lode_nn_desc desc;
	struct lode_nn_tensor fp32[LODE_NN_MAX_TENSORS], int8[LODE_NN_MAX_TENSORS];
	unsigned n_fp32, n_int8;
	struct lode_nn_ranges ranges;
	float *inputs; /* PERF_INPUTS inputs, uniform in [0, 1) */
	void *memory[2];
};

#define PERF_INPUTS 32 /* and the largest batch */

int perf_net_open(struct perf_net *net, const char *name, const struct lode_nn_desc *desc);
void perf_net_close(struct perf_net *net);
static inline unsigned perf_net_in(const struct perf_net *net)
{
	return (unsigned)net->desc.n_in * net->desc.n_steps;
}

/* Another engine. open makes a session for one net, form and batch size (NULL: cannot; why says it, or
 * is empty if the engine has no such network); run computes it once. */
struct nn_peer {
	const char *name;
	void *(*open)(
		const struct perf_net *net, enum lode_nn_form form, unsigned batch, char why[128]);
	void (*run)(void *session);
	void (*close)(void *session);
};

extern const struct nn_peer nn_peer_onnxruntime, nn_peer_onnxruntime_int8, nn_peer_dnnl,
	nn_peer_xnnpack;
