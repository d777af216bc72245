/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_fec.h"
#include "lode_perf.h"

/* Rows of suite fec: the policy against fixed rates and against one that knows the loss. */
void fec_policy(struct lode_perf *p, const struct lode_fec_tables *tables);
/* Rows of suite fec: transfers through whole gateways with repair against the same without. */
void fec_harm(struct lode_perf *p);
