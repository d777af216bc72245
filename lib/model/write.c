/* SPDX-License-Identifier: BSD-3-Clause */
/* Model files: an FP32 master, or INT8 with frozen scales; both with golden vectors. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	GOLDEN_ROWS = 32,
	GOLDEN_SEED = 4,
	MAX_OUT = LODE_MODEL_NETS * (LODE_NN_MAX_TENSORS + 2) + 3,
	MAX_METADATA = 12,
};

struct writer {
	const struct lode_model_source *source;
	struct lode_model m; /* FP32, as if it had been loaded */
	enum lode_nn_format format;
	float *golden_in, *golden_out, *golden_int8;
	void *int8[LODE_MODEL_NETS]; /* memory of the quantised tensors */
	float in_ranges[LODE_MODEL_NETS][LODE_NN_MAX_IN][2];
	float point_ranges[LODE_MODEL_NETS][LODE_NN_MAX_POINTS][2];
	struct lode_tensor_out tensors[MAX_OUT];
	char names[MAX_OUT][TENSOR_NAME_BYTES];
	unsigned n_tensors;
	struct lode_metadata metadata[MAX_METADATA];
	unsigned n_metadata;
	char schema_hex[HEX_BYTES], tensors_hex[HEX_BYTES], tolerance[32];
	char networks[LODE_MODEL_NETS][LODE_NETWORK_TEXT_BYTES];
};

/* ---- what goes into the file ---- */

static int check_source(const struct lode_model_source *s, struct lode_err *err)
{
	unsigned n_nets = s->role == LODE_MODEL_PPO ? 2 : 1;
	if (s->n_nets != n_nets)
		return lode_err_set(err, -EINVAL, "%s has %u networks, %u given",
			lode_model_role_name(s->role), n_nets, s->n_nets);
	for (unsigned i = 0; i < s->n_nets; i++) {
		const struct lode_nn_desc *d = &s->nets[i].desc;
		int rc = lode_nn_desc_check(d, err);
		if (!rc)
			rc = lode_nn_tensors_check(
				d, LODE_NN_FORMAT_FP32, s->nets[i].fp32, s->nets[i].n_fp32, err);
		if (rc)
			return rc;
		if (d->n_in != s->schema->n_features || d->n_steps != s->nets[0].desc.n_steps)
			return lode_err_set(err, -EINVAL,
				"network takes %u steps of %u features, %u of %u expected (schema "
				"'%s')",
				d->n_steps, d->n_in, s->nets[0].desc.n_steps, s->schema->n_features,
				s->schema->name);
	}
	if (strlen(s->name) >= LODE_MODEL_NAME_BYTES || s->n_golden > 256)
		return lode_err_set(err, -EINVAL,
			"a name of %zu bytes and %u golden rows: below %d and at "
			"most 256 are allowed",
			strlen(s->name), s->n_golden, LODE_MODEL_NAME_BYTES);
	return 0;
}

static void set_model(struct writer *w)
{
	const struct lode_model_source *s = w->source;
	w->m = (struct lode_model){.role = s->role,
		.schema = s->schema,
		.format = LODE_NN_FORMAT_FP32,
		.n_nets = s->n_nets};
	for (unsigned i = 0; i < s->n_nets; i++) {
		struct lode_model_net *net = &w->m.nets[i];
		if (s->n_nets == 2)
			strcpy(net->name, i ? "critic" : "actor");
		net->desc = s->nets[i].desc;
		net->n_tensors = s->nets[i].n_fp32;
		memcpy(net->tensors, s->nets[i].fp32, net->n_tensors * sizeof(net->tensors[0]));
		lode_nn_ranges_init(&net->ranges);
		if (s->nets[i].ranges)
			net->ranges = *s->nets[i].ranges;
	}
}

static int make_golden(struct writer *w, struct lode_err *err)
{
	struct lode_model *m = &w->m;
	const struct lode_model_source *s = w->source;
	unsigned n_in = lode_model_inputs(m), n_out = lode_model_outputs(m);
	m->n_golden = s->n_golden ? s->n_golden : GOLDEN_ROWS;
	w->golden_in = calloc((size_t)m->n_golden * n_in, sizeof(float));
	w->golden_out = calloc((size_t)m->n_golden * n_out, sizeof(float));
	w->golden_int8 = calloc((size_t)m->n_golden * n_out, sizeof(float));
	if (!w->golden_in || !w->golden_out || !w->golden_int8)
		return lode_err_set(err, -ENOMEM, "no memory for %u golden vectors", m->n_golden);
	if (s->n_golden)
		memcpy(w->golden_in, s->golden, (size_t)m->n_golden * n_in * sizeof(float));
	else
		lode_schema_sample(
			s->schema, s->nets[0].desc.n_steps, GOLDEN_SEED, m->n_golden, w->golden_in);
	for (uint32_t row = 0; row < m->n_golden; row++) {
		int rc = lode_model_reference(
			m, w->golden_in + (size_t)row * n_in, w->golden_out + (size_t)row * n_out);
		if (rc)
			return lode_err_set(err, rc, "golden input %u is not finite", row);
	}
	return 0;
}

static float largest_error(const struct writer *w)
{
	float largest = 0;
	size_t n = (size_t)w->m.n_golden * lode_model_outputs(&w->m);
	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(w->golden_int8[i] - w->golden_out[i]));
	return largest;
}

/* The exact INT8 bits, and how far INT8 of either form is from FP32. Twice that is the tolerance. */
static int make_int8_golden(struct writer *w, struct lode_err *err)
{
	static const enum lode_nn_form forms[] = {LODE_NN_FORM_AUTO, LODE_NN_FORM_LAST};
	size_t n = (size_t)w->m.n_golden * lode_model_outputs(&w->m);
	float error = 0, limit = golden_tolerance_limit(w->golden_out, n);
	for (size_t i = 0; i < LODE_ARRAY_LEN(forms); i++) {
		int rc = golden_run(&w->m, LODE_NN_ISA_AUTO, forms[i], w->golden_in, w->m.n_golden,
			w->golden_int8, err);
		if (rc)
			return rc;
		error = fmaxf(error, largest_error(w));
	}
	if (error > limit)
		return lode_err_set(err, -ERANGE,
			"the quantised network is off by %.3g on its golden vectors, at most %.3g "
			"is allowed",
			(double)error, (double)limit);
	snprintf(w->tolerance, sizeof(w->tolerance), "%.3g",
		(double)fminf(2 * error + 1e-3f, .99f * limit));
	return 0;
}

/* ---- the tensors and keys of the file ---- */

static void add_tensor(struct writer *w, const char *prefix, const char *name,
	enum lode_dtype dtype, uint32_t rank, uint64_t rows, uint64_t cols, const void *data)
{
	struct lode_tensor_out *t = &w->tensors[w->n_tensors];
	char text[TENSOR_NAME_BYTES];
	snprintf(text, sizeof(text), "%s%s%s", prefix, prefix[0] ? "." : "", name);
	char *full = strcpy(w->names[w->n_tensors++], text);
	*t = (struct lode_tensor_out){
		.name = full, .dtype = dtype, .rank = rank, .dims = {rows, cols}, .data = data};
}

static void add_ranges(struct writer *w, unsigned i)
{
	const struct lode_model_net *net = &w->m.nets[i];
	for (unsigned k = 0; k < net->desc.n_in; k++) {
		w->in_ranges[i][k][0] = net->ranges.in_low[k];
		w->in_ranges[i][k][1] = net->ranges.in_high[k];
	}
	for (unsigned k = 0; k < LODE_NN_MAX_POINTS; k++)
		if (net->ranges.low[k] <=
			net->ranges.high[k]) { /* else the network has no such point */
			w->point_ranges[i][k][0] = net->ranges.low[k];
			w->point_ranges[i][k][1] = net->ranges.high[k];
		}
	add_tensor(w, net->name, "calibration.in", LODE_F32, 2, net->desc.n_in, 2, w->in_ranges[i]);
	add_tensor(w, net->name, "calibration.points", LODE_F32, 2, LODE_NN_MAX_POINTS, 2,
		w->point_ranges[i]);
}

static int add_net(struct writer *w, unsigned i, struct lode_err *err)
{
	struct lode_nn_tensor own[LODE_NN_MAX_TENSORS];
	const struct lode_model_net *net = &w->m.nets[i];
	const struct lode_nn_tensor *t = net->tensors;
	unsigned n = net->n_tensors;
	if (w->format == LODE_NN_FORMAT_INT8) {
		int rc = int8_tensors(&w->m, i, &w->int8[i], own, &n, err);
		if (rc)
			return rc;
		t = own;
	}
	for (unsigned k = 0; k < n; k++)
		add_tensor(w, net->name, t[k].name, t[k].type == LODE_NN_S8 ? LODE_I8 : LODE_F32,
			t[k].n_dims, t[k].dims[0], t[k].dims[1], t[k].data);
	if (w->format == LODE_NN_FORMAT_FP32)
		add_ranges(w, i);
	return 0;
}

static int add_tensors(struct writer *w, struct lode_err *err)
{
	for (unsigned i = 0; i < w->m.n_nets; i++) {
		int rc = add_net(w, i, err);
		if (rc)
			return rc;
	}
	uint64_t n_in = lode_model_inputs(&w->m), n_out = lode_model_outputs(&w->m),
		 n = w->m.n_golden;
	add_tensor(w, "", "golden.input", LODE_F32, 2, n, n_in, w->golden_in);
	add_tensor(w, "", "golden.output", LODE_F32, 2, n, n_out, w->golden_out);
	if (w->format == LODE_NN_FORMAT_INT8)
		add_tensor(w, "", "golden.int8", LODE_F32, 2, n, n_out, w->golden_int8);
	return 0;
}

static void add_key(struct writer *w, const char *key, const char *value)
{
	w->metadata[w->n_metadata++] = (struct lode_metadata){key, value};
}

static void add_metadata(struct writer *w)
{
	static const char *const network_keys[][2] = {
		{META "network", NULL}, {META "network.actor", META "network.critic"}};
	const struct lode_model_source *s = w->source;
	uint8_t hash[LODE_SHA256_BYTES];
	lode_schema_hash(s->schema, hash);
	print_hex_digest(hash, w->schema_hex);
	add_key(w, META "version", "1");
	add_key(w, META "name", s->name);
	add_key(w, META "role", lode_model_role_name(s->role));
	for (unsigned i = 0; i < s->n_nets; i++) {
		lode_network_print(&s->nets[i].desc, w->networks[i]);
		add_key(w, network_keys[s->n_nets - 1][i], w->networks[i]);
	}
	add_key(w, META "schema", s->schema->name);
	add_key(w, META "schema_sha256", w->schema_hex);
	add_key(w, META "licence", s->licence ? s->licence : "");
	add_key(w, META "card", s->card ? s->card : "{}");
	if (w->format == LODE_NN_FORMAT_INT8)
		add_key(w, META "golden_tolerance", w->tolerance);
}

/* ---- the file ---- */

static int write_image(
	const struct writer *w, uint8_t **image, size_t *n_bytes, struct lode_err *err)
{
	return lode_safetensors_write(
		w->tensors, w->n_tensors, w->metadata, w->n_metadata, image, n_bytes, err);
}

/* Hashes the tensors as a reader will see them. */
static int add_hash(struct writer *w, struct lode_err *err)
{
	uint8_t hash[LODE_SHA256_BYTES];
	struct lode_package pkg;
	struct lode_package_input input = {.name = "model.safetensors"};
	uint8_t *image;
	size_t n_bytes;
	int rc = write_image(w, &image, &n_bytes, err);
	if (rc)
		return rc;
	input.data = image;
	input.n_bytes = n_bytes;
	rc = lode_package_from_memory(&pkg, &input, 1, &lode_limits_engine, err);
	if (!rc && hash_tensors(&pkg, hash))
		rc = lode_err_set(err, -ENOMEM, "no memory to hash the tensors");
	lode_package_close(&pkg);
	free(image);
	if (!rc) {
		print_hex_digest(hash, w->tensors_hex);
		add_key(w, META "tensors_sha256", w->tensors_hex);
	}
	return rc;
}

static int check_image(
	const struct writer *w, const uint8_t *image, size_t n_bytes, struct lode_err *err)
{
	struct lode_model_options options = {.schemas = &w->source->schema, .n_schemas = 1};
	struct lode_model *m;
	int rc = lode_model_load_memory(&m, image, n_bytes, "the file just written", &options, err);
	lode_model_free(m);
	return rc;
}

static int write_file(struct writer *w, uint8_t **image, size_t *n_bytes, struct lode_err *err)
{
	set_model(w);
	int rc = calibration_begin(&w->m, w->source->calibration, w->source->n_calibration, err);
	if (!rc)
		rc = make_golden(w, err);
	if (!rc && w->format == LODE_NN_FORMAT_INT8)
		rc = make_int8_golden(w, err);
	if (!rc)
		rc = add_tensors(w, err);
	if (rc)
		return rc;
	add_metadata(w);
	rc = add_hash(w, err);
	if (!rc)
		rc = write_image(w, image, n_bytes, err);
	return rc ? rc : check_image(w, *image, *n_bytes, err);
}

int lode_model_write(const struct lode_model_source *source, enum lode_nn_format format,
	uint8_t **image, size_t *n_bytes, struct lode_err *err)
{
	*image = NULL;
	int rc = check_source(source, err);
	if (rc)
		return rc;
	struct writer *w = calloc(1, sizeof(*w));
	if (!w)
		return lode_err_set(err, -ENOMEM, "no memory to write a model");
	w->source = source;
	w->format = format;
	rc = write_file(w, image, n_bytes, err);
	if (rc) {
		free(*image);
		*image = NULL;
	}
	for (unsigned i = 0; i < LODE_MODEL_NETS; i++)
		free(w->int8[i]);
	calibration_end(&w->m);
	free(w->golden_in);
	free(w->golden_out);
	free(w->golden_int8);
	free(w);
	return rc;
}

int lode_model_as_source(
	const struct lode_model *m, struct lode_model_source *s, struct lode_err *err)
{
	if (m->format != LODE_NN_FORMAT_FP32)
		return lode_err_set(
			err, -EINVAL, "'%s' is INT8 already: an FP32 master is expected", m->name);
	*s = (struct lode_model_source){.name = m->name,
		.licence = m->licence,
		.card = m->card,
		.role = m->role,
		.schema = m->schema,
		.n_nets = m->n_nets,
		.golden = m->golden_in,
		.n_golden = m->n_golden};
	for (unsigned i = 0; i < m->n_nets; i++) {
		s->nets[i].desc = m->nets[i].desc;
		s->nets[i].fp32 = m->nets[i].tensors;
		s->nets[i].n_fp32 = m->nets[i].n_tensors;
		s->nets[i].ranges = &m->nets[i].ranges;
	}
	return 0;
}
