/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl manager: the management process itself, who may talk to it, and what they did. */
#include "manager.h"

#include <stdlib.h>
#include <time.h>

static int manager_health(struct lodectl *ctl, int argc, char **argv)
{
	(void)argc, (void)argv;
	return manager_do(ctl, "GET", "/health", NULL, "the manager is healthy");
}

static void print_entries(json_t *entries)
{
	static const char *const heads[] = {"SEQ", "TIME", "WHO", "WHAT", "OBJECT"};
	struct table t;
	size_t i;
	json_t *e;
	table_begin(&t, LODE_ARRAY_LEN(heads), heads);
	json_array_foreach(entries, i, e)
	{
		time_t at = (time_t)(json_integer_value(json_object_get(e, "time_ms")) / 1000);
		struct tm tm;
		char when[32] = "";
		if (gmtime_r(&at, &tm))
			strftime(when, sizeof(when), "%F %TZ", &tm);
		table_cell(&t, "%lld", (long long)json_integer_value(json_object_get(e, "seq")));
		table_cell(&t, "%s", when);
		table_cell(&t, "%s", json_string_value(json_object_get(e, "actor")));
		table_cell(&t, "%s", json_string_value(json_object_get(e, "action")));
		table_cell(&t, "%s", json_string_value(json_object_get(e, "object")));
	}
	table_end(&t, stdout);
}

static int manager_audit(struct lodectl *ctl, int argc, char **argv)
{
	char path[64];
	snprintf(path, sizeof(path), "/audit?after=%lld", argc ? strtoll(argv[0], NULL, 10) : 0);
	json_t *v = manager_once(ctl, "GET", path, NULL);
	if (!v)
		return EXIT_OTHER;
	bool whole = json_is_true(json_object_get(v, "chain_ok"));
	if (ctl->json)
		print_json(v);
	else
		print_entries(json_object_get(v, "items"));
	json_decref(v);
	return whole ? EXIT_OK : complain(EXIT_OTHER, "the log's chain of hashes does not hold");
}

static int manager_certificates(struct lodectl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {{"SERIAL", "serial"}, {"NAME", "name"},
		{"ROLE", "role"}, {"STATE", "state"}, {"NOT AFTER (ms)", "not_after_ms"}};
	(void)argc, (void)argv;
	return manager_table(ctl, "/certificates?limit=1000", columns, LODE_ARRAY_LEN(columns));
}

static int manager_revoke(struct lodectl *ctl, int argc, char **argv)
{
	char path[MANAGER_PATH_MAX];
	if (!manager_path(path, "/certificates/*/revoke", argc, argv, 1))
		return EXIT_OTHER;
	return manager_do(
		ctl, "POST", path, NULL, "certificate %s is refused from now on", argv[0]);
}

static int manager_tokens(struct lodectl *ctl, int argc, char **argv)
{
	static const struct column columns[] = {
		{"ID", "id"}, {"NAME", "name"}, {"ROLE", "role"}, {"EXPIRES (ms)", "expires_ms"}};
	(void)argc, (void)argv;
	return manager_table(ctl, "/tokens?limit=1000", columns, LODE_ARRAY_LEN(columns));
}

const struct command manager_commands[] = {
	{"manager", "health", "", "does it answer", manager_health},
	{"manager", "audit", "[AFTER_SEQ]", "who did what, and whether the log is whole",
		manager_audit},
	{"manager", "certificates", "", "who has which certificate", manager_certificates},
	{"manager", "revoke", "SERIAL", "refuse a certificate from now on", manager_revoke},
	{"manager", "tokens", "", "access tokens without their secrets", manager_tokens},
	{"manager", "nginx", "[KEY=VALUE...]", "configuration of the web server in front",
		manager_nginx},
	COMMANDS_END,
};
