/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of tensors against what a description asks for. */
#include "lode_nn.h"

#include <math.h>
#include <stdio.h>

const struct lode_nn_tensor *lode_nn_tensor_find(
	const struct lode_nn_tensor *tensors, unsigned n_tensors, const char *name)
{
	for (unsigned i = 0; i < n_tensors; i++)
		if (!strncmp(tensors[i].name, name, LODE_NN_NAME_BYTES))
			return &tensors[i];
	return NULL;
}

static uint64_t n_elements(const struct lode_nn_tensor *t)
{
	return t->n_dims == 2 ? (uint64_t)t->dims[0] * t->dims[1] : t->dims[0];
}

uint64_t lode_nn_tensor_bytes(const struct lode_nn_tensor *t)
{
	return n_elements(t) * (t->type == LODE_NN_F32 ? sizeof(float) : 1);
}

static void print_shape(char text[48], const struct lode_nn_tensor *t)
{
	const char *type = t->type == LODE_NN_F32 ? "F32" : "I8";
	if (t->n_dims == 2)
		snprintf(text, 48, "%s [%u, %u]", type, t->dims[0], t->dims[1]);
	else
		snprintf(text, 48, "%s [%u]", type, t->dims[0]);
}

static bool same_shape(const struct lode_nn_tensor *a, const struct lode_nn_tensor *b)
{
	return a->type == b->type && a->n_dims == b->n_dims && a->dims[0] == b->dims[0] &&
	       (a->n_dims < 2 || a->dims[1] == b->dims[1]);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strnlen(name, LODE_NN_NAME_BYTES), m = strlen(suffix);
	return n >= m && !memcmp(name + n - m, suffix, m);
}

/* Index of the first value that may not be there, or n. */
static uint64_t first_bad(const struct lode_nn_tensor *t)
{
	const float *v = t->data;
	uint64_t n = n_elements(t);
	bool scale = ends_with(t->name, ".scale"), range = ends_with(t->name, ".range");
	for (uint64_t i = 0; i < n; i++)
		if (!isfinite(v[i]) || ((scale || (range && i % 2)) && v[i] <= 0))
			return i;
	return n;
}

static int check_tensor(
	const struct lode_nn_tensor *spec, const struct lode_nn_tensor *t, struct lode_err *err)
{
	char want[48], found[48];
	print_shape(want, spec);
	if (!t)
		return lode_err_set(
			err, -EINVAL, "tensor %s: expected %s, found none", spec->name, want);
	print_shape(found, t);
	if (!same_shape(spec, t))
		return lode_err_set(
			err, -EINVAL, "tensor %s: expected %s, found %s", spec->name, want, found);
	if (!t->data || (t->type == LODE_NN_F32 && (uintptr_t)t->data % sizeof(float)))
		return lode_err_set(
			err, -EINVAL, "tensor %s: data missing or not aligned", spec->name);
	if (t->type != LODE_NN_F32)
		return 0;
	uint64_t bad = first_bad(t);
	if (bad < n_elements(t))
		return lode_err_set(err, -EINVAL,
			"tensor %s: element %llu must be finite%s, found %g", spec->name,
			(unsigned long long)bad,
			ends_with(spec->name, ".scale") || ends_with(spec->name, ".range")
				? " and scales above 0"
				: "",
			(double)((const float *)t->data)[bad]);
	return 0;
}

int lode_nn_tensors_check(const struct lode_nn_desc *desc, enum lode_nn_format format,
	const struct lode_nn_tensor *tensors, unsigned n_tensors, struct lode_err *err)
{
	struct lode_nn_tensor specs[LODE_NN_MAX_TENSORS];
	unsigned n_specs = lode_nn_specs(desc, format, specs);
	for (unsigned i = 0; i < n_specs; i++) {
		const struct lode_nn_tensor *t =
			lode_nn_tensor_find(tensors, n_tensors, specs[i].name);
		int rc = check_tensor(&specs[i], t, err);
		if (rc)
			return rc;
	}
	for (unsigned i = 0; i < n_tensors; i++)
		if (!lode_nn_tensor_find(specs, n_specs, tensors[i].name))
			return lode_err_set(err, -EINVAL,
				"tensor %.*s: not part of this %s, or given twice",
				LODE_NN_NAME_BYTES - 1, tensors[i].name,
				lode_nn_kind_name(desc->kind));
	if (n_tensors != n_specs)
		return lode_err_set(
			err, -EINVAL, "expected %u tensors, found %u", n_specs, n_tensors);
	return 0;
}

static uint64_t mlp_macs(const struct lode_nn_desc *d)
{
	uint64_t macs = 0, n_in = (uint64_t)d->n_in * d->n_steps;
	for (unsigned i = 0; i < d->n_layers; i++) {
		macs += n_in * d->width[i];
		n_in = d->width[i];
	}
	return macs;
}

/* Every step through every layer, as the full form does; columns that zero padding makes idle do
 * not count. */
static uint64_t transformer_macs(const struct lode_nn_desc *d)
{
	uint64_t dm = d->d_model, steps = d->n_steps;
	bool idle = d->embed == LODE_NN_EMBED_PAD && d->position == LODE_NN_POSITION_NONE;
	uint64_t per_step = 3 * dm * (idle ? d->n_in : dm) + dm * dm + 2 * dm * d->d_ffn;
	if (d->embed == LODE_NN_EMBED_LINEAR)
		per_step += dm * d->n_in;
	return steps * per_step + 2 * steps * steps * dm + dm * d->n_out;
}

uint64_t lode_nn_macs(const struct lode_nn_desc *d)
{
	uint64_t h = d->n_hidden;
	switch (d->kind) {
	case LODE_NN_MLP:
		return mlp_macs(d);
	case LODE_NN_LSTM:
		return d->n_steps * 4 * h * (d->n_in + h) + h * d->n_out;
	case LODE_NN_TRANSFORMER:
		return transformer_macs(d);
	}
	return 0;
}
