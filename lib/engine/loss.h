/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of the loss predictor: windows and outcomes (loss.c), the classic (loss_classic.c), features and
 * models (loss_model.c), slow figures among the features (loss_context.c), scores (loss_score.c). */
#pragma once

#include "lode_loss.h"

#include <math.h>

#define WINDOWS	     128 /* remembered for outcomes: a power of two, 1.28 s */
#define NEAR_WINDOWS 6	 /* the window so many later is the first that a forecast speaks of */
#define FAR_WINDOWS  10	 /* and the last */
#define CELLS	     24	 /* of the Markov chain */

static_assert(NEAR_WINDOWS == LODE_LOSS_NEAR_NS / LODE_LOSS_WINDOW_NS + 1, "50 ms ahead");
static_assert(FAR_WINDOWS == LODE_LOSS_FAR_NS / LODE_LOSS_WINDOW_NS, "100 ms ahead");

/* One window as features are made of it. */
struct step {
	float loss, lost_pkts, longest_burst; /* reported in it */
	float loss_fast, loss_slow;	      /* averages over 0.1 and 3 s */
	float queue_us, occupancy; /* occupancy: of the queue seen when packets were lost */
	float told_ms, delivered_pkts, sent_pkts, inflight_pkts, inflight_bdp;
	float since_loss_ms, to_mark_ms; /* mark: of the 15 s period */
	float rtt_us, rtt_var_us, delivery_kbps, pacing_kbps, cwnd_bytes, ipg_us;
};

/* One window of sending: what left in it, and what was told of that later. */
struct sending {
	uint32_t end_us; /* low 32 bits */
	uint16_t sent_pkts;
	uint8_t cell;		   /* of the Markov chain when its forecast was made */
	bool forecast, queue_high; /* queue_high: then */
	float lost_pkts, bursts;
	float any[LODE_LOSS_SOURCES]; /* forecast made at its end; NaN: none */
};

struct cell {
	float n, n_lossy; /* decaying */
};

struct classic {
	struct cell cells[CELLS];
	float share;	 /* lost of those sent, in lossy times */
	float burst;	 /* mean run of losses */
	float sent_pkts; /* in 50 ms */
};

/* Moving averages over more than a model's steps. Of the outcomes, each counts one. */
struct context {
	float loss_half, loss_15;	      /* share lost over 0.5 and 15 s */
	float told_1;			      /* windows in which losses were told, 1 s */
	float lossy_1, lossy_10, lossy_60;    /* outcomes, over so many s */
	float lossy_low, lossy_high;	      /* outcomes after a short and a long queue */
	float sent_pkts;		      /* per window, 1 s */
	float delivery_kbps, delivery_square; /* 1 s */
	float min_rtt_us;
};

struct lode_loss {
	uint64_t due_ns, end_ns; /* end_ns: of the newest window */
	uint64_t n_windows;	 /* since the start, gaps left out */
	uint32_t n_warm;	 /* without a gap, at most LODE_LOSS_STEPS */
	uint64_t n_judged;	 /* forecasts made before have been judged */
	uint64_t told_us;	 /* fate of what was sent before is known; of the full clock */
	struct step steps[LODE_LOSS_STEPS]; /* ring by n_windows */
	struct sending sending[WINDOWS];    /* ring by n_windows */
	struct lode_loss_forecast forecasts[FAR_WINDOWS];
	/* running figures behind the steps */
	float loss_fast, loss_slow, limit_us, highest_us, bytes_per_pkt;
	uint64_t lost_ns; /* when loss was last reported; 0: never */
	struct classic classic;
	struct context context;
	/* scores of the present model */
	uint64_t model_serial;
	uint64_t n_outcomes;
	float brier[LODE_LOSS_SOURCES];
	uint32_t losing_until; /* outcomes; 0: it is not */
};

static inline struct sending *sending_at(struct lode_loss *l, uint64_t window)
{
	return &l->sending[window % WINDOWS];
}
static inline const struct step *newest_step(const struct lode_loss *l)
{
	return &l->steps[(l->n_windows - 1) % LODE_LOSS_STEPS];
}

/* loss_classic.c */
void classic_init(struct classic *c);
/* Chance of any loss in the 50 ms of a forecast made now; *cell: what it was looked up by. */
float classic_any(const struct lode_loss *l, uint8_t *cell);
/* The outcome of a forecast. */
void classic_learn(struct lode_loss *l, uint8_t cell, float sent_pkts, float lost_pkts);
/* Share of packets lost when any is. */
float classic_share(const struct lode_loss *l);

/* loss_context.c */
#define CONTEXT_FIGURES LODE_LOSS_STEPS
void context_add(struct lode_loss *l, const struct lode_loss_window *w);
void context_learn(struct lode_loss *l, bool queue_high, bool lossy);
/* As features, 0 to 1 each. */
void context_figures(const struct lode_loss *l, float out[CONTEXT_FIGURES]);

/* loss_score.c */
void score_outcome(struct lode_loss *l, struct lode_loss_stats *stats, const struct sending *s,
	bool lossy, uint64_t now_ns);
bool score_losing(const struct lode_loss *l);
/* Another model: what the last one did does not count. */
void score_reset(struct lode_loss *l);
