/* SPDX-License-Identifier: BSD-3-Clause */
/* train: supervised training of the loss predictors, in C: samples into a data set, forward and backward
 * passes of MLP, LSTM and transformer, AdamW, calibration, metrics, model files with their card. Offline: it
 * allocates, takes minutes, and runs on one thread. The same samples, seed and CPU give the same weights.
 * Actions return 0 or -errno with a sentence. */
#pragma once

#include "lode_base.h"
#include "lode_learn.h"
#include "lode_loss.h"
#include "lode_model.h"

/* ---- data ---- */

enum lode_train_split { LODE_TRAIN_FIT, LODE_TRAIN_VALIDATE, LODE_TRAIN_TEST, LODE_TRAIN_SPLITS };
enum lode_train_cause {
	LODE_TRAIN_CLEAN,
	LODE_TRAIN_QUEUE,    /* congestion */
	LODE_TRAIN_RADIO,    /* bursts of a bad radio state */
	LODE_TRAIN_HANDOVER, /* satellites change */
	LODE_TRAIN_RANDOM,
	LODE_TRAIN_CAUSES,
};
const char *lode_train_cause_name(enum lode_train_cause cause);

#define LODE_TRAIN_FEATURES 8
#define LODE_TRAIN_HIDDEN   9 /* figures that only the simulator's oracle knows */
#define LODE_TRAIN_STATISTICS \
	32 /* of a window of 20: newest, mean, largest, slope of each feature; slow figures */
#define LODE_TRAIN_MARKOV 16 /* loss told or not in each of the last four 50 ms */

/* One 10 ms window of a series. */
struct lode_train_window {
	uint32_t series;
	uint8_t split, cause;
	bool usable; /* 20 windows before it, and its outcome known with packets sent */
	bool any;    /* a packet sent 50 to 100 ms later was lost */
	bool onset;  /* no loss was told in the last 200 ms */
	uint8_t markov;
	float share, log_burst; /* lost of those sent; logarithm of the mean run; if any */
	float classic;		/* what the gateway's classic foresaw */
	float last, ewma;	/* share lost, as told in this window; its moving average */
	float hidden[LODE_TRAIN_HIDDEN];
};

struct lode_train_data {
	const struct lode_schema *schema;
	size_t n;
	float *steps;	 /* n rows of features, normalised; a model's input ends at its window */
	float *contexts; /* n rows of LODE_LOSS_STEPS slow figures; NULL: the schema has none */
	struct lode_train_window *windows;
	uint32_t n_series, n_sessions[LODE_TRAIN_SPLITS];
};

/* Every window through the gateway's own predictor, so that features are the gateway's. The split is by the
 * name of the session's trace. every: takes one window in so many as usable. */
int lode_train_data_load(struct lode_train_data *data, const char *path,
	const struct lode_schema *schema, unsigned every, struct lode_err *err);
/* Samples of the older project, label future_loss; 500 in a row count as one session. */
int lode_train_data_import(struct lode_train_data *data, const struct lode_learn_export *e,
	const struct lode_schema *schema, struct lode_err *err);
void lode_train_data_free(struct lode_train_data *data);
/* Indices of the usable windows of a split; *n of them; free(). NULL: no memory. */
uint32_t *lode_train_pick(
	const struct lode_train_data *data, enum lode_train_split split, size_t *n);

/* What a network is given of a window. */
struct lode_train_input {
	unsigned n; /* floats */
	void (*gather)(const struct lode_train_data *data, uint32_t window, float *out);
};
extern const struct lode_train_input lode_train_windows /* 20 x 8 */, lode_train_statistics,
	lode_train_oracle /* windows' statistics and the hidden state */;

/* ---- fitting ---- */

struct lode_train_options {
	uint64_t seed;
	unsigned max_epochs, batch;
	size_t windows_per_epoch; /* 0: all */
	double rate, decay,
		clip;	   /* peak of the one-cycle rate, AdamW's decay, norm of the gradient */
	unsigned patience; /* epochs without a better validation loss before it stops */
	void *ctx;
	/* Some times per epoch; loss: mean of the training loss since the last call. May be NULL. */
	void (*progress)(void *ctx, unsigned epoch, double share_done, double loss);
};
struct lode_train_options lode_train_defaults(void);

struct lode_train_epoch {
	double fit_loss, validate_loss, validate_auc;
};
#define LODE_TRAIN_EPOCHS_MAX 64

struct lode_train_report {
	unsigned n_epochs, best_epoch;
	struct lode_train_epoch epochs[LODE_TRAIN_EPOCHS_MAX];
	uint64_t n_windows; /* gone through, forward and backward */
	double seconds;	    /* of CPU, in those passes */
	double calibration_slope,
		calibration_offset; /* of the logit, as found on the validation split */
};

struct lode_train_net;

/* Fits a network of that shape; desc->n_in * n_steps must be input->n. With more than one output, the second is
 * the logarithm of the burst length and the third the logit of the share lost. */
int lode_train_fit(const struct lode_nn_desc *desc, const struct lode_train_data *data,
	const struct lode_train_input *input, const struct lode_train_options *options,
	struct lode_train_net **net, struct lode_train_report *report, struct lode_err *err);
void lode_train_net_free(struct lode_train_net *net);
/* Probability of any loss for each window of the list. */
int lode_train_predict(struct lode_train_net *net, const struct lode_train_data *data,
	const struct lode_train_input *input, const uint32_t *windows, size_t n, float *p,
	struct lode_err *err);
/* Windows per second of CPU, forward, backward and optimiser, on made-up data. NaN: no memory. */
double lode_train_speed(const struct lode_nn_desc *desc, unsigned batch, unsigned n_batches);

/* Tensors of the network as nn names them. memory: free() it. */
int lode_train_tensors(const struct lode_train_net *net,
	struct lode_nn_tensor tensors[LODE_NN_MAX_TENSORS], unsigned *n_tensors, void **memory,
	struct lode_err *err);
/* An INT8 model file (or the FP32 master): calibrated on 4000 windows of the fitting split, golden vectors from
 * the validation split. image: free() it. */
int lode_train_write(const struct lode_train_net *net, const struct lode_train_data *data,
	const char *name, const char *card, enum lode_nn_format format, uint8_t **image,
	size_t *n_bytes, struct lode_err *err);
/* The same of a packed model: what the gateway computes. */
int lode_train_predict_model(const struct lode_model *model, const struct lode_train_data *data,
	const uint32_t *windows, size_t n, float *p, struct lode_err *err);

/* ---- metrics ---- */

struct lode_train_metrics {
	size_t n, n_any;
	double auc, ap, brier, skill, log_loss, ece;
	double onset_auc;
	double cause_auc
		[LODE_TRAIN_CAUSES]; /* within the series that have such losses; NaN: none */
	size_t cause_n[LODE_TRAIN_CAUSES];
};
int lode_train_measure(const struct lode_train_data *data, const uint32_t *windows, size_t n,
	const float *p, struct lode_train_metrics *m, struct lode_err *err);

/* Difference of two predictors, with a bootstrap over whole series: AUC of a - b, and skill of a / b. */
struct lode_train_difference {
	double auc, auc_low, auc_high; /* 95 % */
	double skill_ratio, skill_low;
};
int lode_train_compare(const struct lode_train_data *data, const uint32_t *windows, size_t n,
	const float *a, const float *b, uint64_t seed, struct lode_train_difference *d,
	struct lode_err *err);

/* Baselines: fitted on the windows `fit`, then said of the windows `test`. */
enum lode_train_baseline {
	LODE_TRAIN_LAST,    /* loss told in the newest window or not */
	LODE_TRAIN_CHAIN,   /* Markov chain of order 4 over 50 ms */
	LODE_TRAIN_EWMA,    /* moving average, weight 0.1, calibrated by isotonic regression */
	LODE_TRAIN_CLASSIC, /* the gateway's own */
	LODE_TRAIN_BASELINES,
};
const char *lode_train_baseline_name(enum lode_train_baseline b);
int lode_train_baseline(enum lode_train_baseline b, const struct lode_train_data *data,
	const uint32_t *fit, size_t n_fit, const uint32_t *test, size_t n_test, float *p,
	struct lode_err *err);

/* ---- plots ---- */

struct lode_train_curve {
	const char *name;
	const double *y;
	unsigned n;
};
/* Curves over epochs as an SVG picture. */
int lode_train_plot(const char *path, const char *title, const struct lode_train_curve *curves,
	unsigned n_curves, struct lode_err *err);
