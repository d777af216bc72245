/* SPDX-License-Identifier: BSD-3-Clause */
/* The selector: which kind scores, when a class moves, what is kept. */
#include "selector.h"

#include <math.h>

#define FADE_NS		LODE_NS_PER_S
#define GAIN_DISCOUNT	0.998
#define GAIN_SAMPLES	200.0 /* remembered before it may be called losing */
#define GAIN_MIN	-0.02
#define STRIPED_MARGINS 5
#define LOSING_NS	(60 * LODE_NS_PER_S)

const struct lode_counter_desc lode_selector_counter_descs[] = {
	LODE_SELECTOR_COUNTERS(LODE_COUNTER_DESC_)};
const unsigned lode_selector_n_counters = LODE_ARRAY_LEN(lode_selector_counter_descs);

const struct lode_selector_params lode_selector_defaults = {
	.kind = LODE_SELECTOR_VALUE,
	.margin = 0.02,
	.hold_ns = 100 * LODE_NS_PER_MS, /* two probes */
	.ripe_ns = 10 * LODE_NS_PER_S,
	.explore = 1u << LODE_STREAMING | 1u << LODE_BULK | 1u << LODE_WEB | 1u << LODE_MANAGEMENT,
	.ucb_c = 1.4,
	.ucb_context = 0.35,
	.linucb_alpha = 0.5,
};

const char *lode_selector_kind_name(enum lode_selector_kind kind)
{
	static const char *const names[] = {"value", "ucb1", "linucb", "round-robin"};
	return (unsigned)kind < LODE_ARRAY_LEN(names) ? names[kind] : "?";
}

const char *lode_selector_term_name(enum lode_selector_term term)
{
	static const char *const names[] = {
		"latency", "jitter", "loss", "rate", "availability", "cost", "learned", "unknown"};
	return (unsigned)term < LODE_ARRAY_LEN(names) ? names[term] : "?";
}

size_t lode_selector_bytes(enum lode_selector_kind kind)
{
	size_t linear = kind == LODE_SELECTOR_LINUCB ? LODE_SELECTOR_LINEAR : 0;
	return sizeof(struct lode_selector) + linear * sizeof(struct linear);
}

struct lode_selector *lode_selector_init(
	void *memory, const struct lode_selector_params *params, uint64_t now_ns)
{
	struct lode_selector *s = memory;
	memset(s, 0, sizeof(*s));
	s->params = *params;
	s->fade_ns = now_ns + FADE_NS;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		s->cls[cls].chosen = LODE_SELECTOR_NONE;
		s->cls[cls].turn = lode_mix64(params->seed + cls) % LODE_SELECTOR_PATHS;
	}
	if (params->kind == LODE_SELECTOR_LINUCB)
		linucb_init(s);
	return s;
}

void lode_selector_update(struct lode_selector *s,
	const struct lode_selector_path path[LODE_SELECTOR_PATHS], uint8_t known, uint64_t now_ns)
{
	memcpy(s->path, path, sizeof(s->path));
	s->known = known;
	s->now_ns = now_ns;
	if (now_ns >= s->fade_ns) {
		uint64_t seconds = 1 + (now_ns - s->fade_ns) / FADE_NS;
		s->fade_ns += seconds * FADE_NS;
		value_fade(s, seconds);
	}
	value_update(s);
}

/* ---- the choice ---- */

static unsigned next_in_turn(struct per_class *c, uint8_t mask)
{
	for (unsigned i = 1; i <= LODE_SELECTOR_PATHS; i++) {
		unsigned p = (c->turn + i) % LODE_SELECTOR_PATHS;
		if (mask & 1u << p) {
			c->turn = (uint8_t)p;
			return p;
		}
	}
	return LODE_SELECTOR_NONE;
}

static double score_of(const struct lode_selector *s, unsigned cls, unsigned path, const double *x)
{
	double confidence;
	switch (s->params.kind) {
	case LODE_SELECTOR_UCB1:
		return ucb1_score(s, cls, path);
	case LODE_SELECTOR_LINUCB:
		return linucb_score(s, path, x, &confidence) + confidence;
	default:
		return s->cls[cls].score[path];
	}
}

static unsigned best_of(const struct lode_selector *s, unsigned cls, uint8_t mask, const double *x,
	double score[LODE_SELECTOR_PATHS])
{
	unsigned best = LODE_SELECTOR_NONE, p;
	LODE_FOREACH_BIT (p, mask) {
		score[p] = score_of(s, cls, p, x);
		if (best == LODE_SELECTOR_NONE || score[p] > score[best])
			best = p;
	}
	return best;
}

/* The best path, or the present one until the best has been better by the margin for long enough. */
static unsigned stay_or_move(struct lode_selector *s, struct per_class *c, unsigned best,
	uint8_t mask, const double score[LODE_SELECTOR_PATHS], uint64_t now_ns)
{
	if (s->params.margin <= 0 || c->chosen == LODE_SELECTOR_NONE || !(mask & 1u << c->chosen))
		return best;
	/* What is striped over all paths gains little by a move, and its rates wander. */
	bool striped = c == &s->cls[LODE_STREAMING] || c == &s->cls[LODE_BULK];
	double margin = s->params.margin * (striped ? STRIPED_MARGINS : 1);
	if (score[best] - score[c->chosen] <= margin) {
		c->better_ns = 0;
		return c->chosen;
	}
	if (c->better_ns == 0)
		c->better_ns = LODE_MAX(now_ns, 1);
	return now_ns - c->better_ns >= s->params.hold_ns ? best : c->chosen;
}

/* Paths this kind can judge; 0: none, and why is counted. */
static uint8_t judged(struct lode_selector *s, uint8_t healthy, uint64_t now_ns)
{
	uint8_t mask = healthy & s->known;
	if (s->params.kind == LODE_SELECTOR_ROUND_ROBIN)
		return 0;
	if (now_ns < s->losing_until_ns) {
		lode_counter_add(&s->counters.fallback_losing, 1);
		return 0;
	}
	if (s->params.kind == LODE_SELECTOR_UCB1)
		mask = ucb1_eligible(s, healthy);
	if (s->params.kind == LODE_SELECTOR_LINUCB)
		mask &= (1u << LODE_SELECTOR_LINEAR) - 1;
	if (mask == 0)
		lode_counter_add(&s->counters.fallback_no_estimate, 1);
	return mask;
}

/* Without those that came back a moment ago, unless there is no other. */
static uint8_t ripe(
	const struct lode_selector *s, const struct per_class *c, uint8_t mask, uint64_t now_ns)
{
	uint8_t ripe = 0;
	unsigned p;
	LODE_FOREACH_BIT (p, mask) {
		bool back = c->gone_ns[p] == 0 || p == c->chosen ||
			    now_ns - c->gone_ns[p] >= s->params.ripe_ns;
		ripe |= (uint8_t)(back << p);
	}
	return ripe ? ripe : mask;
}

void lode_selector_select(struct lode_selector *s, enum lode_class cls, uint8_t healthy,
	uint64_t now_ns, struct lode_selector_choice *out)
{
	struct per_class *c = &s->cls[cls];
	double score[LODE_SELECTOR_PATHS];
	uint8_t mask = judged(s, healthy, now_ns);
	unsigned path;
	lode_counter_add(&s->counters.decisions, 1);
	LODE_FOREACH_BIT (path, c->seen & ~healthy)
		c->gone_ns[path] = now_ns;
	c->seen |= healthy;
	if (s->params.kind == LODE_SELECTOR_LINUCB)
		linucb_inputs(s, cls, out->inputs);
	if (mask) {
		mask = ripe(s, c, mask, now_ns);
		path = best_of(s, cls, mask, out->inputs, score);
		path = stay_or_move(s, c, path, mask, score, now_ns);
	} else {
		path = next_in_turn(c, healthy);
	}
	out->cls = (uint8_t)cls;
	out->path = (uint8_t)path;
	out->at_ns = now_ns;
	out->by_turns = mask == 0;
	out->switched = path != c->chosen && c->chosen != LODE_SELECTOR_NONE;
	if (path == LODE_SELECTOR_NONE) {
		lode_counter_add(&s->counters.none_healthy, 1);
		return;
	}
	out->promise = c->promise[path];
	if (path != c->chosen) {
		lode_counter_add(&s->counters.switches, out->switched);
		c->better_ns = 0;
		c->chosen = (uint8_t)path;
	}
	c->arm[path].pulls++;
	c->total++;
}

void lode_selector_describe(const struct lode_selector *s, enum lode_class cls, unsigned path,
	uint64_t now_ns, struct lode_selector_choice *out)
{
	out->at_ns = now_ns;
	out->cls = (uint8_t)cls;
	out->path = (uint8_t)path;
	out->switched = false;
	out->promise = s->cls[cls].promise[path];
	if (s->params.kind == LODE_SELECTOR_LINUCB)
		linucb_inputs(s, cls, out->inputs);
}

/* ---- what came of it ---- */

double lode_selector_reward(
	const struct lode_selector *s, enum lode_class cls, const struct lode_selector_fate *fate)
{
	return s->params.kind == LODE_SELECTOR_UCB1
		       ? ucb1_reward(cls, fate)
		       : lode_selector_utility(cls, fate, s->best_mbps);
}

/* Reward above what taking turns promises. */
static void note_gain(struct lode_selector *s, unsigned cls, double reward, double weight)
{
	const struct per_class *c = &s->cls[cls];
	double sum = 0;
	unsigned p;
	LODE_FOREACH_BIT (p, s->known)
		sum += c->promise[p] + value_residual(&c->arm[p]);
	double turns = sum / LODE_MAX(__builtin_popcount(s->known), 1);
	s->gain_weight = s->gain_weight * GAIN_DISCOUNT + weight;
	s->gain = s->gain * GAIN_DISCOUNT + weight * (reward - turns);
	if (s->gain_weight > GAIN_SAMPLES && s->gain < GAIN_MIN * s->gain_weight) {
		s->losing_until_ns = s->now_ns + LOSING_NS;
		s->gain = s->gain_weight = 0;
	}
}

/* How far the reward lies outside of what was promised then and is promised now. */
static double surprise(
	const struct lode_selector *s, const struct lode_selector_choice *choice, double reward)
{
	double now = s->cls[choice->cls].promise[choice->path];
	double low = LODE_MIN(now, choice->promise), high = LODE_MAX(now, choice->promise);
	return reward < low ? reward - low : reward > high ? reward - high : 0;
}

void lode_selector_observe(struct lode_selector *s, const struct lode_selector_choice *choice,
	double reward, double weight)
{
	unsigned cls = choice->cls, path = choice->path;
	if (path >= LODE_SELECTOR_PATHS || !(weight > 0))
		return;
	lode_counter_add(&s->counters.observations, 1);
	/* UCB1 has a scale of its own: what it learned says nothing about the promises. */
	if (s->params.kind == LODE_SELECTOR_UCB1) {
		s->cls[cls].arm[path].rewards += LODE_MAX(0.0, LODE_MIN(1.0, reward));
		return;
	}
	note_gain(s, cls, reward, weight);
	if (choice->at_ns > s->cls[cls].gone_ns[path])
		value_observe(s, cls, path, surprise(s, choice, reward), weight);
	if (s->params.kind == LODE_SELECTOR_LINUCB && path < LODE_SELECTOR_LINEAR)
		linucb_observe(s, path, choice->inputs, reward);
}
