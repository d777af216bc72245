/* SPDX-License-Identifier: BSD-3-Clause */
/* Signed releases of versions: carried, not judged. What a manager believes is nothing to an appliance. */
#include "api.h"

#include "lode_trust.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#define FOREVER_S 253402300799 /* the last second of the year 9999 */

/* A slip of an operator is told at once, not by a fleet of appliances. */
static int check_slip(struct call *c, const char *chain, const json_t *version,
	struct lode_trust_release *r, struct lode_err *err)
{
	int rc = lode_trust_release_read(chain, strlen(chain), r, err);
	if (rc)
		return rc;
	bool same = !strcmp(r->model, c->parts[0]) && !strcmp(r->version, c->parts[1]) &&
		    !strcmp(r->sha256, text_of(version, "sha256"));
	return same ? 0
		    : lode_err_set(err, -EINVAL,
			      "the release is of %s %s with SHA-256 %s; %s %s has %s", r->model,
			      r->version, r->sha256, c->parts[0], c->parts[1],
			      text_of(version, "sha256"));
}

/* A later one takes the place of an earlier: signed again for a later expiry, or with a newer root. The version's
 * record says that there is one. */
static int keep_release(struct call *c, const char *chain, json_t *version, int64_t rev,
	const struct lode_trust_release *r, struct lode_err *err)
{
	int rc = lode_store_put(c->api->store, LODE_DOC_RELEASE, c->parts[0], c->parts[1], "",
		chain, LODE_STORE_ANY_REV, err);
	json_object_set_new(version, "release", json_integer((json_int_t)r->counter));
	if (!rc)
		rc = save(
			c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], "", version, rev, err);
	json_t *detail =
		json_pack("{s:s,s:I}", "version", r->version, "counter", (json_int_t)r->counter);
	if (!rc)
		rc = audit(c, "model.release", c->parts[0], detail, err);
	json_decref(detail);
	return rc;
}

void release_put(struct call *c)
{
	struct lode_trust_release r;
	struct lode_err err;
	int64_t rev;
	json_t *version = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], &rev, &err);
	char *chain = json_dumps(c->body, JSON_COMPACT);
	int rc = !version ? err.code
		 : chain  ? check_slip(c, chain, version, &r, &err)
			  : lode_err_set(&err, -EINVAL, "the body is the text of a signed release");
	if (!rc)
		rc = keep_release(c, chain, version, rev, &r, &err);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 201,
			json_pack("{s:s,s:s,s:s,s:I}", "status", "signed", "model_id", r.model,
				"version", r.version, "counter", (json_int_t)r.counter));
	json_decref(version);
	free(chain);
}

/* ---- a manager on trial signs what it is asked for ---- */

static int make_root(struct lode_api *api, char **envelope, struct lode_err *err)
{
	struct lode_trust_root root = {.version = 1,
		.expires_s = FOREVER_S,
		.throwaway = true,
		.root = {.threshold = 1, .n_keys = 1}};
	if (!api->has_throwaway && RAND_bytes(api->throwaway, sizeof(api->throwaway)) != 1)
		return lode_err_set(err, -EIO, "no randomness");
	api->has_throwaway = true;
	int rc = lode_trust_public(api->throwaway, root.root.keys[0]);
	if (rc)
		return lode_err_set(err, rc, "no throw-away key");
	root.release = root.root;
	rc = lode_trust_root_make(&root, envelope, err);
	return rc ? rc : lode_trust_sign(envelope, api->throwaway, err);
}

static int make_release(
	struct lode_api *api, const json_t *version, char **envelope, struct lode_err *err)
{
	struct lode_trust_release r = {
		.n_bytes = (uint64_t)int_of(version, "size_bytes"), .expires_s = FOREVER_S};
	char number[13];
	snprintf(r.model, sizeof(r.model), "%s", text_of(version, "model_id"));
	snprintf(r.version, sizeof(r.version), "%s", text_of(version, "version"));
	snprintf(r.sha256, sizeof(r.sha256), "%s", text_of(version, "sha256"));
	/* Its own number for each file; the floor of 0 allows any order. */
	snprintf(number, sizeof(number), "%.12s", r.sha256);
	r.counter = strtoull(number, NULL, 16) + 1;
	int rc = lode_trust_release_make(&r, envelope, err);
	return rc ? rc : lode_trust_sign(envelope, api->throwaway, err);
}

static void answer_throwaway(struct call *c, const json_t *version)
{
	char *root = NULL, *release = NULL, *chain = NULL;
	struct lode_err err;
	int rc = make_root(c->api, &root, &err);
	if (!rc)
		rc = make_release(c->api, version, &release, &err);
	if (!rc)
		rc = lode_trust_chain_make(
			(const char *const *)&root, 1, NULL, release, &chain, &err);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 200, json_loads(chain, 0, NULL));
	free(root);
	free(release);
	free(chain);
}

void release_get(struct call *c)
{
	struct lode_err err;
	json_t *version = load(c->api, LODE_DOC_VERSION, c->parts[0], c->parts[1], NULL, &err);
	json_t *chain =
		version ? load(c->api, LODE_DOC_RELEASE, c->parts[0], c->parts[1], NULL, &err)
			: NULL;
	if (chain)
		answer(c, 200, chain);
	else if (version && err.code == -ENOENT && c->api->options.anybody)
		answer_throwaway(c, version);
	else if (version && err.code == -ENOENT)
		answer_error(c, 404, "%s %s has not been signed: lodectl release sign", c->parts[0],
			c->parts[1]);
	else
		answer_err(c, &err);
	json_decref(version);
}
