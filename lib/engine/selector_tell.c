/* SPDX-License-Identifier: BSD-3-Clause */
/* What the selector tells of itself: reasons, statistics, and what survives a restart. */
#include "selector.h"

#include <math.h>

#define N	    LODE_SELECTOR_INPUTS
#define ARM_NUMBERS 4
static_assert(LODE_SELECTOR_KEPT == ARM_NUMBERS * LODE_N_CLASSES + N * N + N, "arms, inverse, b");

/* ---- why ---- */

static void fill_terms(const struct lode_selector *s, unsigned cls, unsigned path,
	double term[LODE_SELECTOR_TERMS])
{
	const struct per_class *c = &s->cls[cls];
	double x[N];
	memcpy(term, c->term[path], sizeof(c->term[path]));
	switch (s->params.kind) {
	case LODE_SELECTOR_UCB1:
	case LODE_SELECTOR_LINUCB:
		memset(term, 0, LODE_SELECTOR_TERMS * sizeof(*term));
		if (s->params.kind == LODE_SELECTOR_UCB1) {
			term[LODE_TERM_LEARNED] =
				c->arm[path].rewards / LODE_MAX(c->arm[path].pulls, 1.0);
			term[LODE_TERM_UNKNOWN] =
				ucb1_score(s, cls, path) - term[LODE_TERM_LEARNED];
		} else if (path < LODE_SELECTOR_LINEAR) {
			linucb_inputs(s, cls, x);
			term[LODE_TERM_LEARNED] =
				linucb_score(s, path, x, &term[LODE_TERM_UNKNOWN]);
		}
		return;
	default:
		term[LODE_TERM_LEARNED] = value_residual(&c->arm[path]);
		term[LODE_TERM_UNKNOWN] = value_unknown(s, cls, path);
	}
}

static double score_of(const struct lode_selector *s, unsigned cls, unsigned path,
	const double term[LODE_SELECTOR_TERMS])
{
	bool by_value = s->params.kind == LODE_SELECTOR_VALUE ||
			s->params.kind == LODE_SELECTOR_ROUND_ROBIN;
	return by_value ? s->cls[cls].score[path]
			: term[LODE_TERM_LEARNED] + term[LODE_TERM_UNKNOWN];
}

void lode_selector_explain(const struct lode_selector *s, enum lode_class cls, unsigned path,
	uint8_t healthy, struct lode_selector_reason *out)
{
	unsigned p;
	*out = (struct lode_selector_reason){
		.path = (uint8_t)path, .runner_up = LODE_SELECTOR_NONE};
	for (p = 0; p < LODE_SELECTOR_PATHS; p++)
		out->score[p] = NAN;
	LODE_FOREACH_BIT (p, healthy & s->known) {
		fill_terms(s, cls, p, out->term[p]);
		out->score[p] = score_of(s, cls, p, out->term[p]);
		bool second = p != path && (out->runner_up == LODE_SELECTOR_NONE ||
						   out->score[p] > out->score[out->runner_up]);
		if (second)
			out->runner_up = (uint8_t)p;
	}
	if (path >= LODE_SELECTOR_PATHS || out->runner_up == LODE_SELECTOR_NONE)
		return;
	const double *a = out->term[path], *b = out->term[out->runner_up];
	for (unsigned t = 1; t < LODE_SELECTOR_TERMS; t++)
		if (a[t] - b[t] > a[out->tipped] - b[out->tipped])
			out->tipped = (enum lode_selector_term)t;
}

void lode_selector_get_stats(const struct lode_selector *s, struct lode_selector_stats *out)
{
	memset(out, 0, sizeof(*out));
	out->counters = s->counters;
	out->gain = s->gain_weight > 0 ? s->gain / s->gain_weight : 0;
	out->losing = s->now_ns < s->losing_until_ns;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		for (unsigned p = 0; p < LODE_SELECTOR_PATHS; p++) {
			out->weight[cls][p] = s->cls[cls].arm[p].weight;
			out->residual[cls][p] = value_residual(&s->cls[cls].arm[p]);
		}
}

/* ---- what survives a restart ---- */

static unsigned kept_numbers(const struct lode_selector *s, unsigned path)
{
	bool linear = s->params.kind == LODE_SELECTOR_LINUCB && path < LODE_SELECTOR_LINEAR;
	return ARM_NUMBERS * LODE_N_CLASSES + (linear ? N * N + N : 0);
}

unsigned lode_selector_keep(
	const struct lode_selector *s, unsigned path, double out[LODE_SELECTOR_KEPT])
{
	double known = 0, *to = out;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		const struct arm *a = &s->cls[cls].arm[path];
		known += a->weight + a->pulls;
		*to++ = a->weight;
		*to++ = a->sum;
		*to++ = a->pulls;
		*to++ = a->rewards;
	}
	unsigned n = kept_numbers(s, path);
	if (n > ARM_NUMBERS * LODE_N_CLASSES) {
		memcpy(to, s->linear[path].inverse, sizeof(s->linear[path].inverse));
		memcpy(to + N * N, s->linear[path].b, sizeof(s->linear[path].b));
	}
	return known > 0 ? n : 0;
}

/* Weights are counts, and a mean of rewards or residuals lies within their range. */
static bool plausible(const double *kept, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!(fabs(kept[i]) <= 1e9))
			return false;
	for (unsigned i = 0; i < ARM_NUMBERS * LODE_N_CLASSES; i += ARM_NUMBERS)
		if (kept[i] < 0 || fabs(kept[i + 1]) > 2 * kept[i] || kept[i + 2] < 0 ||
			kept[i + 3] < 0 || kept[i + 3] > kept[i + 2])
			return false;
	return true;
}

int lode_selector_restore(
	struct lode_selector *s, unsigned path, const double *kept, unsigned n, uint64_t age_ns)
{
	if (path >= LODE_SELECTOR_PATHS || n != kept_numbers(s, path) || !plausible(kept, n))
		return -EINVAL;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		struct per_class *c = &s->cls[cls];
		struct arm *a = &c->arm[path];
		const double *from = kept + ARM_NUMBERS * cls;
		double keep = value_kept(s, cls, age_ns / LODE_NS_PER_S);
		c->total += from[2] - a->pulls;
		*a = (struct arm){from[0] * keep, from[1] * keep, from[2], from[3]};
		value_refresh(s, cls);
	}
	if (n > ARM_NUMBERS * LODE_N_CLASSES) {
		const double *linear = kept + ARM_NUMBERS * LODE_N_CLASSES;
		memcpy(s->linear[path].inverse, linear, sizeof(s->linear[path].inverse));
		memcpy(s->linear[path].b, linear + N * N, sizeof(s->linear[path].b));
		linucb_refresh(s, path);
	}
	return 0;
}
