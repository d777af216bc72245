/* SPDX-License-Identifier: BSD-3-Clause */
#include "lodectl.h"

#include "lode_config.h"

#include <limits.h>
#include <stdlib.h>

#define TEXT_MAX (1u << 20)

static int check(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_config *c;
	struct lode_err err;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl config check FILE");
	if (lode_config_load(argv[0], &c, &err)) {
		if (ctl->json) {
			json_t *v = json_pack("{s:b,s:s}", "ok", 0, "error", err.msg);
			print_json(v);
			json_decref(v);
		}
		return complain(EXIT_CONFIG, "%s", err.msg);
	}
	if (ctl->json)
		puts("{\"ok\": true}");
	else
		printf("%s: ok: %u ports, %u peers, %u rules, %u workers\n", argv[0], c->n_ports,
			c->n_peers, c->n_rules, c->n_workers);
	lode_config_free(c);
	return EXIT_OK;
}

static int diff(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_config *from = NULL, *to = NULL;
	struct lode_err err;
	if (argc != 2)
		return complain(EXIT_OTHER, "usage: lodectl config diff OLD NEW");
	int rc = EXIT_CONFIG;
	char *text = calloc(1, TEXT_MAX);
	if (!text)
		return complain(EXIT_OTHER, "out of memory");
	if (lode_config_load(argv[0], &from, &err) || lode_config_load(argv[1], &to, &err)) {
		complain(rc, "%s", err.msg);
	} else {
		lode_config_diff(from, to, text, TEXT_MAX);
		if (ctl->json)
			print_answer(ctl, json_pack("{s:s}", "changes", text));
		else
			fputs(text, stdout);
		rc = EXIT_OK;
	}
	lode_config_free(from);
	lode_config_free(to);
	free(text);
	return rc;
}

/* The rows of lode_config_keys as objects. NULL: no memory. */
static json_t *read_keys(const char *const *members, size_t n_members)
{
	char *text = malloc(TEXT_MAX), *rest = text, *line;
	json_t *all = NULL;
	if (text && lode_config_keys(text, TEXT_MAX) >= 0)
		all = json_array();
	while (all && (line = strsep(&rest, "\n")) && *line) {
		json_t *row = json_object();
		for (size_t i = 0; i < n_members && line; i++)
			json_object_set_new(row, members[i], json_string(strsep(&line, "\t")));
		json_array_append_new(all, row);
	}
	free(text);
	return all;
}

static int keys(struct lodectl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"KEY", "UNIT", "ALLOWED", "DEFAULT", "CHANGE", "MEANING"};
	static const char *const members[] = {
		"key", "unit", "allowed", "default", "change", "meaning"};
	json_t *all = read_keys(members, LODE_ARRAY_LEN(members)), *row;
	struct table t;
	size_t i;
	if (!all)
		return complain(EXIT_OTHER, "out of memory");
	if (ctl->json) {
		print_json(all);
	} else {
		table_begin(&t, LODE_ARRAY_LEN(heads), heads);
		json_array_foreach(all, i, row) for (size_t m = 0; m < LODE_ARRAY_LEN(members); m++)
			table_value(&t, json_object_get(row, members[m]));
		table_end(&t, stdout);
	}
	json_decref(all);
	return EXIT_OK;
}

static int show(struct lodectl *ctl, int argc, char **argv)
{
	json_t *reply = ask_gateway(ctl, "config/show", NULL);
	if (!reply)
		return EXIT_OTHER;
	const char *yaml = json_string_value(json_object_get(reply, "yaml"));
	if (ctl->json || !yaml)
		print_json(reply);
	else
		print_clean(yaml);
	json_decref(reply);
	return EXIT_OK;
}

static int apply(struct lodectl *ctl, int argc, char **argv)
{
	char path[PATH_MAX];
	struct lode_config *c;
	struct lode_err err;
	if (argc > 1)
		return complain(EXIT_OTHER, "usage: lodectl config apply [FILE]");
	/* What is wrong in itself is said here, with the user's own path. */
	if (argc == 1 && lode_config_load(argv[0], &c, &err))
		return complain(EXIT_CONFIG, "%s", err.msg);
	if (argc == 1)
		lode_config_free(c);
	if (argc == 1 && !realpath(argv[0], path))
		return complain(EXIT_CONFIG, "%s: %s", argv[0], strerror(errno));
	json_t *reply = ask_gateway(ctl, "config/apply", argc == 1 ? path : NULL);
	if (!reply)
		return EXIT_CONFIG;
	const char *changes = json_string_value(json_object_get(reply, "changes"));
	if (ctl->json || !changes)
		print_json(reply);
	else {
		print_clean(changes);
		puts("applied");
	}
	json_decref(reply);
	return EXIT_OK;
}

const struct command config_commands[] = {
	{"config", "check", "FILE", "check a configuration file", check},
	{"config", "diff", "OLD NEW", "what changes from one file to another", diff},
	{"config", "keys", "", "every key: unit, range, default, when it can change", keys},
	{"config", "show", "", "the running configuration, defaults included", show},
	{"config", "apply", "[FILE]", "change the running gateway to FILE, or to its own file",
		apply},
	COMMANDS_END,
};
