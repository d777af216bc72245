/* SPDX-License-Identifier: BSD-3-Clause */
#include "encode.h"

#include "crc32c.h"
#include "lowrank.h"
#include "ops.h"

#define RUN_MIN	 (32 * 1024) /* equal bytes worth a record of their own */
#define COPY_MIN 512	     /* equal bytes worth an op of their own */

/* ---- what is equal ---- */

static size_t same_prefix(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;
	while (i + 4096 <= n && !memcmp(a + i, b + i, 4096))
		i += 4096;
	while (i + 8 <= n && lode_load_le64(a + i) == lode_load_le64(b + i))
		i += 8;
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static bool segment_can_copy(const struct segment *s)
{
	return s->matched ? s->type == s->base_type : !s->elements;
}

uint64_t equal_run(const struct encode_job *job, uint64_t pos, size_t segment, uint64_t limit)
{
	uint64_t run = 0;
	const struct segment *s = &job->plan.segments[segment];
	uint64_t base = s->base + (pos - s->target);
	while (run < limit && segment < job->plan.n_segments) {
		uint64_t left_base, left_target;
		s = &job->plan.segments[segment];
		if (!segment_can_copy(s) || s->base + (pos - s->target) != base)
			break;
		const uint8_t *b = space_at(&job->base, base, &left_base);
		const uint8_t *t = space_at(&job->target, pos, &left_target);
		uint64_t n = LODE_MIN(s->target + s->len - pos, limit - run);
		n = LODE_MIN(n, LODE_MIN(left_base, left_target));
		uint64_t same = n ? same_prefix(t, b, n) : 0;
		run += same;
		pos += same;
		base += same;
		if (same < n || !n)
			break;
		segment += pos == s->target + s->len;
	}
	/* an element is copied whole or not at all */
	if (s->elements && pos > s->target && pos < s->target + s->len)
		run -= LODE_MIN(run, (pos - s->target) % type_bytes(s->type));
	return run;
}

static uint64_t fill_run(const struct range_encoder *e, uint64_t limit)
{
	uint64_t left;
	const uint8_t *t = space_at(&e->job->target, e->pos, &left);
	limit = LODE_MIN(limit, left);
	if (limit < RUN_MIN || memcmp(t, t + 1, RUN_MIN - 1))
		return 0;
	return 1 + same_prefix(t, t + 1, limit - 1);
}

/* ---- accounting ---- */

static void account(
	struct range_encoder *e, uint32_t tensor, const struct op *op, uint64_t patch_bytes)
{
	struct lode_delta_cost *c = &e->costs[tensor];
	c->target_bytes += op->len;
	c->patch_bytes += patch_bytes;
	if (patch_bytes >= e->largest[tensor]) {
		e->largest[tensor] = patch_bytes;
		c->coder = op->coder;
		c->predictor = op->predictor;
	}
}

/* Bytes made by a copy or fill from pos on, over all segments they touch. */
static void account_run(
	struct range_encoder *e, enum lode_delta_coder coder, uint64_t len, uint64_t patch_bytes)
{
	uint64_t end = e->pos + len, at = e->pos;
	e->costs[e->job->plan.segments[e->segment].tensor].patch_bytes += patch_bytes;
	for (size_t i = e->segment; i < e->job->plan.n_segments && at < end; i++) {
		const struct segment *s = &e->job->plan.segments[i];
		uint64_t n = LODE_MIN(end, s->target + s->len) - at;
		struct lode_delta_cost *c = &e->costs[s->tensor];
		c->target_bytes += n;
		if (!e->largest[s->tensor])
			c->coder = coder;
		at += n;
	}
}

static void advance(struct range_encoder *e, uint64_t len)
{
	e->pos += len;
	while (e->segment < e->job->plan.n_segments &&
		e->pos >= e->job->plan.segments[e->segment].target +
				  e->job->plan.segments[e->segment].len)
		e->segment++;
}

/* ---- runs ---- */

static uint32_t crc_of_target(const struct range_encoder *e, uint64_t len)
{
	uint64_t left;
	const uint8_t *t = space_at(&e->job->target, e->pos, &left);
	return crc32c(0, t, len);
}

/* Writes a copy or fill run when one starts here; returns its length or 0. */
static uint64_t try_run(struct range_encoder *e, uint64_t file_left)
{
	const struct segment *s = &e->job->plan.segments[e->segment];
	uint64_t base = s->base + (e->pos - s->target);
	uint64_t limit = LODE_MIN(file_left, (uint64_t)RUN_MAX), left;
	uint64_t run = equal_run(e->job, e->pos, e->segment, limit);
	enum lode_delta_coder coder = LODE_DELTA_COPY;
	size_t before = e->out.len;
	if (run >= RUN_MIN || (run && run == file_left)) {
		put_u8(&e->out, RECORD_COPY_RUN);
		put_varint(&e->out, run);
		put_varint(&e->out, zigzag64((int64_t)(base - e->pos)));
		put_le32(&e->out, crc_of_target(e, run));
	} else {
		coder = LODE_DELTA_FILL;
		run = fill_run(e, limit);
		if (!run)
			return 0;
		put_u8(&e->out, RECORD_FILL_RUN);
		put_varint(&e->out, run);
		put_u8(&e->out, *space_at(&e->job->target, e->pos, &left));
	}
	account_run(e, coder, run, e->out.len - before);
	advance(e, run);
	return run;
}

/* ---- blocks ---- */

static int add_copy_op(struct range_encoder *e, uint64_t *expected, uint64_t base, uint32_t len)
{
	struct op op = {.coder = LODE_DELTA_COPY, .len = len, .base_offset = base, .base_len = len};
	struct buf none = {0};
	size_t before = e->body.len;
	op_write(&op, *expected, &none, &e->body);
	*expected = op_next_base(&op, *expected);
	account_run(e, LODE_DELTA_COPY, len, e->body.len - before);
	advance(e, len);
	return 0;
}

static int add_coded_op(struct range_encoder *e, uint64_t *expected, uint32_t len)
{
	const struct segment *s = &e->job->plan.segments[e->segment];
	uint64_t left;
	const uint8_t *target = space_at(&e->job->target, e->pos, &left);
	struct op_result result;
	size_t before = e->body.len;
	int rc = op_encode(&e->ops, &e->job->plan, s, e->pos - s->target, target, len, &result);
	if (!rc) {
		op_write(&result.op, *expected, &result.payload, &e->body);
		*expected = op_next_base(&result.op, *expected);
		account(e, s->tensor, &result.op, e->body.len - before);
		if (result.op.coder == LODE_DELTA_ADAPTIVE)
			e->features |= FEATURE_ADAPTIVE;
		advance(e, len);
	}
	op_result_clear(&result);
	return rc;
}

/* Length of the next op: up to the end of the segment, of the block, or to bytes worth a copy. */
static uint32_t op_length(const struct range_encoder *e, uint32_t room)
{
	const struct segment *s = &e->job->plan.segments[e->segment];
	uint64_t left = s->target + s->len - e->pos;
	uint32_t len = (uint32_t)LODE_MIN(left, (uint64_t)room);
	return s->elements && len < left ? len - len % type_bytes(s->type) : len;
}

/* Whether the tensor needs another resource than the current one; such a tensor starts a block. */
static bool wants_resource(const struct range_encoder *e)
{
	const struct low_rank_factors *f = NULL;
	const struct segment *s = &e->job->plan.segments[e->segment];
	if (s->matched)
		f = e->job->plan.tensors[s->tensor].factors;
	return f && f != e->resource;
}

/* Fills the body with ops; returns the target bytes they make, 0 on no memory. */
static uint32_t fill_body(struct range_encoder *e, uint64_t file_left)
{
	uint32_t room = (uint32_t)LODE_MIN(1ull << BLOCK_LOG2_MAX, file_left), used = 0;
	uint64_t expected = e->pos;
	e->body.len = 0;
	op_encoder_start_block(&e->ops);
	while (used < room && !(used && wants_resource(e))) {
		const struct segment *s = &e->job->plan.segments[e->segment];
		uint64_t base = s->base + (e->pos - s->target);
		uint64_t run = equal_run(e->job, e->pos, e->segment, RUN_MAX);
		if (used && run >= RUN_MIN)
			break;
		uint64_t to_end = s->target + s->len - e->pos;
		if (run >= LODE_MIN(to_end, (uint64_t)COPY_MIN) && run) {
			uint32_t len = (uint32_t)LODE_MIN(run, (uint64_t)(room - used));
			if (s->elements && len < to_end)
				len -= len % type_bytes(s->type);
			if (len) {
				add_copy_op(e, &expected, base, len);
				used += len;
				continue;
			}
		}
		uint32_t len = op_length(e, room - used);
		if (!len)
			break;
		if (add_coded_op(e, &expected, len))
			return 0;
		used += len;
	}
	return used;
}

/* Decodes the body as a receiver would and compares. */
static bool body_is_right(
	struct range_encoder *e, uint64_t start, const uint8_t *target, uint32_t len)
{
	uint8_t *pad = buf_room(&e->body, READ_PAD);
	if (!pad || e->body.len > len + BODY_SLACK)
		return false;
	memset(pad, 0, READ_PAD);
	struct view body = {e->body.data, e->body.data + e->body.len};
	return !block_decode(&e->decoder, body, start, len) &&
	       !memcmp(e->decoder.target, target, len);
}

static void plain_body(struct range_encoder *e, uint64_t start, const uint8_t *target, uint32_t len)
{
	struct op op = {.coder = LODE_DELTA_RAW, .len = len};
	struct buf raw = {.data = (uint8_t *)target, .len = len};
	e->body.len = 0;
	op_write(&op, start, &raw, &e->body);
}

static int write_block(struct range_encoder *e, uint64_t file_left)
{
	uint64_t left, start = e->pos;
	const uint8_t *target = space_at(&e->job->target, start, &left);
	uint32_t len = fill_body(e, file_left);
	if (!len)
		return -ENOMEM;
	if (!body_is_right(e, start, target, len))
		plain_body(e, start, target, len);
	put_u8(&e->out, RECORD_BLOCK);
	put_varint(&e->out, len);
	put_varint(&e->out, e->body.len);
	put_le32(&e->out, crc32c(0, target, len));
	put_bytes(&e->out, e->body.data, e->body.len);
	return 0;
}

static int write_resource(struct range_encoder *e)
{
	const struct low_rank_factors *f =
		e->job->plan.tensors[e->job->plan.segments[e->segment].tensor].factors;
	struct buf body = {0};
	low_rank_write(f, &body);
	e->features |= FEATURE_LOW_RANK;
	put_u8(&e->out, RECORD_RESOURCE);
	put_varint(&e->out, body.len);
	put_le32(&e->out, crc32c(0, body.data, body.len));
	put_bytes(&e->out, body.data, body.len);
	e->costs[e->job->plan.segments[e->segment].tensor].patch_bytes += body.len;
	e->resource = f;
	size_t len = body.len;
	bool failed = body.failed || !buf_room(&body, READ_PAD);
	int rc = -ENOMEM;
	if (!failed) {
		memset(body.data + len, 0, READ_PAD);
		rc = block_set_resource(&e->decoder, (struct view){body.data, body.data + len});
	}
	buf_free(&body);
	return rc;
}

/* ---- ranges ---- */

/* The segment that holds a position. */
static size_t segment_at(const struct plan *plan, uint64_t pos)
{
	size_t low = 0, high = plan->n_segments;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (plan->segments[middle].target <= pos)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t range_cut(const struct plan *plan, uint64_t pos)
{
	const struct segment *s = &plan->segments[segment_at(plan, pos)];
	return s->elements ? pos - (pos - s->target) % type_bytes(s->type) : pos;
}

int range_encode(struct range_encoder *e, uint64_t start, uint64_t end)
{
	int rc = 0;
	e->pos = start;
	e->end = end;
	e->segment = segment_at(&e->job->plan, start);
	e->resource = NULL;
	op_encoder_forget(&e->ops);
	while (!rc && e->pos < end) {
		if (try_run(e, end - e->pos))
			continue;
		if (wants_resource(e))
			rc = write_resource(e);
		if (!rc)
			rc = write_block(e, end - e->pos);
	}
	return rc;
}

int range_encoder_init(struct range_encoder *e, struct encode_job *job)
{
	*e = (struct range_encoder){.job = job};
	int rc = op_encoder_init(&e->ops, job->mode, &job->base);
	if (!rc)
		rc = block_decoder_init(&e->decoder, space_read, &job->base, job->base.size);
	e->decoder.map_base = space_map;
	e->ops.adaptive = job->adaptive;
	e->costs = calloc(job->plan.n_tensors + 1, sizeof(*e->costs));
	e->largest = calloc(job->plan.n_tensors + 1, sizeof(*e->largest));
	return rc || !e->costs || !e->largest ? -ENOMEM : 0;
}

void range_encoder_clear(struct range_encoder *e)
{
	op_encoder_clear(&e->ops);
	block_decoder_clear(&e->decoder);
	buf_free(&e->out);
	buf_free(&e->body);
	free(e->costs);
	free(e->largest);
}
