/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_perf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DECLARE(name) int suite_##name(struct lode_perf *p);
LODE_PERF_SUITES(DECLARE)

static const struct {
	const char *name;
	int (*run)(struct lode_perf *p);
} suites[] = {
#define ROW(name) {#name, suite_##name},
	LODE_PERF_SUITES(ROW){NULL, NULL}};

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t lode_perf_cpu_ns(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t lode_perf_wall_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double batch_ns(void (*fn)(void *), void *arg, unsigned n_calls)
{
	uint64_t start = lode_perf_cpu_ns();
	for (unsigned i = 0; i < n_calls; i++)
		fn(arg);
	return (double)(lode_perf_cpu_ns() - start) / n_calls;
}

double lode_perf_median_ns(void (*fn)(void *), void *arg, unsigned n_calls, unsigned n_batches)
{
	double *ns = malloc(n_batches * sizeof(*ns));
	if (!ns)
		return NAN;
	for (unsigned b = 0; b < n_batches; b++)
		ns[b] = batch_ns(fn, arg, n_calls);
	qsort(ns, n_batches, sizeof(*ns), by_value);
	double median = ns[n_batches / 2];
	free(ns);
	return median;
}

double lode_perf_min_ns(void (*fn)(void *), void *arg, unsigned n_calls, unsigned n_batches)
{
	double least = INFINITY;
	for (unsigned b = 0; b < n_batches; b++)
		least = fmin(least, batch_ns(fn, arg, n_calls));
	return least;
}

bool lode_perf_wanted(const struct lode_perf *p, const char *name)
{
	return !p->filter || strstr(name, p->filter);
}

void lode_perf_progress(struct lode_perf *p, const char *fmt, ...)
{
	if (!isatty(STDERR_FILENO))
		return;
	va_list args;
	va_start(args, fmt);
	fputs("\r\033[K", stderr);
	vfprintf(stderr, fmt, args);
	va_end(args);
}

static void print_json(const struct lode_perf *p, const char *name, const char *metric,
	double value, const char *unit, const char *baseline, double ratio)
{
	char text[1024];
	struct lode_json j;
	lode_json_begin(&j, text, sizeof(text));
	lode_json_object(&j, NULL);
	lode_json_string(&j, "suite", p->suite);
	lode_json_string(&j, "case", name);
	lode_json_string(&j, "metric", metric);
	lode_json_double(&j, "value", value);
	lode_json_string(&j, "unit", unit);
	if (baseline)
		lode_json_string(&j, "baseline", baseline);
	else
		lode_json_null(&j, "baseline");
	lode_json_double(&j, "ratio", ratio);
	lode_json_close_object(&j);
	if (lode_json_end(&j) > 0)
		puts(text);
}

void lode_perf_row(struct lode_perf *p, const char *name, const char *metric, double value,
	const char *unit, const char *baseline, double ratio)
{
	lode_perf_progress(p, "%s", "");
	if (p->json) {
		print_json(p, name, metric, value, unit, baseline, ratio);
	} else {
		printf("%-36s %-28s %12.4g %-10s", name, metric, value, unit);
		if (baseline)
			printf(" %7.3gx %s", ratio, baseline);
		putchar('\n');
	}
	fflush(stdout);
}

static int usage(void)
{
	fputs("usage: lode-perf SUITE [--json] [--only TEXT] [-- SUITE ARGUMENTS]\nsuites:",
		stderr);
	for (int i = 0; suites[i].name; i++)
		fprintf(stderr, " %s", suites[i].name);
	fputc('\n', stderr);
	return 1;
}

int main(int argc, char **argv)
{
	struct lode_perf p = {0};
	if (argc < 2)
		return usage();
	p.suite = argv[1];
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			p.json = true;
		} else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
			p.filter = argv[++i];
		} else if (!strcmp(argv[i], "--")) {
			p.argc = argc - i - 1;
			p.argv = argv + i + 1;
			break;
		} else {
			return usage();
		}
	}
	for (int i = 0; suites[i].name; i++)
		if (!strcmp(suites[i].name, p.suite))
			return suites[i].run(&p) ? 1 : 0;
	return usage();
}
