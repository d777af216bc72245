/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/idle.sh: CPU of an idle gateway with four probed paths, and a bound on the time to wake. Compared
 * with the bars of 5 % and 300 us; above 1 is better. Arguments after --: build folder, seconds, CPUs of the workers
 * ("0, 1"; CPU is that of the whole process). */
#include "lode_perf.h"

#include <stdio.h>

#define CPU_BAR_PERCENT 5.0
#define WAKE_BAR_US	300.0

int suite_idle(struct lode_perf *p);

int suite_idle(struct lode_perf *p)
{
	char command[512], line[200], name[40], metric[20], unit[20];
	double value;
	int n = 0;
	snprintf(command, sizeof(command), "%s/perf/idle.sh '%s' '%s' '%s'", LODE_SOURCE_ROOT,
		p->argc > 0 ? p->argv[0] : LODE_BUILD_ROOT, p->argc > 1 ? p->argv[1] : "20",
		p->argc > 2 ? p->argv[2] : "");
	FILE *script = popen(command, "r");
	if (!script) {
		perror(command);
		return -1;
	}
	while (fgets(line, sizeof(line), script)) {
		if (sscanf(line, "%39s %19s %lf %19s", name, metric, &value, unit) != 4)
			continue;
		bool cpu = !strcmp(metric, "cpu");
		lode_perf_row(p, name, metric, value, unit, cpu ? "5 %" : "300 us",
			(cpu ? CPU_BAR_PERCENT : WAKE_BAR_US) / value);
		n++;
	}
	return pclose(script) || n != 3 ? -1 : 0;
}
