/* SPDX-License-Identifier: BSD-3-Clause */
/* What the hourly sweep takes, and what it never takes. */
#include <criterion/criterion.h>

#include "world.h"

#include <stdio.h>
#include <string.h>

#define FAR_MS (INT64_C(1) << 45) /* everything is old then */

TestSuite(collect, .init = world_up, .fini = world_down);

Test(collect, it_takes_only_what_nobody_names)
{
	char kept[LODE_BLOB_HEX], lost[LODE_BLOB_HEX];
	struct lode_blob_writer *w;
	struct lode_err err;
	upload("/api/v1/models/m/versions/1", "abc", 3);
	snprintf(kept, sizeof(kept), "%s", said("sha256"));
	cr_assert_eq(lode_blob_begin(lode_api_blobs(world.api), NULL, 0, &w, NULL, &err), 0);
	cr_assert_eq(lode_blob_write(w, "orphan", 6, &err), 0);
	cr_assert_eq(lode_blob_commit(w, NULL, lost, &err), 0);
	cr_assert_eq(lode_api_collect(world.api, world.now_ms), 0, "the young ones stay");
	cr_assert_eq(lode_api_collect(world.api, FAR_MS), 1);
	cr_assert_eq(lode_blob_size(lode_api_blobs(world.api), kept), 3);
	cr_assert_eq(lode_blob_size(lode_api_blobs(world.api), lost), -ENOENT);
}

static void add(int version)
{
	char path[100];
	snprintf(path, sizeof(path), "/api/v1/models/m/versions/%d", version);
	world.now_ms += 1000;
	cr_assert_eq(upload(path, path, strlen(path)), 201);
}

static bool there(int version)
{
	char path[100];
	snprintf(path, sizeof(path), "/api/v1/models/m/versions/%d/download", version);
	return ask("GET", path, NULL) == 200;
}

Test(collect, the_newest_and_the_needed_stay)
{
	world.keep_versions = 2;
	world_restart();
	for (int v = 1; v <= 8; v++)
		add(v);
	/* 1 is pinned, 2 runs, 3 is given out by an open campaign to a device that runs 4. */
	ask("POST", "/api/v2/models/m/versions/1/pin", "{\"pinned\":true}");
	ask("POST", "/api/v1/devices", "{\"id\":\"a\"}");
	ask("POST", "/api/v1/devices/a/heartbeat",
		"{\"current_model\":\"m\",\"current_model_version\":\"2\"}");
	ask("POST", "/api/v1/devices", "{\"id\":\"b\"}");
	ask("POST", "/api/v1/devices/b/heartbeat",
		"{\"current_model\":\"m\",\"current_model_version\":\"4\"}");
	ask("POST", "/api/v1/fleets", "{\"id\":\"f\"}");
	ask("POST", "/api/v1/fleets/f/devices/b", NULL);
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"3\",\"fleet_id\":\"f\"}"),
		201);
	/* The device has moved on: 4 is what a roll-back would need. */
	ask("POST", "/api/v1/devices/b/heartbeat",
		"{\"current_model\":\"m\",\"current_model_version\":\"5\"}");
	lode_api_collect(world.api, FAR_MS);
	for (int v = 1; v <= 8; v++)
		cr_assert_eq(there(v), v != 6, "version %d", v);
}

Test(collect, without_a_limit_all_stay)
{
	for (int v = 1; v <= 4; v++)
		add(v);
	cr_assert_eq(lode_api_collect(world.api, FAR_MS), 0);
	for (int v = 1; v <= 4; v++)
		cr_assert(there(v));
}

static int count_one(void *ctx, const char *sha256, uint64_t n_bytes)
{
	(void)sha256, (void)n_bytes;
	++*(unsigned *)ctx;
	return 0;
}

static unsigned n_blobs(void)
{
	unsigned n = 0;
	lode_blobs_list(lode_api_blobs(world.api), FAR_MS, 0, count_one, &n);
	return n;
}

/* Patches are names of bytes too: they go with the version they lead to. */
Test(collect, patches_go_with_their_versions)
{
	static uint8_t bytes[20000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i >> 7);
	upload("/api/v1/models/m/versions/1", bytes, sizeof(bytes));
	bytes[77] ^= 1;
	world.now_ms += 1000;
	upload("/api/v1/models/m/versions/2", bytes, sizeof(bytes));
	while (lode_api_make_delta(world.api, world.now_ms))
		;
	unsigned before = n_blobs();
	cr_assert_gt(before, 2);
	cr_assert_eq(lode_api_collect(world.api, FAR_MS), 0);
	cr_assert_eq(ask("DELETE", "/api/v2/models/m/versions/2", NULL), 200);
	lode_api_collect(world.api, FAR_MS);
	cr_assert_eq(n_blobs(), 1);
}

Test(collect, uploads_that_nobody_goes_on_with_end)
{
	char path[200];
	ask("POST", "/api/v2/uploads",
		"{\"model_id\":\"m\",\"version\":\"1\",\"sha256\":"
		"\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}");
	snprintf(path, sizeof(path), "/api/v2/uploads/%s", said("id"));
	lode_api_collect(world.api, world.now_ms + 86400000);
	cr_assert_eq(ask("GET", path, NULL), 200);
	lode_api_collect(world.api, world.now_ms + INT64_C(8) * 86400000);
	cr_assert_eq(ask("GET", path, NULL), 404);
}
