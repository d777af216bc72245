/* SPDX-License-Identifier: BSD-3-Clause */
#include "block.h"

#include "ops.h"
#include "predict.h"

int block_decoder_init(
	struct block_decoder *d, base_read_fn read_base, void *ctx, uint64_t base_size)
{
	*d = (struct block_decoder){
		.read_base = read_base, .read_ctx = ctx, .base_size = base_size};
	d->window = malloc(WINDOW_MAX + READ_PAD);
	d->target = malloc(BLOCK_MAX + READ_PAD);
	d->streams.plane[0] = malloc(BLOCK_MAX);
	d->streams.plane[1] = malloc(BLOCK_MAX);
	d->streams.slots = malloc(sizeof(uint32_t) << RANS_BYTE_LOG2);
	d->streams.dctx = ZSTD_createDCtx();
	d->tables = malloc(sizeof(*d->tables));
	if (!d->window || !d->target || !d->streams.plane[0] || !d->streams.plane[1] ||
		!d->streams.slots || !d->streams.dctx || !d->tables) {
		block_decoder_clear(d);
		return -ENOMEM;
	}
	return 0;
}

void block_decoder_clear(struct block_decoder *d)
{
	free(d->window);
	free(d->target);
	free(d->streams.plane[0]);
	free(d->streams.plane[1]);
	free(d->streams.slots);
	ZSTD_freeDCtx(d->streams.dctx);
	free(d->tables);
	free(d->adaptive);
	free(d->factors);
	*d = (struct block_decoder){0};
}

/* ---- ops on elements ---- */

static int adaptive_prepare(struct block_decoder *d)
{
	if (!d->adaptive)
		d->adaptive = malloc(adaptive_model_bytes());
	if (!d->adaptive)
		return -ENOMEM;
	if (!d->adaptive_ready)
		adaptive_reset(d->adaptive);
	d->adaptive_ready = true;
	return 0;
}

/* *pred is in the window, or in the base itself. */
static int read_prediction(struct block_decoder *d, const struct op *op, const uint8_t **pred)
{
	const struct low_rank *lr = &d->low_rank;
	*pred = d->window;
	if (op->predictor == LODE_DELTA_PREDICT_LOW_RANK) {
		uint64_t n = op->len / type_bytes(op->el.type), all = (uint64_t)lr->rows * lr->cols;
		if (!lr->rank || op->first_element > all || n > all - op->first_element)
			return -EBADMSG;
	}
	int rc = 0;
	if (op->predictor == LODE_DELTA_PREDICT_BASE && d->map_base) {
		const uint8_t *base = d->map_base(d->read_ctx, op->base_offset, op->base_len);
		if (base) {
			*pred = base;
			return 0;
		}
	}
	if (op->base_len)
		rc = d->read_base(d->read_ctx, op->base_offset, d->window + predict_base_at(op),
			op->base_len);
	if (!rc)
		predict_elements(op, lr, d->window);
	return rc;
}

static int decode_elements(
	struct block_decoder *d, const struct op *op, struct view in, uint8_t *out)
{
	size_t n = op->len / type_bytes(op->el.type);
	bool ok = false;
	const uint8_t *pred;
	int rc = read_prediction(d, op, &pred);
	if (!rc && op->coder == LODE_DELTA_ADAPTIVE)
		rc = adaptive_prepare(d);
	if (rc)
		return rc;
	switch (op->coder) {
	case LODE_DELTA_SPARSE:
		ok = sparse_decode(in, &op->el, pred, out, n, &d->streams);
		break;
	case LODE_DELTA_PLANES:
		ok = planes_decode(in, &op->el, pred, out, n, &d->streams);
		break;
	case LODE_DELTA_TOKENS:
		ok = tokens_decode(in, &op->el, pred, out, n, d->tables);
		break;
	default:
		ok = adaptive_decode(in, &op->el, pred, out, n, d->adaptive);
		break;
	}
	return ok ? 0 : -EBADMSG;
}

/* ---- ops ---- */

static int decode_zstd_base(
	struct block_decoder *d, const struct op *op, struct view in, uint8_t *out)
{
	int rc = d->read_base(
		d->read_ctx, op->base_offset - op->window_before, d->window, op->base_len);
	if (rc)
		return rc;
	return zstd_decode(d->streams.dctx, in, d->window, op->base_len, out, op->len) ? 0
										       : -EBADMSG;
}

static int decode_op(struct block_decoder *d, const struct op *op, struct view in, uint8_t *out)
{
	switch (op->coder) {
	case LODE_DELTA_COPY:
		return d->read_base(d->read_ctx, op->base_offset, out, op->len);
	case LODE_DELTA_RAW:
		memcpy(out, in.p, op->len);
		return 0;
	case LODE_DELTA_FILL:
		memset(out, *in.p, op->len);
		return 0;
	case LODE_DELTA_ZSTD:
		return zstd_decode(d->streams.dctx, in, NULL, 0, out, op->len) ? 0 : -EBADMSG;
	case LODE_DELTA_ZSTD_BASE:
		return decode_zstd_base(d, op, in, out);
	default:
		return decode_elements(d, op, in, out);
	}
}

int block_decode(struct block_decoder *d, struct view body, uint64_t first_base, uint32_t len)
{
	uint64_t expected = first_base;
	uint32_t done = 0;
	d->tables->valid = false;
	d->adaptive_ready = false;
	while (done < len) {
		struct op op;
		struct view payload;
		const uint8_t *start = body.p;
		if (!op_read(&body, expected, d->base_size, len - done, &op, &payload))
			return -EBADMSG;
		int rc = decode_op(d, &op, payload, d->target + done);
		if (rc)
			return rc;
		if (d->stats) {
			d->stats->coder_target[op.coder] += op.len;
			d->stats->coder_patch[op.coder] += (uint64_t)(body.p - start);
		}
		expected = op_next_base(&op, expected);
		done += op.len;
	}
	return body.p == body.end ? 0 : -EBADMSG;
}

/* ---- resources ---- */

/* Body: kind (1), rows, cols, rank, scale, then U (rows x rank) and V (cols x rank) as 32-bit integers by
 * the token coder against nothing. */
int block_set_resource(struct block_decoder *d, struct view body)
{
	struct low_rank lr = {0};
	const struct element el = {LODE_DELTA_U32, COMBINE_DIFF, 0};
	uint8_t kind, rank, scale;
	size_t rows, cols;
	d->low_rank.rank = 0;
	if (!get_u8(&body, &kind) || kind != 1 || !get_size(&body, RESOURCE_MAX / 4, &rows) ||
		!get_size(&body, RESOURCE_MAX / 4, &cols) || !get_u8(&body, &rank) ||
		!get_u8(&body, &scale) || !rows || !cols || !rank || rank > LOW_RANK_MAX ||
		scale > 126)
		return -EBADMSG;
	size_t n = (rows + cols) * rank;
	if (n > RESOURCE_MAX / 4)
		return -EBADMSG;
	if (!d->factors)
		d->factors = malloc(RESOURCE_MAX);
	if (!d->factors)
		return -ENOMEM;
	memset(d->window, 0, n * 4);
	d->tables->valid = false;
	if (!tokens_decode(body, &el, d->window, (uint8_t *)d->factors, n, d->tables))
		return -EBADMSG;
	lr.rows = (uint32_t)rows;
	lr.cols = (uint32_t)cols;
	lr.rank = rank;
	lr.scale = scale;
	lr.u = d->factors;
	lr.v = d->factors + rows * rank;
	/* so that no sum of products overflows */
	for (size_t i = 0; i < n; i++)
		if (d->factors[i] > 1 << 28 || d->factors[i] < -(1 << 28))
			return -EBADMSG;
	d->low_rank = lr;
	return 0;
}
