/* SPDX-License-Identifier: BSD-3-Clause */
/* Loss predictors that know nothing: their weights are random. Gateways must come through a change of models, and must
 * find out that these lose against the classic. */
#include "swarm.h"

#include <stdlib.h>

#define HIDDEN 16
#define STEP   0.03f /* of 256 that activations have */

static size_t aligned(size_t bytes)
{
	return (bytes + LODE_CACHE_LINE - 1) & ~(size_t)(LODE_CACHE_LINE - 1);
}

static size_t tensor_bytes(const struct lode_nn_tensor *t)
{
	return aligned(lode_nn_tensor_bytes(t));
}

static void fill(struct lode_nn_tensor *t, uint8_t *data, struct lode_rng *rng)
{
	size_t n = t->dims[0] * (t->n_dims > 1 ? t->dims[1] : 1u);
	bool range = strstr(t->name, ".range"), scale = strstr(t->name, ".scale");
	float low = strcmp(t->name, "in.range") ? 0 : -4; /* behind a ReLU nothing is negative */
	t->data = data;
	for (size_t i = 0; i < n && t->type == LODE_NN_S8; i++)
		((int8_t *)data)[i] = (int8_t)((int)below(rng, 255) - 127);
	for (size_t i = 0; i < n && t->type == LODE_NN_F32; i++)
		((float *)data)[i] = range   ? (i % 2 ? STEP : low)
				     : scale ? 0.01f * (float)lode_rng_unit(rng) + 0.001f
					     : (float)lode_rng_unit(rng) - 0.5f;
}

static int build(struct predictor *p, const struct lode_nn_desc *desc, struct lode_rng *rng,
	struct lode_err *err)
{
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS];
	unsigned n = lode_nn_specs(desc, LODE_NN_FORMAT_INT8, tensors);
	size_t bytes = 0, at = 0, block = lode_nn_model_bytes(desc, LODE_NN_FORM_AUTO);
	for (unsigned i = 0; i < n; i++)
		bytes += tensor_bytes(&tensors[i]);
	uint8_t *data = aligned_alloc(LODE_CACHE_LINE, bytes);
	p->memory = aligned_alloc(LODE_CACHE_LINE, aligned(block));
	if (!data || !p->memory) {
		free(data);
		return lode_err_set(err, -ENOMEM, "swarm: no memory for a model");
	}
	for (unsigned i = 0; i < n; at += tensor_bytes(&tensors[i++]))
		fill(&tensors[i], data + at, rng);
	int rc = lode_nn_model_build(p->memory, block, desc, tensors, n, LODE_NN_ISA_AUTO,
		LODE_NN_FORM_AUTO, &p->model.network, err);
	free(data);
	return rc;
}

int predictors_make(struct scenario *c, struct lode_err *err)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, lode_mix64(c->spec->seed + 1));
	for (unsigned i = 0; i < N_PREDICTORS; i++) {
		struct predictor *p = &c->predictors[i];
		const uint16_t width[] = {HIDDEN, (uint16_t)(1 + i)};
		const struct lode_nn_desc desc = lode_nn_desc_mlp(lode_schema_loss.n_features,
			LODE_LOSS_STEPS, width, LODE_ARRAY_LEN(width), LODE_NN_OUT_SIGMOID_FIRST);
		p->model = (struct lode_loss_model){
			.schema = &lode_schema_loss, .n_out = 1 + i, .serial = 1 + i};
		int rc = build(p, &desc, &rng, err);
		if (rc)
			return rc;
	}
	return 0;
}

void predictors_free(struct scenario *c)
{
	for (unsigned i = 0; i < N_PREDICTORS; i++)
		free(c->predictors[i].memory);
}
