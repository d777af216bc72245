/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/latency.sh: delay of single packets through two gateways against the same links joined by
 * bridges of the kernel and by dpdk-testpmd. What the gateways add at the 99th percentile is compared with
 * the bar of 500 us; above 1 is better. Arguments after --: build folder, seconds. */
#include "lode_perf.h"

#include <math.h>
#include <stdio.h>

#define ADDED_BAR_US 500.0
#define ROWS_MAX     8

int suite_latency(struct lode_perf *p);

int suite_latency(struct lode_perf *p)
{
	static const char *const others[] = {"kernel-bridges", "testpmd"};
	static const char *const metrics[] = {"p50", "p99"};
	struct lode_perf_figure row[ROWS_MAX];
	int n = lode_perf_script(p, "latency", "10", row, ROWS_MAX);
	for (int i = 0; i < n; i++)
		lode_perf_row(p, row[i].name, row[i].metric, row[i].value, "us", NULL, NAN);
	for (unsigned i = 0; n > 0 && i < LODE_ARRAY_LEN(others); i++) {
		char name[60];
		snprintf(name, sizeof(name), "gateways over %s", others[i]);
		for (unsigned k = 0; k < LODE_ARRAY_LEN(metrics); k++) {
			double added_us = lode_perf_figure_of(row, n, "gateways", metrics[k]) -
					  lode_perf_figure_of(row, n, others[i], metrics[k]);
			lode_perf_row(p, name, metrics[k], added_us, "us", k ? "500 us" : NULL,
				k ? ADDED_BAR_US / fmax(added_us, 1) : NAN);
		}
	}
	return n < 0 ? -1 : 0;
}
