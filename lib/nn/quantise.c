/* SPDX-License-Identifier: BSD-3-Clause */
/* Quantisation after training: FP32 tensors and the ranges that calibration inputs showed become INT8
 * tensors. Weights are symmetric per output channel, activations run from the smallest to the largest
 * value seen (clipping rare large ones costs more than it gains: they are the interesting cases). */
#include "points.h"

#include <math.h>
#include <stdio.h>

#define DATA_ALIGN 64
#define MIN_SPAN   1e-4f /* a range that calibration never moved still gets a usable step */

struct job {
	const struct lode_nn_desc *desc;
	const struct lode_nn_tensor *fp32;
	unsigned n_fp32;
	const struct lode_nn_ranges *ranges;
	float in_low[LODE_NN_MAX_IN], in_step[LODE_NN_MAX_IN];
};

static unsigned n_points(const struct lode_nn_desc *d)
{
	switch (d->kind) {
	case LODE_NN_MLP:
		return d->n_layers - 1u;
	case LODE_NN_LSTM:
		return 0;
	case LODE_NN_TRANSFORMER:
		return N_TRANSFORMER_POINTS;
	}
	return 0;
}

/* Name of a point's tensor without ".range". */
static void point_name(const struct lode_nn_desc *d, unsigned point, char name[8])
{
	static const char *const names[] = {"embed", "q", "k", "v", "attn", "mid", "ff1", "final"};
	if (d->kind == LODE_NN_TRANSFORMER)
		snprintf(name, 8, "%s", names[point % N_TRANSFORMER_POINTS]);
	else
		snprintf(name, 8, "l%u", point % LODE_NN_MAX_LAYERS + 1);
}

bool reads_input(const struct lode_nn_desc *d, const char *layer)
{
	switch (d->kind) {
	case LODE_NN_MLP:
		return !strcmp(layer, "l1");
	case LODE_NN_LSTM:
		return !strcmp(layer, "input_proj");
	case LODE_NN_TRANSFORMER:
		if (d->embed == LODE_NN_EMBED_LINEAR)
			return !strcmp(layer, "embed");
		return d->position == LODE_NN_POSITION_NONE && !strcmp(layer, "qkv");
	}
	return false;
}

/* Weight [row, col] as the layer sees it once its input is bytes. */
static float weight_in_steps(const struct job *j, const struct lode_nn_tensor *w, bool scaled,
	uint32_t row, uint32_t col)
{
	float v = ((const float *)w->data)[(size_t)row * w->dims[1] + col];
	if (!scaled)
		return v;
	if (j->desc->kind == LODE_NN_TRANSFORMER && col >= j->desc->n_in)
		return 0; /* a column that only ever meets zero padding */
	return v * j->in_step[col % j->desc->n_in];
}

static void quantise_weight(const struct job *j, const char *layer, const struct lode_nn_tensor *w,
	int8_t *q, float *scales)
{
	bool scaled = reads_input(j->desc, layer);
	for (uint32_t row = 0; row < w->dims[0]; row++) {
		float max = 0;
		for (uint32_t col = 0; col < w->dims[1]; col++)
			max = fmaxf(max, fabsf(weight_in_steps(j, w, scaled, row, col)));
		float scale = fmaxf(max / 127, 1e-12f);
		scales[row] = scale;
		for (uint32_t col = 0; col < w->dims[1]; col++)
			*q++ = (int8_t)lrintf(weight_in_steps(j, w, scaled, row, col) / scale);
	}
}

static void set_range(float low, float high, float range[2])
{
	range[0] = low;
	range[1] = fmaxf(high - low, MIN_SPAN) / 255;
}

static void point_range(const struct job *j, unsigned point, float range[2])
{
	float low = j->ranges->low[point], high = j->ranges->high[point];
	bool tf = j->desc->kind == LODE_NN_TRANSFORMER;
	bool after_activation = !tf || point == POINT_FF1;
	if (tf && (point == POINT_Q || point == POINT_V)) {
		range[1] = fmaxf(fmaxf(fabsf(low), fabsf(high)), MIN_SPAN) / 127;
		range[0] = -128 * range[1];
	} else if (after_activation && j->desc->activation == LODE_NN_RELU) {
		set_range(0, high, range); /* so that saturation at byte 0 is the ReLU */
	} else {
		set_range(low, high, range);
	}
}

/* Splits "ff1.scale" in layer and suffix. */
static const char *split(const char *name, char layer[LODE_NN_NAME_BYTES])
{
	snprintf(layer, LODE_NN_NAME_BYTES, "%s", name);
	char *dot = strchr(layer, '.');
	if (!dot)
		return "";
	*dot = 0;
	return name + (dot - layer);
}

static void fill_range(const struct job *j, const char *point, float *range)
{
	if (!strcmp(point, "in")) {
		for (unsigned i = 0; i < j->desc->n_in; i++) {
			range[2 * i] = j->in_low[i];
			range[2 * i + 1] = j->in_step[i];
		}
		return;
	}
	for (unsigned i = 0; i < n_points(j->desc); i++) {
		char name[8];
		point_name(j->desc, i, name);
		if (!strcmp(name, point))
			point_range(j, i, range);
	}
}

static uint64_t aligned_bytes(const struct lode_nn_tensor *t)
{
	return (lode_nn_tensor_bytes(t) + DATA_ALIGN - 1) & ~(uint64_t)(DATA_ALIGN - 1);
}

size_t lode_nn_quantise_bytes(const struct lode_nn_desc *desc)
{
	struct lode_nn_tensor specs[LODE_NN_MAX_TENSORS];
	unsigned n = lode_nn_specs(desc, LODE_NN_FORMAT_INT8, specs);
	uint64_t bytes = DATA_ALIGN;
	for (unsigned i = 0; i < n; i++)
		bytes += aligned_bytes(&specs[i]);
	return bytes;
}

/* A layer's weight writes its scales too, so the scale tensor, which follows it, has its place. */
static void fill(const struct job *j, struct lode_nn_tensor *t, void *data)
{
	char layer[LODE_NN_NAME_BYTES], fp32_name[LODE_NN_NAME_BYTES + 8];
	const char *suffix = split(t->name, layer);
	if (t->type == LODE_NN_S8) {
		snprintf(fp32_name, sizeof(fp32_name), "%s.weight", layer);
		quantise_weight(j, layer, lode_nn_tensor_find(j->fp32, j->n_fp32, fp32_name), data,
			(float *)((uint8_t *)data + aligned_bytes(t)));
	} else if (!strcmp(suffix, ".range")) {
		fill_range(j, layer, data);
	} else if (strcmp(suffix, ".scale")) {
		memcpy(data, lode_nn_tensor_find(j->fp32, j->n_fp32, t->name)->data,
			lode_nn_tensor_bytes(t));
	}
	t->data = data;
}

static int check_ranges(
	const struct lode_nn_desc *d, const struct lode_nn_ranges *r, struct lode_err *err)
{
	if (!r->n_samples)
		return lode_err_set(err, -EINVAL, "no calibration input was given");
	for (unsigned i = 0; i < d->n_in; i++)
		if (!(r->in_low[i] <= r->in_high[i]) || !isfinite(r->in_high[i] - r->in_low[i]))
			return lode_err_set(err, -EINVAL, "range of feature %u: found %g to %g", i,
				(double)r->in_low[i], (double)r->in_high[i]);
	for (unsigned i = 0; i < n_points(d); i++)
		if (!(r->low[i] <= r->high[i]) || !isfinite(r->high[i] - r->low[i]))
			return lode_err_set(err, -EINVAL, "range of point %u: found %g to %g", i,
				(double)r->low[i], (double)r->high[i]);
	return 0;
}

int lode_nn_quantise(const struct lode_nn_desc *desc, const struct lode_nn_tensor *fp32,
	unsigned n_fp32, const struct lode_nn_ranges *ranges, void *memory, size_t memory_bytes,
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS], unsigned *n_tensors,
	struct lode_err *err)
{
	struct job j = {.desc = desc, .fp32 = fp32, .n_fp32 = n_fp32, .ranges = ranges};
	int rc = lode_nn_desc_check(desc, err);
	if (!rc)
		rc = lode_nn_tensors_check(desc, LODE_NN_FORMAT_FP32, fp32, n_fp32, err);
	if (!rc)
		rc = check_ranges(desc, ranges, err);
	if (rc)
		return rc;
	if (memory_bytes < lode_nn_quantise_bytes(desc))
		return lode_err_set(err, -ENOSPC, "quantised tensors need %zu bytes, found %zu",
			lode_nn_quantise_bytes(desc), memory_bytes);
	for (unsigned i = 0; i < desc->n_in; i++) {
		float range[2];
		set_range(ranges->in_low[i], ranges->in_high[i], range);
		j.in_low[i] = range[0];
		j.in_step[i] = range[1];
	}
	*n_tensors = lode_nn_specs(desc, LODE_NN_FORMAT_INT8, tensors);
	uint8_t *at =
		(uint8_t *)(((uintptr_t)memory + DATA_ALIGN - 1) & ~(uintptr_t)(DATA_ALIGN - 1));
	for (unsigned i = 0; i < *n_tensors; i++) {
		fill(&j, &tensors[i], at);
		at += aligned_bytes(&tensors[i]);
	}
	return 0;
}
