/* SPDX-License-Identifier: BSD-3-Clause */
/* base/file: small files written so that a power cut leaves the old one or the new one. Blocks while the disk works: helper
 * threads and programs only. */
#pragma once

#include "lode_base.h"

#include <sys/types.h>

/* All of it, through short writes and signals. 0 or -errno. */
int lode_file_write_all(int fd, const void *data, size_t len);

/* What was made, renamed or removed in a folder stays so. 0 or -errno. */
int lode_file_sync_folder(const char *folder);

/* Makes or replaces path, whole or not at all: written beside it (path.new), synced, renamed; then the folder is
 * synced. mode: of a file that was not there. On an error path is as it was. */
int lode_file_replace(
	const char *path, mode_t mode, const void *data, size_t len, struct lode_err *err);
