/* SPDX-License-Identifier: BSD-3-Clause */
/* INT8 tensors into the packed layout, layer by layer (pack_layer.c); pack.c knows which layers a network has. */
#pragma once

#include "packed.h"
#include "points.h"

#define NONE (-1) /* a padded output or input */

/* One linear layer as the file has it, and how its outputs and inputs are placed. */
struct source {
	char name[16];
	const int8_t *weight;
	const float *scale, *bias;
	uint32_t n_cols;
	/* value of an input = in_step * (byte + in_offset[column]); in_step 1: weights carry it */
	double in_step, in_offset[LODE_NN_MAX_HIDDEN];
	int16_t row[4 * LODE_NN_MAX_LSTM + LODE_NN_MAX_HIDDEN]; /* per packed output */
	int16_t col[LODE_NN_MAX_HIDDEN + 32];			/* per packed input */
};

struct range {
	double low, step;
};

struct range range_of(const struct weights *w, const char *point);
struct quantiser quantiser_of(struct range r);
/* At a ReLU byte 0 must be value 0. */
int activation_range(const struct lode_nn_desc *d, const struct weights *w, const char *point,
	struct range *r, struct lode_err *err);
/* Used as signed bytes: byte 128 must be value 0. */
int symmetric_range(
	const struct weights *w, const char *point, struct range *r, struct lode_err *err);
const void *tensor_data(const struct weights *w, const char *layer, const char *suffix);

/* Outputs first_row .. first_row + n_rows in order, all inputs in order; NONE after them. */
void source_open(struct source *s, const struct weights *w, const char *layer, unsigned first_row,
	unsigned n_rows);
/* What its inputs are: bytes of a point, or the features. */
void reads_point(struct source *s, struct range r);
void reads_features(struct source *s, const struct lode_nn_desc *d, const struct weights *w);

/* Writes a layer whose byte sink has the range out (NULL for floats). */
int pack_linear(struct lode_nn_model *m, unsigned index, const struct source *s,
	const struct range *out, struct lode_err *err);
/* How the features become bytes. */
void pack_input(struct lode_nn_model *m, const struct weights *w, unsigned n_floats);
