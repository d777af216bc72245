/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_perf.h"

/* Whole gateways on four paths: a call, a game and a bulk transfer while things go wrong. */
int path_whole_rows(struct lode_perf *p);
