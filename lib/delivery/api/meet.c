/* SPDX-License-Identifier: BSD-3-Clause */
/* What a heartbeat means. A device runs several models, each of them in one campaign at most: its record says under
 * "running" which version of which model it runs, and under "campaigns" which campaign has which model. It is
 * told one thing at a time. */
#include "targets.h"

#include <stdio.h>
#include <string.h>

json_t *object_in(json_t *doc, const char *key)
{
	json_t *v = json_object_get(doc, key);
	if (json_is_object(v))
		return v;
	json_object_set_new(doc, key, json_object());
	return json_object_get(doc, key);
}

const char *device_runs(const json_t *device, const char *model)
{
	return text_of(json_object_get(device, "running"), model);
}

/* The device's place in the campaign that has this model; NULL when there is none. */
static json_t *target_of(struct lode_api *api, const json_t *device, const char *model,
	int64_t *rev, struct lode_err *err)
{
	const char *campaign = text_of(json_object_get(device, "campaigns"), model);
	if (*campaign)
		return load(api, LODE_DOC_TARGET, campaign, text_of(device, "id"), rev, err);
	lode_err_set(err, -ENOENT, "no campaign");
	return NULL;
}

static int leave_one(struct lode_api *api, const json_t *device, const char *model, const char *why,
	int64_t now_ms, struct lode_err *err)
{
	struct lode_target t;
	int64_t rev;
	json_t *target = target_of(api, device, model, &rev, err);
	int rc = 0;
	if (!target)
		return err->code == -ENOENT ? 0 : err->code;
	target_from_json(&t, target);
	lode_campaign_skip(&t, why, now_ms);
	if (t.dirty)
		rc = save_target(api, text_of(json_object_get(device, "campaigns"), model),
			text_of(device, "id"), &t, target, rev, err);
	json_decref(target);
	return rc;
}

int campaign_leave(struct lode_api *api, const json_t *device, const char *model, const char *why,
	int64_t now_ms, struct lode_err *err)
{
	const char *each;
	json_t *campaign;
	int rc = 0;
	json_object_foreach(json_object_get(device, "campaigns"), each,
		campaign) if (!rc && (!model || !strcmp(model, each))) rc =
		leave_one(api, device, each, why, now_ms, err);
	return rc;
}

/* The device's own words, or what its record says it runs. */
static void read_report(const json_t *report, bool runs_target, enum lode_target_state *state,
	enum lode_error_class *error, const char **text)
{
	const json_t *failed =
		json_object_get(json_object_get(report, "last_update_result"), "failed");
	const char *said = text_of(report, "update_state");
	*state = LODE_TARGET_PENDING;
	*error = LODE_ERROR_NONE;
	*text = "";
	for (unsigned s = LODE_TARGET_DOWNLOADING; s <= LODE_TARGET_APPLYING; s++)
		if (!strcmp(said, lode_target_state_name((enum lode_target_state)s)))
			*state = (enum lode_target_state)s;
	if (failed) {
		*state = LODE_TARGET_FAILED;
		*error = LODE_ERROR_OTHER;
		*text = text_of(failed, "error");
		for (unsigned e = 0; e < LODE_N_ERRORS; e++)
			if (!strcmp(text_of(failed, "class"),
				    lode_error_class_name((enum lode_error_class)e)))
				*error = (enum lode_error_class)e;
	} else if (runs_target) {
		*state = LODE_TARGET_COMPLETE;
	}
}

/* What a campaign asks of the device. */
struct want {
	char model[LODE_STORE_ID_MAX], version[LODE_STORE_ID_MAX];
};

static void set_want(struct want *w, const char *model, const char *version)
{
	snprintf(w->model, sizeof(w->model), "%s", model);
	snprintf(w->version, sizeof(w->version), "%s", version);
}

/* What the target is told and what it told. report: NULL when it is about another model. */
static void meet(struct lode_api *api, const json_t *doc, const json_t *device,
	const json_t *report, int64_t now_ms, struct want *want)
{
	struct lode_campaign k;
	struct lode_target t;
	struct lode_err err;
	int64_t rev;
	enum lode_target_state state;
	enum lode_error_class error;
	const char *text, *model = text_of(doc, "model_id");
	const char *version = text_of(doc, "target_version");
	json_t *target = target_of(api, device, model, &rev, &err);
	if (!target || campaign_from_json(&k, doc, &err)) {
		json_decref(target);
		return;
	}
	target_from_json(&t, target);
	const char *runs = device_runs(device, model);
	const char *previous = text_of(target, "previous_version");
	read_report(report, !strcmp(runs, version), &state, &error, &text);
	if (t.state == LODE_TARGET_ROLLING_BACK && (!strcmp(runs, previous) || !*previous))
		state = LODE_TARGET_ROLLED_BACK;
	lode_campaign_report(&k, &t, state, error, text, now_ms);
	if (t.dirty)
		save_target(api, text_of(doc, "id"), text_of(device, "id"), &t, target, rev, &err);
	bool offers = lode_campaign_offers(&k, &t, now_ms);
	if (t.state == LODE_TARGET_ROLLED_BACK || (t.state == LODE_TARGET_ROLLING_BACK && offers))
		set_want(want, model, previous);
	else if (t.state == LODE_TARGET_COMPLETE || offers)
		set_want(want, model, version);
	json_decref(target);
}

/* What comes first of all that is asked: what is under way, then what is not done yet, then what the device is known by. */
enum rank { RANK_NOTHING, RANK_DONE, RANK_WORK, RANK_UNDER_WAY };

static enum rank rank_of(const json_t *device, const struct want *w)
{
	if (!*w->version)
		return RANK_NOTHING;
	if (strcmp(device_runs(device, w->model), w->version) != 0)
		return strcmp(text_of(device, "assigned_model"), w->model) ? RANK_WORK
									   : RANK_UNDER_WAY;
	return strcmp(text_of(device, "current_model"), w->model) ? RANK_NOTHING : RANK_DONE;
}

static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

void campaign_heartbeat(struct lode_api *api, json_t *device, const json_t *report, int64_t now_ms)
{
	struct want best = {"", ""};
	enum rank best_rank = RANK_NOTHING;
	const char *asked = text_of(device, "assigned_model"), *model;
	json_t *id;
	if (!json_object_size(json_object_get(device, "campaigns")))
		return;
	json_object_foreach(json_object_get(device, "campaigns"), model, id)
	{
		struct lode_err err;
		struct want want = {"", ""};
		bool about = !*asked || !strcmp(asked, model);
		json_t *doc = load(api, LODE_DOC_CAMPAIGN, "", json_string_value(id), NULL, &err);
		if (doc)
			meet(api, doc, device, about ? report : NULL, now_ms, &want);
		json_decref(doc);
		enum rank rank = rank_of(device, &want);
		if (rank > best_rank) {
			best = want;
			best_rank = rank;
		}
	}
	json_object_set_new(device, "assigned_model", text_or_null(best.model));
	json_object_set_new(device, "assigned_model_version", text_or_null(best.version));
}

void campaign_count_bytes(struct lode_api *api, const char *device_id, const char *model,
	uint64_t served_bytes, uint64_t saved_bytes)
{
	struct lode_err err;
	struct lode_target t;
	int64_t rev;
	json_t *device = load(api, LODE_DOC_DEVICE, "", device_id, NULL, &err);
	const char *about = model ? model : text_of(device, "assigned_model");
	json_t *target = device ? target_of(api, device, about, &rev, &err) : NULL;
	if (target) {
		target_from_json(&t, target);
		t.served_bytes += served_bytes;
		t.saved_bytes += saved_bytes;
		save_target(api, text_of(json_object_get(device, "campaigns"), about), device_id,
			&t, target, rev, &err);
	}
	json_decref(target);
	json_decref(device);
}

const char *asking_device(const struct call *c)
{
	const char *said = c->req->header(c->req->ctx, "X-Lodestone-Device");
	if (c->req->who.role == LODE_ROLE_DEVICE)
		return c->req->who.name;
	return said && id_ok(said) ? said : NULL;
}

/* Not its turn yet, or held back by an operator; what it has already, it may fetch again. */
static bool holds_back(const json_t *campaign, const json_t *target, int64_t now_ms)
{
	struct lode_campaign k;
	struct lode_target t;
	struct lode_err err;
	if (campaign_from_json(&k, campaign, &err))
		return false;
	target_from_json(&t, target);
	return t.state != LODE_TARGET_COMPLETE && !lode_campaign_offers(&k, &t, now_ms);
}

bool campaign_withholds(struct call *c, const char *model, const char *version)
{
	struct lode_err err;
	int64_t rev;
	const char *id = asking_device(c);
	json_t *device = id ? load(c->api, LODE_DOC_DEVICE, "", id, NULL, &err) : NULL;
	json_t *target = device ? target_of(c->api, device, model, &rev, &err) : NULL;
	const char *campaign = text_of(json_object_get(device, "campaigns"), model);
	json_t *doc = target ? load(c->api, LODE_DOC_CAMPAIGN, "", campaign, NULL, &err) : NULL;
	bool held = doc && !strcmp(text_of(doc, "target_version"), version) &&
		    strcmp(device_runs(device, model), version) != 0 &&
		    holds_back(doc, target, c->req->now_ms);
	if (held)
		answer_error(c, 409, "campaign %s (%s) does not give %s %s to %s now", campaign,
			text_of(doc, "state"), model, version, id);
	json_decref(doc);
	json_decref(target);
	json_decref(device);
	return held;
}
