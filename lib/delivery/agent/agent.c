/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BACK_OFF_MAX_S 300

void say(const struct lode_agent *a, const char *fmt, ...)
{
	char line[600];
	va_list ap;
	if (!a->options.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	a->options.log(a->options.ctx, line);
}

int write_point(const struct lode_agent *a, const char *what)
{
	return a->options.on_write ? a->options.on_write(a->options.ctx, what) : 0;
}

/* What becomes part of a path or a URL. */
bool name_ok(const char *s)
{
	static const char chars[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
	size_t len = strspn(s, chars);
	return len && len < LODE_AGENT_NAME_MAX && !s[len] && *s != '.';
}

static json_t *platform(void)
{
	struct utsname u;
	if (uname(&u))
		return json_object();
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	return json_pack("{s:s,s:s,s:I,s:I}", "arch", u.machine, "os", u.sysname, "cpu_count",
		(json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "total_memory_bytes",
		(json_int_t)pages * page);
}

static json_t *last_result(struct lode_agent *a)
{
	if (*a->last_error)
		return json_pack(
			"{s:{s:s,s:s}}", "failed", "error", a->last_error, "class", a->last_class);
	return a->last_success ? json_string("success") : NULL;
}

static json_t *poisoned(const struct lode_agent *a)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < a->n_poison; i++)
		if (a->poison[i].failures >= LODE_AGENT_POISON_AT)
			json_array_append_new(list, json_sprintf("%s/%s", a->poison[i].what.model,
							    a->poison[i].what.version));
	return list;
}

/* Tells how things are; the reply, or NULL. */
static json_t *heartbeat(struct lode_agent *a, struct lode_err *err)
{
	char path[200];
	snprintf(path, sizeof(path), "/api/v1/devices/%s/heartbeat", a->options.device_id);
	json_t *body = json_pack("{s:s,s:o,s:o}", "status", "online", "platform", platform(),
		"poisoned", poisoned(a));
	if (*a->current.model) {
		json_object_set_new(body, "current_model", json_string(a->current.model));
		json_object_set_new(body, "current_model_version", json_string(a->current.version));
	}
	if (*a->state)
		json_object_set_new(body, "update_state", json_string(a->state));
	json_t *trust = trust_report(a);
	if (trust)
		json_object_set_new(body, "trust", trust);
	json_t *result = last_result(a);
	if (result)
		json_object_set_new(body, "last_update_result", result);
	uint64_t received = lode_fetch_received(a->fetch);
	if (received != a->told_bytes || a->saved_bytes)
		json_object_set_new(body, "transfer",
			json_pack("{s:I,s:I}", "received_bytes",
				(json_int_t)(received - a->told_bytes), "saved_bytes",
				(json_int_t)a->saved_bytes));
	if (*a->relay_fault)
		json_object_set_new(body, "relay_fault",
			json_pack("{s:s,s:s,s:s}", "relay", a->options.relay, "sha256",
				a->relay_fault_sha256, "error", a->relay_fault));
	json_t *reply = call_json(a, path, body, err);
	json_decref(body);
	if (reply) { /* told once */
		a->relay_fault[0] = 0;
		a->told_bytes = received;
		a->saved_bytes = 0;
		a->last_error[0] = 0;
		a->last_success = false;
	}
	return reply;
}

/* What the reply asks to run; false: nothing new, or nothing that can be believed. */
static bool assignment(struct lode_agent *a, const json_t *reply, struct running *want)
{
	const char *model = json_string_value(json_object_get(reply, "assigned_model"));
	const char *version = json_string_value(json_object_get(reply, "assigned_model_version"));
	*want = (struct running){0};
	if (!model || !version || !name_ok(model) || !name_ok(version))
		return false;
	if (!strcmp(model, a->current.model) && !strcmp(version, a->current.version))
		return false;
	if (poison_failures(a, model, version) >= LODE_AGENT_POISON_AT) {
		say(a, "%s %s has failed %d times: left alone", model, version,
			LODE_AGENT_POISON_AT);
		return false;
	}
	snprintf(want->model, sizeof(want->model), "%s", model);
	snprintf(want->version, sizeof(want->version), "%s", version);
	return true;
}

enum lode_agent_outcome lode_agent_round(struct lode_agent *a, struct lode_err *err)
{
	struct running want;
	json_t *reply = heartbeat(a, err);
	if (!reply) {
		a->unanswered++;
		say(a, "heartbeat: %s", err->msg);
		return LODE_AGENT_UNREACHABLE;
	}
	a->unanswered = 0;
	bool wanted = assignment(a, reply, &want);
	json_decref(reply);
	if (!wanted) {
		trust_refresh(a);
		return LODE_AGENT_IDLE;
	}
	say(a, "asked to run %s %s", want.model, want.version);
	enum lode_agent_outcome outcome = update(a, &want, err);
	struct lode_err
		later; /* at once, so that the campaign goes on; a lost one is told next time */
	if (outcome != LODE_AGENT_IDLE)
		json_decref(heartbeat(a, &later));
	return outcome;
}

unsigned lode_agent_wait_s(struct lode_agent *a)
{
	unsigned s = a->options.poll_interval_s;
	for (unsigned i = 0; i < a->unanswered && s < BACK_OFF_MAX_S; i++)
		s *= 2;
	s = LODE_MIN(s, (unsigned)BACK_OFF_MAX_S);
	return s + (unsigned)lode_rng_below(&a->rng, s / 10 + 1);
}

static int start_fetching(struct lode_agent *a, struct lode_err *err)
{
	const struct lode_agent_options *o = &a->options;
	struct lode_fetch_options f = {.stall_s = o->stall_s,
		.now_ns = o->now_ns,
		.sleep_ns = o->sleep_ns,
		.rate = o->rate,
		.progress = o->progress,
		.log = o->log,
		.seed = o->seed,
		.ctx = o->ctx};
	char path[PATH_MAX];
	if (o->control_plane)
		snprintf(a->blobs_url, sizeof(a->blobs_url), "%s/api/v2/blobs", o->control_plane);
	if (o->relay)
		snprintf(a->relay_url, sizeof(a->relay_url), "%s/api/v2/blobs", o->relay);
	path_of(a, "staging", "", "", path);
	int rc = lode_blobs_open(path, &a->staging, err);
	return rc ? rc : lode_fetch_new(&f, &a->fetch, err);
}

int lode_agent_new(
	const struct lode_agent_options *options, struct lode_agent **out, struct lode_err *err)
{
	if (!name_ok(options->device_id))
		return lode_err_set(err, -EINVAL,
			"device id '%.60s': 1 to %d of A-Z a-z 0-9 . _ + -, no leading dot",
			options->device_id, LODE_AGENT_NAME_MAX - 1);
	struct lode_agent *a = calloc(1, sizeof(*a));
	if (!a)
		return lode_err_set(err, -ENOMEM, "no memory for the agent");
	a->options = *options;
	a->curl = curl_easy_init();
	lode_rng_seed(&a->rng, options->seed);
	int rc = a->curl ? make_folders(a, err)
			 : lode_err_set(err, -ENOMEM, "libcurl does not start");
	if (!rc)
		rc = start_fetching(a, err);
	if (!rc)
		rc = journal_load(a, err);
	if (!rc)
		rc = finish_interrupted(a, err);
	if (rc) {
		lode_agent_free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void lode_agent_free(struct lode_agent *a)
{
	if (!a)
		return;
	curl_easy_cleanup(a->curl);
	lode_trust_state_clear(&a->trust);
	lode_fetch_free(a->fetch);
	lode_blobs_close(a->staging);
	free(a);
}

const char *lode_agent_version(const struct lode_agent *a)
{
	return a->current.version;
}
