/* SPDX-License-Identifier: BSD-3-Clause */
/* The views as dpdk-telemetry commands. Its handlers of 22.11 get no context, so this file holds the one
 * pointer of the process; there is one EAL, so one gateway, in a process. Values are integers, strings and
 * objects; keys have letters, digits, _ and / only; what is longer than 16 KiB is cut at an entry, so large
 * objects take a parameter. */
#include "gateway.h"

#include <jansson.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <stdlib.h>

#define ROOT	   "/lodestone/"
#define KEY_BYTES  64
#define TEXT_BYTES 128 /* of strings inside an object */

static _Atomic(struct gateway *) the_gateway; /* control lcore writes, telemetry threads read */
static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER; /* held while a handler uses it */

static void copy_key(const char *from, char to[KEY_BYTES])
{
	snprintf(to, KEY_BYTES, "%s", from);
	for (char *p = to; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
			!(*p >= '0' && *p <= '9') && *p != '/')
			*p = '_';
}

static void add_value(struct rte_tel_data *d, const char *name, json_t *value);

static void add_object(struct rte_tel_data *d, const char *key, json_t *object)
{
	const char *name;
	json_t *value;
	struct rte_tel_data *inner = rte_tel_data_alloc();
	if (!inner)
		return;
	rte_tel_data_start_dict(inner);
	json_object_foreach(object, name, value) add_value(inner, name, value);
	if (rte_tel_data_add_dict_container(d, key, inner, 0))
		rte_tel_data_free(inner);
}

static void add_value(struct rte_tel_data *d, const char *name, json_t *value)
{
	char key[KEY_BYTES], text[TEXT_BYTES];
	copy_key(name, key);
	if (json_is_object(value)) {
		add_object(d, key, value);
	} else if (json_is_string(value)) {
		snprintf(text, sizeof(text), "%s", json_string_value(value));
		rte_tel_data_add_dict_string(d, key, text);
	} else if (json_is_integer(value) && json_integer_value(value) >= 0) {
		rte_tel_data_add_dict_u64(d, key, (uint64_t)json_integer_value(value));
	} else if (json_is_integer(value)) {
		rte_tel_data_add_dict_int(d, key, (int)json_integer_value(value));
	} else if (json_is_boolean(value)) {
		rte_tel_data_add_dict_u64(d, key, json_is_true(value));
	}
}

/* A negative return shows as null without a reason, so errors are a key of the object. */
static void fill(struct gateway *g, const char *cmd, const char *params, struct rte_tel_data *d)
{
	struct lode_err err = {0};
	const struct view *v = view_by_name(cmd + strlen(ROOT));
	char *text = malloc(VIEW_BYTES);
	json_t *object = NULL, *value;
	const char *name;
	if (v && text && view_write(g, v, params ? params : "", text, VIEW_BYTES, &err) >= 0)
		object = json_loads(text, 0, NULL);
	if (!object)
		rte_tel_data_add_dict_string(d, "error", err.code ? err.msg : "no memory");
	json_object_foreach(object, name, value) add_value(d, name, value);
	json_decref(object);
	free(text);
}

static int handle(const char *cmd, const char *params, struct rte_tel_data *d)
{
	rte_tel_data_start_dict(d);
	pthread_mutex_lock(&in_use);
	struct gateway *g = atomic_load(&the_gateway);
	if (g)
		fill(g, cmd, params, d);
	pthread_mutex_unlock(&in_use);
	return 0;
}

int start_telemetry(struct gateway *g, struct lode_err *err)
{
	atomic_store(&the_gateway, g);
	for (unsigned i = 0; i < n_views; i++) {
		char cmd[56];
		snprintf(cmd, sizeof(cmd), ROOT "%s", views[i].name);
		int rc = rte_telemetry_register_cmd(cmd, handle, views[i].help);
		if (rc)
			return lode_err_set(
				err, rc, "telemetry command %s: %s", cmd, strerror(-rc));
	}
	return 0;
}

void stop_telemetry(struct gateway *g)
{
	pthread_mutex_lock(&in_use);
	atomic_store(&the_gateway, NULL);
	pthread_mutex_unlock(&in_use);
}
