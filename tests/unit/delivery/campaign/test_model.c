/* SPDX-License-Identifier: BSD-3-Clause */
/* Random devices, operators and faults against what a campaign promises at every moment. */
#include <criterion/criterion.h>

#include "lode_campaign.h"

#include <stdio.h>
#include <stdlib.h>

#define DEVICES 40
#define STEPS	600

struct world {
	struct lode_campaign c;
	struct lode_target t[DEVICES];
	bool began[DEVICES]; /* the device has taken the offer up */
	struct lode_rng rng;
	int64_t now_ms;
	unsigned max_stage, skipped;
};

static uint32_t pick(struct world *w, uint32_t n)
{
	return (uint32_t)(lode_rng_below(&w->rng, n));
}

static void device_acts(struct world *w, unsigned i)
{
	struct lode_target *t = &w->t[i];
	bool offers = lode_campaign_offers(&w->c, t, w->now_ms);
	enum lode_target_state said = (enum lode_target_state)pick(w, LODE_TARGET_N_STATES);
	if (offers)
		w->began[i] = true;
	/* Devices that were never asked say nothing of this campaign. */
	if (!w->began[i])
		return;
	if (said == LODE_TARGET_COMPLETE && t->state == LODE_TARGET_ROLLING_BACK)
		said = LODE_TARGET_ROLLED_BACK;
	lode_campaign_report(
		&w->c, t, said, (enum lode_error_class)pick(w, LODE_N_ERRORS), "fault", w->now_ms);
}

static void operator_acts(struct world *w)
{
	switch (pick(w, 40)) {
	case 0:
		lode_campaign_pause(&w->c, NULL);
		break;
	case 1:
	case 2:
	case 3:
		lode_campaign_resume(&w->c, NULL);
		break;
	case 4:
		lode_campaign_approve(&w->c, NULL);
		break;
	case 6:
		lode_campaign_skip(&w->t[pick(w, DEVICES)], "gone", w->now_ms);
		break;
	case 5:
		if (!pick(w, 10))
			lode_campaign_abort(&w->c, NULL);
		break;
	default:
		break;
	}
}

static void check(struct world *w, unsigned seed)
{
	unsigned released = 0, working = 0;
	const struct lode_campaign_plan *p = &w->c.plan;
	w->skipped = 0;
	for (unsigned i = 0; i < DEVICES; i++) {
		const struct lode_target *t = &w->t[i];
		bool offers = lode_campaign_offers(&w->c, t, w->now_ms);
		cr_assert(!offers || w->c.state == LODE_CAMPAIGN_ROLLING_OUT ||
				  w->c.state == LODE_CAMPAIGN_ROLLING_BACK,
			"seed %u: offered in state %s", seed, lode_campaign_state_name(w->c.state));
		cr_assert_leq(t->attempts, p->max_attempts, "seed %u", seed);
		cr_assert(t->state != LODE_TARGET_ROLLING_BACK || p->rollback, "seed %u", seed);
		cr_assert_leq(t->stage, w->c.stage, "seed %u", seed);
		released += t->state != LODE_TARGET_PENDING;
		w->skipped += t->state == LODE_TARGET_SKIPPED;
		working += t->state >= LODE_TARGET_OFFERED && t->state <= LODE_TARGET_APPLYING;
	}
	const struct lode_stage *s = &p->stages[w->c.stage];
	unsigned allowed = s->percent ? (DEVICES * s->percent + 99) / 100 : s->count;
	/* Who was skipped no longer counts, so that others may take the place. */
	cr_assert_leq(released, LODE_MAX(allowed, 1u) + w->skipped,
		"seed %u: stage %u released %u of %u", seed, w->c.stage, released, allowed);
	cr_assert(!p->batch || working <= p->batch, "seed %u: %u at work", seed, working);
	cr_assert_geq(w->c.stage, w->max_stage, "seed %u: a stage went back", seed);
	w->max_stage = w->c.stage;
}

/* Devices do as they are told and operators let it run: then it ends, whatever was before. */
static void check_end(struct world *w, unsigned seed)
{
	lode_campaign_approve(&w->c, NULL);
	for (unsigned n = 0; n < 2000 && lode_campaign_open(&w->c); n++) {
		w->now_ms += 600 * 1000ll;
		lode_campaign_resume(&w->c, NULL);
		for (unsigned i = 0; i < DEVICES; i++)
			if (lode_campaign_offers(&w->c, &w->t[i], w->now_ms))
				lode_campaign_report(&w->c, &w->t[i],
					w->t[i].state == LODE_TARGET_ROLLING_BACK
						? LODE_TARGET_ROLLED_BACK
						: LODE_TARGET_COMPLETE,
					LODE_ERROR_NONE, "", w->now_ms);
		lode_campaign_step(&w->c, w->t, DEVICES, w->now_ms);
	}
	cr_assert_not(lode_campaign_open(&w->c), "seed %u: it is still %s in stage %u", seed,
		lode_campaign_state_name(w->c.state), w->c.stage);
}

static void play(unsigned seed)
{
	struct world w = {.now_ms = 1};
	lode_rng_seed(&w.rng, seed);
	lode_campaign_plan_default(&w.c.plan, (enum lode_strategy)(seed % 3));
	w.c.plan.approval = seed & 4;
	w.c.plan.rollback = seed & 8;
	w.c.plan.error_percent = pick(&w, 101);
	w.c.plan.error_count = pick(&w, 4);
	w.c.plan.success_percent = 1 + pick(&w, 100);
	w.c.plan.device_timeout_s = pick(&w, 2) ? 0 : 600;
	lode_campaign_begin(&w.c, w.now_ms);
	for (unsigned i = 0; i < DEVICES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "d%u", i);
		w.t[i].order = lode_campaign_order("c", name);
	}
	for (unsigned n = 0; n < STEPS; n++) {
		w.now_ms += 1000ll * (1 + pick(&w, 120));
		bool was_open = lode_campaign_open(&w.c);
		operator_acts(&w);
		for (unsigned i = 0; i < 6; i++)
			device_acts(&w, pick(&w, DEVICES));
		lode_campaign_step(&w.c, w.t, DEVICES, w.now_ms);
		check(&w, seed);
		cr_assert(was_open || !lode_campaign_open(&w.c), "seed %u: it came back to life",
			seed);
	}
	check_end(&w, seed);
}

Test(model, promises_hold_whatever_happens)
{
	for (unsigned seed = 1; seed <= 300; seed++)
		play(seed);
}
