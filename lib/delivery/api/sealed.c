/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes sealed at rest. To the store a sealed blob is a blob like any other, under the hash of its sealed bytes; a
 * document says which plain bytes it holds. Appliances that show a key get the sealed bytes, the same for all, and
 * the content key wrapped for theirs; for everybody else they are opened on the way out. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int64_t sealed_find(
	struct lode_api *api, const char *sha, char stored[LODE_BLOB_HEX], uint64_t *plain_bytes)
{
	struct lode_err err;
	json_t *doc = load(api, LODE_DOC_SEALED, "", sha, NULL, &err);
	int64_t n_bytes = doc ? int_of(doc, "stored_bytes") : -ENOENT;
	snprintf(stored, LODE_BLOB_HEX, "%s", doc ? text_of(doc, "stored") : sha);
	*plain_bytes = doc ? (uint64_t)int_of(doc, "size_bytes") : 0;
	json_decref(doc);
	return n_bytes;
}

int64_t blob_bytes(struct lode_api *api, const char *sha)
{
	char stored[LODE_BLOB_HEX];
	uint64_t plain_bytes;
	if (sealed_find(api, sha, stored, &plain_bytes) < 0)
		return lode_blob_size(api->blobs, sha);
	int64_t rc = lode_blob_size(api->blobs, stored);
	return rc < 0 ? rc : (int64_t)plain_bytes;
}

int write_blob(void *ctx, const void *bytes, size_t len)
{
	struct into_store *to = ctx;
	return lode_blob_write(to->w, bytes, len, to->err);
}

/* Seals what fd has for our newest key, and says so in a document. */
static int seal_into_store(
	struct lode_api *api, int fd, const char *sha, int64_t now_ms, struct lode_err *err)
{
	uint8_t ours[LODE_SEAL_KEY_BYTES];
	char stored[LODE_BLOB_HEX], key[LODE_SEAL_KEY_NAME_LEN];
	const struct lode_seal_keys readers = {1, &ours};
	struct into_store to = {.err = err};
	const struct lode_seal_sink sink = {write_blob, &to};
	off_t n_bytes = lseek(fd, 0, SEEK_END);
	if (lode_seal_public(api->options.seal_keys->key[0], ours))
		return lode_err_set(err, -EINVAL, "the sealing key is none");
	lode_seal_key_name(ours, key);
	int rc = lode_blob_begin(api->blobs, NULL, (uint64_t)n_bytes, &to.w, NULL, err);
	if (rc)
		return rc;
	rc = lode_seal_file(fd, &sink, &readers, err);
	uint64_t stored_bytes = lode_blob_written(to.w);
	if (rc) {
		lode_blob_abandon(to.w);
		return rc;
	}
	rc = lode_blob_commit(to.w, NULL, stored, err);
	json_t *doc = json_pack("{s:s,s:I,s:I,s:I}", "stored", stored, "stored_bytes",
		(json_int_t)stored_bytes, "size_bytes", (json_int_t)n_bytes, "since_ms",
		(json_int_t)now_ms);
	if (!rc)
		rc = save(api, LODE_DOC_SEALED, "", sha, key, doc, LODE_STORE_ANY_REV, err);
	json_decref(doc);
	return rc;
}

int blob_keep(struct lode_api *api, struct lode_blob_writer *w, const char *expect, int64_t now_ms,
	char sha[LODE_BLOB_HEX], struct lode_err *err)
{
	if (!api->options.seal_keys)
		return lode_blob_commit(w, expect, sha, err);
	int fd = lode_blob_peek(w, sha);
	int rc = fd < 0 ? lode_err_set(err, fd, "an upload cannot be read") : 0;
	if (!rc && expect && strcmp(expect, sha) != 0)
		rc = lode_err_set(
			err, -EBADMSG, "the bytes have SHA-256 %s, %s was promised", sha, expect);
	if (!rc && blob_bytes(api, sha) < 0)
		rc = seal_into_store(api, fd, sha, now_ms, err);
	if (!rc || rc == -EBADMSG)
		lode_blob_abandon(w); /* it is in the store, or worth nothing */
	else
		lode_blob_suspend(w);
	return rc;
}

/* ---- reading ---- */

int lode_api_view_open(struct lode_api *api, const char *sha, bool wait, struct lode_api_view *v)
{
	static const struct lode_seal_keys none;
	const struct lode_seal_keys *keys = api->options.seal_keys;
	char stored[LODE_BLOB_HEX];
	uint64_t plain_bytes;
	struct lode_err err;
	bool sealed = sealed_find(api, sha, stored, &plain_bytes) >= 0;
	*v = (struct lode_api_view){.fd = wait ? lode_blob_open(api->blobs, stored)
					       : lode_blob_open_soon(api->blobs, stored)};
	if (v->fd < 0)
		return v->fd;
	v->n_bytes = (uint64_t)lode_blob_size(api->blobs, stored);
	if (!sealed)
		return 0;
	int rc = lode_seal_reader_open(v->fd, keys ? keys : &none, NULL, &v->sealed, &err);
	v->fd = -1;
	v->n_bytes = rc ? 0 : lode_seal_reader_size(v->sealed);
	return rc;
}

void lode_api_view_close(struct lode_api_view *v)
{
	if (v->fd >= 0)
		close(v->fd);
	lode_seal_reader_close(v->sealed);
	*v = (struct lode_api_view){.fd = -1};
}

int view_map(struct lode_api_view *v, const uint8_t **data)
{
	struct lode_err err;
	int fd = v->sealed ? memfd_create("plain", MFD_CLOEXEC) : v->fd;
	int rc = fd < 0 ? -errno : v->sealed ? lode_seal_open_file(v->sealed, fd, &err) : 0;
	void *p = rc ? MAP_FAILED : mmap(NULL, v->n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!rc && p == MAP_FAILED)
		rc = -errno;
	if (v->sealed && fd >= 0)
		close(fd);
	*data = rc ? NULL : p;
	return rc;
}

/* ---- the plan of an appliance that shows its key ---- */

static bool read_hex_key(const char *text, uint8_t key[LODE_SEAL_KEY_BYTES])
{
	if (!text || !lode_blob_name_ok(text)) /* as many hex digits as a hash */
		return false;
	for (unsigned i = 0; i < LODE_SEAL_KEY_BYTES; i++) {
		char byte[3] = {text[2 * i], text[2 * i + 1], 0};
		key[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return true;
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
	char text[2 * LODE_SEAL_WRAP_BYTES + 1];
	lode_hex(bytes, len, text);
	return json_string(text);
}

uint64_t plan_sealed(struct call *c, json_t *step)
{
	uint8_t key[LODE_SEAL_KEY_BYTES], wrap[LODE_SEAL_WRAP_BYTES];
	char stored[LODE_BLOB_HEX];
	uint64_t plain_bytes;
	struct lode_api_view v;
	struct lode_err err;
	uint64_t n_bytes = (uint64_t)int_of(step, "size_bytes");
	int64_t stored_bytes = sealed_find(c->api, text_of(step, "sha256"), stored, &plain_bytes);
	if (stored_bytes < 0 || !read_hex_key(c->req->query(c->req->ctx, "seal_key"), key) ||
		lode_api_view_open(c->api, text_of(step, "sha256"), false, &v))
		return n_bytes;
	if (v.sealed && !lode_seal_reader_wrap(v.sealed, key, wrap, &err)) {
		json_object_set_new(step, "sha256", json_string(stored));
		json_object_set_new(step, "size_bytes", json_integer(stored_bytes));
		json_object_set_new(step, "wrapped_key", hex(wrap, sizeof(wrap)));
		n_bytes = (uint64_t)stored_bytes;
	}
	lode_api_view_close(&v);
	return n_bytes;
}
