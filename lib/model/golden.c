/* SPDX-License-Identifier: BSD-3-Clause */
/* Golden vectors: a model must still do what it did when it was written. */
#include "model.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLE_SEED = 1 };

float golden_tolerance_limit(const float *golden_out, size_t n)
{
	float largest = 1;
	for (size_t i = 0; i < n; i++)
		largest = fmaxf(largest, fabsf(golden_out[i]));
	return .1f * largest;
}

int golden_check_fp32(const struct lode_model *m, struct lode_err *err)
{
	float out[MAX_OUTPUTS];
	unsigned n_in = lode_model_inputs(m), n_out = lode_model_outputs(m);
	for (uint32_t row = 0; row < m->n_golden; row++) {
		int rc = lode_model_reference(m, m->golden_in + (size_t)row * n_in, out);
		if (rc)
			return lode_err_set(
				err, -EILSEQ, "golden vector %u: its input is not finite", row);
		const float *expected = m->golden_out + (size_t)row * n_out;
		for (unsigned i = 0; i < n_out; i++)
			if (!(fabsf(out[i] - expected[i]) <=
				    GOLDEN_FP32_TOLERANCE * (1 + fabsf(expected[i]))))
				return lode_err_set(err, -EILSEQ,
					"golden vector %u, output %u: %.8g expected, %.8g found",
					row, i, (double)expected[i], (double)out[i]);
	}
	return 0;
}

int golden_run(const struct lode_model *m, enum lode_nn_isa isa, enum lode_nn_form form,
	const float *in, uint32_t n_rows, float *out, struct lode_err *err)
{
	struct lode_model run = *m; /* the same networks, packed in another way */
	unsigned n_in = lode_model_inputs(m), n_out = lode_model_outputs(m);
	void *scratch = aligned_alloc(LODE_CACHE_LINE, LODE_NN_SCRATCH_BYTES);
	run.blob = NULL;
	int rc = scratch ? pack_nets(&run, isa, form, err)
			 : lode_err_set(err, -ENOMEM, "no memory for scratch");
	for (uint32_t row = 0; !rc && row < n_rows; row++) {
		rc = lode_model_run(
			&run, scratch, in + (size_t)row * n_in, out + (size_t)row * n_out);
		if (rc)
			lode_err_set(
				err, -EILSEQ, "golden vector %u: its input is not finite", row);
	}
	blob_free(run.blob, run.blob_bytes);
	free(scratch);
	return rc;
}

static int compare_bits(
	const float *expected, const float *found, size_t n, unsigned n_out, struct lode_err *err)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(&found[i], &expected[i], sizeof(found[i])))
			return lode_err_set(err, -EILSEQ,
				"golden vector %zu, INT8 output %zu: %.9g (%a) expected, %.9g (%a) "
				"found",
				i / n_out, i % n_out, (double)expected[i], (double)expected[i],
				(double)found[i], (double)found[i]);
	return 0;
}

int golden_check_int8_bits(
	const struct lode_model *m, const struct lode_model_options *options, struct lode_err *err)
{
	unsigned n_out = lode_model_outputs(m);
	size_t n = (size_t)m->n_golden * n_out;
	float *found = calloc(n, sizeof(*found));
	if (!found)
		return lode_err_set(err, -ENOMEM, "no memory for %zu outputs", n);
	int rc = golden_run(m, options ? options->isa : LODE_NN_ISA_AUTO, LODE_NN_FORM_LAST,
		m->golden_in, m->n_golden, found, err);
	if (!rc)
		rc = compare_bits(m->golden_int8, found, n, n_out, err);
	free(found);
	return rc;
}

int golden_sample(const struct lode_model *m, uint32_t n_rows, const float *given, float **in,
	float **out, struct lode_err *err)
{
	unsigned n_in = lode_model_inputs(m), n_out = lode_model_outputs(m);
	*in = calloc((size_t)n_rows * n_in, sizeof(**in));
	*out = calloc((size_t)n_rows * n_out, sizeof(**out));
	int rc = *in && *out
			 ? 0
			 : lode_err_set(err, -ENOMEM, "no memory for %u golden vectors", n_rows);
	if (!rc && given)
		memcpy(*in, given, (size_t)n_rows * n_in * sizeof(**in));
	else if (!rc)
		lode_schema_sample(m->schema, m->nets[0].desc.n_steps, SAMPLE_SEED, n_rows, *in);
	for (uint32_t row = 0; !rc && row < n_rows; row++)
		rc = lode_model_reference(m, *in + (size_t)row * n_in, *out + (size_t)row * n_out);
	if (rc) {
		free(*in);
		free(*out);
		*in = *out = NULL;
	}
	return rc;
}

/* A stream has no whole-window run: its steps are given one by one to a fresh state. */
static int run_window(const struct lode_model *m, void *scratch, const float *in, float *out)
{
	const struct lode_model_net *net = &m->nets[0];
	if (lode_nn_model_form(net->packed) != LODE_NN_FORM_STREAM)
		return lode_model_run(m, scratch, in, out);
	size_t n_bytes = (lode_nn_state_bytes(net->packed) + 63) & ~(size_t)63;
	void *state = aligned_alloc(LODE_CACHE_LINE, n_bytes);
	if (!state)
		return -ENOMEM;
	lode_nn_state_reset(net->packed, state);
	int rc = -EAGAIN;
	for (unsigned step = 0; step < net->desc.n_steps && rc == -EAGAIN; step++)
		rc = lode_nn_step(net->packed, scratch, state, in + step * net->desc.n_in, out);
	free(state);
	return rc;
}

int golden_check_packed(struct lode_model *m, struct lode_err *err)
{
	float out[MAX_OUTPUTS];
	unsigned n_in = lode_model_inputs(m), n_out = lode_model_outputs(m);
	void *scratch = aligned_alloc(LODE_CACHE_LINE, LODE_NN_SCRATCH_BYTES);
	int rc = scratch ? 0 : lode_err_set(err, -ENOMEM, "no memory for scratch");
	m->golden_error = 0;
	for (uint32_t row = 0; !rc && row < m->n_golden; row++) {
		rc = run_window(m, scratch, m->golden_in + (size_t)row * n_in, out);
		if (rc)
			lode_err_set(err, rc,
				"golden vector %u cannot be run: its input is not finite", row);
		const float *expected = m->golden_out + (size_t)row * n_out;
		for (unsigned i = 0; !rc && i < n_out; i++) {
			float error = fabsf(out[i] - expected[i]);
			m->golden_error = fmaxf(m->golden_error, error);
			if (!(error <= m->golden_tolerance))
				rc = lode_err_set(err, -EILSEQ,
					"golden vector %u, output %u: INT8 gives %.6g, %.6g +- "
					"%.3g expected",
					row, i, (double)out[i], (double)expected[i],
					(double)m->golden_tolerance);
		}
	}
	free(scratch);
	return rc;
}
