/* SPDX-License-Identifier: BSD-3-Clause */
/* What operators ask of campaigns. */
#include "api.h"
#include "targets.h"

#include <stdio.h>
#include <string.h>

void campaign_create(struct call *c)
{
	char id[LODE_STORE_ID_MAX];
	size_t n = 0;
	struct lode_err err;
	const char *model = body_id(c, "model_id");
	const char *version = model ? body_id(c, "model_version") : NULL;
	const char *fleet = version ? body_id(c, "fleet_id") : NULL;
	if (!fleet)
		return;
	if (campaign_start(c, model, version, fleet, c->body, id, &n, &err)) {
		answer_err(c, &err);
		return;
	}
	json_t *doc = load(c->api, LODE_DOC_CAMPAIGN, "", id, NULL, &err);
	answer(c, 201,
		json_pack("{s:s,s:s,s:I}", "campaign_id", id, "state", text_of(doc, "state"),
			"total_devices", (json_int_t)n));
	json_decref(doc);
}

/* "rolling_out" -> "RollingOut": the older face shows names so. */
static json_t *state_name(const struct call *c, const char *name)
{
	char text[40];
	size_t n = 0;
	bool upper = true;
	if (c->v2)
		return json_string(name);
	for (const char *p = name; *p && n + 1 < sizeof(text); p++) {
		if (*p == '_') {
			upper = true;
			continue;
		}
		text[n++] = upper && *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
		upper = false;
	}
	text[n] = 0;
	return json_string(text);
}

static json_t *summary_json(const struct lode_campaign_summary *y)
{
	const uint32_t *n = y->by_state;
	uint32_t working = n[LODE_TARGET_OFFERED] + n[LODE_TARGET_DOWNLOADING] +
			   n[LODE_TARGET_VERIFYING] + n[LODE_TARGET_APPLYING] +
			   n[LODE_TARGET_ROLLING_BACK];
	return json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:I,s:I}", "total", y->total, "pending",
		n[LODE_TARGET_PENDING], "in_progress", working, "complete", n[LODE_TARGET_COMPLETE],
		"failed", n[LODE_TARGET_FAILED], "skipped", n[LODE_TARGET_SKIPPED], "rolled_back",
		n[LODE_TARGET_ROLLED_BACK], "bytes_served", (json_int_t)y->served_bytes,
		"bytes_saved", (json_int_t)y->saved_bytes);
}

/* Counted by the database: a list of campaigns does not read every device of each. */
static int64_t targets_in(struct call *c, const char *campaign, const char *state)
{
	struct lode_err err;
	return LODE_MAX(lode_store_count(c->api->store, LODE_DOC_TARGET, campaign, state, &err), 0);
}

static json_t *make_row(struct call *c, const struct lode_store_doc *doc)
{
	json_t *k = json_loads(doc->text, 0, NULL);
	if (!k)
		return NULL;
	json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:o,s:I,s:I,s:I}", "id", doc->id, "model_id",
		text_of(k, "model_id"), "target_version", text_of(k, "target_version"), "fleet_id",
		text_of(k, "fleet_id"), "state", state_name(c, text_of(k, "state")), "total",
		(json_int_t)targets_in(c, doc->id, NULL), "complete",
		(json_int_t)targets_in(c, doc->id, lode_target_state_name(LODE_TARGET_COMPLETE)),
		"failed",
		(json_int_t)targets_in(c, doc->id, lode_target_state_name(LODE_TARGET_FAILED)));
	json_decref(k);
	return row;
}

void campaign_list(struct call *c)
{
	answer_list(c, LODE_DOC_CAMPAIGN, "", "campaigns", make_row);
}

static json_t *devices_json(const struct call *c, const struct targets *y)
{
	json_t *devices = json_array();
	for (size_t i = 0; i < y->n; i++) {
		json_t *d = c->v2 ? json_incref(y->docs[i]) : json_object();
		json_object_set_new(d, "device_id", json_string(y->ids[i]));
		json_object_set_new(d, "state", state_name(c, text_of(y->docs[i], "state")));
		json_array_append_new(devices, d);
	}
	return devices;
}

void campaign_get(struct call *c)
{
	struct lode_err err;
	struct targets y = {0};
	struct lode_campaign_summary sum;
	json_t *k = load(c->api, LODE_DOC_CAMPAIGN, "", c->parts[0], NULL, &err);
	if (!k || load_targets(c->api, c->parts[0], &y, &err)) {
		free_targets(&y);
		json_decref(k);
		answer_err(c, &err);
		return;
	}
	lode_campaign_summarise(y.t, y.n, &sum);
	json_object_set_new(k, "state", state_name(c, text_of(k, "state")));
	json_object_set_new(k, "created_at", json_integer(int_of(k, "created_ms") / 1000));
	json_object_set_new(k, "summary", summary_json(&sum));
	json_object_set_new(k, "devices", devices_json(c, &y));
	json_object_set_new(k, "bandwidth",
		json_pack("{s:I,s:I}", "bytes_served", (json_int_t)sum.served_bytes,
			"bytes_saved_by_delta", (json_int_t)sum.saved_bytes));
	free_targets(&y);
	answer(c, 200, k);
}

static json_t *make_target(struct call *c, const struct lode_store_doc *doc)
{
	json_t *target = json_loads(doc->text, 0, NULL);
	if (target)
		json_object_set_new(target, "device_id", json_string(doc->id));
	return target;
}

/* A page of a campaign's devices: a large fleet is too long for one answer. */
void campaign_devices(struct call *c)
{
	answer_list(c, LODE_DOC_TARGET, c->parts[0], NULL, make_target);
}

static int apply_verb(struct lode_campaign *k, const char *verb, struct lode_err *err)
{
	static const struct {
		const char *name;
		int (*act)(struct lode_campaign *, struct lode_err *);
	} verbs[] = {{"pause", lode_campaign_pause}, {"resume", lode_campaign_resume},
		{"abort", lode_campaign_abort}, {"approve", lode_campaign_approve}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(verbs); i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].act(k, err);
	return lode_err_set(err, -ENOENT, "a campaign can be paused, resumed, aborted, approved");
}

static int verb_inside(struct call *c, struct lode_campaign *k, struct lode_err *err)
{
	int64_t rev;
	char action[64];
	json_t *doc = load(c->api, LODE_DOC_CAMPAIGN, "", c->parts[0], &rev, err);
	int rc = doc ? campaign_from_json(k, doc, err) : err->code;
	if (!rc)
		rc = apply_verb(k, c->parts[1], err);
	if (!rc)
		rc = save_campaign(c->api, c->parts[0], k, doc, rev, err);
	snprintf(action, sizeof(action), "campaign.%.40s", c->parts[1]);
	if (!rc)
		rc = audit(c, action, c->parts[0], NULL, err);
	json_decref(doc);
	return rc;
}

static int verb_once(struct call *c, struct lode_campaign *k, struct lode_err *err)
{
	int rc = lode_store_begin(c->api->store, true, err);
	if (rc)
		return rc;
	rc = verb_inside(c, k, err);
	if (!rc)
		return lode_store_commit(c->api->store, err);
	lode_store_rollback(c->api->store);
	return rc;
}

void campaign_verb(struct call *c)
{
	struct lode_campaign k;
	struct lode_err err, later;
	int rc = -EAGAIN;
	for (unsigned i = 0; i < ATTEMPTS && was_overtaken(rc); i++)
		rc = verb_once(c, &k, &err);
	if (rc) {
		answer_err(c, &err);
		return;
	}
	/* What was approved or resumed is offered with the next heartbeat, not after the next tick. */
	campaign_step(c->api, c->parts[0], c->req->now_ms, &later);
	answer(c, 200,
		json_pack("{s:o}", "state", state_name(c, lode_campaign_state_name(k.state))));
}
