/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/metrics: figures in Prometheus' text format 0.0.4: families with HELP and TYPE, escaped labels, base
 * units (seconds, bytes, ratios). No state, no I/O; an object belongs to one thread. */
#pragma once

#include "lode_base.h"

#include <jansson.h>
#include <stdio.h>

#define LODE_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum lode_metric_type { LODE_METRIC_GAUGE, LODE_METRIC_COUNTER, LODE_METRIC_HISTOGRAM };

struct lode_metrics {
	FILE *to;
	char *text;
	size_t len;
};

struct lode_label {
	const char *name, *value;
};

/* -ENOMEM. */
int lode_metrics_begin(struct lode_metrics *m);
/* The text, malloc'd, its length in *len; NULL without memory. */
char *lode_metrics_end(struct lode_metrics *m, size_t *len);

/* Begins a family: once per name, its samples follow. The name without a suffix of histograms. */
void lode_metrics_family(
	struct lode_metrics *m, const char *name, enum lode_metric_type type, const char *help);
/* labels end with a NULL name; labels itself may be NULL. */
void lode_metrics_sample(
	struct lode_metrics *m, const char *name, const struct lode_label *labels, double value);
/* A whole family: cumulative buckets at each doubling from 2^13 ns (8 us) to 2^36 ns (69 s). */
void lode_metrics_histogram_ns(
	struct lode_metrics *m, const char *name, const char *help, const struct lode_hist *ns);

/* Families of everything the gateway says; latest: lode_scrape_latest. When it is down only
 * lodestone_gateway_up is there: old figures would pass for new ones. */
void lode_metrics_gateway(struct lode_metrics *m, const json_t *latest);
