/* SPDX-License-Identifier: BSD-3-Clause */
/* The selectors once more, written down as their papers and comments have them: everything is computed when
 * it is asked for, nothing is kept but what was learned. */
#pragma once

#include "lode_selector.h"

struct reference {
	struct lode_selector_params params;
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	uint8_t known;
	uint64_t now_ns;
	double weight[LODE_N_CLASSES][LODE_SELECTOR_PATHS],
		sum[LODE_N_CLASSES][LODE_SELECTOR_PATHS];
	double pulls[LODE_N_CLASSES][LODE_SELECTOR_PATHS],
		rewards[LODE_N_CLASSES][LODE_SELECTOR_PATHS];
	double inverse[LODE_SELECTOR_LINEAR][LODE_SELECTOR_INPUTS][LODE_SELECTOR_INPUTS];
	double b[LODE_SELECTOR_LINEAR][LODE_SELECTOR_INPUTS];
	/* A and b as sums over all samples, to be solved from scratch. */
	double a[LODE_SELECTOR_LINEAR][LODE_SELECTOR_INPUTS][LODE_SELECTOR_INPUTS];
};

void reference_init(struct reference *r, const struct lode_selector_params *params);
void reference_second(struct reference *r); /* one second passes */
double reference_promise(const struct reference *r, unsigned cls, unsigned path);
double reference_score(const struct reference *r, unsigned cls, unsigned path);
/* Best path without hysteresis; counts the pull. */
unsigned reference_select(struct reference *r, unsigned cls, uint8_t healthy);
void reference_observe(struct reference *r, const struct lode_selector_choice *choice,
	double reward, double weight);
/* Mean of LinUCB by Gaussian elimination on A. */
double reference_linear_mean(
	const struct reference *r, unsigned path, const double x[LODE_SELECTOR_INPUTS]);
