/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs perf/tunnel.sh and compares Lodestone's rows with its peers'. Arguments after --: build folder,
 * seconds of a run. */
#include "lode_perf.h"

#include <math.h>

#define ROWS_MAX 16

int suite_tunnel(struct lode_perf *p);

int suite_tunnel(struct lode_perf *p)
{
	static const char *const peers[] = {"wireguard-go", "openvpn"};
	struct lode_perf_figure row[ROWS_MAX];
	int n = lode_perf_script(p, "tunnel", "5", row, ROWS_MAX);
	for (int i = 0; i < n; i++) {
		bool ours = !strncmp(row[i].name, "lodestone", 9);
		for (unsigned k = 0; k < (ours ? LODE_ARRAY_LEN(peers) : 1); k++) {
			double peer = lode_perf_figure_of(row, n, peers[k], row[i].metric);
			lode_perf_row(p, row[i].name, row[i].metric, row[i].value, row[i].unit,
				ours ? peers[k] : NULL, ours ? row[i].value / peer : NAN);
		}
	}
	return n < 0 ? -1 : 0;
}
