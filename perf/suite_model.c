/* SPDX-License-Identifier: BSD-3-Clause */
/* lode-perf model: milliseconds to load and verify a model file (reading, hashes, golden vectors,
 * packing), and how fast the readers find the tensors of a large file. Bar: 5 ms for a file that is
 * shipped, which is INT8. */
#include "lode_perf.h"

#include "lode_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BAR_MS 5.0

enum { N_LOADS = 5, N_BATCHES = 9, N_TENSORS = 100000 };

struct image {
	uint8_t *data;
	size_t n_bytes;
};

/* Seeded weights of about 1 / sqrt(inputs). The memory is never freed: it is small and the program
 * ends. */
static unsigned make_weights(const struct lode_nn_desc *desc, struct lode_nn_tensor *tensors)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	unsigned n = lode_nn_specs(desc, LODE_NN_FORMAT_FP32, tensors);
	for (unsigned i = 0; i < n; i++) {
		size_t n_values = lode_nn_tensor_bytes(&tensors[i]) / sizeof(float);
		float *v = calloc(n_values, sizeof(*v));
		if (!v)
			abort();
		double scale = tensors[i].n_dims == 2 ? 1 / sqrt(tensors[i].dims[1]) : .1;
		for (size_t k = 0; k < n_values; k++)
			v[k] = (float)(scale * lode_rng_normal(&rng));
		tensors[i].data = v;
	}
	return n;
}

static struct image make_file(const struct lode_nn_desc *desc, enum lode_nn_format format)
{
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS];
	struct lode_model_source source = {.name = "perf",
		.role = desc->kind == LODE_NN_MLP ? LODE_MODEL_DQN : LODE_MODEL_LOSS,
		.schema = &lode_schema_oxidize_drl,
		.n_nets = 1};
	struct image image;
	struct lode_err err;
	source.nets[0].desc = *desc;
	source.nets[0].n_fp32 = make_weights(desc, tensors);
	source.nets[0].fp32 = tensors;
	if (lode_model_write(&source, format, &image.data, &image.n_bytes, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	return image;
}

static void load(void *arg)
{
	const struct image *image = arg;
	struct lode_model *m;
	struct lode_err err;
	if (lode_model_load_memory(&m, image->data, image->n_bytes, "perf", NULL, &err))
		abort();
	lode_model_free(m);
}

static void load_rows(struct lode_perf *p)
{
	static const uint16_t width[] = {128, 128, 6};
	const struct {
		const char *name;
		struct lode_nn_desc desc;
	} kinds[] = {
		{"DQN", lode_nn_desc_mlp(8, 1, width, 3, LODE_NN_OUT_LINEAR)},
		{"LSTM", lode_nn_desc_lstm(8, 20, 64, 1)},
		{"transformer (older shape)", lode_nn_desc_transformer_legacy()},
		{"transformer", lode_nn_desc_transformer()},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(kinds); i++)
		for (int format = LODE_NN_FORMAT_FP32; format <= LODE_NN_FORMAT_INT8; format++) {
			char name[80];
			bool int8 = format == LODE_NN_FORMAT_INT8;
			snprintf(name, sizeof(name), "load %s, %s", kinds[i].name,
				int8 ? "INT8" : "FP32");
			if (!lode_perf_wanted(p, name))
				continue;
			struct image image = make_file(&kinds[i].desc, (enum lode_nn_format)format);
			double ms = lode_perf_median_ns(load, &image, N_LOADS, N_BATCHES) / 1e6;
			lode_perf_row(p, name, "load and verify", ms, "ms",
				int8 ? "bar 5 ms" : NULL, int8 ? BAR_MS / ms : NAN);
			free(image.data);
		}
}

static void read_tensors(void *arg)
{
	const struct image *image = arg;
	struct lode_package_input in = {"m.safetensors", image->data, image->n_bytes};
	struct lode_package pkg;
	if (lode_package_from_memory(&pkg, &in, 1, &lode_limits_delivery, NULL) ||
		pkg.n_extents != N_TENSORS + 1)
		abort();
	lode_package_close(&pkg);
}

static void reader_row(struct lode_perf *p)
{
	const char *name = "find 100,000 safetensors";
	struct lode_tensor_out *t = calloc(N_TENSORS, sizeof(*t));
	char(*names)[16] = calloc(N_TENSORS, sizeof(*names));
	static const uint8_t zero;
	struct image image;
	if (!t || !names)
		abort();
	for (unsigned i = 0; i < N_TENSORS; i++) {
		snprintf(names[i], sizeof(names[i]), "t%u", i);
		t[i] = (struct lode_tensor_out){names[i], LODE_U8, 1, {1}, &zero};
	}
	if (lode_perf_wanted(p, name)) {
		if (lode_safetensors_write(
			    t, N_TENSORS, NULL, 0, &image.data, &image.n_bytes, NULL))
			abort();
		double ns = lode_perf_median_ns(read_tensors, &image, 1, N_BATCHES);
		lode_perf_row(
			p, name, "header", (double)image.n_bytes / ns * 1e3, "MB/s", NULL, NAN);
		free(image.data);
	}
	free(names);
	free(t);
}

int suite_model(struct lode_perf *p);

int suite_model(struct lode_perf *p)
{
	load_rows(p);
	reader_row(p);
	return 0;
}
