/* SPDX-License-Identifier: BSD-3-Clause */
#include "choose.h"

#include "lowrank.h"
#include "predict.h"
#include "rowscale.h"
#include "trial.h"
#include "words.h"

#define SAMPLE_EVERY 16 /* large ops of a tensor between trials on a sample of them */

int op_encoder_init(struct op_encoder *e, enum lode_delta_mode mode, struct space *base)
{
	*e = (struct op_encoder){.mode = mode, .base = base, .choice_tensor = UINT32_MAX};
	e->cctx = ZSTD_createCCtx();
	e->model = malloc(adaptive_model_bytes());
	e->trial_model = malloc(adaptive_model_bytes());
	e->won_model = malloc(adaptive_model_bytes());
	e->window = malloc(WINDOW_MAX);
	e->pred = malloc(2 * BLOCK_MAX);
	e->zeros = calloc(1, BLOCK_MAX);
	if (e->cctx && e->model && e->trial_model && e->won_model && e->window && e->pred &&
		e->zeros)
		return 0;
	op_encoder_clear(e);
	return -ENOMEM;
}

void op_encoder_clear(struct op_encoder *e)
{
	ZSTD_freeCCtx(e->cctx);
	free(e->model);
	free(e->trial_model);
	free(e->won_model);
	free(e->window);
	free(e->pred);
	free(e->zeros);
	*e = (struct op_encoder){0};
}

void op_encoder_start_block(struct op_encoder *e)
{
	e->tokens.valid = false;
	e->model_ready = false;
}

void op_encoder_forget(struct op_encoder *e)
{
	e->choice_tensor = UINT32_MAX;
}

void op_result_clear(struct op_result *r)
{
	buf_free(&r->payload);
	buf_free(&r->params);
}

/* ---- prediction ---- */

/* The low bits that no target element uses. */
static uint8_t common_shift(const struct trial *t)
{
	unsigned w = type_bytes(t->op.el.type);
	uint64_t any = 0;
	if (w == 8 || w == 1)
		return 0;
	for (size_t i = 0; i < t->n && !(any & 1); i++)
		any |= word_load(t->target + i * w, w);
	if (!any)
		return 0;
	unsigned room =
		type_is_float(t->op.el.type) ? type_mantissa_bits(t->op.el.type) : 8 * w - 1;
	return (uint8_t)LODE_MIN((unsigned)__builtin_ctzll(any), room);
}

static inline __attribute__((always_inline)) size_t count_changed(
	const uint8_t *target, const uint8_t *base, size_t n, unsigned w)
{
	size_t n_changed = 0;
	for (size_t i = 0; i < n; i++)
		n_changed += word_load(target + i * w, w) != word_load(base + i * w, w);
	return n_changed;
}

/* How many elements differ from the base, from every fourth group of 256 when there are many. */
static size_t estimate_changed(const struct trial *t, const uint8_t *base)
{
	unsigned w = type_bytes(t->op.el.type);
	size_t n_changed = 0, n_seen = 0, step = t->n > 16384 ? 1024 : 256;
	for (size_t group = 0; group < t->n; group += step) {
		const uint8_t *a = t->target + group * w, *b = base + group * w;
		size_t n = LODE_MIN(t->n - group, 256u);
		n_seen += n;
		if (w == 1)
			n_changed += count_changed(a, b, n, 1);
		else if (w == 2)
			n_changed += count_changed(a, b, n, 2);
		else if (w == 4)
			n_changed += count_changed(a, b, n, 4);
		else
			n_changed += count_changed(a, b, n, 8);
	}
	return n_seen ? n_changed * t->n / n_seen : 0;
}

/* Decides the predictor and makes the prediction. The base's own elements are used where they lie. */
static bool prepare_prediction(struct trial *t, const struct plan_tensor *tensor)
{
	struct op_encoder *e = t->e;
	struct op *op = &t->op;
	op->predictor = LODE_DELTA_PREDICT_BASE;
	if (t->s->type != t->s->base_type)
		op->predictor = LODE_DELTA_PREDICT_CAST;
	else if (tensor->factors && predict_allowed(op))
		op->predictor = LODE_DELTA_PREDICT_LOW_RANK;
	op->base_len = predict_base_bytes(op);
	t->n_changed = t->n;
	if (op->predictor == LODE_DELTA_PREDICT_BASE) {
		t->pred = space_map(e->base, op->base_offset, op->len);
		if (!t->pred && space_read(e->base, op->base_offset, e->pred, op->len))
			return false;
		t->pred = t->pred ? t->pred : e->pred;
		t->n_changed = estimate_changed(t, t->pred);
		if (t->n_changed <= t->n / 2 || op->el.shift)
			return true;
		op->predictor = LODE_DELTA_PREDICT_ROW_SCALE;
		if (!row_scale_fit(op, t->pred, t->target, t->cols, t->first, &t->best->params)) {
			op->predictor = LODE_DELTA_PREDICT_BASE;
			return true;
		}
	}
	t->pred = e->pred;
	if (space_read(e->base, op->base_offset, e->pred + predict_base_at(op), op->base_len))
		return false;
	predict_elements(op, tensor->factors ? &tensor->factors->lr : NULL, e->pred);
	return true;
}

/* ---- what is tried ---- */

static struct op without_base(const struct op *op)
{
	struct op alone = *op;
	alone.predictor = LODE_DELTA_PREDICT_NONE;
	alone.base_len = 0;
	return alone;
}

static void try_one(struct trial *t, const struct choice *c)
{
	struct op op = c->predictor == LODE_DELTA_PREDICT_NONE ? without_base(&t->op) : t->op;
	switch (c->coder) {
	case LODE_DELTA_SPARSE:
		try_sparse(t, op);
		break;
	case LODE_DELTA_PLANES:
		try_planes(t, op, c->combine);
		break;
	case LODE_DELTA_TOKENS:
		try_tokens(t, op);
		break;
	case LODE_DELTA_ADAPTIVE:
		try_adaptive(t, op);
		break;
	case LODE_DELTA_ZSTD:
		try_zstd(t);
		break;
	case LODE_DELTA_ZSTD_BASE:
		try_zstd_base(t);
		break;
	default:
		break;
	}
}

/* Everything that may win; what cannot is left out by the share of changed elements. */
static void try_all(struct trial *t, bool predicted)
{
	bool small = t->s->len <= SMALL_BYTES, few = t->n_changed < t->n / 2;
	struct op alone = without_base(&t->op);
	if (predicted) {
		try_tokens(t, t->op);
		if (t->n_changed < t->n / 4)
			try_sparse(t, t->op);
		try_planes(t, t->op, COMBINE_XOR);
		if (t->op.el.type == LODE_DELTA_U8 || small)
			try_planes(t, t->op, COMBINE_DIFF);
		try_adaptive(t, t->op);
		if (few || small)
			try_zstd_base(t);
		if (few && t->s->type == t->s->base_type)
			try_byte_planes(t);
	}
	if (t->best_size > t->op.len / 16 * 9) {
		try_planes(t, alone, COMBINE_XOR);
		try_tokens(t, alone);
		try_adaptive(t, alone);
		try_zstd(t);
		if (!predicted)
			try_zstd_base(t);
	} else if (small) {
		try_zstd(t);
	}
}

/* ---- decision ---- */

static void remember_choice(struct op_encoder *e, const struct op *op)
{
	e->choice = (struct choice){
		true, op->coder, op->predictor, op->el.combine, e->choice.n_ops + 1};
}

/* Lets the first elements decide for the whole op and those after it. */
static void choose_by_sample(struct trial *t, bool predicted)
{
	struct op_result result = {0};
	struct trial sample = *t;
	sample.best = &result;

	sample.op.len = SMALL_BYTES;
	sample.n = SMALL_BYTES / type_bytes(t->op.el.type);
	sample.op.scales = NULL;
	sample.op.n_scales = 0;
	start_trial(&sample);
	try_all(&sample, predicted);
	remember_choice(t->e, &result.op);
	t->e->choice.n_ops--;
	op_result_clear(&result);
}

static void encode_elements(struct trial *t, const struct plan_tensor *tensor)
{
	struct op_encoder *e = t->e;
	t->op.el = (struct element){.type = t->s->type};
	t->n = t->op.len / type_bytes(t->op.el.type);
	t->op.el.shift = common_shift(t);
	t->n_changed = t->n;
	bool predicted = t->s->matched && prepare_prediction(t, tensor);
	if (e->choice_tensor != t->s->tensor)
		e->choice = (struct choice){0};
	e->choice_tensor = t->s->tensor;
	bool large = t->op.len > SMALL_BYTES;
	bool fresh = e->mode == LODE_DELTA_MODE_FAST ? !e->choice.n_ops
						     : e->choice.n_ops % SAMPLE_EVERY == 0;
	if (large && !e->adaptive && fresh)
		choose_by_sample(t, predicted);
	if (t->s->len > SMALL_BYTES && e->choice.known &&
		(predicted || e->choice.predictor == LODE_DELTA_PREDICT_NONE))
		try_one(t, &e->choice);
	else
		try_all(t, predicted);
	remember_choice(e, &t->best->op);
}

int op_encode(struct op_encoder *e, const struct plan *plan, const struct segment *s, uint64_t skip,
	const uint8_t *target, uint32_t len, struct op_result *out)
{
	const struct plan_tensor *tensor = &plan->tensors[s->tensor];
	struct trial t = {.e = e, .s = s, .target = target, .best = out};
	*out = (struct op_result){0};
	t.op.len = len;
	t.op.base_offset = s->base + skip;
	if (s->elements) {
		unsigned w = type_bytes(s->type);
		t.op.base_offset = s->base + skip / w * type_bytes(s->base_type);
		t.op.base_type = s->base_type;
		t.op.first_element = s->first_element + skip / w;
		t.first = t.op.first_element;
		t.cols = tensor->cols;
	}
	t.token_model = e->tokens;
	start_trial(&t);
	try_fill(&t);
	if (t.best->op.coder != LODE_DELTA_FILL) {
		if (s->elements) {
			encode_elements(&t, tensor);
		} else {
			try_zstd_base(&t);
			try_zstd(&t);
			try_byte_planes(&t);
		}
	}
	if (out->op.coder == LODE_DELTA_RAW)
		put_bytes(&out->payload, target, len);
	if (out->op.coder == LODE_DELTA_TOKENS)
		e->tokens = t.token_model;
	if (out->op.coder == LODE_DELTA_ADAPTIVE) {
		struct adaptive_model *before = e->model;
		e->model = e->won_model;
		e->won_model = before;
	}
	return out->payload.failed || !out->payload.data ? -ENOMEM : 0;
}
