/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/idle.sh: CPU of an idle gateway with four probed paths, and a bound on the time to wake. Compared
 * with the bars of 5 % and 300 us; above 1 is better. Arguments after --: build folder, seconds, CPUs of the workers
 * ("0, 1"; CPU is that of the whole process). */
#include "lode_perf.h"

#define CPU_BAR_PERCENT 5.0
#define WAKE_BAR_US	300.0
#define ROWS		3

int suite_idle(struct lode_perf *p);

int suite_idle(struct lode_perf *p)
{
	struct lode_perf_figure row[ROWS];
	int n = lode_perf_script(p, "idle", "20", row, ROWS);
	for (int i = 0; i < n; i++) {
		bool cpu = !strcmp(row[i].metric, "cpu");
		lode_perf_row(p, row[i].name, row[i].metric, row[i].value, row[i].unit,
			cpu ? "5 %" : "300 us",
			(cpu ? CPU_BAR_PERCENT : WAKE_BAR_US) / row[i].value);
	}
	return n == ROWS ? 0 : -1;
}
