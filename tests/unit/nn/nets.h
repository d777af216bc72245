/* SPDX-License-Identifier: BSD-3-Clause */
/* Random networks for tests: FP32 tensors of any description, calibrated, quantised, built. */
#pragma once

#include "lode_nn.h"

struct net {
	struct lode_nn_desc desc;
	struct lode_nn_tensor fp32[LODE_NN_MAX_TENSORS], int8[LODE_NN_MAX_TENSORS];
	unsigned n_fp32, n_int8;
	struct lode_nn_ranges ranges;
	void *memory[2]; /* data of fp32, int8 */
};

/* Weights normal with variance 1 / inputs, so that signals keep their size; calibrated on n_inputs of
 * net_input. Ends the test on failure. */
struct net *net_new(const struct lode_nn_desc *desc, uint64_t seed, unsigned n_inputs);
void net_free(struct net *n);
/* n_steps * n_in floats uniform in [0, 1), what normalised features look like. */
void net_input(const struct lode_nn_desc *desc, struct lode_rng *rng, float *in);
/* Built into memory that net_model_free gives back. */
const struct lode_nn_model *net_build(
	const struct net *n, enum lode_nn_isa isa, enum lode_nn_form form);
void net_model_free(const struct lode_nn_model *m);
void *net_aligned(size_t bytes);
