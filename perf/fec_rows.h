/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_fec.h"
#include "lode_loss.h"
#include "lode_perf.h"

/* Rows of suite fec: the policy against fixed rates and against one that knows the loss. */
void fec_policy(struct lode_perf *p, const struct lode_fec_tables *tables);
/* Rows of suite fec: transfers through whole gateways with repair against the same without. */
void fec_harm(struct lode_perf *p);
/* The shipped loss predictor; *used is NULL where it cannot be loaded. Free with lode_model_free. */
struct lode_model *fec_predictor(
	struct lode_loss_model *predictor, const struct lode_loss_model **used);
