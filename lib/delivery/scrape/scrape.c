/* SPDX-License-Identifier: BSD-3-Clause */
/* The rounds. dpdk-telemetry cuts an answer at 16 KiB without a word, so what grows with peers or workers is
 * asked for one by one and put together here. */
#include "scrape.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum asked { ONCE, PER_PEER, PER_WORKER, PER_TABLE };

static const struct {
	const char *name;
	enum asked how;
} views[] = {
	{"version", ONCE},
	{"ports", ONCE},
	{"drops", PER_TABLE},
	{"models", ONCE},
	{"selector", ONCE},
	{"loss_score", ONCE},
	{"decisions", ONCE},
	{"apps", ONCE},
	{"workers", PER_WORKER},
	{"paths", PER_PEER},
	{"classes", PER_PEER},
	{"fec", PER_PEER},
	{"loss", PER_PEER},
};

/* Tables of counters whose meaning the gateway tells. */
static const char *const tables[] = {"worker", "loop", "control", "handshake", "selector"};

struct lode_scrape {
	char path[108];
	struct telemetry connection; /* of the round's thread, as is help */
	json_t *help;
	pthread_mutex_t lock; /* of what follows */
	struct history *history;
	json_t *latest;
};

int lode_scrape_new(const char *socket_path, struct lode_scrape **out, struct lode_err *err)
{
	struct lode_scrape *s = calloc(1, sizeof(*s));
	if (!s)
		return lode_err_set(err, -ENOMEM, "no memory for the scraper");
	s->connection.fd = -1;
	s->history = history_new();
	s->latest = json_pack("{s:s,s:i}", "state", "waiting", "asked_ms", 0);
	pthread_mutex_init(&s->lock, NULL);
	if (!s->history || !s->latest) {
		lode_scrape_free(s);
		return lode_err_set(err, -ENOMEM, "no memory for the scraper");
	}
	snprintf(s->path, sizeof(s->path), "%s", socket_path);
	*out = s;
	return 0;
}

void lode_scrape_free(struct lode_scrape *s)
{
	if (!s)
		return;
	telemetry_close(&s->connection);
	history_free(s->history);
	json_decref(s->latest);
	json_decref(s->help);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- one round ---- */

/* Keys of telemetry have letters, digits, _ and / only: "site_b/fibre" is given its peer's name back. */
static void merge_peer(json_t *to, const char *peer, json_t *part)
{
	char key[160];
	const char *name;
	json_t *value;
	json_object_foreach(part, name, value)
	{
		const char *rest = strchr(name, '/');
		snprintf(key, sizeof(key), "%s%s", peer, rest ? rest : "");
		json_object_set(to, key, value);
	}
}

static json_t *ask_per_peer(
	struct lode_scrape *s, const char *view, json_t *peers, struct lode_err *err)
{
	json_t *all = json_object(), *peer;
	const char *key;
	json_object_foreach(peers, key, peer)
	{
		const char *name = json_string_value(json_object_get(peer, "name"));
		json_t *part = telemetry_ask(&s->connection, view, name ? name : key, err);
		if (!part) {
			json_decref(all);
			return NULL;
		}
		merge_peer(all, name ? name : key, part);
		json_decref(part);
	}
	return all;
}

static int ask_part(struct lode_scrape *s, const char *view, const char *param, json_t *all,
	struct lode_err *err)
{
	json_t *part = telemetry_ask(&s->connection, view, param, err);
	if (!part)
		return err->code;
	json_object_update(all, part);
	json_decref(part);
	return 0;
}

static json_t *ask_in_parts(struct lode_scrape *s, const char *view, enum asked how,
	json_int_t n_workers, struct lode_err *err)
{
	static const char *const dropped_by[] = {"worker", "lane", "loop"};
	json_int_t n = how == PER_TABLE ? (json_int_t)LODE_ARRAY_LEN(dropped_by) : n_workers;
	json_t *all = json_object();
	int rc = 0;
	for (json_int_t i = 0; i < LODE_MIN(n, 256) && !rc; i++) {
		char param[8];
		snprintf(param, sizeof(param), "%d", (int)i);
		rc = ask_part(s, view, how == PER_TABLE ? dropped_by[i] : param, all, err);
	}
	if (!rc)
		return all;
	json_decref(all);
	return NULL;
}

/* A view that this gateway does not have is left out; an error on the way ends the round. */
static int ask_view(struct lode_scrape *s, unsigned i, json_t *all, struct lode_err *err)
{
	json_t *peers = json_object_get(all, "peers"), *v;
	json_t *workers = json_object_get(json_object_get(all, "status"), "workers");
	if (views[i].how == PER_PEER)
		v = ask_per_peer(s, views[i].name, peers, err);
	else if (views[i].how != ONCE)
		v = ask_in_parts(s, views[i].name, views[i].how, json_integer_value(workers), err);
	else
		v = telemetry_ask(&s->connection, views[i].name, "", err);
	if (!v)
		return err->code == -ENOENT ? 0 : err->code;
	return json_object_set_new(all, views[i].name, v);
}

static int ask_all(struct lode_scrape *s, json_t *all, struct lode_err *err)
{
	static const char *const first[] = {"status", "peers"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(first); i++) {
		json_t *v = telemetry_ask(&s->connection, first[i], "", err);
		if (!v)
			return err->code;
		json_object_set_new(all, first[i], v);
	}
	int rc = 0;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(views) && !rc; i++)
		rc = ask_view(s, i, all, err);
	return rc;
}

/* What counters mean does not change while a gateway runs: asked once per connection. */
static int connect_and_learn(struct lode_scrape *s, struct lode_err *err)
{
	if (s->connection.fd >= 0)
		return 0;
	int rc = telemetry_connect(&s->connection, s->path, err);
	if (rc)
		return rc;
	json_decref(s->help);
	s->help = json_object();
	for (size_t i = 0; i < LODE_ARRAY_LEN(tables); i++) {
		json_t *v = telemetry_ask(&s->connection, "counters", tables[i], err);
		if (v)
			json_object_set_new(s->help, tables[i], v);
		else if (err->code != -ENOENT)
			return err->code;
	}
	return 0;
}

static void publish_up(struct lode_scrape *s, json_t *all, int64_t now_ms)
{
	json_t *latest =
		json_pack("{s:s,s:I,s:I,s:O,s:O}", "state", "up", "asked_ms", (json_int_t)now_ms,
			"answered_ms", (json_int_t)now_ms, "views", all, "help", s->help);
	pthread_mutex_lock(&s->lock);
	if (latest) {
		json_decref(s->latest);
		s->latest = latest;
	}
	history_add(s->history, json_object_get(all, "paths"), now_ms);
	pthread_mutex_unlock(&s->lock);
}

static void publish_down(struct lode_scrape *s, const struct lode_err *why, int64_t now_ms)
{
	pthread_mutex_lock(&s->lock);
	json_t *latest = json_copy(s->latest);
	if (latest) {
		json_object_set_new(latest, "state", json_string("down"));
		json_object_set_new(latest, "reason", json_string(why->msg));
		json_object_set_new(latest, "asked_ms", json_integer(now_ms));
		json_decref(s->latest);
		s->latest = latest;
	}
	pthread_mutex_unlock(&s->lock);
}

int lode_scrape_round(struct lode_scrape *s, int64_t now_ms, struct lode_err *err)
{
	json_t *all = json_object();
	int rc = all ? connect_and_learn(s, err) : lode_err_set(err, -ENOMEM, "no memory");
	if (!rc)
		rc = ask_all(s, all, err);
	if (rc) {
		telemetry_close(&s->connection);
		publish_down(s, err, now_ms);
	} else {
		publish_up(s, all, now_ms);
	}
	json_decref(all);
	return rc;
}

/* ---- readers ---- */

json_t *lode_scrape_latest(struct lode_scrape *s)
{
	pthread_mutex_lock(&s->lock);
	json_t *latest = json_incref(s->latest);
	pthread_mutex_unlock(&s->lock);
	return latest;
}

json_t *lode_scrape_history(struct lode_scrape *s, int64_t since_ms)
{
	pthread_mutex_lock(&s->lock);
	json_t *h = history_since(s->history, since_ms);
	pthread_mutex_unlock(&s->lock);
	return h;
}
