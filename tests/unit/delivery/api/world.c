/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

static void open_api(void)
{
	struct lode_api_options options = {.offline_s = 300,
		.ca_dir = world.ca,
		.now_ms = world.now_ms,
		.keep_versions = world.keep_versions};
	struct lode_err err = {0};
	cr_assert_eq(
		lode_api_new(&options, world.db, world.blobs, &world.api, &err), 0, "%s", err.msg);
}

void world_up(void)
{
	snprintf(world.dir, sizeof(world.dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(world.dir));
	snprintf(world.db, sizeof(world.db), "%s/db", world.dir);
	snprintf(world.blobs, sizeof(world.blobs), "%s/blobs", world.dir);
	snprintf(world.ca, sizeof(world.ca), "%s/ca", world.dir);
	world.now_ms = 1700000000000;
	world.who = (struct lode_api_identity){LODE_ROLE_ADMIN, "root"};
	open_api();
}

void world_restart(void)
{
	lode_api_free(world.api);
	open_api();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void forget(void)
{
	json_decref(world.json);
	world.json = NULL;
	lode_api_reply_clear(&world.reply);
}

void world_down(void)
{
	forget();
	lode_api_free(world.api);
	nftw(world.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *value_of(const char *pairs[WORLD_PAIRS][2], const char *name)
{
	for (size_t i = 0; i < WORLD_PAIRS; i++)
		if (pairs[i][0] && !strcmp(pairs[i][0], name))
			return pairs[i][1];
	return NULL;
}

static const char *header(void *ctx, const char *name)
{
	return value_of(((struct world *)ctx)->headers, name);
}

static const char *query(void *ctx, const char *name)
{
	return value_of(((struct world *)ctx)->queries, name);
}

static struct lode_api_request request(const char *method, const char *path)
{
	return (struct lode_api_request){.method = method,
		.path = path,
		.header = header,
		.query = query,
		.ctx = &world,
		.who = world.who,
		.now_ms = world.now_ms};
}

int ask(const char *method, const char *path, const char *body)
{
	struct lode_api_request req = request(method, path);
	forget();
	req.body = body;
	req.body_len = body ? strlen(body) : 0;
	lode_api_handle(world.api, &req, NULL, &world.reply);
	if (world.reply.body)
		world.json = json_loadb(world.reply.body, world.reply.body_len, 0, NULL);
	return world.reply.status;
}

int upload(const char *path, const void *bytes, size_t n)
{
	struct lode_api_request req = request(strstr(path, "/uploads/") ? "PUT" : "POST", path);
	struct lode_blob_writer *w;
	struct lode_err err;
	forget();
	if (!lode_api_upload_begin(world.api, &req, &w, &world.reply)) {
		cr_assert_eq(lode_blob_write(w, bytes, n, &err), 0);
		lode_api_handle(world.api, &req, w, &world.reply);
	}
	if (world.reply.body)
		world.json = json_loadb(world.reply.body, world.reply.body_len, 0, NULL);
	return world.reply.status;
}

const char *said(const char *path)
{
	static char number[32];
	char copy[100], *at = NULL;
	snprintf(copy, sizeof(copy), "%s", path);
	json_t *v = world.json;
	for (char *key = strtok_r(copy, ".", &at); key; key = strtok_r(NULL, ".", &at))
		v = json_object_get(v, key);
	if (json_is_integer(v)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		return number;
	}
	return json_is_string(v) ? json_string_value(v) : "";
}
