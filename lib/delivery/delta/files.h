/* SPDX-License-Identifier: BSD-3-Clause */
/* Files the way this room needs them: mapped inputs, and outputs that appear whole or not at all. */
#pragma once

#include "lode_delta.h"

extern const struct lode_delta_fs posix_fs;

/* A path split into an open directory and a name in it. */
struct place {
	int dir_fd;
	char name[256], part[256 + 8]; /* part: name.part */
};

/* Returns 0 or -errno with a sentence. Close with place_close. */
int place_open(struct place *p, const char *path, struct lode_err *err);
void place_close(struct place *p);

/* The part, empty, to be written; 0 or -errno with a sentence. */
int place_create(const struct place *p, int *fd, struct lode_err *err);
/* Closes the part and puts it in its place: sync, rename, sync of the directory. With rc < 0, or when that
 * fails, the part is removed. Returns rc, or -errno with a sentence. */
int place_commit(const struct place *p, const struct lode_delta_fs *fs, int fd, int rc,
	struct lode_err *err);
/* All of it with these bytes. */
int place_write(const struct place *p, const struct lode_delta_fs *fs, const void *data, size_t len,
	struct lode_err *err);

/* One file, or every regular file of a directory in order of name, mapped read-only. */
struct mapped {
	struct lode_delta_input files[LODE_DELTA_MAX_FILES];
	uint32_t n_files;
};

/* path NULL: no files. */
int mapped_open(struct mapped *m, const char *path, struct lode_err *err);
void mapped_close(struct mapped *m);
