/* SPDX-License-Identifier: BSD-3-Clause */
/* Health, tokens, the audit log, and taking out what nobody needs. */
#include "api.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLLECT_AGE_S	    3600
#define TOKEN_BYTES	    24
#define TOKEN_TTL_DEFAULT_S (365 * 86400)

static const char *const role_names[] = {"none", "device", "viewer", "operator", "admin"};

const char *lode_api_role_name(enum lode_api_role role)
{
	return role_names[role];
}

enum lode_api_role lode_api_role_from(const char *name)
{
	for (unsigned i = 0; i < LODE_ARRAY_LEN(role_names); i++)
		if (!strcmp(name, role_names[i]))
			return (enum lode_api_role)i;
	return LODE_ROLE_NONE;
}

void health_get(struct call *c)
{
	answer(c, 200, json_pack("{s:s,s:s}", "status", "healthy", "service", "lodestone-manager"));
}

void openapi_get(struct call *c)
{
	c->reply->status = 200;
	c->reply->type = "application/json";
	c->reply->body = strdup(openapi_text());
	c->reply->body_len = c->reply->body ? strlen(c->reply->body) : 0;
}

static void to_hex(const uint8_t *bytes, size_t n, char *hex)
{
	for (size_t i = 0; i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

void lode_api_token_hash(const char *secret, char hex[LODE_BLOB_HEX])
{
	uint8_t digest[32] = {0};
	EVP_Digest(secret, strlen(secret), digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, sizeof(digest), hex);
}

void token_create(struct call *c)
{
	uint8_t bytes[TOKEN_BYTES];
	char secret[2 * TOKEN_BYTES + 1], hash[LODE_BLOB_HEX];
	struct lode_err err;
	const char *name = body_id(c, "name");
	enum lode_api_role role = lode_api_role_from(body_text(c, "role", ""));
	int64_t ttl_s = int_of(c->body, "ttl_s");
	if (!name)
		return;
	if (role == LODE_ROLE_NONE || ttl_s < 0) {
		answer_error(c, 400,
			"'role' is device, viewer, operator or admin; 'ttl_s' is not negative");
		return;
	}
	if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
		answer_error(c, 500, "no randomness");
		return;
	}
	to_hex(bytes, sizeof(bytes), secret);
	lode_api_token_hash(secret, hash);
	json_t *doc = json_pack("{s:s,s:s,s:I}", "name", name, "role", lode_api_role_name(role),
		"expires_ms",
		(json_int_t)(c->req->now_ms + (ttl_s ? ttl_s : TOKEN_TTL_DEFAULT_S) * 1000));
	int rc = save(c->api, LODE_DOC_TOKEN, "", hash, "", doc, LODE_STORE_NEW, &err);
	if (!rc)
		rc = audit(c, "token.create", name, doc, &err);
	json_object_set_new(doc, "token", json_string(secret));
	if (!rc) {
		answer(c, 201, doc);
		return;
	}
	json_decref(doc);
	answer_err(c, &err);
}

bool lode_api_token_identity(
	struct lode_api *api, const char *secret, int64_t now_ms, struct lode_api_identity *who)
{
	char hash[LODE_BLOB_HEX];
	struct lode_err err;
	lode_api_token_hash(secret, hash);
	json_t *doc = load(api, LODE_DOC_TOKEN, "", hash, NULL, &err);
	bool ok = doc && int_of(doc, "expires_ms") > now_ms;
	if (ok) {
		who->role = lode_api_role_from(text_of(doc, "role"));
		snprintf(who->name, sizeof(who->name), "%s", text_of(doc, "name"));
	}
	json_decref(doc);
	return ok;
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
