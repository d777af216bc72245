/* SPDX-License-Identifier: BSD-3-Clause */
/* The manager's configuration. */
#include "flat.h"
#include "manager.h"

#include <stdlib.h>

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

static const char *take(void *ctx, const char *name, const char *value)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(keys); i++)
		if (!strcmp(name, keys[i].name))
			return set(ctx, &keys[i], value) ? keys[i].allowed : NULL;
	return "no such key";
}

int settings_load(struct settings *s, const char *path, struct lode_err *err)
{
	return flat_load(path, take, s, err);
}
