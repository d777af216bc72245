/* SPDX-License-Identifier: BSD-3-Clause */
#include "gateway.h"

#include "lode_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNTER_FILE "handshake.counter"

int state_make_dir(const char *path, struct lode_err *err)
{
	char part[LODE_PATH_MAX];
	size_t len = strlen(path);
	if (!len || len >= sizeof(part))
		return lode_err_set(err, -ENAMETOOLONG, "state directory \"%s\": 1 to %zu bytes",
			path, sizeof(part) - 1);
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i])
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, i == len ? 0700 : 0755) && errno != EEXIST)
			return lode_err_set(
				err, -errno, "state directory %s: %s", part, strerror(errno));
	}
	return access(path, W_OK)
		       ? lode_err_set(err, -errno, "state directory %s: %s", path, strerror(errno))
		       : 0;
}

int state_lock(const char *state_dir, int *fd, struct lode_err *err)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/lock", state_dir);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	close(*fd);
	return lode_err_set(
		err, -EBUSY, "%s is held: another gateway runs with this state_dir", path);
}

static int file_path(const char *state_dir, const char *name, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/%s", state_dir, name);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

long state_read_file(
	const char *state_dir, const char *name, char *text, size_t size, struct lode_err *err)
{
	char path[PATH_MAX];
	int rc = file_path(state_dir, name, path, sizeof(path));
	int fd = rc ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return lode_err_set(err, rc ? rc : -errno, "%s/%s: %s", state_dir, name,
			strerror(rc ? -rc : errno));
	size_t len = 0;
	ssize_t n;
	while ((n = read(fd, text + len, size - len)) > 0)
		len += (size_t)n;
	rc = n < 0 ? -errno : len == size ? -EFBIG : 0;
	close(fd);
	if (rc)
		return lode_err_set(err, rc, "%s: %s", path, strerror(-rc));
	text[len] = '\0';
	return (long)len;
}

int state_save_file(const char *state_dir, const char *name, const char *text, size_t len)
{
	char path[PATH_MAX];
	int rc = file_path(state_dir, name, path, sizeof(path));
	return rc ? rc : lode_file_replace(path, 0600, text, len, NULL);
}

/* A counter that is there but cannot be read is an error: starting from 0 again would make peers refuse
 * every handshake as a replay. */
int state_read_counter(const char *state_dir, uint64_t *counter, struct lode_err *err)
{
	char text[32] = {0}, *end;
	*counter = 0;
	long len = state_read_file(state_dir, COUNTER_FILE, text, sizeof(text), err);
	if (len == -ENOENT)
		return 0;
	if (len < 0 && len != -EFBIG)
		return (int)len;
	*counter = strtoull(text, &end, 10);
	if (len <= 0 || end == text || *end != '\n')
		return lode_err_set(err, -EINVAL,
			"%s/" COUNTER_FILE
			": not a number; remove the file and give this appliance a new key",
			state_dir);
	return 0;
}

int state_save_counter(const char *state_dir, uint64_t counter)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", counter);
	return state_save_file(state_dir, COUNTER_FILE, text, (size_t)len);
}
