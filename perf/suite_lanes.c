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

int suite_lanes(struct lode_perf *p)
{
	struct lode_perf_figure row[ROWS_MAX];
	int n = lode_perf_script(p, "lanes", "5", row, ROWS_MAX);
	for (int i = 0; i < n; i++) {
		bool two = !strcmp(row[i].name, "workers-2");
		double one = lode_perf_figure_of(row, n, "workers-1", row[i].metric);
		lode_perf_row(p, row[i].name, row[i].metric, row[i].value, row[i].unit,
			two ? "workers-1" : NULL, two ? row[i].value / one : NAN);
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < CPUS_WANTED)
		fprintf(stderr,
			"speed-up by further workers: not measurable here, %d CPUs wanted\n",
			CPUS_WANTED);
	return n < 0 ? -1 : 0;
}
