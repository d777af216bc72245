/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking out what nobody needs: old versions, patches between bytes that are gone, uploads that nobody goes on with, blobs
 * that nothing names. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOB_AGE_S    3600 /* a blob is written before it is named: the young ones stay */
#define UPLOAD_AGE_MS (INT64_C(7) * 86400 * 1000)

struct sweep {
	struct lode_api *api;
	int64_t now_ms;
	json_t *open;	  /* ids of open campaigns */
	json_t *used;	  /* "MODEL/VERSION" that something runs or is to run */
	json_t *versions; /* all of them, with "parent" and "id" added */
	json_t *named;	  /* hashes that versions and patches name */
	json_t *doomed;	  /* [parent, id] of documents to delete */
	unsigned n_removed;
};

static int each(struct sweep *w, enum lode_store_kind kind, const char *tag, lode_store_fn *fn,
	struct lode_err *err)
{
	struct lode_store_query q = {.tag = tag};
	return lode_store_list(w->api->store, kind, &q, fn, w, err);
}

static void doom(struct sweep *w, const char *parent, const char *id)
{
	json_array_append_new(w->doomed, json_pack("[s,s]", parent, id));
}

static int delete_doomed(struct sweep *w, enum lode_store_kind kind, struct lode_err *err)
{
	size_t i;
	json_t *d;
	int rc = 0;
	json_array_foreach(w->doomed, i, d)
	{
		int one = lode_store_delete(w->api->store, kind,
			json_string_value(json_array_get(d, 0)),
			json_string_value(json_array_get(d, 1)), err);
		rc = one && one != -ENOENT ? one : rc;
	}
	json_array_clear(w->doomed);
	return rc;
}

/* ---- versions: the newest of each model, and all that something needs ---- */

static void use(struct sweep *w, const char *model, const char *version)
{
	char key[2 * LODE_STORE_ID_MAX];
	snprintf(key, sizeof(key), "%s/%s", model, version);
	json_object_set_new(w->used, key, json_true());
}

/* What a device runs, is told to run, or would go back to; what an open campaign gives out. */
static int use_names(void *ctx, const struct lode_store_doc *doc)
{
	static const char *const pairs[][2] = {{"current_model", "current_model_version"},
		{"assigned_model", "assigned_model_version"}, {"model_id", "target_version"},
		{"previous_model", "previous_version"}};
	json_t *v = json_loads(doc->text, 0, NULL), *version;
	const char *model;
	for (size_t i = 0; i < LODE_ARRAY_LEN(pairs); i++)
		use(ctx, text_of(v, pairs[i][0]), text_of(v, pairs[i][1]));
	json_object_foreach(json_object_get(v, "running"), model, version)
		use(ctx, model, json_string_value(version) ? json_string_value(version) : "");
	json_decref(v);
	return 0;
}

static int use_campaign(void *ctx, const struct lode_store_doc *doc)
{
	struct sweep *w = ctx;
	json_object_set_new(w->open, doc->id, json_true());
	return use_names(ctx, doc);
}

static int use_target(void *ctx, const struct lode_store_doc *doc)
{
	struct sweep *w = ctx;
	return json_object_get(w->open, doc->parent) ? use_names(ctx, doc) : 0;
}

static int take_version(void *ctx, const struct lode_store_doc *doc)
{
	struct sweep *w = ctx;
	json_t *v = json_loads(doc->text, 0, NULL);
	if (!v)
		return -EIO;
	json_object_set_new(v, "parent", json_string(doc->parent));
	json_object_set_new(v, "id", json_string(doc->id));
	return json_array_append_new(w->versions, v) ? -ENOMEM : 0;
}

/* How many versions of the same model are newer. */
static unsigned rank(const json_t *versions, const json_t *v)
{
	size_t i;
	json_t *other;
	unsigned n = 0;
	json_array_foreach(versions, i, other) n +=
		!strcmp(text_of(other, "parent"), text_of(v, "parent")) &&
		(int_of(other, "uploaded_ms") > int_of(v, "uploaded_ms") ||
			(int_of(other, "uploaded_ms") == int_of(v, "uploaded_ms") &&
				strcmp(text_of(other, "id"), text_of(v, "id")) > 0));
	return n;
}

static bool needed(const struct sweep *w, const json_t *v)
{
	char key[2 * LODE_STORE_ID_MAX];
	snprintf(key, sizeof(key), "%s/%s", text_of(v, "parent"), text_of(v, "id"));
	return json_is_true(json_object_get(v, "pinned")) || json_object_get(w->used, key) ||
	       rank(w->versions, v) < w->api->options.keep_versions;
}

static int note_removal(struct sweep *w, const json_t *v, struct lode_err *err)
{
	char object[2 * LODE_STORE_ID_MAX];
	snprintf(object, sizeof(object), "%s/%s", text_of(v, "parent"), text_of(v, "id"));
	struct lode_audit e = {.time_ms = w->now_ms,
		.actor = "retention",
		.action = "model.delete",
		.object = object,
		.detail = "{}"};
	return lode_store_audit(w->api->store, &e, err);
}

static int retire_versions(struct sweep *w, struct lode_err *err)
{
	size_t i;
	json_t *v;
	int rc = each(w, LODE_DOC_VERSION, NULL, take_version, err);
	if (rc || !w->api->options.keep_versions)
		return rc;
	rc = each(w, LODE_DOC_DEVICE, NULL, use_names, err);
	rc = rc ? rc : each(w, LODE_DOC_CAMPAIGN, "open", use_campaign, err);
	rc = rc ? rc : each(w, LODE_DOC_TARGET, NULL, use_target, err);
	json_array_foreach(w->versions, i, v) if (!rc && !needed(w, v))
	{
		doom(w, text_of(v, "parent"), text_of(v, "id"));
		rc = note_removal(w, v, err);
	}
	return rc ? rc : delete_doomed(w, LODE_DOC_VERSION, err);
}

/* ---- what hangs on versions ---- */

static void name(struct sweep *w, const json_t *v)
{
	if (*text_of(v, "sha256"))
		json_object_set_new(w->named, text_of(v, "sha256"), json_true());
}

static int name_version(void *ctx, const struct lode_store_doc *doc)
{
	json_t *v = json_loads(doc->text, 0, NULL);
	name(ctx, v);
	json_decref(v);
	return 0;
}

/* A patch lives as long as a version has the bytes it leads to and one those it starts from. */
static int doom_patch(void *ctx, const struct lode_store_doc *doc)
{
	struct sweep *w = ctx;
	if (!json_object_get(w->named, doc->parent) || !json_object_get(w->named, doc->id))
		doom(w, doc->parent, doc->id);
	return 0;
}

static int name_patch(void *ctx, const struct lode_store_doc *doc)
{
	json_t *v = json_loads(doc->text, 0, NULL);
	name(ctx, json_object_get(v, "patch"));
	name(ctx, json_object_get(v, "oxdl"));
	json_decref(v);
	return 0;
}

/* What is in the store sealed is in it under another hash; of what nothing names any more the document goes too. */
static int name_sealed(void *ctx, const struct lode_store_doc *doc)
{
	struct sweep *w = ctx;
	json_t *v = json_loads(doc->text, 0, NULL);
	if (json_object_get(w->named, doc->id))
		json_object_set_new(w->named, text_of(v, "stored"), json_true());
	else if (w->now_ms - int_of(v, "since_ms") > BLOB_AGE_S * 1000)
		doom(w, doc->parent, doc->id);
	json_decref(v);
	return 0;
}

static int doom_upload(void *ctx, const struct lode_store_doc *doc)
{
	struct sweep *w = ctx;
	json_t *v = json_loads(doc->text, 0, NULL);
	if (w->now_ms - int_of(v, "created_ms") > UPLOAD_AGE_MS)
		doom(w, doc->parent, doc->id);
	json_decref(v);
	return 0;
}

static int sweep_documents(struct sweep *w, struct lode_err *err)
{
	int rc = retire_versions(w, err);
	rc = rc ? rc : each(w, LODE_DOC_VERSION, NULL, name_version, err);
	rc = rc ? rc : each(w, LODE_DOC_DELTA, NULL, doom_patch, err);
	rc = rc ? rc : delete_doomed(w, LODE_DOC_DELTA, err);
	rc = rc ? rc : each(w, LODE_DOC_UPLOAD, NULL, doom_upload, err);
	return rc ? rc : delete_doomed(w, LODE_DOC_UPLOAD, err);
}

static int collect_one(void *ctx, const char *sha256, uint64_t n_bytes)
{
	struct sweep *w = ctx;
	(void)n_bytes;
	if (!json_object_get(w->named, sha256) && !lode_blob_delete(w->api->blobs, sha256))
		w->n_removed++;
	return 0;
}

static int sweep_blobs(struct sweep *w, struct lode_err *err)
{
	json_object_clear(w->named);
	int rc = each(w, LODE_DOC_VERSION, NULL, name_version, err);
	rc = rc ? rc : each(w, LODE_DOC_DELTA, NULL, name_patch, err);
	rc = rc ? rc : each(w, LODE_DOC_SEALED, NULL, name_sealed, err);
	rc = rc ? rc : delete_doomed(w, LODE_DOC_SEALED, err);
	return rc ? rc : lode_blobs_list(w->api->blobs, w->now_ms, BLOB_AGE_S, collect_one, w);
}

static int in_transaction(
	struct sweep *w, int (*fn)(struct sweep *w, struct lode_err *err), struct lode_err *err)
{
	int rc = lode_store_begin(w->api->store, true, err);
	if (rc)
		return rc;
	rc = fn(w, err);
	if (!rc)
		return lode_store_commit(w->api->store, err);
	lode_store_rollback(w->api->store);
	return rc;
}

/* The documents first, and for good; then, while nobody can write others, the blobs that none of them names. */
unsigned lode_api_collect(struct lode_api *api, int64_t now_ms)
{
	struct lode_err err;
	struct sweep w = {.api = api,
		.now_ms = now_ms,
		.open = json_object(),
		.used = json_object(),
		.versions = json_array(),
		.named = json_object(),
		.doomed = json_array()};
	if (!in_transaction(&w, sweep_documents, &err))
		in_transaction(&w, sweep_blobs, &err);
	json_decref(w.open);
	json_decref(w.used);
	json_decref(w.versions);
	json_decref(w.named);
	json_decref(w.doomed);
	return w.n_removed;
}
