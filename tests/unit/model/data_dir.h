/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The data folder; skips the test with a note when it is absent. */
static inline const char *data_dir_or_skip(void)
{
	static char path[400];
	const char *dir = getenv("LODESTONE_DATA_DIR"), *root = getenv("LODE_SOURCE_ROOT");
	snprintf(path, sizeof(path), "%s%s",
		dir    ? dir
		: root ? root
		       : ".",
		dir ? "" : "/../shared/data");
	if (access(path, R_OK))
		cr_skip_test("no data folder at %s (set LODESTONE_DATA_DIR)", path);
	return path;
}
