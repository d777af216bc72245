/* SPDX-License-Identifier: BSD-3-Clause */
/* Campaigns between the database and the state machine. A campaign's document has the tag "open" until it has
 * ended; each device of it is a target document. */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MOST_MS 30000 /* between two steps of large campaigns */

struct member_list {
	size_t n, room;
	char (*ids)[LODE_STORE_ID_MAX];
};

static int add_id(void *ctx, const struct lode_store_doc *doc)
{
	struct member_list *l = ctx;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		void *ids = realloc(l->ids, room * sizeof(*l->ids));
		if (!ids)
			return -ENOMEM;
		l->ids = ids;
		l->room = room;
	}
	snprintf(l->ids[l->n++], LODE_STORE_ID_MAX, "%s", doc->id);
	return 0;
}

static const char *tag_of(const struct lode_campaign *k)
{
	return lode_campaign_open(k) ? "open" : "ended";
}

/* The campaign's document: the machine's part, and what it is about. */
int save_campaign(struct lode_api *api, const char *id, const struct lode_campaign *k,
	const json_t *about, int64_t rev, struct lode_err *err)
{
	static const char *const kept[] = {"id", "model_id", "target_version", "fleet_id"};
	json_t *doc = campaign_to_json(k);
	for (size_t i = 0; i < LODE_ARRAY_LEN(kept); i++)
		json_object_set(doc, kept[i], json_object_get(about, kept[i]));
	int rc = save(api, LODE_DOC_CAMPAIGN, "", id, tag_of(k), doc, rev, err);
	json_decref(doc);
	return rc;
}

/* ---- the tick ---- */

int save_target(struct lode_api *api, const char *campaign, const char *device,
	const struct lode_target *t, const json_t *about, int64_t rev, struct lode_err *err)
{
	json_t *doc = target_to_json(t);
	json_object_set(doc, "previous_model", json_object_get(about, "previous_model"));
	json_object_set(doc, "previous_version", json_object_get(about, "previous_version"));
	int rc = save(api, LODE_DOC_TARGET, campaign, device, lode_target_state_name(t->state), doc,
		rev, err);
	json_decref(doc);
	return rc;
}

static int step_loaded(struct lode_api *api, const char *id, const json_t *doc, int64_t rev,
	struct lode_campaign *k, int64_t now_ms, struct lode_err *err)
{
	struct targets y;
	int rc = load_targets(api, id, &y, err);
	bool changed = !rc && lode_campaign_step(k, y.t, y.n, now_ms);
	for (size_t i = 0; i < y.n && !rc; i++)
		if (y.t[i].dirty)
			rc = save_target(api, id, y.ids[i], &y.t[i], y.docs[i], y.revs[i], err);
	if (!rc && changed)
		rc = save_campaign(api, id, k, doc, rev, err);
	free_targets(&y);
	return rc;
}

/* All of a campaign's change at once, or none: another manager may be stepping it too. */
int campaign_step(struct lode_api *api, const char *id, int64_t now_ms, struct lode_err *err)
{
	struct lode_campaign k;
	int64_t rev;
	int rc = lode_store_begin(api->store, true, err);
	if (rc)
		return rc;
	json_t *doc = load(api, LODE_DOC_CAMPAIGN, "", id, &rev, err);
	rc = doc ? campaign_from_json(&k, doc, err) : err->code;
	if (!rc)
		rc = step_loaded(api, id, doc, rev, &k, now_ms, err);
	json_decref(doc);
	if (!rc)
		return lode_store_commit(api->store, err);
	lode_store_rollback(api->store);
	return rc;
}

void lode_api_tick(struct lode_api *api, int64_t now_ms)
{
	struct member_list open = {0};
	struct lode_store_query q = {.tag = "open"};
	struct lode_err err;
	int64_t n_targets = 0;
	if (now_ms < api->next_step_ms && now_ms + STEP_MOST_MS > api->next_step_ms)
		return;
	lode_store_list(api->store, LODE_DOC_CAMPAIGN, &q, add_id, &open, &err);
	/* One that fails, because another manager was faster, is stepped with the next tick. */
	for (size_t i = 0; i < open.n; i++) {
		campaign_step(api, open.ids[i], now_ms, &err);
		n_targets += LODE_MAX(
			0, lode_store_count(api->store, LODE_DOC_TARGET, open.ids[i], NULL, &err));
	}
	/* Every device is looked at: ten thousand are every ten seconds, else it is all that is done. */
	api->next_step_ms = now_ms + LODE_MIN(n_targets, (int64_t)STEP_MOST_MS);
	free(open.ids);
}

/* ---- making one ---- */

static int add_device(struct lode_api *api, const char *campaign, const char *model, const char *id,
	int64_t now_ms, struct lode_err *err)
{
	int64_t rev;
	json_t *device = load(api, LODE_DOC_DEVICE, "", id, &rev, err);
	if (!device)
		return err->code;
	struct lode_target t = {.changed_ms = now_ms};
	json_t *about = json_pack("{s:s,s:s}", "previous_model", model, "previous_version",
		device_runs(device, model));
	int rc = campaign_leave(api, device, model, "another campaign has the device", now_ms, err);
	if (!rc)
		rc = save_target(api, campaign, id, &t, about, LODE_STORE_ANY_REV, err);
	json_object_set_new(object_in(device, "campaigns"), model, json_string(campaign));
	if (!rc)
		rc = save(api, LODE_DOC_DEVICE, "", id, "", device, rev, err);
	json_decref(about);
	json_decref(device);
	return rc;
}

static int add_fleet(struct lode_api *api, const char *campaign, const char *model,
	const char *fleet, int64_t now_ms, size_t *n, struct lode_err *err)
{
	struct member_list l = {0};
	struct lode_store_query q = {.parent = fleet};
	int rc = lode_store_list(api->store, LODE_DOC_MEMBER, &q, add_id, &l, err);
	for (size_t i = 0; i < l.n && !rc; i++)
		rc = add_device(api, campaign, model, l.ids[i], now_ms, err);
	*n = l.n;
	free(l.ids);
	return rc;
}

static int exists(struct lode_api *api, enum lode_store_kind kind, const char *parent,
	const char *id, const char *what, struct lode_err *err)
{
	json_t *v = load(api, kind, parent, id, NULL, err);
	if (!v)
		return lode_err_prefix(err, "%s", what);
	json_decref(v);
	return 0;
}

/* A name people can read that is not there yet. */
static int free_id(struct call *c, const char *model, const char *version,
	char id[LODE_STORE_ID_MAX], struct lode_err *err)
{
	for (unsigned n = 0; n < 1000; n++) {
		snprintf(id, LODE_STORE_ID_MAX, n ? "%.48s-%.48s-%lld-%u" : "%.48s-%.48s-%lld",
			model, version, (long long)(c->req->now_ms / 1000), n);
		json_t *there = load(c->api, LODE_DOC_CAMPAIGN, "", id, NULL, err);
		if (!there)
			return err->code == -ENOENT ? 0 : err->code;
		json_decref(there);
	}
	return lode_err_set(err, -EEXIST, "no free name for the campaign");
}

static int write_campaign(struct call *c, struct lode_campaign *k, const char *id,
	const char *model, const char *version, const char *fleet, size_t *n_targets,
	struct lode_err *err)
{
	json_t *about = json_pack("{s:s,s:s,s:s,s:s}", "id", id, "model_id", model,
		"target_version", version, "fleet_id", fleet);
	int rc = lode_store_begin(c->api->store, true, err);
	if (!rc) {
		rc = save_campaign(c->api, id, k, about, LODE_STORE_NEW, err);
		if (!rc)
			rc = add_fleet(c->api, id, model, fleet, c->req->now_ms, n_targets, err);
		if (!rc)
			rc = audit(c, "campaign.create", id, about, err);
		if (rc)
			lode_store_rollback(c->api->store);
		else
			rc = lode_store_commit(c->api->store, err);
	}
	json_decref(about);
	return rc;
}

int campaign_start(struct call *c, const char *model, const char *version, const char *fleet,
	const json_t *options, char id[LODE_STORE_ID_MAX], size_t *n_targets, struct lode_err *err)
{
	struct lode_campaign k = {0};
	int rc = exists(c->api, LODE_DOC_FLEET, "", fleet, "fleet", err);
	if (!rc)
		rc = exists(c->api, LODE_DOC_VERSION, model, version, "model version", err);
	if (!rc)
		rc = plan_from_json(&k.plan, options, err);
	if (rc)
		return rc;
	k.dynamic = json_is_true(json_object_get(options, "dynamic"));
	lode_campaign_begin(&k, c->req->now_ms);
	rc = -EAGAIN;
	/* Another manager may have taken the name, or written to one of the devices. */
	for (unsigned i = 0; i < ATTEMPTS && (was_overtaken(rc) || rc == -EEXIST); i++) {
		rc = free_id(c, model, version, id, err);
		if (!rc)
			rc = write_campaign(c, &k, id, model, version, fleet, n_targets, err);
	}
	struct lode_err later; /* what is not stepped now is with the next tick */
	if (!rc)
		campaign_step(c->api, id, c->req->now_ms, &later);
	return rc;
}

void campaign_join(struct lode_api *api, const char *fleet, const char *device, int64_t now_ms)
{
	struct member_list open = {0};
	struct lode_store_query q = {.tag = "open"};
	struct lode_err err;
	lode_store_list(api->store, LODE_DOC_CAMPAIGN, &q, add_id, &open, &err);
	for (size_t i = 0; i < open.n; i++) {
		json_t *doc = load(api, LODE_DOC_CAMPAIGN, "", open.ids[i], NULL, &err);
		if (json_is_true(json_object_get(doc, "dynamic")) &&
			!strcmp(text_of(doc, "fleet_id"), fleet))
			add_device(
				api, open.ids[i], text_of(doc, "model_id"), device, now_ms, &err);
		json_decref(doc);
	}
	free(open.ids);
}
