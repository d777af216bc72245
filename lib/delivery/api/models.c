/* SPDX-License-Identifier: BSD-3-Clause */
/* Model versions: immutable once they are there. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model_names {
	json_t *items;
	unsigned limit;
	char last[LODE_STORE_ID_MAX];
};

static int add_model(void *ctx, const struct lode_store_doc *doc)
{
	struct model_names *m = ctx;
	if (!strcmp(m->last, doc->parent))
		return 0;
	if (json_array_size(m->items) == m->limit)
		return 1; /* there is a further page */
	snprintf(m->last, sizeof(m->last), "%s", doc->parent);
	return json_array_append_new(m->items, json_pack("{s:s}", "model_id", doc->parent))
		       ? -ENOMEM
		       : 0;
}

void model_list(struct call *c)
{
	struct lode_err err;
	struct model_names m = {.items = json_array(), .limit = page_limit(c)};
	const char *after = c->req->query(c->req->ctx, "after");
	/* '~' is behind all that versions are named with: behind the last of that model. */
	struct lode_store_query q = {.after_parent = after, .after_id = after ? "~" : NULL};
	int rc = lode_store_list(c->api->store, LODE_DOC_VERSION, &q, add_model, &m, &err);
	if (rc < 0) {
		json_decref(m.items);
		answer_err(c, &err);
		return;
	}
	answer(c, 200, json_pack("{s:o,s:s?}", "items", m.items, "next", rc == 1 ? m.last : NULL));
}

static int add_version(void *ctx, const struct lode_store_doc *doc)
{
	json_t *v = json_loads(doc->text, 0, NULL);
	return v && !json_array_append_new(ctx, v) ? 0 : -EIO;
}

/* All versions of a model, or NULL with the error set. */
static json_t *versions_of(struct lode_api *api, const char *model, struct lode_err *err)
{
	struct lode_store_query q = {.parent = model};
	json_t *all = json_array();
	int rc = lode_store_list(api->store, LODE_DOC_VERSION, &q, add_version, all, err);
	if (!rc && !json_array_size(all))
		rc = lode_err_set(err, -ENOENT, "model %s has no versions", model);
	if (!rc)
		return all;
	json_decref(all);
	return NULL;
}

void model_get(struct call *c)
{
	struct lode_err err;
	json_t *all = versions_of(c->api, c->parts[0], &err);
	if (all)
		answer(c, 200, json_pack("{s:s,s:o}", "model_id", c->parts[0], "versions", all));
	else
		answer_err(c, &err);
}

/* The version that was uploaded last before this one: what most devices run. */
static void want_delta_from_newest(struct call *c, const char *model, const char *sha)
{
	struct lode_err err;
	json_t *all = versions_of(c->api, model, &err), *v, *newest = NULL;
	size_t i;
	json_array_foreach(all, i,
		v) if (strcmp(text_of(v, "sha256"), sha) &&
		       (!newest || int_of(v, "uploaded_ms") > int_of(newest, "uploaded_ms")))
		newest = v;
	if (newest)
		delta_want(c->api, text_of(newest, "sha256"), sha, c->req->now_ms);
	json_decref(all);
}

/* Registers a blob that is there as a version. The same bytes again are no error. */
static void add_as_version(struct call *c, const char *model, const char *version, const char *sha)
{
	struct lode_err err;
	int64_t n_bytes = blob_bytes(c->api, sha);
	json_t *doc = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I}", "model_id", model, "version", version,
		"sha256", sha, "size_bytes", (json_int_t)n_bytes, "uploaded_at",
		(json_int_t)(c->req->now_ms / 1000), "uploaded_ms", (json_int_t)c->req->now_ms);
	int rc = save(c->api, LODE_DOC_VERSION, model, version, "", doc, LODE_STORE_NEW, &err);
	if (rc == -EEXIST) {
		json_t *old = load(c->api, LODE_DOC_VERSION, model, version, NULL, &err);
		bool same = old && !strcmp(text_of(old, "sha256"), sha);
		json_decref(old);
		if (same)
			answer(c, 200, doc);
		else
			answer_error(c, 409,
				"%s %s is there with other bytes: versions never change", model,
				version);
		if (!same)
			json_decref(doc);
		return;
	}
	/* Bytes that were here already may have been collected in this moment. */
	if (!rc && blob_bytes(c->api, sha) < 0) {
		struct lode_err ignored;
		lode_store_delete(c->api->store, LODE_DOC_VERSION, model, version, &ignored);
		rc = lode_err_set(
			&err, -EAGAIN, "the bytes have just been taken out: upload again");
	}
	if (!rc)
		rc = audit(c, "model.upload", model, doc, &err);
	if (rc) {
		json_decref(doc);
		answer_err(c, &err);
		return;
	}
	want_delta_from_newest(c, model, sha);
	answer(c, 201, doc);
}

void version_upload(struct call *c)
{
	char sha[LODE_BLOB_HEX];
	struct lode_err err;
	const char *expect = c->req->header(c->req->ctx, "X-Content-SHA256");
	if (!c->writer || !lode_blob_written(c->writer)) {
		answer_error(c, 400, "an upload needs a body: the model's bytes");
		return;
	}
	int rc = blob_keep(c->api, c->writer, expect, c->req->now_ms, sha, &err);
	c->writer = NULL;
	if (rc)
		answer_err(c, &err);
	else
		add_as_version(c, c->parts[0], c->parts[1], sha);
}

void version_meta(struct call *c)
{
	struct lode_err err;
	json_t *v = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], NULL, &err);
	if (v)
		answer(c, 200, v);
	else
		answer_err(c, &err);
}

/* Sends a patch when the device has the base and one is ready and smaller, else the file. A missing
 * patch is ordered for the next who asks. */
static bool send_delta(struct call *c, const char *model, const char *sha, int64_t n_bytes)
{
	const char *base_version = c->req->header(c->req->ctx, "X-Oxide-Base-Version");
	const char *accept = c->req->header(c->req->ctx, "Accept");
	bool oxdl = !accept || !strstr(accept, "application/x-lodestone-delta");
	const char *strategy = "";
	char blob[LODE_BLOB_HEX];
	struct lode_err err;
	if (!base_version || !id_ok(base_version) || (oxdl && n_bytes > OXDL_MAX_BYTES))
		return false;
	json_t *base = load(c->api, LODE_DOC_VERSION, model, base_version, NULL, &err);
	if (!base)
		return false;
	char base_sha[LODE_BLOB_HEX];
	snprintf(base_sha, sizeof(base_sha), "%s", text_of(base, "sha256"));
	json_decref(base);
	delta_find(c->api, base_sha, sha, oxdl, blob, &strategy);
	if (!*blob) {
		delta_want(c->api, base_sha, sha, c->req->now_ms);
		return false;
	}
	memcpy(c->reply->blob, blob, sizeof(blob));
	c->reply->type = oxdl ? "application/x-oxide-delta" : "application/x-lodestone-delta";
	answer_header(c, "X-Oxide-Delta-Strategy", "%s", strategy);
	answer_header(c, "X-Oxide-Delta-Base", "%s", base_version);
	answer_header(c, "X-Oxide-Target-SHA256", "%s", sha);
	answer_header(c, "X-Oxide-Target-Size", "%lld", (long long)n_bytes);
	return true;
}

void version_download(struct call *c)
{
	struct lode_err err;
	if (campaign_withholds(c, c->parts[0], c->parts[1]))
		return;
	json_t *v = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], NULL, &err);
	if (!v) {
		answer_err(c, &err);
		return;
	}
	const char *sha = text_of(v, "sha256");
	int64_t n_bytes = int_of(v, "size_bytes");
	c->reply->status = 200;
	if (!send_delta(c, c->parts[0], sha, n_bytes)) {
		snprintf(c->reply->blob, sizeof(c->reply->blob), "%s", sha);
		c->reply->type = "application/octet-stream";
		answer_header(c, "X-Oxide-SHA256", "%s", sha);
	}
	json_decref(v);
	int64_t served = blob_bytes(c->api, c->reply->blob);
	if (served < 0) {
		answer_error(c, 500, "the bytes of %s %s are not in the store", c->parts[0],
			c->parts[1]);
		c->reply->blob[0] = 0;
		return;
	}
	const char *device = asking_device(c);
	/* A transfer that goes on by range counts once, when it begins. */
	if (device && !c->req->header(c->req->ctx, "Range"))
		campaign_count_bytes(c->api, device, c->parts[0], (uint64_t)served,
			(uint64_t)(n_bytes - served));
}

/* Is it what an open campaign gives out? */
static int names_version(void *ctx, const struct lode_store_doc *doc)
{
	struct call *c = ctx;
	json_t *k = json_loads(doc->text, 0, NULL);
	bool same = !strcmp(text_of(k, "model_id"), c->parts[0]) &&
		    !strcmp(text_of(k, "target_version"), c->parts[1]);
	json_decref(k);
	return same;
}

void version_delete(struct call *c)
{
	struct lode_err err, ignored;
	struct lode_store_query q = {.tag = "open"};
	json_t *v = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], NULL, &err);
	if (!v) {
		answer_err(c, &err);
		return;
	}
	bool pinned = json_is_true(json_object_get(v, "pinned"));
	json_decref(v);
	int rc = lode_store_list(c->api->store, LODE_DOC_CAMPAIGN, &q, names_version, c, &err);
	if (rc == 1 || pinned) {
		answer_error(c, 409,
			pinned ? "the version is pinned" : "an open campaign needs the version");
		return;
	}
	if (!rc)
		rc = lode_store_delete(
			c->api->store, LODE_DOC_VERSION, c->parts[0], c->parts[1], &err);
	lode_store_delete(c->api->store, LODE_DOC_RELEASE, c->parts[0], c->parts[1], &ignored);
	if (!rc)
		rc = audit(c, "model.delete", c->parts[0], NULL, &err);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 200, json_pack("{s:s}", "status", "deleted"));
}

void version_pin(struct call *c)
{
	struct lode_err err;
	int64_t rev;
	json_t *v = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], &rev, &err);
	json_t *pinned = json_object_get(c->body, "pinned");
	if (!v || !json_is_boolean(pinned)) {
		if (!v)
			answer_err(c, &err);
		else
			answer_error(c, 400, "'pinned' is true or false");
		json_decref(v);
		return;
	}
	json_object_set(v, "pinned", pinned);
	if (save(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], "", v, rev, &err)) {
		json_decref(v);
		answer_err(c, &err);
		return;
	}
	answer(c, 200, v);
}

/* ---- uploads that can be continued: POST /uploads, then PUT /uploads/ID with Upload-Offset ---- */

void upload_create(struct call *c)
{
	struct lode_err err;
	char id[LODE_STORE_ID_MAX], key[3 * LODE_STORE_ID_MAX], hash[LODE_BLOB_HEX];
	const char *model = body_id(c, "model_id");
	const char *version = model ? body_id(c, "version") : NULL;
	const char *sha = body_text(c, "sha256", "");
	if (!version)
		return;
	if (!lode_blob_name_ok(sha)) {
		answer_error(c, 400, "'sha256' is 64 lower-case hex digits");
		return;
	}
	if (blob_bytes(c->api, sha) >= 0) {
		add_as_version(c, model, version, sha); /* the bytes are here already */
		return;
	}
	/* Of the same bytes under another name it is another upload. */
	snprintf(key, sizeof(key), "%s/%s/%s", model, version, sha);
	lode_api_token_hash(key, hash);
	snprintf(id, sizeof(id), "up-%s", hash);
	json_t *doc = json_pack("{s:s,s:s,s:s,s:s,s:I}", "id", id, "model_id", model, "version",
		version, "sha256", sha, "created_ms", (json_int_t)c->req->now_ms);
	if (save(c->api, LODE_DOC_UPLOAD, "", id, "", doc, LODE_STORE_ANY_REV, &err)) {
		json_decref(doc);
		answer_err(c, &err);
		return;
	}
	answer(c, 201, doc);
}

void upload_get(struct call *c)
{
	struct lode_err err;
	json_t *doc = load(c->api, LODE_DOC_UPLOAD, "", c->parts[0], NULL, &err);
	if (!doc) {
		answer_err(c, &err);
		return;
	}
	json_object_set_new(doc, "offset",
		json_integer((json_int_t)lode_blob_part_bytes(c->api->blobs, c->parts[0])));
	answer(c, 200, doc);
}

static bool upload_is_known(struct call *c)
{
	struct lode_err err;
	json_t *doc = load(c->api, LODE_DOC_UPLOAD, "", c->parts[0], NULL, &err);
	if (!doc)
		answer_err(c, &err);
	json_decref(doc);
	return doc;
}

int upload_begin(struct call *c, struct lode_blob_writer **writer)
{
	struct lode_err err;
	const char *offset = c->req->header(c->req->ctx, "Upload-Offset");
	bool resumable = !strcmp(c->req->method, "PUT");
	uint64_t have = 0;
	if (c->req->content_length > LODE_API_BLOB_MAX) {
		answer_error(c, 413, "models have up to %llu bytes", LODE_API_BLOB_MAX);
		return -EFBIG;
	}
	if (resumable && !upload_is_known(c))
		return -ENOENT;
	int rc = lode_blob_begin(c->api->blobs, resumable ? c->parts[0] : NULL,
		c->req->content_length, writer, &have, &err);
	if (rc == -EBUSY)
		answer_error(
			c, 409, "another request writes to this upload: go on when it has ended");
	else if (rc)
		answer_err(c, &err);
	if (rc)
		return rc;
	bool digits = offset && *offset && !offset[strspn(offset, "0123456789")];
	if (resumable && (!digits || strtoull(offset, NULL, 10) != have)) {
		lode_blob_suspend(*writer);
		*writer = NULL;
		answer_error(c, 409, "Upload-Offset is %s, %llu bytes are here",
			offset ? offset : "missing", (unsigned long long)have);
		return -ESTALE;
	}
	return 0;
}

void upload_append(struct call *c)
{
	struct lode_err err;
	char sha[LODE_BLOB_HEX];
	const char *complete = c->req->header(c->req->ctx, "Upload-Complete");
	json_t *doc = load(c->api, LODE_DOC_UPLOAD, "", c->parts[0], NULL, &err);
	if (!doc || !c->writer) {
		json_decref(doc);
		answer_error(c, 404, "no such upload");
		return;
	}
	uint64_t have = lode_blob_written(c->writer);
	if (!complete ||
		strcmp(complete, "?1") != 0) { /* a structured boolean, as RFC 9651 writes it */
		answer(c, 200, json_pack("{s:I}", "offset", (json_int_t)have));
		json_decref(doc);
		return;
	}
	int rc = blob_keep(c->api, c->writer, text_of(doc, "sha256"), c->req->now_ms, sha, &err);
	c->writer = NULL;
	if (rc) {
		answer_err(c, &err);
	} else {
		struct lode_err ignored;
		lode_store_delete(c->api->store, LODE_DOC_UPLOAD, "", c->parts[0], &ignored);
		add_as_version(c, text_of(doc, "model_id"), text_of(doc, "version"), sha);
	}
	json_decref(doc);
}
