/* SPDX-License-Identifier: BSD-3-Clause */
/* A campaign on its way: verbs of the operator, steps in time, reports of the devices. */
#include "lode_campaign.h"

#include <stdio.h>

#define RETRY_MAX_S 86400
#define MS_PER_S    1000ll
#define MS_PER_MIN  60000ll
#define MIN_PER_DAY 1440u

static void set_state(struct lode_campaign *c, enum lode_campaign_state s, const char *reason)
{
	c->state = s;
	snprintf(c->reason, sizeof(c->reason), "%s", reason);
}

void lode_campaign_begin(struct lode_campaign *c, int64_t now_ms)
{
	c->created_ms = now_ms;
	c->stage = 0;
	c->stage_done_ms = 0;
	if (c->plan.approval)
		set_state(c, LODE_CAMPAIGN_PENDING, "waits for approval");
	else
		set_state(c, LODE_CAMPAIGN_ROLLING_OUT, "");
}

static int refuse(const struct lode_campaign *c, const char *verb, struct lode_err *err)
{
	return lode_err_set(err, -EPERM, "a campaign that is %s cannot be %s",
		lode_campaign_state_name(c->state), verb);
}

int lode_campaign_approve(struct lode_campaign *c, struct lode_err *err)
{
	if (c->state != LODE_CAMPAIGN_PENDING)
		return refuse(c, "approved", err);
	set_state(c, LODE_CAMPAIGN_ROLLING_OUT, "approved");
	return 0;
}

int lode_campaign_pause(struct lode_campaign *c, struct lode_err *err)
{
	if (c->state != LODE_CAMPAIGN_ROLLING_OUT)
		return refuse(c, "paused", err);
	set_state(c, LODE_CAMPAIGN_PAUSED, "paused by an operator");
	return 0;
}

int lode_campaign_resume(struct lode_campaign *c, struct lode_err *err)
{
	if (c->state != LODE_CAMPAIGN_PAUSED)
		return refuse(c, "resumed", err);
	set_state(c, LODE_CAMPAIGN_ROLLING_OUT, "");
	return 0;
}

int lode_campaign_abort(struct lode_campaign *c, struct lode_err *err)
{
	if (!lode_campaign_open(c))
		return refuse(c, "aborted", err);
	set_state(c, LODE_CAMPAIGN_ABORTED, "aborted by an operator");
	return 0;
}

bool lode_campaign_open(const struct lode_campaign *c)
{
	return c->state == LODE_CAMPAIGN_PENDING || c->state == LODE_CAMPAIGN_ROLLING_OUT ||
	       c->state == LODE_CAMPAIGN_PAUSED || c->state == LODE_CAMPAIGN_ROLLING_BACK;
}

static void move(struct lode_target *t, enum lode_target_state s, int64_t now_ms)
{
	t->state = s;
	t->changed_ms = now_ms;
	t->dirty = true;
}

static bool at_work(enum lode_target_state s)
{
	return s >= LODE_TARGET_OFFERED && s <= LODE_TARGET_APPLYING;
}

/* Failed and not to be tried again. */
static bool given_up(const struct lode_campaign *c, const struct lode_target *t)
{
	return t->state == LODE_TARGET_FAILED &&
	       (t->attempts >= c->plan.max_attempts || !(c->plan.retry_classes >> t->error & 1));
}

static int64_t retry_delay_ms(const struct lode_campaign_plan *p, uint32_t attempts)
{
	uint64_t s = p->retry_s;
	for (uint32_t i = 1; i < attempts && s < RETRY_MAX_S; i++)
		s *= 2;
	return (int64_t)LODE_MIN(s, (uint64_t)RETRY_MAX_S) * MS_PER_S;
}

static void fail_target(const struct lode_campaign *c, struct lode_target *t,
	enum lode_error_class error, const char *text, int64_t now_ms)
{
	t->attempts++;
	t->error = error;
	snprintf(t->error_text, sizeof(t->error_text), "%s", text);
	t->retry_at_ms = now_ms + retry_delay_ms(&c->plan, t->attempts);
	move(t, LODE_TARGET_FAILED, now_ms);
}

/* Devices that may have begun when the current stage is at work. */
static size_t stage_size(const struct lode_campaign *c, size_t n_targets)
{
	const struct lode_stage *s = &c->plan.stages[c->stage];
	size_t n = s->percent ? (n_targets * s->percent + 99) / 100 : s->count;
	return LODE_MIN(n, n_targets);
}

struct tally {
	size_t members; /* without those that were skipped */
	size_t released, working, complete, given_up, stage_members, stage_failed;
};

static struct tally count(
	const struct lode_campaign *c, const struct lode_target *targets, size_t n)
{
	struct tally y = {0};
	for (size_t i = 0; i < n; i++) {
		const struct lode_target *t = &targets[i];
		bool dead = given_up(c, t);
		y.members += t->state != LODE_TARGET_SKIPPED;
		if (t->state == LODE_TARGET_SKIPPED || t->state == LODE_TARGET_PENDING)
			continue;
		y.released++;
		y.working += at_work(t->state) || (t->state == LODE_TARGET_FAILED && !dead);
		y.complete += t->state == LODE_TARGET_COMPLETE;
		y.given_up += dead;
		y.stage_members += t->stage == c->stage;
		y.stage_failed += dead && t->stage == c->stage;
	}
	return y;
}

/* The pending target with the smallest order. */
static struct lode_target *next_pending(struct lode_target *targets, size_t n)
{
	struct lode_target *best = NULL;
	for (size_t i = 0; i < n; i++)
		if (targets[i].state == LODE_TARGET_PENDING &&
			(!best || targets[i].order < best->order))
			best = &targets[i];
	return best;
}

static void release(struct lode_campaign *c, struct lode_target *targets, size_t n, struct tally *y,
	int64_t now_ms)
{
	size_t size = stage_size(c, y->members);
	bool whole = size == y->members && (!c->plan.batch || c->plan.batch >= n);
	for (size_t i = 0; whole && i < n; i++)
		if (targets[i].state == LODE_TARGET_PENDING) {
			targets[i].stage = c->stage;
			move(&targets[i], LODE_TARGET_OFFERED, now_ms);
		}
	while (!whole && y->released < size && (!c->plan.batch || y->working < c->plan.batch)) {
		struct lode_target *t = next_pending(targets, n);
		if (!t)
			return;
		t->stage = c->stage;
		move(t, LODE_TARGET_OFFERED, now_ms);
		y->released++;
		y->working++;
	}
}

/* Silent devices time out; failed ones get their next attempt. */
static void move_targets(
	const struct lode_campaign *c, struct lode_target *targets, size_t n, int64_t now_ms)
{
	int64_t timeout_ms = c->plan.device_timeout_s * MS_PER_S;
	for (size_t i = 0; i < n; i++) {
		struct lode_target *t = &targets[i];
		if (timeout_ms && at_work(t->state) && now_ms - t->changed_ms > timeout_ms)
			fail_target(c, t, LODE_ERROR_TIMEOUT, "nothing heard of it", now_ms);
		else if (t->state == LODE_TARGET_FAILED && !given_up(c, t) &&
			 now_ms >= t->retry_at_ms)
			move(t, LODE_TARGET_OFFERED, now_ms);
	}
}

static bool too_many_errors(const struct lode_campaign_plan *p, const struct tally *y)
{
	if (p->error_count && y->stage_failed >= p->error_count)
		return true;
	return p->error_percent && y->stage_failed &&
	       y->stage_failed * 100 >= p->error_percent * y->stage_members;
}

/* Nobody is at work any more and too few have succeeded: the next stage would never come. */
static bool stage_is_stuck(const struct lode_campaign *c, const struct tally *y)
{
	size_t size = stage_size(c, y->members);
	return c->stage + 1 < c->plan.n_stages && y->released >= size && !y->working &&
	       y->complete * 100 < size * c->plan.success_percent;
}

static void end_badly(struct lode_campaign *c, struct lode_target *targets, size_t n,
	const struct tally *y, int64_t now_ms)
{
	char why[LODE_CAMPAIGN_ERROR_MAX];
	snprintf(why, sizeof(why), "%zu of %zu devices of stage %u failed", y->stage_failed,
		y->stage_members, c->stage + 1);
	set_state(c, c->plan.rollback ? LODE_CAMPAIGN_ROLLING_BACK : LODE_CAMPAIGN_FAILED, why);
	for (size_t i = 0; c->plan.rollback && i < n; i++)
		if (targets[i].stage == c->stage &&
			(targets[i].state == LODE_TARGET_COMPLETE || at_work(targets[i].state)))
			move(&targets[i], LODE_TARGET_ROLLING_BACK, now_ms);
}

static void finish_stage(struct lode_campaign *c, const struct tally *y, int64_t now_ms)
{
	const struct lode_stage *s = &c->plan.stages[c->stage];
	bool last = c->stage + 1 == c->plan.n_stages;
	size_t size = stage_size(c, y->members);
	bool settled = y->released >= size && y->complete * 100 >= size * c->plan.success_percent;
	/* Stages that would add nobody are not waited for. */
	if (y->released >= y->members && !y->working && (last || settled)) {
		set_state(c, LODE_CAMPAIGN_COMPLETE, "");
		return;
	}
	if (!settled || last)
		return;
	if (!c->stage_done_ms)
		c->stage_done_ms = now_ms;
	if (now_ms - c->stage_done_ms < s->soak_s * MS_PER_S)
		return;
	c->stage++;
	c->stage_done_ms = 0;
	if (s->pause_after)
		set_state(c, LODE_CAMPAIGN_PAUSED, "paused after a stage, as planned");
}

static void roll_back(struct lode_campaign *c, struct lode_target *targets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (targets[i].state == LODE_TARGET_ROLLING_BACK)
			return;
	c->state = LODE_CAMPAIGN_FAILED;
}

bool lode_campaign_step(
	struct lode_campaign *c, struct lode_target *targets, size_t n_targets, int64_t now_ms)
{
	const struct lode_campaign before = *c;
	if (c->state == LODE_CAMPAIGN_ROLLING_BACK)
		roll_back(c, targets, n_targets);
	if (c->state == LODE_CAMPAIGN_ROLLING_OUT) {
		move_targets(c, targets, n_targets, now_ms);
		struct tally y = count(c, targets, n_targets);
		if (too_many_errors(&c->plan, &y) || stage_is_stuck(c, &y)) {
			end_badly(c, targets, n_targets, &y, now_ms);
		} else {
			release(c, targets, n_targets, &y, now_ms);
			y = count(c, targets, n_targets);
			finish_stage(c, &y, now_ms);
		}
	}
	return before.state != c->state || before.stage != c->stage ||
	       before.stage_done_ms != c->stage_done_ms;
}

static bool in_window(const struct lode_campaign_plan *p, int64_t now_ms)
{
	uint32_t now_min = (uint32_t)(now_ms / MS_PER_MIN % MIN_PER_DAY);
	if (p->window_from_min == p->window_to_min)
		return true;
	if (p->window_from_min < p->window_to_min)
		return now_min >= p->window_from_min && now_min < p->window_to_min;
	return now_min >= p->window_from_min || now_min < p->window_to_min;
}

bool lode_campaign_offers(
	const struct lode_campaign *c, const struct lode_target *t, int64_t now_ms)
{
	if (c->state == LODE_CAMPAIGN_ROLLING_BACK)
		return t->state == LODE_TARGET_ROLLING_BACK;
	if (c->state != LODE_CAMPAIGN_ROLLING_OUT || !at_work(t->state))
		return false;
	return t->state != LODE_TARGET_OFFERED || in_window(&c->plan, now_ms);
}

void lode_campaign_report(struct lode_campaign *c, struct lode_target *t,
	enum lode_target_state state, enum lode_error_class error, const char *error_text,
	int64_t now_ms)
{
	if (t->state == LODE_TARGET_SKIPPED || t->state == LODE_TARGET_ROLLED_BACK)
		return;
	if (t->state == LODE_TARGET_ROLLING_BACK) {
		if (state == LODE_TARGET_ROLLED_BACK)
			move(t, state, now_ms);
		return;
	}
	if (state == LODE_TARGET_FAILED) {
		/* The same failure told twice is one attempt. */
		if (at_work(t->state))
			fail_target(c, t, error, error_text ? error_text : "", now_ms);
		return;
	}
	if (state == LODE_TARGET_COMPLETE && t->state != LODE_TARGET_COMPLETE) {
		t->error = LODE_ERROR_NONE;
		t->error_text[0] = 0;
		move(t, state, now_ms);
		return;
	}
	if (at_work(t->state) && at_work(state) && state > t->state)
		move(t, state, now_ms);
}

void lode_campaign_skip(struct lode_target *t, const char *why, int64_t now_ms)
{
	if (t->state == LODE_TARGET_COMPLETE || t->state == LODE_TARGET_SKIPPED ||
		t->state == LODE_TARGET_ROLLED_BACK)
		return;
	snprintf(t->error_text, sizeof(t->error_text), "%s", why);
	move(t, LODE_TARGET_SKIPPED, now_ms);
}

void lode_campaign_summarise(
	const struct lode_target *targets, size_t n_targets, struct lode_campaign_summary *out)
{
	*out = (struct lode_campaign_summary){.total = (uint32_t)n_targets};
	for (size_t i = 0; i < n_targets; i++) {
		out->by_state[targets[i].state]++;
		out->served_bytes += targets[i].served_bytes;
		out->saved_bytes += targets[i].saved_bytes;
	}
}
