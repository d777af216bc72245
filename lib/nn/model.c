/* SPDX-License-Identifier: BSD-3-Clause */
/* Building packed models and running them on the kernels of their instruction set. */
#include "scratch.h"

static const struct kernels *const kernels[] = {
	[LODE_NN_PORTABLE] = &kernels_portable,
#ifdef __x86_64__
	[LODE_NN_AVX2] = &kernels_avx2,
	[LODE_NN_AVX512VNNI] = &kernels_avx512vnni,
#endif
#ifdef __aarch64__
	[LODE_NN_NEON] = &kernels_neon,
#endif
};

const char *lode_nn_form_name(enum lode_nn_form form)
{
	static const char *const names[] = {"auto", "full", "last", "stream", "folded"};
	return (unsigned)form < LODE_ARRAY_LEN(names) ? names[form] : "unknown";
}

static enum lode_nn_form form_of(const struct lode_nn_desc *d, enum lode_nn_form form)
{
	return d->kind == LODE_NN_TRANSFORMER && form == LODE_NN_FORM_AUTO ? LODE_NN_FORM_FOLDED
									   : form;
}

size_t lode_nn_model_bytes(const struct lode_nn_desc *desc, enum lode_nn_form form)
{
	struct lode_nn_model m;
	plan_model(&m, desc, form_of(desc, form));
	return m.used_bytes;
}

static int check_form(const struct lode_nn_desc *d, enum lode_nn_form form, struct lode_err *err)
{
	if (d->kind != LODE_NN_TRANSFORMER && form != LODE_NN_FORM_AUTO)
		return lode_err_set(err, -EINVAL, "form of a %s must be auto, found %s",
			lode_nn_kind_name(d->kind), lode_nn_form_name(form));
	if ((unsigned)form > LODE_NN_FORM_FOLDED)
		return lode_err_set(err, -EINVAL, "form must be 0 to %d, found %d",
			LODE_NN_FORM_FOLDED, (int)form);
	if (form == LODE_NN_FORM_STREAM && d->position != LODE_NN_POSITION_NONE)
		return lode_err_set(
			err, -EINVAL, "form stream needs a transformer without position table");
	return 0;
}

static int check_memory(const void *memory, size_t have, size_t need, struct lode_err *err)
{
	if ((uintptr_t)memory % LODE_CACHE_LINE)
		return lode_err_set(
			err, -EINVAL, "memory of a model must be aligned to %d", LODE_CACHE_LINE);
	if (have < need)
		return lode_err_set(err, -ENOSPC, "model needs %zu bytes, found %zu", need, have);
	return 0;
}

static void plan_scratch(struct lode_nn_model *m)
{
	struct transformer_scratch s;
	switch (m->desc.kind) {
	case LODE_NN_MLP:
		m->scratch_bytes = sizeof(struct mlp_scratch);
		break;
	case LODE_NN_LSTM:
		m->scratch_bytes = sizeof(struct lstm_scratch);
		m->state_bytes = sizeof(struct lstm_state);
		break;
	case LODE_NN_TRANSFORMER:
		m->scratch_bytes = (uint32_t)transformer_places(m, NULL, &s);
		if (m->form == LODE_NN_FORM_STREAM)
			m->state_bytes =
				(uint32_t)(sizeof(struct stream_state) +
					   s.dims * (16u * m->tf.step_vecs + m->tf.n_steps_4));
		break;
	}
}

static int pack(struct lode_nn_model *m, const struct weights *w, struct lode_err *err)
{
	switch (m->desc.kind) {
	case LODE_NN_MLP:
		return pack_mlp(m, w, err);
	case LODE_NN_LSTM:
		return pack_lstm(m, w, err);
	case LODE_NN_TRANSFORMER:
		return pack_transformer(m, w, err);
	}
	return -EINVAL;
}

int lode_nn_model_build(void *memory, size_t memory_bytes, const struct lode_nn_desc *desc,
	const struct lode_nn_tensor *tensors, unsigned n_tensors, enum lode_nn_isa isa,
	enum lode_nn_form form, const struct lode_nn_model **model, struct lode_err *err)
{
	struct weights w = {.tensors = tensors, .n = n_tensors};
	struct lode_nn_model *m = memory;
	isa = isa == LODE_NN_ISA_AUTO ? lode_nn_isa_best() : isa;
	if (!lode_nn_isa_available(isa))
		return lode_err_set(err, -ENOTSUP, "this CPU cannot run %s", lode_nn_isa_name(isa));
	int rc = lode_nn_desc_check(desc, err);
	if (!rc)
		rc = check_form(desc, form, err);
	if (!rc)
		rc = lode_nn_tensors_check(desc, LODE_NN_FORMAT_INT8, tensors, n_tensors, err);
	if (!rc)
		rc = check_memory(memory, memory_bytes, lode_nn_model_bytes(desc, form), err);
	if (rc)
		return rc;
	form = form_of(desc, form);
	memset(memory, 0, lode_nn_model_bytes(desc, form));
	plan_model(m, desc, form);
	plan_scratch(m);
	m->isa = isa;
	rc = pack(m, &w, err);
	if (!rc)
		*model = m;
	return rc;
}

enum lode_nn_isa lode_nn_model_isa(const struct lode_nn_model *m)
{
	return m->isa;
}

enum lode_nn_form lode_nn_model_form(const struct lode_nn_model *m)
{
	return m->form;
}

size_t lode_nn_model_used_bytes(const struct lode_nn_model *m)
{
	return m->used_bytes;
}

size_t lode_nn_scratch_bytes(const struct lode_nn_model *m)
{
	return m->scratch_bytes;
}

size_t lode_nn_state_bytes(const struct lode_nn_model *m)
{
	return m->state_bytes;
}

int lode_nn_run(const struct lode_nn_model *m, void *scratch, const float *in, float *out)
{
	const struct kernels *k = kernels[m->isa];
	switch (m->desc.kind) {
	case LODE_NN_MLP:
		return k->mlp(m, scratch, in, out);
	case LODE_NN_LSTM:
		return k->lstm_window(m, scratch, in, out);
	case LODE_NN_TRANSFORMER:
		if (m->form != LODE_NN_FORM_STREAM)
			return k->transformer(m, scratch, in, out);
	}
	return -ENOTSUP;
}

int lode_nn_run_batch(
	const struct lode_nn_model *m, void *scratch, const float *in, uint32_t n_rows, float *out)
{
	if (m->desc.kind == LODE_NN_MLP)
		return kernels[m->isa]->mlp_batch(m, scratch, in, n_rows, out);
	int rc = 0;
	for (uint32_t r = 0; !rc && r < n_rows; r++)
		rc = lode_nn_run(m, scratch, in + (size_t)r * window_floats(&m->desc),
			out + (size_t)r * m->desc.n_out);
	return rc;
}

void lode_nn_state_reset(const struct lode_nn_model *m, void *state)
{
	if (m->desc.kind == LODE_NN_LSTM)
		lstm_reset(state);
	else
		memset(state, 0, m->state_bytes);
}

int lode_nn_step(
	const struct lode_nn_model *m, void *scratch, void *state, const float *in, float *out)
{
	if (m->desc.kind == LODE_NN_LSTM)
		return kernels[m->isa]->lstm_step(m, scratch, state, in, out);
	if (m->form == LODE_NN_FORM_STREAM)
		return kernels[m->isa]->transformer_step(m, scratch, state, in, out);
	return -ENOTSUP;
}

size_t lode_nn_prefetch(const struct lode_nn_model *m, size_t offset, size_t max_bytes)
{
	size_t end = m->used_bytes - offset < max_bytes ? m->used_bytes : offset + max_bytes;
	for (; offset < end; offset += LODE_CACHE_LINE)
		__builtin_prefetch((const uint8_t *)m + offset, 0, 3);
	return offset < m->used_bytes ? offset : 0;
}
