/* SPDX-License-Identifier: BSD-3-Clause */
/* Campaigns and their targets as documents. */
#include "api.h"

#include <stdio.h>
#include <string.h>

static unsigned from_name(const char *name, unsigned n, const char *(*name_of)(unsigned))
{
	unsigned i = 0;
	while (i < n && strcmp(name, name_of(i)) != 0)
		i++;
	return i;
}

static const char *strategy_name(unsigned v)
{
	return lode_strategy_name((enum lode_strategy)v);
}
static const char *campaign_name(unsigned v)
{
	return lode_campaign_state_name((enum lode_campaign_state)v);
}
static const char *target_name(unsigned v)
{
	return lode_target_state_name((enum lode_target_state)v);
}
static const char *error_name(unsigned v)
{
	return lode_error_class_name((enum lode_error_class)v);
}

struct member {
	const char *key;
	size_t offset;
};
#define PLAN(m)                                            \
	{                                                  \
#m, offsetof(struct lode_campaign_plan, m) \
	}
static const struct member plan_members[] = {PLAN(batch), PLAN(success_percent),
	PLAN(error_percent), PLAN(error_count), PLAN(max_attempts), PLAN(retry_s),
	PLAN(device_timeout_s), PLAN(window_from_min), PLAN(window_to_min)};

static uint32_t *plan_member(const struct lode_campaign_plan *p, const struct member *m)
{
	return (uint32_t *)(void *)((char *)p + m->offset);
}

static int read_u32(const json_t *obj, const char *key, uint32_t *to, struct lode_err *err)
{
	const json_t *v = json_object_get(obj, key);
	if (!v)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
		return lode_err_set(
			err, -EINVAL, "'%s' is a whole number from 0 to %d", key, INT32_MAX);
	*to = (uint32_t)json_integer_value(v);
	return 0;
}

static int read_stages(struct lode_campaign_plan *p, const json_t *stages, struct lode_err *err)
{
	size_t i;
	json_t *s;
	int rc = 0;
	if (!stages)
		return 0;
	if (!json_is_array(stages) || json_array_size(stages) > LODE_CAMPAIGN_STAGES_MAX)
		return lode_err_set(
			err, -EINVAL, "'stages' is a list of 1 to %d", LODE_CAMPAIGN_STAGES_MAX);
	p->n_stages = (uint32_t)json_array_size(stages);
	json_array_foreach(stages, i, s)
	{
		struct lode_stage *stage = &p->stages[i];
		*stage = (struct lode_stage){0};
		/* The older system writes percents alone. */
		if (json_is_integer(s) && json_integer_value(s) >= 0 &&
			json_integer_value(s) <= 100)
			stage->percent = (uint32_t)json_integer_value(s);
		rc = rc ? rc : read_u32(s, "percent", &stage->percent, err);
		rc = rc ? rc : read_u32(s, "count", &stage->count, err);
		rc = rc ? rc : read_u32(s, "soak_s", &stage->soak_s, err);
		stage->pause_after = json_is_true(json_object_get(s, "pause_after"));
	}
	return rc;
}

/* "canary", or {"canary": {"stages": [5, 100], "wait_seconds": 300}} as the older system has it. */
static int read_strategy(struct lode_campaign_plan *p, const json_t *v, struct lode_err *err)
{
	const char *name = json_string_value(v);
	const json_t *inner = NULL;
	uint32_t wait_s = 0;
	if (json_is_object(v) && json_object_size(v) == 1) {
		name = json_object_iter_key(json_object_iter((json_t *)v));
		inner = json_object_get(v, name);
	}
	unsigned s = name ? from_name(name, 3, strategy_name) : v ? 3 : LODE_ALL_AT_ONCE;
	if (s == 3)
		return lode_err_set(err, -EINVAL,
			"'strategy' is all_at_once, rolling or canary, found '%.40s'",
			name ? name : "?");
	lode_campaign_plan_default(p, (enum lode_strategy)s);
	int rc = read_stages(p, json_object_get(inner, "stages"), err);
	if (!rc)
		rc = read_u32(inner, "wait_seconds", &wait_s, err);
	for (uint32_t i = 0; json_object_get(inner, "wait_seconds") && i + 1 < p->n_stages; i++)
		p->stages[i].soak_s = wait_s;
	return rc ? rc : read_u32(inner, "batch_size", &p->batch, err);
}

/* Which classes of errors are tried again: a list of their names. */
static int read_retry(struct lode_campaign_plan *p, const json_t *names, struct lode_err *err)
{
	size_t i;
	json_t *name;
	if (!names)
		return 0;
	p->retry_classes = 0;
	json_array_foreach(names, i, name)
	{
		unsigned e = from_name(json_string_value(name) ? json_string_value(name) : "?",
			LODE_N_ERRORS, error_name);
		if (e == LODE_N_ERRORS || e == LODE_ERROR_NONE)
			return lode_err_set(err, -EINVAL,
				"'retry_classes' is a list of network, space, verification, "
				"health, "
				"timeout, other");
		p->retry_classes |= 1u << e;
	}
	return json_is_array(names)
		       ? 0
		       : lode_err_set(err, -EINVAL, "'retry_classes' is a list of names");
}

static json_t *retry_json(const struct lode_campaign_plan *p)
{
	json_t *names = json_array();
	for (unsigned e = 1; e < LODE_N_ERRORS; e++)
		if (p->retry_classes >> e & 1)
			json_array_append_new(names, json_string(error_name(e)));
	return names;
}

int plan_from_json(struct lode_campaign_plan *p, const json_t *o, struct lode_err *err)
{
	int rc = read_strategy(p, json_object_get(o, "strategy"), err);
	if (!rc)
		rc = read_stages(p, json_object_get(o, "stages"), err);
	for (size_t i = 0; i < LODE_ARRAY_LEN(plan_members) && !rc; i++)
		rc = read_u32(o, plan_members[i].key, plan_member(p, &plan_members[i]), err);
	if (!rc)
		rc = read_retry(p, json_object_get(o, "retry_classes"), err);
	if (json_object_get(o, "rollback"))
		p->rollback = json_is_true(json_object_get(o, "rollback"));
	if (json_object_get(o, "approval"))
		p->approval = json_is_true(json_object_get(o, "approval"));
	return rc ? rc : lode_campaign_plan_check(p, err);
}

json_t *campaign_to_json(const struct lode_campaign *k)
{
	const struct lode_campaign_plan *p = &k->plan;
	json_t *stages = json_array();
	for (uint32_t i = 0; i < p->n_stages; i++)
		json_array_append_new(
			stages, json_pack("{s:i,s:i,s:i,s:b}", "percent", p->stages[i].percent,
					"count", p->stages[i].count, "soak_s", p->stages[i].soak_s,
					"pause_after", p->stages[i].pause_after));
	json_t *doc = json_pack("{s:s,s:o,s:b,s:b,s:b,s:s,s:i,s:I,s:I,s:s}", "strategy",
		lode_strategy_name(p->strategy), "stages", stages, "rollback", p->rollback,
		"approval", p->approval, "dynamic", k->dynamic, "state",
		lode_campaign_state_name(k->state), "stage", k->stage, "created_ms",
		(json_int_t)k->created_ms, "stage_done_ms", (json_int_t)k->stage_done_ms, "reason",
		k->reason);
	json_object_set_new(doc, "retry_classes", retry_json(p));
	for (size_t i = 0; i < LODE_ARRAY_LEN(plan_members); i++)
		json_object_set_new(
			doc, plan_members[i].key, json_integer(*plan_member(p, &plan_members[i])));
	return doc;
}

int campaign_from_json(struct lode_campaign *k, const json_t *doc, struct lode_err *err)
{
	*k = (struct lode_campaign){0};
	int rc = plan_from_json(&k->plan, doc, err);
	unsigned state = from_name(text_of(doc, "state"), LODE_CAMPAIGN_N_STATES, campaign_name);
	if (rc || state == LODE_CAMPAIGN_N_STATES ||
		int_of(doc, "stage") >= (json_int_t)k->plan.n_stages)
		return rc ? rc : lode_err_set(err, -EIO, "a stored campaign is damaged");
	k->state = (enum lode_campaign_state)state;
	k->stage = (uint32_t)int_of(doc, "stage");
	k->created_ms = int_of(doc, "created_ms");
	k->stage_done_ms = int_of(doc, "stage_done_ms");
	k->dynamic = json_is_true(json_object_get(doc, "dynamic"));
	snprintf(k->reason, sizeof(k->reason), "%s", text_of(doc, "reason"));
	return 0;
}

json_t *target_to_json(const struct lode_target *t)
{
	return json_pack("{s:s,s:s,s:s,s:i,s:i,s:I,s:I,s:I,s:I}", "state",
		lode_target_state_name(t->state), "error_class", lode_error_class_name(t->error),
		"error", t->error_text, "attempts", t->attempts, "stage", t->stage, "changed_ms",
		(json_int_t)t->changed_ms, "retry_at_ms", (json_int_t)t->retry_at_ms,
		"bytes_served", (json_int_t)t->served_bytes, "bytes_saved",
		(json_int_t)t->saved_bytes);
}

void target_from_json(struct lode_target *t, const json_t *doc)
{
	unsigned state = from_name(text_of(doc, "state"), LODE_TARGET_N_STATES, target_name);
	unsigned error = from_name(text_of(doc, "error_class"), LODE_N_ERRORS, error_name);
	*t = (struct lode_target){
		.state = state < LODE_TARGET_N_STATES ? (enum lode_target_state)state
						      : LODE_TARGET_PENDING,
		.error = error < LODE_N_ERRORS ? (enum lode_error_class)error : LODE_ERROR_OTHER,
		.attempts = (uint32_t)int_of(doc, "attempts"),
		.stage = (uint32_t)int_of(doc, "stage"),
		.changed_ms = int_of(doc, "changed_ms"),
		.retry_at_ms = int_of(doc, "retry_at_ms"),
		.served_bytes = (uint64_t)int_of(doc, "bytes_served"),
		.saved_bytes = (uint64_t)int_of(doc, "bytes_saved"),
	};
	snprintf(t->error_text, sizeof(t->error_text), "%s", text_of(doc, "error"));
}
