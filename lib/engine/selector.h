/* SPDX-License-Identifier: BSD-3-Clause */
/* The insides of the path selector. */
#pragma once

#include "lode_selector.h"

/* What one class learned of one path. */
struct arm {
	double weight, sum;    /* residuals, discounted (value) */
	double pulls, rewards; /* all time (ucb1) */
};

/* Disjoint linear model of one path: A^-1 and b of LinUCB, theta = A^-1 b. */
struct linear {
	double inverse[LODE_SELECTOR_INPUTS][LODE_SELECTOR_INPUTS];
	double b[LODE_SELECTOR_INPUTS], theta[LODE_SELECTOR_INPUTS];
};

struct per_class {
	uint8_t chosen;	    /* path or NONE */
	uint8_t turn;	    /* round robin: the last path */
	uint64_t better_ns; /* since when another path is better by the margin; 0: none is */
	double total;	    /* of pulls */
	double root_log;    /* value: sqrt(log(1 + sum of weights)) */
	double term[LODE_SELECTOR_PATHS][LODE_SELECTOR_TERMS]; /* from the estimates */
	double promise[LODE_SELECTOR_PATHS];		       /* their sum without cost */
	double base[LODE_SELECTOR_PATHS];		       /* with cost */
	double score[LODE_SELECTOR_PATHS];     /* value: all of it, kept up to date */
	uint8_t seen;			       /* mask: was healthy once */
	uint64_t gone_ns[LODE_SELECTOR_PATHS]; /* when it was last not healthy, having been so */
	struct arm arm[LODE_SELECTOR_PATHS];
};

struct lode_selector {
	struct lode_selector_params params;
	uint8_t known;
	uint64_t fade_ns; /* when weights fade next */
	double best_mbps;
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	struct per_class cls[LODE_N_CLASSES];
	struct lode_selector_counters counters;
	double gain, gain_weight;
	uint64_t losing_until_ns, now_ns;
	struct linear linear[]; /* LINUCB: LODE_SELECTOR_LINEAR of them */
};

/* ---- selector_value.c ---- */

/* Terms, promise and base of all classes from the estimates. */
void value_update(struct lode_selector *s);
void value_fade(struct lode_selector *s, uint64_t seconds);
/* Share of a weight that is left after so many seconds. */
double value_kept(const struct lode_selector *s, unsigned cls, uint64_t seconds);
void value_observe(
	struct lode_selector *s, unsigned cls, unsigned path, double residual, double weight);
/* All that is derived from the class's arms. */
void value_refresh(struct lode_selector *s, unsigned cls);
double value_residual(const struct arm *a);
double value_unknown(const struct lode_selector *s, unsigned cls, unsigned path);

/* ---- selector_ucb1.c ---- */

double ucb1_score(const struct lode_selector *s, unsigned cls, unsigned path);
uint8_t ucb1_eligible(const struct lode_selector *s, uint8_t healthy);
double ucb1_reward(enum lode_class cls, const struct lode_selector_fate *fate);

/* ---- selector_linucb.c ---- */

void linucb_init(struct lode_selector *s);
void linucb_inputs(const struct lode_selector *s, unsigned cls, double x[LODE_SELECTOR_INPUTS]);
double linucb_score(const struct lode_selector *s, unsigned path,
	const double x[LODE_SELECTOR_INPUTS], double *confidence);
void linucb_observe(struct lode_selector *s, unsigned path, const double x[LODE_SELECTOR_INPUTS],
	double reward);
/* theta from what was restored. */
void linucb_refresh(struct lode_selector *s, unsigned path);
