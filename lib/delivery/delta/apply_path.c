/* SPDX-License-Identifier: BSD-3-Clause */
/* Applying a patch file to files: what is written appears by rename, and what an interrupted call left is
 * used by the next one. */
#include "files.h"
#include "format.h"
#include "header.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct apply_files {
	const struct lode_delta_fs *fs;
	const struct lode_delta_apply_options *opt;
	struct lode_delta_info info;
	struct place place;
	struct lode_err *err;
	int patch_fd, part_dir_fd; /* part_dir_fd: of a package under way, else -1 */
	int base_fd[LODE_DELTA_MAX_FILES], target_fd[LODE_DELTA_MAX_FILES];
	/* Bytes an earlier call left: beyond them a file reads as zeros until written. */
	uint64_t left_bytes[LODE_DELTA_MAX_FILES];
};

/* ---- callbacks of the interpreter ---- */

static long read_patch(void *ctx, void *buf, size_t len)
{
	struct apply_files *a = ctx;
	ssize_t n;
	do
		n = read(a->patch_fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static int pread_all(int fd, uint64_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;
	while (len) {
		ssize_t n = pread(fd, to, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_base(void *ctx, unsigned file, uint64_t offset, void *buf, size_t len)
{
	struct apply_files *a = ctx;
	return pread_all(a->base_fd[file], offset, buf, len);
}

static int read_target(void *ctx, unsigned file, uint64_t offset, void *buf, size_t len)
{
	struct apply_files *a = ctx;
	if (offset + len > a->left_bytes[file])
		return -ENODATA;
	return pread_all(a->target_fd[file], offset, buf, len);
}

/* Zeros where nothing has been stay a hole, so that sparse files stay sparse. */
static int write_target(void *ctx, unsigned file, uint64_t offset, const void *buf, size_t len)
{
	struct apply_files *a = ctx;
	const uint8_t *data = buf;
	if (offset >= a->left_bytes[file] && !data[0] && !memcmp(data, data + 1, len - 1))
		return 0;
	return a->fs->write_at(a->fs->ctx, a->target_fd[file], offset, buf, len);
}

static int report_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct apply_files *a = ctx;
	return a->opt->progress(a->opt->progress_ctx, done, total);
}

/* ---- opening ---- */

static int read_header(struct apply_files *a, const char *path)
{
	uint8_t *data = malloc(HEADER_MAX_BYTES);
	if (!data)
		return lode_err_set(a->err, -ENOMEM, "no memory for the patch header");
	ssize_t n = pread(a->patch_fd, data, HEADER_MAX_BYTES, 0);
	long len = n < 0 ? -errno : lode_delta_parse_header(data, (size_t)n, &a->info, a->err);
	free(data);
	if (n < 0)
		return lode_err_set(a->err, (int)len, "%s: %s", path, strerror((int)-len));
	if (len < 0)
		return lode_err_prefix(a->err, "%s", path);
	if (!len)
		return lode_err_set(a->err, -EBADMSG, "%s: ends within its header", path);
	uint64_t size = files_size(a->info.target, a->info.n_target);
	if (a->opt->max_target_bytes && size > a->opt->max_target_bytes)
		return lode_err_set(a->err, -EFBIG, "%s: makes %llu bytes, %llu allowed", path,
			(unsigned long long)size, (unsigned long long)a->opt->max_target_bytes);
	return 0;
}

static int open_base_file(struct apply_files *a, unsigned f, int dir_fd, const char *name)
{
	struct stat st;
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | (dir_fd == AT_FDCWD ? 0 : O_NOFOLLOW));
	a->base_fd[f] = fd;
	if (fd < 0 || fstat(fd, &st))
		return lode_err_set(a->err, -errno, "base %s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != a->info.base[f].size)
		return lode_err_set(a->err, -ESTALE,
			"base %s: %lld bytes, the patch was made for %llu", name,
			(long long)st.st_size, (unsigned long long)a->info.base[f].size);
	return 0;
}

static int open_base(struct apply_files *a, const char *path)
{
	struct stat st;
	if (!a->info.n_base)
		return 0;
	if (!path || stat(path, &st))
		return lode_err_set(
			a->err, -ENOENT, "base %s: the patch needs one", path ? path : "not given");
	if (!S_ISDIR(st.st_mode)) {
		if (a->info.n_base != 1)
			return lode_err_set(a->err, -ENOTDIR,
				"base %s: a folder with %u files needed", path, a->info.n_base);
		return open_base_file(a, 0, AT_FDCWD, path);
	}
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	if (dir < 0)
		return lode_err_set(a->err, -errno, "base %s: %s", path, strerror(errno));
	for (unsigned f = 0; !rc && f < a->info.n_base; f++)
		rc = open_base_file(a, f, dir, a->info.base[f].name);
	close(dir);
	return rc;
}

static int open_target_file(struct apply_files *a, unsigned f, int dir_fd, const char *name)
{
	struct stat st;
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	a->target_fd[f] = fd;
	if (fd < 0 || fstat(fd, &st))
		return lode_err_set(a->err, -errno, "%s: %s", name, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		return lode_err_set(a->err, -EBUSY, "%s: another apply is at work on it", name);
	a->left_bytes[f] = (uint64_t)st.st_size;
	return 0;
}

static int open_target(struct apply_files *a, const char *path)
{
	int rc = place_open(&a->place, path, a->err);
	if (rc)
		return rc;
	if (!a->info.target[0].name[0])
		return open_target_file(a, 0, a->place.dir_fd, a->place.part);
	if (mkdirat(a->place.dir_fd, a->place.part, 0755) && errno != EEXIST)
		return lode_err_set(a->err, -errno, "%s: %s", a->place.part, strerror(errno));
	a->part_dir_fd = openat(
		a->place.dir_fd, a->place.part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a->part_dir_fd < 0)
		return lode_err_set(a->err, -errno, "%s: %s", a->place.part, strerror(errno));
	for (unsigned f = 0; !rc && f < a->info.n_target; f++)
		rc = open_target_file(a, f, a->part_dir_fd, a->info.target[f].name);
	return rc;
}

/* ---- finishing ---- */

static int commit(struct apply_files *a)
{
	const struct lode_delta_fs *fs = a->fs;
	int rc = 0;
	for (unsigned f = 0; !rc && f < a->info.n_target; f++) {
		rc = ftruncate(a->target_fd[f], (off_t)a->info.target[f].size) ? -errno : 0;
		if (!rc)
			rc = fs->sync(fs->ctx, a->target_fd[f]);
	}
	if (!rc && a->part_dir_fd >= 0)
		rc = fs->sync(fs->ctx, a->part_dir_fd);
	if (!rc)
		rc = fs->rename(fs->ctx, a->place.dir_fd, a->place.part, a->place.name);
	if (!rc)
		rc = fs->sync(fs->ctx, a->place.dir_fd);
	return rc ? lode_err_set(a->err, rc, "%s: %s", a->place.name, strerror(-rc)) : 0;
}

/* An apply that was only interrupted goes on later; any other failure leaves nothing behind. */
static bool may_continue(int rc)
{
	return rc == -ECANCELED || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY;
}

static void close_all(struct apply_files *a)
{
	for (unsigned f = 0; f < LODE_DELTA_MAX_FILES; f++) {
		if (a->base_fd[f] >= 0)
			close(a->base_fd[f]);
		if (a->target_fd[f] >= 0)
			close(a->target_fd[f]);
	}
	if (a->part_dir_fd >= 0)
		close(a->part_dir_fd);
	if (a->patch_fd >= 0)
		close(a->patch_fd);
	place_close(&a->place);
}

static int run(struct apply_files *a, const char *patch, const char *base, const char *out,
	struct lode_delta_stats *stats)
{
	struct lode_delta_io io = {a, read_patch, read_base, write_target, read_target,
		a->opt->progress ? report_progress : NULL};
	int rc = read_header(a, patch);
	if (!rc)
		rc = open_base(a, base);
	if (!rc)
		rc = open_target(a, out);
	if (rc)
		return rc;
	rc = lode_delta_apply(&io, &a->info, stats, a->err);
	if (!rc)
		rc = commit(a);
	if (rc && !may_continue(rc))
		a->fs->remove(a->fs->ctx, a->place.dir_fd, a->place.part);
	return rc;
}

/* OXDL wants whole files in memory. */
static int apply_oxdl(const char *patch, const char *base, const char *out,
	const struct lode_delta_fs *fs, struct lode_err *err)
{
	struct mapped *p = calloc(2, sizeof(*p));
	uint8_t *target = NULL;
	size_t len;
	struct place place = {.dir_fd = -1};
	if (!p)
		return lode_err_set(err, -ENOMEM, "no memory for the patch");
	int rc = mapped_open(&p[0], patch, err);
	if (!rc)
		rc = mapped_open(&p[1], base, err);
	if (!rc && p[1].n_files != 1)
		rc = lode_err_set(err, -EINVAL, "base %s: one file needed", base);
	if (!rc)
		rc = lode_oxdl_apply(p[0].files[0].data, p[0].files[0].size, p[1].files[0].data,
			p[1].files[0].size, &target, &len, err);
	if (!rc)
		rc = place_open(&place, out, err);
	if (!rc)
		rc = place_write(&place, fs, target, len, err);
	place_close(&place);
	mapped_close(&p[0]);
	mapped_close(&p[1]);
	free(target);
	free(p);
	return rc;
}

int lode_delta_apply_path(const char *patch, const char *base, const char *out,
	const struct lode_delta_apply_options *opt, struct lode_delta_stats *stats,
	struct lode_err *err)
{
	static const struct lode_delta_apply_options defaults;
	struct apply_files *a = calloc(1, sizeof(*a));
	uint8_t magic[4];
	if (!a)
		return lode_err_set(err, -ENOMEM, "no memory for the interpreter");
	a->opt = opt ? opt : &defaults;
	a->fs = a->opt->fs ? a->opt->fs : &posix_fs;
	a->err = err;
	a->part_dir_fd = a->place.dir_fd = -1;
	memset(a->base_fd, 0xff, sizeof(a->base_fd));
	memset(a->target_fd, 0xff, sizeof(a->target_fd));
	a->patch_fd = open(patch, O_RDONLY | O_CLOEXEC);
	int rc;
	if (a->patch_fd < 0)
		rc = lode_err_set(err, -errno, "%s: %s", patch, strerror(errno));
	else if (pread(a->patch_fd, magic, 4, 0) == 4 && lode_oxdl_is(magic, 4))
		rc = apply_oxdl(patch, base, out, a->fs, err);
	else
		rc = run(a, patch, base, out, stats);
	close_all(a);
	free(a);
	return rc;
}
