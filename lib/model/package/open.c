/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of a package on disk: one folder, nothing outside of it. */
#include "layout.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Opens one plain name below dir_fd without following anything. Kernels and sandboxes without
 * openat2 get the same from O_NOFOLLOW, as the name has no slash. */
static int open_beneath(int dir_fd, const char *name)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		fd = openat(dir_fd, name, (int)how.flags);
	return fd < 0 ? -errno : fd;
}

/* A name that another file's content gives must not reach someone else's file by a hard link. */
enum named_by { NAMED_BY_CALLER, NAMED_BY_CONTENT };

static int map_fd(int fd, const char *name, enum named_by by, const uint8_t **data,
	uint64_t *n_bytes, struct lode_err *err)
{
	struct stat st;
	if (fstat(fd, &st))
		return lode_err_set(err, -errno, "'%s': %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) || (by == NAMED_BY_CONTENT && st.st_nlink > 1))
		return lode_err_set(err, -EPERM,
			"'%s': a regular file%s is allowed, mode %o with %lu names found", name,
			by == NAMED_BY_CONTENT ? " with one name" : "", st.st_mode,
			(unsigned long)st.st_nlink);
	*n_bytes = (uint64_t)st.st_size;
	*data = (const uint8_t *)"";
	if (!st.st_size)
		return 0;
	void *map = mmap(NULL, *n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return lode_err_set(err, -errno, "'%s': map: %s", name, strerror(errno));
	*data = map;
	return 0;
}

/* Takes fd, which may be a negative errno. */
static int add_fd(
	struct lode_package *pkg, int fd, const char *name, enum named_by by, struct lode_err *err)
{
	const uint8_t *data = NULL;
	uint64_t n_bytes = 0;
	if (fd < 0)
		return lode_err_set(err, fd, "'%.100s': %s", name, strerror(-fd));
	int rc = map_fd(fd, name, by, &data, &n_bytes, err);
	close(fd);
	if (rc)
		return rc;
	rc = package_add_file(pkg, name, data, n_bytes, true, err);
	if (rc && n_bytes)
		munmap((void *)data, n_bytes);
	return rc;
}

int package_sibling(
	struct lode_package *pkg, const char *name, uint32_t *file_idx, struct lode_err *err)
{
	if (!package_plain_name(name))
		return lode_err_set(err, -EPERM,
			"'%.80s' could leave the folder: one path component of [A-Za-z0-9._-] "
			"without a leading dot is allowed",
			name);
	for (*file_idx = 0; *file_idx < pkg->n_files; ++*file_idx)
		if (!strcmp(pkg->files[*file_idx].name, name))
			return 0;
	if (pkg->dir_fd < 0)
		return lode_err_set(err, -ENOENT, "'%s' is not among the files given", name);
	return add_fd(pkg, open_beneath(pkg->dir_fd, name), name, NAMED_BY_CONTENT, err);
}

static int plain_entry(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int add_all(struct lode_package *pkg, const char *path, struct lode_err *err)
{
	struct dirent **names;
	int n = scandir(path, &names, plain_entry, alphasort);
	if (n < 0)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	int rc = n ? 0 : lode_err_set(err, -ENOENT, "%s: the folder has no files", path);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		if (!rc)
			rc = add_fd(
				pkg, open_beneath(pkg->dir_fd, name), name, NAMED_BY_CALLER, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

static int add_path(struct lode_package *pkg, const char *path, struct lode_err *err)
{
	struct stat st;
	if (stat(path, &st))
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	char folder[4096];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	int n = S_ISDIR(st.st_mode) ? snprintf(folder, sizeof(folder), "%s", path)
		: slash ? snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path)
			: snprintf(folder, sizeof(folder), ".");
	if (n < 0 || (size_t)n >= sizeof(folder))
		return lode_err_set(err, -ENAMETOOLONG, "%.100s...: path is too long", path);
	pkg->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pkg->dir_fd < 0)
		return lode_err_set(err, -errno, "%s: %s", folder, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return add_all(pkg, folder, err);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc = add_fd(pkg, fd < 0 ? -errno : fd, name, NAMED_BY_CALLER, err);
	return rc || !package_is_index(name) ? rc : package_add_shards(pkg, 0, err);
}

int lode_package_open(struct lode_package *pkg, const char *path, const struct lode_limits *limits,
	struct lode_err *err)
{
	*pkg = (struct lode_package){.limits = limits, .dir_fd = -1};
	int rc = add_path(pkg, path, err);
	if (!rc)
		rc = package_read(pkg, err);
	if (pkg->dir_fd >= 0)
		close(pkg->dir_fd);
	pkg->dir_fd = -1;
	return rc;
}
