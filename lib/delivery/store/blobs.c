/* SPDX-License-Identifier: BSD-3-Clause */
/* Layout: DIR/ab/abcd... for whole blobs, DIR/parts/NAME for growing ones. */
#include "lode_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READ_BYTES	  (128 * 1024)
#define PART_MAX_AGE_S	  (7 * 86400)
#define UNNAMED_MAX_AGE_S 3600
#define UNNAMED		  "new-"

struct lode_blobs {
	int dir, parts;
	char path[LODE_STORE_ID_MAX + 384];
};

struct lode_blob_writer {
	struct lode_blobs *blobs;
	int fd;
	bool named;
	uint64_t n_bytes;
	EVP_MD_CTX *md;
	char name[LODE_STORE_ID_MAX + 16];
};

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

int lode_blobs_open(const char *dir, struct lode_blobs **out, struct lode_err *err)
{
	struct lode_blobs *b = calloc(1, sizeof(*b));
	if (!b)
		return lode_err_set(err, -ENOMEM, "no memory for the blobs");
	b->dir = b->parts = -1;
	snprintf(b->path, sizeof(b->path), "%s", dir);
	if (!mkdir(dir, 0700) || errno == EEXIST)
		b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dir >= 0 && (!mkdirat(b->dir, "parts", 0700) || errno == EEXIST))
		b->parts = openat(b->dir, "parts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	/* The folder's own change time is now or before: no clock is read here. */
	if (b->parts < 0 || futimens(b->parts, NULL) || fstat(b->parts, &st)) {
		int rc = lode_err_set(err, -errno, "%s: %s", dir, strerror(errno));
		lode_blobs_close(b);
		return rc;
	}
	sweep_parts(b, st.st_mtime);
	*out = b;
	return 0;
}

void lode_blobs_close(struct lode_blobs *b)
{
	if (!b)
		return;
	if (b->parts >= 0)
		close(b->parts);
	if (b->dir >= 0)
		close(b->dir);
	free(b);
}

static int check_space(const struct lode_blobs *b, uint64_t n_bytes, struct lode_err *err)
{
	struct statvfs v;
	if (!n_bytes || fstatvfs(b->dir, &v))
		return 0;
	uint64_t free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	if (free_bytes >= n_bytes)
		return 0;
	return lode_err_set(err, -ENOSPC, "%s: %llu bytes free, %llu needed", b->path,
		(unsigned long long)free_bytes, (unsigned long long)n_bytes);
}

/* What is there is read again: its hash is not kept anywhere. */
static int hash_existing(struct lode_blob_writer *w)
{
	uint8_t *buf = malloc(READ_BYTES);
	ssize_t n = buf ? 0 : -1;
	while (buf && (n = read(w->fd, buf, READ_BYTES)) > 0) {
		if (EVP_DigestUpdate(w->md, buf, (size_t)n) != 1)
			break;
		w->n_bytes += (uint64_t)n;
	}
	free(buf);
	return n ? -EIO : 0;
}

static void free_writer(struct lode_blob_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	EVP_MD_CTX_free(w->md);
	free(w);
}

static bool part_name_ok(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) < LODE_STORE_ID_MAX &&
	       strncmp(name, UNNAMED, strlen(UNNAMED)) != 0;
}

static int open_part(struct lode_blob_writer *w, const char *name)
{
	if (name) {
		snprintf(w->name, sizeof(w->name), "%s", name);
		return openat(
			w->blobs->parts, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(w->name, sizeof(w->name), UNNAMED "%d-%u", (int)getpid(), i);
		int fd = openat(w->blobs->parts, w->name,
			O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

int lode_blob_begin(struct lode_blobs *b, const char *name, uint64_t total_bytes,
	struct lode_blob_writer **out, uint64_t *have_bytes, struct lode_err *err)
{
	if (name && !part_name_ok(name))
		return lode_err_set(err, -EINVAL, "'%.60s' is no name for an upload", name);
	int rc = check_space(b, total_bytes, err);
	struct lode_blob_writer *w = rc ? NULL : calloc(1, sizeof(*w));
	if (!w)
		return rc ? rc : lode_err_set(err, -ENOMEM, "no memory for an upload");
	w->blobs = b;
	w->named = name != NULL;
	w->md = EVP_MD_CTX_new();
	w->fd = open_part(w, name);
	if (w->fd < 0 || !w->md || EVP_DigestInit_ex(w->md, EVP_sha256(), NULL) != 1 ||
		hash_existing(w)) {
		rc = lode_err_set(err, errno ? -errno : -EIO, "%s/parts/%s: %s", b->path, w->name,
			strerror(errno));
		free_writer(w);
		return rc;
	}
	if (have_bytes)
		*have_bytes = w->n_bytes;
	*out = w;
	return 0;
}

int lode_blob_write(struct lode_blob_writer *w, const void *bytes, size_t len, struct lode_err *err)
{
	const uint8_t *p = bytes;
	size_t left = len;
	while (left) {
		ssize_t n = write(w->fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lode_err_set(err, -errno, "%s/parts/%s: %s", w->blobs->path, w->name,
				strerror(errno));
		p += n;
		left -= (size_t)n;
	}
	w->n_bytes += len;
	return EVP_DigestUpdate(w->md, bytes, len) == 1 ? 0 : -EIO;
}

uint64_t lode_blob_written(const struct lode_blob_writer *w)
{
	return w->n_bytes;
}

void lode_blob_suspend(struct lode_blob_writer *w)
{
	if (!w->named)
		unlinkat(w->blobs->parts, w->name, 0);
	free_writer(w);
}

void lode_blob_abandon(struct lode_blob_writer *w)
{
	unlinkat(w->blobs->parts, w->name, 0);
	free_writer(w);
}

static int move_in_place(struct lode_blob_writer *w, const char *sha256)
{
	char folder[3] = {sha256[0], sha256[1], 0}, path[72];
	lode_blob_path(sha256, path);
	if (mkdirat(w->blobs->dir, folder, 0700) && errno != EEXIST)
		return -errno;
	if (fsync(w->fd) || renameat(w->blobs->parts, w->name, w->blobs->dir, path))
		return -errno;
	int fd = openat(w->blobs->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) || fsync(w->blobs->dir) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

int lode_blob_commit(struct lode_blob_writer *w, const char *expect, char sha256[LODE_BLOB_HEX],
	struct lode_err *err)
{
	uint8_t digest[32];
	int rc = EVP_DigestFinal_ex(w->md, digest, NULL) == 1 ? 0 : -EIO;
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
	if (!rc && expect && strcmp(expect, sha256))
		rc = lode_err_set(err, -EBADMSG, "the bytes have SHA-256 %s, %s was promised",
			sha256, expect);
	else if (!rc && (rc = move_in_place(w, sha256)))
		lode_err_set(err, rc, "%s/%s: %s", w->blobs->path, sha256, strerror(-rc));
	if (rc)
		lode_blob_abandon(w);
	else
		free_writer(w);
	return rc;
}

int64_t lode_blob_size(const struct lode_blobs *b, const char *sha256)
{
	char path[72];
	struct stat st;
	lode_blob_path(sha256, path);
	if (!lode_blob_name_ok(sha256) || fstatat(b->dir, path, &st, AT_SYMLINK_NOFOLLOW))
		return -ENOENT;
	return st.st_size;
}

int lode_blob_open(const struct lode_blobs *b, const char *sha256)
{
	char path[72];
	lode_blob_path(sha256, path);
	if (!lode_blob_name_ok(sha256))
		return -ENOENT;
	int fd = openat(b->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int lode_blob_delete(const struct lode_blobs *b, const char *sha256)
{
	char path[72];
	lode_blob_path(sha256, path);
	if (!lode_blob_name_ok(sha256))
		return -ENOENT;
	return unlinkat(b->dir, path, 0) ? -errno : 0;
}

static int list_folder(const struct lode_blobs *b, const char *folder, int64_t older_than_s,
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes), void *ctx)
{
	int fd = openat(b->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;
	while (!rc && d && (e = readdir(d)))
		if (lode_blob_name_ok(e->d_name) && !fstatat(fd, e->d_name, &st, 0) &&
			st.st_mtime <= older_than_s)
			rc = fn(ctx, e->d_name, (uint64_t)st.st_size);
	if (d)
		closedir(d);
	return rc;
}

int lode_blobs_list(const struct lode_blobs *b, int64_t now_ms, unsigned min_age_s,
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes), void *ctx)
{
	int rc = 0;
	for (unsigned i = 0; i < 256 && !rc; i++) {
		char folder[3];
		snprintf(folder, sizeof(folder), "%02x", i);
		rc = list_folder(b, folder, now_ms / 1000 - min_age_s, fn, ctx);
	}
	return rc;
}
