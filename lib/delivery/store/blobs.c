/* SPDX-License-Identifier: BSD-3-Clause */
/* Layout: DIR/ab/abcd... for whole blobs, DIR/parts/NAME for growing ones. */
#include "blobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_MAX_AGE_S	  (7 * 86400)
#define UNNAMED_MAX_AGE_S 3600

bool lode_blob_name_ok(const char *sha256)
{
	return strspn(sha256, "0123456789abcdef") == 64 && !sha256[64];
}

void lode_blob_path(const char *sha256, char path[72])
{
	snprintf(path, 72, "%.2s/%.64s", sha256, sha256);
}

/* Nobody writes to a part for days: what began it is gone. */
static void sweep_parts(struct lode_blobs *b, int64_t now_s)
{
	int fd = openat(b->parts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;
	while (d && (e = readdir(d))) {
		if (fstatat(b->parts, e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		bool named = strncmp(e->d_name, UNNAMED, strlen(UNNAMED)) != 0;
		if (now_s - st.st_mtime > (named ? PART_MAX_AGE_S : UNNAMED_MAX_AGE_S))
			unlinkat(b->parts, e->d_name, 0);
	}
	if (d)
		closedir(d);
}

static int open_folders(struct lode_blobs *b, const char *dir, struct lode_err *err)
{
	snprintf(b->path, sizeof(b->path), "%s", dir);
	if (!mkdir(dir, 0750) || errno == EEXIST)
		b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir >= 0 && (!mkdirat(b->dir, "parts", 0750) || errno == EEXIST))
		b->parts = openat(b->dir, "parts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	/* The folder's own change time is now or before: no clock is read here. */
	if (b->parts < 0 || futimens(b->parts, NULL) || fstat(b->parts, &st))
		return lode_err_set(err, -errno, "%s: %s", dir, strerror(errno));
	sweep_parts(b, st.st_mtime);
	return 0;
}

int lode_blobs_open(const char *place, struct lode_blobs **out, struct lode_err *err)
{
	char dir[sizeof(((struct lode_blobs *)0)->path)];
	struct lode_blobs *b = calloc(1, sizeof(*b));
	if (!b)
		return lode_err_set(err, -ENOMEM, "no memory for the blobs");
	b->dir = b->parts = -1;
	snprintf(dir, sizeof(dir), "%s", place);
	int rc = bucket_named(place) ? bucket_open(b, place, dir, err) : 0;
	if (!rc)
		rc = open_folders(b, dir, err);
	if (!rc && b->s3)
		rc = fetcher_new(b, &b->fetcher, err);
	if (rc) {
		lode_blobs_close(b);
		return rc;
	}
	*out = b;
	return 0;
}

void lode_blobs_close(struct lode_blobs *b)
{
	if (!b)
		return;
	fetcher_free(b->fetcher);
	if (b->parts >= 0)
		close(b->parts);
	if (b->dir >= 0)
		close(b->dir);
	lode_s3_close(b->s3);
	free(b);
}

int64_t lode_blob_size(const struct lode_blobs *b, const char *sha256)
{
	char path[72];
	struct stat st;
	struct lode_err ignored;
	lode_blob_path(sha256, path);
	if (!lode_blob_name_ok(sha256))
		return -ENOENT;
	if (!fstatat(b->dir, path, &st, AT_SYMLINK_NOFOLLOW))
		return st.st_size;
	return b->s3 ? lode_s3_size(b->s3, path, &ignored) : -ENOENT;
}

/* Reading counts as use, for lode_blobs_trim. */
static int open_local(const struct lode_blobs *b, const char *path)
{
	const struct timespec used[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	int fd = openat(b->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		futimens(fd, used);
	return fd < 0 ? -errno : fd;
}

int lode_blob_open(struct lode_blobs *b, const char *sha256)
{
	char path[72];
	struct lode_err ignored;
	lode_blob_path(sha256, path);
	if (!lode_blob_name_ok(sha256))
		return -ENOENT;
	int fd = open_local(b, path);
	if (fd != -ENOENT || !b->s3)
		return fd;
	int rc = bucket_fetch(b, sha256, &ignored);
	return rc ? rc : open_local(b, path);
}

int lode_blob_open_soon(struct lode_blobs *b, const char *sha256)
{
	char path[72];
	lode_blob_path(sha256, path);
	int fd = lode_blob_name_ok(sha256) ? open_local(b, path) : -ENOENT;
	return fd == -ENOENT && b->fetcher && lode_blob_name_ok(sha256)
		       ? fetcher_want(b->fetcher, sha256)
		       : fd;
}

uint64_t lode_blobs_fetched(const struct lode_blobs *b)
{
	return atomic_load(&b->fetched_bytes);
}

int lode_blob_delete(const struct lode_blobs *b, const char *sha256)
{
	char path[72];
	struct lode_err ignored;
	lode_blob_path(sha256, path);
	if (!lode_blob_name_ok(sha256))
		return -ENOENT;
	int rc = b->s3 ? lode_s3_delete(b->s3, path, &ignored) : 0;
	bool gone = !unlinkat(b->dir, path, 0) || (b->s3 && errno == ENOENT);
	return rc ? rc : gone ? 0 : -errno;
}

/* What is known of a blob in the folder. */
struct entry {
	char sha256[LODE_BLOB_HEX];
	uint64_t n_bytes;
	int64_t changed_s, used_ns;
};
typedef int entry_fn(void *ctx, const struct entry *e);

static int each_in_folder(const struct lode_blobs *b, const char *folder, entry_fn *fn, void *ctx)
{
	int fd = openat(b->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *file;
	struct stat st;
	while (!rc && d && (file = readdir(d))) {
		struct entry e;
		if (!lode_blob_name_ok(file->d_name) || fstatat(fd, file->d_name, &st, 0))
			continue;
		memcpy(e.sha256, file->d_name, sizeof(e.sha256));
		e.n_bytes = (uint64_t)st.st_size;
		e.changed_s = st.st_mtime;
		e.used_ns = st.st_atim.tv_sec * INT64_C(1000000000) + st.st_atim.tv_nsec;
		rc = fn(ctx, &e);
	}
	if (d)
		closedir(d);
	return rc;
}

static int each_local(const struct lode_blobs *b, entry_fn *fn, void *ctx)
{
	int rc = 0;
	for (unsigned i = 0; i < 256 && !rc; i++) {
		char folder[3];
		snprintf(folder, sizeof(folder), "%02x", i);
		rc = each_in_folder(b, folder, fn, ctx);
	}
	return rc;
}

struct listing {
	int64_t older_than_s;
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes);
	void *ctx;
};

static int list_one(void *ctx, const struct entry *e)
{
	const struct listing *l = ctx;
	return e->changed_s <= l->older_than_s ? l->fn(l->ctx, e->sha256, e->n_bytes) : 0;
}

int lode_blobs_list(const struct lode_blobs *b, int64_t now_ms, unsigned min_age_s,
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes), void *ctx)
{
	struct listing l = {now_ms / 1000 - min_age_s, fn, ctx};
	return b->s3 ? bucket_list(b, l.older_than_s, fn, ctx) : each_local(b, list_one, &l);
}

/* ---- trimming ---- */

struct census {
	struct entry *entries;
	size_t n, room;
	uint64_t n_bytes;
};

static int count_entry(void *ctx, const struct entry *e)
{
	struct census *c = ctx;
	if (c->n == c->room) {
		size_t room = 2 * c->room + 64;
		struct entry *entries = realloc(c->entries, room * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		c->entries = entries;
		c->room = room;
	}
	c->entries[c->n++] = *e;
	c->n_bytes += e->n_bytes;
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return (x->used_ns > y->used_ns) - (x->used_ns < y->used_ns);
}

uint64_t lode_blobs_trim(struct lode_blobs *b, uint64_t max_bytes)
{
	struct census c = {0};
	char path[72];
	if (!each_local(b, count_entry, &c) && c.n)
		qsort(c.entries, c.n, sizeof(c.entries[0]), by_use);
	for (size_t i = 0; i < c.n && c.n_bytes > max_bytes; i++) {
		lode_blob_path(c.entries[i].sha256, path);
		if (!unlinkat(b->dir, path, 0))
			c.n_bytes -= c.entries[i].n_bytes;
	}
	free(c.entries);
	return c.n_bytes;
}
