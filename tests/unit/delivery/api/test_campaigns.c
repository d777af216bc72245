/* SPDX-License-Identifier: BSD-3-Clause */
/* What the older system promised of campaigns and did not do. */
#include <criterion/criterion.h>

#include "world.h"

#include <stdio.h>
#include <string.h>

#define DEVICES 20

static void fleet_up(void)
{
	char body[100], path[100];
	world_up();
	ask("POST", "/api/v1/fleets", "{\"id\":\"f\",\"name\":\"F\"}");
	for (int i = 0; i < DEVICES; i++) {
		snprintf(body, sizeof(body), "{\"id\":\"d%d\"}", i);
		snprintf(path, sizeof(path), "/api/v1/fleets/f/devices/d%d", i);
		ask("POST", "/api/v1/devices", body);
		cr_assert_eq(ask("POST", path, NULL), 200);
	}
	upload("/api/v1/models/m/versions/1", "one", 3);
	upload("/api/v1/models/m/versions/2", "two", 3);
}

TestSuite(campaigns, .init = fleet_up, .fini = world_down);

static void start(const char *more, char id[100])
{
	char body[300];
	snprintf(body, sizeof(body),
		"{\"model_id\":\"m\",\"model_version\":\"2\",\"fleet_id\":\"f\"%s}", more);
	cr_assert_eq(ask("POST", "/api/v1/campaigns", body), 201, "%s", world.reply.body);
	snprintf(id, 100, "%s", said("campaign_id"));
}

/* The version a device is told to run now. */
static const char *beat(int i, const char *body)
{
	char path[100];
	snprintf(path, sizeof(path), "/api/v1/devices/d%d/heartbeat", i);
	cr_assert_eq(ask("POST", path, body), 200);
	return said("assigned_model_version");
}

static int assigned(const char *body)
{
	int n = 0;
	for (int i = 0; i < DEVICES; i++)
		n += !strcmp(beat(i, body), "2");
	return n;
}

static const char *summary(const char *id, const char *member)
{
	char path[200];
	snprintf(path, sizeof(path), "/api/v1/campaigns/%s", id);
	cr_assert_eq(ask("GET", path, NULL), 200);
	snprintf(path, sizeof(path), "summary.%s", member);
	return said(path);
}

static void tick(int seconds)
{
	world.now_ms += seconds * 1000ll;
	lode_api_tick(world.api, world.now_ms);
}

#define RUNS_2 "{\"current_model\":\"m\",\"current_model_version\":\"2\"}"

Test(campaigns, all_at_once_reaches_all_and_ends)
{
	char id[100];
	start("", id);
	cr_assert_eq(assigned("{}"), DEVICES);
	cr_assert_eq(assigned(RUNS_2), DEVICES);
	tick(1);
	cr_assert_str_eq(summary(id, "complete"), "20");
	cr_assert_str_eq(said("state"), "Complete");
}

Test(campaigns, a_canary_is_really_staged)
{
	char id[100];
	start(",\"strategy\":\"canary\"", id);
	cr_assert_eq(assigned("{}"), 1);
	for (int i = 0; i < DEVICES; i++)
		if (!strcmp(beat(i, "{}"), "2"))
			beat(i, RUNS_2);
	tick(1);
	tick(300);
	tick(1);
	cr_assert_eq(assigned("{}"), 5, "the first, and four more");
}

Test(campaigns, pause_and_abort_hold_back_at_once_and_survive)
{
	char id[100], path[200];
	start("", id);
	snprintf(path, sizeof(path), "/api/v1/campaigns/%s/pause", id);
	cr_assert_eq(ask("POST", path, NULL), 200);
	cr_assert_eq(assigned("{}"), 0);
	world_restart();
	cr_assert_eq(assigned("{}"), 0);
	cr_assert_eq(ask("POST", path, NULL), 409, "twice");
	snprintf(path, sizeof(path), "/api/v1/campaigns/%s/abort", id);
	cr_assert_eq(ask("POST", path, NULL), 200);
	cr_assert_eq(assigned("{}"), 0);
}

Test(campaigns, failures_end_a_stage_and_take_it_back)
{
	char id[100];
	/* All run version 1 first. */
	for (int i = 0; i < DEVICES; i++)
		beat(i, "{\"current_model\":\"m\",\"current_model_version\":\"1\"}");
	start(",\"rollback\":true,\"error_count\":1,\"error_percent\":0", id);
	cr_assert_eq(assigned("{}"), DEVICES);
	beat(0, RUNS_2);
	beat(1, "{\"last_update_result\":{\"failed\":{\"error\":\"slower\",\"class\":\"health\"}}"
		"}");
	tick(1);
	cr_assert_str_eq(beat(0, RUNS_2), "1", "the one that changed goes back");
	cr_assert_str_eq(beat(2, "{\"current_model\":\"m\",\"current_model_version\":\"1\"}"), "1");
	for (int i = 0; i < DEVICES; i++)
		beat(i, "{\"current_model\":\"m\",\"current_model_version\":\"1\"}");
	tick(1);
	cr_assert_str_eq(summary(id, "failed"), "1");
	cr_assert_str_eq(said("state"), "Failed");
}

Test(campaigns, bytes_are_counted)
{
	char id[100];
	start("", id);
	assigned("{}");
	world.who = (struct lode_api_identity){LODE_ROLE_DEVICE, "d3"};
	cr_assert_eq(ask("GET", "/api/v1/models/m/versions/2/download", NULL), 200);
	world.who = (struct lode_api_identity){LODE_ROLE_ADMIN, "root"};
	cr_assert_str_eq(summary(id, "bytes_served"), "3");
}

Test(campaigns, what_is_not_there_is_not_rolled_out)
{
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"9\",\"fleet_id\":\"f\"}"),
		404);
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"2\",\"fleet_id\":\"g\"}"),
		404);
	cr_assert_eq(
		ask("POST", "/api/v1/campaigns", "{\"model_id\":\"m\",\"model_version\":\"2\"}"),
		400);
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"2\",\"fleet_id\":\"f\","
			     "\"strategy\":\"hope\"}"),
		400);
}

Test(campaigns, a_device_that_joins_a_dynamic_one_is_served)
{
	char id[100];
	start(",\"dynamic\":true", id);
	ask("POST", "/api/v1/devices", "{\"id\":\"late\"}");
	ask("POST", "/api/v1/fleets/f/devices/late", NULL);
	tick(1);
	cr_assert_eq(ask("POST", "/api/v1/devices/late/heartbeat", "{}"), 200);
	cr_assert_str_eq(said("assigned_model_version"), "2");
}

Test(campaigns, one_of_an_empty_fleet_completes)
{
	char id[100];
	ask("POST", "/api/v1/fleets", "{\"id\":\"empty\"}");
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"2\",\"fleet_id\":\"empty\"}"),
		201);
	snprintf(id, sizeof(id), "%s", said("campaign_id"));
	tick(1);
	summary(id, "total");
	cr_assert_str_eq(said("state"), "Complete");
}

Test(campaigns, two_of_the_same_second_are_two)
{
	char first[100], second[100];
	start("", first);
	start("", second);
	cr_assert_str_neq(first, second);
	/* The second has all the devices now: the first does not wait for them. */
	tick(1);
	cr_assert_str_eq(summary(first, "skipped"), "20");
	cr_assert_str_eq(said("state"), "Complete");
}

Test(campaigns, who_is_gone_is_not_waited_for)
{
	char id[100];
	start("", id);
	assigned(RUNS_2);
	cr_assert_str_eq(summary(id, "complete"), "20");
	start("", id);
	cr_assert_eq(ask("DELETE", "/api/v1/devices/d0", NULL), 200);
	cr_assert_eq(ask("DELETE", "/api/v2/fleets/f/devices/d1", NULL), 200);
	for (int i = 1; i < DEVICES; i++)
		beat(i, RUNS_2);
	tick(1);
	cr_assert_str_eq(summary(id, "skipped"), "2");
	cr_assert_str_eq(said("state"), "Complete");
	ask("GET", "/api/v1/fleets/f", NULL);
	cr_assert_eq(json_array_size(json_object_get(world.json, "devices")), DEVICES - 2);
}

Test(campaigns, a_success_after_a_failure_counts)
{
	char id[100];
	start(",\"error_percent\":0", id);
	beat(0, "{\"last_update_result\":{\"failed\":{\"error\":\"cut\",\"class\":\"network\"}}}");
	cr_assert_str_eq(summary(id, "failed"), "1");
	beat(0, RUNS_2);
	cr_assert_str_eq(summary(id, "complete"), "1");
}

Test(campaigns, the_plan_is_kept_as_it_was_said)
{
	char id[100], path[200];
	start(",\"retry_classes\":[\"network\",\"health\"],\"error_percent\":50", id);
	world_restart();
	snprintf(path, sizeof(path), "/api/v2/campaigns/%s", id);
	cr_assert_eq(ask("GET", path, NULL), 200);
	cr_assert_eq(json_array_size(json_object_get(world.json, "retry_classes")), 2);
	cr_assert_str_eq(said("error_percent"), "50");
	cr_assert_eq(ask("POST", "/api/v1/campaigns",
			     "{\"model_id\":\"m\",\"model_version\":\"2\",\"fleet_id\":\"f\","
			     "\"retry_classes\":[\"hope\"]}"),
		400);
}

static void start_model(const char *model, const char *version, const char *more, char id[100])
{
	char body[300];
	snprintf(body, sizeof(body),
		"{\"model_id\":\"%s\",\"model_version\":\"%s\",\"fleet_id\":\"f\"%s}", model,
		version, more);
	cr_assert_eq(ask("POST", "/api/v1/campaigns", body), 201, "%s", world.reply.body);
	snprintf(id, 100, "%s", said("campaign_id"));
}

static const char *beat_runs(const char *model, const char *version)
{
	char body[200];
	snprintf(body, sizeof(body), "{\"current_model\":\"%s\",\"current_model_version\":\"%s\"}",
		model, version);
	return beat(0, body);
}

/* An appliance has several models, each in a campaign of its own: one after the other, and then peace. */
Test(campaigns, two_models_reach_the_same_device)
{
	char first[100], second[100];
	upload("/api/v1/models/n/versions/7", "seven", 5);
	beat_runs("m", "1");
	start_model("m", "2", "", first);
	start_model("n", "7", "", second);
	cr_assert_str_eq(beat_runs("m", "1"), "2");
	cr_assert_str_eq(beat_runs("m", "1"), "2", "what is under way is not pushed aside");
	cr_assert_str_eq(beat_runs("m", "2"), "7");
	cr_assert_str_eq(said("assigned_model"), "n");
	cr_assert_str_eq(beat_runs("n", "7"), "7", "nothing more to do");
	cr_assert_str_eq(said("assigned_model"), "n");
	cr_assert_str_eq(summary(first, "complete"), "1");
	cr_assert_str_eq(summary(second, "complete"), "1");
	cr_assert_str_eq(summary(first, "skipped"), "0");
	/* A failure of one is not one of the other. */
	upload("/api/v1/models/n/versions/8", "eight", 5);
	start_model("n", "8", "", second);
	cr_assert_str_eq(beat_runs("n", "7"), "8");
	beat(0, "{\"last_update_result\":{\"failed\":{\"error\":\"x\",\"class\":\"health\"}}}");
	cr_assert_str_eq(summary(second, "failed"), "1");
	cr_assert_str_eq(summary(first, "failed"), "0");
}

Test(campaigns, a_roll_back_is_of_its_own_model)
{
	char id[100];
	upload("/api/v1/models/n/versions/6", "six", 3);
	upload("/api/v1/models/n/versions/7", "seven", 5);
	beat_runs("n", "6");
	/* The device is known by m since then. */
	beat_runs("m", "1");
	start_model("n", "7", ",\"rollback\":true,\"error_count\":1,\"error_percent\":0", id);
	cr_assert_str_eq(beat_runs("m", "1"), "7");
	cr_assert_str_eq(beat_runs("n", "7"), "7");
	beat(1, "{\"last_update_result\":{\"failed\":{\"error\":\"x\",\"class\":\"health\"}}}");
	tick(1);
	cr_assert_str_eq(beat_runs("n", "7"), "6");
	cr_assert_str_eq(said("assigned_model"), "n");
	beat_runs("n", "6");
	cr_assert_str_eq(summary(id, "rolled_back"), "1");
}

/* What is held back is not given to who asks on his own either. */
Test(campaigns, a_device_fetches_nothing_that_is_held_back)
{
	static const char *const wants[] = {
		"/api/v1/models/m/versions/2/download", "/api/v2/models/m/versions/2/plan"};
	char id[100], path[200];
	start("", id);
	assigned("{}");
	const struct lode_api_identity root = world.who, d3 = {LODE_ROLE_DEVICE, "d3"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(wants); i++) {
		world.who = d3;
		cr_assert_eq(ask("GET", wants[i], NULL), 200);
		world.who = root;
		snprintf(path, sizeof(path), "/api/v1/campaigns/%s/pause", id);
		cr_assert_eq(ask("POST", path, NULL), 200);
		cr_assert_eq(ask("GET", wants[i], NULL), 200, "an operator may");
		world.who = d3;
		cr_assert_eq(ask("GET", wants[i], NULL), 409);
		cr_assert_eq(ask("GET", "/api/v1/models/m/versions/1/download", NULL), 200,
			"another version has nothing to do with it");
		world.who = root;
		snprintf(path, sizeof(path), "/api/v1/campaigns/%s/resume", id);
		cr_assert_eq(ask("POST", path, NULL), 200);
	}
	snprintf(path, sizeof(path), "/api/v1/campaigns/%s/abort", id);
	ask("POST", path, NULL);
	world.who = d3;
	cr_assert_eq(ask("GET", wants[0], NULL), 409);
}
