/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of the rows of a suite beside the table: a picture, a comparison with another binary. */
#pragma once

#include "lode_perf.h"

struct perf_result {
	char name[96], metric[48], unit[24], baseline[48]; /* baseline empty: none */
	double value, ratio;
};

/* 0 or -errno. */
int perf_svg_write(const struct lode_perf *p, const char *path);
/* Runs the suite with that binary and with this one in turns and shows the best of each. 0, or 1 when a
 * figure that has a baseline is worse than in the other binary by more than 3 %. */
int perf_against(struct lode_perf *p, const char *old_binary);
