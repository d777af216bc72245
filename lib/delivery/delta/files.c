/* SPDX-License-Identifier: BSD-3-Clause */
#include "files.h"

#include "header.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the kernel's files ---- */

static int posix_write_at(void *ctx, int fd, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	while (len) {
		ssize_t n = pwrite(fd, from, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int posix_sync(void *ctx, int fd)
{
	return fsync(fd) ? -errno : 0;
}

/* A file, or a directory with plain files in it. */
static int posix_remove(void *ctx, int dir_fd, const char *name)
{
	if (!unlinkat(dir_fd, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			unlinkat(fd, e->d_name, 0);
	closedir(dir);
	return unlinkat(dir_fd, name, AT_REMOVEDIR) ? -errno : 0;
}

/* A directory that is there already changes places with the new one, which is as atomic. */
static int posix_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	if (!renameat(dir_fd, from, dir_fd, to))
		return 0;
	if (errno != EEXIST && errno != ENOTEMPTY)
		return -errno;
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_EXCHANGE))
		return -errno;
	return posix_remove(ctx, dir_fd, from);
}

const struct lode_delta_fs posix_fs = {
	NULL, posix_write_at, posix_sync, posix_rename, posix_remove};

/* ---- places ---- */

int place_open(struct place *p, const char *path, struct lode_err *err)
{
	char dir[4096];
	const char *slash;
	size_t len = strlen(path);
	p->dir_fd = -1;
	if (len >= sizeof(dir))
		return lode_err_set(err, -ENAMETOOLONG, "path of %zu bytes", len);
	memcpy(dir, path, len + 1);
	while (len > 1 && dir[len - 1] == '/')
		dir[--len] = 0;
	slash = strrchr(dir, '/');
	const char *name = slash ? slash + 1 : dir;
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strlen(name) >= sizeof(p->name))
		return lode_err_set(err, -EINVAL, "%s: no name of a file", path);
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->part, sizeof(p->part), "%s.part", name);
	dir[slash ? (slash == dir ? 1 : slash - dir) : 0] = 0;
	p->dir_fd = open(*dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0)
		return lode_err_set(err, -errno, "%s: %s", *dir ? dir : ".", strerror(errno));
	return 0;
}

void place_close(struct place *p)
{
	if (p->dir_fd >= 0)
		close(p->dir_fd);
	p->dir_fd = -1;
}

int place_create(const struct place *p, int *fd, struct lode_err *err)
{
	*fd = openat(
		p->dir_fd, p->part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	return *fd < 0 ? lode_err_set(err, -errno, "%s: %s", p->part, strerror(errno)) : 0;
}

int place_commit(
	const struct place *p, const struct lode_delta_fs *fs, int fd, int rc, struct lode_err *err)
{
	bool written = !rc;
	if (!rc)
		rc = fs->sync(fs->ctx, fd);
	close(fd);
	if (!rc)
		rc = fs->rename(fs->ctx, p->dir_fd, p->part, p->name);
	if (!rc)
		return fs->sync(fs->ctx, p->dir_fd);
	fs->remove(fs->ctx, p->dir_fd, p->part);
	return written ? lode_err_set(err, rc, "%s: %s", p->name, strerror(-rc)) : rc;
}

int place_write(const struct place *p, const struct lode_delta_fs *fs, const void *data, size_t len,
	struct lode_err *err)
{
	int fd, rc = place_create(p, &fd, err);
	if (rc)
		return rc;
	rc = fs->write_at(fs->ctx, fd, 0, data, len);
	if (rc)
		lode_err_set(err, rc, "%s: %s", p->name, strerror(-rc));
	return place_commit(p, fs, fd, rc, err);
}

/* ---- mapped inputs ---- */

static int map_file(
	struct mapped *m, int dir_fd, const char *path, const char *name, struct lode_err *err)
{
	struct lode_delta_input *in = &m->files[m->n_files];
	struct stat st;
	if (m->n_files == LODE_DELTA_MAX_FILES)
		return lode_err_set(err, -E2BIG, "more than %u files", LODE_DELTA_MAX_FILES);
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		int rc = -errno;
		if (fd >= 0)
			close(fd);
		return lode_err_set(err, rc, "%s: %s", path, strerror(-rc));
	}
	*in = (struct lode_delta_input){.data = (const uint8_t *)"", .size = (uint64_t)st.st_size};
	snprintf(in->name, sizeof(in->name), "%s", name);
	void *data = in->size ? mmap(NULL, in->size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
	close(fd);
	if (data == MAP_FAILED)
		return lode_err_set(err, -ENOMEM, "%s: cannot be mapped", path);
	if (data) {
		in->data = data;
		madvise(data, in->size, MADV_SEQUENTIAL);
	}
	m->n_files++;
	return 0;
}

static int is_regular(const struct dirent *e)
{
	return e->d_name[0] != '.' && (e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
}

static int map_directory(struct mapped *m, const char *path, struct lode_err *err)
{
	struct dirent **entries;
	int n = scandir(path, &entries, is_regular, alphasort), rc = 0;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n < 0 || fd < 0)
		rc = lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		if (!rc && !file_name_ok(name))
			rc = lode_err_set(
				err, -EINVAL, "%s/%s: names of [A-Za-z0-9._-] allowed", path, name);
		if (!rc)
			rc = map_file(m, fd, name, name, err);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	if (fd >= 0)
		close(fd);
	return rc;
}

int mapped_open(struct mapped *m, const char *path, struct lode_err *err)
{
	struct stat st;
	*m = (struct mapped){0};
	if (!path)
		return 0;
	if (stat(path, &st))
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	int rc = S_ISDIR(st.st_mode) ? map_directory(m, path, err)
				     : map_file(m, AT_FDCWD, path, "", err);
	if (rc)
		mapped_close(m);
	return rc;
}

void mapped_close(struct mapped *m)
{
	for (uint32_t i = 0; i < m->n_files; i++)
		if (m->files[i].size)
			munmap((void *)m->files[i].data, m->files[i].size);
	m->n_files = 0;
}
