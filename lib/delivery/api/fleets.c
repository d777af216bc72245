/* SPDX-License-Identifier: BSD-3-Clause */
/* Fleets: named sets of devices. A device is in one fleet at most. */
#include "api.h"

#include <string.h>

struct devices {
	struct call *c;
	unsigned online, offline, error, unknown, total;
};

static int add_member(void *ctx, const struct lode_store_doc *doc)
{
	return json_array_append_new(ctx, json_string(doc->id)) ? -ENOMEM : 0;
}

static json_t *members(struct lode_api *api, const char *fleet)
{
	struct lode_err err;
	struct lode_store_query q = {.parent = fleet};
	json_t *ids = json_array();
	lode_store_list(api->store, LODE_DOC_MEMBER, &q, add_member, ids, &err);
	return ids;
}

static json_t *make_fleet(struct call *c, const struct lode_store_doc *doc)
{
	json_t *fleet = json_loads(doc->text, 0, NULL);
	if (fleet)
		json_object_set_new(fleet, "devices", members(c->api, doc->id));
	return fleet;
}

void fleet_create(struct call *c)
{
	struct lode_err err;
	const char *id = body_id(c, "id");
	if (!id)
		return;
	json_t *tags = json_object_get(c->body, "tags");
	json_t *fleet = json_pack("{s:s,s:s,s:s?,s:s,s:O?}", "id", id, "name",
		body_text(c, "name", id), "description", body_text(c, "description", NULL),
		"default_strategy", body_text(c, "default_strategy", "all_at_once"), "tags",
		json_is_object(tags) ? tags : NULL);
	/* In v1 making a fleet again renames it; its devices stay. */
	int rc = save(c->api, LODE_DOC_FLEET, "", id, "", fleet,
		c->v2 ? LODE_STORE_NEW : LODE_STORE_ANY_REV, &err);
	json_decref(fleet);
	if (!rc)
		rc = audit(c, "fleet.create", id, NULL, &err);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 201, json_pack("{s:s,s:s}", "status", "created", "id", id));
}

void fleet_list(struct call *c)
{
	answer_list(c, LODE_DOC_FLEET, "", NULL, make_fleet);
}

void fleet_get(struct call *c)
{
	struct lode_err err;
	json_t *fleet = load(c->api, LODE_DOC_FLEET, "", c->parts[0], NULL, &err);
	if (!fleet) {
		answer_err(c, &err);
		return;
	}
	json_object_set_new(fleet, "devices", members(c->api, c->parts[0]));
	answer(c, 200, fleet);
}

static int set_fleet(struct call *c, const char *device_id, const char *fleet, struct lode_err *err)
{
	struct lode_err ignored;
	int64_t rev;
	json_t *device = load(c->api, LODE_DOC_DEVICE, "", device_id, &rev, err);
	if (!device)
		return err->code;
	const char *before = text_of(device, "fleet_id");
	int rc = 0;
	/* Who leaves the fleet leaves its campaign, unless it has done its part. */
	if (*before && (!fleet || strcmp(before, fleet) != 0))
		rc = campaign_leave(
			c->api, device, NULL, "the device left the fleet", c->req->now_ms, err);
	if (*before)
		lode_store_delete(c->api->store, LODE_DOC_MEMBER, before, device_id, &ignored);
	json_object_set_new(device, "fleet_id", fleet ? json_string(fleet) : json_null());
	if (!rc)
		rc = save(c->api, LODE_DOC_DEVICE, "", device_id, "", device, rev, err);
	if (!rc && fleet)
		rc = lode_store_put(c->api->store, LODE_DOC_MEMBER, fleet, device_id, "", "{}",
			LODE_STORE_ANY_REV, err);
	json_decref(device);
	return rc;
}

static int change_once(struct call *c, const char *device, const char *fleet, struct lode_err *err)
{
	int rc = lode_store_begin(c->api->store, true, err);
	if (rc)
		return rc;
	rc = set_fleet(c, device, fleet, err);
	if (!rc)
		rc = audit(c, fleet ? "fleet.add" : "fleet.remove", device, NULL, err);
	if (!rc)
		return lode_store_commit(c->api->store, err);
	lode_store_rollback(c->api->store);
	return rc;
}

static void change_member(struct call *c, bool add)
{
	const char *fleet = c->parts[0], *device = c->parts[1];
	struct lode_err err;
	json_t *doc = load(c->api, LODE_DOC_FLEET, "", fleet, NULL, &err);
	if (!doc) {
		/* The older system answers 400 for any error here. */
		answer_error(c, c->v2 ? 404 : 400, "fleet %s is not there", fleet);
		return;
	}
	json_decref(doc);
	int rc = -EAGAIN;
	for (unsigned i = 0; i < ATTEMPTS && was_overtaken(rc); i++)
		rc = change_once(c, device, add ? fleet : NULL, &err);
	if (!rc && add)
		campaign_join(c->api, fleet, device, c->req->now_ms);
	if (rc && !c->v2)
		answer_error(c, 400, "%s", err.msg);
	else if (rc)
		answer_err(c, &err);
	else
		answer(c, 200, json_pack("{s:s}", "status", add ? "added" : "removed"));
}

void fleet_add(struct call *c)
{
	change_member(c, true);
}

void fleet_remove(struct call *c)
{
	change_member(c, false);
}

void fleet_deploy(struct call *c)
{
	char id[LODE_STORE_ID_MAX];
	size_t n = 0;
	struct lode_err err;
	const char *model = body_id(c, "model_id");
	const char *version = model ? body_id(c, "model_version") : NULL;
	if (!version)
		return;
	if (campaign_start(c, model, version, c->parts[0], c->body, id, &n, &err)) {
		answer_err(c, &err);
		return;
	}
	answer(c, 200,
		json_pack("{s:s,s:s,s:I,s:I,s:i}", "status", "deployed", "campaign_id", id,
			"total_devices", (json_int_t)n, "successful", (json_int_t)n, "failed", 0));
}

static void count_device(struct devices *d, const char *id)
{
	struct lode_err err;
	json_t *device = load(d->c->api, LODE_DOC_DEVICE, "", id, NULL, &err);
	int64_t heard_ms = int_of(device, "last_heartbeat_ms");
	d->total++;
	if (!heard_ms)
		d->unknown++;
	else if (d->c->req->now_ms - heard_ms > (int64_t)d->c->api->options.offline_s * 1000)
		d->offline++;
	else if (!strcmp(text_of(device, "reported_status"), "error"))
		d->error++;
	else
		d->online++;
	json_decref(device);
}

void fleet_status(struct call *c)
{
	struct lode_err err;
	struct devices d = {.c = c};
	size_t i;
	json_t *id;
	json_t *fleet = load(c->api, LODE_DOC_FLEET, "", c->parts[0], NULL, &err);
	if (!fleet) {
		answer_err(c, &err);
		return;
	}
	json_t *ids = members(c->api, c->parts[0]);
	json_array_foreach(ids, i, id) count_device(&d, json_string_value(id));
	answer(c, 200,
		json_pack("{s:s,s:s,s:i,s:i,s:i,s:i,s:i}", "fleet_id", c->parts[0], "fleet_name",
			text_of(fleet, "name"), "total_devices", d.total, "online", d.online,
			"offline", d.offline, "error", d.error, "unknown", d.unknown));
	json_decref(ids);
	json_decref(fleet);
}
