/* SPDX-License-Identifier: BSD-3-Clause */
/* The routes, and the way of a request through them. */
#include "api.h"

#include <stdlib.h>
#include <string.h>

struct route {
	const char *method;
	const char *path; /* below /api/v1 or /api/v2; a component "*" is a name */
	enum { V1 = 1, V2 = 2, BOTH = 3 } versions;
	enum lode_api_role role; /* at least */
	enum lode_api_body body;
	void (*handler)(struct call *c);
};

static const struct route routes[] = {
	{"GET", "/health", BOTH, LODE_ROLE_NONE, LODE_BODY_NONE, health_get},
	{"GET", "/openapi.json", V2, LODE_ROLE_NONE, LODE_BODY_NONE, openapi_get},
	{"POST", "/devices", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, device_register},
	{"GET", "/devices", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, device_list},
	{"GET", "/devices/*", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE, device_get},
	{"DELETE", "/devices/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_NONE, device_delete},
	{"POST", "/devices/*/heartbeat", BOTH, LODE_ROLE_DEVICE, LODE_BODY_JSON, device_heartbeat},
	{"GET", "/fleets", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, fleet_list},
	{"POST", "/fleets", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, fleet_create},
	{"GET", "/fleets/*", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, fleet_get},
	{"POST", "/fleets/*/devices/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, fleet_add},
	{"DELETE", "/fleets/*/devices/*", V2, LODE_ROLE_OPERATOR, LODE_BODY_NONE, fleet_remove},
	{"POST", "/fleets/*/deploy", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, fleet_deploy},
	{"GET", "/fleets/*/status", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, fleet_status},
	{"GET", "/models", V2, LODE_ROLE_VIEWER, LODE_BODY_NONE, model_list},
	{"GET", "/models/*", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, model_get},
	{"POST", "/models/*/versions/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_BLOB, version_upload},
	{"DELETE", "/models/*/versions/*", V2, LODE_ROLE_ADMIN, LODE_BODY_NONE, version_delete},
	{"POST", "/models/*/versions/*/pin", V2, LODE_ROLE_OPERATOR, LODE_BODY_JSON, version_pin},
	{"GET", "/models/*/versions/*/download", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE,
		version_download},
	{"GET", "/models/*/versions/*/meta", BOTH, LODE_ROLE_DEVICE, LODE_BODY_NONE, version_meta},
	{"POST", "/uploads", V2, LODE_ROLE_OPERATOR, LODE_BODY_JSON, upload_create},
	{"GET", "/uploads/*", V2, LODE_ROLE_OPERATOR, LODE_BODY_NONE, upload_get},
	{"PUT", "/uploads/*", V2, LODE_ROLE_OPERATOR, LODE_BODY_BLOB, upload_append},
	{"POST", "/campaigns", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, campaign_create},
	{"GET", "/campaigns", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, campaign_list},
	{"GET", "/campaigns/*", BOTH, LODE_ROLE_VIEWER, LODE_BODY_NONE, campaign_get},
	{"POST", "/campaigns/*/*", BOTH, LODE_ROLE_OPERATOR, LODE_BODY_JSON, campaign_verb},
	{"POST", "/tokens", V2, LODE_ROLE_ADMIN, LODE_BODY_JSON, token_create},
	{"GET", "/audit", V2, LODE_ROLE_VIEWER, LODE_BODY_NONE, audit_get},
};

/* Splits copy at its slashes and compares with the route; names go to parts. */
static bool match(const char *pattern, char *copy, const char *parts[PARTS_MAX])
{
	unsigned n = 0;
	char *save_path = NULL;
	for (char *part = strtok_r(copy, "/", &save_path);;
		part = strtok_r(NULL, "/", &save_path)) {
		while (*pattern == '/')
			pattern++;
		if (!part || !*pattern)
			return !part && !*pattern;
		size_t len = strcspn(pattern, "/");
		if (len == 1 && *pattern == '*') {
			if (!id_ok(part) || n == PARTS_MAX)
				return false;
			parts[n++] = part;
		} else if (strlen(part) != len || strncmp(part, pattern, len)) {
			return false;
		}
		pattern += len;
	}
}

/* Where the path goes on below the API's root, and which face is meant; NULL when it is not ours. */
static const char *below_root(const char *path, int *version)
{
	*version = !strncmp(path, "/api/v1/", 8) ? V1 : !strncmp(path, "/api/v2/", 8) ? V2 : 0;
	return *version ? path + 7 : NULL;
}

/* The route of a path; copy holds the parts and is freed by the caller. *other: the path exists under another
 * method. */
static const struct route *find(const char *method, const char *path, char **copy,
	const char *parts[PARTS_MAX], int *version, bool *other)
{
	const char *below = below_root(path, version);
	*copy = NULL;
	*other = false;
	for (size_t i = 0; below && i < LODE_ARRAY_LEN(routes); i++) {
		const struct route *r = &routes[i];
		if (!(r->versions & *version))
			continue;
		free(*copy);
		*copy = strdup(below);
		if (!*copy || !match(r->path, *copy, parts))
			continue;
		if (!strcmp(method, r->method) ||
			(!strcmp(method, "HEAD") && !strcmp(r->method, "GET")))
			return r;
		*other = true;
	}
	return NULL;
}

enum lode_api_body lode_api_body(const char *method, const char *path)
{
	const char *parts[PARTS_MAX];
	char *copy;
	int version;
	bool other;
	const struct route *r = find(method, path, &copy, parts, &version, &other);
	free(copy);
	return r ? r->body : LODE_BODY_NONE;
}

/* A device speaks for itself only. */
static bool allowed(const struct call *c, const struct route *r)
{
	const struct lode_api_identity *who = &c->req->who;
	if (c->api->options.anybody)
		return true;
	if (who->role < r->role)
		return false;
	bool about_device = !strncmp(r->path, "/devices/*", 10);
	return who->role != LODE_ROLE_DEVICE || !about_device || !strcmp(who->name, c->parts[0]);
}

/* Fills c and returns the route, or answers. */
static const struct route *route_call(struct call *c, char **copy)
{
	int version;
	bool other;
	const struct route *r =
		find(c->req->method, c->req->path, copy, c->parts, &version, &other);
	c->v2 = version != V1;
	if (!r) {
		answer_error(
			c, other ? 405 : 404, other ? "method not allowed" : "no such resource");
		return NULL;
	}
	if (!allowed(c, r)) {
		bool unknown = c->req->who.role == LODE_ROLE_NONE;
		answer_error(c, unknown ? 401 : 403,
			unknown ? "an identity is needed" : "%s may not do this",
			lode_api_role_name(c->req->who.role));
		return NULL;
	}
	return r;
}

static bool parse_body(struct call *c)
{
	json_error_t where;
	if (!c->req->body_len)
		return true;
	if (c->req->body_len > LODE_API_BODY_MAX) {
		answer_error(c, 413, "bodies have up to %u bytes", LODE_API_BODY_MAX);
		return false;
	}
	c->body = json_loadb(c->req->body, c->req->body_len, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(c->body)) {
		answer_error(c, 400, "the body is no JSON object: %s at byte %d", where.text,
			where.position);
		return false;
	}
	return true;
}

int lode_api_upload_begin(struct lode_api *api, const struct lode_api_request *req,
	struct lode_blob_writer **writer, struct lode_api_reply *reply)
{
	struct call c = {.api = api, .req = req, .reply = reply};
	char *copy = NULL;
	*writer = NULL;
	const struct route *r = route_call(&c, &copy);
	int rc = r ? upload_begin(&c, writer) : -EPERM;
	free(copy);
	return rc;
}

void lode_api_handle(struct lode_api *api, const struct lode_api_request *req,
	struct lode_blob_writer *writer, struct lode_api_reply *reply)
{
	struct call c = {.api = api, .req = req, .reply = reply, .writer = writer};
	char *copy = NULL;
	const struct route *r = route_call(&c, &copy);
	if (r && (r->body != LODE_BODY_JSON || parse_body(&c)))
		r->handler(&c);
	if (c.writer)
		lode_blob_suspend(c.writer);
	json_decref(c.body);
	free(copy);
}

int lode_api_new(const struct lode_api_options *options, const char *store_url,
	const char *blob_dir, struct lode_api **out, struct lode_err *err)
{
	struct lode_api *api = calloc(1, sizeof(*api));
	if (!api)
		return lode_err_set(err, -ENOMEM, "no memory for the API");
	api->options = *options;
	int rc = lode_store_open(store_url, &api->store, err);
	if (!rc)
		rc = lode_blobs_open(blob_dir, &api->blobs, err);
	if (rc) {
		lode_api_free(api);
		return rc;
	}
	*out = api;
	return 0;
}

void lode_api_free(struct lode_api *api)
{
	if (!api)
		return;
	lode_store_close(api->store);
	lode_blobs_close(api->blobs);
	free(api);
}

struct lode_blobs *lode_api_blobs(struct lode_api *api)
{
	return api->blobs;
}
