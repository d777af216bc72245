/* SPDX-License-Identifier: BSD-3-Clause */
#include "path_world.h"

#include <math.h>

#define MS		LODE_NS_PER_MS
#define S		LODE_NS_PER_S

#define PROBE_NS	(50 * MS)
#define SUSPECT_NS	(150 * MS)
#define DOWN_NS		(250 * MS)
#define FLAP_NS		(30 * S)
#define BACKOFF_MAX_NS	(30 * S)
#define PENALTY		0.25
#define PENALTY_MOVE_NS (300 * S)

const char *const scenario_names[N_SCENARIOS] = {"regular", "hidden penalty", "calm", "flapping",
	"flapping on and on", "slow drift", "all bad", "path return", "correlated failure",
	"equal paths"};

/* What a regime adds to a path at its best, and how long it lasts on average. */
static const struct {
	double rtt_ms, jitter_ms, loss, mean_s;
} regimes[N_REGIMES] = {
	[GOOD] = {0, 2, .001, 60},
	[DEGRADED] = {25, 10, .01, 15},
	[BROWN_OUT] = {100, 40, .08, 6},
	[OUTAGE] = {0, 2, 1, 2},
};

static uint64_t lasts_ns(struct world *w, enum regime r)
{
	return (uint64_t)lode_rng_exponential(&w->rng, regimes[r].mean_s * (double)S);
}

/* After something bad comes something good; after something good, one time in ten an outage, three in ten
 * a brown-out, else a degraded link. */
static enum regime next_regime(struct world *w, enum regime now)
{
	double x = lode_rng_unit(&w->rng);
	if (now != GOOD)
		return GOOD;
	return x < .1 ? OUTAGE : x < .4 ? BROWN_OUT : DEGRADED;
}

static void change_regime(struct world *w, enum regime *r, uint64_t *until_ns)
{
	if (w->now_ns < *until_ns)
		return;
	*r = next_regime(w, *r);
	*until_ns = w->now_ns + lasts_ns(w, *r);
}

/* Which regime path i is in now. */
static enum regime regime_of(struct world *w, unsigned i)
{
	struct world_path *p = &w->path[i];
	switch (w->scenario) {
	case SCENARIO_CALM:
	case SCENARIO_EQUAL:
	case SCENARIO_DRIFT:
		return GOOD;
	case SCENARIO_FLAPPING: /* for 30 s of each 2 minutes the best path is away every other second */
		return i == 0 && w->now_ns / S % 120 >= 90 && w->now_ns / S % 2 ? OUTAGE : GOOD;
	case SCENARIO_FLAPPING_ON: /* all the time */
		return i == 0 && w->now_ns / S % 2 ? OUTAGE : GOOD;
	case SCENARIO_ALL_BAD: /* never better than degraded */
		change_regime(w, &p->regime, &p->regime_until_ns);
		return p->regime == GOOD ? DEGRADED : p->regime;
	case SCENARIO_RETURN: /* the best path is dead for a minute of every three */
		return i == 0 && w->now_ns / S % 180 >= 120 ? OUTAGE : GOOD;
	case SCENARIO_CORRELATED: /* paths 0 and 1 share a duct */
		if (i > 1)
			break;
		if (i == 0)
			change_regime(w, &w->common, &w->common_until_ns);
		return w->common;
	default:
		break;
	}
	change_regime(w, &p->regime, &p->regime_until_ns);
	return p->regime;
}

/* Every 5 minutes one or two paths, drawn anew, treat data worse than probes. */
static void move_penalty(struct world *w)
{
	if (w->scenario != SCENARIO_HIDDEN || w->now_ns < w->penalty_ns)
		return;
	w->penalty_ns = w->now_ns + PENALTY_MOVE_NS;
	for (unsigned i = 0; i < WORLD_PATHS; i++)
		w->path[i].penalty = 0;
	for (unsigned n = 1 + (unsigned)lode_rng_below(&w->rng, 2); n > 0; n--)
		w->path[lode_rng_below(&w->rng, WORLD_PATHS)].penalty = PENALTY;
}

static void set_truth(struct world *w, unsigned i)
{
	struct world_path *p = &w->path[i];
	enum regime r = regime_of(w, i);
	double drift_ms = 0;
	if (w->scenario ==
		SCENARIO_DRIFT) /* 30 ms up and down in 4 minutes, each path at its time */
		drift_ms = 30 * (1 + sin(2 * M_PI * ((double)w->now_ns / (240.0 * S) + i / 4.0)));
	p->rtt_ms = p->base_rtt_ms + regimes[r].rtt_ms + drift_ms;
	p->jitter_ms = regimes[r].jitter_ms;
	p->loss = regimes[r].loss;
	const struct lode_selector_fate fate = {
		.rtt_ms = p->rtt_ms, .jitter_ms = p->jitter_ms, .loss = p->loss};
	p->visible = lode_selector_utility(LODE_GAMING, &fate, 0);
	p->utility = LODE_MAX(p->visible - p->penalty, -1.0);
}

/* ---- probes ---- */

static void send_probe(struct world *w, struct world_path *p)
{
	unsigned i = p->n_sent++ % WORLD_PROBES;
	double noise_ms = p->jitter_ms * lode_rng_normal(&w->rng);
	double rtt_ms = LODE_MAX(p->rtt_ms + noise_ms, 1.0);
	bool lost = lode_rng_unit(&w->rng) < p->loss;
	p->probe[i].sent_ns = w->now_ns;
	p->probe[i].back_ns = lost ? LODE_NEVER_NS : w->now_ns + (uint64_t)(rtt_ms * (double)MS);
	p->probe_due_ns = w->now_ns + PROBE_NS;
}

/* RFC 6298. */
static void take_rtt(struct world_path *p, double rtt_ms)
{
	double error_ms = rtt_ms - p->srtt_ms;
	if (p->n_good == 0) {
		p->srtt_ms = rtt_ms;
		return;
	}
	p->srtt_ms += error_ms / 8;
	p->rttvar_ms += (fabs(error_ms) - p->rttvar_ms) / 4;
}

static void take_reply(struct world *w, struct world_path *p, unsigned i)
{
	take_rtt(p, (double)(p->probe[i].back_ns - p->probe[i].sent_ns) / (double)MS);
	p->probe[i].back_ns = 0; /* taken */
	p->heard_ns = w->now_ns;
	uint64_t oldest_ns = p->good_ns[(p->n_good + 1) % WORLD_GOOD];
	p->good_ns[p->n_good++ % WORLD_GOOD] = w->now_ns;
	if (p->up || p->n_good < WORLD_GOOD || w->now_ns < p->hold_until_ns ||
		w->now_ns - oldest_ns > S)
		return;
	p->up = true;
	p->up_ns = w->now_ns;
}

/* A path that was up for less than 30 s stays down for a while, each time longer. */
static void go_down(struct world *w, struct world_path *p)
{
	uint64_t longer_ns = LODE_MIN(LODE_MAX(2 * p->backoff_ns, S), BACKOFF_MAX_NS);
	p->backoff_ns = w->now_ns - p->up_ns < FLAP_NS ? longer_ns : 0;
	p->hold_until_ns = w->now_ns + p->backoff_ns;
	p->up = false;
}

static void read_replies(struct world *w, struct world_path *p)
{
	for (uint32_t n = p->n_judged; n != p->n_sent; n++) {
		unsigned i = n % WORLD_PROBES;
		if (p->probe[i].back_ns <= w->now_ns && p->probe[i].back_ns != 0)
			take_reply(w, p, i);
	}
	if (p->up && w->now_ns - p->heard_ns >= DOWN_NS)
		go_down(w, p);
	/* What has not come back in four intervals and a round trip is lost. */
	uint64_t late_ns = 4 * PROBE_NS + (uint64_t)(p->srtt_ms * (double)MS);
	while (p->n_judged != p->n_sent) {
		unsigned i = p->n_judged % WORLD_PROBES;
		bool back = p->probe[i].back_ns == 0;
		if (!back && w->now_ns - p->probe[i].sent_ns < late_ns)
			return;
		lode_selector_loss_add(&p->loss_seen, !back);
		p->n_judged++;
	}
}

/* ---- the world ---- */

void world_init(struct world *w, enum scenario scenario, uint64_t seed)
{
	*w = (struct world){.scenario = scenario};
	lode_rng_seed(&w->rng, lode_mix64(seed) + scenario);
	for (unsigned i = 0; i < WORLD_PATHS; i++) {
		struct world_path *p = &w->path[i];
		p->base_rtt_ms = scenario == SCENARIO_EQUAL ? 30 : 22 + 23.0 * i / 3;
		p->regime_until_ns = lasts_ns(w, GOOD);
		p->probe_due_ns = lode_rng_below(&w->rng, PROBE_NS);
	}
	w->common_until_ns = lasts_ns(w, GOOD);
	world_step(w);
}

void world_step(struct world *w)
{
	w->now_ns += WORLD_TICK_NS;
	move_penalty(w);
	for (unsigned i = 0; i < WORLD_PATHS; i++) {
		struct world_path *p = &w->path[i];
		set_truth(w, i);
		if (w->now_ns >= p->probe_due_ns)
			send_probe(w, p);
		read_replies(w, p);
	}
}

uint8_t world_estimates(
	const struct world *w, struct lode_selector_path estimates[LODE_SELECTOR_PATHS])
{
	uint8_t up = 0;
	memset(estimates, 0, LODE_SELECTOR_PATHS * sizeof(*estimates));
	for (unsigned i = 0; i < WORLD_PATHS; i++) {
		const struct world_path *p = &w->path[i];
		estimates[i] = (struct lode_selector_path){.rtt_ms = p->srtt_ms,
			.jitter_ms = p->rttvar_ms,
			.loss = p->loss_seen.slow,
			.mbps = 100,
			.availability = 1,
			.cost = 1,
			.updated_ns = w->now_ns};
		up |= (uint8_t)((p->up && w->now_ns - p->heard_ns < SUSPECT_NS) << i);
	}
	return up;
}

double world_best(const struct world *w)
{
	double best = w->path[0].utility;
	for (unsigned i = 1; i < WORLD_PATHS; i++)
		best = LODE_MAX(best, w->path[i].utility);
	return best;
}
