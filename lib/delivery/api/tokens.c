/* SPDX-License-Identifier: BSD-3-Clause */
/* Secrets of which only the hash is stored: bearer tokens, and who they are. */
#include "api.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

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

void lode_api_token_hash(const char *secret, char hex[LODE_BLOB_HEX])
{
	uint8_t digest[32] = {0};
	EVP_Digest(secret, strlen(secret), digest, NULL, EVP_sha256(), NULL);
	lode_hex(digest, sizeof(digest), hex);
}

int secret_make(char secret[SECRET_HEX], char hash[LODE_BLOB_HEX], struct lode_err *err)
{
	uint8_t bytes[SECRET_HEX / 2];
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return lode_err_set(err, -EIO, "no randomness");
	lode_hex(bytes, sizeof(bytes), secret);
	lode_api_token_hash(secret, hash);
	return 0;
}

void token_create(struct call *c)
{
	char secret[SECRET_HEX], hash[LODE_BLOB_HEX];
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
	if (secret_make(secret, hash, &err)) {
		answer_err(c, &err);
		return;
	}
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

/* The hash is the token's name; the secret is gone. */
static json_t *make_token(struct call *c, const struct lode_store_doc *doc)
{
	json_t *v = json_loads(doc->text, 0, NULL);
	(void)c;
	if (v)
		json_object_set_new(v, "id", json_string(doc->id));
	return v;
}

void token_list(struct call *c)
{
	answer_list(c, LODE_DOC_TOKEN, "", NULL, make_token);
}

void token_delete(struct call *c)
{
	struct lode_err err;
	int rc = lode_store_delete(c->api->store, LODE_DOC_TOKEN, "", c->parts[0], &err);
	if (!rc)
		rc = audit(c, "token.delete", c->parts[0], NULL, &err);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 200, json_pack("{s:s}", "status", "deleted"));
}
