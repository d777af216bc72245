/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_perf.h"

/* What the control lcore spends on path choices. */
void path_tick_rows(struct lode_perf *p);
