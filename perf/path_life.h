/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_perf.h"

/* How often a living path is called dead, and how soon a dead one. */
void path_life_rows(struct lode_perf *p);
