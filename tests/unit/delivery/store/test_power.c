/* SPDX-License-Identifier: BSD-3-Clause */
/* The power is cut at every call that writes: bytes that were not synced are lost or turn to zeros, renames that were not
 * synced never happened. What was answered as kept is there then, and nothing that is there is torn. This program's
 * own definitions take the place of the C library's calls; the disk model is in them. */
#include <criterion/criterion.h>

#include "lode_store.h"
#include "temp.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX   32
#define RENAMES_MAX 16
#define BLOB_BYTES  3000
#define CUT_CODE    42
#define NOW_MS	    (INT64_C(1) << 45)

enum loss { LOSS_NONE, LOSS_TAIL, LOSS_ZEROS, N_LOSSES };

/* What the disk has not been told to keep. */
static struct {
	bool armed;
	int calls_left;
	enum loss loss;
	unsigned n_files, n_renames;
	struct {
		ino_t inode;
		char path[256];
		off_t synced_bytes;
	} files[FILES_MAX];
	struct {
		ino_t folder;
		char from[256], to[256];
		char replaced[256]; /* what stood there before, under another name */
	} renames[RENAMES_MAX];
} disk;

/* Written by the child when a commit was answered, read after its end. */
struct answers {
	unsigned n;
	char sha256[8][LODE_BLOB_HEX];
};
static struct answers *answers;

static void path_of_fd(int fd, char path[256])
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, 255);
	path[n > 0 ? n : 0] = 0;
}

static void lose_file(const char *path, off_t synced_bytes)
{
	struct stat st;
	if (stat(path, &st) || st.st_size <= synced_bytes)
		return;
	cr_assert_eq(truncate(path, synced_bytes), 0);
	if (disk.loss == LOSS_ZEROS)
		cr_assert_eq(truncate(path, st.st_size), 0);
}

static void cut(void)
{
	disk.armed = false;
	for (unsigned i = 0; disk.loss != LOSS_NONE && i < disk.n_files; i++)
		lose_file(disk.files[i].path, disk.files[i].synced_bytes);
	for (unsigned i = disk.n_renames; disk.loss != LOSS_NONE && i > 0; i--) {
		rename(disk.renames[i - 1].to, disk.renames[i - 1].from);
		rename(disk.renames[i - 1].replaced, disk.renames[i - 1].to);
	}
	_exit(CUT_CODE);
}

static void count_call(void)
{
	if (disk.armed && !disk.calls_left--)
		cut();
}

static unsigned file_of(int fd)
{
	struct stat st;
	cr_assert_eq(fstat(fd, &st), 0);
	for (unsigned i = 0; i < disk.n_files; i++)
		if (disk.files[i].inode == st.st_ino)
			return i;
	cr_assert_lt(disk.n_files, FILES_MAX);
	disk.files[disk.n_files].inode = st.st_ino;
	path_of_fd(fd, disk.files[disk.n_files].path);
	return disk.n_files++;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
	count_call();
	if (disk.armed)
		file_of(fd);
	return syscall(SYS_write, fd, bytes, n);
}

static void sync_folder(ino_t folder)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < disk.n_renames; i++)
		if (disk.renames[i].folder != folder)
			disk.renames[kept++] = disk.renames[i];
	disk.n_renames = kept;
}

int fsync(int fd)
{
	struct stat st;
	count_call();
	if (disk.armed && !fstat(fd, &st)) {
		if (S_ISDIR(st.st_mode))
			sync_folder(st.st_ino);
		else
			disk.files[file_of(fd)].synced_bytes = st.st_size;
	}
	/* The disk is this model: the real one need not be waited for. */
	return disk.armed ? 0 : (int)syscall(SYS_fsync, fd);
}

static void note_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	char folder[256];
	struct stat st;
	unsigned n = disk.n_renames++;
	cr_assert_lt(n, RENAMES_MAX);
	path_of_fd(from_dir, folder);
	snprintf(disk.renames[n].from, 256, "%.150s/%.100s", folder, from);
	path_of_fd(to_dir, folder);
	snprintf(disk.renames[n].to, 256, "%.150s/%.100s", folder, to);
	snprintf(disk.renames[n].replaced, 256, "%.150s/parts/replaced-%u", folder, n);
	unlink(disk.renames[n].replaced);
	if (link(disk.renames[n].to, disk.renames[n].replaced))
		cr_assert_eq(errno, ENOENT);
	for (unsigned i = 0; i < disk.n_files; i++)
		if (!strcmp(disk.files[i].path, disk.renames[n].from))
			memcpy(disk.files[i].path, disk.renames[n].to, 256);
	memcpy(folder, disk.renames[n].to, 256);
	*strrchr(folder, '/') = 0;
	cr_assert_eq(stat(folder, &st), 0);
	disk.renames[n].folder = st.st_ino;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	count_call();
	if (disk.armed)
		note_rename(from_dir, from, to_dir, to);
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
	count_call();
	return (int)syscall(SYS_mkdirat, dir, path, mode);
}

/* ---- what the manager does meanwhile ---- */

static void fill(uint8_t bytes[BLOB_BYTES], unsigned seed)
{
	for (unsigned i = 0; i < BLOB_BYTES; i++)
		bytes[i] = (uint8_t)((i + 1) * (seed + 3) >> 3);
}

/* Some bytes, perhaps in two parts with a break between; 0 when they are kept. */
static int store_blob(
	struct lode_blobs *b, unsigned seed, const char *name, char sha256[LODE_BLOB_HEX])
{
	uint8_t bytes[BLOB_BYTES];
	uint64_t have = 0;
	struct lode_blob_writer *w;
	struct lode_err err;
	fill(bytes, seed);
	int rc = lode_blob_begin(b, name, BLOB_BYTES, &w, &have, &err);
	if (!rc && name && !have) {
		cr_assert_eq(lode_blob_write(w, bytes, 1000, &err), 0);
		lode_blob_suspend(w);
		rc = lode_blob_begin(b, name, 0, &w, &have, &err);
	}
	if (rc)
		return rc;
	cr_assert_leq(have, BLOB_BYTES);
	cr_assert_eq(lode_blob_write(w, bytes + have, BLOB_BYTES - have, &err), 0);
	uint8_t digest[32];
	char expect[LODE_BLOB_HEX];
	EVP_Digest(bytes, sizeof(bytes), digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(expect + 2 * i, 3, "%02x", digest[i]);
	return lode_blob_commit(w, expect, sha256, &err);
}

static void work(const char *dir)
{
	static const struct {
		unsigned seed;
		const char *name;
	} jobs[] = {{1, NULL}, {2, "up-2"}, {1, NULL}, {3, "up-3"}};
	struct lode_blobs *b;
	struct lode_err err;
	cr_assert_eq(lode_blobs_open(dir, &b, &err), 0);
	disk.armed = true;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(jobs); i++)
		if (!store_blob(b, jobs[i].seed, jobs[i].name, answers->sha256[answers->n]))
			answers->n++;
	disk.armed = false;
	lode_blobs_close(b);
}

static int check_whole(void *ctx, const char *sha256, uint64_t n_bytes)
{
	uint8_t bytes[BLOB_BYTES + 1], digest[32];
	char hex[LODE_BLOB_HEX];
	int fd = lode_blob_open(ctx, sha256);
	cr_assert_eq(read(fd, bytes, sizeof(bytes)), BLOB_BYTES, "%s has %llu bytes", sha256,
		(unsigned long long)n_bytes);
	close(fd);
	EVP_Digest(bytes, BLOB_BYTES, digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	cr_assert_str_eq(hex, sha256, "torn bytes are there");
	return 0;
}

static void check_after(const char *dir)
{
	struct lode_blobs *b;
	struct lode_err err;
	char sha256[LODE_BLOB_HEX];
	cr_assert_eq(lode_blobs_open(dir, &b, &err), 0);
	lode_blobs_list(b, NOW_MS, 0, check_whole, b);
	for (unsigned i = 0; i < answers->n; i++)
		cr_assert_eq(lode_blob_size(b, answers->sha256[i]), BLOB_BYTES,
			"what was answered is gone");
	/* An upload goes on; if its beginning has become other bytes it is refused, and the next try is whole. */
	if (store_blob(b, 2, "up-2", sha256))
		cr_assert_eq(store_blob(b, 2, "up-2", sha256), 0);
	lode_blobs_list(b, NOW_MS, 0, check_whole, b);
	lode_blobs_close(b);
}

/* False when the work was done before the cut. */
static bool cut_at(int n, enum loss loss)
{
	char dir[64];
	int status;
	temp_make(dir);
	*answers = (struct answers){0};
	pid_t child = fork();
	if (!child) {
		disk.calls_left = n;
		disk.loss = loss;
		work(dir);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFEXITED(status) && (WEXITSTATUS(status) == CUT_CODE || !WEXITSTATUS(status)),
		"cut at %d, loss %d: status %#x", n, loss, status);
	check_after(dir);
	temp_remove(dir);
	return WEXITSTATUS(status) == CUT_CODE;
}

Test(power, a_cut_at_any_write_loses_no_answer_and_leaves_nothing_torn)
{
	answers = mmap(
		NULL, sizeof(*answers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(answers, MAP_FAILED);
	for (int loss = 0; loss < N_LOSSES; loss++) {
		int n = 0;
		while (cut_at(n, (enum loss)loss))
			n++;
		cr_assert_gt(n, 20, "only %d calls were seen", n);
		cr_assert_eq(answers->n, 4);
	}
}
