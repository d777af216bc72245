/* SPDX-License-Identifier: BSD-3-Clause */
#include "ops.h"

#include "predict.h"

static bool op_has_base(const struct op *op)
{
	if (coder_has_elements(op->coder))
		return op->predictor != LODE_DELTA_PREDICT_NONE;
	return op->coder == LODE_DELTA_COPY || op->coder == LODE_DELTA_ZSTD_BASE;
}

uint64_t op_next_base(const struct op *op, uint64_t expected_base)
{
	if (!op_has_base(op))
		return expected_base + op->len;
	return op->base_offset + (op->coder == LODE_DELTA_ZSTD_BASE ? op->len : op->base_len);
}

/* ---- reading ---- */

static bool read_element(struct view *v, struct op *op)
{
	uint8_t b;
	if (!get_u8(v, &b) || b > 0x1f)
		return false;
	op->el.type = b & 7;
	op->el.combine = b >> 3 & 1;
	if (b & 0x10) {
		if (!get_u8(v, &op->el.shift) || !op->el.shift)
			return false;
		unsigned room = type_is_float(op->el.type) ? type_mantissa_bits(op->el.type)
							   : 8 * type_bytes(op->el.type) - 1;
		if (op->el.shift > room || op->el.type == LODE_DELTA_U64 ||
			op->el.type == LODE_DELTA_F64)
			return false;
	}
	bool tokens = op->coder == LODE_DELTA_TOKENS || op->coder == LODE_DELTA_ADAPTIVE;
	if (tokens && (type_bytes(op->el.type) == 8 || op->el.combine != COMBINE_DIFF))
		return false;
	return op->len % type_bytes(op->el.type) == 0;
}

static bool read_row_scale(struct view *v, struct op *op)
{
	size_t cols, first;
	if (!get_size(v, UINT32_MAX, &cols) || !cols || !get_size(v, cols - 1, &first))
		return false;
	uint64_t n = op->len / type_bytes(op->el.type);
	uint64_t n_scales = (first + n + cols - 1) / cols;
	struct view scales;
	if (n_scales > view_left(v) / 4 || !get_view(v, n_scales * 4, &scales))
		return false;
	op->cols = (uint32_t)cols;
	op->first = (uint32_t)first;
	op->n_scales = (uint32_t)n_scales;
	op->scales = scales.p;
	for (uint32_t i = 0; i < op->n_scales; i++)
		if ((lode_load_le32(op->scales + 4 * i) & 0x7f800000) == 0x7f800000)
			return false;
	return true;
}

static bool read_predictor(struct view *v, struct op *op)
{
	uint8_t type;
	switch (op->predictor) {
	case LODE_DELTA_PREDICT_NONE:
	case LODE_DELTA_PREDICT_BASE:
		return true;
	case LODE_DELTA_PREDICT_ROW_SCALE:
		return predict_allowed(op) && read_row_scale(v, op);
	case LODE_DELTA_PREDICT_LOW_RANK:
		return predict_allowed(op) && get_varint(v, &op->first_element);
	case LODE_DELTA_PREDICT_CAST:
		if (!get_u8(v, &type) || type >= LODE_DELTA_N_TYPES)
			return false;
		op->base_type = type;
		return predict_allowed(op);
	default:
		return false;
	}
}

/* Offset of the base range against the expected one, and for zstd the window around it. */
static bool read_base_range(struct view *v, uint64_t expected, uint64_t base_size, struct op *op)
{
	uint64_t z;
	size_t before, len;
	if (!get_varint(v, &z))
		return false;
	op->base_offset = expected + (uint64_t)unzigzag64(z);
	op->base_len = op->coder == LODE_DELTA_COPY ? op->len : predict_base_bytes(op);
	if (op->coder == LODE_DELTA_ZSTD_BASE) {
		if (!get_size(v, WINDOW_MAX, &len) || !get_size(v, len, &before) ||
			before > op->base_offset)
			return false;
		op->base_len = (uint32_t)len;
		op->window_before = (uint32_t)before;
	}
	uint64_t start = op->base_offset - op->window_before;
	return start <= base_size && op->base_len <= base_size - start;
}

static bool read_payload(struct view *v, const struct op *op, struct view *payload)
{
	size_t len = 0;
	if (op->coder == LODE_DELTA_RAW)
		len = op->len;
	else if (op->coder == LODE_DELTA_FILL)
		len = 1;
	else if (coder_has_payload(op->coder) && !get_size(v, view_left(v), &len))
		return false;
	return get_view(v, len, payload);
}

bool op_read(struct view *v, uint64_t expected_base, uint64_t base_size, uint32_t max_len,
	struct op *op, struct view *payload)
{
	uint8_t head;
	size_t len;
	memset(op, 0, sizeof(*op));
	if (!get_u8(v, &head) || !get_size(v, max_len, &len) || !len)
		return false;
	op->coder = head & 15;
	op->predictor = head >> 4;
	op->len = (uint32_t)len;
	bool elements = coder_has_elements(op->coder);
	if (op->coder >= LODE_DELTA_N_CODERS || op->predictor >= LODE_DELTA_N_PREDICTORS ||
		(!elements && op->predictor))
		return false;
	if (elements && (!read_element(v, op) || !read_predictor(v, op)))
		return false;
	if (op_has_base(op) && !read_base_range(v, expected_base, base_size, op))
		return false;
	return read_payload(v, op, payload);
}

/* ---- writing ---- */

static void write_element(const struct op *op, struct buf *out)
{
	put_u8(out, (uint8_t)(op->el.type | op->el.combine << 3 | (op->el.shift ? 0x10 : 0)));
	if (op->el.shift)
		put_u8(out, op->el.shift);
}

static void write_predictor(const struct op *op, struct buf *out)
{
	if (op->predictor == LODE_DELTA_PREDICT_ROW_SCALE) {
		put_varint(out, op->cols);
		put_varint(out, op->first);
		put_bytes(out, op->scales, 4ul * op->n_scales);
	} else if (op->predictor == LODE_DELTA_PREDICT_LOW_RANK) {
		put_varint(out, op->first_element);
	} else if (op->predictor == LODE_DELTA_PREDICT_CAST) {
		put_u8(out, op->base_type);
	}
}

void op_write(
	const struct op *op, uint64_t expected_base, const struct buf *payload, struct buf *out)
{
	put_u8(out, (uint8_t)(op->coder | op->predictor << 4));
	put_varint(out, op->len);
	if (coder_has_elements(op->coder)) {
		write_element(op, out);
		write_predictor(op, out);
	}
	if (op_has_base(op)) {
		put_varint(out, zigzag64((int64_t)(op->base_offset - expected_base)));
		if (op->coder == LODE_DELTA_ZSTD_BASE) {
			put_varint(out, op->base_len);
			put_varint(out, op->window_before);
		}
	}
	if (coder_has_payload(op->coder))
		put_varint(out, payload->len);
	put_bytes(out, payload->data, payload->len);
	out->failed |= payload->failed;
}
