/* SPDX-License-Identifier: BSD-3-Clause */
/* The way of a request through the routes. */
#include "routes.h"

#include <stdlib.h>
#include <string.h>

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
		route_find(c->req->method, c->req->path, copy, c->parts, &version, &other);
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
	if (!rc && options->ca_dir)
		rc = lode_ca_open(options->ca_dir, options->now_ms, &api->ca, err);
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
	lode_ca_close(api->ca);
	free(api);
}

struct lode_blobs *lode_api_blobs(struct lode_api *api)
{
	return api->blobs;
}

struct lode_ca *lode_api_ca(struct lode_api *api)
{
	return api->ca;
}
