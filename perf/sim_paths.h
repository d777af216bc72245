/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_perf.h"

/* Rows of suite sim about whole gateways: two paths together, failover, the simulator's speed. */
int sim_paths(struct lode_perf *p);
