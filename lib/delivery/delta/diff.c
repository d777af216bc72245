/* SPDX-License-Identifier: BSD-3-Clause */
/* The encoder: plan to records. Every block is decoded by the interpreter and compared before it is kept. */
#include "block.h"
#include "choose.h"
#include "crc32c.h"
#include "header.h"
#include "lowrank.h"
#include "ops.h"

#include <openssl/evp.h>
#include <stdio.h>

#define RUN_MIN		   (32 * 1024)	 /* equal bytes worth a record of their own */
#define COPY_MIN	   512		 /* equal bytes worth an op of their own */
#define ADAPTIVE_MAX_BYTES (2500 * 1000) /* changed bytes up to which adaptive models run */

struct diff {
	const struct lode_delta_job *job;
	struct lode_delta_info *info;
	struct space base, target;
	struct plan plan;
	struct op_encoder encoder;
	struct block_decoder decoder;
	struct buf out, body;
	struct lode_delta_report *report;
	struct lode_err *err;
	struct lode_delta_cost *costs; /* one per plan tensor */
	uint64_t *largest;	       /* bytes of the op that named the coder */
	uint64_t pos;
	size_t segment; /* the one that holds pos */
	const struct low_rank_factors *resource;
	uint8_t *pad; /* body with READ_PAD behind it, for the decoder */
};

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

/* Bytes from pos on that equal the base, without a jump in the base. */
static uint64_t equal_run(const struct diff *d, uint64_t pos, size_t segment, uint64_t limit)
{
	uint64_t run = 0;
	const struct segment *s = &d->plan.segments[segment];
	uint64_t base = s->base + (pos - s->target);
	while (run < limit && segment < d->plan.n_segments) {
		uint64_t left_base, left_target;
		s = &d->plan.segments[segment];
		if (!segment_can_copy(s) || s->base + (pos - s->target) != base)
			break;
		const uint8_t *b = space_at(&d->base, base, &left_base);
		const uint8_t *t = space_at(&d->target, pos, &left_target);
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

static uint64_t fill_run(const struct diff *d, uint64_t limit)
{
	uint64_t left;
	const uint8_t *t = space_at(&d->target, d->pos, &left);
	limit = LODE_MIN(limit, left);
	if (limit < RUN_MIN || memcmp(t, t + 1, RUN_MIN - 1))
		return 0;
	return 1 + same_prefix(t, t + 1, limit - 1);
}

/* ---- accounting ---- */

static void account(struct diff *d, uint32_t tensor, const struct op *op, uint64_t patch_bytes)
{
	struct lode_delta_cost *c = &d->costs[tensor];
	c->target_bytes += op->len;
	c->patch_bytes += patch_bytes;
	if (patch_bytes >= d->largest[tensor]) {
		d->largest[tensor] = patch_bytes;
		c->coder = op->coder;
		c->predictor = op->predictor;
	}
}

/* Bytes made by a copy or fill from pos on, over all segments they touch. */
static void account_run(
	struct diff *d, enum lode_delta_coder coder, uint64_t len, uint64_t patch_bytes)
{
	uint64_t end = d->pos + len, at = d->pos;
	d->costs[d->plan.segments[d->segment].tensor].patch_bytes += patch_bytes;
	for (size_t i = d->segment; i < d->plan.n_segments && at < end; i++) {
		const struct segment *s = &d->plan.segments[i];
		uint64_t n = LODE_MIN(end, s->target + s->len) - at;
		struct lode_delta_cost *c = &d->costs[s->tensor];
		c->target_bytes += n;
		if (!d->largest[s->tensor])
			c->coder = coder;
		at += n;
	}
}

static void advance(struct diff *d, uint64_t len)
{
	d->pos += len;
	while (d->segment < d->plan.n_segments &&
		d->pos >= d->plan.segments[d->segment].target + d->plan.segments[d->segment].len)
		d->segment++;
}

/* ---- runs ---- */

static uint32_t crc_of_target(const struct diff *d, uint64_t len)
{
	uint64_t left;
	const uint8_t *t = space_at(&d->target, d->pos, &left);
	return crc32c(0, t, len);
}

/* Writes a copy or fill run when one starts here; returns its length or 0. */
static uint64_t try_run(struct diff *d, uint64_t file_left)
{
	const struct segment *s = &d->plan.segments[d->segment];
	uint64_t base = s->base + (d->pos - s->target);
	uint64_t limit = LODE_MIN(file_left, (uint64_t)RUN_MAX), left;
	uint64_t run = equal_run(d, d->pos, d->segment, limit);
	enum lode_delta_coder coder = LODE_DELTA_COPY;
	size_t before = d->out.len;
	if (run >= RUN_MIN || (run && run == file_left)) {
		put_u8(&d->out, RECORD_COPY_RUN);
		put_varint(&d->out, run);
		put_varint(&d->out, zigzag64((int64_t)(base - d->pos)));
		put_le32(&d->out, crc_of_target(d, run));
	} else {
		coder = LODE_DELTA_FILL;
		run = fill_run(d, limit);
		if (!run)
			return 0;
		put_u8(&d->out, RECORD_FILL_RUN);
		put_varint(&d->out, run);
		put_u8(&d->out, *space_at(&d->target, d->pos, &left));
	}
	account_run(d, coder, run, d->out.len - before);
	advance(d, run);
	return run;
}

/* ---- blocks ---- */

static int add_copy_op(struct diff *d, uint64_t *expected, uint64_t base, uint32_t len)
{
	struct op op = {.coder = LODE_DELTA_COPY, .len = len, .base_offset = base, .base_len = len};
	struct buf none = {0};
	size_t before = d->body.len;
	op_write(&op, *expected, &none, &d->body);
	*expected = op_next_base(&op, *expected);
	account_run(d, LODE_DELTA_COPY, len, d->body.len - before);
	advance(d, len);
	return 0;
}

static int add_coded_op(struct diff *d, uint64_t *expected, uint32_t len)
{
	const struct segment *s = &d->plan.segments[d->segment];
	uint64_t left;
	const uint8_t *target = space_at(&d->target, d->pos, &left);
	struct op_result result;
	size_t before = d->body.len;
	int rc = op_encode(&d->encoder, &d->plan, s, d->pos - s->target, target, len, &result);
	if (!rc) {
		op_write(&result.op, *expected, &result.payload, &d->body);
		*expected = op_next_base(&result.op, *expected);
		account(d, s->tensor, &result.op, d->body.len - before);
		if (result.op.coder == LODE_DELTA_ADAPTIVE)
			d->info->incompat |= FEATURE_ADAPTIVE;
		advance(d, len);
	}
	op_result_clear(&result);
	return rc;
}

/* Length of the next op: up to the end of the segment, of the block, or to bytes worth a copy. */
static uint32_t op_length(const struct diff *d, uint32_t room)
{
	const struct segment *s = &d->plan.segments[d->segment];
	uint64_t left = s->target + s->len - d->pos;
	uint32_t len = (uint32_t)LODE_MIN(left, (uint64_t)room);
	return s->elements && len < left ? len - len % type_bytes(s->type) : len;
}

/* Whether the tensor needs another resource than the current one; such a tensor starts a block. */
static bool wants_resource(const struct diff *d)
{
	const struct low_rank_factors *f = NULL;
	const struct segment *s = &d->plan.segments[d->segment];
	if (s->matched)
		f = d->plan.tensors[s->tensor].factors;
	return f && f != d->resource;
}

/* Fills the body with ops; returns the target bytes they make, 0 on no memory. */
static uint32_t fill_body(struct diff *d, uint64_t file_left)
{
	uint32_t room = (uint32_t)LODE_MIN(1ull << d->info->block_log2, file_left), used = 0;
	uint64_t expected = d->pos;
	d->body.len = 0;
	op_encoder_start_block(&d->encoder);
	while (used < room && !(used && wants_resource(d))) {
		const struct segment *s = &d->plan.segments[d->segment];
		uint64_t base = s->base + (d->pos - s->target);
		uint64_t run = equal_run(d, d->pos, d->segment, RUN_MAX);
		if (used && run >= RUN_MIN)
			break;
		uint64_t to_end = s->target + s->len - d->pos;
		if (run >= LODE_MIN(to_end, (uint64_t)COPY_MIN) && run) {
			uint32_t len = (uint32_t)LODE_MIN(run, (uint64_t)(room - used));
			if (s->elements && len < to_end)
				len -= len % type_bytes(s->type);
			if (len) {
				add_copy_op(d, &expected, base, len);
				used += len;
				continue;
			}
		}
		uint32_t len = op_length(d, room - used);
		if (!len)
			break;
		if (add_coded_op(d, &expected, len))
			return 0;
		used += len;
	}
	return used;
}

/* Decodes the body as a receiver would and compares. */
static bool body_is_right(struct diff *d, uint64_t start, const uint8_t *target, uint32_t len)
{
	if (d->body.len > len + BODY_SLACK || d->body.failed)
		return false;
	memcpy(d->pad, d->body.data, d->body.len);
	memset(d->pad + d->body.len, 0, READ_PAD);
	struct view body = {d->pad, d->pad + d->body.len};
	return !block_decode(&d->decoder, body, start, len) &&
	       !memcmp(d->decoder.target, target, len);
}

static void plain_body(struct diff *d, uint64_t start, const uint8_t *target, uint32_t len)
{
	struct op op = {.coder = LODE_DELTA_RAW, .len = len};
	struct buf raw = {.data = (uint8_t *)target, .len = len};
	d->body.len = 0;
	op_write(&op, start, &raw, &d->body);
}

static int write_block(struct diff *d, uint64_t file_left)
{
	uint64_t left, start = d->pos;
	const uint8_t *target = space_at(&d->target, start, &left);
	uint32_t len = fill_body(d, file_left);
	if (!len)
		return lode_err_set(d->err, -ENOMEM, "no memory to encode at byte %llu",
			(unsigned long long)start);
	if (!body_is_right(d, start, target, len))
		plain_body(d, start, target, len);
	put_u8(&d->out, RECORD_BLOCK);
	put_varint(&d->out, len);
	put_varint(&d->out, d->body.len);
	put_le32(&d->out, crc32c(0, target, len));
	put_bytes(&d->out, d->body.data, d->body.len);
	return 0;
}

static int write_resource(struct diff *d)
{
	const struct low_rank_factors *f =
		d->plan.tensors[d->plan.segments[d->segment].tensor].factors;
	struct buf body = {0};
	low_rank_write(f, &body);
	d->info->incompat |= FEATURE_LOW_RANK;
	put_u8(&d->out, RECORD_RESOURCE);
	put_varint(&d->out, body.len);
	put_le32(&d->out, crc32c(0, body.data, body.len));
	put_bytes(&d->out, body.data, body.len);
	d->costs[d->plan.segments[d->segment].tensor].patch_bytes += body.len;
	d->resource = f;
	size_t len = body.len;
	bool failed = body.failed || !buf_room(&body, READ_PAD);
	int rc = -ENOMEM;
	if (!failed) {
		memset(body.data + len, 0, READ_PAD);
		rc = block_set_resource(&d->decoder, (struct view){body.data, body.data + len});
	}
	buf_free(&body);
	return rc ? lode_err_set(d->err, rc, "a low-rank correction could not be written") : 0;
}

/* ---- the whole ---- */

static int write_file(struct diff *d, uint64_t size)
{
	uint64_t end = d->pos + size;
	int rc = 0;
	while (!rc && d->pos < end) {
		if (!try_run(d, end - d->pos)) {
			if (wants_resource(d))
				rc = write_resource(d);
			if (!rc)
				rc = write_block(d, end - d->pos);
		}
		if (!rc && d->job->progress)
			rc = d->job->progress(d->job->progress_ctx, d->pos, d->target.size);
	}
	return rc;
}

static int describe(const struct lode_delta_input *in, uint32_t n, struct lode_delta_file *out,
	struct lode_err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!(in[i].name[0] ? file_name_ok(in[i].name) : n == 1))
			return lode_err_set(err, -EINVAL,
				"file name \"%s\": one path component of [A-Za-z0-9._-] without "
				"leading "
				"dot allowed",
				in[i].name);
		memcpy(out[i].name, in[i].name, sizeof(out[i].name));
		out[i].size = in[i].size;
		if (!EVP_Digest(in[i].data, in[i].size, out[i].sha256, NULL, EVP_sha256(), NULL))
			return lode_err_set(err, -EIO, "SHA-256 failed");
	}
	return 0;
}

/* Bytes of matched tensors that differ, up to a limit: whether adaptive models are affordable. */
static bool changes_are_few(const struct diff *d)
{
	uint64_t changed = 0;
	for (size_t i = 0; i < d->plan.n_segments && changed <= ADAPTIVE_MAX_BYTES; i++) {
		const struct segment *s = &d->plan.segments[i];
		uint64_t same = equal_run(d, s->target, i, s->len);
		changed += s->len - LODE_MIN(same, s->len);
	}
	return changed <= ADAPTIVE_MAX_BYTES;
}

static int prepare(struct diff *d)
{
	const struct lode_delta_job *job = d->job;
	int rc = describe(job->base, job->n_base, d->info->base, d->err);
	if (!rc)
		rc = describe(job->target, job->n_target, d->info->target, d->err);
	if (rc)
		return rc;
	d->info->block_log2 = BLOCK_LOG2_MAX;
	d->info->n_base = job->n_base;
	d->info->n_target = job->n_target;
	space_open(&d->base, job->base, job->n_base);
	space_open(&d->target, job->target, job->n_target);
	rc = plan_make(&d->plan, &d->base, &d->target);
	if (!rc)
		rc = op_encoder_init(&d->encoder, job->mode, &d->base);
	if (!rc)
		rc = block_decoder_init(&d->decoder, space_read, &d->base, d->base.size);
	d->costs = calloc(d->plan.n_tensors + 1, sizeof(*d->costs));
	d->largest = calloc(d->plan.n_tensors + 1, sizeof(*d->largest));
	d->pad = malloc(BLOCK_MAX + BODY_SLACK + READ_PAD);
	if (rc || !d->costs || !d->largest || !d->pad)
		return lode_err_set(d->err, -ENOMEM, "no memory for the encoder");
	d->encoder.adaptive = job->mode == LODE_DELTA_MODE_BEST ||
			      (job->mode == LODE_DELTA_MODE_DEFAULT && changes_are_few(d));
	return 0;
}

/* The features are known only now; they do not change the header's length. */
static int finish(struct diff *d, struct lode_delta_patch *patch)
{
	put_u8(&d->out, RECORD_END);
	if (d->out.failed)
		return lode_err_set(d->err, -ENOMEM, "no memory for the patch");
	header_set_features(d->out.data, d->info->incompat);
	*patch = (struct lode_delta_patch){d->out.data, d->out.len};
	d->out = (struct buf){0};
	return 0;
}

static void fill_report(struct diff *d, const struct lode_delta_patch *patch)
{
	struct lode_delta_report *r = d->report;
	*r = (struct lode_delta_report){.base_bytes = d->base.size,
		.target_bytes = d->target.size,
		.patch_bytes = patch->len,
		.n_matched = d->plan.n_matched,
		.n_unchanged = d->plan.n_unchanged,
		.costs = d->costs};
	for (uint32_t i = 0; i < d->plan.n_tensors; i++) {
		struct lode_delta_cost *c = &d->costs[i];
		snprintf(c->name, sizeof(c->name), "%s", d->plan.tensors[i].name);
		c->type = d->plan.tensors[i].type;
		r->n_tensors += c->name[0] != 0;
	}
	r->n_costs = d->plan.n_tensors;
	d->costs = NULL;
}

static int run(struct diff *d, struct lode_delta_patch *patch)
{
	int rc = prepare(d);
	header_write(d->info, &d->out);
	for (uint32_t f = 0; !rc && f < d->job->n_target; f++)
		rc = write_file(d, d->job->target[f].size);
	if (!rc)
		rc = finish(d, patch);
	if (!rc && d->report)
		fill_report(d, patch);
	return rc;
}

int lode_delta_diff(const struct lode_delta_job *job, struct lode_delta_patch *patch,
	struct lode_delta_report *report, struct lode_err *err)
{
	struct diff d = {.job = job, .report = report, .err = err};
	int rc = -ENOMEM;
	*patch = (struct lode_delta_patch){0};
	if (!job->n_target || job->n_target > LODE_DELTA_MAX_FILES ||
		job->n_base > LODE_DELTA_MAX_FILES)
		return lode_err_set(err, -EINVAL,
			"%u base and %u target files: up to %u allowed, one target at least",
			job->n_base, job->n_target, LODE_DELTA_MAX_FILES);
	d.info = calloc(1, sizeof(*d.info));
	if (d.info)
		rc = run(&d, patch);
	plan_clear(&d.plan);
	space_close(&d.base);
	space_close(&d.target);
	op_encoder_clear(&d.encoder);
	block_decoder_clear(&d.decoder);
	buf_free(&d.out);
	buf_free(&d.body);
	free(d.costs);
	free(d.largest);
	free(d.pad);
	free(d.info);
	return rc;
}

void lode_delta_report_clear(struct lode_delta_report *r)
{
	free(r->costs);
	*r = (struct lode_delta_report){0};
}
