/* SPDX-License-Identifier: BSD-3-Clause */
/* The manager's configuration: a flat YAML mapping. */
#include "manager.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct key {
	const char *name;
	size_t offset, size; /* size 0: a number */
	uint32_t min, max;
	const char *allowed;
};

#define TEXT(m, what)                                                                           \
	{                                                                                       \
#m, offsetof(struct settings, m), sizeof(((struct settings *)0)->m), 0, 0, what \
	}
static const struct key keys[] = {
	TEXT(state_dir, "a folder"),
	TEXT(database, "a file, or postgresql://..."),
	TEXT(blobs, "a folder, or s3://..."),
	TEXT(seal_keys, "key files with spaces between, the newest first"),
	TEXT(socket, "a path"),
	TEXT(proxy_user, "a user's name"),
	TEXT(server_name, "names and addresses, commas between"),
	TEXT(admin_group, "a group's name"),
	TEXT(operator_group, "a group's name"),
	TEXT(viewer_group, "a group's name"),
	{"keep_versions", offsetof(struct settings, keep_versions), 0, 0, 10000, "0 to 10000"},
	{"certificate_days", offsetof(struct settings, certificate_days), 0, 1, 825, "1 to 825"},
	TEXT(gateway, "dpdk_telemetry.v2 of the gateway"),
	{"offline_s", offsetof(struct settings, offline_s), 0, 10, 86400, "10 to 86400"},
};

void settings_default(struct settings *s)
{
	*s = (struct settings){
		.state_dir = "/var/lib/lodestone-manager",
		.socket = "/run/lodestone-manager/manager.sock",
		.gateway = "/run/dpdk/lodestone/dpdk_telemetry.v2",
		.offline_s = 300,
		.certificate_days = 90,
	};
}

static int refuse(struct lode_err *err, const char *path, const yaml_event_t *e, const char *what,
	const char *key)
{
	return lode_err_set(err, -EINVAL, "%s:%zu:%zu: %s%s%s", path, e->start_mark.line + 1,
		e->start_mark.column + 1, key, *key ? ": " : "", what);
}

static int set(struct settings *s, const struct key *k, const char *value)
{
	char *to = (char *)s + k->offset;
	char *end;
	if (k->size) {
		if (strlen(value) >= k->size)
			return -EINVAL;
		memcpy(to, value, strlen(value) + 1);
		return 0;
	}
	unsigned long v = strtoul(value, &end, 10);
	if (!*value || *end || v < k->min || v > k->max)
		return -EINVAL;
	*(uint32_t *)(void *)to = (uint32_t)v;
	return 0;
}

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(keys); i++)
		if (!strcmp(name, keys[i].name))
			return &keys[i];
	return NULL;
}

/* Scalars come in pairs inside one mapping. */
static int take(struct settings *s, const yaml_event_t *e, const struct key **key, const char *path,
	struct lode_err *err)
{
	const char *text = (const char *)e->data.scalar.value;
	if (e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_ALIAS_EVENT)
		return refuse(err, path, e, "one value is expected", *key ? (*key)->name : "");
	if (e->type != YAML_SCALAR_EVENT)
		return 0;
	if (!*key) {
		*key = find_key(text);
		return *key ? 0 : refuse(err, path, e, "no such key", text);
	}
	const struct key *k = *key;
	*key = NULL;
	return set(s, k, text) ? refuse(err, path, e, k->allowed, k->name) : 0;
}

static int parse(struct settings *s, yaml_parser_t *parser, const char *path, struct lode_err *err)
{
	const struct key *key = NULL;
	yaml_event_t e;
	unsigned depth = 0;
	bool done = false;
	int rc = 0;
	while (!rc && !done) {
		if (!yaml_parser_parse(parser, &e))
			return lode_err_set(err, -EINVAL, "%s:%zu:%zu: %s", path,
				parser->problem_mark.line + 1, parser->problem_mark.column + 1,
				parser->problem);
		done = e.type == YAML_STREAM_END_EVENT;
		depth += e.type == YAML_MAPPING_START_EVENT;
		rc = depth > 1
			     ? refuse(err, path, &e, "one value is expected", key ? key->name : "")
			     : take(s, &e, &key, path, err);
		yaml_event_delete(&e);
	}
	return rc;
}

int settings_load(struct settings *s, const char *path, struct lode_err *err)
{
	yaml_parser_t parser;
	FILE *f = fopen(path, "re");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!yaml_parser_initialize(&parser)) {
		fclose(f);
		return lode_err_set(err, -ENOMEM, "no memory for YAML");
	}
	yaml_parser_set_input_file(&parser, f);
	int rc = parse(s, &parser, path, err);
	yaml_parser_delete(&parser);
	fclose(f);
	return rc;
}
