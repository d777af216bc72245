/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include "lode_clock.h"

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

uint64_t lode_perf_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t lode_perf_wall_ns(void)
{
	return lode_clock_ns();
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

/* Rows without memory are missing in the picture only. */
static void remember(struct lode_perf *p, const char *name, const char *metric, double value,
	const char *unit, const char *baseline, double ratio)
{
	struct perf_result *grown = realloc(p->results, (p->n_results + 1) * sizeof(p->results[0]));
	if (!grown)
		return;
	p->results = grown;
	struct perf_result *r = &p->results[p->n_results++];
	*r = (struct perf_result){.value = value, .ratio = ratio};
	snprintf(r->name, sizeof(r->name), "%s", name);
	snprintf(r->metric, sizeof(r->metric), "%s", metric);
	snprintf(r->unit, sizeof(r->unit), "%s", unit);
	snprintf(r->baseline, sizeof(r->baseline), "%s", baseline ? baseline : "");
}

void lode_perf_row(struct lode_perf *p, const char *name, const char *metric, double value,
	const char *unit, const char *baseline, double ratio)
{
	lode_perf_progress(p, "%s", "");
	remember(p, name, metric, value, unit, baseline, ratio);
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

static int usage(FILE *to)
{
	fputs("usage: lode-perf SUITE [--json] [--only TEXT] [--svg FILE] [--against BINARY]\n"
	      "                 [-- SUITE ARGUMENTS]\n"
	      "--svg      draws the figures too\n"
	      "--against  runs the suite of another lode-perf in turns with this one, best of 9 "
	      "each\n"
	      "suites:",
		to);
	for (int i = 0; suites[i].name; i++)
		fprintf(to, " %s", suites[i].name);
	fputc('\n', to);
	return to == stderr;
}

struct arguments {
	struct lode_perf perf;
	const char *svg, *against;
};

static bool parse_arguments(int argc, char **argv, struct arguments *a)
{
	if (argc < 2)
		return false;
	a->perf.suite = argv[1];
	for (int i = 2; i < argc; i++) {
		bool has_value = i + 1 < argc;
		if (!strcmp(argv[i], "--json")) {
			a->perf.json = true;
		} else if (!strcmp(argv[i], "--only") && has_value) {
			a->perf.filter = argv[++i];
		} else if (!strcmp(argv[i], "--svg") && has_value) {
			a->svg = argv[++i];
		} else if (!strcmp(argv[i], "--against") && has_value) {
			a->against = argv[++i];
		} else if (!strcmp(argv[i], "--")) {
			a->perf.argc = argc - i - 1;
			a->perf.argv = argv + i + 1;
			break;
		} else {
			return false;
		}
	}
	return true;
}

static int run_suite(struct arguments *a, int (*suite)(struct lode_perf *p))
{
	int failed = a->against ? perf_against(&a->perf, a->against) : suite(&a->perf) != 0;
	int rc = a->svg ? perf_svg_write(&a->perf, a->svg) : 0;
	if (rc)
		fprintf(stderr, "lode-perf: %s: %s\n", a->svg, strerror(-rc));
	free(a->perf.results);
	return failed || rc;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return usage(stdout);
	if (!parse_arguments(argc, argv, &a))
		return usage(stderr);
	for (int i = 0; suites[i].name; i++)
		if (!strcmp(suites[i].name, a.perf.suite))
			return run_suite(&a, suites[i].run);
	return usage(stderr);
}
