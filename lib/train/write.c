/* SPDX-License-Identifier: BSD-3-Clause */
/* Trained weights as tensors of nn and as model files. */
#include "net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CALIBRATION_WINDOWS 4000
#define GOLDEN_WINDOWS	    64

static const struct param *param_named(const struct lode_train_net *net, const char *name)
{
	for (unsigned i = 0; i < net->n_params; i++)
		if (!strcmp(net->params[i].name, name))
			return &net->params[i];
	return NULL;
}

/* [in, out] here, [out, in] in files; without the padding. */
static void copy_out(const struct lode_train_net *net, const struct param *p, float *to)
{
	const real *w = net->w + p->at;
	for (size_t r = 0; r < p->rows; r++)
		for (size_t c = 0; c < p->out; c++)
			to[p->is_weight ? c * p->rows + r : r * p->out + c] =
				(float)w[r * p->cols + c];
}

int lode_train_tensors(const struct lode_train_net *net,
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS], unsigned *n_tensors, void **memory,
	struct lode_err *err)
{
	float *at = *memory = calloc(net->n_values, sizeof(float));
	*n_tensors = lode_nn_specs(&net->desc, LODE_NN_FORMAT_FP32, tensors);
	if (!at)
		return lode_err_set(err, -ENOMEM, "no memory for %zu weights", net->n_values);
	for (unsigned i = 0; i < *n_tensors; i++) {
		const struct param *p = param_named(net, tensors[i].name);
		size_t n = lode_nn_tensor_bytes(&tensors[i]) / sizeof(float);
		assert(p && (size_t)p->rows * p->out == n);
		copy_out(net, p, at);
		tensors[i].data = at;
		at += n;
	}
	return 0;
}

/* n inputs spread evenly over a split. */
static float *sample_inputs(
	const struct lode_train_data *data, enum lode_train_split split, uint32_t want, uint32_t *n)
{
	size_t n_all;
	uint32_t *all = lode_train_pick(data, split, &n_all);
	*n = (uint32_t)LODE_MIN((size_t)want, n_all);
	float *in = calloc((size_t)*n + 1, lode_train_windows.n * sizeof(float));
	for (size_t i = 0; in && all && i < *n; i++)
		lode_train_windows.gather(data, all[i * n_all / *n], in + i * lode_train_windows.n);
	free(all);
	return in;
}

int lode_train_write(const struct lode_train_net *net, const struct lode_train_data *data,
	const char *name, const char *card, enum lode_nn_format format, uint8_t **image,
	size_t *n_bytes, struct lode_err *err)
{
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS];
	struct lode_model_source source = {.name = name,
		.licence = "BSD-3-Clause",
		.card = card,
		.role = LODE_MODEL_LOSS,
		.schema = data->schema,
		.n_nets = 1};
	void *memory;
	int rc = lode_train_tensors(net, tensors, &source.nets[0].n_fp32, &memory, err);
	float *calibration =
		sample_inputs(data, LODE_TRAIN_FIT, CALIBRATION_WINDOWS, &source.n_calibration);
	float *golden = sample_inputs(data, LODE_TRAIN_VALIDATE, GOLDEN_WINDOWS, &source.n_golden);
	source.nets[0].desc = net->desc;
	source.nets[0].fp32 = tensors;
	source.calibration = calibration;
	source.golden = golden;
	if (!rc && (!calibration || !golden))
		rc = lode_err_set(err, -ENOMEM, "no memory for calibration");
	rc = rc ? rc : lode_model_write(&source, format, image, n_bytes, err);
	free(calibration);
	free(golden);
	free(memory);
	return rc;
}

int lode_train_predict_model(const struct lode_model *model, const struct lode_train_data *data,
	const uint32_t *windows, size_t n, float *p, struct lode_err *err)
{
	float in[LODE_LOSS_STEPS * LODE_TRAIN_FEATURES], out[LODE_NN_MAX_OUT];
	if (model->schema != data->schema || lode_model_inputs(model) != LODE_ARRAY_LEN(in))
		return lode_err_set(err, -EINVAL, "model \"%s\" wants schema %s, the data have %s",
			model->name, model->schema->name, data->schema->name);
	void *scratch = aligned_alloc(LODE_CACHE_LINE, LODE_NN_SCRATCH_BYTES);
	int rc = scratch ? 0 : lode_err_set(err, -ENOMEM, "no memory for scratch");
	for (size_t i = 0; !rc && i < n; i++) {
		lode_train_windows.gather(data, windows[i], in);
		rc = lode_model_run(model, scratch, in, out);
		p[i] = out[0];
	}
	free(scratch);
	return rc;
}
