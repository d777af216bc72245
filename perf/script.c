/* SPDX-License-Identifier: BSD-3-Clause */
/* Suites that are shell scripts, because they need network namespaces and other programs. */
#include "lode_perf.h"

#include <math.h>
#include <stdio.h>

int lode_perf_script(const struct lode_perf *p, const char *name, const char *argument,
	struct lode_perf_figure *figures, int max)
{
	char command[512], line[200];
	int n = 0;
	snprintf(command, sizeof(command), "%s/perf/%s.sh '%s' '%s' '%s'", LODE_SOURCE_ROOT, name,
		p->argc > 0 ? p->argv[0] : LODE_BUILD_ROOT, p->argc > 1 ? p->argv[1] : argument,
		p->argc > 2 ? p->argv[2] : "");
	FILE *script = popen(command, "r");
	if (!script) {
		perror(command);
		return -1;
	}
	while (fgets(line, sizeof(line), script)) {
		struct lode_perf_figure *f = &figures[n];
		if (n < max && sscanf(line, "%39s %19s %lf %19s", f->name, f->metric, &f->value,
				       f->unit) == 4)
			n++;
	}
	return pclose(script) || n == 0 ? -1 : n;
}

double lode_perf_figure_of(
	const struct lode_perf_figure *figures, int n, const char *name, const char *metric)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(figures[i].name, name) && !strcmp(figures[i].metric, metric))
			return figures[i].value;
	return NAN;
}
