/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates for appliances and operators. An operator makes an enrolment, whose one-time token goes to the appliance
 * together with the authority's fingerprint; the appliance sends it with a certificate request. What a certificate
 * may do is in its record here, so that a revocation holds from the next request on. */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENROLMENT_TTL_DEFAULT_S 86400
#define ENROLMENT_TTL_MAX_S	(30 * 86400)

static bool has_ca(struct call *c)
{
	if (!c->api->ca)
		answer_error(c, 404, "this manager has no authority: it signs no certificates");
	return c->api->ca != NULL;
}

void ca_get(struct call *c)
{
	if (has_ca(c))
		answer(c, 200,
			json_pack("{s:s,s:s}", "certificate", lode_ca_pem(c->api->ca), "sha256",
				lode_ca_sha256(c->api->ca)));
}

void enrolment_create(struct call *c)
{
	char secret[SECRET_HEX], hash[LODE_BLOB_HEX];
	struct lode_err err;
	const char *name = has_ca(c) ? body_id(c, "name") : NULL;
	if (!name)
		return;
	enum lode_api_role role = lode_api_role_from(body_text(c, "role", "device"));
	int64_t ttl_s = json_object_get(c->body, "ttl_s") ? int_of(c->body, "ttl_s")
							  : ENROLMENT_TTL_DEFAULT_S;
	if (role == LODE_ROLE_NONE || ttl_s < 1 || ttl_s > ENROLMENT_TTL_MAX_S) {
		answer_error(c, 400,
			"'role' is device, viewer, operator or admin; 'ttl_s' is 1 to %d",
			ENROLMENT_TTL_MAX_S);
		return;
	}
	/* Nobody makes anybody more than he is himself. */
	if (role > c->req->who.role && !c->api->options.anybody) {
		answer_error(c, 403, "%s may not enrol %s", lode_api_role_name(c->req->who.role),
			lode_api_role_name(role));
		return;
	}
	json_t *doc = json_pack("{s:s,s:s,s:I}", "name", name, "role", lode_api_role_name(role),
		"expires_ms", (json_int_t)(c->req->now_ms + ttl_s * 1000));
	int rc = secret_make(secret, hash, &err);
	if (!rc)
		rc = save(c->api, LODE_DOC_ENROLMENT, "", hash, "", doc, LODE_STORE_NEW, &err);
	if (!rc)
		rc = audit(c, "enrolment.create", name, doc, &err);
	if (rc) {
		json_decref(doc);
		answer_err(c, &err);
		return;
	}
	json_object_set_new(
		doc, "token", json_sprintf("%s.%s", secret, lode_ca_sha256(c->api->ca)));
	answer(c, 201, doc);
}

/* Signs and writes down; inside a transaction. */
static int issue(struct call *c, const char *name, enum lode_api_role role, const char *request,
	struct lode_ca_issued *cert, struct lode_err *err)
{
	const struct lode_ca_subject subject = {.name = name,
		.unit = lode_api_role_name(role),
		.days = c->api->options.certificate_days ? c->api->options.certificate_days
							 : LODE_API_DAYS_DEFAULT};
	int rc = lode_ca_sign(c->api->ca, request, &subject, c->req->now_ms, cert, err);
	if (rc)
		return rc;
	json_t *doc = json_pack("{s:s,s:s,s:s,s:I,s:I}", "serial", cert->serial, "name", name,
		"role", lode_api_role_name(role), "issued_ms", (json_int_t)c->req->now_ms,
		"not_after_ms", (json_int_t)cert->not_after_ms);
	rc = save(
		c->api, LODE_DOC_CERTIFICATE, "", cert->serial, "valid", doc, LODE_STORE_NEW, err);
	if (!rc)
		rc = audit(c, "certificate.issue", name, doc, err);
	json_decref(doc);
	return rc;
}

static void answer_issued(struct call *c, int rc, struct lode_ca_issued *cert, const char *name,
	const struct lode_err *err)
{
	if (rc)
		answer_err(c, err);
	else
		answer(c, 201,
			json_pack("{s:s,s:s,s:s,s:s,s:I}", "name", name, "serial", cert->serial,
				"certificate", cert->pem, "ca", lode_ca_pem(c->api->ca),
				"not_after_ms", (json_int_t)cert->not_after_ms));
	free(cert->pem);
}

/* Ends a transaction that was begun when rc is 0. */
static int end(struct call *c, int rc, struct lode_err *err)
{
	if (!rc)
		return lode_store_commit(c->api->store, err);
	lode_store_rollback(c->api->store);
	return rc;
}

/* An appliance that enrols is known from then on, and what it had before is taken out. */
static int welcome_device(struct call *c, const char *name, struct lode_err *err)
{
	json_t *device = device_new(name, name, c->req->now_ms);
	int rc = save(c->api, LODE_DOC_DEVICE, "", name, "", device, LODE_STORE_NEW, err);
	json_decref(device);
	if (rc && rc != -EEXIST)
		return rc;
	rc = certificates_revoke_all(c->api, name, c->req->now_ms, err);
	return LODE_MIN(rc, 0);
}

static int enrol_now(struct call *c, const char *hash, json_t **what, struct lode_ca_issued *cert,
	struct lode_err *err)
{
	*what = load(c->api, LODE_DOC_ENROLMENT, "", hash, NULL, err);
	if (!*what || int_of(*what, "expires_ms") <= c->req->now_ms)
		return lode_err_set(err, -EACCES, "the token is unknown, used or expired");
	const char *name = text_of(*what, "name");
	enum lode_api_role role = lode_api_role_from(text_of(*what, "role"));
	int rc = lode_store_delete(c->api->store, LODE_DOC_ENROLMENT, "", hash, err);
	if (!rc && role == LODE_ROLE_DEVICE)
		rc = welcome_device(c, name, err);
	return rc ? rc : issue(c, name, role, body_text(c, "csr", ""), cert, err);
}

void enrol(struct call *c)
{
	char hash[LODE_BLOB_HEX], secret[SECRET_HEX];
	struct lode_ca_issued cert = {0};
	struct lode_err err;
	json_t *what = NULL;
	if (!has_ca(c))
		return;
	/* What follows the dot is for the appliance: whom it may believe. */
	snprintf(secret, sizeof(secret), "%s", body_text(c, "token", ""));
	lode_api_token_hash(secret, hash);
	int rc = lode_store_begin(c->api->store, true, &err);
	if (!rc)
		rc = end(c, enrol_now(c, hash, &what, &cert, &err), &err);
	answer_issued(c, rc, &cert, text_of(what, "name"), &err);
	json_decref(what);
}

/* A new certificate for who shows a valid one; that one stays valid until its own end. */
void certificate_renew(struct call *c)
{
	const struct lode_api_identity *who = &c->req->who;
	struct lode_ca_issued cert = {0};
	struct lode_err err;
	if (!has_ca(c))
		return;
	if (!*who->serial) {
		answer_error(c, 403, "only who comes with a certificate can have it renewed");
		return;
	}
	int rc = lode_store_begin(c->api->store, true, &err);
	if (!rc)
		rc = end(c, issue(c, who->name, who->role, body_text(c, "csr", ""), &cert, &err),
			&err);
	answer_issued(c, rc, &cert, who->name, &err);
}

static json_t *make_certificate(struct call *c, const struct lode_store_doc *doc)
{
	json_t *v = json_loads(doc->text, 0, NULL);
	const char *state = !strcmp(doc->tag, "revoked")		  ? "revoked"
			    : int_of(v, "not_after_ms") <= c->req->now_ms ? "expired"
									  : "valid";
	if (v)
		json_object_set_new(v, "state", json_string(state));
	return v;
}

void certificate_list(struct call *c)
{
	answer_list(c, LODE_DOC_CERTIFICATE, "", NULL, make_certificate);
}

static int revoke(struct lode_api *api, const char *serial, json_t *doc, int64_t rev,
	int64_t now_ms, struct lode_err *err)
{
	json_object_set_new(doc, "revoked_ms", json_integer(now_ms));
	return save(api, LODE_DOC_CERTIFICATE, "", serial, "revoked", doc, rev, err);
}

void certificate_revoke(struct call *c)
{
	struct lode_err err;
	int64_t rev;
	json_t *doc = load(c->api, LODE_DOC_CERTIFICATE, "", c->parts[0], &rev, &err);
	int rc = doc ? revoke(c->api, c->parts[0], doc, rev, c->req->now_ms, &err) : err.code;
	if (!rc)
		rc = audit(c, "certificate.revoke", c->parts[0], doc, &err);
	json_decref(doc);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 200, json_pack("{s:s}", "status", "revoked"));
}

struct name_match {
	const char *name;
	json_t *found; /* serial -> record */
};

static int match_name(void *ctx, const struct lode_store_doc *doc)
{
	struct name_match *m = ctx;
	json_t *v = json_loads(doc->text, 0, NULL);
	if (!strcmp(text_of(v, "name"), m->name))
		json_object_set(m->found, doc->id, v);
	json_decref(v);
	return 0;
}

int certificates_revoke_all(
	struct lode_api *api, const char *name, int64_t now_ms, struct lode_err *err)
{
	struct name_match m = {name, json_object()};
	struct lode_store_query valid = {.tag = "valid"};
	int n = 0,
	    rc = lode_store_list(api->store, LODE_DOC_CERTIFICATE, &valid, match_name, &m, err);
	const char *serial;
	json_t *doc;
	json_object_foreach(m.found, serial, doc)
	{
		rc = rc ? rc : revoke(api, serial, doc, LODE_STORE_ANY_REV, now_ms, err);
		n++;
	}
	json_decref(m.found);
	return rc ? rc : n;
}

bool lode_api_certificate_identity(
	struct lode_api *api, const char *serial, int64_t now_ms, struct lode_api_identity *who)
{
	struct lode_err err;
	if (strlen(serial) != LODE_CA_SERIAL_HEX - 1)
		return false;
	json_t *doc = load(api, LODE_DOC_CERTIFICATE, "", serial, NULL, &err);
	bool ok =
		doc && !json_object_get(doc, "revoked_ms") && int_of(doc, "not_after_ms") > now_ms;
	if (ok) {
		who->role = lode_api_role_from(text_of(doc, "role"));
		snprintf(who->name, sizeof(who->name), "%s", text_of(doc, "name"));
		snprintf(who->serial, sizeof(who->serial), "%s", serial);
	}
	json_decref(doc);
	return ok;
}
