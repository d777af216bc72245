/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-classify as the gateway sees it: a process that brings shared memory, may die, and may come again. */
#include "views.h"

#include <stdlib.h>
#include <strings.h>

#define DEAD_NS (3 * LODE_NS_PER_S) /* without a sign of life */

struct attached {
	struct lode_worker_apps apps;
	struct lode_look_link link;
};

static struct attached *attached_of(struct lode_worker_apps *apps)
{
	return (struct attached *)(void *)apps;
}

static void free_apps(struct lode_worker_apps *apps)
{
	if (apps)
		lode_look_unmap(&attached_of(apps)->link);
	free(apps);
}

/* The operator's word, else what its kind suggests. */
static void set_classes(struct gateway *g, struct lode_worker_apps *apps)
{
	const struct lode_config *c = lode_control_config(g->control);
	for (unsigned i = 0; i < LODE_LOOK_APPS; i++) {
		char name[LODE_LOOK_NAME];
		enum lode_class cls;
		uint8_t value = LODE_NO_APP_CLASS;
		if (lode_look_app(apps->link, i, name, &cls))
			value = (uint8_t)cls;
		for (unsigned k = 0; value != LODE_NO_APP_CLASS && k < c->n_apps; k++)
			if (!strcasecmp(c->apps[k].name, name))
				value = (uint8_t)c->apps[k].cls;
		atomic_store_explicit(&apps->cls[i], value, memory_order_relaxed);
	}
	g->apps.config_serial = atomic_load(&g->config_serial);
}

static void give_to_workers(struct gateway *g, struct lode_worker_apps *apps)
{
	g->apps.retired = g->apps.now;
	g->apps.retired_ns = now_ns();
	g->apps.now = apps;
	for (unsigned i = 0; i < g->config->n_workers; i++)
		lode_worker_set_apps(g->workers[i].worker, apps);
}

int apps_attach(struct gateway *g, int fd, struct lode_err *err)
{
	if (g->apps.retired)
		return lode_err_set(
			err, -EBUSY, "the classifier before is still being let go: try again");
	struct attached *a = calloc(1, sizeof(*a));
	if (!a)
		return lode_err_set(err, -ENOMEM, "no memory for applications");
	int rc = lode_look_map(fd, &a->link, err);
	if (rc) {
		free(a);
		return rc;
	}
	a->apps.link = &a->link;
	pthread_mutex_lock(&g->lock);
	set_classes(g, &a->apps);
	give_to_workers(g, &a->apps);
	g->apps.beats = lode_look_beats(&a->link);
	g->apps.beat_ns = now_ns();
	g->apps.n_attached++;
	pthread_mutex_unlock(&g->lock);
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "lodestone-classify names applications");
	return 0;
}

/* Every worker has begun a turn since. */
static bool workers_moved_on(const struct gateway *g, uint64_t since_ns)
{
	for (unsigned i = 0; i < g->config->n_workers; i++)
		if (atomic_load(&g->workers[i].heartbeat_ns) <= since_ns)
			return false;
	return true;
}

void apps_run(struct gateway *g, uint64_t now)
{
	pthread_mutex_lock(&g->lock);
	if (g->apps.retired && workers_moved_on(g, g->apps.retired_ns)) {
		free_apps(g->apps.retired);
		g->apps.retired = NULL;
	}
	struct lode_worker_apps *apps = g->apps.now;
	uint64_t beats = apps ? lode_look_beats(apps->link) : 0;
	if (apps && g->apps.config_serial != atomic_load(&g->config_serial))
		set_classes(g, apps);
	if (beats != g->apps.beats) {
		g->apps.beats = beats;
		g->apps.beat_ns = now;
	} else if (apps && !g->apps.retired && now - g->apps.beat_ns > DEAD_NS) {
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_WARN,
			"lodestone-classify is gone: ports and behaviour tell classes");
		give_to_workers(g, NULL);
	}
	pthread_mutex_unlock(&g->lock);
}

/* Workers have ended. */
void stop_apps(struct gateway *g)
{
	free_apps(g->apps.retired);
	free_apps(g->apps.now);
	g->apps.now = g->apps.retired = NULL;
}

static uint64_t count_flows(
	const struct gateway *g, const struct lode_worker_apps *apps, unsigned app)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < g->config->n_workers; i++)
		n += atomic_load_explicit(&apps->n_flows[i][app], memory_order_relaxed);
	return n;
}

int view_apps(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	const struct lode_worker_apps *apps = g->apps.now;
	lode_json_bool(j, "classifier", apps != NULL);
	lode_json_u64(j, "attached", g->apps.n_attached);
	lode_json_object(j, "applications");
	for (unsigned i = 0; apps && i < LODE_LOOK_APPS; i++) {
		char name[LODE_LOOK_NAME];
		enum lode_class cls;
		uint8_t value = atomic_load_explicit(&apps->cls[i], memory_order_relaxed);
		uint64_t n = count_flows(g, apps, i);
		if (!n || value == LODE_NO_APP_CLASS || !lode_look_app(apps->link, i, name, &cls))
			continue;
		lode_json_object(j, name);
		lode_json_string(j, "class", lode_class_name((enum lode_class)value));
		lode_json_u64(j, "flows", n);
		lode_json_close_object(j);
	}
	lode_json_close_object(j);
	return 0;
}
