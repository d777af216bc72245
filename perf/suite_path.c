/* SPDX-License-Identifier: BSD-3-Clause */
/* Path selection: regret against a clairvoyant in nine scenarios, how soon a brown-out is left, how often the
 * choice changes in calm, and what it costs. All selectors live through the same worlds. */
#include "lode_perf.h"
#include "path_life.h"
#include "path_tick.h"
#include "path_whole.h"
#include "path_world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int suite_path(struct lode_perf *p);

#define MS	   LODE_NS_PER_MS
#define S	   LODE_NS_PER_S
#define SEEDS	   12
#define LENGTH_NS  (1800 * S)
#define FEEDBACK   50 /* ticks until a flow's fate is known */
#define PER_SECOND 5  /* flows */
#define NOISE	   0.05
#define LEFT_MAX   4096 /* brown-outs whose end is noted */

/* ---- who chooses ---- */

enum entrant {
	ROUND_ROBIN,
	UCB1_LOW,
	UCB1_MID,
	UCB1_HIGH,
	UCB1_FULL,
	UCB1_BONUS,
	LINUCB,
	VALUE,
	VALUE_STAY,
	N_ENTRANTS,
};
#define PLAIN_UCB1(c)                                    \
	{                                                \
		.kind = LODE_SELECTOR_UCB1, .ucb_c = (c) \
	}
static const struct {
	const char *name;
	struct lode_selector_params params;
} entrants[N_ENTRANTS] = {
	[ROUND_ROBIN] = {"round robin", {.kind = LODE_SELECTOR_ROUND_ROBIN}},
	[UCB1_LOW] = {"UCB1, c 0.05", PLAIN_UCB1(.05)},
	[UCB1_MID] = {"UCB1, c 0.15", PLAIN_UCB1(.15)},
	[UCB1_HIGH] = {"UCB1, c 0.5", PLAIN_UCB1(.5)},
	[UCB1_FULL] = {"UCB1, c 1.4", PLAIN_UCB1(1.4)},
	[UCB1_BONUS] = {"UCB1 + bonus",
		{.kind = LODE_SELECTOR_UCB1, .ucb_c = 1.4, .ucb_context = .35}},
	[LINUCB] = {"LinUCB", {.kind = LODE_SELECTOR_LINUCB, .linucb_alpha = .1}},
	[VALUE] = {"value", {.kind = LODE_SELECTOR_VALUE, .explore = 0xff, .ripe_ns = 10 * S}},
	[VALUE_STAY] = {"value, hysteresis", {.kind = LODE_SELECTOR_VALUE,
						     .explore = 0xff,
						     .ripe_ns = 10 * S,
						     .margin = .02,
						     .hold_ns = 100 * MS}},
};

struct outcome {
	double regret, far; /* sums over decisions; far: more than 0.1 below the best */
	uint64_t decisions, switches;
	uint32_t n_left;
	float left_ms[LEFT_MAX]; /* from the brown-out of the chosen path to its leaving */
};

struct pending {
	struct lode_selector_choice choice;
	double reward;
	uint64_t due_ns;
};

struct runner {
	struct lode_selector *selector;
	struct lode_rng rng;
	unsigned path;	  /* chosen */
	uint64_t fell_ns; /* the chosen path browned out; 0: it did not */
	double was;	  /* its utility one tick ago */
	struct pending pending[FEEDBACK + 1];
	unsigned n_pending;
	struct outcome *out;
};

/* A flow's reward comes late and noisy. */
static void begin_flow(
	struct runner *r, const struct world *w, const struct lode_selector_choice *choice)
{
	double reward = w->path[choice->path].utility + NOISE * lode_rng_normal(&r->rng);
	double regret = world_best(w) - w->path[choice->path].utility;
	r->out->regret += regret;
	r->out->far += regret > .1;
	r->out->decisions++;
	if (r->n_pending < LODE_ARRAY_LEN(r->pending))
		r->pending[r->n_pending++] = (struct pending){.choice = *choice,
			.reward = LODE_MAX(-1.0, LODE_MIN(1.0, reward)),
			.due_ns = w->now_ns + FEEDBACK * WORLD_TICK_NS};
}

static void end_flows(struct runner *r, uint64_t now_ns)
{
	unsigned n = 0;
	while (n < r->n_pending && r->pending[n].due_ns <= now_ns) {
		lode_selector_observe(r->selector, &r->pending[n].choice, r->pending[n].reward, 1);
		n++;
	}
	r->n_pending -= n;
	memmove(r->pending, r->pending + n, r->n_pending * sizeof(r->pending[0]));
}

/* The chosen path fell by more than 0.2 while another is better: how long until it is left? */
static void watch_fall(struct runner *r, const struct world *w, unsigned before)
{
	double now = w->path[before].visible;
	if (r->path != before) {
		if (r->fell_ns && r->out->n_left < LEFT_MAX)
			r->out->left_ms[r->out->n_left++] =
				(float)((double)(w->now_ns - r->fell_ns) / (double)MS);
		r->fell_ns = 0;
	} else if (r->was - now > .2 && world_best(w) - now > .1) {
		r->fell_ns = w->now_ns;
	} else if (world_best(w) - now < .1) {
		r->fell_ns = 0; /* it recovered by itself */
	}
	r->was = w->path[r->path].visible;
}

static void step_runner(struct runner *r, const struct world *w,
	const struct lode_selector_path *estimates, uint8_t up, bool flow, bool control)
{
	struct lode_selector_choice choice;
	unsigned before = r->path;
	lode_selector_update(r->selector, estimates, (1u << WORLD_PATHS) - 1, w->now_ns);
	end_flows(r, w->now_ns);
	if (flow || control) {
		lode_selector_select(r->selector, LODE_GAMING, up ? up : (1u << WORLD_PATHS) - 1,
			w->now_ns, &choice);
		r->out->switches += choice.switched;
		r->path = choice.path;
		if (flow)
			begin_flow(r, w, &choice);
	}
	watch_fall(r, w, before);
}

/* Everybody through one world. */
static void run_world(
	enum scenario scenario, uint64_t seed, unsigned per_second, struct outcome out[N_ENTRANTS])
{
	struct world w;
	struct runner *r = calloc(N_ENTRANTS, sizeof(*r));
	struct lode_rng arrivals;
	struct lode_selector_path estimates[LODE_SELECTOR_PATHS];
	if (!r)
		abort();
	world_init(&w, scenario, seed);
	lode_rng_seed(&arrivals, seed + 1000);
	for (unsigned i = 0; i < N_ENTRANTS; i++) {
		struct lode_selector_params params = entrants[i].params;
		params.seed = seed;
		void *memory = malloc(lode_selector_bytes(params.kind));
		if (!memory)
			abort();
		r[i].selector = lode_selector_init(memory, &params, 0);
		r[i].out = &out[i];
		lode_rng_seed(&r[i].rng, seed);
	}
	while (w.now_ns < LENGTH_NS) {
		world_step(&w);
		uint8_t up = world_estimates(&w, estimates);
		bool flow = lode_rng_unit(&arrivals) < per_second * (double)WORLD_TICK_NS / S;
		/* With hysteresis the control loop looks every tick, as the gateway's does. */
		for (unsigned i = 0; i < N_ENTRANTS; i++)
			step_runner(&r[i], &w, estimates, up, flow, i >= VALUE);
	}
	for (unsigned i = 0; i < N_ENTRANTS; i++)
		free(r[i].selector);
	free(r);
}

/* ---- rows ---- */

static double regret_of(const struct outcome *o)
{
	return o->regret / (double)LODE_MAX(o->decisions, 1);
}

static enum entrant best_ucb1(const struct outcome *out)
{
	enum entrant best = UCB1_LOW;
	for (unsigned i = UCB1_LOW; i <= UCB1_FULL; i++)
		if (regret_of(&out[i]) < regret_of(&out[best]))
			best = (enum entrant)i;
	return best;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static void left_rows(struct lode_perf *p, const char *name, struct outcome *o)
{
	if (o->n_left < 20)
		return;
	qsort(o->left_ms, o->n_left, sizeof(o->left_ms[0]), by_value);
	lode_perf_row(p, name, "re-steer p50", o->left_ms[o->n_left / 2], "ms", NULL, NAN);
	lode_perf_row(p, name, "re-steer p95", o->left_ms[o->n_left * 95 / 100], "ms", NULL, NAN);
}

static void scenario_rows(struct lode_perf *p, enum scenario scenario, unsigned per_second)
{
	struct outcome *out = calloc(N_ENTRANTS, sizeof(*out));
	char name[64];
	if (!out)
		abort();
	for (uint64_t seed = 101; seed < 101 + SEEDS; seed++) {
		lode_perf_progress(p, "%s, seed %u", scenario_names[scenario], (unsigned)seed);
		run_world(scenario, seed, per_second, out);
	}
	double ucb1 = regret_of(&out[best_ucb1(out)]), bonus = regret_of(&out[UCB1_BONUS]);
	for (unsigned i = 0; i < N_ENTRANTS; i++) {
		struct outcome *o = &out[i];
		snprintf(name, sizeof(name), "%s, %u/s: %s", scenario_names[scenario], per_second,
			entrants[i].name);
		lode_perf_row(
			p, name, "regret", regret_of(o), "", "best UCB1", ucb1 / regret_of(o));
		if (i != VALUE && i != VALUE_STAY)
			continue;
		lode_perf_row(
			p, name, "regret", regret_of(o), "", "UCB1 + bonus", bonus / regret_of(o));
		lode_perf_row(p, name, "decisions > 0.1 off",
			100 * o->far / (double)LODE_MAX(o->decisions, 1), "%", NULL, NAN);
		lode_perf_row(p, name, "switches",
			(double)o->switches / (SEEDS * (double)LENGTH_NS / S), "1/s", NULL, NAN);
		left_rows(p, name, o);
	}
	free(out);
}

/* ---- cost ---- */

struct cost {
	struct lode_selector *selector;
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	struct lode_selector_choice choice;
	uint64_t now_ns;
};

static void select_once(void *arg)
{
	struct cost *c = arg;
	lode_selector_select(c->selector, LODE_WEB, 0xf, c->now_ns, &c->choice);
}

static void observe_once(void *arg)
{
	struct cost *c = arg;
	lode_selector_observe(c->selector, &c->choice, .7, 1);
}

static void cost_rows(struct lode_perf *p)
{
	static const enum entrant measured[] = {VALUE_STAY, UCB1_BONUS, LINUCB, ROUND_ROBIN};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(measured); i++) {
		const struct lode_selector_params *params = &entrants[measured[i]].params;
		struct cost c = {.now_ns = S};
		void *memory = malloc(lode_selector_bytes(params->kind));
		char name[64];
		if (!memory)
			abort();
		c.selector = lode_selector_init(memory, params, 0);
		for (unsigned k = 0; k < WORLD_PATHS; k++)
			c.path[k] = (struct lode_selector_path){.rtt_ms = 22 + 8 * k,
				.jitter_ms = 2,
				.mbps = 100,
				.availability = 1,
				.cost = 1,
				.updated_ns = S};
		lode_selector_update(c.selector, c.path, 0xf, c.now_ns);
		snprintf(name, sizeof(name), "cost: %s", entrants[measured[i]].name);
		lode_perf_row(p, name, "select, 4 paths",
			lode_perf_median_ns(select_once, &c, 20000, 31), "ns", NULL, NAN);
		lode_perf_row(p, name, "observe", lode_perf_median_ns(observe_once, &c, 2000, 31),
			"ns", NULL, NAN);
		free(memory);
	}
}

int suite_path(struct lode_perf *p)
{
	for (unsigned i = 0; i < N_SCENARIOS; i++)
		if (lode_perf_wanted(p, scenario_names[i]))
			scenario_rows(p, (enum scenario)i, PER_SECOND);
	if (lode_perf_wanted(p, "cost"))
		cost_rows(p);
	path_tick_rows(p);
	path_life_rows(p);
	return path_whole_rows(p);
}
