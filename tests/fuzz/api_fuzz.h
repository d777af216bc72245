/* SPDX-License-Identifier: BSD-3-Clause */
/* An API object whose database is kept in memory and lives on from one input to the next, as a manager's does. */
#pragma once

#include "lode_api.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct lode_api *the_api;
static char dir[] = "/tmp/lodestone-fuzz-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void close_api(void)
{
	lode_api_free(the_api);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void open_api(bool anybody)
{
	static char ca[sizeof(dir) + 4], blobs[sizeof(dir) + 8];
	struct lode_api_options options = {.anybody = anybody,
		.offline_s = 300,
		.ca_dir = ca,
		.now_ms = 1700000000000,
		.keep_versions = 3};
	struct lode_err err;
	if (!mkdtemp(dir))
		abort();
	snprintf(ca, sizeof(ca), "%s/ca", dir);
	snprintf(blobs, sizeof(blobs), "%s/blobs", dir);
	if (lode_api_new(&options, ":memory:", blobs, &the_api, &err))
		abort();
	atexit(close_api);
}

/* The word up to the separator, cut off there. */
static char *word(char **at, char separator)
{
	char *start = *at, *end = strchr(start, separator);
	*at = end ? end + 1 : start + strlen(start);
	if (end)
		*end = 0;
	return start;
}
