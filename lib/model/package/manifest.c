/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"

#include <openssl/evp.h>
#include <stdio.h>

typedef uint8_t digest[LODE_SHA256_BYTES];

enum { CHUNK_BYTES = 1 << 20 };

static bool sha256_begin(EVP_MD_CTX *ctx)
{
	return EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
}

/* Feeds the extent to the digest of its file and to its own, a chunk at a time, while it is in the
 * cache. */
static bool hash_extent(
	EVP_MD_CTX *file, EVP_MD_CTX *own, const uint8_t *data, uint64_t n_bytes, digest out)
{
	bool ok = sha256_begin(own);
	for (uint64_t at = 0; ok && at < n_bytes; at += CHUNK_BYTES) {
		size_t n = LODE_MIN(n_bytes - at, (uint64_t)CHUNK_BYTES);
		ok = EVP_DigestUpdate(file, data + at, n) == 1 &&
		     EVP_DigestUpdate(own, data + at, n) == 1;
	}
	return ok && EVP_DigestFinal_ex(own, out, NULL) == 1;
}

static bool hash_file(struct lode_manifest *m, const struct lode_package *pkg, uint32_t f,
	EVP_MD_CTX *file, EVP_MD_CTX *own)
{
	bool ok = sha256_begin(file);
	for (size_t i = 0; ok && i < pkg->files[f].n_extents; i++) {
		size_t at = pkg->files[f].first_extent + i;
		const struct lode_extent *e = &pkg->extents[at];
		ok = hash_extent(
			file, own, lode_extent_data(pkg, e), e->n_bytes, m->extent_sha256[at]);
	}
	return ok && EVP_DigestFinal_ex(file, m->file_sha256[f], NULL) == 1;
}

static bool hash_leaf(const struct lode_package *pkg, const struct lode_extent *e,
	const digest content, EVP_MD_CTX *ctx, digest out)
{
	uint8_t head[18] = {0x00};
	memcpy(head + 1, &e->offset_bytes, 8);
	memcpy(head + 9, &e->n_bytes, 8);
	head[17] = (uint8_t)e->dtype;
	const char *file = pkg->files[e->file_idx].name;
	return sha256_begin(ctx) && EVP_DigestUpdate(ctx, head, sizeof(head)) == 1 &&
	       EVP_DigestUpdate(ctx, content, LODE_SHA256_BYTES) == 1 &&
	       EVP_DigestUpdate(ctx, file, strlen(file) + 1) == 1 &&
	       EVP_DigestUpdate(ctx, e->name, strlen(e->name)) == 1 &&
	       EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

/* Level by level from the left, an odd node moves up unchanged: the same tree as RFC 6962 2.1. */
static bool merkle(digest *node, size_t n, EVP_MD_CTX *ctx, digest root)
{
	static const uint8_t inner = 0x01;
	bool ok = true;
	while (ok && n > 1) {
		for (size_t i = 0; ok && i + 1 < n; i += 2)
			ok = sha256_begin(ctx) && EVP_DigestUpdate(ctx, &inner, 1) == 1 &&
			     EVP_DigestUpdate(ctx, node[i], 2 * LODE_SHA256_BYTES) == 1 &&
			     EVP_DigestFinal_ex(ctx, node[i / 2], NULL) == 1;
		if (n & 1)
			memmove(node[n / 2], node[n - 1], LODE_SHA256_BYTES);
		n = (n + 1) / 2;
	}
	if (n)
		memcpy(root, node[0], LODE_SHA256_BYTES);
	else /* the hash of nothing */
		ok = sha256_begin(ctx) && EVP_DigestFinal_ex(ctx, root, NULL) == 1;
	return ok;
}

int lode_manifest_make(
	struct lode_manifest *m, const struct lode_package *pkg, struct lode_err *err)
{
	*m = (struct lode_manifest){
		.file_sha256 = calloc(pkg->n_files + 1, LODE_SHA256_BYTES),
		.extent_sha256 = calloc(pkg->n_extents + 1, LODE_SHA256_BYTES),
	};
	digest *leaves = calloc(pkg->n_extents + 1, LODE_SHA256_BYTES);
	EVP_MD_CTX *file = EVP_MD_CTX_new(), *own = EVP_MD_CTX_new();
	bool ok = m->file_sha256 && m->extent_sha256 && leaves && file && own;
	for (uint32_t f = 0; ok && f < pkg->n_files; f++)
		ok = hash_file(m, pkg, f, file, own);
	for (size_t i = 0; ok && i < pkg->n_extents; i++)
		ok = hash_leaf(pkg, &pkg->extents[i], m->extent_sha256[i], own, leaves[i]);
	ok = ok && merkle(leaves, pkg->n_extents, own, m->merkle_root);
	EVP_MD_CTX_free(file);
	EVP_MD_CTX_free(own);
	free(leaves);
	if (ok)
		return 0;
	lode_manifest_free(m);
	return lode_err_set(
		err, -ENOMEM, "no memory for a manifest of %zu extents", pkg->n_extents);
}

void lode_manifest_free(struct lode_manifest *m)
{
	free(m->file_sha256);
	free(m->extent_sha256);
	*m = (struct lode_manifest){0};
}

static void scan_digest(struct lode_json *json, const char *key, const digest d)
{
	char hex[2 * LODE_SHA256_BYTES + 1];
	for (int i = 0; i < LODE_SHA256_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", d[i]);
	lode_json_string(json, key, hex);
}

static void json_file(struct lode_json *json, const struct lode_package_file *f, const digest d)
{
	lode_json_object(json, NULL);
	lode_json_string(json, "name", f->name);
	lode_json_string(json, "format", lode_format_name(f->format));
	lode_json_u64(json, "bytes", f->n_bytes);
	scan_digest(json, "sha256", d);
	lode_json_string(json, "note", f->note);
	lode_json_close_object(json);
}

static void json_tensor(struct lode_json *json, const struct lode_package *pkg,
	const struct lode_extent *e, const digest d)
{
	lode_json_object(json, NULL);
	lode_json_string(json, "name", e->name);
	lode_json_string(json, "file", pkg->files[e->file_idx].name);
	lode_json_string(json, "dtype", lode_dtype_name(e->dtype));
	lode_json_array(json, "shape");
	for (uint32_t i = 0; i < e->rank; i++)
		lode_json_u64(json, NULL, e->dims[i]);
	lode_json_close_array(json);
	lode_json_u64(json, "offset", e->offset_bytes);
	lode_json_u64(json, "bytes", e->n_bytes);
	scan_digest(json, "sha256", d);
	lode_json_close_object(json);
}

void lode_manifest_json(
	const struct lode_manifest *m, const struct lode_package *pkg, struct lode_json *json)
{
	lode_json_object(json, NULL);
	scan_digest(json, "merkle_root", m->merkle_root);
	lode_json_array(json, "files");
	for (uint32_t f = 0; f < pkg->n_files; f++)
		json_file(json, &pkg->files[f], m->file_sha256[f]);
	lode_json_close_array(json);
	lode_json_array(json, "tensors");
	for (size_t i = 0; i < pkg->n_extents; i++)
		if (pkg->extents[i].name[0])
			json_tensor(json, pkg, &pkg->extents[i], m->extent_sha256[i]);
	lode_json_close_array(json);
	lode_json_close_object(json);
}
