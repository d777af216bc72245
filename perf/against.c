/* SPDX-License-Identifier: BSD-3-Clause */
/* Old binary against new one: both run the same suite in turns, so that whatever else the machine does hits
 * both; the best of 9 runs of each row counts, being the least disturbed. */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_TURNS	      9
#define ROWS_MAX      256
#define WORSE_PERCENT 3.0

struct best {
	unsigned n;
	struct perf_result rows[ROWS_MAX];
};

static bool less_is_better(const char *unit)
{
	static const char *const units[] = {
		"ns", "us", "ms", "s", "cycles", "bytes", "B", "%", "instructions"};
	size_t len = strcspn(unit, "/");
	for (unsigned i = 0; i < LODE_ARRAY_LEN(units); i++)
		if (strlen(units[i]) == len && !strncmp(units[i], unit, len))
			return true;
	return false;
}

static bool take_string(const char *line, const char *key, char *out, size_t size)
{
	char start[40];
	snprintf(start, sizeof(start), "\"%s\":\"", key);
	const char *at = strstr(line, start);
	out[0] = '\0';
	if (!at)
		return false;
	at += strlen(start);
	size_t len = strcspn(at, "\"");
	snprintf(out, size, "%.*s", (int)len, at);
	return true;
}

/* A row of --json. False: not one. */
static bool parse_row(const char *line, struct perf_result *r)
{
	const char *value = strstr(line, "\"value\":"), *ratio = strstr(line, "\"ratio\":");
	if (!value || sscanf(value, "\"value\":%lf", &r->value) != 1)
		return false;
	r->ratio = NAN;
	if (ratio)
		sscanf(ratio, "\"ratio\":%lf", &r->ratio);
	take_string(line, "baseline", r->baseline, sizeof(r->baseline));
	return take_string(line, "case", r->name, sizeof(r->name)) &&
	       take_string(line, "metric", r->metric, sizeof(r->metric)) &&
	       take_string(line, "unit", r->unit, sizeof(r->unit));
}

static void keep_best(struct best *b, const struct perf_result *r)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct perf_result *have = &b->rows[i];
		if (strcmp(have->name, r->name) || strcmp(have->metric, r->metric))
			continue;
		if (less_is_better(r->unit) ? r->value < have->value : r->value > have->value)
			*have = *r;
		return;
	}
	if (b->n < ROWS_MAX)
		b->rows[b->n++] = *r;
}

/* Runs `binary SUITE --json ...` and takes its rows. */
static int run(const struct lode_perf *p, const char *binary, struct best *b)
{
	char *argv[64] = {(char *)binary, (char *)p->suite, "--json"};
	unsigned n = 3;
	if (p->filter) {
		argv[n++] = "--only";
		argv[n++] = (char *)p->filter;
	}
	if (p->argc)
		argv[n++] = "--";
	for (int i = 0; i < p->argc && n + 1 < LODE_ARRAY_LEN(argv); i++)
		argv[n++] = p->argv[i];
	int ends[2], status = 0;
	if (pipe(ends))
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execv(binary, argv);
		perror(binary);
		_exit(127);
	}
	close(ends[1]);
	FILE *rows = fdopen(ends[0], "r");
	char line[1024];
	struct perf_result r;
	while (rows && fgets(line, sizeof(line), rows))
		if (parse_row(line, &r))
			keep_best(b, &r);
	if (rows)
		fclose(rows);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static const struct perf_result *find(const struct best *b, const struct perf_result *like)
{
	for (unsigned i = 0; i < b->n; i++)
		if (!strcmp(b->rows[i].name, like->name) &&
			!strcmp(b->rows[i].metric, like->metric))
			return &b->rows[i];
	return NULL;
}

/* Shows the rows; returns how many that have a baseline became worse. */
static unsigned judge(struct lode_perf *p, const struct best *old, const struct best *new)
{
	unsigned n_worse = 0;
	for (unsigned i = 0; i < new->n; i++) {
		const struct perf_result *now = &new->rows[i], *was = find(old, now);
		double better = !was			    ? NAN
				: less_is_better(now->unit) ? was->value / now->value
							    : now->value / was->value;
		lode_perf_row(p, now->name, now->metric, now->value, now->unit,
			was ? "the other binary" : NULL, better);
		n_worse += now->baseline[0] && better < 1 - WORSE_PERCENT / 100;
	}
	return n_worse;
}

int perf_against(struct lode_perf *p, const char *old_binary)
{
	struct best *best = calloc(2, sizeof(*best));
	int rc = best ? 0 : -ENOMEM;
	for (unsigned turn = 0; turn < N_TURNS && !rc; turn++) {
		lode_perf_progress(p, "turn %u of %u", turn + 1, N_TURNS);
		rc = run(p, old_binary, &best[0]);
		if (!rc)
			rc = run(p, "/proc/self/exe", &best[1]);
	}
	unsigned n_worse = rc ? 0 : judge(p, &best[0], &best[1]);
	free(best);
	if (rc)
		fprintf(stderr, "lode-perf: cannot compare with %s: %s\n", old_binary,
			strerror(-rc));
	if (n_worse)
		fprintf(stderr, "lode-perf: %u figures are worse by more than %g %%\n", n_worse,
			WORSE_PERCENT);
	return rc || n_worse;
}
