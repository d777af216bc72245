/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/campaign: how one model version reaches the devices of a fleet: in stages, with thresholds, soak
 * times, windows, retries, pause, approval, abort and rollback. A state machine without I/O: the caller holds the
 * devices, passes the time and writes down what changed. Any thread; an object belongs to one. Times are
 * milliseconds since 1970 (`_ms`), durations seconds (`_s`). */
#pragma once

#include "lode_base.h"

#define LODE_CAMPAIGN_STAGES_MAX 16
#define LODE_CAMPAIGN_ERROR_MAX	 200

enum lode_strategy { LODE_ALL_AT_ONCE, LODE_ROLLING, LODE_CANARY };

/* A stage ends when enough of its devices succeeded and its soak time has passed since. */
struct lode_stage {
	uint32_t percent; /* of all devices, cumulative; 0: count decides */
	uint32_t count;	  /* devices, cumulative */
	uint32_t soak_s;
	bool pause_after; /* waits for resume */
};

/* What is asked for when the campaign is made; never changes. */
struct lode_campaign_plan {
	enum lode_strategy strategy;
	uint32_t n_stages; /* 1..; filled by lode_campaign_plan_default */
	struct lode_stage stages[LODE_CAMPAIGN_STAGES_MAX];
	uint32_t batch;		   /* rolling: devices at work at once */
	uint32_t success_percent;  /* of a stage's devices before the next one starts */
	uint32_t error_percent;	   /* failed devices of the stage's that end it; 0: none */
	uint32_t error_count;	   /* the same in devices; 0: none */
	bool rollback;		   /* what an ended stage changed is put back */
	bool approval;		   /* starts when somebody approves */
	uint32_t max_attempts;	   /* per device, for errors that may pass */
	uint32_t retry_classes;	   /* which may: bits 1 << enum lode_error_class */
	uint32_t retry_s;	   /* doubled with each attempt, at most a day */
	uint32_t device_timeout_s; /* offered and silent: counts as failed; 0: never */
	/* Minutes of the day (UTC) when devices may begin; equal: always. */
	uint32_t window_from_min, window_to_min;
};

enum lode_campaign_state {
	LODE_CAMPAIGN_PENDING, /* waits for approval */
	LODE_CAMPAIGN_ROLLING_OUT,
	LODE_CAMPAIGN_PAUSED,
	LODE_CAMPAIGN_ROLLING_BACK,
	LODE_CAMPAIGN_COMPLETE,
	LODE_CAMPAIGN_FAILED,
	LODE_CAMPAIGN_ABORTED,
	LODE_CAMPAIGN_N_STATES,
};

enum lode_target_state {
	LODE_TARGET_PENDING, /* not its turn yet */
	LODE_TARGET_OFFERED, /* may begin */
	LODE_TARGET_DOWNLOADING,
	LODE_TARGET_VERIFYING,
	LODE_TARGET_APPLYING,
	LODE_TARGET_COMPLETE,
	LODE_TARGET_FAILED, /* may be tried again at retry_at_ms */
	LODE_TARGET_SKIPPED,
	LODE_TARGET_ROLLING_BACK,
	LODE_TARGET_ROLLED_BACK,
	LODE_TARGET_N_STATES,
};

/* Which errors may pass by themselves, unless the plan says otherwise. */
enum lode_error_class {
	LODE_ERROR_NONE,
	LODE_ERROR_NETWORK,	 /* tried again */
	LODE_ERROR_SPACE,	 /* tried again */
	LODE_ERROR_VERIFICATION, /* hash, signature, schema: final */
	LODE_ERROR_HEALTH,	 /* the model runs and does no good: final */
	LODE_ERROR_TIMEOUT,	 /* tried again */
	LODE_ERROR_OTHER,	 /* tried again */
	LODE_N_ERRORS,
};
#define LODE_RETRY_DEFAULT                                                              \
	(1u << LODE_ERROR_NETWORK | 1u << LODE_ERROR_SPACE | 1u << LODE_ERROR_TIMEOUT | \
		1u << LODE_ERROR_OTHER)

struct lode_campaign {
	struct lode_campaign_plan plan;
	enum lode_campaign_state state;
	uint32_t stage; /* the one at work */
	int64_t created_ms;
	int64_t stage_done_ms;		      /* enough succeeded since then; 0: not yet */
	bool dynamic;			      /* devices that join the fleet join the campaign */
	char reason[LODE_CAMPAIGN_ERROR_MAX]; /* why it is in its state, for people */
};

struct lode_target {
	uint64_t order; /* hash of campaign and device: who goes first is the same everywhere */
	enum lode_target_state state;
	enum lode_error_class error;
	char error_text[LODE_CAMPAIGN_ERROR_MAX];
	uint32_t attempts;
	uint32_t stage; /* released in this stage */
	int64_t changed_ms, retry_at_ms;
	uint64_t served_bytes, saved_bytes;
	bool dirty; /* set when something changed; the caller clears it */
};

const char *lode_campaign_state_name(enum lode_campaign_state s);
const char *lode_target_state_name(enum lode_target_state s);
const char *lode_error_class_name(enum lode_error_class e);
const char *lode_strategy_name(enum lode_strategy s);

/* The stages of a strategy as operators expect them: canary 5, 25, 50, 100 percent with 300 s between, rolling 5
 * at once, all at once. */
void lode_campaign_plan_default(struct lode_campaign_plan *plan, enum lode_strategy strategy);
/* -EINVAL and a sentence when it cannot work. */
int lode_campaign_plan_check(const struct lode_campaign_plan *plan, struct lode_err *err);

/* The place of a device in the order: FNV-1a over both names, mixed. */
uint64_t lode_campaign_order(const char *campaign, const char *device);

void lode_campaign_begin(struct lode_campaign *c, int64_t now_ms);
/* Operators' verbs; -EPERM and a sentence in a state that does not know the verb. */
int lode_campaign_approve(struct lode_campaign *c, struct lode_err *err);
int lode_campaign_pause(struct lode_campaign *c, struct lode_err *err);
int lode_campaign_resume(struct lode_campaign *c, struct lode_err *err);
int lode_campaign_abort(struct lode_campaign *c, struct lode_err *err);
bool lode_campaign_open(const struct lode_campaign *c);

/* Moves campaign and targets on: releases stages, counts, times out, retries, fails, rolls back. targets are in
 * any order, the same in each call. Returns true when c changed. */
bool lode_campaign_step(
	struct lode_campaign *c, struct lode_target *targets, size_t n_targets, int64_t now_ms);

/* May this device begin or go on now? In a paused or ended campaign nobody may, in its window only. */
bool lode_campaign_offers(
	const struct lode_campaign *c, const struct lode_target *t, int64_t now_ms);
/* The device said where it is. What does not follow from its state is ignored; a success after a
 * failure counts. */
void lode_campaign_report(struct lode_campaign *c, struct lode_target *t,
	enum lode_target_state state, enum lode_error_class error, const char *error_text,
	int64_t now_ms);

/* The device no longer belongs to the campaign: it is gone, or another campaign has it. What it did stays counted. */
void lode_campaign_skip(struct lode_target *t, const char *why, int64_t now_ms);

struct lode_campaign_summary {
	uint32_t total, by_state[LODE_TARGET_N_STATES];
	uint64_t served_bytes, saved_bytes;
};
void lode_campaign_summarise(
	const struct lode_target *targets, size_t n_targets, struct lode_campaign_summary *out);
