/* SPDX-License-Identifier: BSD-3-Clause */
/* The registry: what appliances are and what they last said. */
#include "api.h"

#include <stdlib.h>
#include <string.h>

#define POISON_MAX 64

/* A device that is silent for long is offline, whatever was written down. */
static void add_status(const struct call *c, json_t *device)
{
	int64_t silent_ms = c->req->now_ms - int_of(device, "last_heartbeat_ms");
	bool heard = int_of(device, "last_heartbeat_ms") > 0;
	const char *said = text_of(device, "reported_status");
	const char *status = !heard						     ? "unknown"
			     : silent_ms > (int64_t)c->api->options.offline_s * 1000 ? "offline"
			     : *said						     ? said
										     : "online";
	json_object_set_new(device, "status", json_string(status));
	if (heard)
		json_object_set_new(device, "last_heartbeat",
			json_integer(int_of(device, "last_heartbeat_ms") / 1000));
	else
		json_object_set_new(device, "last_heartbeat", json_null());
}

static json_t *make_device(struct call *c, const struct lode_store_doc *doc)
{
	json_t *device = json_loads(doc->text, 0, NULL);
	if (device)
		add_status(c, device);
	return device;
}

json_t *device_new(const char *id, const char *name, int64_t now_ms)
{
	return json_pack("{s:s,s:s,s:{},s:n,s:n,s:n,s:n,s:n,s:n,s:I}", "id", id, "name", name,
		"tags", "current_model", "current_model_version", "assigned_model",
		"assigned_model_version", "fleet_id", "last_update_result", "registered_ms",
		(json_int_t)now_ms);
}

void device_register(struct call *c)
{
	struct lode_err err;
	const char *id = body_id(c, "id");
	if (!id)
		return;
	json_t *tags = json_object_get(c->body, "tags");
	json_t *platform = json_object_get(c->body, "platform");
	json_t *device = device_new(id, body_text(c, "name", id), c->req->now_ms);
	if (json_is_object(tags))
		json_object_set(device, "tags", tags);
	if (json_is_object(platform))
		json_object_set(device, "platform", platform);
	/* Registering again what is there changes its name and tags, not what it runs or was given. */
	int64_t rev = LODE_STORE_NEW;
	json_t *old = load(c->api, LODE_DOC_DEVICE, "", id, &rev, &err);
	if (old && c->v2) {
		answer_error(c, 409, "device %s is registered already", id);
	} else {
		if (old) {
			json_object_set(old, "name", json_object_get(device, "name"));
			json_object_set(old, "tags", json_object_get(device, "tags"));
		}
		int rc = save(c->api, LODE_DOC_DEVICE, "", id, "", old ? old : device, rev, &err);
		if (!rc)
			rc = audit(c, "device.register", id, NULL, &err);
		if (rc)
			answer_err(c, &err);
		else
			answer(c, 201, json_pack("{s:s,s:s}", "status", "registered", "id", id));
	}
	json_decref(old);
	json_decref(device);
}

void device_list(struct call *c)
{
	answer_list(c, LODE_DOC_DEVICE, "", NULL, make_device);
}

void device_get(struct call *c)
{
	struct lode_err err;
	json_t *device = load(c->api, LODE_DOC_DEVICE, "", c->parts[0], NULL, &err);
	if (!device) {
		answer_err(c, &err);
		return;
	}
	add_status(c, device);
	answer(c, 200, device);
}

void device_delete(struct call *c)
{
	struct lode_err err, ignored;
	json_t *device = load(c->api, LODE_DOC_DEVICE, "", c->parts[0], NULL, &err);
	int rc = device ? lode_store_delete(c->api->store, LODE_DOC_DEVICE, "", c->parts[0], &err)
			: err.code;
	if (!rc)
		rc = campaign_leave(
			c->api, device, NULL, "the device is unregistered", c->req->now_ms, &err);
	if (!rc && *text_of(device, "fleet_id"))
		lode_store_delete(c->api->store, LODE_DOC_MEMBER, text_of(device, "fleet_id"),
			c->parts[0], &ignored);
	json_decref(device);
	if (!rc)
		rc = LODE_MIN(
			certificates_revoke_all(c->api, c->parts[0], c->req->now_ms, &err), 0);
	if (!rc)
		rc = audit(c, "device.unregister", c->parts[0], NULL, &err);
	if (rc)
		answer_err(c, &err);
	else
		answer(c, 200, json_pack("{s:s}", "status", "unregistered"));
}

/* Members of the report that the device's record keeps, when they have the right type. */
static void keep_report(json_t *device, const json_t *report, int64_t now_ms)
{
	static const struct {
		const char *from, *to;
		json_type type;
	} kept[] = {
		{"current_model", "current_model", JSON_STRING},
		{"current_model_version", "current_model_version", JSON_STRING},
		{"status", "reported_status", JSON_STRING},
		{"metrics", "metrics", JSON_OBJECT},
		{"platform", "platform", JSON_OBJECT},
		{"poisoned", "poisoned", JSON_ARRAY},
		{"gateway", "gateway", JSON_OBJECT},
		{"relay_fault", "relay_fault", JSON_OBJECT},
		{"trust", "trust", JSON_OBJECT},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(report, kept[i].from);
		if (v && json_typeof(v) == kept[i].type && json_array_size(v) <= POISON_MAX)
			json_object_set(device, kept[i].to, v);
	}
	json_t *result = json_object_get(report, "last_update_result");
	if (json_is_string(result) || json_is_object(result))
		json_object_set(device, "last_update_result", result);
	const char *model = text_of(report, "current_model");
	if (*model && *text_of(report, "current_model_version"))
		json_object_set(object_in(device, "running"), model,
			json_object_get(report, "current_model_version"));
	json_object_set_new(device, "last_heartbeat_ms", json_integer(now_ms));
}

/* Bytes as the device measured them: from us or from a relay of its site. */
static void count_transfer(struct call *c)
{
	const json_t *t = json_object_get(c->body, "transfer");
	int64_t received = int_of(t, "received_bytes"), saved = int_of(t, "saved_bytes");
	if (received > 0 || saved > 0)
		campaign_count_bytes(c->api, c->parts[0], NULL, (uint64_t)LODE_MAX(received, 0),
			(uint64_t)LODE_MAX(saved, 0));
}

/* A relay that sends wrong bytes is somebody's machine: an operator should hear of it. */
static int audit_relay(struct call *c, struct lode_err *err)
{
	const json_t *fault = json_object_get(c->body, "relay_fault");
	return json_is_object(fault) ? audit(c, "relay.fault", c->parts[0], fault, err) : 0;
}

/* One transaction: the device's record and its place in a campaign change together. */
static int take_heartbeat(struct call *c, json_t **reply, struct lode_err *err)
{
	int64_t rev;
	count_transfer(c);
	json_t *device = load(c->api, LODE_DOC_DEVICE, "", c->parts[0], &rev, err);
	if (!device)
		return err->code;
	keep_report(device, c->body, c->req->now_ms);
	campaign_heartbeat(c->api, device, c->body, c->req->now_ms);
	int rc = save(c->api, LODE_DOC_DEVICE, "", c->parts[0], "", device, rev, err);
	if (!rc)
		rc = audit_relay(c, err);
	if (!rc)
		*reply = json_pack("{s:s,s:O?,s:O?}", "status", "ok", "assigned_model",
			json_object_get(device, "assigned_model"), "assigned_model_version",
			json_object_get(device, "assigned_model_version"));
	json_decref(device);
	return rc;
}

static int beat_once(struct call *c, json_t **reply, struct lode_err *err)
{
	int rc = lode_store_begin(c->api->store, false, err);
	if (rc)
		return rc;
	rc = take_heartbeat(c, reply, err);
	if (!rc)
		return lode_store_commit(c->api->store, err);
	lode_store_rollback(c->api->store);
	return rc;
}

void device_heartbeat(struct call *c)
{
	struct lode_err err;
	json_t *reply = NULL;
	int rc = -EAGAIN;
	/* Another manager may have changed the device or its campaign in this moment. */
	for (unsigned i = 0; i < ATTEMPTS && was_overtaken(rc); i++) {
		json_decref(reply);
		reply = NULL;
		rc = beat_once(c, &reply, &err);
	}
	if (!rc) {
		answer(c, 200, reply);
		return;
	}
	json_decref(reply);
	answer_err(c, &err);
}
