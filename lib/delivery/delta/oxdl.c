/* SPDX-License-Identifier: BSD-3-Clause */
/* OXDL v1: an 83-byte header, then chunks: name, target length, operation, zstd frame. */
#include "format.h"
#include "oxdl_onnx.h"

#include <openssl/evp.h>
#include <zstd.h>

#define OXDL_MAGIC	  "OXDL"
#define OXDL_HEADER_BYTES 83
#define OXDL_CHUNK_BYTES  11	       /* the smallest */
#define OXDL_TARGET_MAX	  (1ull << 31) /* what protobuf can hold */
#define OXDL_LEVEL	  3

enum chunk_op { CHUNK_COPY, CHUNK_REPLACE, CHUNK_XOR };

static const struct view skeleton_name = {
	(const uint8_t *)"__skeleton__", (const uint8_t *)"__skeleton__" + 12};

struct chunk {
	struct view name, data;
	uint32_t len;
	uint8_t op;
};

bool lode_oxdl_is(const uint8_t *data, size_t len)
{
	return len >= 4 && !memcmp(data, OXDL_MAGIC, 4);
}

static bool same_view(struct view a, struct view b)
{
	return view_left(&a) == view_left(&b) && (a.p == a.end || !memcmp(a.p, b.p, view_left(&a)));
}

/* ---- reading ---- */

static bool read_chunk(struct view *v, struct chunk *c)
{
	uint8_t low, high;
	uint32_t data_len;
	return get_u8(v, &low) && get_u8(v, &high) &&
	       get_view(v, low | (size_t)high << 8, &c->name) && get_le32(v, &c->len) &&
	       get_u8(v, &c->op) && c->op <= CHUNK_XOR && get_le32(v, &data_len) &&
	       get_view(v, data_len, &c->data);
}

int lode_oxdl_parse(
	const uint8_t *data, size_t len, struct lode_oxdl_info *info, struct lode_err *err)
{
	if (!lode_oxdl_is(data, len) || len < OXDL_HEADER_BYTES)
		return lode_err_set(err, -EBADMSG, "no OXDL patch: %zu bytes", len);
	if (data[4] != 1)
		return lode_err_set(err, -ENOTSUP, "OXDL version %u: this build reads 1", data[4]);
	if (data[5] > LODE_OXDL_TENSOR)
		return lode_err_set(err, -EBADMSG, "OXDL strategy %u: 0 or 1 allowed", data[5]);
	info->strategy = data[5];
	memcpy(info->base_sha256, data + 6, LODE_DELTA_SHA256_SIZE);
	memcpy(info->target_sha256, data + 38, LODE_DELTA_SHA256_SIZE);
	info->target_bytes = lode_load_le64(data + 70);
	info->n_chunks = lode_load_le32(data + 78);
	info->format = data[82];
	if (info->n_chunks > (len - OXDL_HEADER_BYTES) / OXDL_CHUNK_BYTES)
		return lode_err_set(err, -EBADMSG, "OXDL patch of %zu bytes says %u chunks", len,
			info->n_chunks);
	if (info->target_bytes > OXDL_TARGET_MAX)
		return lode_err_set(err, -EFBIG, "OXDL target of %llu bytes: up to %llu allowed",
			(unsigned long long)info->target_bytes, OXDL_TARGET_MAX);
	struct view v = {data + OXDL_HEADER_BYTES, data + len};
	struct chunk c;
	for (uint32_t i = 0; i < info->n_chunks; i++)
		if (!read_chunk(&v, &c))
			return lode_err_set(err, -EBADMSG, "OXDL chunk %u is cut or malformed", i);
	return 0;
}

/* Decodes up to max bytes, growing with what really comes out. */
static bool unpack(
	struct view in, const uint8_t *dict, size_t dict_len, size_t max, struct buf *out)
{
	ZSTD_DCtx *dctx = ZSTD_createDCtx();
	ZSTD_inBuffer from = {in.p, view_left(&in), 0};
	size_t left = 1, start = out->len;
	bool ok = dctx && (!dict || !ZSTD_isError(ZSTD_DCtx_loadDictionary(dctx, dict, dict_len)));
	while (ok && left && from.pos <= from.size) {
		size_t n = LODE_MIN(max + 1 - (out->len - start), (size_t)(1 << 20));
		ZSTD_outBuffer to = {buf_room(out, n), n, 0};
		size_t was = from.pos;
		if (!to.dst) {
			ok = false;
			break;
		}
		left = ZSTD_decompressStream(dctx, &to, &from);
		out->len += to.pos;
		ok = !ZSTD_isError(left) && out->len - start <= max && (to.pos || from.pos > was);
	}
	ZSTD_freeDCtx(dctx);
	return ok && !left;
}

/* ---- applying ---- */

/* A tensor patch under way. */
struct rebuild {
	struct oxdl_tensors base;
	struct oxdl_tensor *t; /* of the target; offsets into bytes until all are there */
	size_t n;
	struct buf bytes, skeleton;
	bool has_skeleton;
};

static bool take_chunk(struct rebuild *r, const struct chunk *c)
{
	if (same_view(c->name, skeleton_name)) {
		r->skeleton.len = 0;
		r->has_skeleton = true;
		return unpack(c->data, NULL, 0, c->len, &r->skeleton);
	}
	const struct oxdl_tensor *base = oxdl_tensor_find(r->base.t, r->base.n, c->name);
	size_t start = r->bytes.len, base_len = base ? view_left(&base->bytes) : 0;
	if (c->op != CHUNK_REPLACE && !base)
		return false;
	if (c->op == CHUNK_COPY)
		put_bytes(&r->bytes, base->bytes.p, base_len);
	else if (!unpack(c->data, NULL, 0, c->len, &r->bytes))
		return false;
	if (c->op == CHUNK_XOR) {
		size_t len = r->bytes.len - start;
		for (size_t i = 0; i < LODE_MIN(len, base_len); i++)
			r->bytes.data[start + i] ^= base->bytes.p[i];
		if (base_len > len)
			put_bytes(&r->bytes, base->bytes.p + len, base_len - len);
	}
	r->t[r->n].name = c->name;
	r->t[r->n].bytes.p = (const uint8_t *)(uintptr_t)start;
	r->t[r->n++].bytes.end = (const uint8_t *)(uintptr_t)r->bytes.len;
	return !r->bytes.failed;
}

static int apply_tensor(const struct lode_oxdl_info *info, struct view chunks, struct view base,
	struct buf *out, struct lode_err *err)
{
	struct rebuild r = {0};
	struct chunk c;
	int rc = oxdl_tensors_read(&r.base, base);
	r.t = calloc(info->n_chunks + 1ul, sizeof(*r.t));
	if (rc || !r.t)
		rc = lode_err_set(err, rc ? rc : -ENOMEM, "OXDL: the base is no ONNX file");
	size_t max = (size_t)info->target_bytes * 2 + view_left(&base);
	for (uint32_t i = 0; !rc && i < info->n_chunks; i++)
		if (!read_chunk(&chunks, &c) || !take_chunk(&r, &c) || r.bytes.len > max)
			rc = lode_err_set(err, -EBADMSG, "OXDL chunk %u cannot be decoded", i);
	for (size_t i = 0; i < r.n; i++) {
		r.t[i].bytes.p = r.bytes.data + (size_t)r.t[i].bytes.p;
		r.t[i].bytes.end = r.bytes.data + (size_t)r.t[i].bytes.end;
	}
	struct view skeleton = {r.skeleton.data, r.skeleton.data + r.skeleton.len};
	if (!rc && (!r.has_skeleton || !oxdl_rebuild(skeleton, r.t, r.n, out)))
		rc = lode_err_set(err, -EBADMSG, "OXDL: the skeleton is missing or malformed");
	oxdl_tensors_clear(&r.base);
	free(r.t);
	buf_free(&r.bytes);
	buf_free(&r.skeleton);
	return rc;
}

static int apply_binary(const struct lode_oxdl_info *info, struct view chunks, struct view base,
	struct buf *out, struct lode_err *err)
{
	struct chunk c;
	if (info->n_chunks != 1 || !read_chunk(&chunks, &c))
		return lode_err_set(err, -EBADMSG, "OXDL binary patch with %u chunks: 1 allowed",
			info->n_chunks);
	if (c.len > OXDL_TARGET_MAX || !unpack(c.data, base.p, view_left(&base), c.len, out))
		return lode_err_set(err, -EBADMSG, "OXDL chunk cannot be decoded");
	return 0;
}

static void sha256(const uint8_t *data, size_t len, uint8_t *out)
{
	if (!EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL))
		memset(out, 0, LODE_DELTA_SHA256_SIZE);
}

int lode_oxdl_apply(const uint8_t *patch, size_t patch_len, const uint8_t *base, size_t base_len,
	uint8_t **target, size_t *target_len, struct lode_err *err)
{
	struct lode_oxdl_info info;
	struct buf out = {0};
	uint8_t digest[LODE_DELTA_SHA256_SIZE];
	int rc = lode_oxdl_parse(patch, patch_len, &info, err);
	if (rc)
		return rc;
	sha256(base, base_len, digest);
	if (memcmp(digest, info.base_sha256, sizeof(digest)))
		return lode_err_set(
			err, -ESTALE, "base SHA-256 is not the one this patch was made for");
	struct view chunks = {patch + OXDL_HEADER_BYTES, patch + patch_len};
	struct view from = {base, base + base_len};
	rc = info.strategy == LODE_OXDL_BINARY ? apply_binary(&info, chunks, from, &out, err)
					       : apply_tensor(&info, chunks, from, &out, err);
	if (!rc) {
		sha256(out.data, out.len, digest);
		if (memcmp(digest, info.target_sha256, sizeof(digest)))
			rc = lode_err_set(err, -EBADMSG, "OXDL: target SHA-256 differs");
	}
	if (rc) {
		buf_free(&out);
		return rc;
	}
	*target = out.data ? out.data : calloc(1, 1);
	*target_len = out.len;
	return *target ? 0 : -ENOMEM;
}

/* ---- writing ---- */

static uint8_t format_of(const uint8_t *data, size_t len)
{
	if (len > 4 && data[0] == 0x08)
		return 1;
	if (len < 9 || data[8] != '{')
		return 0;
	uint64_t header = lode_load_le64(data);
	return header > 2 && header < 100000000 ? 2 : 0;
}

static void put_header(struct buf *out, enum lode_oxdl_strategy strategy, struct view base,
	struct view target, uint32_t n_chunks)
{
	uint8_t digest[LODE_DELTA_SHA256_SIZE];
	put_bytes(out, OXDL_MAGIC, 4);
	put_u8(out, 1);
	put_u8(out, (uint8_t)strategy);
	sha256(base.p, view_left(&base), digest);
	put_bytes(out, digest, sizeof(digest));
	sha256(target.p, view_left(&target), digest);
	put_bytes(out, digest, sizeof(digest));
	uint64_t len = view_left(&target);
	put_bytes(out, &len, 8);
	put_le32(out, n_chunks);
	put_u8(out, strategy == LODE_OXDL_TENSOR ? format_of(target.p, view_left(&target)) : 0);
}

/* data NULL: a copy of len bytes. */
static void put_chunk(struct buf *out, struct view name, enum chunk_op op, const uint8_t *data,
	size_t len, struct view dict)
{
	size_t name_len = view_left(&name);
	uint8_t head[2] = {(uint8_t)name_len, (uint8_t)(name_len >> 8)};
	put_bytes(out, head, sizeof(head));
	put_bytes(out, name.p, name_len);
	put_le32(out, (uint32_t)len);
	put_u8(out, (uint8_t)op);
	put_le32(out, 0);
	if (!data)
		return;
	size_t at = out->len, bound = ZSTD_compressBound(len);
	ZSTD_CCtx *cctx = ZSTD_createCCtx();
	uint8_t *room = buf_room(out, bound);
	size_t n = cctx && room ? ZSTD_compress_usingDict(cctx, room, bound, data, len, dict.p,
					  view_left(&dict), OXDL_LEVEL)
				: 0;
	ZSTD_freeCCtx(cctx);
	if (!n || ZSTD_isError(n)) {
		out->failed = true;
		return;
	}
	out->len += n;
	lode_store_le32(out->data + at - 4, (uint32_t)n);
}

static void put_tensor(
	struct buf *out, const struct oxdl_tensors *base, const struct oxdl_tensor *t)
{
	const struct oxdl_tensor *b = oxdl_tensor_find(base->t, base->n, t->name);
	const struct view none = {0};
	size_t n = view_left(&t->bytes), base_len = b ? view_left(&b->bytes) : 0;
	/* the old reader gives a longer base's tail away with XOR, so shrunk tensors are replaced */
	if (!b || base_len > n) {
		put_chunk(
			out, t->name, CHUNK_REPLACE, n ? t->bytes.p : (const uint8_t *)"", n, none);
		return;
	}
	if (same_view(b->bytes, t->bytes)) {
		put_chunk(out, t->name, CHUNK_COPY, NULL, n, none);
		return;
	}
	uint8_t *xored = malloc(n);
	if (!xored) {
		out->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		xored[i] = t->bytes.p[i] ^ (i < base_len ? b->bytes.p[i] : 0);
	put_chunk(out, t->name, CHUNK_XOR, xored, n, none);
	free(xored);
}

static bool tensor_patch(struct view base, struct view target, struct buf *out)
{
	struct oxdl_tensors from = {0}, to = {0};
	struct buf skeleton = {0};
	const struct view none = {0};
	bool ok = format_of(base.p, view_left(&base)) == 1 &&
		  format_of(target.p, view_left(&target)) == 1 && oxdl_canonical(target) &&
		  !oxdl_tensors_read(&from, base) && !oxdl_tensors_read(&to, target) &&
		  oxdl_skeleton(target, &skeleton);
	if (ok) {
		put_header(out, LODE_OXDL_TENSOR, base, target, (uint32_t)to.n + 1);
		for (size_t i = 0; i < to.n; i++) {
			ok = ok && view_left(&to.t[i].name) <= UINT16_MAX;
			put_tensor(out, &from, &to.t[i]);
		}
		put_chunk(out, skeleton_name, CHUNK_REPLACE, skeleton.data, skeleton.len, none);
	}
	oxdl_tensors_clear(&from);
	oxdl_tensors_clear(&to);
	buf_free(&skeleton);
	return ok && !out->failed;
}

static bool applies(const struct buf *patch, struct view base, struct view target)
{
	uint8_t *made;
	size_t len;
	if (lode_oxdl_apply(patch->data, patch->len, base.p, view_left(&base), &made, &len, NULL))
		return false;
	free(made);
	return len == view_left(&target);
}

int lode_oxdl_diff(const uint8_t *base, size_t base_len, const uint8_t *target, size_t target_len,
	struct lode_delta_patch *patch, struct lode_err *err)
{
	struct view from = {base, base + base_len}, to = {target, target + target_len};
	struct buf tensor = {0}, binary = {0};
	*patch = (struct lode_delta_patch){0};
	if (target_len > UINT32_MAX || target_len > OXDL_TARGET_MAX)
		return lode_err_set(err, -EFBIG, "OXDL target of %zu bytes: up to %llu allowed",
			target_len, OXDL_TARGET_MAX);
	bool has_tensor = tensor_patch(from, to, &tensor) && applies(&tensor, from, to);
	put_header(&binary, LODE_OXDL_BINARY, from, to, 1);
	put_chunk(&binary, (struct view){0}, CHUNK_REPLACE, target, target_len, from);
	bool has_binary = !binary.failed && applies(&binary, from, to);
	if (has_tensor && (!has_binary || tensor.len <= binary.len)) {
		buf_free(&binary);
		binary = tensor;
		has_binary = true;
		tensor = (struct buf){0};
	}
	buf_free(&tensor);
	if (!has_binary || binary.len >= target_len) {
		buf_free(&binary);
		return lode_err_set(err, -EFBIG, "no OXDL patch is smaller than the target");
	}
	*patch = (struct lode_delta_patch){binary.data, binary.len};
	return 0;
}
