/* SPDX-License-Identifier: BSD-3-Clause */
#include "trust.h"

#include <stdio.h>
#include <stdlib.h>

#define SPEC 1 /* version of the documents' meaning */

static int check_spec(const json_t *doc, enum document kind, struct lode_err *err)
{
	json_int_t spec = json_integer_value(json_object_get(doc, "spec"));
	return spec == SPEC ? 0
			    : lode_err_set(err, -EBADMSG,
				      "%s of spec %lld: this program understands spec %d",
				      document_name(kind), (long long)spec, SPEC);
}

/* ---- roles ---- */

static int role_sound(const struct lode_trust_role *r, const char *name, struct lode_err *err)
{
	if (!r->n_keys || r->n_keys > LODE_TRUST_KEYS_MAX || !r->threshold ||
		r->threshold > r->n_keys)
		return lode_err_set(err, -EBADMSG,
			"role %s: a threshold of %u of %u keys; 1 to %d keys are expected", name,
			r->threshold, r->n_keys, LODE_TRUST_KEYS_MAX);
	for (unsigned i = 0; i < r->n_keys; i++)
		for (unsigned k = 0; k < i; k++)
			if (!memcmp(r->keys[i], r->keys[k], LODE_TRUST_KEY_BYTES))
				return lode_err_set(
					err, -EBADMSG, "role %s names a key twice", name);
	return 0;
}

static int role_from(
	struct lode_trust_role *r, const json_t *doc, const char *name, struct lode_err *err)
{
	const json_t *role = json_object_get(doc, name), *keys = json_object_get(role, "keys"),
		     *key;
	uint64_t threshold;
	size_t i;
	int rc = take_number(&threshold, role, "threshold", 1, err);
	if (rc || json_array_size(keys) > LODE_TRUST_KEYS_MAX || threshold > LODE_TRUST_KEYS_MAX)
		return lode_err_set(err, -EBADMSG,
			"role %s: 'keys' with 1 to %d keys and a 'threshold' are expected", name,
			LODE_TRUST_KEYS_MAX);
	*r = (struct lode_trust_role){.threshold = (unsigned)threshold};
	json_array_foreach(keys, i, key)
	{
		const char *hex = json_string_value(key);
		if (!hex || bytes_from_hex(r->keys[i], LODE_TRUST_KEY_BYTES, hex))
			return lode_err_set(
				err, -EBADMSG, "role %s: keys are 64 lower-case hex digits", name);
		r->n_keys++;
	}
	return 0;
}

static json_t *role_to(const struct lode_trust_role *r)
{
	json_t *keys = json_array();
	for (unsigned i = 0; i < r->n_keys; i++) {
		char hex[2 * LODE_TRUST_KEY_BYTES + 1];
		lode_hex(r->keys[i], LODE_TRUST_KEY_BYTES, hex);
		json_array_append_new(keys, json_string(hex));
	}
	return json_pack("{s:i,s:o}", "threshold", (int)r->threshold, "keys", keys);
}

/* ---- root ---- */

/* This one, release_sound and delegation_sound: 0 or -EBADMSG, the members fit together. */
static int root_sound(const struct lode_trust_root *root, struct lode_err *err)
{
	if (!root->version || root->expires_s <= root->issued_s)
		return lode_err_set(err, -EBADMSG,
			"root %llu: a version of 1 or more and an expiry after its issue are "
			"expected",
			(unsigned long long)root->version);
	int rc = role_sound(&root->root, "root", err);
	return rc ? rc : role_sound(&root->release, "release", err);
}

int root_from(struct lode_trust_root *root, const json_t *doc, struct lode_err *err)
{
	*root = (struct lode_trust_root){
		.throwaway = json_is_true(json_object_get(doc, "throwaway"))};
	int rc = check_spec(doc, DOC_ROOT, err);
	if (!rc)
		rc = take_number(&root->version, doc, "version", 1, err);
	if (!rc)
		rc = take_time(&root->issued_s, doc, "issued", err);
	if (!rc)
		rc = take_time(&root->expires_s, doc, "expires", err);
	if (!rc)
		rc = take_number(&root->epoch, doc, "epoch", 0, err);
	if (!rc)
		rc = role_from(&root->root, doc, "root", err);
	if (!rc)
		rc = role_from(&root->release, doc, "release", err);
	return rc ? rc : root_sound(root, err);
}

int lode_trust_root_make(const struct lode_trust_root *root, char **envelope, struct lode_err *err)
{
	int rc = root_sound(root, err);
	if (rc)
		return rc;
	return envelope_make(
		json_pack("{s:i,s:I,s:I,s:I,s:I,s:b,s:o,s:o}", "spec", SPEC, "version",
			(json_int_t)root->version, "issued", (json_int_t)root->issued_s, "expires",
			(json_int_t)root->expires_s, "epoch", (json_int_t)root->epoch, "throwaway",
			root->throwaway, "root", role_to(&root->root), "release",
			role_to(&root->release)),
		DOC_ROOT, envelope, err);
}

/* ---- kinds ---- */

static int kind_from(struct lode_trust_kind *k, const json_t *doc, struct lode_err *err)
{
	const json_t *kind = json_object_get(doc, "kind");
	*k = (struct lode_trust_kind){0};
	if (!kind)
		return 0;
	int rc = take_text(k->role, sizeof(k->role), kind, "role", err);
	if (!rc)
		rc = take_text(k->schema, sizeof(k->schema), kind, "schema", err);
	if (!rc)
		rc = take_sha256(k->schema_sha256, kind, "schema_sha256", err);
	if (!rc)
		rc = take_text(k->network, sizeof(k->network), kind, "network", err);
	return rc;
}

static json_t *kind_to(const struct lode_trust_kind *k)
{
	return *k->role ? json_pack("{s:s,s:s,s:s,s:s}", "role", k->role, "schema", k->schema,
				  "schema_sha256", k->schema_sha256, "network", k->network)
			: NULL;
}

/* ---- release ---- */

static int release_sound(const struct lode_trust_release *r, struct lode_err *err)
{
	if (!name_sound(r->model) || !name_sound(r->version))
		return lode_err_set(err, -EBADMSG,
			"release '%.40s' '%.40s': names are 1 to 128 of A-Z a-z 0-9 . _ + -",
			r->model, r->version);
	if (!r->counter || r->floor > r->counter || r->counter > INT64_MAX)
		return lode_err_set(err, -EBADMSG,
			"release %s %s: counter %llu, floor %llu: 1 or more, the floor not above "
			"it",
			r->model, r->version, (unsigned long long)r->counter,
			(unsigned long long)r->floor);
	if (r->expires_s <= r->issued_s)
		return lode_err_set(err, -EBADMSG, "release %s %s expires before it is issued",
			r->model, r->version);
	return 0;
}

int release_from(struct lode_trust_release *r, const json_t *doc, struct lode_err *err)
{
	*r = (struct lode_trust_release){0};
	int rc = check_spec(doc, DOC_RELEASE, err);
	if (!rc)
		rc = take_name(r->model, doc, "model", err);
	if (!rc)
		rc = take_name(r->version, doc, "version", err);
	if (!rc)
		rc = take_number(&r->epoch, doc, "epoch", 0, err);
	if (!rc)
		rc = take_number(&r->counter, doc, "counter", 1, err);
	if (!rc)
		rc = take_number(&r->floor, doc, "floor", 0, err);
	if (!rc)
		rc = take_sha256(r->sha256, doc, "sha256", err);
	if (!rc)
		rc = take_number(&r->n_bytes, doc, "bytes", 1, err);
	if (!rc)
		rc = take_time(&r->issued_s, doc, "issued", err);
	if (!rc)
		rc = take_time(&r->expires_s, doc, "expires", err);
	if (!rc)
		rc = kind_from(&r->kind, doc, err);
	if (!rc && json_object_get(doc, "delegation"))
		rc = take_number(&r->delegation, doc, "delegation", 1, err);
	return rc ? rc : release_sound(r, err);
}

int lode_trust_release_make(
	const struct lode_trust_release *r, char **envelope, struct lode_err *err)
{
	int rc = release_sound(r, err);
	if (rc)
		return rc;
	json_t *delegation = r->delegation ? json_integer((json_int_t)r->delegation) : NULL;
	return envelope_make(
		json_pack("{s:i,s:s,s:s,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:o*,s:o*}", "spec", SPEC,
			"model", r->model, "version", r->version, "epoch", (json_int_t)r->epoch,
			"counter", (json_int_t)r->counter, "floor", (json_int_t)r->floor, "sha256",
			r->sha256, "bytes", (json_int_t)r->n_bytes, "issued",
			(json_int_t)r->issued_s, "expires", (json_int_t)r->expires_s, "kind",
			kind_to(&r->kind), "delegation", delegation),
		DOC_RELEASE, envelope, err);
}

/* ---- delegation ---- */

static int delegation_sound(const struct lode_trust_delegation *d, struct lode_err *err)
{
	if (!name_sound(d->model) || !d->version)
		return lode_err_set(err, -EBADMSG,
			"delegation '%.40s': a model and a version of 1 or more are expected",
			d->model);
	if (!d->counter_first || d->counter_last < d->counter_first || d->counter_last > INT64_MAX)
		return lode_err_set(err, -EBADMSG,
			"delegation of %s: counters %llu to %llu are none", d->model,
			(unsigned long long)d->counter_first, (unsigned long long)d->counter_last);
	if (!*d->kind.role || !*d->kind.network || !*d->kind.schema)
		return lode_err_set(err, -EBADMSG,
			"delegation of %s: role, schema and network have to be said", d->model);
	if (d->expires_s <= d->issued_s)
		return lode_err_set(
			err, -EBADMSG, "delegation of %s expires before it is issued", d->model);
	return 0;
}

int delegation_from(struct lode_trust_delegation *d, const json_t *doc, struct lode_err *err)
{
	const char *key = json_string_value(json_object_get(doc, "key"));
	*d = (struct lode_trust_delegation){0};
	int rc = check_spec(doc, DOC_DELEGATION, err);
	if (!rc)
		rc = take_name(d->model, doc, "model", err);
	if (!rc)
		rc = take_number(&d->version, doc, "version", 1, err);
	if (!rc)
		rc = take_number(&d->epoch, doc, "epoch", 0, err);
	if (!rc)
		rc = take_number(&d->counter_first, doc, "counter_first", 1, err);
	if (!rc)
		rc = take_number(&d->counter_last, doc, "counter_last", 1, err);
	if (!rc)
		rc = take_time(&d->issued_s, doc, "issued", err);
	if (!rc)
		rc = take_time(&d->expires_s, doc, "expires", err);
	if (!rc)
		rc = kind_from(&d->kind, doc, err);
	if (!rc && (!key || bytes_from_hex(d->key, sizeof(d->key), key)))
		rc = lode_err_set(err, -EBADMSG, "delegation: 'key' is 64 lower-case hex digits");
	return rc ? rc : delegation_sound(d, err);
}

int lode_trust_delegation_make(
	const struct lode_trust_delegation *d, char **envelope, struct lode_err *err)
{
	char key[2 * LODE_TRUST_KEY_BYTES + 1];
	int rc = delegation_sound(d, err);
	if (rc)
		return rc;
	lode_hex(d->key, sizeof(d->key), key);
	return envelope_make(
		json_pack("{s:i,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:s}", "spec", SPEC, "model",
			d->model, "version", (json_int_t)d->version, "epoch", (json_int_t)d->epoch,
			"counter_first", (json_int_t)d->counter_first, "counter_last",
			(json_int_t)d->counter_last, "issued", (json_int_t)d->issued_s, "expires",
			(json_int_t)d->expires_s, "kind", kind_to(&d->kind), "key", key),
		DOC_DELEGATION, envelope, err);
}

/* ---- reading without judging ---- */

int lode_trust_root_read(
	const char *envelope, size_t len, struct lode_trust_root *root, struct lode_err *err)
{
	json_t *e = parse_object(envelope, len, LODE_TRUST_CHAIN_MAX, "root", err);
	json_t *doc = e ? envelope_payload(e, DOC_ROOT, err) : NULL;
	int rc = doc ? root_from(root, doc, err) : err->code;
	json_decref(doc);
	json_decref(e);
	return rc;
}

int lode_trust_delegation_read(const char *envelope, size_t len,
	struct lode_trust_delegation *delegation, struct lode_err *err)
{
	json_t *e = parse_object(envelope, len, LODE_TRUST_CHAIN_MAX, "delegation", err);
	json_t *doc = e ? envelope_payload(e, DOC_DELEGATION, err) : NULL;
	int rc = doc ? delegation_from(delegation, doc, err) : err->code;
	json_decref(doc);
	json_decref(e);
	return rc;
}

int lode_trust_release_read(
	const char *chain, size_t len, struct lode_trust_release *release, struct lode_err *err)
{
	json_t *c = parse_object(chain, len, LODE_TRUST_CHAIN_MAX, "chain", err);
	json_t *doc = c ? envelope_payload(json_object_get(c, "release"), DOC_RELEASE, err) : NULL;
	int rc = doc ? release_from(release, doc, err) : err->code;
	json_decref(doc);
	json_decref(c);
	return rc;
}
