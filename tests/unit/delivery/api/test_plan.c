/* SPDX-License-Identifier: BSD-3-Clause */
/* Which bytes an appliance is told to fetch, and the description of the API. */
#include <criterion/criterion.h>

#include "lode_base.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_BYTES 60000

TestSuite(plan, .init = world_up, .fini = world_down);

/* A model of which `seed` decides most bytes and `step` a few. */
static void add_version(const char *version, uint64_t seed, unsigned step)
{
	static uint8_t bytes[MODEL_BYTES];
	char path[100];
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)lode_rng_u64(&rng);
	for (unsigned i = 0; i < step; i++)
		memset(bytes + 1000 * i, (int)i, 100);
	snprintf(path, sizeof(path), "/api/v1/models/m/versions/%s", version);
	world.now_ms += 1000;
	cr_assert_eq(upload(path, bytes, sizeof(bytes)), 201);
}

static const json_t *plan(const char *base, const char *version)
{
	char path[100];
	world.queries[0][0] = base ? "base" : NULL;
	world.queries[0][1] = base;
	snprintf(path, sizeof(path), "/api/v2/models/m/versions/%s/plan", version);
	cr_assert_eq(ask("GET", path, NULL), 200);
	return json_object_get(world.json, "steps");
}

static void make_patches(void)
{
	while (lode_api_make_delta(world.api, world.now_ms))
		;
}

static const char *member(const json_t *steps, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(steps, i), key));
}

Test(plan, fewest_bytes_are_chosen)
{
	add_version("1", 7, 1);
	add_version("2", 7, 2);
	add_version("3", 7, 3);
	const json_t *steps = plan(NULL, "3");
	cr_assert_str_eq(member(steps, 0, "kind"), "full");
	cr_assert_str_eq(said("transfer_bytes"), "60000");
	make_patches();
	/* 1 -> 3 was not asked for yet: over 2 it is far less than the whole. */
	steps = plan("1", "3");
	cr_assert_eq(json_array_size(steps), 2);
	cr_assert_str_eq(member(steps, 0, "kind"), "delta");
	cr_assert_str_eq(member(steps, 0, "target"), member(steps, 1, "base"));
	cr_assert_str_eq(member(steps, 1, "target"), said("sha256"));
	long chain_bytes = atol(said("transfer_bytes"));
	cr_assert_lt(chain_bytes, MODEL_BYTES / 10);
	/* The question has ordered the direct one, which is less. */
	make_patches();
	steps = plan("1", "3");
	cr_assert_eq(json_array_size(steps), 1);
	cr_assert_leq(atol(said("transfer_bytes")), chain_bytes);
	char path[120];
	snprintf(path, sizeof(path), "/api/v2/blobs/%s", member(steps, 0, "sha256"));
	cr_assert_eq(ask("GET", path, NULL), 200);
	cr_assert_str_eq(world.reply.blob, strrchr(path, '/') + 1);
	cr_assert_eq(ask("GET", "/api/v2/blobs/nonsense", NULL), 404);
}

Test(plan, what_has_nothing_in_common_is_fetched_whole)
{
	add_version("1", 7, 0);
	add_version("2", 8, 0);
	make_patches();
	cr_assert_str_eq(member(plan("1", "2"), 0, "kind"), "full");
	cr_assert_str_eq(member(plan("unknown", "2"), 0, "kind"), "full");
}

Test(plan, the_description_has_every_route)
{
	static const struct {
		const char *path, *method;
	} some[] = {{"/devices", "post"}, {"/fleets/{fleet}/devices/{device}", "delete"},
		{"/models/{model}/versions/{version}/download", "get"},
		{"/campaigns/{campaign}/{verb}", "post"}, {"/enrol", "post"},
		{"/uploads/{upload}", "put"}};
	cr_assert_eq(ask("GET", "/api/v2/openapi.json", NULL), 200);
	cr_assert_str_eq(said("openapi"), "3.0.3");
	const json_t *paths = json_object_get(world.json, "paths");
	for (size_t i = 0; i < LODE_ARRAY_LEN(some); i++) {
		const json_t *op =
			json_object_get(json_object_get(paths, some[i].path), some[i].method);
		cr_assert(json_object_get(op, "summary"), "%s %s", some[i].method, some[i].path);
		cr_assert(json_object_get(op, "responses"));
	}
	const json_t *create = json_object_get(json_object_get(paths, "/campaigns"), "post");
	char *text = json_dumps(create, 0);
	cr_assert(strstr(text, "\"required\": [\"model_id\", \"model_version\", \"fleet_id\"]"));
	cr_assert(strstr(text, "\"retry_s\": {\"type\": \"integer\"}"));
	free(text);
}
