/* SPDX-License-Identifier: BSD-3-Clause */
/* The value model. Probes see every path all the time, so what they measure need not be explored; only what
 * they cannot see (how data is treated, the load we make ourselves) is a bandit problem. Hence
 *
 *   score = utility of the estimates - price + mean residual + confidence
 *
 * The residual is what traffic met minus what the estimates promised when it was sent. Its mean is
 * discounted by sample and by time and shrunk towards 0 (one sample of "as promised"), so that a path that
 * did badly once is tried again when that was long ago. */
#include "selector.h"

#include <math.h>

#define SAMPLE_DISCOUNT 0.96  /* of what an arm knows, per sample of its own */
#define FADE_EXPLORE	0.97  /* of what it knows, per second, where the class may try paths out */
#define FADE_STAY	0.999 /* where it may not */
#define CONFIDENCE	0.005 /* weight of the confidence term */

#define LOSS_FAST	(1.0 / 32)
#define LOSS_SLOW	(1.0 / 1024)
#define LOSS_FLOOR	0.01 /* chance is taken for at least this much: one lost probe says nothing */
#define LOSS_SIGMAS	4.0
#define OUTAGE_RUN	5

/* After a jump the slow average begins anew, with a window that grows. */
static void add_loss(struct lode_selector_loss *l, double lost)
{
	double weight = LODE_MAX(LOSS_SLOW, 1 / (1 / LOSS_FAST + l->n));
	l->n++;
	l->fast += LOSS_FAST * (lost - l->fast);
	l->slow += weight * (lost - l->slow);
	double least = LODE_MIN(l->slow, l->fast);
	double chance = LOSS_SIGMAS * sqrt(LODE_MAX(least, LOSS_FLOOR) * LOSS_FAST / 2);
	if (fabs(l->fast - l->slow) > chance) {
		l->slow = l->fast;
		l->n = 0;
	}
}

void lode_selector_loss_add(struct lode_selector_loss *l, bool lost)
{
	if (lost) {
		l->run += l->heard;
		return;
	}
	l->heard = true;
	for (; l->run > 0 && l->run < OUTAGE_RUN; l->run--)
		add_loss(l, 1);
	l->run = 0;
	add_loss(l, 0);
}

/* What a class wants. Linear in the figures, so that each has its term; latency and jitter per ms. */
static const struct wants {
	double latency, jitter, loss, rate, availability, cost;
} wants[LODE_N_CLASSES] = {
	[LODE_GAMING] = {.5 / 150, .2 / 60, 6, 0, .2, .05},
	[LODE_VOIP] = {.5 / 150, .2 / 60, 6, 0, .2, .05},
	[LODE_STREAMING] = {.2 / 200, .05 / 60, 4, .6, .2, .2},
	[LODE_BULK] = {.1 / 200, 0, 3, .8, .1, .3},
	[LODE_WEB] = {.5 / 200, .1 / 60, 5, .2, .2, .1},
	[LODE_MANAGEMENT] = {.5 / 200, .1 / 60, 5, 0, .2, .3},
};

static double clamp(double x)
{
	return LODE_MAX(-1.0, LODE_MIN(1.0, x));
}

/* Share of the best rate that is missing. */
static double missing_rate(double mbps, double best_mbps)
{
	return best_mbps > 0 ? 1 - LODE_MIN(mbps, best_mbps) / best_mbps : 0;
}

static void fill_terms(const struct lode_selector_path *p, const struct wants *w, double best_mbps,
	double term[LODE_SELECTOR_TERMS])
{
	term[LODE_TERM_LATENCY] = -w->latency * p->rtt_ms;
	term[LODE_TERM_JITTER] = -w->jitter * p->jitter_ms;
	term[LODE_TERM_LOSS] = -w->loss * p->loss;
	term[LODE_TERM_RATE] = -w->rate * missing_rate(p->mbps, best_mbps);
	term[LODE_TERM_AVAILABILITY] = -w->availability * (1 - p->availability);
	term[LODE_TERM_COST] = -w->cost * (p->cost - 1);
	term[LODE_TERM_LEARNED] = term[LODE_TERM_UNKNOWN] = 0;
}

double lode_selector_utility(
	enum lode_class cls, const struct lode_selector_fate *fate, double best_mbps)
{
	double term[LODE_SELECTOR_TERMS];
	const struct lode_selector_path p = {.rtt_ms = fate->rtt_ms,
		.jitter_ms = fate->jitter_ms,
		.loss = fate->loss,
		.mbps = fate->mbps,
		.availability = 1,
		.cost = 1};
	fill_terms(&p, &wants[cls], best_mbps, term);
	return clamp(1 + term[LODE_TERM_LATENCY] + term[LODE_TERM_JITTER] + term[LODE_TERM_LOSS] +
		     term[LODE_TERM_RATE]);
}

double value_residual(const struct arm *a)
{
	return a->sum / (a->weight + 1);
}

double value_unknown(const struct lode_selector *s, unsigned cls, unsigned path)
{
	const struct per_class *c = &s->cls[cls];
	if (!(s->params.explore & 1u << cls))
		return 0;
	return CONFIDENCE * c->root_log / sqrt(c->arm[path].weight + 1);
}

static void refresh_score(struct lode_selector *s, unsigned cls, unsigned path)
{
	struct per_class *c = &s->cls[cls];
	c->score[path] =
		c->base[path] + value_residual(&c->arm[path]) + value_unknown(s, cls, path);
}

static void update_class(struct lode_selector *s, unsigned cls)
{
	struct per_class *c = &s->cls[cls];
	unsigned p;
	LODE_FOREACH_BIT (p, s->known) {
		double *t = c->term[p];
		fill_terms(&s->path[p], &wants[cls], s->best_mbps, t);
		c->promise[p] = clamp(1 + t[LODE_TERM_LATENCY] + t[LODE_TERM_JITTER] +
				      t[LODE_TERM_LOSS] + t[LODE_TERM_RATE]);
		c->base[p] = c->promise[p] + t[LODE_TERM_AVAILABILITY] + t[LODE_TERM_COST];
		refresh_score(s, cls, p);
	}
}

void value_update(struct lode_selector *s)
{
	unsigned p;
	s->best_mbps = 0;
	LODE_FOREACH_BIT (p, s->known)
		s->best_mbps = LODE_MAX(s->best_mbps, s->path[p].mbps);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		update_class(s, cls);
}

void value_refresh(struct lode_selector *s, unsigned cls)
{
	struct per_class *c = &s->cls[cls];
	double total = 0;
	unsigned p;
	for (p = 0; p < LODE_SELECTOR_PATHS; p++)
		total += c->arm[p].weight;
	c->root_log = sqrt(log(1 + total));
	LODE_FOREACH_BIT (p, s->known)
		refresh_score(s, cls, p);
}

double value_kept(const struct lode_selector *s, unsigned cls, uint64_t seconds)
{
	bool explore = s->params.explore & 1u << cls;
	return pow(explore ? FADE_EXPLORE : FADE_STAY, (double)seconds);
}

void value_fade(struct lode_selector *s, uint64_t seconds)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		double keep = value_kept(s, cls, seconds);
		for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++) {
			s->cls[cls].arm[p].weight *= keep;
			s->cls[cls].arm[p].sum *= keep;
		}
		value_refresh(s, cls);
	}
}

void value_observe(
	struct lode_selector *s, unsigned cls, unsigned path, double residual, double weight)
{
	struct arm *a = &s->cls[cls].arm[path];
	double keep = 1 - (1 - SAMPLE_DISCOUNT) * weight;
	a->weight = a->weight * keep + weight;
	a->sum = a->sum * keep + weight * residual;
	value_refresh(s, cls);
}
