/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_store.h"
#include "s3_server.h"
#include "temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* A folder, or a bucket with a cache. One process per test: what it leaves is taken down at its end. */
static struct {
	char dir[64], place[400];
	struct s3_server server;
} world;

static void make_place(const char *kind)
{
	temp_make(world.dir);
	snprintf(world.place, sizeof(world.place), "%s/blobs", world.dir);
	if (strcmp(kind, "s3") != 0)
		return;
	if (!s3_server_start(&world.server, false))
		cr_skip("the S3 server cannot be had: node, npm or its registry is missing");
	snprintf(world.place, sizeof(world.place),
		"s3://lode/blobs?endpoint=%s&credentials=%s&cache=%s/cache", world.server.endpoint,
		world.server.credentials, world.dir);
}

static void drop_place(void)
{
	s3_server_stop(&world.server);
	temp_remove(world.dir);
}

static struct lode_blobs *open_blobs(void)
{
	struct lode_blobs *b = NULL;
	struct lode_err err = {0};
	cr_assert_eq(lode_blobs_open(world.place, &b, &err), 0, "%s", err.msg);
	return b;
}

static struct lode_blob_writer *begin(struct lode_blobs *b, const char *name, uint64_t *have)
{
	struct lode_blob_writer *w = NULL;
	struct lode_err err = {0};
	cr_assert_eq(lode_blob_begin(b, name, 0, &w, have, &err), 0, "%s", err.msg);
	return w;
}

static int count_one(void *ctx, const char *sha256, uint64_t n_bytes)
{
	(void)sha256;
	*(uint64_t *)ctx += n_bytes;
	return 0;
}

static void write_blob(struct lode_blobs *b, const char *bytes, char sha[LODE_BLOB_HEX])
{
	struct lode_err err = {0};
	struct lode_blob_writer *w = begin(b, NULL, NULL);
	cr_assert_eq(lode_blob_write(w, bytes, strlen(bytes), &err), 0);
	cr_assert_eq(lode_blob_commit(w, NULL, sha, &err), 0, "%s", err.msg);
}

static void check_found_by_hash(struct lode_blobs *b)
{
	char sha[LODE_BLOB_HEX], bytes[8];
	uint64_t total = 0;
	write_blob(b, "abc", sha);
	cr_assert_str_eq(sha, SHA_ABC);
	write_blob(b, "abc", sha);
	cr_assert_eq(lode_blob_size(b, sha), 3);
	int fd = lode_blob_open(b, sha);
	cr_assert_eq(read(fd, bytes, sizeof(bytes)), 3);
	close(fd);
	cr_assert_eq(lode_blobs_list(b, INT64_C(1) << 45, 0, count_one, &total), 0);
	cr_assert_eq(total, 3);
	cr_assert_eq(lode_blobs_list(b, 0, 0, count_one, &total), 0);
	cr_assert_eq(total, 3, "all are younger than 1970");
	cr_assert_eq(lode_blob_delete(b, sha), 0);
	cr_assert_eq(lode_blob_size(b, sha), -ENOENT);
	cr_assert_eq(lode_blob_open(b, sha), -ENOENT);
}

static void check_goes_on(void)
{
	char sha[LODE_BLOB_HEX];
	struct lode_err err;
	uint64_t have = 1;
	struct lode_blobs *b = open_blobs();
	struct lode_blob_writer *second, *w = begin(b, "up-1", &have);
	cr_assert_eq(have, 0);
	cr_assert_eq(lode_blob_write(w, "ab", 2, &err), 0);
	cr_assert_eq(lode_blob_begin(b, "up-1", 0, &second, NULL, &err), -EBUSY);
	lode_blob_suspend(w);
	lode_blobs_close(b);
	b = open_blobs();
	w = begin(b, "up-1", &have);
	cr_assert_eq(have, 2);
	cr_assert_eq(lode_blob_write(w, "c", 1, &err), 0);
	cr_assert_eq(lode_blob_commit(w, NULL, sha, &err), 0);
	cr_assert_str_eq(sha, SHA_ABC);
	lode_blobs_close(b);
}

static void check_promise(struct lode_blobs *b)
{
	char sha[LODE_BLOB_HEX];
	struct lode_err err;
	uint64_t have = 1;
	struct lode_blob_writer *w = begin(b, "up-1", NULL);
	cr_assert_eq(lode_blob_write(w, "abd", 3, &err), 0);
	cr_assert_eq(lode_blob_commit(w, SHA_ABC, sha, &err), -EBADMSG);
	cr_assert_eq(lode_blob_size(b, sha), -ENOENT);
	w = begin(b, "up-1", &have);
	cr_assert_eq(have, 0);
	lode_blob_abandon(w);
}

static void check_names(struct lode_blobs *b)
{
	struct lode_err err;
	struct lode_blob_writer *w;
	cr_assert_eq(lode_blob_begin(b, "../x", 0, &w, NULL, &err), -EINVAL);
	cr_assert_eq(lode_blob_begin(b, "", 0, &w, NULL, &err), -EINVAL);
	cr_assert_eq(lode_blob_open(b, "../../etc/passwd"), -ENOENT);
	cr_assert_eq(lode_blob_begin(b, NULL, UINT64_C(1) << 60, &w, NULL, &err), -ENOSPC);
}

static void conform(const char *kind)
{
	make_place(kind);
	struct lode_blobs *b = open_blobs();
	check_found_by_hash(b);
	check_promise(b);
	check_names(b);
	lode_blobs_close(b);
	check_goes_on();
}

Test(blobs, a_folder_conforms, .fini = drop_place)
{
	conform("folder");
}

Test(blobs, a_bucket_conforms, .fini = drop_place, .timeout = 120)
{
	conform("s3");
}

/* The cache may be lost, or hold another process's blobs only. */
Test(blobs, what_the_cache_lacks_comes_from_the_bucket, .fini = drop_place, .timeout = 120)
{
	char sha[LODE_BLOB_HEX], bytes[8], cache[80];
	make_place("s3");
	struct lode_blobs *b = open_blobs();
	write_blob(b, "abc", sha);
	lode_blobs_close(b);
	snprintf(cache, sizeof(cache), "%s/cache", world.dir);
	temp_remove(cache);
	b = open_blobs();
	cr_assert_eq(lode_blob_size(b, sha), 3);
	int fd = lode_blob_open(b, sha);
	cr_assert_eq(read(fd, bytes, sizeof(bytes)), 3);
	close(fd);
	/* Who does not want to wait asks again. */
	cr_assert_eq(lode_blobs_trim(b, 0), 0);
	while ((fd = lode_blob_open_soon(b, sha)) == -EAGAIN)
		usleep(10000);
	cr_assert_eq(read(fd, bytes, sizeof(bytes)), 3);
	close(fd);
	cr_assert_eq(lode_blobs_fetched(b), 6);
	/* Other bytes under the name: nobody gets them. */
	cr_assert_eq(lode_blobs_trim(b, 0), 0);
	char command[300];
	snprintf(command, sizeof(command),
		"find %s/data/lode -type f -name '*object' -exec sh -c 'printf abd >\"$1\"' x {} "
		"\\;",
		world.server.dir);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(lode_blob_open(b, sha), -EBADMSG);
	while ((fd = lode_blob_open_soon(b, sha)) == -EAGAIN)
		usleep(10000);
	cr_assert_eq(fd, -EBADMSG);
	lode_blobs_close(b);
}

/* Without its bucket nothing is promised: the upload stays to be tried again. */
Test(blobs, an_upload_outlives_a_bucket_that_is_away, .fini = drop_place, .timeout = 120)
{
	char sha[LODE_BLOB_HEX];
	struct lode_err err = {0};
	uint64_t have = 0;
	make_place("folder");
	char path[100];
	snprintf(path, sizeof(path), "%s/credentials", world.dir);
	s3_write_credentials(path, "x", 0600);
	snprintf(world.place, sizeof(world.place),
		"s3://lode?endpoint=http://127.0.0.1:1&credentials=%s&cache=%s/cache", path,
		world.dir);
	struct lode_blobs *b = open_blobs();
	struct lode_blob_writer *w = begin(b, "up-1", NULL);
	cr_assert_eq(lode_blob_write(w, "abc", 3, &err), 0);
	cr_assert_eq(lode_blob_commit(w, NULL, sha, &err), -ENOTCONN);
	w = begin(b, "up-1", &have);
	cr_assert_eq(have, 3);
	lode_blob_abandon(w);
	lode_blobs_close(b);
}

Test(blobs, a_full_cache_forgets_what_was_read_longest_ago, .fini = drop_place)
{
	char first[LODE_BLOB_HEX], second[LODE_BLOB_HEX], third[LODE_BLOB_HEX];
	make_place("folder");
	struct lode_blobs *b = open_blobs();
	write_blob(b, "first", first);
	usleep(10000); /* a tick of the file system's clock */
	write_blob(b, "second", second);
	usleep(10000);
	write_blob(b, "third", third);
	usleep(10000);
	close(lode_blob_open(b, first));
	cr_assert_eq(lode_blobs_trim(b, 11), 10);
	cr_assert_eq(lode_blob_size(b, second), -ENOENT);
	cr_assert_eq(lode_blob_size(b, first), 5);
	cr_assert_eq(lode_blob_size(b, third), 5);
	lode_blobs_close(b);
}

Test(blobs, a_place_that_is_none_is_refused)
{
	static const char *const places[] = {"s3://b", "s3://b?endpoint=x&credentials=/x&cache=/x",
		"s3://b?endpoint=http://x&credentials=/does/not/exist&cache=/tmp/x",
		"s3://b?color=red"};
	struct lode_blobs *b;
	struct lode_err err;
	for (size_t i = 0; i < LODE_ARRAY_LEN(places); i++)
		cr_assert_lt(lode_blobs_open(places[i], &b, &err), 0, "%s", places[i]);
}
