/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/tunnel.sh and compares Lodestone's rows with its peers'. Arguments after --: build folder,
 * seconds of a run. */
#include "lode_perf.h"

#include <math.h>
#include <stdio.h>

#define ROWS_MAX 16

int suite_tunnel(struct lode_perf *p);

struct row {
	char name[40], metric[20], unit[20];
	double value;
};

static double value_of(const struct row *rows, int n, const char *name, const char *metric)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(rows[i].name, name) && !strcmp(rows[i].metric, metric))
			return rows[i].value;
	return NAN;
}

static void report(struct lode_perf *p, const struct row *rows, int n)
{
	static const char *const peers[] = {"wireguard-go", "openvpn"};
	for (int i = 0; i < n; i++) {
		bool ours = !strncmp(rows[i].name, "lodestone", 9);
		for (unsigned k = 0; k < (ours ? LODE_ARRAY_LEN(peers) : 1); k++)
			lode_perf_row(p, rows[i].name, rows[i].metric, rows[i].value, rows[i].unit,
				ours ? peers[k] : NULL,
				ours ? rows[i].value / value_of(rows, n, peers[k], rows[i].metric)
				     : NAN);
	}
}

int suite_tunnel(struct lode_perf *p)
{
	struct row rows[ROWS_MAX];
	char command[512], line[200];
	int n = 0;
	snprintf(command, sizeof(command), "%s/perf/tunnel.sh '%s' '%s'", LODE_SOURCE_ROOT,
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
	report(p, rows, n);
	return pclose(script) || n == 0 ? -1 : 0;
}
