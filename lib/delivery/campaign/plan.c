/* SPDX-License-Identifier: BSD-3-Clause */
/* What a campaign is told to do: its plan, and the names of everything. */
#include "lode_campaign.h"

#define DEFAULT_SOAK_S 300
#define DEFAULT_BATCH  5
#define MIN_PER_DAY    1440u

static const char *name_of(const char *const *names, size_t n, unsigned v)
{
	return v < n ? names[v] : "unknown";
}

const char *lode_campaign_state_name(enum lode_campaign_state s)
{
	static const char *const names[] = {"pending", "rolling_out", "paused", "rolling_back",
		"complete", "failed", "aborted"};
	return name_of(names, LODE_ARRAY_LEN(names), s);
}

const char *lode_target_state_name(enum lode_target_state s)
{
	static const char *const names[] = {"pending", "offered", "downloading", "verifying",
		"applying", "complete", "failed", "skipped", "rolling_back", "rolled_back"};
	return name_of(names, LODE_ARRAY_LEN(names), s);
}

const char *lode_error_class_name(enum lode_error_class e)
{
	static const char *const names[] = {
		"none", "network", "space", "verification", "health", "timeout", "other"};
	return name_of(names, LODE_ARRAY_LEN(names), e);
}

const char *lode_strategy_name(enum lode_strategy s)
{
	static const char *const names[] = {"all_at_once", "rolling", "canary"};
	return name_of(names, LODE_ARRAY_LEN(names), s);
}

void lode_campaign_plan_default(struct lode_campaign_plan *plan, enum lode_strategy strategy)
{
	static const uint32_t canary_percent[] = {5, 25, 50, 100};
	*plan = (struct lode_campaign_plan){
		.strategy = strategy,
		.n_stages = 1,
		.stages = {{.percent = 100}},
		.success_percent = 100,
		.error_percent = 20,
		.max_attempts = 3,
		.retry_classes = LODE_RETRY_DEFAULT,
		.retry_s = 60,
	};
	if (strategy == LODE_ROLLING)
		plan->batch = DEFAULT_BATCH;
	if (strategy != LODE_CANARY)
		return;
	plan->n_stages = LODE_ARRAY_LEN(canary_percent);
	plan->rollback = true;
	plan->error_percent = 0;
	plan->error_count = 1;
	for (uint32_t i = 0; i < plan->n_stages; i++)
		plan->stages[i] = (struct lode_stage){
			.percent = canary_percent[i],
			.soak_s = canary_percent[i] < 100 ? DEFAULT_SOAK_S : 0,
		};
}

static int check_stage(const struct lode_campaign_plan *p, uint32_t i, struct lode_err *err)
{
	const struct lode_stage *s = &p->stages[i], *before = i ? &p->stages[i - 1] : NULL;
	if (s->percent > 100 || (!s->percent && !s->count))
		return lode_err_set(err, -EINVAL,
			"stages[%u]: percent is 1 to 100 or count at least 1, found %u and %u", i,
			s->percent, s->count);
	if (before && s->percent && s->percent <= before->percent)
		return lode_err_set(err, -EINVAL,
			"stages[%u]: percent %u must be above the stage before (%u)", i, s->percent,
			before->percent);
	return 0;
}

int lode_campaign_plan_check(const struct lode_campaign_plan *p, struct lode_err *err)
{
	if (!p->n_stages || p->n_stages > LODE_CAMPAIGN_STAGES_MAX)
		return lode_err_set(err, -EINVAL, "stages: 1 to %d, found %u",
			LODE_CAMPAIGN_STAGES_MAX, p->n_stages);
	for (uint32_t i = 0; i < p->n_stages; i++) {
		int rc = check_stage(p, i, err);
		if (rc)
			return rc;
	}
	if (p->stages[p->n_stages - 1].percent != 100)
		return lode_err_set(err, -EINVAL, "stages: the last one has percent 100, found %u",
			p->stages[p->n_stages - 1].percent);
	if (!p->success_percent || p->success_percent > 100 || p->error_percent > 100)
		return lode_err_set(err, -EINVAL,
			"success_percent is 1 to 100 and error_percent 0 to 100, found %u and %u",
			p->success_percent, p->error_percent);
	if (!p->max_attempts || p->max_attempts > 100)
		return lode_err_set(
			err, -EINVAL, "max_attempts: 1 to 100, found %u", p->max_attempts);
	if (p->retry_classes >> LODE_N_ERRORS)
		return lode_err_set(
			err, -EINVAL, "retry_classes: unknown bits in %#x", p->retry_classes);
	if (p->window_from_min >= MIN_PER_DAY || p->window_to_min >= MIN_PER_DAY)
		return lode_err_set(err, -EINVAL,
			"window: minutes of the day 0 to 1439, found %u to %u", p->window_from_min,
			p->window_to_min);
	return 0;
}

uint64_t lode_campaign_order(const char *campaign, const char *device)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (const char *p = campaign; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	h = (h ^ 0xff) * 0x100000001b3ull;
	for (const char *p = device; *p; p++)
		h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdull;
	return h ^ h >> 33;
}
