/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/scrape: what the gateway beside the manager says of itself, asked over dpdk-telemetry: one
 * connection, every view once per round, and the last quarter of an hour of each path. One thread calls
 * lode_scrape_round; any thread may read what it found. Times are milliseconds since 1970 (`_ms`) and are passed
 * in. Actions return 0 or -errno. */
#pragma once

#include "lode_base.h"

#include <jansson.h>

#define LODE_SCRAPE_TIMEOUT_MS	1000 /* per question */
#define LODE_SCRAPE_INTERVAL_MS 2000 /* between rounds, as the history's length assumes */
#define LODE_SCRAPE_SAMPLES	450  /* of each path: 15 minutes */

struct lode_scrape;

/* socket_path: dpdk_telemetry.v2 of the gateway; it need not be there yet. */
int lode_scrape_new(const char *socket_path, struct lode_scrape **out, struct lode_err *err);
void lode_scrape_free(struct lode_scrape *s);

/* Connects if need be and asks for every view; takes up to a time-out when the gateway hangs. On an error the
 * gateway counts as down, with the sentence as its reason. */
int lode_scrape_round(struct lode_scrape *s, int64_t now_ms, struct lode_err *err);

/* What the last round found, a new reference to an object nobody changes:
 *   {"state": "waiting" | "up" | "down", "reason": why it is down, "asked_ms": 0 before the first round,
 *    "answered_ms": of the last good round, "views": {"paths": {...}, ...}, "help": {"worker": {name: text}}}
 * While the gateway is down views are those of the last good round. NULL without memory. */
json_t *lode_scrape_latest(struct lode_scrape *s);

/* Samples of each path after since_ms, oldest first, as columns:
 *   {"interval_ms": n, "paths": {"site-b/fibre": {"t_ms": [...], "rtt_us": [...], "loss_ppm": [...],
 *    "tx_kbps": [...], "rx_kbps": [...]}}}
 * Rates are those between two rounds; what is not known is null. */
json_t *lode_scrape_history(struct lode_scrape *s, int64_t since_ms);
