/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "../metrics/exposition.h"
#include "lode_face.h"

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static char dir[64], db[100];
static struct lode_face *face;
static struct lode_http_stats stats;
static struct lode_api_reply reply;
static struct lode_err err;
static enum lode_api_role role;

static void open_face(bool anybody)
{
	struct lode_face_options o = {.store_url = db, .anybody = anybody, .offline_s = 300};
	cr_assert_eq(lode_face_new(&o, &face, &err), 0, "%s", err.msg);
}

static void up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(db, sizeof(db), "%s/db", dir);
	role = LODE_ROLE_VIEWER;
	open_face(false);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void down(void)
{
	lode_api_reply_clear(&reply);
	lode_face_free(face);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *nothing(void *ctx, const char *name)
{
	(void)ctx, (void)name;
	return NULL;
}

/* The status, 0 when the face leaves it to others. */
static int ask(const char *method, const char *path)
{
	struct lode_api_request req = {.method = method,
		.path = path,
		.header = nothing,
		.query = nothing,
		.who.role = role,
		.now_ms = 1000000};
	lode_api_reply_clear(&reply);
	return lode_face_page(face, &req, &stats, &reply) ? reply.status : 0;
}

static const char *header(const char *name)
{
	for (unsigned i = 0; i < reply.n_headers; i++)
		if (!strcmp(reply.headers[i].name, name))
			return reply.headers[i].value;
	return "";
}

static const char *const routes[] = {"/", "/index.html", "/app.js", "/style.css", "/metrics",
	"/api/v2/gateway", "/api/v2/gateway/history", "/api/v2/overview"};

Test(face, every_route_wants_a_viewer, .init = up, .fini = down)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(routes); i++) {
		role = LODE_ROLE_NONE;
		cr_assert_eq(ask("GET", routes[i]), 401, "%s", routes[i]);
		role = LODE_ROLE_DEVICE;
		cr_assert_eq(ask("GET", routes[i]), 403, "%s", routes[i]);
		role = LODE_ROLE_VIEWER;
		cr_assert_eq(ask("GET", routes[i]), 200, "%s", routes[i]);
		cr_assert_eq(ask("POST", routes[i]), 405, "%s", routes[i]);
	}
}

Test(face, leaves_the_rest_to_the_api, .init = up, .fini = down)
{
	static const char *const others[] = {"/api/v2/devices", "/api/v1/health", "/../etc/passwd",
		"/app.js/", "//app.js", "/api/v2/gateway/", "/metrics/x"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(others); i++)
		cr_assert_eq(ask("GET", others[i]), 0, "%s", others[i]);
}

Test(face, the_page_loads_nothing_from_elsewhere, .init = up, .fini = down)
{
	cr_assert_eq(ask("GET", "/"), 200);
	cr_assert(
		strstr(header("Content-Security-Policy"), "default-src 'none'; script-src 'self'"));
	cr_assert(strstr(header("Content-Security-Policy"), "frame-ancestors 'none'"),
		"the header is whole");
	cr_assert_null(strstr(reply.body, "://"));
	cr_assert_null(strstr(reply.body, "style=\""));
	cr_assert_null(strstr(reply.body, "onclick"));
	cr_assert_eq(ask("GET", "/app.js"), 200);
	cr_assert_str_eq(reply.type, "text/javascript; charset=utf-8");
	cr_assert_null(strstr(reply.body, "://"));
	cr_assert_null(strstr(reply.body, "innerHTML"));
}

static void put(enum lode_store_kind kind, const char *parent, const char *id, const char *tag,
	const char *text)
{
	struct lode_store *store;
	cr_assert_eq(lode_store_open(db, &store, &err), 0);
	cr_assert_eq(lode_store_put(store, kind, parent, id, tag, text, LODE_STORE_ANY_REV, &err),
		0, "%s", err.msg);
	lode_store_close(store);
}

static json_int_t overview(const char *path)
{
	cr_assert_eq(ask("GET", "/api/v2/overview"), 200);
	json_t *all = json_loadb(reply.body, reply.body_len, 0, NULL), *v = all;
	char copy[100], *save = NULL;
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = strtok_r(copy, ".", &save); p; p = strtok_r(NULL, ".", &save))
		v = json_is_array(v) ? json_array_get(v, strtoul(p, NULL, 10))
				     : json_object_get(v, p);
	json_int_t n = v ? json_integer_value(v) : -1;
	json_decref(all);
	return n;
}

Test(face, counts_the_fleet, .init = up, .fini = down)
{
	put(LODE_DOC_DEVICE, "", "a", "", "{\"last_heartbeat_ms\":999000}");
	put(LODE_DOC_DEVICE, "", "b", "", "{\"last_heartbeat_ms\":1}");
	put(LODE_DOC_DEVICE, "", "c", "", "{}");
	put(LODE_DOC_DEVICE, "", "d", "",
		"{\"last_heartbeat_ms\":999000,\"reported_status\":\"error\"}");
	put(LODE_DOC_VERSION, "m", "v2", "", "{\"uploaded_ms\":2,\"size_bytes\":20}");
	put(LODE_DOC_VERSION, "m", "v3", "", "{\"uploaded_ms\":1,\"size_bytes\":10}");
	put(LODE_DOC_CAMPAIGN, "", "old", "ended", "{\"created_ms\":9,\"state\":\"complete\"}");
	put(LODE_DOC_CAMPAIGN, "", "new", "open", "{\"created_ms\":5,\"state\":\"rolling_out\"}");
	put(LODE_DOC_TARGET, "new", "a", "complete", "{\"bytes_served\":7,\"bytes_saved\":3}");
	put(LODE_DOC_TARGET, "new", "b", "failed", "{\"bytes_served\":5}");
	cr_assert_eq(overview("devices.total"), -1, "not counted yet");
	lode_face_refresh(face, 1000000);
	cr_assert_eq(overview("devices.total"), 4);
	cr_assert_eq(overview("devices.online"), 1);
	cr_assert_eq(overview("devices.offline"), 1);
	cr_assert_eq(overview("devices.unknown"), 1);
	cr_assert_eq(overview("devices.error"), 1);
	cr_assert_eq(overview("models.0.versions"), 2);
	cr_assert_eq(overview("models.0.size_bytes"), 20, "of the version uploaded last");
	cr_assert_eq(overview("campaigns.0.targets"), 2, "the open one is first");
	cr_assert_eq(overview("campaigns.0.by_state.failed"), 1);
	cr_assert_eq(overview("campaigns.0.bytes_served"), 12);
	cr_assert_eq(overview("campaigns.1.targets"), 0);
	/* Of an ended campaign nothing is read again; an open one moves. */
	put(LODE_DOC_TARGET, "old", "a", "complete", "{}");
	put(LODE_DOC_TARGET, "new", "b", "complete", "{}");
	lode_face_refresh(face, 1002000);
	cr_assert_eq(overview("campaigns.0.by_state.complete"), 2);
	cr_assert_eq(overview("campaigns.1.targets"), 0);
	cr_assert_eq(ask("GET", "/metrics"), 200);
	exposition_check(reply.body);
	cr_assert(strstr(reply.body, "lodestone_devices{state=\"online\"} 1\n"));
	cr_assert(strstr(reply.body, "lodestone_campaign_devices{campaign=\"new\",campaign_state="
				     "\"rolling_out\",state=\"complete\"} 2\n"));
}

Test(face, without_a_gateway_it_says_so, .init = up, .fini = down)
{
	lode_face_refresh(face, 1000000);
	cr_assert_eq(ask("GET", "/api/v2/gateway"), 200);
	cr_assert(strstr(reply.body, "\"state\":\"none\""));
	cr_assert_eq(ask("GET", "/metrics"), 200);
	cr_assert_null(strstr(reply.body, "lodestone_gateway_up"));
}
