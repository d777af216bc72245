/* SPDX-License-Identifier: BSD-3-Clause */
/* A blob while it grows: DIR/parts/NAME, then moved to its hash. */
#include "blobs.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define READ_BYTES (128 * 1024)
#define ATTEMPTS   16

struct lode_blob_writer {
	struct lode_blobs *blobs;
	int fd;
	bool named, local; /* local: from the bucket, not for it */
	uint64_t n_bytes;
	EVP_MD_CTX *md;
	char name[LODE_STORE_ID_MAX + 16];
};

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

static bool is_still_named(const struct lode_blobs *b, const char *name, int fd)
{
	struct stat opened, named;
	return !fstat(fd, &opened) && !fstatat(b->parts, name, &named, AT_SYMLINK_NOFOLLOW) &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/* One writer at a time, whichever process it is in. The one before may have moved the file in place between our
 * opening and our lock: then it is nobody's any more to write to. */
static int open_named(const struct lode_blobs *b, const char *name)
{
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		int fd = openat(b->parts, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
		if (fd < 0)
			return -1;
		bool locked = !flock(fd, LOCK_EX | LOCK_NB);
		if (locked && is_still_named(b, name, fd))
			return fd;
		close(fd);
		if (!locked)
			break;
	}
	errno = EBUSY;
	return -1;
}

static int open_part(struct lode_blob_writer *w, const char *name)
{
	if (name) {
		snprintf(w->name, sizeof(w->name), "%s", name);
		return open_named(w->blobs, name);
	}
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(w->name, sizeof(w->name), UNNAMED "%d-%u", (int)getpid(), i);
		int fd = openat(w->blobs->parts, w->name,
			O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
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
	if (w->fd < 0 && errno == EBUSY) {
		free_writer(w);
		return lode_err_set(err, -EBUSY, "somebody else is writing to it just now");
	}
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

void writer_stays_local(struct lode_blob_writer *w)
{
	w->local = true;
}

uint64_t lode_blob_part_bytes(const struct lode_blobs *b, const char *name)
{
	struct stat st;
	bool there = part_name_ok(name) && !fstatat(b->parts, name, &st, AT_SYMLINK_NOFOLLOW);
	return there ? (uint64_t)st.st_size : 0;
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
	if (mkdirat(w->blobs->dir, folder, 0750) && errno != EEXIST)
		return -errno;
	if (fsync(w->fd) || renameat(w->blobs->parts, w->name, w->blobs->dir, path))
		return -errno;
	int fd = openat(w->blobs->dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) || fsync(w->blobs->dir) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int finish_hash(EVP_MD_CTX *md, char sha256[LODE_BLOB_HEX])
{
	uint8_t digest[32];
	if (EVP_DigestFinal_ex(md, digest, NULL) != 1)
		return -EIO;
	lode_hex(digest, sizeof(digest), sha256);
	return 0;
}

int lode_blob_peek(const struct lode_blob_writer *w, char sha256[LODE_BLOB_HEX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int rc = md && EVP_MD_CTX_copy_ex(md, w->md) == 1 ? finish_hash(md, sha256) : -ENOMEM;
	EVP_MD_CTX_free(md);
	return rc ? rc : w->fd;
}

int lode_blob_commit(struct lode_blob_writer *w, const char *expect, char sha256[LODE_BLOB_HEX],
	struct lode_err *err)
{
	int rc = finish_hash(w->md, sha256);
	if (!rc && expect && strcmp(expect, sha256))
		rc = lode_err_set(err, -EBADMSG, "the bytes have SHA-256 %s, %s was promised",
			sha256, expect);
	if (!rc && w->blobs->s3 && !w->local)
		rc = bucket_put(w->blobs, w->fd, w->n_bytes, sha256, err);
	if (!rc && (rc = move_in_place(w, sha256)))
		lode_err_set(err, rc, "%s/%s: %s", w->blobs->path, sha256, strerror(-rc));
	else if (!rc && w->blobs->s3)
		lode_blobs_trim(w->blobs, w->blobs->cache_bytes);
	if (rc == -EBADMSG || (rc && !w->named))
		lode_blob_abandon(w);
	else
		free_writer(w); /* a named one can be committed again */
	return rc;
}
