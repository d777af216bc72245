/* SPDX-License-Identifier: BSD-3-Clause */
/* The fleet in one object, small however large the fleet is. */
#include "face.h"

#include "lode_campaign.h"

#include <stdio.h>
#include <stdlib.h>

#define CAMPAIGNS_MAX 20 /* shown: open ones, then the newest */
#define MODELS_MAX    100

const char *text_in(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));
	return s ? s : "";
}

json_int_t int_in(const json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key));
}

/* ---- devices ---- */

struct device_count {
	int64_t online_since_ms;
	unsigned total, online, offline, error, unknown;
};

static int count_device(void *ctx, const struct lode_store_doc *doc)
{
	struct device_count *d = ctx;
	json_t *device = json_loads(doc->text, 0, NULL);
	int64_t heard_ms = int_in(device, "last_heartbeat_ms");
	d->total++;
	if (!heard_ms)
		d->unknown++;
	else if (heard_ms < d->online_since_ms)
		d->offline++;
	else if (!strcmp(text_in(device, "reported_status"), "error"))
		d->error++;
	else
		d->online++;
	json_decref(device);
	return 0;
}

static json_t *devices(
	struct lode_store *store, unsigned offline_s, int64_t now_ms, struct lode_err *err)
{
	struct device_count d = {.online_since_ms = now_ms - (int64_t)offline_s * 1000};
	const struct lode_store_query all = {0};
	if (lode_store_list(store, LODE_DOC_DEVICE, &all, count_device, &d, err))
		return NULL;
	return json_pack("{s:i,s:i,s:i,s:i,s:i}", "total", d.total, "online", d.online, "offline",
		d.offline, "error", d.error, "unknown", d.unknown);
}

/* ---- models ---- */

/* Versions come ordered by model. */
static int add_version(void *ctx, const struct lode_store_doc *doc)
{
	json_t *models = ctx, *version = json_loads(doc->text, 0, NULL);
	json_t *last = json_array_get(models, json_array_size(models) - 1);
	bool same = last && !strcmp(text_in(last, "model_id"), doc->parent);
	if (!same && json_array_size(models) == MODELS_MAX) {
		json_decref(version);
		return 1;
	}
	if (!same) {
		last = json_pack("{s:s,s:i}", "model_id", doc->parent, "versions", 0);
		json_array_append_new(models, last);
	}
	json_object_set_new(last, "versions", json_integer(int_in(last, "versions") + 1));
	if (int_in(version, "uploaded_ms") >= int_in(last, "uploaded_ms")) {
		json_object_set_new(last, "newest", json_string(doc->id));
		json_object_set(last, "size_bytes", json_object_get(version, "size_bytes"));
		json_object_set(last, "uploaded_ms", json_object_get(version, "uploaded_ms"));
		json_object_set(last, "sha256", json_object_get(version, "sha256"));
	}
	json_decref(version);
	return 0;
}

static json_t *models(struct lode_store *store, struct lode_err *err)
{
	json_t *list = json_array();
	const struct lode_store_query all = {0};
	if (lode_store_list(store, LODE_DOC_VERSION, &all, add_version, list, err) >= 0)
		return list;
	json_decref(list);
	return NULL;
}

/* ---- campaigns ---- */

struct target_count {
	unsigned n, by_state[LODE_TARGET_N_STATES];
	uint64_t served_bytes, saved_bytes;
};

static int count_target(void *ctx, const struct lode_store_doc *doc)
{
	struct target_count *t = ctx;
	json_t *target = json_loads(doc->text, 0, NULL);
	t->n++;
	for (unsigned i = 0; i < LODE_TARGET_N_STATES; i++)
		t->by_state[i] +=
			!strcmp(doc->tag, lode_target_state_name((enum lode_target_state)i));
	t->served_bytes += (uint64_t)int_in(target, "bytes_served");
	t->saved_bytes += (uint64_t)int_in(target, "bytes_saved");
	json_decref(target);
	return 0;
}

static int add_targets(struct lode_store *store, json_t *campaign, struct lode_err *err)
{
	struct target_count t = {0};
	const struct lode_store_query q = {.parent = text_in(campaign, "id")};
	int rc = lode_store_list(store, LODE_DOC_TARGET, &q, count_target, &t, err);
	if (rc)
		return rc;
	json_t *states = json_object();
	for (unsigned i = 0; i < LODE_TARGET_N_STATES; i++)
		if (t.by_state[i])
			json_object_set_new(states,
				lode_target_state_name((enum lode_target_state)i),
				json_integer(t.by_state[i]));
	json_object_set_new(campaign, "targets", json_integer(t.n));
	json_object_set_new(campaign, "by_state", states);
	json_object_set_new(campaign, "bytes_served", json_integer((json_int_t)t.served_bytes));
	json_object_set_new(campaign, "bytes_saved", json_integer((json_int_t)t.saved_bytes));
	return 0;
}

static int add_campaign(void *ctx, const struct lode_store_doc *doc)
{
	static const char *const kept[] = {"model_id", "target_version", "fleet_id", "state",
		"strategy", "stage", "created_ms", "reason"};
	json_t *all = json_loads(doc->text, 0, NULL);
	json_t *c = json_pack("{s:s,s:b,s:I,s:i}", "id", doc->id, "open", !strcmp(doc->tag, "open"),
		"rev", (json_int_t)doc->rev, "stages",
		(int)json_array_size(json_object_get(all, "stages")));
	for (size_t i = 0; i < LODE_ARRAY_LEN(kept); i++)
		json_object_set(c, kept[i], json_object_get(all, kept[i]));
	json_decref(all);
	return json_array_append_new(ctx, c) ? -ENOMEM : 0;
}

static int by_age(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	bool x_open = json_is_true(json_object_get(x, "open"));
	bool y_open = json_is_true(json_object_get(y, "open"));
	json_int_t at_x = int_in(x, "created_ms"), at_y = int_in(y, "created_ms");
	return x_open != y_open ? y_open - x_open : (at_x < at_y) - (at_x > at_y);
}

/* The same campaign of last time, when it has ended: nothing of it changes any more. */
static json_t *as_before(const json_t *before, const json_t *c)
{
	size_t i;
	json_t *old;
	json_array_foreach(json_object_get(before, "campaigns"), i, old)
	{
		if (!strcmp(text_in(old, "id"), text_in(c, "id")) &&
			int_in(old, "rev") == int_in(c, "rev") &&
			!json_is_true(json_object_get(old, "open")))
			return old;
	}
	return NULL;
}

static json_t *sorted(const json_t *all)
{
	json_t *list = json_array();
	size_t n = json_array_size(all);
	const json_t **rows = calloc(n + 1, sizeof(json_t *));
	for (size_t i = 0; rows && i < n; i++)
		rows[i] = json_array_get(all, i);
	if (rows)
		qsort(rows, n, sizeof(*rows), by_age);
	for (size_t i = 0; rows && i < LODE_MIN(n, (size_t)CAMPAIGNS_MAX); i++)
		json_array_append(list, (json_t *)rows[i]);
	free(rows);
	return list;
}

static json_t *campaigns(struct lode_store *store, const json_t *before, struct lode_err *err)
{
	const struct lode_store_query q = {0};
	json_t *all = json_array(), *list, *c;
	size_t i;
	int rc = lode_store_list(store, LODE_DOC_CAMPAIGN, &q, add_campaign, all, err);
	list = sorted(all);
	json_decref(all);
	json_array_foreach(list, i, c)
	{
		json_t *old = as_before(before, c);
		if (old)
			json_array_set(list, i, old);
		else if (!rc)
			rc = add_targets(store, c, err);
	}
	if (!rc)
		return list;
	json_decref(list);
	return NULL;
}

json_t *overview_make(struct lode_store *store, const json_t *before, unsigned offline_s,
	int64_t now_ms, struct lode_err *err)
{
	json_t *d = devices(store, offline_s, now_ms, err);
	json_t *m = d ? models(store, err) : NULL;
	json_t *k = m ? campaigns(store, before, err) : NULL;
	int64_t fleets = k ? lode_store_count(store, LODE_DOC_FLEET, NULL, NULL, err) : -1;
	json_t *all = fleets < 0 ? NULL
				 : json_pack("{s:O,s:O,s:O,s:I,s:I}", "devices", d, "models", m,
					   "campaigns", k, "fleets", (json_int_t)fleets,
					   "counted_ms", (json_int_t)now_ms);
	json_decref(d);
	json_decref(m);
	json_decref(k);
	return all;
}
