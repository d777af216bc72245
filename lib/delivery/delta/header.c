/* SPDX-License-Identifier: BSD-3-Clause */
#include "header.h"

#include "crc32c.h"

static const char *const coder_names[LODE_DELTA_N_CODERS] = {
	"copy", "raw", "zstd", "zstd-base", "sparse", "planes", "tokens", "adaptive", "fill"};
static const char *const predictor_names[LODE_DELTA_N_PREDICTORS] = {
	"none", "base", "row-scale", "low-rank", "cast"};
static const char *const type_names[LODE_DELTA_N_TYPES] = {
	"u8", "u16", "u32", "u64", "f16", "bf16", "f32", "f64"};

const char *lode_delta_coder_name(enum lode_delta_coder c)
{
	return (unsigned)c < LODE_DELTA_N_CODERS ? coder_names[c] : "unknown";
}

const char *lode_delta_predictor_name(enum lode_delta_predictor p)
{
	return (unsigned)p < LODE_DELTA_N_PREDICTORS ? predictor_names[p] : "unknown";
}

const char *lode_delta_type_name(enum lode_delta_type t)
{
	return (unsigned)t < LODE_DELTA_N_TYPES ? type_names[t] : "unknown";
}

uint64_t files_size(const struct lode_delta_file *f, uint32_t n)
{
	uint64_t sum = 0;
	for (uint32_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, f[i].size, &sum))
			return UINT64_MAX;
	return sum;
}

bool file_name_ok(const char *name)
{
	size_t len = strlen(name);
	if (!len || len >= LODE_DELTA_NAME_MAX || name[0] == '.')
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	       len;
}

static void write_files(const struct lode_delta_file *f, uint32_t n, struct buf *out)
{
	put_varint(out, n);
	for (uint32_t i = 0; i < n; i++) {
		size_t len = strlen(f[i].name);
		put_varint(out, len);
		put_bytes(out, f[i].name, len);
		put_varint(out, f[i].size);
		put_bytes(out, f[i].sha256, sizeof(f[i].sha256));
	}
}

void header_write(const struct lode_delta_info *info, struct buf *out)
{
	size_t start = out->len;
	put_bytes(out, PATCH_MAGIC, 4);
	put_u8(out, PATCH_MAJOR);
	put_u8(out, PATCH_MINOR);
	put_u8(out, info->block_log2);
	put_u8(out, 0);
	put_le32(out, 0);
	put_le32(out, info->incompat);
	put_le32(out, info->compat);
	write_files(info->base, info->n_base, out);
	write_files(info->target, info->n_target, out);
	put_varint(out, 0); /* no optional sections */
	if (out->failed)
		return;
	lode_store_le32(out->data + start + 8, (uint32_t)(out->len - start + 4));
	put_le32(out, crc32c(0, out->data + start, out->len - start));
}

static bool read_file(struct view *v, bool may_be_unnamed, struct lode_delta_file *f)
{
	size_t len;
	struct view name;
	if (!get_size(v, LODE_DELTA_NAME_MAX - 1, &len) || !get_view(v, len, &name))
		return false;
	memset(f->name, 0, sizeof(f->name));
	memcpy(f->name, name.p, len);
	if (!(len ? file_name_ok(f->name) : may_be_unnamed))
		return false;
	struct view sha;
	if (!get_varint(v, &f->size) || !get_view(v, sizeof(f->sha256), &sha))
		return false;
	memcpy(f->sha256, sha.p, sizeof(f->sha256));
	return strlen(f->name) == len;
}

static bool read_files(struct view *v, struct lode_delta_file *f, uint32_t *n)
{
	size_t count;
	if (!get_size(v, LODE_DELTA_MAX_FILES, &count))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!read_file(v, count == 1, &f[i]))
			return false;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(f[i].name, f[k].name))
				return false;
	}
	*n = (uint32_t)count;
	return files_size(f, *n) <= INT64_MAX;
}

/* Sections nobody here knows are skipped: what must be understood has an incompat bit. */
static bool skip_sections(struct view *v)
{
	uint64_t type;
	size_t len;
	struct view section;
	while (get_varint(v, &type)) {
		if (!type)
			return v->p == v->end;
		if (!get_size(v, view_left(v), &len) || !get_view(v, len, &section))
			return false;
	}
	return false;
}

static long check_fixed(const uint8_t *data, struct lode_delta_info *info, struct lode_err *err)
{
	info->major = data[4];
	info->minor = data[5];
	info->block_log2 = data[6];
	info->header_bytes = lode_load_le32(data + 8);
	info->incompat = lode_load_le32(data + 12);
	info->compat = lode_load_le32(data + 16);
	if (info->major != PATCH_MAJOR)
		return lode_err_set(err, -ENOTSUP, "patch format %u: this build reads %u",
			info->major, PATCH_MAJOR);
	if (info->incompat & ~FEATURE_KNOWN)
		return lode_err_set(err, -ENOTSUP, "patch needs features 0x%x: this build has 0x%x",
			info->incompat, FEATURE_KNOWN);
	if (info->block_log2 < BLOCK_LOG2_MIN || info->block_log2 > BLOCK_LOG2_MAX)
		return lode_err_set(err, -EBADMSG, "patch block size 2^%u: %u..%u allowed",
			info->block_log2, BLOCK_LOG2_MIN, BLOCK_LOG2_MAX);
	if (info->header_bytes < PATCH_FIXED_BYTES + 4 || info->header_bytes > HEADER_MAX_BYTES)
		return lode_err_set(err, -EBADMSG, "patch header of %u bytes: %u..%u allowed",
			info->header_bytes, PATCH_FIXED_BYTES + 4, HEADER_MAX_BYTES);
	return 0;
}

long lode_delta_parse_header(
	const uint8_t *data, size_t len, struct lode_delta_info *info, struct lode_err *err)
{
	memset(info, 0, sizeof(*info));
	if (len >= 4 && memcmp(data, PATCH_MAGIC, 4))
		return lode_err_set(
			err, -EBADMSG, "no patch: it does not start with \"%s\"", PATCH_MAGIC);
	if (len < PATCH_FIXED_BYTES)
		return 0;
	long rc = check_fixed(data, info, err);
	if (rc)
		return rc;
	if (len < info->header_bytes)
		return 0;
	const uint8_t *end = data + info->header_bytes - 4;
	if (crc32c(0, data, info->header_bytes - 4) != lode_load_le32(end))
		return lode_err_set(err, -EBADMSG, "patch header damaged: CRC32C differs");
	struct view v = {data + PATCH_FIXED_BYTES, end};
	if (!read_files(&v, info->base, &info->n_base) ||
		!read_files(&v, info->target, &info->n_target) || !info->n_target ||
		!skip_sections(&v))
		return lode_err_set(err, -EBADMSG, "patch header: file list or sections malformed");
	return info->header_bytes;
}
