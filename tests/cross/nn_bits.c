/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs networks of seeded INT8 tensors on every instruction set that this machine has, and on the portable
 * kernels: all must give the same bits. Prints a digest per network, which must be the same on every kind
 * of machine. Needs nothing but lib/nn and lib/base, so it can be built for others. */
#include "lode_nn.h"

#include <stdio.h>
#include <stdlib.h>

#define WINDOW_MAX (20 * 16)

struct network {
	const char *name;
	struct lode_nn_desc desc;
	enum lode_nn_form form;
	unsigned n_inputs;
};

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && !strcmp(name + n - m, end);
}

/* Rows of (low, step): features from 0 to 1, points from 0 or -128 steps, as their kind asks for. */
static void fill_range(const struct lode_nn_tensor *t, float *v)
{
	bool is_signed = t->name[0] != 'i' && t->name[0] != 'f' && t->name[0] != 'l';
	float step = t->name[0] == 'i' ? 1 / 256.0f : 1 / 64.0f;
	for (uint32_t row = 0; row < t->dims[0]; row++) {
		v[2 * row] = is_signed ? -128 * step : 0;
		v[2 * row + 1] = step;
	}
}

static void fill(const struct lode_nn_tensor *t, struct lode_rng *rng, void *data)
{
	float *v = data;
	if (ends_with(t->name, ".range")) {
		fill_range(t, v);
		return;
	}
	for (uint64_t i = 0; i < lode_nn_tensor_bytes(t); i++)
		if (t->type == LODE_NN_S8)
			((int8_t *)data)[i] = (int8_t)((int)lode_rng_below(rng, 255) - 127);
		else if (i % 4 == 0)
			v[i / 4] = ends_with(t->name, ".scale")
					   ? (float)(1 + lode_rng_below(rng, 8)) / 4096
					   : (float)((int)lode_rng_below(rng, 65) - 32) / 64;
}

static const struct lode_nn_model *build(
	const struct network *n, enum lode_nn_isa isa, uint64_t seed)
{
	struct lode_nn_tensor t[LODE_NN_MAX_TENSORS];
	unsigned n_tensors = lode_nn_specs(&n->desc, LODE_NN_FORMAT_INT8, t);
	const struct lode_nn_model *m;
	struct lode_err err;
	struct lode_rng rng;
	size_t bytes = lode_nn_model_bytes(&n->desc, n->form);
	lode_rng_seed(&rng, seed);
	for (unsigned i = 0; i < n_tensors; i++) {
		void *data = aligned_alloc(64, (lode_nn_tensor_bytes(&t[i]) + 63) & ~63ul);
		fill(&t[i], &rng, data);
		t[i].data = data;
	}
	if (lode_nn_model_build(aligned_alloc(64, (bytes + 63) & ~63ul), bytes, &n->desc, t,
		    n_tensors, isa, n->form, &m, &err)) {
		fprintf(stderr, "%s: %s\n", n->name, err.msg);
		exit(1);
	}
	for (unsigned i = 0; i < n_tensors; i++)
		free((void *)t[i].data);
	return m;
}

/* FNV-1a */
static uint64_t digest_of(uint64_t digest, const void *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		digest = (digest ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
	return digest;
}

static uint64_t run(const struct network *n, enum lode_nn_isa isa)
{
	const struct lode_nn_model *m = build(n, isa, 7);
	void *scratch = aligned_alloc(64, LODE_NN_SCRATCH_BYTES);
	void *state = aligned_alloc(64, (lode_nn_state_bytes(m) + 127) & ~63ul);
	bool steps = n->form == LODE_NN_FORM_STREAM;
	unsigned n_in = (unsigned)n->desc.n_in * (steps ? 1u : n->desc.n_steps);
	uint64_t digest = 0xcbf29ce484222325;
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	lode_nn_state_reset(m, state);
	for (unsigned i = 0; i < n->n_inputs; i++) {
		float in[WINDOW_MAX], out[LODE_NN_MAX_OUT] = {0};
		for (unsigned k = 0; k < n_in; k++)
			in[k] = (float)((int)lode_rng_below(&rng, 1400) - 200) / 1024;
		if (steps)
			lode_nn_step(m, scratch, state, in, out);
		else
			lode_nn_run(m, scratch, in, out);
		digest = digest_of(digest, out, n->desc.n_out * sizeof(*out));
	}
	free((void *)m);
	free(scratch);
	free(state);
	return digest;
}

int main(void)
{
	static const enum lode_nn_isa isas[] = {LODE_NN_AVX2, LODE_NN_AVX512VNNI, LODE_NN_NEON};
	static const uint16_t dqn[] = {128, 128, 6}, odd[] = {37, 1, 130, 3};
	struct lode_nn_desc gelu = lode_nn_desc_mlp(7, 3, odd, 4, LODE_NN_OUT_SIGMOID_FIRST);
	gelu.activation = LODE_NN_GELU;
	const struct network networks[] = {
		{"mlp", lode_nn_desc_mlp(8, 1, dqn, 3, LODE_NN_OUT_SOFTMAX), LODE_NN_FORM_AUTO,
			500},
		{"odd mlp with gelu", gelu, LODE_NN_FORM_AUTO, 200},
		{"lstm", lode_nn_desc_lstm(8, 20, 64, 1), LODE_NN_FORM_AUTO, 20},
		{"odd lstm", lode_nn_desc_lstm(5, 3, 37, 2), LODE_NN_FORM_AUTO, 200},
		{"transformer, full", lode_nn_desc_transformer(), LODE_NN_FORM_FULL, 8},
		{"transformer, folded", lode_nn_desc_transformer(), LODE_NN_FORM_FOLDED, 40},
		{"older transformer, last", lode_nn_desc_transformer_legacy(), LODE_NN_FORM_LAST,
			50},
		{"older transformer, stream", lode_nn_desc_transformer_legacy(),
			LODE_NN_FORM_STREAM, 60},
	};
	unsigned n_isas = 1;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(networks); i++) {
		uint64_t portable = run(&networks[i], LODE_NN_PORTABLE);
		printf("%-26s %016llx\n", networks[i].name, (unsigned long long)portable);
		for (unsigned k = 0; k < LODE_ARRAY_LEN(isas); k++) {
			if (!lode_nn_isa_available(isas[k]))
				continue;
			n_isas += i == 0;
			if (run(&networks[i], isas[k]) != portable) {
				fprintf(stderr, "%s: %s gives other bits\n", networks[i].name,
					lode_nn_isa_name(isas[k]));
				return 1;
			}
		}
	}
	fprintf(stderr, "%u instruction sets, best %s\n", n_isas,
		lode_nn_isa_name(lode_nn_isa_best()));
	return n_isas < 2;
}
