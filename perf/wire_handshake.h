/* SPDX-License-Identifier: BSD-3-Clause */
/* Parts of suite `wire`. */
#pragma once

#include "lode_perf.h"

/* CPU of the responder per message of each kind that a stranger can send. */
void handshake_rows(struct lode_perf *p);
/* A control lcore flooded with 100 000 messages a second: its longest pass, its share of the core, and how long an
 * honest peer needs to get in. */
void flood_rows(struct lode_perf *p);
