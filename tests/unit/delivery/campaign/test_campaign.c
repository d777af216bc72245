/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_campaign.h"

#include <stdio.h>

#define N      20
#define T0_MS  1000000ll
#define SECOND 1000ll

struct run {
	struct lode_campaign c;
	struct lode_target targets[N];
	int64_t now_ms;
};

static void start(struct run *r, enum lode_strategy strategy)
{
	*r = (struct run){.now_ms = T0_MS};
	lode_campaign_plan_default(&r->c.plan, strategy);
	cr_assert_eq(lode_campaign_plan_check(&r->c.plan, NULL), 0);
	lode_campaign_begin(&r->c, r->now_ms);
	for (unsigned i = 0; i < N; i++) {
		char name[16];
		snprintf(name, sizeof(name), "dev-%u", i);
		r->targets[i].order = lode_campaign_order("c", name);
	}
}

static void step(struct run *r, int64_t seconds)
{
	r->now_ms += seconds * SECOND;
	lode_campaign_step(&r->c, r->targets, N, r->now_ms);
}

static unsigned offered(const struct run *r)
{
	unsigned n = 0;
	for (unsigned i = 0; i < N; i++)
		n += lode_campaign_offers(&r->c, &r->targets[i], r->now_ms);
	return n;
}

static unsigned in_state(const struct run *r, enum lode_target_state s)
{
	struct lode_campaign_summary y;
	lode_campaign_summarise(r->targets, N, &y);
	return y.by_state[s];
}

/* All that are offered end like this. */
static void answer(struct run *r, enum lode_target_state s, enum lode_error_class e)
{
	for (unsigned i = 0; i < N; i++)
		if (lode_campaign_offers(&r->c, &r->targets[i], r->now_ms))
			lode_campaign_report(&r->c, &r->targets[i], s, e, "why", r->now_ms);
}

Test(campaign, all_at_once_offers_everything_and_completes)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	step(&r, 0);
	cr_assert_eq(offered(&r), N);
	answer(&r, LODE_TARGET_COMPLETE, LODE_ERROR_NONE);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_COMPLETE);
}

Test(campaign, canary_waits_for_success_and_soak)
{
	struct run r;
	start(&r, LODE_CANARY);
	step(&r, 0);
	cr_assert_eq(offered(&r), 1);
	step(&r, 10000);
	cr_assert_eq(offered(&r), 1, "without success no further device");
	answer(&r, LODE_TARGET_COMPLETE, LODE_ERROR_NONE);
	step(&r, 1);
	step(&r, 298);
	cr_assert_eq(offered(&r), 0, "soaking");
	step(&r, 2);
	step(&r, 1);
	cr_assert_eq(offered(&r), 4, "25 percent less the first");
	cr_assert_eq(in_state(&r, LODE_TARGET_COMPLETE), 1);
}

Test(campaign, canary_failure_rolls_its_stage_back)
{
	struct run r;
	start(&r, LODE_CANARY);
	step(&r, 0);
	answer(&r, LODE_TARGET_COMPLETE, LODE_ERROR_NONE);
	for (int i = 0; i < 3; i++)
		step(&r, 301);
	cr_assert_eq(offered(&r), 4);
	unsigned done = 0;
	for (unsigned i = 0; i < N; i++)
		if (lode_campaign_offers(&r.c, &r.targets[i], r.now_ms))
			lode_campaign_report(&r.c, &r.targets[i],
				done++ ? LODE_TARGET_COMPLETE : LODE_TARGET_FAILED,
				LODE_ERROR_HEALTH, "worse than before", r.now_ms);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_ROLLING_BACK);
	cr_assert_eq(in_state(&r, LODE_TARGET_ROLLING_BACK), 3);
	cr_assert_eq(offered(&r), 3, "those that changed are asked to go back");
	answer(&r, LODE_TARGET_ROLLED_BACK, LODE_ERROR_NONE);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_FAILED);
	cr_assert_eq(in_state(&r, LODE_TARGET_COMPLETE), 1, "the stage before stays");
}

Test(campaign, rolling_keeps_a_batch_at_work)
{
	struct run r;
	start(&r, LODE_ROLLING);
	step(&r, 0);
	cr_assert_eq(offered(&r), 5);
	for (unsigned i = 0, done = 0; i < N && done < 2; i++)
		if (lode_campaign_offers(&r.c, &r.targets[i], r.now_ms)) {
			lode_campaign_report(
				&r.c, &r.targets[i], LODE_TARGET_COMPLETE, 0, NULL, r.now_ms);
			done++;
		}
	step(&r, 1);
	cr_assert_eq(offered(&r), 5);
}

Test(campaign, pause_and_abort_withhold_at_once)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	step(&r, 0);
	cr_assert_eq(lode_campaign_pause(&r.c, NULL), 0);
	cr_assert_eq(offered(&r), 0);
	cr_assert_eq(lode_campaign_pause(&r.c, NULL), -EPERM);
	cr_assert_eq(lode_campaign_resume(&r.c, NULL), 0);
	cr_assert_eq(offered(&r), N);
	cr_assert_eq(lode_campaign_abort(&r.c, NULL), 0);
	cr_assert_eq(offered(&r), 0);
	cr_assert_eq(lode_campaign_resume(&r.c, NULL), -EPERM);
}

Test(campaign, errors_that_may_pass_are_tried_again_with_back_off)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	r.c.plan.error_percent = 0;
	step(&r, 0);
	answer(&r, LODE_TARGET_FAILED, LODE_ERROR_NETWORK);
	step(&r, 59);
	cr_assert_eq(offered(&r), 0);
	step(&r, 1);
	cr_assert_eq(offered(&r), N);
	answer(&r, LODE_TARGET_FAILED, LODE_ERROR_NETWORK);
	step(&r, 60);
	cr_assert_eq(offered(&r), 0, "the second time twice as long");
	step(&r, 60);
	cr_assert_eq(offered(&r), N);
	answer(&r, LODE_TARGET_COMPLETE, LODE_ERROR_NONE);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_COMPLETE, "a success after failures counts");
}

Test(campaign, bad_bytes_are_not_tried_again)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	step(&r, 0);
	answer(&r, LODE_TARGET_FAILED, LODE_ERROR_VERIFICATION);
	step(&r, 100000);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_FAILED);
	cr_assert_eq(offered(&r), 0);
}

Test(campaign, window_and_approval_are_waited_for)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	r.c.plan.approval = true;
	r.c.plan.window_from_min = 22 * 60;
	r.c.plan.window_to_min = 2 * 60;
	lode_campaign_begin(&r.c, T0_MS);
	step(&r, 0);
	cr_assert_eq(offered(&r), 0);
	cr_assert_eq(lode_campaign_approve(&r.c, NULL), 0);
	r.now_ms = 12ll * 3600 * SECOND;
	step(&r, 0);
	cr_assert_eq(offered(&r), 0, "noon");
	r.now_ms = 23ll * 3600 * SECOND;
	cr_assert_eq(offered(&r), N, "night");
	r.now_ms = 25ll * 3600 * SECOND;
	cr_assert_eq(offered(&r), N, "after midnight");
}

Test(campaign, silent_devices_time_out)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	r.c.plan.device_timeout_s = 100;
	r.c.plan.max_attempts = 1;
	step(&r, 0);
	step(&r, 101);
	step(&r, 1);
	cr_assert_eq(in_state(&r, LODE_TARGET_FAILED), N);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_FAILED);
}

Test(campaign, an_empty_fleet_completes)
{
	struct run r;
	start(&r, LODE_CANARY);
	for (int i = 0; i < 8; i++)
		lode_campaign_step(&r.c, NULL, 0, r.now_ms += 301 * SECOND);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_COMPLETE);
}

Test(campaign, plans_that_cannot_work_are_refused)
{
	struct lode_campaign_plan p;
	struct lode_err err;
	lode_campaign_plan_default(&p, LODE_CANARY);
	p.stages[3].percent = 90;
	cr_assert_eq(lode_campaign_plan_check(&p, &err), -EINVAL);
	lode_campaign_plan_default(&p, LODE_CANARY);
	p.stages[1].percent = 5;
	cr_assert_eq(lode_campaign_plan_check(&p, &err), -EINVAL);
	lode_campaign_plan_default(&p, LODE_CANARY);
	p.window_to_min = 1440;
	cr_assert_eq(lode_campaign_plan_check(&p, &err), -EINVAL);
}

/* A stage that can no longer succeed ends the campaign: it must not hang. */
Test(campaign, a_stage_with_too_few_successes_ends_it)
{
	struct run r;
	start(&r, LODE_CANARY);
	r.c.plan.error_count = 0;
	r.c.plan.rollback = false;
	step(&r, 1);
	answer(&r, LODE_TARGET_FAILED, LODE_ERROR_HEALTH);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_FAILED);
	cr_assert_str_eq(r.c.reason, "1 of 1 devices of stage 1 failed");
}

Test(campaign, who_is_skipped_is_not_waited_for)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	step(&r, 1);
	lode_campaign_skip(&r.targets[3], "gone", r.now_ms);
	answer(&r, LODE_TARGET_COMPLETE, LODE_ERROR_NONE);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_COMPLETE);
	cr_assert_eq(in_state(&r, LODE_TARGET_SKIPPED), 1);
	cr_assert_eq(in_state(&r, LODE_TARGET_COMPLETE), N - 1);
	lode_campaign_skip(&r.targets[0], "gone", r.now_ms);
	cr_assert_eq(r.targets[0].state, LODE_TARGET_COMPLETE, "what it did stays counted");
}

Test(campaign, stages_that_would_add_nobody_are_not_waited_for)
{
	struct run r;
	start(&r, LODE_CANARY);
	for (unsigned i = 1; i < N; i++)
		lode_campaign_skip(&r.targets[i], "gone", r.now_ms);
	step(&r, 1);
	answer(&r, LODE_TARGET_COMPLETE, LODE_ERROR_NONE);
	step(&r, 1);
	cr_assert_eq(r.c.state, LODE_CAMPAIGN_COMPLETE, "not after three soak times");
}

Test(campaign, the_plan_says_which_errors_are_tried_again)
{
	struct run r;
	start(&r, LODE_ALL_AT_ONCE);
	r.c.plan.error_percent = 0;
	r.c.plan.retry_classes = 1u << LODE_ERROR_HEALTH;
	step(&r, 1);
	lode_campaign_report(
		&r.c, &r.targets[0], LODE_TARGET_FAILED, LODE_ERROR_HEALTH, "", r.now_ms);
	lode_campaign_report(
		&r.c, &r.targets[1], LODE_TARGET_FAILED, LODE_ERROR_NETWORK, "", r.now_ms);
	step(&r, 3600);
	cr_assert_eq(r.targets[0].state, LODE_TARGET_OFFERED);
	cr_assert_eq(r.targets[1].state, LODE_TARGET_FAILED);
}
