/* SPDX-License-Identifier: BSD-3-Clause */
#include "nets.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

void *net_aligned(size_t bytes)
{
	void *p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
	cr_assert_not_null(p);
	return p;
}

void net_input(const struct lode_nn_desc *d, struct lode_rng *rng, float *in)
{
	for (unsigned i = 0; i < (unsigned)d->n_in * d->n_steps; i++)
		in[i] = (float)lode_rng_unit(rng);
}

static void fill_random(const struct lode_nn_tensor *t, struct lode_rng *rng, float *v)
{
	bool norm_gain = !strncmp(t->name, "norm", 4) && strstr(t->name, "weight");
	double scale = t->n_dims == 2 && strcmp(t->name, "position") ? 1 / sqrt(t->dims[1]) : 0.2;
	for (uint64_t i = 0; i < lode_nn_tensor_bytes(t) / sizeof(float); i++)
		v[i] = (float)(lode_rng_normal(rng) * scale + norm_gain);
}

static void calibrate(struct net *n, unsigned n_inputs, struct lode_rng *rng)
{
	float in[LODE_NN_MAX_IN * LODE_NN_MAX_STEPS], out[LODE_NN_MAX_OUT];
	lode_nn_ranges_init(&n->ranges);
	for (unsigned i = 0; i < n_inputs; i++) {
		net_input(&n->desc, rng, in);
		cr_assert_eq(
			lode_nn_reference_run(&n->desc, n->fp32, n->n_fp32, in, out, &n->ranges),
			0);
	}
}

struct net *net_new(const struct lode_nn_desc *desc, uint64_t seed, unsigned n_inputs)
{
	struct lode_err err;
	struct lode_rng rng;
	struct net *n = calloc(1, sizeof(*n));
	cr_assert_not_null(n);
	lode_rng_seed(&rng, seed);
	n->desc = *desc;
	cr_assert_eq(lode_nn_desc_check(desc, &err), 0, "%s", err.msg);
	n->n_fp32 = lode_nn_specs(desc, LODE_NN_FORMAT_FP32, n->fp32);
	size_t bytes = 0, int8_bytes = lode_nn_quantise_bytes(desc);
	for (unsigned i = 0; i < n->n_fp32; i++)
		bytes += lode_nn_tensor_bytes(&n->fp32[i]);
	float *at = n->memory[0] = net_aligned(bytes);
	for (unsigned i = 0; i < n->n_fp32; i++) {
		fill_random(&n->fp32[i], &rng, at);
		n->fp32[i].data = at;
		at += lode_nn_tensor_bytes(&n->fp32[i]) / sizeof(float);
	}
	calibrate(n, n_inputs, &rng);
	n->memory[1] = net_aligned(int8_bytes);
	cr_assert_eq(lode_nn_quantise(desc, n->fp32, n->n_fp32, &n->ranges, n->memory[1],
			     int8_bytes, n->int8, &n->n_int8, &err),
		0, "%s", err.msg);
	return n;
}

void net_free(struct net *n)
{
	free(n->memory[0]);
	free(n->memory[1]);
	free(n);
}

const struct lode_nn_model *net_build(
	const struct net *n, enum lode_nn_isa isa, enum lode_nn_form form)
{
	struct lode_err err;
	const struct lode_nn_model *m;
	size_t bytes = lode_nn_model_bytes(&n->desc, form);
	cr_assert_eq(lode_nn_model_build(net_aligned(bytes), bytes, &n->desc, n->int8, n->n_int8,
			     isa, form, &m, &err),
		0, "%s", err.msg);
	cr_assert_leq(lode_nn_scratch_bytes(m), LODE_NN_SCRATCH_BYTES);
	return m;
}

void net_model_free(const struct lode_nn_model *m)
{
	free((void *)m);
}
