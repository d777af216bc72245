/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/latency.sh: delay of single packets through two gateways against the same links bridged by
 * dpdk-testpmd, and what the gateways add, compared with the bar of 500 us at the 99th percentile; above 1
 * is better. Arguments after --: build folder, seconds. */
#include "lode_perf.h"

#include <math.h>
#include <stdio.h>

#define ADDED_BAR_US 500.0

int suite_latency(struct lode_perf *p);

int suite_latency(struct lode_perf *p)
{
	static const char *const metrics[] = {"p50", "p99"};
	double us[2][2] = {{NAN, NAN}, {NAN, NAN}}; /* bridged, gateways; p50, p99 */
	char command[512], line[200], name[40], metric[20];
	double value;
	snprintf(command, sizeof(command), "%s/perf/latency.sh '%s' '%s'", LODE_SOURCE_ROOT,
		p->argc > 0 ? p->argv[0] : LODE_BUILD_ROOT, p->argc > 1 ? p->argv[1] : "10");
	FILE *script = popen(command, "r");
	if (!script) {
		perror(command);
		return -1;
	}
	while (fgets(line, sizeof(line), script)) {
		if (sscanf(line, "%39s %19s %lf", name, metric, &value) != 3)
			continue;
		us[!strcmp(name, "gateways")][!strcmp(metric, "p99")] = value;
		lode_perf_row(p, name, metric, value, "us", NULL, NAN);
	}
	int rc = pclose(script);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(metrics); i++) {
		double added = us[1][i] - us[0][i];
		bool bar = !strcmp(metrics[i], "p99");
		lode_perf_row(p, "added by two gateways", metrics[i], added, "us",
			bar ? "500 us" : NULL, bar ? ADDED_BAR_US / added : NAN);
	}
	return rc ? -1 : 0;
}
