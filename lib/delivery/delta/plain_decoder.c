/* SPDX-License-Identifier: BSD-3-Clause */
#include "plain_decoder.h"

#include "bits.h"
#include "block.h"
#include "header.h"
#include "ops.h"
#include "predict.h"

#include <math.h>

struct reference {
	const uint8_t *bases;
	uint64_t base_size;
	struct block_decoder resources; /* only for the factors of low-rank corrections */
	struct freqs tables[TOKEN_CONTEXTS];
	struct token_contexts contexts;
	bool has_tables;
	struct adaptive_model *adaptive;
	bool adaptive_ready;
};

/* ---- rANS, one symbol at a time ---- */

struct slow_rans {
	struct view words;
	uint32_t state[RANS_STATES];
	unsigned n_states;
	size_t i;
};

static bool slow_open(struct slow_rans *r, struct view in, size_t n)
{
	*r = (struct slow_rans){.words = in, .n_states = rans_n_states(n)};
	for (unsigned k = 0; k < r->n_states; k++)
		if (!get_le32(&r->words, &r->state[k]) || r->state[k] < RANS_LOW)
			return false;
	return true;
}

static bool slow_get(struct slow_rans *r, const struct freqs *fr, unsigned n_symbols,
	unsigned total_log2, unsigned *symbol)
{
	uint32_t *x = &r->state[r->i++ % r->n_states];
	uint32_t slot = *x % (1u << total_log2), start = 0;
	for (unsigned s = 0; s < n_symbols; start += fr->f[s++]) {
		if (slot < start || slot >= start + fr->f[s])
			continue;
		uint8_t low, high;
		*x = fr->f[s] * (*x >> total_log2) + slot - start;
		if (*x < RANS_LOW) {
			if (!get_u8(&r->words, &low) || !get_u8(&r->words, &high))
				return false;
			*x = *x << 16 | (uint32_t)high << 8 | low;
		}
		*symbol = s;
		return true;
	}
	return false;
}

static bool slow_close(const struct slow_rans *r)
{
	for (unsigned k = 0; k < r->n_states; k++)
		if (r->state[k] != RANS_LOW)
			return false;
	return r->words.p == r->words.end;
}

/* ---- elements as numbers ---- */

static uint64_t element_get(const uint8_t *p, size_t i, unsigned w)
{
	uint64_t v = 0;
	for (unsigned k = 0; k < w; k++)
		v |= (uint64_t)p[i * w + k] << (8 * k);
	return v;
}

static void element_put(uint8_t *p, size_t i, unsigned w, uint64_t v)
{
	for (unsigned k = 0; k < w; k++)
		p[i * w + k] = (uint8_t)(v >> (8 * k));
}

/* Position of a float among all floats of its width: negative ones below zero, -0 is -1. */
static uint64_t rank_of_float(uint64_t v, unsigned bits)
{
	uint64_t half = 1ull << (bits - 1);
	return v >= half ? half - 1 - (v - half) : half + v;
}

static uint64_t float_of_rank(uint64_t r, unsigned bits)
{
	uint64_t half = 1ull << (bits - 1);
	return r >= half ? r - half : half + (half - 1 - r);
}

static uint64_t wrap(uint64_t v, unsigned bits)
{
	return bits == 64 ? v : v % (1ull << bits);
}

/* Prediction and residual to target, all without the shift. */
static uint64_t restore(uint64_t z, uint64_t p, const struct element *el)
{
	unsigned bits = 8 * type_bytes(el->type) - el->shift;
	if (el->combine == COMBINE_XOR)
		return p ^ z;
	uint64_t step = z % 2 ? ~(z / 2) : z / 2;
	if (!type_is_float(el->type))
		return wrap(p + step, bits);
	return float_of_rank(wrap(rank_of_float(p, bits) + step, bits), bits);
}

/* ---- coders ---- */

static bool slow_tables(struct reference *r, struct view *in)
{
	uint8_t flags;
	if (!get_u8(in, &flags) || flags > TOKEN_FLAG_REUSE)
		return false;
	if (flags & TOKEN_FLAG_REUSE)
		return r->has_tables;
	r->has_tables = false;
	if (!get_u8(in, &r->contexts.top) || !get_u8(in, &r->contexts.n) || !r->contexts.n ||
		r->contexts.n > TOKEN_CONTEXTS)
		return false;
	for (unsigned c = 0; c < r->contexts.n; c++)
		if (!freqs_read(&r->tables[c], N_TOKENS, TOKEN_LOG2, in))
			return false;
	r->has_tables = true;
	return true;
}

static bool slow_token(struct slow_rans *rans, struct bit_reader *raw, const struct reference *r,
	const struct element *el, uint64_t p, uint64_t *target)
{
	unsigned bits = 8 * type_bytes(el->type) - el->shift, token, n_raw, exponent = 0;
	if (type_is_float(el->type))
		exponent = (unsigned)(p >> (type_mantissa_bits(el->type) - el->shift)) &
			   token_exponent_mask(el->type);
	const struct freqs *fr = &r->tables[token_context(r->contexts, exponent)];
	if (!slow_get(rans, fr, N_TOKENS, TOKEN_LOG2, &token))
		return false;
	uint64_t sign = p >> (bits - 1) & 1;
	if (token == TOKEN_ZERO || token == TOKEN_ZERO_NEG) {
		*target = (sign ^ (token == TOKEN_ZERO_NEG)) << (bits - 1);
		return type_is_float(el->type);
	}
	uint64_t z = token_base(token, &n_raw);
	z += bits_get(raw, n_raw);
	*target = restore(z, p, el);
	return true;
}

static bool slow_tokens(struct reference *r, struct view in, const struct element *el,
	const uint8_t *pred, uint8_t *out, size_t n)
{
	size_t rans_bytes;
	struct view words;
	struct slow_rans rans;
	unsigned w = type_bytes(el->type);
	if (!slow_tables(r, &in) || !get_size(&in, view_left(&in), &rans_bytes) ||
		!get_view(&in, rans_bytes, &words) || !slow_open(&rans, words, n))
		return false;
	struct bit_reader raw = {.in = in};
	for (size_t i = 0; i < n; i++) {
		uint64_t target;
		if (!slow_token(&rans, &raw, r, el, element_get(pred, i, w) >> el->shift, &target))
			return false;
		element_put(out, i, w, target << el->shift);
	}
	return slow_close(&rans) && (raw.bit + 7) / 8 == view_left(&in);
}

static bool slow_stream(struct view *in, uint8_t *data, size_t n)
{
	uint8_t method;
	size_t len;
	struct view coded;
	struct freqs fr;
	struct slow_rans rans;
	unsigned symbol;
	if (!get_u8(in, &method) || !get_size(in, view_left(in), &len) ||
		!get_view(in, len, &coded))
		return false;
	if (method == STREAM_ZSTD)
		return ZSTD_decompress(data, n, coded.p, len) == n;
	if (method == STREAM_RAW || method == STREAM_FILL) {
		for (size_t i = 0; i < n && len; i++)
			data[i] = coded.p[method == STREAM_RAW ? i % len : 0];
		return len == (method == STREAM_RAW ? n : 1);
	}
	if (method != STREAM_RANS || !freqs_read(&fr, 256, RANS_BYTE_LOG2, &coded) ||
		!slow_open(&rans, coded, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!slow_get(&rans, &fr, 256, RANS_BYTE_LOG2, &symbol))
			return false;
		data[i] = (uint8_t)symbol;
	}
	return slow_close(&rans);
}

/* Residuals of n elements as 64-bit numbers. */
static bool slow_residuals(struct view in, const struct element *el, uint64_t *z, size_t n)
{
	unsigned n_planes = (8 * type_bytes(el->type) - el->shift + 7u) / 8;
	unsigned bits = 8 * type_bytes(el->type) - el->shift;
	uint8_t *plane = malloc(n + 1);
	bool ok = plane != NULL;
	memset(z, 0, n * sizeof(*z));
	for (unsigned k = 0; ok && k < n_planes; k++) {
		ok = slow_stream(&in, plane, n);
		for (size_t i = 0; ok && i < n; i++)
			z[i] |= (uint64_t)plane[i] << (8 * k);
	}
	for (size_t i = 0; i < n; i++)
		z[i] = wrap(z[i], bits);
	free(plane);
	return ok && in.p == in.end;
}

static bool slow_planes(
	struct view in, const struct element *el, const uint8_t *pred, uint8_t *out, size_t n)
{
	unsigned w = type_bytes(el->type);
	uint64_t *z = malloc(n * sizeof(*z));
	bool ok = z && slow_residuals(in, el, z, n);
	for (size_t i = 0; ok && i < n; i++)
		element_put(out, i, w,
			restore(z[i], element_get(pred, i, w) >> el->shift, el) << el->shift);
	free(z);
	return ok;
}

static bool slow_sparse(
	struct view in, const struct element *el, const uint8_t *pred, uint8_t *out, size_t n)
{
	unsigned w = type_bytes(el->type);
	size_t n_changed, gap_bytes, gap, i = 0;
	if (!get_size(&in, n / 4 + 1, &n_changed) || !get_size(&in, BLOCK_MAX, &gap_bytes) ||
		!n_changed || !gap_bytes)
		return false;
	uint8_t *gaps = malloc(gap_bytes);
	uint64_t *z = malloc(n_changed * sizeof(*z));
	bool ok = gaps && z && slow_stream(&in, gaps, gap_bytes) &&
		  slow_residuals(in, el, z, n_changed);
	struct view g = {gaps, gaps + gap_bytes};
	memcpy(out, pred, n * w);
	for (size_t k = 0; ok && k < n_changed; k++, i++) {
		ok = get_size(&g, n, &gap) && i + gap < n;
		i += ok ? gap : 0;
		if (ok)
			element_put(out, i, w,
				restore(z[k], element_get(pred, i, w) >> el->shift, el)
					<< el->shift);
	}
	ok = ok && g.p == g.end;
	free(gaps);
	free(z);
	return ok;
}

/* ---- ops and records ---- */

static bool slow_elements(
	struct reference *r, const struct op *op, struct view in, uint8_t *pred, uint8_t *out)
{
	size_t n = op->len / type_bytes(op->el.type);
	const struct low_rank *lr = &r->resources.low_rank;
	if (op->predictor == LODE_DELTA_PREDICT_LOW_RANK &&
		(!lr->rank || op->first_element + n > (uint64_t)lr->rows * lr->cols))
		return false;
	memcpy(pred + predict_base_at(op), r->bases + op->base_offset, op->base_len);
	predict_elements(op, lr, pred);
	switch (op->coder) {
	case LODE_DELTA_SPARSE:
		return slow_sparse(in, &op->el, pred, out, n);
	case LODE_DELTA_PLANES:
		return slow_planes(in, &op->el, pred, out, n);
	case LODE_DELTA_TOKENS:
		return slow_tokens(r, in, &op->el, pred, out, n);
	default:
		if (!r->adaptive_ready)
			adaptive_reset(r->adaptive);
		r->adaptive_ready = true;
		return adaptive_decode(in, &op->el, pred, out, n, r->adaptive);
	}
}

static bool slow_op(struct reference *r, const struct op *op, struct view in, uint8_t *out)
{
	const uint8_t *base = r->bases + op->base_offset - op->window_before;
	ZSTD_DCtx *dctx;
	uint8_t *pred;
	bool ok;
	switch (op->coder) {
	case LODE_DELTA_COPY:
		memcpy(out, base, op->len);
		return true;
	case LODE_DELTA_RAW:
		memcpy(out, in.p, op->len);
		return true;
	case LODE_DELTA_FILL:
		memset(out, *in.p, op->len);
		return true;
	case LODE_DELTA_ZSTD:
		return ZSTD_decompress(out, op->len, in.p, view_left(&in)) == op->len;
	case LODE_DELTA_ZSTD_BASE:
		dctx = ZSTD_createDCtx();
		ok = dctx && zstd_decode(dctx, in, base, op->base_len, out, op->len);
		ZSTD_freeDCtx(dctx);
		return ok;
	default:
		pred = malloc(4ul * BLOCK_MAX);
		ok = pred && slow_elements(r, op, in, pred, out);
		free(pred);
		return ok;
	}
}

static bool slow_block(
	struct reference *r, struct view body, uint64_t at, uint8_t *out, uint32_t len)
{
	r->has_tables = r->adaptive_ready = false;
	for (uint32_t done = 0; done < len;) {
		struct op op;
		struct view payload;
		if (!op_read(&body, at, r->base_size, len - done, &op, &payload) ||
			!slow_op(r, &op, payload, out + done))
			return false;
		at = op_next_base(&op, at);
		done += op.len;
	}
	return body.p == body.end;
}

static int no_base(void *ctx, uint64_t offset, void *buf, size_t len)
{
	return -EINVAL;
}

/* One record at target position at; appends what it makes. False at the end and for what is malformed. */
static bool slow_record(struct reference *r, struct view *v, uint64_t at, struct buf *out)
{
	uint8_t kind, value;
	uint64_t len, z;
	size_t body_len;
	uint32_t crc;
	struct view body;
	if (!get_u8(v, &kind) || kind >= RECORD_END || !get_varint(v, &len) || len > RUN_MAX)
		return false;
	uint8_t *to = kind == RECORD_RESOURCE ? NULL : buf_room(out, len + READ_PAD);
	if (kind == RECORD_RESOURCE) {
		if (!r->resources.window && block_decoder_init(&r->resources, no_base, NULL, 0))
			return false;
		return get_le32(v, &crc) && get_view(v, len, &body) &&
		       !block_set_resource(&r->resources, body);
	} else if (kind == RECORD_BLOCK) {
		if (!to || len > BLOCK_MAX || !get_size(v, len + BODY_SLACK, &body_len) ||
			!get_le32(v, &crc) || !get_view(v, body_len, &body) ||
			!slow_block(r, body, at, to, (uint32_t)len))
			return false;
	} else if (kind == RECORD_COPY_RUN) {
		if (!to || !get_varint(v, &z) || !get_le32(v, &crc))
			return false;
		uint64_t base = at + (uint64_t)unzigzag64(z);
		if (base > r->base_size || len > r->base_size - base)
			return false;
		memcpy(to, r->bases + base, len);
	} else {
		if (!to || !get_u8(v, &value))
			return false;
		memset(to, value, len);
	}
	out->len += len;
	return true;
}

int plain_apply(
	const uint8_t *patch, size_t len, const uint8_t *bases, uint64_t base_size, struct buf *out)
{
	struct lode_delta_info *info = malloc(sizeof(*info));
	struct reference r = {.bases = bases, .base_size = base_size};
	long header = info ? lode_delta_parse_header(patch, len, info, NULL) : -ENOMEM;
	uint64_t total = header > 0 ? files_size(info->target, info->n_target) : 0;
	size_t start = out->len;
	free(info);
	r.adaptive = malloc(adaptive_model_bytes());
	int rc = header > 0 && r.adaptive ? 0 : -EBADMSG;
	struct view v = {patch + LODE_MAX(header, 0), patch + len};
	while (!rc && out->len - start < total)
		if (!slow_record(&r, &v, out->len - start, out))
			rc = -EBADMSG;
	if (!rc && (view_left(&v) != 1 || *v.p != RECORD_END || out->len - start != total))
		rc = -EBADMSG;
	block_decoder_clear(&r.resources);
	free(r.adaptive);
	return rc;
}
