/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_train.h"

/* ---- loss.c: one predictor from samples to file, card and curves ---- */

struct train_job {
	const char *samples, *out; /* file; folder */
	const char *kind;	   /* mlp, lstm, transformer */
	const char *schema;	   /* name; NULL: the gateway's own */
	bool fp32;		   /* keep the master too */
	unsigned every;		   /* usable windows: one in so many */
	struct lode_train_options options;
};
int train_loss(const struct train_job *job, struct lode_err *err);

/* ---- records.c: LossSample and DrlExperience of the older project ---- */

bool is_json(const char *path);
/* Free with lode_learn_export_free. */
int read_export(const char *path, struct lode_learn_export *e, struct lode_err *err);
/* Reads and checks such a file, or a file of samples; writes it again unless out is NULL. */
int convert_records(const char *path, const char *out, struct lode_err *err);

/* ---- card.c ---- */

struct card {
	const struct train_job *job;
	const struct lode_nn_desc *desc;
	const struct lode_train_data *data;
	const struct lode_train_report *report;
	struct lode_train_metrics fp32, int8, baselines[LODE_TRAIN_BASELINES];
	double wall_s;
	char name[LODE_MODEL_NAME_BYTES];
};
/* JSON for the model file; at most size bytes. int8: with the figures of the packed model. */
int card_json(const struct card *c, bool int8, char *text, size_t size, struct lode_err *err);
/* The same for people: NAME.md in the folder. */
int card_write(const struct card *c, const char *folder, struct lode_err *err);
