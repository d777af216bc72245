/* SPDX-License-Identifier: BSD-3-Clause */
#include "trial.h"

#define ZSTD_LEVEL	 3
#define ZSTD_LEVEL_SMALL 19		 /* segments up to SMALL_BYTES */
#define WINDOW_SIDE	 (BLOCK_MAX / 2) /* base bytes a zstd op sees before and behind its place */

static size_t params_size(const struct op *op)
{
	if (op->coder == LODE_DELTA_ZSTD_BASE)
		return 6; /* the window's numbers */
	return op->predictor == LODE_DELTA_PREDICT_ROW_SCALE ? 4ul * op->n_scales + 3 : 0;
}

/* Takes the form when it is smaller; the payload changes owner. */
static bool offer(struct trial *t, const struct op *op, struct buf *payload)
{
	size_t size = payload->len + params_size(op);
	bool wins = !payload->failed && size < t->best_size;
	if (wins) {
		t->best_size = size;
		t->best->op = *op;
		buf_free(&t->best->payload);
		t->best->payload = *payload;
		*payload = (struct buf){0};
	}
	buf_free(payload);
	return wins;
}

static int zstd_effort(const struct trial *t)
{
	if (t->e->mode == LODE_DELTA_MODE_FAST)
		return 1;
	return t->s->len <= SMALL_BYTES ? ZSTD_LEVEL_SMALL : ZSTD_LEVEL;
}

void start_trial(struct trial *t)
{
	t->op.coder = LODE_DELTA_RAW;
	t->best->op = t->op;
	t->best_size = t->op.len;
}

/* ---- coders on bytes ---- */

void try_zstd(struct trial *t)
{
	struct buf payload = {0};
	struct op op = t->op;
	op.coder = LODE_DELTA_ZSTD;
	op.predictor = LODE_DELTA_PREDICT_NONE;
	zstd_encode(t->e->cctx, zstd_effort(t), NULL, 0, t->target, op.len, &payload);
	offer(t, &op, &payload);
}

void try_zstd_base(struct trial *t)
{
	struct buf payload = {0};
	struct op op = t->op;
	uint64_t size = t->e->base->size;
	if (!size || op.base_offset > size)
		return;
	op.coder = LODE_DELTA_ZSTD_BASE;
	op.predictor = LODE_DELTA_PREDICT_NONE;
	uint64_t side = WINDOW_SIDE + (BLOCK_MAX - op.len) / 2;
	op.window_before = (uint32_t)LODE_MIN(op.base_offset, side);
	uint64_t start = op.base_offset - op.window_before;
	op.base_len = (uint32_t)LODE_MIN(size - start, op.window_before + op.len + side);
	if (space_read(t->e->base, start, t->e->window, op.base_len))
		return;
	zstd_encode(
		t->e->cctx, zstd_effort(t), t->e->window, op.base_len, t->target, op.len, &payload);
	offer(t, &op, &payload);
}

void try_fill(struct trial *t)
{
	struct buf payload = {0};
	struct op op = t->op;
	if (op.len > 1 && memcmp(t->target, t->target + 1, op.len - 1))
		return;
	op.coder = LODE_DELTA_FILL;
	put_bytes(&payload, t->target, 1);
	offer(t, &op, &payload);
}

/* ---- coders on elements ---- */

static const uint8_t *pred_of(const struct trial *t, enum lode_delta_predictor p)
{
	return p == LODE_DELTA_PREDICT_NONE ? t->e->zeros : t->pred;
}

void try_tokens(struct trial *t, struct op op)
{
	struct buf payload = {0};
	struct token_model model = t->e->tokens;
	if (type_bytes(op.el.type) == 8)
		return;
	op.coder = LODE_DELTA_TOKENS;
	op.el.combine = COMBINE_DIFF;
	tokens_encode(&op.el, pred_of(t, op.predictor), t->target, t->n, &model, &payload);
	if (offer(t, &op, &payload))
		t->token_model = model;
}

void try_adaptive(struct trial *t, struct op op)
{
	struct op_encoder *e = t->e;
	struct buf payload = {0};
	if (!e->adaptive || type_bytes(op.el.type) == 8)
		return;
	if (!e->model_ready)
		adaptive_reset(e->model);
	e->model_ready = true;
	adaptive_copy(e->trial_model, e->model);
	op.coder = LODE_DELTA_ADAPTIVE;
	op.el.combine = COMBINE_DIFF;
	adaptive_encode(&op.el, pred_of(t, op.predictor), t->target, t->n, t->cols, e->trial_model,
		&payload);
	if (offer(t, &op, &payload)) {
		struct adaptive_model *won = e->trial_model;
		e->trial_model = e->won_model;
		e->won_model = won;
	}
}

void try_planes(struct trial *t, struct op op, enum combine combine)
{
	struct buf payload = {0};
	op.coder = LODE_DELTA_PLANES;
	op.el.combine = combine;
	planes_encode(&op.el, pred_of(t, op.predictor), t->target, t->n, t->e->cctx, zstd_effort(t),
		&payload);
	offer(t, &op, &payload);
}

void try_sparse(struct trial *t, struct op op)
{
	struct buf payload = {0};
	op.coder = LODE_DELTA_SPARSE;
	op.el.combine = COMBINE_DIFF;
	sparse_encode(&op.el, pred_of(t, op.predictor), t->target, t->n, t->e->cctx, zstd_effort(t),
		&payload);
	if (payload.len)
		offer(t, &op, &payload);
	else
		buf_free(&payload);
}

void try_byte_planes(struct trial *t)
{
	struct op op = t->op;
	size_t n = t->n;
	op.el = (struct element){LODE_DELTA_U8, COMBINE_DIFF, 0};
	op.predictor = LODE_DELTA_PREDICT_BASE;
	op.base_len = op.len;
	if (space_read(t->e->base, op.base_offset, t->e->window, op.len))
		return;
	const uint8_t *pred = t->pred;
	t->pred = t->e->window;
	t->n = op.len;
	try_planes(t, op, COMBINE_DIFF);
	t->n = n;
	t->pred = pred;
}
