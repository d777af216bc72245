/* SPDX-License-Identifier: BSD-3-Clause */
/* Patches between blobs, made once and kept. They are named by the hashes at both ends, so a
 * patch can never belong to other bytes. Tags: wanted, working, ready, useless, failed. */
#include "api.h"
#include "lode_delta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STUCK_MS (30 * 60 * 1000) /* a worker that has died held it */

void delta_want(struct lode_api *api, const char *base_sha, const char *target_sha, int64_t now_ms)
{
	struct lode_err err;
	json_t *doc = json_pack("{s:I}", "since_ms", (json_int_t)now_ms);
	if (strcmp(base_sha, target_sha) != 0)
		save(api, LODE_DOC_DELTA, target_sha, base_sha, "wanted", doc, LODE_STORE_NEW,
			&err);
	json_decref(doc);
}

void delta_find(struct lode_api *api, const char *base_sha, const char *target_sha, bool oxdl,
	char blob[LODE_BLOB_HEX], const char **strategy)
{
	struct lode_err err;
	json_t *doc = load(api, LODE_DOC_DELTA, target_sha, base_sha, NULL, &err);
	const json_t *patch = json_object_get(doc, oxdl ? "oxdl" : "patch");
	snprintf(blob, LODE_BLOB_HEX, "%s", text_of(patch, "sha256"));
	*strategy = !oxdl					    ? "lodestone"
		    : !strcmp(text_of(patch, "strategy"), "tensor") ? "tensor"
								    : "binary";
	json_decref(doc);
}

static int map_blob(struct lode_api *api, const char *sha, const uint8_t **data, size_t *len)
{
	struct lode_api_view v;
	int rc = lode_api_view_open(api, sha, true, &v);
	if (!rc)
		rc = v.n_bytes ? view_map(&v, data) : -ENOENT;
	*len = rc ? 0 : v.n_bytes;
	lode_api_view_close(&v);
	return rc;
}

/* Keeps a patch as a blob; NULL when that fails. */
static json_t *keep(struct lode_api *api, const struct lode_delta_patch *p, const char *strategy,
	int64_t now_ms)
{
	struct lode_blob_writer *w;
	struct lode_err err;
	char sha[LODE_BLOB_HEX];
	if (lode_blob_begin(api->blobs, NULL, p->len, &w, NULL, &err))
		return NULL;
	if (lode_blob_write(w, p->data, p->len, &err)) {
		lode_blob_abandon(w);
		return NULL;
	}
	if (blob_keep(api, w, NULL, now_ms, sha, &err))
		return NULL;
	return json_pack("{s:s,s:I,s:s}", "sha256", sha, "size_bytes", (json_int_t)p->len,
		"strategy", strategy);
}

struct pair {
	const uint8_t *base, *target;
	size_t base_len, target_len;
};

static void make_patch(struct lode_api *api, const struct pair *y, json_t *doc)
{
	struct lode_delta_input base = {.data = y->base, .size = y->base_len};
	struct lode_delta_input target = {.data = y->target, .size = y->target_len};
	struct lode_delta_job job = {.base = &base, .target = &target, .n_base = 1, .n_target = 1};
	struct lode_delta_patch patch = {0};
	struct lode_err err;
	if (!lode_delta_diff(&job, &patch, NULL, &err) && patch.len < y->target_len) {
		json_t *kept = keep(api, &patch, "lodestone", int_of(doc, "since_ms"));
		if (kept)
			json_object_set_new(doc, "patch", kept);
	}
	free(patch.data);
}

static void make_oxdl(struct lode_api *api, const struct pair *y, json_t *doc)
{
	struct lode_delta_patch patch = {0};
	struct lode_oxdl_info info;
	struct lode_err err;
	if (y->target_len > OXDL_MAX_BYTES || y->base_len > OXDL_MAX_BYTES)
		return;
	if (!lode_oxdl_diff(y->base, y->base_len, y->target, y->target_len, &patch, &err) &&
		!lode_oxdl_parse(patch.data, patch.len, &info, &err)) {
		json_t *kept =
			keep(api, &patch, info.strategy == LODE_OXDL_TENSOR ? "tensor" : "binary",
				int_of(doc, "since_ms"));
		if (kept)
			json_object_set_new(doc, "oxdl", kept);
	}
	free(patch.data);
}

static const char *make_both(
	struct lode_api *api, const char *base_sha, const char *target_sha, json_t *doc)
{
	struct pair y = {0};
	const char *tag = "failed";
	if (!map_blob(api, base_sha, &y.base, &y.base_len) &&
		!map_blob(api, target_sha, &y.target, &y.target_len)) {
		make_patch(api, &y, doc);
		make_oxdl(api, &y, doc);
		tag = json_object_get(doc, "patch") || json_object_get(doc, "oxdl") ? "ready"
										    : "useless";
	}
	if (y.base)
		munmap((void *)y.base, y.base_len);
	if (y.target)
		munmap((void *)y.target, y.target_len);
	return tag;
}

static int take_first(void *ctx, const struct lode_store_doc *doc)
{
	struct lode_store_doc *to = ctx;
	*to = *doc;
	to->text = NULL;
	return 1;
}

/* One with this tag, made ours by its revision; NULL when there is none or another was faster. */
static json_t *claim(struct lode_api *api, const char *tag, int64_t older_than_ms, int64_t now_ms,
	struct lode_store_doc *job)
{
	struct lode_err err;
	struct lode_store_query q = {.tag = tag, .limit = 1};
	if (lode_store_list(api->store, LODE_DOC_DELTA, &q, take_first, job, &err) != 1)
		return NULL;
	json_t *doc = load(api, LODE_DOC_DELTA, job->parent, job->id, &job->rev, &err);
	if (doc && int_of(doc, "since_ms") > older_than_ms) {
		json_decref(doc);
		return NULL;
	}
	json_object_set_new(doc, "since_ms", json_integer(now_ms));
	if (doc && !save(api, LODE_DOC_DELTA, job->parent, job->id, "working", doc, job->rev, &err))
		return doc;
	json_decref(doc);
	return NULL;
}

bool lode_api_make_delta(struct lode_api *api, int64_t now_ms)
{
	struct lode_store_doc job;
	struct lode_err err;
	json_t *doc = claim(api, "wanted", INT64_MAX, now_ms, &job);
	if (!doc)
		doc = claim(api, "working", now_ms - STUCK_MS, now_ms, &job);
	if (!doc)
		return false;
	const char *tag = make_both(api, job.id, job.parent, doc);
	save(api, LODE_DOC_DELTA, job.parent, job.id, tag, doc, LODE_STORE_ANY_REV, &err);
	json_decref(doc);
	return true;
}
