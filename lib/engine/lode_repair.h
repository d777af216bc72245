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

/* ---- what was lost ---- */

/* Loss of one path as reported, congestion left out by whoever feeds it: two averages, over some 150 and 800
 * packets. The larger one counts: a start is answered at once, an end slowly. */
struct lode_repair_loss {
	double fast, slow;
	double burst; /* mean run of losses */
};
void lode_repair_loss_observe(
	struct lode_repair_loss *l, uint32_t sent_pkts, uint32_t lost_pkts, double mean_burst);
static inline double lode_repair_loss_rate(const struct lode_repair_loss *l)
{
	return LODE_MAX(l->fast, l->slow);
}

/* ---- the decision ---- */

enum lode_repair_scheme {
	LODE_REPAIR_SCHEME_NONE,
	LODE_REPAIR_SCHEME_NACK, /* as asked for, nothing ahead */
	LODE_REPAIR_SCHEME_AUTO,
	LODE_REPAIR_SCHEME_FIXED, /* n_repairs for n_sources */
};

struct lode_repair_path {
	double weight; /* share of the class's packets that it carries; they add up to 1 */
	double loss;   /* probability, congestion left out: parity does not answer that */
	double burst;  /* mean run of losses in packets of the class on this path, >= 1 */
};

struct lode_repair_input {
	enum lode_repair_scheme scheme;
	uint8_t n_sources, n_repairs; /* of FIXED */
	uint64_t deadline_ns;	      /* a lost packet must be there so long after its time */
	double residual;	      /* share of packets that may stay lost */
	uint64_t rtt_ns;	      /* fastest usable path; 0: unknown */
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
};

/* From asking to asking again, when nothing came. */
#define LODE_REPAIR_ASK_NS(rtt_ns) ((rtt_ns)*5 / 4 + LODE_NS_PER_MS)

void lode_repair_decide(const struct lode_repair_input *in, struct lode_repair_decision *out);
/* Without a fresh decision: parity by measured loss alone, in steps. */
uint16_t lode_repair_ladder(double loss);

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

/* Losses of all packets of a class in a row, its paths interleaved: in good times none, in bad ones (of mean
 * length bad_pkts) a share `density` of them; `loss` in the mean. */
struct lode_repair_channel {
	double loss, bad_pkts, density;
};

/* Share of sources still missing `window` sources after their own with that parity rate: deficit of the
 * code (losses minus repairs that arrived, never below 0) as a Markov chain; a lost source is there when the
 * deficit has returned to 0. The naive reference of the table. */
double lode_repair_model_residual(
	const struct lode_repair_channel *channel, unsigned window, unsigned rate_q8);
/* Smallest rate that leaves at most `residual`; 4 * 256 when none does. */
unsigned lode_repair_model_rate(
	const struct lode_repair_channel *channel, unsigned window, double residual);
/* The same by interpolation between the table's points, clamped to them. */
double lode_repair_table_rate(
	const struct lode_repair_channel *channel, double window, double residual);

/* Points of the table. */
#define LODE_REPAIR_TABLE_LOSS	   8
#define LODE_REPAIR_TABLE_BAD	   6
#define LODE_REPAIR_TABLE_WINDOW   6
#define LODE_REPAIR_TABLE_DENSITY  3
#define LODE_REPAIR_TABLE_RESIDUAL 3
extern const double lode_repair_table_loss[LODE_REPAIR_TABLE_LOSS];
extern const double lode_repair_table_bad[LODE_REPAIR_TABLE_BAD];
extern const double lode_repair_table_window[LODE_REPAIR_TABLE_WINDOW];
extern const double lode_repair_table_density[LODE_REPAIR_TABLE_DENSITY];
extern const double lode_repair_table_residual[LODE_REPAIR_TABLE_RESIDUAL];
