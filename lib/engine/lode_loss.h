/* SPDX-License-Identifier: BSD-3-Clause */
/* engine: the loss predictor. Per (peer, path) and 10 ms window it says what share of the packets that are
 * sent 50 to 100 ms from now will be lost, and in bursts of which length. A model of nn decides; a
 * classic (moving average, persistence, Markov chain) runs beside it always, and answers when there is no
 * model, when the model is late, or when it is measured to lose. Forecasts are cached with an expiry: per
 * packet they are a look-up.
 *
 * The thread of the home lane owns a struct lode_loss. A struct lode_loss_model is immutable. No clock, no
 * lock, no allocation. Times are ns of the owner's clock. */
#pragma once

#include "lode_base.h"
#include "lode_model.h"

#define LODE_LOSS_STEPS	    20 /* windows that a model sees */
#define LODE_LOSS_WINDOW_NS (10 * LODE_NS_PER_MS)
#define LODE_LOSS_NEAR_NS   (50 * LODE_NS_PER_MS)
#define LODE_LOSS_FAR_NS    (100 * LODE_NS_PER_MS)
#define LODE_LOSS_PHASE_MS  15000u /* period of the satellites' reconfiguration */

/* ---- what is fed in ---- */

/* What a sender learned of a path in one 10 ms window. Figures marked * are about packets whose fate was
 * reported in the window, whenever they were sent; the others about its end. */
struct lode_loss_window {
	uint64_t end_ns;
	uint32_t sent_pkts, sent_bytes;		  /* left in the window */
	uint32_t delivered_pkts, delivered_bytes; /* * */
	uint32_t lost_pkts, loss_bursts;	  /* * loss_bursts: runs of lost packets */
	uint32_t longest_burst;			  /* * */
	uint32_t ce_pkts;			  /* * */
	uint32_t
		told_age_us; /* the fate of everything sent before that is known; UINT32_MAX: of none */
	uint32_t rtt_us, min_rtt_us, rtt_var_us; /* 0: not known */
	uint32_t queue_us;			 /* newest one-way delay above its floor */
	uint32_t pacing_kbps, delivery_kbps;
	uint32_t cwnd_bytes, inflight_bytes;
	uint32_t backlog_bytes; /* waiting in the class queues of the peer */
	uint32_t phase_ms;	/* wall clock modulo LODE_LOSS_PHASE_MS; UINT32_MAX: not known */
};

/* ---- feature schemas ---- */

/* Ours, "loss/2", and its predecessor. Hashes are in the model files; see lode_schema_hash. */
extern const struct lode_schema lode_schema_loss, lode_schema_loss_1;
/* Every schema that this room can feed to a loss predictor: ours, and the two of a foreign project. For
 * lode_model_options.schemas. */
extern const struct lode_schema *const lode_loss_schemas[];
extern const unsigned lode_loss_n_schemas;

/* ---- models ---- */

/* A loaded model together with how to feed it. Outputs of a network: probability that any packet is lost;
 * if there is a second, the logarithm of the mean burst length; if there is a third, the share lost when any is
 * (a logit). What a network does not say is taken from the classic. */
struct lode_loss_model {
	const struct lode_nn_model *network;
	const struct lode_schema *schema;
	unsigned n_out;
	uint64_t serial; /* of the gateway's models: tells a swap; > 0 */
};
/* -EINVAL: role, shape or schema are none that this room can feed. */
int lode_loss_model_init(struct lode_loss_model *m, const struct lode_model *model, uint64_t serial,
	struct lode_err *err);

/* ---- statistics, shared by all paths of one worker ---- */

enum lode_loss_source { LODE_LOSS_BY_CLASSIC, LODE_LOSS_BY_MODEL, LODE_LOSS_SOURCES };
const char *lode_loss_source_name(enum lode_loss_source source);

/* Why the classic answered instead of the model. */
enum lode_loss_reason {
	LODE_LOSS_NO_MODEL,
	LODE_LOSS_WARMING,   /* fewer than LODE_LOSS_STEPS windows yet */
	LODE_LOSS_BAD_INPUT, /* the network refused its input */
	LODE_LOSS_LOSING,    /* on this path its score is below the classic's */
	LODE_LOSS_REASONS,
};
const char *lode_loss_reason_name(enum lode_loss_reason reason);

#define LODE_LOSS_BINS	   32 /* of predicted probability, even in its logit from -8 to 8 */
#define LODE_LOSS_SLICES   6  /* of the last hour */
#define LODE_LOSS_SLICE_NS (600 * LODE_NS_PER_S)

/* Predictions whose outcome is known, by predicted probability. */
struct lode_loss_bins {
	uint32_t n[LODE_LOSS_BINS], n_lossy[LODE_LOSS_BINS];
	float p_sum[LODE_LOSS_BINS];
	double brier_sum;
};
/* The worker writes, others read with some words newer than others. */
struct lode_loss_stats {
	uint64_t decisions[LODE_LOSS_SOURCES], fallbacks[LODE_LOSS_REASONS];
	uint64_t outcomes, lossy_outcomes;
	struct lode_hist latency_ns; /* of the model; empty without a cycle counter */
	uint64_t slice_end_ns;
	unsigned slice;
	struct lode_loss_bins bins[LODE_LOSS_SLICES][LODE_LOSS_SOURCES];
};
/* Scores over the last hour; NaN where nothing tells. */
struct lode_loss_score {
	uint64_t n, n_lossy;
	double brier, skill; /* skill: 1 - brier / brier of the base rate */
	double auc;	     /* from the bins */
	double ece;	     /* mean distance of predicted and seen share over the bins */
};
void lode_loss_score(const struct lode_loss_stats *stats, enum lode_loss_source source,
	struct lode_loss_score *score);
/* Adds what another worker has seen. */
void lode_loss_stats_merge(struct lode_loss_stats *to, const struct lode_loss_stats *from);

/* ---- one path ---- */

struct lode_loss;

/* memory: lode_loss_bytes(), aligned to 64. phase: of the windows among paths, 0 to 1. */
size_t lode_loss_bytes(void);
struct lode_loss *lode_loss_init(void *memory, double phase, uint64_t now_ns);
/* End of the running window: observe is due. */
uint64_t lode_loss_due_ns(const struct lode_loss *l);
/* Takes the window that ended; a window far from the last one (a stall, an idle time) starts anew. Judges
 * earlier forecasts by what is known of their time now. Then makes the classic's forecast. */
void lode_loss_observe(
	struct lode_loss *l, const struct lode_loss_window *w, struct lode_loss_stats *stats);
/* Runs the model on the newest windows; call after observe, for at most one path per poll. scratch: of nn. model
 * NULL: the classic stays. now: cycle counter in ns for the latency histogram, NULL: not measured. */
void lode_loss_decide(struct lode_loss *l, const struct lode_loss_model *model, void *scratch,
	uint64_t (*clock_ns)(void), struct lode_loss_stats *stats);

struct lode_loss_forecast {
	uint64_t made_ns, expires_ns; /* not to be used after */
	uint32_t loss_ppm;    /* expected share of packets lost, 50 to 100 ms after made_ns */
	uint32_t any_ppm;     /* probability that any of them is lost */
	uint32_t burst_centi; /* expected mean length of a run of losses, x 100, >= 100 */
	uint8_t source;	      /* enum lode_loss_source */
	bool congested; /* the delay was rising or the queue near its limit: such loss is not for FEC */
};
/* The newest forecast, for 50 to 100 ms ahead. Before the first window: no loss, expired. */
const struct lode_loss_forecast *lode_loss_newest(const struct lode_loss *l);
/* What was foreseen for packets that leave at at_ns, up to 100 ms ahead of the newest window: the mean of the
 * cached forecasts that cover that time. Expired when there is none. */
struct lode_loss_forecast lode_loss_expected(const struct lode_loss *l, uint64_t at_ns);

/* Scores of this path, decaying over some minutes. NaN: none yet. */
struct lode_loss_path_score {
	uint64_t outcomes;
	double brier[LODE_LOSS_SOURCES];
	bool losing; /* the model lost against the classic and is not asked */
};
void lode_loss_get_path_score(const struct lode_loss *l, struct lode_loss_path_score *out);

/* ---- the same outside of a gateway: trainer, recorder, tests ---- */

/* The input of a model for the newest windows: LODE_LOSS_STEPS rows of features, oldest first; what was
 * before the first window is as the first. -ENOTSUP: not one of lode_loss_schemas. */
int lode_loss_features(const struct lode_loss *l, const struct lode_schema *schema, float *out);
/* The last row of them only. */
int lode_loss_newest_features(
	const struct lode_loss *l, const struct lode_schema *schema, float *out);
/* Slow figures as of the newest window, and their column of such an input. False: the schema has none. */
bool lode_loss_context(
	const struct lode_loss *l, const struct lode_schema *schema, float out[LODE_LOSS_STEPS]);
void lode_loss_put_context(const float context[LODE_LOSS_STEPS], float *input);
/* Steps of the last n windows, all of them there: false while warming. */
bool lode_loss_warm(const struct lode_loss *l);

/* Outcome of the time [from_ns, to_ns) of sending, once it is known. */
struct lode_loss_outcome {
	float sent_pkts, lost_pkts; /* reports do not end at window borders: fractions */
	float mean_burst;	    /* of the runs told at that time; 0: none */
};
/* -EAGAIN: not known yet; -ENODATA: longer ago than 1 s, or nothing was sent. */
int lode_loss_get_outcome(
	const struct lode_loss *l, uint64_t from_ns, uint64_t to_ns, struct lode_loss_outcome *out);
