/* SPDX-License-Identifier: BSD-3-Clause */
/* lode-perf: benchmarks whose results are ratios taken in one run. A suite is a function that calls
 * lode_perf_row for each figure; the program prints a table, or JSON lines with --json. */
#pragma once

#include "lode_base.h"

struct lode_perf {
	bool json;
	const char *suite;
	const char *filter; /* run only cases whose name holds this text; NULL: all */
	int argc; /* what follows the suite's name, for suites with arguments of their own */
	char **argv;
	struct perf_result *results; /* every row so far, for report.h */
	unsigned n_results;
};

/* One figure. baseline: name of what it is compared with, NULL if nothing; ratio: value against the
 * baseline's (above 1 is better), NaN if none. */
void lode_perf_row(struct lode_perf *p, const char *name, const char *metric, double value,
	const char *unit, const char *baseline, double ratio);
/* Progress for the person, on stderr when that is a terminal. */
void lode_perf_progress(struct lode_perf *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* CPU time of this thread, ns. */
uint64_t lode_perf_cpu_ns(void);
uint64_t lode_perf_wall_ns(void);
/* Median ns per call of fn(arg) over n_batches batches of n_calls. */
double lode_perf_median_ns(void (*fn)(void *), void *arg, unsigned n_calls, unsigned n_batches);
/* The same, but of the fastest batch: what the code costs when nobody else uses the core or its caches. */
double lode_perf_min_ns(void (*fn)(void *), void *arg, unsigned n_calls, unsigned n_batches);
/* A line "CASE METRIC VALUE UNIT" of a script. */
struct lode_perf_figure {
	char name[40], metric[20], unit[20];
	double value;
};
/* Runs perf/NAME.sh with the build folder and one argument more, both the suite's own where given. Figures
 * read, at most max; -1 when the script fails or says nothing. */
int lode_perf_script(const struct lode_perf *p, const char *name, const char *argument,
	struct lode_perf_figure *figures, int max);
/* The figure with these names, NaN if there is none. */
double lode_perf_figure_of(
	const struct lode_perf_figure *figures, int n, const char *name, const char *metric);
bool lode_perf_wanted(const struct lode_perf *p, const char *name);
