/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn_nets.h"

#include <math.h>
#include <stdlib.h>

static void fill_random(const struct lode_nn_tensor *t, struct lode_rng *rng, float *v)
{
	bool gain = !strncmp(t->name, "norm", 4) && strstr(t->name, "weight");
	double scale = t->n_dims == 2 && strcmp(t->name, "position") ? 1 / sqrt(t->dims[1]) : 0.2;
	for (uint64_t i = 0; i < lode_nn_tensor_bytes(t) / sizeof(float); i++)
		v[i] = (float)(lode_rng_normal(rng) * scale + gain);
}

static void fill_tensors(struct perf_net *net, struct lode_rng *rng)
{
	float *at = net->memory[0];
	for (unsigned i = 0; i < net->n_fp32; i++) {
		fill_random(&net->fp32[i], rng, at);
		net->fp32[i].data = at;
		at += lode_nn_tensor_bytes(&net->fp32[i]) / sizeof(float);
	}
}

int perf_net_open(struct perf_net *net, const char *name, const struct lode_nn_desc *desc)
{
	struct lode_rng rng;
	struct lode_err err = {0};
	float out[LODE_NN_MAX_OUT];
	size_t bytes = 0, int8_bytes = lode_nn_quantise_bytes(desc);
	lode_rng_seed(&rng, 1);
	*net = (struct perf_net){.name = name, .desc = *desc};
	net->n_fp32 = lode_nn_specs(desc, LODE_NN_FORMAT_FP32, net->fp32);
	for (unsigned i = 0; i < net->n_fp32; i++)
		bytes += lode_nn_tensor_bytes(&net->fp32[i]);
	net->memory[0] = malloc(bytes);
	net->memory[1] = malloc(int8_bytes);
	net->inputs = malloc(sizeof(float) * PERF_INPUTS * perf_net_in(net));
	if (!net->memory[0] || !net->memory[1] || !net->inputs)
		return -ENOMEM;
	fill_tensors(net, &rng);
	for (unsigned i = 0; i < PERF_INPUTS * perf_net_in(net); i++)
		net->inputs[i] = (float)lode_rng_unit(&rng);
	lode_nn_ranges_init(&net->ranges);
	for (unsigned i = 0; i < PERF_INPUTS; i++)
		lode_nn_reference_run(desc, net->fp32, net->n_fp32,
			net->inputs + i * perf_net_in(net), out, &net->ranges);
	return lode_nn_quantise(desc, net->fp32, net->n_fp32, &net->ranges, net->memory[1],
		int8_bytes, net->int8, &net->n_int8, &err);
}

void perf_net_close(struct perf_net *net)
{
	free(net->memory[0]);
	free(net->memory[1]);
	free(net->inputs);
}
