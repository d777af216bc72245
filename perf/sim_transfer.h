/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_perf.h"

/* Rows of suite sim about a transfer, one of whose paths goes bad. The EAL must be up. */
bool sim_transfer_wanted(const struct lode_perf *p);
void sim_transfer(struct lode_perf *p);
