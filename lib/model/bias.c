/* SPDX-License-Identifier: BSD-3-Clause */
/* Bias correction (Nagel et al., "Data-free quantization through weight equalization and bias
 * correction", 2019) with calibration inputs: rounding weights shifts the mean of every sum behind a
 * ReLU, because its inputs are not centred; the bias takes that shift back. Layer by layer, each with
 * the inputs that the quantised layers before it give. MLPs only: their outputs are compared with each
 * other, so a shift of one of them counts. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One layer of both networks, in floats. */
struct layer {
	uint32_t n_in, n_out;
	const float *weight, *bias; /* FP32 */
	float *q_weight, *q_bias; /* INT8 as it computes: q_weight is ours, q_bias in the tensors */
	const float *in_range,
		*range; /* (low, step) per feature and of the outputs; NULL if none */
	uint32_t n_features;
};

/* Activations of all rows in both networks, and room for the next layer's. */
struct rows {
	uint32_t n;
	float *exact, *quantised, *next_exact, *next_quantised;
};

static const void *tensor_data(
	const struct lode_nn_tensor *t, unsigned n, const char *layer, const char *part)
{
	char name[LODE_NN_NAME_BYTES];
	snprintf(name, sizeof(name), "%s.%s", layer, part);
	const struct lode_nn_tensor *found = lode_nn_tensor_find(t, n, name);
	return found ? found->data : NULL;
}

/* q_weight [n_out, n_in] is filled here. */
static void set_layer(struct layer *l, const struct lode_model_net *net, unsigned i,
	const struct lode_nn_tensor *q, unsigned n_q, float *q_weight)
{
	char name[8];
	const struct lode_nn_desc *d = &net->desc;
	snprintf(name, sizeof(name), "l%u", i + 1);
	*l = (struct layer){.n_in = i ? d->width[i - 1] : (uint32_t)d->n_in * d->n_steps,
		.n_out = d->width[i],
		.weight = tensor_data(net->tensors, net->n_tensors, name, "weight"),
		.bias = tensor_data(net->tensors, net->n_tensors, name, "bias"),
		.q_weight = q_weight,
		.q_bias = (float *)tensor_data(q, n_q, name, "bias"),
		.in_range = i ? NULL : tensor_data(q, n_q, "in", "range"),
		.range = tensor_data(q, n_q, name, "range"),
		.n_features = d->n_in};
	const int8_t *w = tensor_data(q, n_q, name, "weight");
	const float *scale = tensor_data(q, n_q, name, "scale");
	for (uint32_t row = 0; row < l->n_out; row++)
		for (uint32_t col = 0; col < l->n_in; col++) {
			size_t at = (size_t)row * l->n_in + col;
			float step = l->in_range ? l->in_range[2 * (col % d->n_in) + 1] : 1;
			q_weight[at] =
				scale[row] * w[at] / step; /* the first layer holds weight * step */
		}
}

/* The nearest value that a byte of this range can say. */
static float to_byte(float v, const float *range)
{
	float u = fminf(fmaxf(rintf((v - range[0]) / range[1]), 0), 255);
	return range[0] + range[1] * u;
}

static float weighted_sum(const float *w, const float *x, uint32_t n)
{
	float sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += w[i] * x[i];
	return sum;
}

/* Sums of all rows, then the mean difference goes into the bias. */
static void correct_layer(const struct layer *l, struct rows *r)
{
	for (uint32_t out = 0; out < l->n_out; out++) {
		double shift = 0;
		for (uint32_t row = 0; row < r->n; row++) {
			size_t at = (size_t)row * l->n_out + out, from = (size_t)row * l->n_in;
			float exact = l->bias[out] + weighted_sum(l->weight + (size_t)out * l->n_in,
							     r->exact + from, l->n_in);
			float quantised =
				l->q_bias[out] + weighted_sum(l->q_weight + (size_t)out * l->n_in,
							 r->quantised + from, l->n_in);
			r->next_exact[at] = exact;
			r->next_quantised[at] = quantised;
			shift += (double)(exact - quantised) / r->n;
		}
		l->q_bias[out] += (float)shift;
		for (uint32_t row = 0; row < r->n; row++)
			r->next_quantised[(size_t)row * l->n_out + out] += (float)shift;
	}
}

/* ReLU, and the byte it becomes. */
static void activate(const struct layer *l, struct rows *r)
{
	for (size_t i = 0; i < (size_t)r->n * l->n_out; i++) {
		r->exact[i] = fmaxf(r->next_exact[i], 0);
		r->quantised[i] = to_byte(fmaxf(r->next_quantised[i], 0), l->range);
	}
}

static uint32_t widest(const struct lode_nn_desc *d)
{
	uint32_t n = (uint32_t)d->n_in * d->n_steps;
	for (unsigned i = 0; i < d->n_layers; i++)
		n = LODE_MAX(n, d->width[i]);
	return n;
}

int correct_biases(const struct lode_model_net *net, const struct lode_nn_tensor *int8,
	unsigned n_int8, const float *in, uint32_t n_rows, struct lode_err *err)
{
	const struct lode_nn_desc *d = &net->desc;
	if (d->kind != LODE_NN_MLP || d->activation != LODE_NN_RELU || !n_rows)
		return 0;
	size_t width = widest(d), n = width * n_rows;
	float *room = calloc(4 * n + width * width, sizeof(*room));
	if (!room)
		return lode_err_set(
			err, -ENOMEM, "no memory to correct biases over %u rows", n_rows);
	struct rows r = {n_rows, room, room + n, room + 2 * n, room + 3 * n};
	for (unsigned i = 0; i < d->n_layers; i++) {
		struct layer l;
		set_layer(&l, net, i, int8, n_int8, room + 4 * n);
		for (size_t k = 0; i == 0 && k < (size_t)n_rows * l.n_in; k++) {
			r.exact[k] = in[k];
			r.quantised[k] = to_byte(in[k], l.in_range + 2 * (k % l.n_features));
		}
		correct_layer(&l, &r);
		if (i + 1u < d->n_layers)
			activate(&l, &r);
	}
	free(room);
	return 0;
}
