/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int lode_file_write_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int lode_file_sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash + 1 - path) : 1,
		slash ? path : ".");
	return lode_file_sync_folder(folder);
}

static int write_beside(const char *beside, mode_t mode, const void *data, size_t len)
{
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	int rc = lode_file_write_all(fd, data, len);
	if (!rc && fsync(fd))
		rc = -errno;
	if (close(fd) && !rc)
		rc = -errno;
	return rc;
}

int lode_file_replace(
	const char *path, mode_t mode, const void *data, size_t len, struct lode_err *err)
{
	char beside[PATH_MAX];
	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return lode_err_set(err, -ENAMETOOLONG, "%.100s...: the path is too long", path);
	int rc = write_beside(beside, mode, data, len);
	if (!rc && rename(beside, path))
		rc = -errno;
	if (rc)
		unlink(beside);
	else
		rc = sync_folder_of(path);
	return rc ? lode_err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}
