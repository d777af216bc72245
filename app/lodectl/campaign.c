/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl campaign: how a version reaches a fleet. */
#include "manager.h"

#include <stdlib.h>
#include <unistd.h>

#define WATCH_S 1

static int list_campaigns(struct lodectl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {{"CAMPAIGN", "id"}, {"MODEL", "model_id"},
		{"VERSION", "target_version"}, {"FLEET", "fleet_id"}, {"STATE", "state"},
		{"TOTAL", "total"}, {"COMPLETE", "complete"}, {"FAILED", "failed"}};
	(void)argc, (void)argv;
	return manager_table(ctl, "/campaigns", columns, LODE_ARRAY_LEN(columns));
}

static int start(struct lodectl *ctl, int argc, char **argv)
{
	json_t *body = argc < 3 ? NULL : manager_options(argc - 3, argv + 3);
	if (!body)
		return argc < 3 ? complain(EXIT_OTHER, "usage: lodectl campaign start MODEL "
						       "VERSION FLEET [KEY=VALUE...]")
				: EXIT_OTHER;
	json_object_set_new(body, "model_id", json_string(argv[0]));
	json_object_set_new(body, "model_version", json_string(argv[1]));
	json_object_set_new(body, "fleet_id", json_string(argv[2]));
	return print_answer(ctl, manager_once(ctl, "POST", "/campaigns", body));
}

static int show(struct lodectl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {"DEVICE", "STATE", "STAGE", "ATTEMPTS", "ERROR"};
	char path[MANAGER_PATH_MAX];
	struct table t;
	size_t i;
	json_t *device;
	if (!manager_path(path, "/campaigns/*", argc, argv, 1))
		return EXIT_OTHER;
	json_t *v = manager_once(ctl, "GET", path, NULL);
	if (!v || ctl->json)
		return print_answer(ctl, v);
	json_t *devices = json_incref(json_object_get(v, "devices"));
	json_object_del(v, "devices");
	print_answer(ctl, v);
	puts("");
	table_begin(&t, LODE_ARRAY_LEN(heads), heads);
	json_array_foreach(devices, i, device)
	{
		table_cell(&t, "%s", json_string_value(json_object_get(device, "device_id")));
		table_cell(&t, "%s", json_string_value(json_object_get(device, "state")));
		table_cell(&t, "%lld",
			(long long)json_integer_value(json_object_get(device, "stage")) + 1);
		table_cell(&t, "%lld",
			(long long)json_integer_value(json_object_get(device, "attempts")));
		const char *error = json_string_value(json_object_get(device, "error"));
		table_cell(&t, "%s", error ? error : "");
	}
	table_end(&t, stdout);
	json_decref(devices);
	return EXIT_OK;
}

static long long sum_of(const json_t *v, const char *key)
{
	return (long long)json_integer_value(json_object_get(json_object_get(v, "summary"), key));
}

/* What is worth a new line: state, stage and how many are where. */
static void describe(const json_t *v, char text[300])
{
	const char *reason = json_string_value(json_object_get(v, "reason"));
	snprintf(text, 300,
		"%s, stage %lld: %lld of %lld complete, %lld at work, %lld failed, %lld taken "
		"back%s%s",
		json_string_value(json_object_get(v, "state")),
		(long long)json_integer_value(json_object_get(v, "stage")) + 1,
		sum_of(v, "complete"), sum_of(v, "total"), sum_of(v, "in_progress"),
		sum_of(v, "failed"), sum_of(v, "rolled_back"), reason && *reason ? "; " : "",
		reason ? reason : "");
}

static bool has_ended(const char *state)
{
	return !strcmp(state, "complete") || !strcmp(state, "failed") || !strcmp(state, "aborted");
}

/* A line per change, in JSON one object per change; a bar between them on a terminal. */
static int watch(struct lodectl *ctl, int argc, char **argv)
{
	char path[MANAGER_PATH_MAX], text[300], before[300] = "", state[40] = "";
	if (!manager_path(path, "/campaigns/*", argc, argv, 1))
		return EXIT_OTHER;
	struct manager *m = manager_open(ctl);
	json_t *v = NULL;
	while (m && !has_ended(state) && (v = manager_call(m, "GET", path, NULL))) {
		const char *now = json_string_value(json_object_get(v, "state"));
		snprintf(state, sizeof(state), "%s", now ? now : "?");
		describe(v, text);
		if (strcmp(text, before) != 0 && ctl->json) {
			json_dumpf(json_object_get(v, "summary"), stdout, JSON_COMPACT);
			putchar('\n');
		} else if (strcmp(text, before) != 0) {
			progress_end();
			print_clean(text);
			putchar('\n');
		}
		fflush(stdout);
		memcpy(before, text, sizeof(before));
		progress_bar("campaign", (uint64_t)sum_of(v, "complete"),
			(uint64_t)sum_of(v, "total"), "devices");
		json_decref(v);
		if (!has_ended(state))
			sleep(WATCH_S);
	}
	if (m)
		progress_end();
	manager_close(m);
	return !strcmp(state, "complete") ? EXIT_OK : EXIT_OTHER;
}

static int verb(struct lodectl *ctl, int argc, char **argv, const char *pattern, const char *done)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, pattern, argc, argv, 1))
		return EXIT_OTHER;
	return manager_do(ctl, "POST", path, NULL, "campaign %s is %s", argv[0], done);
}

static int pause_it(struct lodectl *ctl, int argc, char **argv)
{
	return verb(ctl, argc, argv, "/campaigns/*/pause", "held back");
}

static int resume(struct lodectl *ctl, int argc, char **argv)
{
	return verb(ctl, argc, argv, "/campaigns/*/resume", "going on");
}

static int abort_it(struct lodectl *ctl, int argc, char **argv)
{
	return verb(ctl, argc, argv, "/campaigns/*/abort", "ended");
}

static int approve(struct lodectl *ctl, int argc, char **argv)
{
	return verb(ctl, argc, argv, "/campaigns/*/approve", "approved");
}

const struct command campaign_commands[] = {
	{"campaign", "list", "", "campaigns and how far they are", list_campaigns},
	{"campaign", "start", "MODEL VERSION FLEET [KEY=VALUE...]", "move a fleet to a version",
		start},
	{"campaign", "show", "ID", "one campaign with its devices", show},
	{"campaign", "watch", "ID", "its progress until it ends", watch},
	{"campaign", "pause", "ID", "hold back at once", pause_it},
	{"campaign", "resume", "ID", "go on", resume},
	{"campaign", "abort", "ID", "end it", abort_it},
	{"campaign", "approve", "ID", "let it begin", approve},
	COMMANDS_END,
};
