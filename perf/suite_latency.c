/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/latency.sh: delay of single packets through two gateways against the same links joined by
 * bridges of the kernel and by dpdk-testpmd. What the gateways add at the 99th percentile is compared with
 * the bar of 500 us; above 1 is better. Arguments after --: build folder, seconds. */
#include "lode_perf.h"

#include <math.h>
#include <stdio.h>

#define ADDED_BAR_US 500.0

int suite_latency(struct lode_perf *p);

enum { KERNEL_BRIDGES, TESTPMD, GATEWAYS, N_CASES };
static const char *const cases[N_CASES] = {"kernel-bridges", "testpmd", "gateways"};

int suite_latency(struct lode_perf *p)
{
	double us[N_CASES][2] = {0}; /* p50, p99 */
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
		for (unsigned i = 0; i < N_CASES; i++)
			if (!strcmp(name, cases[i]))
				us[i][!strcmp(metric, "p99")] = value;
		lode_perf_row(p, name, metric, value, "us", NULL, NAN);
	}
	int rc = pclose(script);
	for (unsigned i = 0; i < GATEWAYS && rc == 0; i++) {
		double p50 = us[GATEWAYS][0] - us[i][0], p99 = us[GATEWAYS][1] - us[i][1];
		snprintf(line, sizeof(line), "gateways over %s", cases[i]);
		lode_perf_row(p, line, "p50", p50, "us", NULL, NAN);
		lode_perf_row(p, line, "p99", p99, "us", "500 us", ADDED_BAR_US / LODE_MAX(p99, 1.0));
	}
	return rc ? -1 : 0;
}
