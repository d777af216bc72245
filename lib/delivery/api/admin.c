/* SPDX-License-Identifier: BSD-3-Clause */
/* Health, the audit log, and taking out what nobody needs. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLLECT_AGE_S 3600

void health_get(struct call *c)
{
	answer(c, 200, json_pack("{s:s,s:s}", "status", "healthy", "service", "lodestone-manager"));
}

static int add_entry(void *ctx, const struct lode_audit *e)
{
	json_t *detail = json_loads(e->detail, 0, NULL);
	return json_array_append_new(ctx,
		       json_pack("{s:I,s:I,s:s,s:s,s:s,s:o?,s:s}", "seq", (json_int_t)e->seq,
			       "time_ms", (json_int_t)e->time_ms, "actor", e->actor, "action",
			       e->action, "object", e->object, "detail", detail, "hash", e->hash))
		       ? -ENOMEM
		       : 0;
}

void audit_get(struct call *c)
{
	struct lode_err err;
	const char *after = c->req->query(c->req->ctx, "after");
	int64_t bad = 0;
	json_t *items = json_array();
	int rc = lode_store_audit_list(
		c->api->store, after ? strtoll(after, NULL, 10) : 0, 1000, add_entry, items, &err);
	int chain = rc ? rc : lode_store_audit_verify(c->api->store, &bad, &err);
	if (rc) {
		json_decref(items);
		answer_err(c, &err);
		return;
	}
	answer(c, 200,
		json_pack("{s:o,s:b,s:I}", "items", items, "chain_ok", chain == 0, "bad_seq",
			(json_int_t)bad));
}

/* ---- what nobody names any more ---- */

struct collection {
	struct lode_api *api;
	json_t *named; /* object: hashes in use */
	unsigned n_removed;
};

static int name_blobs(void *ctx, const struct lode_store_doc *doc)
{
	struct collection *k = ctx;
	static const char *const inner[] = {"patch", "oxdl"};
	json_t *v = json_loads(doc->text, 0, NULL);
	if (*text_of(v, "sha256"))
		json_object_set_new(k->named, text_of(v, "sha256"), json_true());
	for (size_t i = 0; i < LODE_ARRAY_LEN(inner); i++) {
		const char *sha = text_of(json_object_get(v, inner[i]), "sha256");
		if (*sha)
			json_object_set_new(k->named, sha, json_true());
	}
	json_decref(v);
	return 0;
}

static int collect_one(void *ctx, const char *sha256, uint64_t n_bytes)
{
	struct collection *k = ctx;
	(void)n_bytes;
	if (!json_object_get(k->named, sha256) && !lode_blob_delete(k->api->blobs, sha256))
		k->n_removed++;
	return 0;
}

unsigned lode_api_collect(struct lode_api *api, int64_t now_ms)
{
	static const enum lode_store_kind kinds[] = {LODE_DOC_VERSION, LODE_DOC_DELTA};
	struct collection k = {.api = api, .named = json_object()};
	struct lode_store_query all = {0};
	struct lode_err err;
	int rc = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(kinds) && !rc; i++)
		rc = lode_store_list(api->store, kinds[i], &all, name_blobs, &k, &err);
	/* A blob is written before it is named: the young ones stay. */
	if (!rc)
		lode_blobs_list(api->blobs, now_ms, COLLECT_AGE_S, collect_one, &k);
	json_decref(k.named);
	return k.n_removed;
}
