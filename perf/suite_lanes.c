/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/lanes.sh: one peer's traffic on one worker and on two. Arguments after --: build folder, seconds of
 * a run. Each gateway wants a CPU per worker and one for control: with fewer the workers take turns. */
#include "lode_perf.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define CPUS_WANTED 6
#define ROWS_MAX    8

int suite_lanes(struct lode_perf *p);

struct row {
	char name[40], metric[20], unit[20];
	double value;
};

static double with_one_worker(const struct row *rows, int n, const char *metric)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(rows[i].name, "workers-1") && !strcmp(rows[i].metric, metric))
			return rows[i].value;
	return NAN;
}

int suite_lanes(struct lode_perf *p)
{
	struct row rows[ROWS_MAX];
	char command[512], line[200];
	int n = 0;
	snprintf(command, sizeof(command), "%s/perf/lanes.sh '%s' '%s'", LODE_SOURCE_ROOT,
		p->argc > 0 ? p->argv[0] : LODE_BUILD_ROOT, p->argc > 1 ? p->argv[1] : "5");
	FILE *script = popen(command, "r");
	if (!script) {
		perror(command);
		return -1;
	}
	while (n < ROWS_MAX && fgets(line, sizeof(line), script))
		if (sscanf(line, "%39s %19s %lf %19s", rows[n].name, rows[n].metric, &rows[n].value,
			    rows[n].unit) == 4)
			n++;
	for (int i = 0; i < n; i++) {
		bool two = !strcmp(rows[i].name, "workers-2");
		lode_perf_row(p, rows[i].name, rows[i].metric, rows[i].value, rows[i].unit,
			two ? "workers-1" : NULL,
			two ? rows[i].value / with_one_worker(rows, n, rows[i].metric) : NAN);
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS_WANTED)
		fprintf(stderr,
			"speed-up by further workers: not measurable here, %d CPUs wanted\n",
			CPUS_WANTED);
	return pclose(script) || n == 0 ? -1 : 0;
}
