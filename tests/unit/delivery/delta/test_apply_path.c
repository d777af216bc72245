/* SPDX-License-Identifier: BSD-3-Clause */
/* Files: whatever happens during an apply, afterwards the old file or the new one is there. */
#include "edits.h"
#include "files.h"
#include "memory_io.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_BYTES (5 * 1024 * 1024 / 2)

struct fixture {
	char dir[64], base[96], target[96], patch[96], out[96], part[112];
	uint8_t *old, *new;
};

static void write_file(const char *path, const void *data, size_t n)
{
	FILE *f = fopen(path, "wb");
	cr_assert(f && fwrite(data, 1, n, f) == n && !fclose(f));
}

static bool file_is(const char *path, const uint8_t *data, size_t n)
{
	uint8_t *got = malloc(n + 1);
	FILE *f = fopen(path, "rb");
	bool same = f && fread(got, 1, n + 1, f) == n && !memcmp(got, data, n);
	if (f)
		fclose(f);
	free(got);
	return same;
}

static void open_fixture(struct fixture *f)
{
	struct lode_rng rng;
	struct lode_err err = {0};
	snprintf(f->dir, sizeof(f->dir), "/tmp/lode-delta-XXXXXX");
	cr_assert(mkdtemp(f->dir));
	snprintf(f->base, sizeof(f->base), "%s/base", f->dir);
	snprintf(f->target, sizeof(f->target), "%s/target", f->dir);
	snprintf(f->patch, sizeof(f->patch), "%s/patch", f->dir);
	snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
	snprintf(f->part, sizeof(f->part), "%s.part", f->out);
	f->old = malloc(N_BYTES);
	f->new = malloc(N_BYTES);
	lode_rng_seed(&rng, 4);
	draw_elements(&rng, LODE_DELTA_F32, f->old, N_BYTES / 4);
	edit_elements(&rng, EDIT_FINETUNE, LODE_DELTA_F32, f->old, f->new, N_BYTES / 4, 64);
	memcpy(f->new + N_BYTES / 2, f->old + N_BYTES / 2, N_BYTES / 4);
	write_file(f->base, f->old, N_BYTES);
	write_file(f->target, f->new, N_BYTES);
	cr_assert_eq(lode_delta_diff_path(f->base, f->target, f->patch, LODE_DELTA_MODE_FAST, NULL,
			     NULL, NULL, &err),
		0, "%s", err.msg);
}

static void close_fixture(struct fixture *f)
{
	char cmd[128];
	snprintf(cmd, sizeof(cmd), "rm -r %s", f->dir);
	cr_assert_eq(system(cmd), 0);
	free(f->old);
	free(f->new);
}

Test(files, apply_in_place_and_elsewhere)
{
	struct fixture f;
	struct lode_err err = {0};
	struct lode_delta_stats stats;
	open_fixture(&f);
	cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, NULL, &stats, &err), 0, "%s",
		err.msg);
	cr_assert(file_is(f.out, f.new, N_BYTES));
	cr_assert_eq(stats.target_bytes, N_BYTES);
	cr_assert_eq(
		lode_delta_apply_path(f.patch, f.base, f.base, NULL, NULL, &err), 0, "%s", err.msg);
	cr_assert(file_is(f.base, f.new, N_BYTES));
	/* the base is another one now */
	cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, NULL, NULL, &err), -ESTALE);
	cr_assert(file_is(f.out, f.new, N_BYTES));
	cr_assert_neq(access(f.part, F_OK), 0);
	close_fixture(&f);
}

Test(files, limits_and_damage_leave_nothing_behind)
{
	struct fixture f;
	struct lode_err err;
	struct lode_delta_apply_options opt = {.max_target_bytes = N_BYTES - 1};
	open_fixture(&f);
	cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, &opt, NULL, &err), -EFBIG);
	struct stat st;
	cr_assert(!stat(f.patch, &st));
	cr_assert(!truncate(f.patch, st.st_size - 1000));
	cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, NULL, NULL, &err), -EBADMSG);
	cr_assert_neq(access(f.part, F_OK), 0);
	cr_assert_neq(access(f.out, F_OK), 0);
	close_fixture(&f);
}

/* ---- power cut ---- */

/* Counts the operations that reach the disk and fails from one of them on. What was written since the
 * last sync of the file is lost in part: some of it becomes zeros, as after a real cut. */
struct cutter {
	unsigned n_ops, cut_at;
	bool renamed;
	struct lode_rng rng;
	uint64_t unsynced_from, unsynced_to; /* of the one file */
	int fd;
};

static bool cut(struct cutter *c)
{
	return ++c->n_ops >= c->cut_at;
}

static int cut_write_at(void *ctx, int fd, uint64_t offset, const void *buf, size_t len)
{
	struct cutter *c = ctx;
	bool torn = cut(c);
	if (c->n_ops > c->cut_at)
		return -EIO;
	c->fd = fd;
	c->unsynced_from = LODE_MIN(c->unsynced_from, offset);
	c->unsynced_to = LODE_MAX(c->unsynced_to, offset + len);
	posix_fs.write_at(NULL, fd, offset, buf, torn ? len / 3 : len);
	return torn ? -EIO : 0;
}

static void lose_unsynced(struct cutter *c)
{
	static const uint8_t zeros[4096];
	for (uint64_t at = c->unsynced_from; at + 4096 < c->unsynced_to; at += 4096)
		if (lode_rng_below(&c->rng, 2))
			posix_fs.write_at(NULL, c->fd, at, zeros, sizeof(zeros));
}

static int cut_sync(void *ctx, int fd)
{
	struct cutter *c = ctx;
	if (cut(c)) {
		if (c->n_ops == c->cut_at && !c->renamed)
			lose_unsynced(c);
		return -EIO;
	}
	c->unsynced_from = UINT64_MAX;
	c->unsynced_to = 0;
	return 0;
}

static int cut_rename(void *ctx, int dir_fd, const char *from, const char *to)
{
	struct cutter *c = ctx;
	if (cut(c))
		return -EIO;
	c->renamed = true;
	return posix_fs.rename(NULL, dir_fd, from, to);
}

/* After the cut nobody removes anything. */
static int cut_remove(void *ctx, int dir_fd, const char *name)
{
	return -EIO;
}

/* Cuts at one operation; then what is there must be whole, and the next apply must finish. Returns
 * whether the apply ended before the cut. */
static bool cut_once(struct fixture *f, unsigned at)
{
	struct cutter c = {.cut_at = at, .unsynced_from = UINT64_MAX};
	struct lode_delta_fs fs = {&c, cut_write_at, cut_sync, cut_rename, cut_remove};
	struct lode_delta_apply_options opt = {.fs = &fs};
	struct lode_err err = {0};
	lode_rng_seed(&c.rng, at);
	write_file(f->out, f->old, N_BYTES);
	int rc = lode_delta_apply_path(f->patch, f->base, f->out, &opt, NULL, &err);
	if (c.n_ops >= at && !c.renamed) {
		int fd = open(f->part, O_WRONLY);
		c.fd = fd;
		if (fd >= 0)
			lose_unsynced(&c);
		close(fd);
	}
	cr_assert(file_is(f->out, c.renamed ? f->new : f->old, N_BYTES), "cut at %u: torn", at);
	cr_assert_eq(lode_delta_apply_path(f->patch, f->base, f->out, NULL, NULL, &err), 0,
		"cut at %u: %s", at, err.msg);
	cr_assert(file_is(f->out, f->new, N_BYTES), "cut at %u: not finished", at);
	cr_assert_neq(access(f->part, F_OK), 0);
	return !rc;
}

Test(files, power_cut_at_every_write)
{
	struct fixture f;
	unsigned at = 1;
	open_fixture(&f);
	while (!cut_once(&f, at))
		at++;
	cr_assert_geq(at, 12, "only %u operations", at);
	close_fixture(&f);
}

/* ---- kill -9 ---- */

static int kill_at(void *ctx, uint64_t done, uint64_t total)
{
	if (done >= *(uint64_t *)ctx)
		raise(SIGKILL);
	return 0;
}

Test(files, killed_apply_goes_on)
{
	struct fixture f;
	open_fixture(&f);
	for (uint64_t at = 100000; at < N_BYTES; at += 600000) {
		struct lode_delta_apply_options opt = {.progress = kill_at, .progress_ctx = &at};
		struct lode_delta_stats stats;
		struct lode_err err = {0};
		int status;
		write_file(f.out, f.old, N_BYTES);
		pid_t child = fork();
		if (!child) {
			lode_delta_apply_path(f.patch, f.base, f.out, &opt, NULL, NULL);
			_exit(1);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFSIGNALED(status));
		cr_assert(file_is(f.out, f.old, N_BYTES));
		cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, NULL, &stats, &err), 0,
			"%s", err.msg);
		cr_assert_geq(stats.resumed_bytes, at);
		cr_assert(file_is(f.out, f.new, N_BYTES));
	}
	close_fixture(&f);
}

static int cancel_at(void *ctx, uint64_t done, uint64_t total)
{
	return done >= *(uint64_t *)ctx ? -ECANCELED : 0;
}

Test(files, cancelled_apply_goes_on)
{
	struct fixture f;
	uint64_t at = N_BYTES / 2;
	struct lode_delta_apply_options opt = {.progress = cancel_at, .progress_ctx = &at};
	struct lode_delta_stats stats;
	open_fixture(&f);
	cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, &opt, NULL, NULL), -ECANCELED);
	cr_assert_eq(access(f.part, F_OK), 0);
	cr_assert_eq(lode_delta_apply_path(f.patch, f.base, f.out, NULL, &stats, NULL), 0);
	cr_assert_geq(stats.resumed_bytes, at);
	cr_assert(file_is(f.out, f.new, N_BYTES));
	close_fixture(&f);
}

/* ---- packages ---- */

Test(files, a_folder_is_replaced_as_one)
{
	struct fixture f;
	struct lode_err err = {0};
	char v1[96], v2[96], out[96], path[128];
	open_fixture(&f);
	snprintf(v1, sizeof(v1), "%s/v1", f.dir);
	snprintf(v2, sizeof(v2), "%s/v2", f.dir);
	snprintf(out, sizeof(out), "%s/current", f.dir);
	cr_assert(!mkdir(v1, 0755) && !mkdir(v2, 0755));
	snprintf(path, sizeof(path), "%s/a.bin", v1);
	write_file(path, f.old, 100000);
	snprintf(path, sizeof(path), "%s/a.bin", v2);
	write_file(path, f.new, 100000);
	snprintf(path, sizeof(path), "%s/b.json", v2);
	write_file(path, "{}", 2);
	cr_assert_eq(lode_delta_diff_path(
			     v1, v2, f.patch, LODE_DELTA_MODE_DEFAULT, NULL, NULL, NULL, &err),
		0, "%s", err.msg);
	for (unsigned again = 0; again < 2; again++) {
		cr_assert_eq(lode_delta_apply_path(f.patch, v1, out, NULL, NULL, &err), 0, "%s",
			err.msg);
		snprintf(path, sizeof(path), "%s/a.bin", out);
		cr_assert(file_is(path, f.new, 100000));
		snprintf(path, sizeof(path), "%s/b.json", out);
		cr_assert(file_is(path, (const uint8_t *)"{}", 2));
		snprintf(path, sizeof(path), "%s.part", out);
		cr_assert_neq(access(path, F_OK), 0);
	}
	close_fixture(&f);
}

Test(files, oxdl_patches_are_recognised)
{
	struct fixture f;
	struct lode_delta_patch p;
	struct lode_err err = {0};
	open_fixture(&f);
	memcpy(f.new, f.old, N_BYTES);
	f.new[77] ^= 1;
	write_file(f.target, f.new, N_BYTES);
	cr_assert_eq(lode_oxdl_diff(f.old, N_BYTES, f.new, N_BYTES, &p, &err), 0, "%s", err.msg);
	write_file(f.patch, p.data, p.len);
	cr_assert_eq(
		lode_delta_apply_path(f.patch, f.base, f.out, NULL, NULL, &err), 0, "%s", err.msg);
	cr_assert(file_is(f.out, f.new, N_BYTES));
	free(p.data);
	close_fixture(&f);
}
