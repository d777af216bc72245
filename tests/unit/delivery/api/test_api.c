/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "world.h"

#include <stdio.h>

TestSuite(api, .init = world_up, .fini = world_down);

static const struct {
	const char *method, *path;
} every_route[] = {
	{"POST", "/api/v1/devices"},
	{"GET", "/api/v1/devices"},
	{"GET", "/api/v1/devices/d"},
	{"DELETE", "/api/v1/devices/d"},
	{"POST", "/api/v1/devices/d/heartbeat"},
	{"GET", "/api/v1/fleets"},
	{"POST", "/api/v1/fleets"},
	{"GET", "/api/v1/fleets/f"},
	{"POST", "/api/v1/fleets/f/devices/d"},
	{"POST", "/api/v1/fleets/f/deploy"},
	{"GET", "/api/v1/fleets/f/status"},
	{"POST", "/api/v1/models/m/versions/v"},
	{"GET", "/api/v1/models/m/versions/v/download"},
	{"GET", "/api/v1/models/m/versions/v/meta"},
	{"GET", "/api/v1/models/m"},
	{"POST", "/api/v1/campaigns"},
	{"GET", "/api/v1/campaigns"},
	{"GET", "/api/v1/campaigns/c"},
	{"POST", "/api/v1/campaigns/c/pause"},
	{"GET", "/api/v2/models"},
	{"DELETE", "/api/v2/models/m/versions/v"},
	{"POST", "/api/v2/models/m/versions/v/pin"},
	{"POST", "/api/v2/models/m/versions/v/release"},
	{"GET", "/api/v2/models/m/versions/v/release"},
	{"POST", "/api/v2/uploads"},
	{"GET", "/api/v2/uploads/u"},
	{"PUT", "/api/v2/uploads/u"},
	{"POST", "/api/v2/tokens"},
	{"GET", "/api/v2/tokens"},
	{"DELETE", "/api/v2/tokens/t"},
	{"POST", "/api/v2/enrolments"},
	{"POST", "/api/v2/renew"},
	{"GET", "/api/v2/certificates"},
	{"POST", "/api/v2/certificates/c/revoke"},
	{"GET", "/api/v2/models/m/versions/v/plan"},
	{"GET", "/api/v2/blobs/b"},
	{"GET", "/api/v2/audit"},
	{"DELETE", "/api/v2/fleets/f/devices/d"},
};

Test(api, every_route_is_refused_without_identity)
{
	world.who = (struct lode_api_identity){LODE_ROLE_NONE, ""};
	for (size_t i = 0; i < LODE_ARRAY_LEN(every_route); i++)
		cr_assert_eq(ask(every_route[i].method, every_route[i].path, "{}"), 401,
			"%s %s: %d", every_route[i].method, every_route[i].path,
			world.reply.status);
	cr_assert_eq(ask("GET", "/api/v1/health", NULL), 200);
	cr_assert_eq(upload("/api/v1/models/m/versions/v", "x", 1), 401);
}

Test(api, a_device_speaks_for_itself_only)
{
	cr_assert_eq(ask("POST", "/api/v1/devices", "{\"id\":\"a\"}"), 201);
	cr_assert_eq(ask("POST", "/api/v1/devices", "{\"id\":\"b\"}"), 201);
	world.who = (struct lode_api_identity){LODE_ROLE_DEVICE, "a"};
	cr_assert_eq(ask("POST", "/api/v1/devices/a/heartbeat", "{}"), 200);
	cr_assert_eq(ask("POST", "/api/v1/devices/b/heartbeat", "{}"), 403);
	cr_assert_eq(ask("GET", "/api/v1/devices", NULL), 403);
	cr_assert_eq(ask("POST", "/api/v1/campaigns", "{}"), 403);
}

Test(api, tokens_are_who_they_were_made_for)
{
	struct lode_api_identity who = {0};
	char secret[100];
	cr_assert_eq(ask("POST", "/api/v2/tokens",
			     "{\"name\":\"ann\",\"role\":\"viewer\",\"ttl_s\":60}"),
		201);
	snprintf(secret, sizeof(secret), "%s", said("token"));
	cr_assert(lode_api_token_identity(world.api, secret, world.now_ms + 59000, &who));
	cr_assert_eq(who.role, LODE_ROLE_VIEWER);
	cr_assert_str_eq(who.name, "ann");
	cr_assert_not(lode_api_token_identity(world.api, secret, world.now_ms + 61000, &who));
	cr_assert_not(lode_api_token_identity(world.api, "guess", world.now_ms, &who));
}

Test(api, heartbeats_make_a_device_online_and_silence_offline)
{
	cr_assert_eq(ask("POST", "/api/v1/devices",
			     "{\"id\":\"a\",\"name\":\"A\",\"tags\":{\"k\":\"v\"}}"),
		201);
	cr_assert_eq(ask("GET", "/api/v1/devices/a", NULL), 200);
	cr_assert_str_eq(said("status"), "unknown");
	cr_assert_eq(ask("POST", "/api/v1/devices/a/heartbeat",
			     "{\"current_model\":\"m\",\"current_model_version\":\"1\",\"metrics\":"
			     "{\"uptime_"
			     "secs\":5},\"platform\":{\"arch\":\"x86_64\"}}"),
		200);
	world_restart();
	cr_assert_eq(ask("GET", "/api/v1/devices/a", NULL), 200);
	cr_assert_str_eq(said("status"), "online");
	cr_assert_str_eq(said("metrics.uptime_secs"), "5");
	cr_assert_str_eq(said("platform.arch"), "x86_64");
	cr_assert_str_eq(said("tags.k"), "v");
	world.now_ms += 301000;
	ask("GET", "/api/v1/devices/a", NULL);
	cr_assert_str_eq(said("status"), "offline");
	/* Registering again keeps what it runs. */
	cr_assert_eq(ask("POST", "/api/v1/devices", "{\"id\":\"a\",\"name\":\"B\"}"), 201);
	ask("GET", "/api/v1/devices/a", NULL);
	cr_assert_str_eq(said("current_model"), "m");
	cr_assert_str_eq(said("name"), "B");
}

Test(api, names_that_could_leave_a_folder_are_no_names)
{
	static const char *const bad[] = {"../x", "a/b", "", ".hidden", "a\\b", "ä"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		char body[100], path[100];
		snprintf(body, sizeof(body), "{\"id\":\"%s\"}", i == 4 ? "a\\\\b" : bad[i]);
		cr_assert_eq(ask("POST", "/api/v1/devices", body), 400, "%s", bad[i]);
		snprintf(path, sizeof(path), "/api/v1/models/%s/versions/v", bad[i]);
		cr_assert_eq(upload(path, "x", 1), 404, "%s", path);
	}
}

Test(api, bodies_that_are_no_objects_are_refused)
{
	static const char *const bad[] = {"[]", "{", "{\"a\":1,\"a\":2}", "nonsense", "{} {}"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++)
		cr_assert_eq(ask("POST", "/api/v2/devices", bad[i]), 400, "%s", bad[i]);
	cr_assert_str_neq(said("error.message"), "");
	cr_assert_eq(ask("PATCH", "/api/v2/devices", NULL), 405);
	cr_assert_eq(ask("GET", "/api/v2/nothing", NULL), 404);
	cr_assert_eq(ask("GET", "/api/v3/devices", NULL), 404);
}

Test(api, versions_never_change)
{
	cr_assert_eq(upload("/api/v1/models/m/versions/1", "abc", 3), 201);
	cr_assert_str_eq(
		said("sha256"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	cr_assert_eq(upload("/api/v1/models/m/versions/1", "abc", 3), 200);
	cr_assert_eq(upload("/api/v1/models/m/versions/1", "abd", 3), 409);
	cr_assert_eq(upload("/api/v1/models/m/versions/2", "", 0), 400);
	world_restart();
	cr_assert_eq(ask("GET", "/api/v1/models/m/versions/1/download", NULL), 200);
	cr_assert_str_eq(world.reply.blob,
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	cr_assert_eq(ask("GET", "/api/v1/models/m", NULL), 200);
	cr_assert_eq(json_array_size(json_object_get(world.json, "versions")), 1);
}

Test(api, what_is_pinned_or_given_out_is_not_deleted)
{
	upload("/api/v1/models/m/versions/1", "abc", 3);
	cr_assert_eq(ask("POST", "/api/v2/models/m/versions/1/pin", "{\"pinned\":true}"), 200);
	cr_assert_eq(ask("DELETE", "/api/v2/models/m/versions/1", NULL), 409);
	cr_assert_eq(ask("POST", "/api/v2/models/m/versions/1/pin", "{\"pinned\":false}"), 200);
	ask("POST", "/api/v1/fleets", "{\"id\":\"f\"}");
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"1\",\"fleet_id\":\"f\","
			     "\"approval\":true}"),
		201);
	cr_assert_eq(ask("DELETE", "/api/v2/models/m/versions/1", NULL), 409);
}

#define SAME "\"sha256\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}"

Test(api, an_upload_is_continued)
{
	cr_assert_eq(
		ask("POST", "/api/v2/uploads", "{\"model_id\":\"m\",\"version\":\"1\"," SAME), 201);
	char path[200];
	struct lode_blob_writer *w;
	struct lode_err err;
	snprintf(path, sizeof(path), "/api/v2/uploads/%s", said("id"));
	cr_assert_eq(ask("GET", path, NULL), 200);
	cr_assert_str_eq(said("offset"), "0");
	/* The line is cut after two bytes; the next manager goes on. */
	cr_assert_eq(lode_blob_begin(lode_api_blobs(world.api), said("id"), 0, &w, NULL, &err), 0);
	cr_assert_eq(lode_blob_write(w, "ab", 2, &err), 0);
	lode_blob_suspend(w);
	world_restart();
	cr_assert_eq(ask("GET", path, NULL), 200);
	cr_assert_str_eq(said("offset"), "2");
	world.headers[0][0] = "Upload-Offset";
	world.headers[0][1] = "2";
	world.headers[1][0] = "Upload-Complete";
	world.headers[1][1] = "?1";
	cr_assert_eq(upload(path, "c", 1), 201);
	cr_assert_str_eq(said("size_bytes"), "3");
	cr_assert_eq(upload(path, "c", 1), 404, "it has ended");
}

Test(api, an_upload_has_one_writer)
{
	cr_assert_eq(
		ask("POST", "/api/v2/uploads", "{\"model_id\":\"m\",\"version\":\"1\"," SAME), 201);
	char path[200];
	struct lode_blob_writer *w;
	struct lode_err err;
	snprintf(path, sizeof(path), "/api/v2/uploads/%s", said("id"));
	world.headers[0][0] = "Upload-Offset";
	world.headers[0][1] = "0";
	cr_assert_eq(lode_blob_begin(lode_api_blobs(world.api), said("id"), 0, &w, NULL, &err), 0);
	cr_assert_eq(upload(path, "ab", 2), 409);
	cr_assert(strstr(said("error.message"), "another request"), "%s", said("error.message"));
	cr_assert_eq(lode_blob_written(w), 0);
	lode_blob_suspend(w);
	cr_assert_eq(upload(path, "ab", 2), 200);
	cr_assert_str_eq(said("offset"), "2");
}

Test(api, uploads_of_the_same_bytes_under_two_names_are_two)
{
	char first[LODE_STORE_ID_MAX];
	cr_assert_eq(
		ask("POST", "/api/v2/uploads", "{\"model_id\":\"m\",\"version\":\"1\"," SAME), 201);
	snprintf(first, sizeof(first), "%s", said("id"));
	cr_assert_eq(
		ask("POST", "/api/v2/uploads", "{\"model_id\":\"m\",\"version\":\"2\"," SAME), 201);
	cr_assert_str_neq(first, said("id"));
}

Test(api, models_come_in_pages)
{
	char path[100];
	for (int i = 0; i < 7; i++)
		for (int v = 0; v < 3; v++) {
			snprintf(path, sizeof(path), "/api/v1/models/m%d/versions/v%d", i, v);
			upload(path, path, strlen(path));
		}
	char after[LODE_STORE_ID_MAX] = "";
	unsigned n = 0, pages = 0;
	world.queries[0][0] = "limit";
	world.queries[0][1] = "3";
	do {
		world.queries[1][0] = *after ? "after" : NULL;
		world.queries[1][1] = after;
		cr_assert_eq(ask("GET", "/api/v2/models", NULL), 200);
		n += (unsigned)json_array_size(json_object_get(world.json, "items"));
		snprintf(after, sizeof(after), "%s", said("next"));
	} while (*after && ++pages < 10);
	cr_assert_eq(n, 7);
	cr_assert_eq(pages, 2);
}
