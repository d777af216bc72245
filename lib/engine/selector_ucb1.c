/* SPDX-License-Identifier: BSD-3-Clause */
/* UCB1 (Auer, Cesa-Bianchi, Fischer, Machine Learning 2002) per (class, path) with a bonus from the
 * estimates, scales and weights as an older gateway published them:
 *
 *   score = rewards / pulls + 0.35 bonus + 1.4 sqrt(ln(total) / pulls)
 *
 * Pulls count when a path is chosen, rewards when they are known. It never forgets: kept as the baseline. */
#include "selector.h"

#include <math.h>

#define STALE_NS	 (30 * LODE_NS_PER_S)
#define AVAILABILITY_MIN 0.1
#define LOSS_MAX	 0.5
#define RTT_MAX_MS	 1000.0
#define RTT_SCALE_MS	 200.0
#define JITTER_SCALE_MS	 100.0
#define MBPS_SCALE	 200.0
#define UNTRIED		 1e6 /* above every score: paths never tried come first, best bonus first */

struct mix {
	double rtt, jitter, loss, mbps;
};

static const struct mix bonus_mix[LODE_N_CLASSES] = {
	[LODE_GAMING] = {.5, .3, .2, 0},
	[LODE_VOIP] = {.5, .3, .2, 0},
	[LODE_STREAMING] = {.2, 0, .3, .5},
	[LODE_BULK] = {.2, 0, .2, .6},
	[LODE_WEB] = {.4, 0, .3, .3},
	[LODE_MANAGEMENT] = {.4, 0, .3, .3},
};
static const struct mix reward_mix[LODE_N_CLASSES] = {
	[LODE_GAMING] = {.6, 0, .3, .1},
	[LODE_VOIP] = {.6, 0, .3, .1},
	[LODE_STREAMING] = {.2, 0, .3, .5},
	[LODE_BULK] = {.2, 0, .2, .6},
	[LODE_WEB] = {.4, 0, .3, .3},
	[LODE_MANAGEMENT] = {.4, 0, .3, .3},
};

static double share(double x)
{
	return LODE_MIN(x, 1.0);
}

static double mixed(const struct mix *m, const struct lode_selector_fate *f)
{
	return m->rtt * (1 - share(f->rtt_ms / RTT_SCALE_MS)) +
	       m->jitter * (1 - share(f->jitter_ms / JITTER_SCALE_MS)) + m->loss * (1 - f->loss) +
	       m->mbps * share(f->mbps / MBPS_SCALE);
}

double ucb1_reward(enum lode_class cls, const struct lode_selector_fate *fate)
{
	return LODE_MAX(0.0, share(mixed(&reward_mix[cls], fate)));
}

static double context(const struct lode_selector_path *p, unsigned cls)
{
	const struct lode_selector_fate f = {
		.rtt_ms = p->rtt_ms, .jitter_ms = p->jitter_ms, .loss = p->loss, .mbps = p->mbps};
	return mixed(&bonus_mix[cls], &f) * p->availability / LODE_MAX(p->cost, 1.0);
}

uint8_t ucb1_eligible(const struct lode_selector *s, uint8_t healthy)
{
	uint8_t mask = 0;
	unsigned p;
	LODE_FOREACH_BIT (p, healthy & s->known) {
		const struct lode_selector_path *e = &s->path[p];
		bool ok = e->availability > AVAILABILITY_MIN && e->loss < LOSS_MAX &&
			  e->rtt_ms < RTT_MAX_MS && s->now_ns - e->updated_ns <= STALE_NS;
		mask |= (uint8_t)(ok << p);
	}
	return mask;
}

double ucb1_score(const struct lode_selector *s, unsigned cls, unsigned path)
{
	const struct per_class *c = &s->cls[cls];
	const struct arm *a = &c->arm[path];
	double bonus = s->params.ucb_context * context(&s->path[path], cls);
	if (a->pulls < 1)
		return UNTRIED + bonus;
	return a->rewards / a->pulls + bonus +
	       s->params.ucb_c * sqrt(log(LODE_MAX(c->total, 1.0)) / a->pulls);
}
