/* SPDX-License-Identifier: BSD-3-Clause */
/* Networks with seeded random weights, and model files of them. */
#pragma once

#include "lode_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct made_net {
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS];
	unsigned n_tensors;
	void *memory;
};

/* Weights of about 1 / sqrt(inputs), layer norm scales around 1. */
static inline struct made_net make_net(const struct lode_nn_desc *desc, uint64_t seed)
{
	struct made_net net;
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	net.n_tensors = lode_nn_specs(desc, LODE_NN_FORMAT_FP32, net.tensors);
	size_t n = 0;
	for (unsigned i = 0; i < net.n_tensors; i++)
		n += lode_nn_tensor_bytes(&net.tensors[i]) / 4;
	float *data = calloc(n, sizeof(*data));
	net.memory = data;
	for (unsigned i = 0; i < net.n_tensors; i++) {
		struct lode_nn_tensor *t = &net.tensors[i];
		bool norm = !strncmp(t->name, "norm", 4) && strstr(t->name, "weight");
		double scale = t->n_dims == 2 ? 1 / sqrt(t->dims[1]) : .1;
		t->data = data;
		for (size_t k = 0; k < lode_nn_tensor_bytes(t) / 4; k++)
			*data++ = (float)(norm + scale * lode_rng_normal(&rng));
	}
	return net;
}

struct made_model {
	struct made_net nets[2];
	struct lode_model_source source;
	uint8_t *image;
	size_t n_bytes;
};

static inline void made_free(struct made_model *m)
{
	free(m->nets[0].memory);
	free(m->nets[1].memory);
	free(m->image);
}

static inline struct lode_nn_desc dqn_desc(void)
{
	static const uint16_t width[] = {128, 128, 6};
	return lode_nn_desc_mlp(8, 1, width, 3, LODE_NN_OUT_LINEAR);
}

/* A file of that role; desc for every network. */
static inline int make_model(struct made_model *m, enum lode_model_role role,
	const struct lode_nn_desc *desc, const struct lode_schema *schema,
	enum lode_nn_format format, struct lode_err *err)
{
	*m = (struct made_model){0};
	m->source = (struct lode_model_source){.name = "made",
		.licence = "BSD-3-Clause",
		.card = "{\"what\":\"test\"}",
		.role = role,
		.schema = schema,
		.n_nets = role == LODE_MODEL_PPO ? 2 : 1};
	for (unsigned i = 0; i < m->source.n_nets; i++) {
		m->nets[i] = make_net(desc, 100 + i);
		m->source.nets[i].desc = *desc;
		m->source.nets[i].fp32 = m->nets[i].tensors;
		m->source.nets[i].n_fp32 = m->nets[i].n_tensors;
	}
	return lode_model_write(&m->source, format, &m->image, &m->n_bytes, err);
}
