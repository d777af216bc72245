/* SPDX-License-Identifier: BSD-3-Clause */
/* Calibration, quantisation and the one block of memory that lanes run. */
#include "model.h"

#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)

enum { ALIGN = 64, CALIBRATION_SEED = 2, SMALL_MACS = 100000 };

static int widen_ranges(
	const struct lode_model *m, struct lode_model_net *net, struct lode_err *err)
{
	float out[LODE_NN_MAX_OUT];
	unsigned n_in = lode_model_inputs(m);
	for (uint32_t row = 0; row < m->n_calibration; row++) {
		int rc = lode_nn_reference_run(&net->desc, net->tensors, net->n_tensors,
			m->calibration + (size_t)row * n_in, out, &net->ranges);
		if (rc)
			return lode_err_set(err, rc, "calibration input %u is not finite", row);
	}
	return 0;
}

static int draw_inputs(struct lode_model *m, struct lode_err *err)
{
	const struct lode_nn_desc *d = &m->nets[0].desc;
	uint32_t n = lode_nn_macs(d) < SMALL_MACS ? 2000 : 500;
	m->drawn = calloc((size_t)n * lode_model_inputs(m), sizeof(*m->drawn));
	if (!m->drawn)
		return lode_err_set(err, -ENOMEM, "no memory for %u calibration inputs", n);
	lode_schema_sample(m->schema, d->n_steps, CALIBRATION_SEED, n, m->drawn);
	m->calibration = m->drawn;
	m->n_calibration = n;
	return 0;
}

int calibration_begin(
	struct lode_model *m, const float *given, uint32_t n_given, struct lode_err *err)
{
	m->calibration = given;
	m->n_calibration = given ? n_given : 0;
	if (!m->n_calibration) {
		int rc = draw_inputs(m, err);
		if (rc)
			return rc;
	}
	int rc = 0;
	for (unsigned i = 0; !rc && i < m->n_nets; i++)
		if (!m->nets[i].ranges.n_samples)
			rc = widen_ranges(m, &m->nets[i], err);
	return rc;
}

void calibration_end(struct lode_model *m)
{
	free(m->drawn);
	m->drawn = NULL;
	m->calibration = NULL;
	m->n_calibration = 0;
}

/* Only transformers have forms. */
static enum lode_nn_form form_for(const struct lode_nn_desc *desc, enum lode_nn_form wanted)
{
	return desc->kind == LODE_NN_TRANSFORMER ? wanted : LODE_NN_FORM_AUTO;
}

int int8_tensors(const struct lode_model *m, unsigned i, void **memory,
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS], unsigned *n_tensors,
	struct lode_err *err)
{
	const struct lode_model_net *net = &m->nets[i];
	*memory = NULL;
	if (m->format == LODE_NN_FORMAT_INT8) {
		memcpy(tensors, net->tensors, net->n_tensors * sizeof(*tensors));
		*n_tensors = net->n_tensors;
		return 0;
	}
	size_t n_bytes = (lode_nn_quantise_bytes(&net->desc) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	*memory = aligned_alloc(ALIGN, n_bytes);
	if (!*memory)
		return lode_err_set(err, -ENOMEM, "no memory to quantise %zu bytes", n_bytes);
	int rc = lode_nn_quantise(&net->desc, net->tensors, net->n_tensors, &net->ranges, *memory,
		n_bytes, tensors, n_tensors, err);
	return rc ? rc
		  : correct_biases(net, tensors, *n_tensors, m->calibration, m->n_calibration, err);
}

/* A block on a 2 MB boundary, so that one large page can hold it where the kernel has one. */
static void *blob_alloc(size_t n_bytes, size_t *blob_bytes)
{
	*blob_bytes = (n_bytes + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
	uint8_t *map = mmap(NULL, *blob_bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	size_t before = -(uintptr_t)map & (HUGE_BYTES - 1);
	if (before)
		munmap(map, before);
	munmap(map + before + *blob_bytes, HUGE_BYTES - before);
	madvise(map + before, *blob_bytes, MADV_HUGEPAGE);
	return map + before;
}

void blob_free(void *blob, size_t bytes)
{
	if (blob)
		munmap(blob, bytes);
}

static size_t net_bytes(const struct lode_nn_desc *desc, enum lode_nn_form form)
{
	return (lode_nn_model_bytes(desc, form_for(desc, form)) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static int pack_net(const struct lode_model *m, unsigned i, enum lode_nn_isa isa,
	enum lode_nn_form form, void *at, const struct lode_nn_model **packed, struct lode_err *err)
{
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS];
	unsigned n_tensors;
	void *memory;
	const struct lode_nn_desc *desc = &m->nets[i].desc;
	int rc = int8_tensors(m, i, &memory, tensors, &n_tensors, err);
	if (!rc)
		rc = lode_nn_model_build(at, net_bytes(desc, form), desc, tensors, n_tensors, isa,
			form_for(desc, form), packed, err);
	free(memory);
	return rc;
}

int pack_nets(
	struct lode_model *m, enum lode_nn_isa isa, enum lode_nn_form form, struct lode_err *err)
{
	size_t n_bytes = 0, at = 0;
	for (unsigned i = 0; i < m->n_nets; i++)
		n_bytes += net_bytes(&m->nets[i].desc, form);
	m->blob = blob_alloc(n_bytes, &m->blob_bytes);
	if (!m->blob)
		return lode_err_set(
			err, -ENOMEM, "no memory for a packed model of %zu bytes", n_bytes);
	m->packed_bytes = 0;
	for (unsigned i = 0; i < m->n_nets; i++) {
		int rc =
			pack_net(m, i, isa, form, (uint8_t *)m->blob + at, &m->nets[i].packed, err);
		if (rc)
			return rc;
		m->packed_bytes += lode_nn_model_used_bytes(m->nets[i].packed);
		at += net_bytes(&m->nets[i].desc, form);
	}
	return 0;
}

int lode_model_run(const struct lode_model *m, void *scratch, const float *in, float *out)
{
	int rc = 0;
	for (unsigned i = 0; !rc && i < m->n_nets; i++) {
		rc = lode_nn_run(m->nets[i].packed, scratch, in, out);
		out += m->nets[i].desc.n_out;
	}
	return rc;
}

int lode_model_reference(const struct lode_model *m, const float *in, float *out)
{
	if (m->format != LODE_NN_FORMAT_FP32)
		return -ENOTSUP;
	int rc = 0;
	for (unsigned i = 0; !rc && i < m->n_nets; i++) {
		const struct lode_model_net *net = &m->nets[i];
		rc = lode_nn_reference_run(&net->desc, net->tensors, net->n_tensors, in, out, NULL);
		out += net->desc.n_out;
	}
	return rc;
}
