/* SPDX-License-Identifier: BSD-3-Clause */
/* The path selector of engine: which path to one peer serves which class best. It hears what probes and
 * reports say of every path (lode_selector_update) and what became of the traffic itself
 * (lode_selector_observe), and answers with a path per class (lode_selector_select). Four ways to choose,
 * docs/paths.md compares them:
 *
 *   value        what the estimates promise the class, plus what was learned of the difference between
 *                promise and fate (discounted UCB on the residual: Garivier and Moulines, ALT 2011)
 *   ucb1         UCB1 (Auer et al., 2002) with a bonus from the estimates, as an older gateway had it
 *   linucb       LinUCB (Li et al., WWW 2010), one linear model per path over 29 inputs
 *   round-robin  the next healthy path each time; what the others fall back to
 *
 * One instance per peer, one thread per instance; reads no clock, allocates nothing; same calls, same
 * answers. Utilities and rewards lie in [-1, 1], 1 is best. */
#pragma once

#include "lode_base.h"

#define LODE_SELECTOR_PATHS  8
#define LODE_SELECTOR_INPUTS 29 /* of LinUCB: 5 classes one-hot, 6 figures of each of 4 paths */
#define LODE_SELECTOR_LINEAR 4	/* LinUCB knows paths 0 to 3 only */
#define LODE_SELECTOR_NONE   0xff

enum lode_selector_kind {
	LODE_SELECTOR_VALUE,
	LODE_SELECTOR_UCB1,
	LODE_SELECTOR_LINUCB,
	LODE_SELECTOR_ROUND_ROBIN,
	LODE_SELECTOR_KINDS,
};
const char *lode_selector_kind_name(enum lode_selector_kind kind);

struct lode_selector_params {
	enum lode_selector_kind kind;
	uint64_t seed;	     /* where round robin and ties begin */
	double margin;	     /* stay unless another path is better by so much; 0: take the best */
	uint64_t hold_ns;    /* ... and has been for so long */
	uint64_t ripe_ns;    /* a path that was away comes back when it was healthy for so long */
	uint8_t explore;     /* mask over classes that may try a path only to learn about it */
	double ucb_c;	     /* UCB1: weight of the confidence term */
	double ucb_context;  /* UCB1: weight of the estimates */
	double linucb_alpha; /* LinUCB: weight of the confidence term */
};
/* What the gateway uses. */
extern const struct lode_selector_params lode_selector_defaults;

/* What probes and reports say of one path. */
struct lode_selector_path {
	double rtt_ms, jitter_ms;
	double loss;	     /* share of packets, 0..1 */
	double mbps;	     /* what it can carry */
	double availability; /* share of the last minutes it was up, 0..1 */
	double cost;	     /* price of a byte, 1: ordinary; what a quota asks is added here */
	uint64_t updated_ns;
};

/* Loss seen by probes: a slow average that jumps to a fast one when they differ by more than chance (four
 * standard deviations). Five lost in a row are an outage, not loss: the path's state tells of that. */
struct lode_selector_loss {
	double slow, fast; /* share; slow is the estimate */
	uint32_t run;	   /* lost since the last reply */
	uint32_t n;	   /* probes since the last jump */
	bool heard;	   /* a reply came: what was lost before says nothing */
};
void lode_selector_loss_add(struct lode_selector_loss *l, bool lost);

/* What became of traffic on a path in some interval. */
struct lode_selector_fate {
	double rtt_ms, jitter_ms, loss, mbps;
};

/* A choice, as observe wants it back when its outcome is known. */
struct lode_selector_choice {
	uint8_t cls, path; /* LODE_SELECTOR_NONE: no path in the mask */
	bool switched;	   /* away from the class's last choice */
	bool by_turns;	   /* not judged: round robin, or fallen back to it */
	double promise;	   /* what the estimates said of it then */
	uint64_t at_ns;
	double inputs[LODE_SELECTOR_INPUTS]; /* LinUCB only */
};

struct lode_selector;

size_t lode_selector_bytes(enum lode_selector_kind kind);
/* memory: lode_selector_bytes(kind), aligned to 8. */
struct lode_selector *lode_selector_init(
	void *memory, const struct lode_selector_params *params, uint64_t now_ns);
/* The estimates now of the paths in `known`, the others are forgotten. */
void lode_selector_update(struct lode_selector *s,
	const struct lode_selector_path path[LODE_SELECTOR_PATHS], uint8_t known, uint64_t now_ns);
/* The path that serves the class best among those in `healthy`; at once another one when the last choice
 * is not in it. */
void lode_selector_select(struct lode_selector *s, enum lode_class cls, uint8_t healthy,
	uint64_t now_ns, struct lode_selector_choice *out);
/* The traffic on the chosen path met this reward. weight: 1 for a flow of the class's own; less for what is
 * known from others. What the estimates have found out since the choice, or that the path died, is not
 * learned a second time. */
void lode_selector_observe(struct lode_selector *s, const struct lode_selector_choice *choice,
	double reward, double weight);
/* As if the class had chosen that path just now: for traffic that took it without being asked. */
void lode_selector_describe(const struct lode_selector *s, enum lode_class cls, unsigned path,
	uint64_t now_ns, struct lode_selector_choice *out);
/* Reward of a fate in the terms of this selector's kind. */
double lode_selector_reward(
	const struct lode_selector *s, enum lode_class cls, const struct lode_selector_fate *fate);
/* Utility of what the estimates promise: the value model without anything learned. */
double lode_selector_utility(
	enum lode_class cls, const struct lode_selector_fate *fate, double best_mbps);

/* ---- why ---- */

enum lode_selector_term {
	LODE_TERM_LATENCY,
	LODE_TERM_JITTER,
	LODE_TERM_LOSS,
	LODE_TERM_RATE,
	LODE_TERM_AVAILABILITY,
	LODE_TERM_COST,
	LODE_TERM_LEARNED, /* residual, or mean reward */
	LODE_TERM_UNKNOWN, /* confidence term: tried seldom */
	LODE_SELECTOR_TERMS,
};
const char *lode_selector_term_name(enum lode_selector_term term);

struct lode_selector_reason {
	uint8_t path, runner_up;	/* LODE_SELECTOR_NONE: none */
	enum lode_selector_term tipped; /* the term that speaks most for path against runner_up */
	double score[LODE_SELECTOR_PATHS];		       /* paths outside `healthy`: NaN */
	double term[LODE_SELECTOR_PATHS][LODE_SELECTOR_TERMS]; /* what they sum up from */
};
/* Why that path and not another: `path` against the best other one in `healthy`. */
void lode_selector_explain(const struct lode_selector *s, enum lode_class cls, unsigned path,
	uint8_t healthy, struct lode_selector_reason *out);

/* ---- statistics ---- */

#define LODE_SELECTOR_COUNTERS(X)                                                           \
	X(decisions, count, LODE_INFO, "path choices asked for")                            \
	X(switches, count, LODE_INFO, "choices that moved a class")                         \
	X(observations, count, LODE_INFO, "outcomes learned from")                          \
	X(fallback_no_estimate, count, LODE_INFO, "chosen by turns: no path has estimates") \
	X(fallback_losing, count, LODE_WARN, "chosen by turns: the selector was losing")    \
	X(none_healthy, count, LODE_WARN, "no healthy path to choose")
LODE_COUNTER_STRUCT(lode_selector_counters, LODE_SELECTOR_COUNTERS);
extern const struct lode_counter_desc lode_selector_counter_descs[];
extern const unsigned lode_selector_n_counters;

struct lode_selector_stats {
	struct lode_selector_counters counters;
	double gain; /* mean reward above what taking turns would have got by the estimates */
	bool losing; /* it is negative: round robin has taken over for a while */
	double weight[LODE_N_CLASSES][LODE_SELECTOR_PATHS];   /* samples remembered */
	double residual[LODE_N_CLASSES][LODE_SELECTOR_PATHS]; /* learned mean */
};
void lode_selector_get_stats(const struct lode_selector *s, struct lode_selector_stats *out);

/* ---- what was learned of one path, to be kept over a restart ---- */

/* Numbers per path: at most this many. */
#define LODE_SELECTOR_KEPT (4 * LODE_N_CLASSES + LODE_SELECTOR_INPUTS * (LODE_SELECTOR_INPUTS + 1))
/* Returns how many were written; 0: nothing learned. */
unsigned lode_selector_keep(
	const struct lode_selector *s, unsigned path, double out[LODE_SELECTOR_KEPT]);
/* Takes them back; what is age_ns old counts as much as if it had been remembered for so long. -EINVAL:
 * another count than this kind keeps, or a number that cannot be; nothing is changed. */
int lode_selector_restore(
	struct lode_selector *s, unsigned path, const double *kept, unsigned n, uint64_t age_ns);
