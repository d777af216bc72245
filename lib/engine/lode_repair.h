/* SPDX-License-Identifier: BSD-3-Clause */
/* engine: how a class of packets is protected against loss. From what is known of the paths it says which
 * means to use: asking again (NACK) where a round trip fits the deadline, parity (RLC) for the rest, copies
 * over two paths where too few packets fit the deadline for a code. Pure functions, any thread; times ns,
 * rates in repairs per source in 1/256. The parity rate comes from a table of a Markov model of the code over a
 * Gilbert-Elliott channel (lode_repair_model_rate), so a decision takes no more than some interpolation; it is made
 * every few ms, and a packet only looks it up. */
#pragma once

#include "lode_base.h"

#define LODE_REPAIR_PATHS	8
#define LODE_REPAIR_RATE_MAX	256 /* one repair per source: beyond that copies are the better code */
#define LODE_REPAIR_SPAN_MAX	128
#define LODE_REPAIR_CACHED_PKTS 100 /* a decision holds for so many packets */
#define LODE_REPAIR_COPY_PKTS	4   /* fewer packets than this within the deadline: copies */

/* ---- what is believed of a path ---- */

#define LODE_REPAIR_LEVELS 9 /* of loss: none, and the points of the table below */
#define LODE_REPAIR_BURSTS 4 /* mean runs of 1, 2, 4, 8 packets */

/* How likely each loss rate and burst length is, congestion left out by whoever feeds it: a Bayes filter over
 * Gilbert-Elliott channels that change to any other one every some seconds. So a start is answered after two
 * or three losses and an end after as long without, and what is not known yet is known as such. One thread. */
struct lode_repair_belief {
	float p[LODE_REPAIR_LEVELS][LODE_REPAIR_BURSTS];
	float clean_pkts; /* since the last one was lost */
};
/* Nothing has been lost for long. */
void lode_repair_belief_init(struct lode_repair_belief *b);
/* What was told of packets since the last call, elapsed_ns ago; runs: of lost packets, may be a fraction. */
void lode_repair_belief_observe(struct lode_repair_belief *b, uint64_t elapsed_ns,
	uint32_t sent_pkts, uint32_t lost_pkts, double runs);

/* ---- the decision ---- */

enum lode_repair_scheme {
	LODE_REPAIR_SCHEME_NONE,
	LODE_REPAIR_SCHEME_NACK, /* as asked for, nothing ahead */
	LODE_REPAIR_SCHEME_AUTO,
	LODE_REPAIR_SCHEME_FIXED, /* n_repairs for n_sources */
};

struct lode_repair_path {
	double weight; /* share of the class's packets that it carries; they add up to 1 */
	double loss[LODE_REPAIR_LEVELS]; /* probability of each level, congestion left out */
	double burst;	    /* mean run of losses in packets of the class on this path, >= 1 */
	uint64_t slower_ns; /* than the fastest one */
};
double lode_repair_level(unsigned level); /* its loss rate */
/* Adds to the two levels around a loss rate, so that the mean is right. */
void lode_repair_level_add(double levels[LODE_REPAIR_LEVELS], double loss, double chance);
/* As believed; weight stays as it is. */
void lode_repair_path_believe(struct lode_repair_path *path, const struct lode_repair_belief *b);
/* What else is foreseen of the next packets: that any of n_pkts is lost, which share of them then, and in runs of
 * which mean length. Where that is more loss than believed, a quarter of the way towards it. */
struct lode_repair_foreseen {
	double any, share, burst, n_pkts;
};
void lode_repair_path_foresee(
	struct lode_repair_path *path, const struct lode_repair_foreseen *foreseen);
double lode_repair_path_loss(const struct lode_repair_path *path); /* the mean */

struct lode_repair_input {
	enum lode_repair_scheme scheme;
	uint8_t n_sources, n_repairs; /* of FIXED */
	uint64_t deadline_ns;	      /* a lost packet must be there so long after its time */
	double residual;	      /* share of packets that may stay lost */
	/* What a packet made good is worth in repairs is 1 / price: parity that brings less is left out, so that
	 * a given overhead goes where it brings most. 0: the residual alone counts. */
	double price;
	uint64_t rtt_ns;  /* fastest usable path; 0: unknown */
	uint64_t late_ns; /* from a packet's time until its loss is certain: skew and jitter */
	double pps;	  /* packets of the class */
	uint8_t copies;	  /* transmissions of each packet that are made anyway, >= 1 */
	bool queueing;	  /* packets of the class wait for capacity: parity takes it from them */
	unsigned n_paths;
	struct lode_repair_path paths[LODE_REPAIR_PATHS];
};

struct lode_repair_decision {
	bool nack;	  /* keep what is sent, for those who ask */
	uint8_t copies;	  /* transmissions of each packet over different paths, >= 1 */
	uint8_t span;	  /* sources that a repair covers */
	uint16_t rate_q8; /* repairs per source in 1/256; 0: no parity */
	/* Paths (of the input) for repairs, first the one over which they are most likely to be there when they are
	 * needed. n_ranked 0: over all in turn. */
	uint8_t n_ranked, ranked[LODE_REPAIR_PATHS];
};

/* From asking to asking again, when nothing came. */
#define LODE_REPAIR_ASK_NS(rtt_ns) ((rtt_ns)*5 / 4 + LODE_NS_PER_MS)

void lode_repair_decide(const struct lode_repair_input *in, struct lode_repair_decision *out);
/* Without a fresh decision: parity by measured loss alone, in steps. */
uint16_t lode_repair_ladder(double loss);

/* ---- a budget ---- */

/* Finds the price at which parity is a given share of the sources in the mean over some seconds. All zero: none
 * is spent yet. One thread. */
struct lode_repair_budget {
	double spent;	  /* repairs per source, moving average */
	double log_price; /* above the least one */
};
/* share: repairs per source; 1 or more is no budget. */
void lode_repair_budget_observe(struct lode_repair_budget *b, uint64_t elapsed_ns,
	uint32_t n_sources, uint32_t n_repairs, double share);
double lode_repair_budget_price(const struct lode_repair_budget *b); /* 0: the budget is enough */

/* ---- the look-up of a packet ---- */

/* A decision until it expires: by time, or after LODE_REPAIR_CACHED_PKTS packets. One thread. */
struct lode_repair_cache {
	struct lode_repair_decision decision;
	uint16_t ladder_q8; /* rate without it */
	uint16_t left_pkts;
	uint64_t expires_ns;
	uint64_t n_decisions, n_expired; /* made; packets that found none */
};

static inline void lode_repair_cache_put(struct lode_repair_cache *c,
	const struct lode_repair_decision *d, uint16_t ladder_q8, uint64_t expires_ns)
{
	c->decision = *d;
	c->ladder_q8 = ladder_q8;
	c->left_pkts = LODE_REPAIR_CACHED_PKTS;
	c->expires_ns = expires_ns;
	c->n_decisions++;
}

/* Parity rate for the next packet. */
static inline uint16_t lode_repair_cache_rate(struct lode_repair_cache *c, uint64_t now_ns)
{
	if (lode_unlikely(c->left_pkts == 0 || now_ns >= c->expires_ns)) {
		c->n_expired++;
		return c->ladder_q8;
	}
	c->left_pkts--;
	return c->decision.rate_q8;
}

/* ---- the model behind the table ---- */

/* Losses of all sources of a class in a row, its paths interleaved: in good times none, in bad ones (of mean
 * length bad_pkts) a share `density` of them; `loss` in the mean. Repairs: as sources at density 1, else over
 * another path, and none is lost. */
struct lode_repair_channel {
	double loss, bad_pkts, density;
};

/* Share of sources still missing `window` sources after their own with that parity rate: deficit of the
 * code (losses minus repairs that arrived, never below 0) as a Markov chain; a lost source is there when the
 * deficit has returned to 0. The naive reference of the table. */
double lode_repair_model_residual(
	const struct lode_repair_channel *channel, unsigned window, unsigned rate_q8);
/* The same by interpolation between the table's points, clamped to them, for each of its rates; the first one
 * is 0: what is lost. */
#define LODE_REPAIR_TABLE_RATE 12
void lode_repair_table_residuals(const struct lode_repair_channel *channel, double window,
	double residuals[LODE_REPAIR_TABLE_RATE]);
/* Least rate in 1/256 that leaves at most `residual` of that, or less where a price forbids it. */
double lode_repair_table_rate(
	const double residuals[LODE_REPAIR_TABLE_RATE], double residual, double price);

/* Points of the table. */
#define LODE_REPAIR_TABLE_LOSS	  8
#define LODE_REPAIR_TABLE_BAD	  6
#define LODE_REPAIR_TABLE_WINDOW  6
#define LODE_REPAIR_TABLE_DENSITY 3
#define LODE_REPAIR_TABLE_UNIT	  64.0 /* of its -log2 of a residual */
extern const double lode_repair_table_loss[LODE_REPAIR_TABLE_LOSS];
extern const double lode_repair_table_bad[LODE_REPAIR_TABLE_BAD];
extern const double lode_repair_table_window[LODE_REPAIR_TABLE_WINDOW];
extern const double lode_repair_table_density[LODE_REPAIR_TABLE_DENSITY];
extern const double lode_repair_table_rate_q8[LODE_REPAIR_TABLE_RATE];
