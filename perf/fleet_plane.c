/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/fleet_plane.sh: the delay of single packets while an appliance fetches a model over lode0, against five
 * runs without. The bar is the spread of those. */
#include "fleet.h"

#include <math.h>

#define FIGURES_MAX 16

int fleet_plane(struct lode_perf *p)
{
	struct lode_perf_figure f[FIGURES_MAX];
	struct lode_perf script = *p;
	script.argc = 0;
	int n = lode_perf_script(
		&script, "fleet_plane", p->argc > 2 ? p->argv[2] : "10", f, FIGURES_MAX);
	double most = 0, busy = NAN;
	for (int i = 0; i < n; i++) {
		bool idle = !strncmp(f[i].name, "idle", 4), p99 = !strcmp(f[i].metric, "p99");
		lode_perf_row(p, f[i].name, f[i].metric, f[i].value, f[i].unit, NULL, NAN);
		most = idle && p99 ? fmax(most, f[i].value) : most;
		busy = !idle && p99 ? f[i].value : busy;
	}
	if (n > 0)
		lode_perf_row(
			p, "plane", "p99 in a transfer", busy, "us", "worst idle run", most / busy);
	return n > 0 ? 0 : -1;
}
