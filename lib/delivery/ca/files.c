/* SPDX-License-Identifier: BSD-3-Clause */
/* Small files, whole or not at all. */
#include "pem.h"

#include "lode_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_folder(const char *dir, struct lode_err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? lode_err_set(err, -errno, "%s: %s", dir, strerror(errno)) : fd;
}

int lode_ca_read_file(const char *dir, const char *name, char **text, struct lode_err *err)
{
	int folder = open_folder(dir, err);
	if (folder < 0)
		return folder;
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char *buf = fd < 0 ? NULL : calloc(1, LODE_CA_PEM_MAX + 1);
	ssize_t n = buf ? read(fd, buf, LODE_CA_PEM_MAX) : -1;
	int rc = n > 0 ? 0
		       : lode_err_set(err, n ? -errno : -EINVAL, "%s/%s: %s", dir, name,
				 n ? strerror(errno) : "the file is empty");
	if (fd >= 0)
		close(fd);
	close(folder);
	if (rc)
		free(buf);
	else
		*text = buf;
	return rc;
}

static int write_file(const char *dir, const char *name, unsigned mode, const char *text,
	unsigned rename_flags, struct lode_err *err)
{
	char beside[80];
	int folder = open_folder(dir, err);
	if (folder < 0)
		return folder;
	snprintf(beside, sizeof(beside), ".%.50s.%d", name, (int)getpid());
	unlinkat(folder, beside, 0);
	int fd = openat(folder, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int rc = fd < 0 ? -errno : lode_file_write_all(fd, text, strlen(text));
	if (!rc && (fsync(fd) || renameat2(folder, beside, folder, name, rename_flags) ||
			   fsync(folder)))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	if (rc)
		unlinkat(folder, beside, 0);
	close(folder);
	return rc ? lode_err_set(err, rc, "%s/%s: %s", dir, name, strerror(-rc)) : 0;
}

int lode_ca_write_file(
	const char *dir, const char *name, unsigned mode, const char *text, struct lode_err *err)
{
	return write_file(dir, name, mode, text, 0, err);
}

int write_first(const char *dir, const char *name, unsigned mode, char **text, struct lode_err *err)
{
	int rc = write_file(dir, name, mode, *text, RENAME_NOREPLACE, err);
	if (rc != -EEXIST)
		return rc;
	explicit_bzero(*text, strlen(*text));
	free(*text);
	*text = NULL;
	return lode_ca_read_file(dir, name, text, err);
}
