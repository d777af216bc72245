/* SPDX-License-Identifier: BSD-3-Clause */
/* The interpreter of whole patches: header, base check, records in target order, target check. */
#include "block.h"
#include "crc32c.h"
#include "header.h"

#include <openssl/evp.h>
#include <stdio.h>

#define BODY_MAX (BLOCK_MAX + BLOCK_MAX / 2) /* a block with its slack, or a resource */

struct apply {
	const struct lode_delta_io *io;
	struct lode_delta_info *info;
	struct lode_delta_stats *stats;
	struct lode_err *err;
	struct block_decoder decoder;
	EVP_MD_CTX *sha;
	uint8_t *body;
	uint64_t total; /* of all targets */
	uint64_t done;	/* in the space of all target files */
	unsigned file;
	uint64_t file_done;
	bool may_resume;
};

/* ---- reading the patch ---- */

static int damaged(struct apply *a, const char *what)
{
	return lode_err_set(a->err, -EBADMSG, "patch damaged at target byte %llu: %s",
		(unsigned long long)a->done, what);
}

static int read_exact(struct apply *a, void *buf, size_t len)
{
	size_t got = 0;
	while (got < len) {
		long n = a->io->read_patch(a->io->ctx, (uint8_t *)buf + got, len - got);
		if (n < 0)
			return lode_err_set(
				a->err, (int)n, "reading the patch failed: %s", strerror((int)-n));
		if (!n)
			return damaged(a, "it ends too early");
		got += (size_t)n;
	}
	a->stats->patch_bytes += len;
	return 0;
}

static int read_varint(struct apply *a, uint64_t max, uint64_t *out)
{
	uint8_t bytes[10];
	for (unsigned n = 0; n < sizeof(bytes);) {
		int rc = read_exact(a, &bytes[n++], 1);
		if (rc)
			return rc;
		if (bytes[n - 1] & 0x80)
			continue;
		struct view v = {bytes, bytes + n};
		if (!get_varint(&v, out) || *out > max)
			break;
		return 0;
	}
	return damaged(a, "a number is malformed or too large");
}

static int read_header(struct apply *a)
{
	uint8_t *data = a->body;
	int rc = read_exact(a, data, PATCH_FIXED_BYTES);
	if (rc)
		return rc;
	long len = lode_delta_parse_header(data, PATCH_FIXED_BYTES, a->info, a->err);
	if (len < 0)
		return (int)len;
	rc = read_exact(a, data + PATCH_FIXED_BYTES, a->info->header_bytes - PATCH_FIXED_BYTES);
	if (rc)
		return rc;
	len = lode_delta_parse_header(data, a->info->header_bytes, a->info, a->err);
	return len < 0 ? (int)len : 0;
}

/* ---- base ---- */

/* Reads of the linear base space, split where files meet. */
static int read_base(void *ctx, uint64_t offset, void *buf, size_t len)
{
	struct apply *a = ctx;
	uint8_t *to = buf;
	for (unsigned f = 0; len && f < a->info->n_base; f++) {
		uint64_t size = a->info->base[f].size;
		if (offset >= size) {
			offset -= size;
			continue;
		}
		size_t n = (size_t)LODE_MIN((uint64_t)len, size - offset);
		int rc = a->io->read_base(a->io->ctx, f, offset, to, n);
		if (rc)
			return lode_err_set(
				a->err, rc, "reading base file %u failed: %s", f, strerror(-rc));
		to += n;
		len -= n;
		offset = 0;
	}
	return len ? damaged(a, "a base range is past the end") : 0;
}

static int sha_finish(struct apply *a, const uint8_t *expected, bool *same)
{
	uint8_t digest[LODE_DELTA_SHA256_SIZE];
	if (!EVP_DigestFinal_ex(a->sha, digest, NULL) ||
		!EVP_DigestInit_ex(a->sha, EVP_sha256(), NULL))
		return lode_err_set(a->err, -EIO, "SHA-256 failed");
	*same = !memcmp(digest, expected, sizeof(digest));
	return 0;
}

static int check_base_file(struct apply *a, unsigned f)
{
	const struct lode_delta_file *file = &a->info->base[f];
	bool same = false;
	for (uint64_t at = 0; at < file->size;) {
		size_t n = (size_t)LODE_MIN(file->size - at, (uint64_t)BLOCK_MAX);
		int rc = a->io->read_base(a->io->ctx, f, at, a->decoder.window, n);
		if (rc)
			return lode_err_set(a->err, rc == -ENODATA ? -ESTALE : rc,
				"base file %u \"%s\": reading %zu bytes at %llu failed: %s", f,
				file->name, n, (unsigned long long)at, strerror(-rc));
		EVP_DigestUpdate(a->sha, a->decoder.window, n);
		at += n;
	}
	int rc = sha_finish(a, file->sha256, &same);
	if (!rc && !same)
		rc = lode_err_set(a->err, -ESTALE,
			"base file %u %s: SHA-256 is not the one this patch was made for", f,
			file->name);
	return rc;
}

/* ---- target ---- */

static int emit(struct apply *a, const uint8_t *data, size_t len, bool in_place)
{
	int rc = 0;
	if (!in_place)
		rc = a->io->write_target(a->io->ctx, a->file, a->file_done, data, len);
	if (rc)
		return lode_err_set(
			a->err, rc, "writing target file %u failed: %s", a->file, strerror(-rc));
	EVP_DigestUpdate(a->sha, data, len);
	a->file_done += len;
	a->done += len;
	a->stats->target_bytes += len;
	if (in_place)
		a->stats->resumed_bytes += len;
	return 0;
}

/* Whether an earlier run left exactly the bytes with this CRC at the current place. */
static bool found_in_place(struct apply *a, uint64_t len, uint32_t crc)
{
	uint32_t found = 0;
	for (uint64_t at = 0; a->may_resume && at < len;) {
		size_t n = (size_t)LODE_MIN(len - at, (uint64_t)BLOCK_MAX);
		if (a->io->read_target(
			    a->io->ctx, a->file, a->file_done + at, a->decoder.target, n))
			a->may_resume = false;
		found = crc32c(found, a->decoder.target, n);
		at += n;
	}
	return a->may_resume && found == crc;
}

/* ---- records ---- */

static int take_block(struct apply *a, uint64_t file_left)
{
	uint64_t len, body_len;
	uint32_t crc;
	int rc = read_varint(a, LODE_MIN(file_left, 1ull << a->info->block_log2), &len);
	if (!rc)
		rc = read_varint(a, len + BODY_SLACK, &body_len);
	if (!rc)
		rc = read_exact(a, &crc, sizeof(crc));
	if (!rc)
		rc = read_exact(a, a->body, body_len);
	if (rc)
		return rc;
	if (!len)
		return damaged(a, "a block is empty");
	bool in_place = found_in_place(a, len, crc);
	if (!in_place) {
		memset(a->body + body_len, 0, READ_PAD);
		struct view body = {a->body, a->body + body_len};
		rc = block_decode(&a->decoder, body, a->done, (uint32_t)len);
		if (rc == -EBADMSG)
			return damaged(a, "a block's operations are malformed");
		if (rc)
			return rc;
		if (crc32c(0, a->decoder.target, len) != crc)
			return damaged(a, "a block's CRC32C differs");
	}
	return emit(a, a->decoder.target, len, in_place);
}

/* Makes the next chunk of a run in the decoder's target buffer. */
static int run_chunk(struct apply *a, bool in_place, uint64_t base_offset, size_t n)
{
	uint8_t *to = a->decoder.target;
	if (in_place)
		return a->io->read_target(a->io->ctx, a->file, a->file_done, to, n);
	return read_base(a, base_offset, to, n);
}

static int take_copy_run(struct apply *a, uint64_t file_left)
{
	uint64_t len, z;
	uint32_t crc, found = 0;
	int rc = read_varint(a, LODE_MIN(file_left, (uint64_t)RUN_MAX), &len);
	if (!rc)
		rc = read_varint(a, UINT64_MAX, &z);
	if (!rc)
		rc = read_exact(a, &crc, sizeof(crc));
	if (rc)
		return rc;
	uint64_t base = a->done + (uint64_t)unzigzag64(z);
	if (!len || base > a->decoder.base_size || len > a->decoder.base_size - base)
		return damaged(a, "a copied range is past the end of the base");
	bool in_place = found_in_place(a, len, crc);
	for (uint64_t at = 0; !rc && at < len;) {
		size_t n = (size_t)LODE_MIN(len - at, (uint64_t)BLOCK_MAX);
		rc = run_chunk(a, in_place, base + at, n);
		if (rc)
			return rc;
		found = crc32c(found, a->decoder.target, n);
		rc = emit(a, a->decoder.target, n, in_place);
		at += n;
	}
	a->stats->coder_target[LODE_DELTA_COPY] += len;
	return rc || found == crc ? rc : damaged(a, "a copied range's CRC32C differs");
}

static int take_fill_run(struct apply *a, uint64_t file_left)
{
	uint64_t len;
	uint8_t value;
	int rc = read_varint(a, LODE_MIN(file_left, (uint64_t)RUN_MAX), &len);
	if (!rc)
		rc = read_exact(a, &value, 1);
	if (!rc && !len)
		rc = damaged(a, "a fill is empty");
	if (!rc)
		memset(a->decoder.target, value, BLOCK_MAX);
	for (uint64_t at = 0; !rc && at < len; at += BLOCK_MAX)
		rc = emit(a, a->decoder.target, LODE_MIN(len - at, (uint64_t)BLOCK_MAX), false);
	a->stats->coder_target[LODE_DELTA_FILL] += rc ? 0 : len;
	return rc;
}

static int take_resource(struct apply *a)
{
	uint64_t len;
	uint32_t crc;
	int rc = read_varint(a, BODY_MAX, &len);
	if (!rc)
		rc = read_exact(a, &crc, sizeof(crc));
	if (!rc)
		rc = read_exact(a, a->body, len);
	if (rc)
		return rc;
	if (crc32c(0, a->body, len) != crc)
		return damaged(a, "a resource's CRC32C differs");
	memset(a->body + len, 0, READ_PAD);
	rc = block_set_resource(&a->decoder, (struct view){a->body, a->body + len});
	return rc == -EBADMSG ? damaged(a, "a resource is malformed") : rc;
}

static int take_record(struct apply *a, uint64_t file_left)
{
	uint8_t kind;
	int rc = read_exact(a, &kind, 1);
	if (rc)
		return rc;
	switch (kind) {
	case RECORD_BLOCK:
		rc = take_block(a, file_left);
		break;
	case RECORD_COPY_RUN:
		rc = take_copy_run(a, file_left);
		break;
	case RECORD_FILL_RUN:
		rc = take_fill_run(a, file_left);
		break;
	case RECORD_RESOURCE:
		return take_resource(a);
	default:
		return damaged(a, "a record of unknown kind");
	}
	if (!rc && a->io->progress)
		rc = a->io->progress(a->io->ctx, a->done, a->total);
	return rc;
}

/* ---- the whole ---- */

static int make_file(struct apply *a, unsigned f)
{
	const struct lode_delta_file *file = &a->info->target[f];
	bool same = false;
	int rc = 0;
	a->file = f;
	a->file_done = 0;
	while (!rc && a->file_done < file->size)
		rc = take_record(a, file->size - a->file_done);
	if (!rc)
		rc = sha_finish(a, file->sha256, &same);
	if (!rc && !same)
		rc = lode_err_set(
			a->err, -EBADMSG, "target file %u \"%s\": SHA-256 differs", f, file->name);
	return rc;
}

static int read_end(struct apply *a)
{
	uint8_t kind, more;
	int rc = read_exact(a, &kind, 1);
	if (rc)
		return rc;
	if (kind != RECORD_END || a->io->read_patch(a->io->ctx, &more, 1) != 0)
		return damaged(a, "something follows the last target byte");
	return 0;
}

static int run(struct apply *a)
{
	int rc = read_header(a);
	if (rc)
		return rc;
	a->total = files_size(a->info->target, a->info->n_target);
	rc = block_decoder_init(
		&a->decoder, read_base, a, files_size(a->info->base, a->info->n_base));
	if (rc || !EVP_DigestInit_ex(a->sha, EVP_sha256(), NULL))
		return lode_err_set(a->err, rc ? rc : -EIO, "no memory for the interpreter");
	a->decoder.stats = a->stats;
	for (unsigned f = 0; !rc && f < a->info->n_base; f++)
		rc = check_base_file(a, f);
	for (unsigned f = 0; !rc && f < a->info->n_target; f++)
		rc = make_file(a, f);
	return rc ? rc : read_end(a);
}

int lode_delta_apply(const struct lode_delta_io *io, struct lode_delta_info *info,
	struct lode_delta_stats *stats, struct lode_err *err)
{
	struct lode_delta_stats own_stats;
	struct apply a = {.io = io, .info = info, .stats = stats ? stats : &own_stats, .err = err};
	int rc = -ENOMEM;
	memset(a.stats, 0, sizeof(*a.stats));
	a.may_resume = io->read_target != NULL;
	a.info = info ? info : malloc(sizeof(*info));
	a.body = malloc(BODY_MAX + READ_PAD);
	a.sha = EVP_MD_CTX_new();
	if (a.info && a.body && a.sha)
		rc = run(&a);
	else
		lode_err_set(err, rc, "no memory for the interpreter");
	block_decoder_clear(&a.decoder);
	EVP_MD_CTX_free(a.sha);
	free(a.body);
	if (!info)
		free(a.info);
	return rc;
}
