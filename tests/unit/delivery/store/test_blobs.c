/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_store.h"
#include "temp.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHA_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct lode_blobs *open_blobs(const char *dir)
{
	struct lode_blobs *b = NULL;
	struct lode_err err = {0};
	cr_assert_eq(lode_blobs_open(dir, &b, &err), 0, "%s", err.msg);
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

Test(blobs, what_is_written_is_found_by_its_hash)
{
	char dir[64], sha[LODE_BLOB_HEX], bytes[8];
	struct lode_err err;
	temp_make(dir);
	struct lode_blobs *b = open_blobs(dir);
	struct lode_blob_writer *w = begin(b, NULL, NULL);
	cr_assert_eq(lode_blob_write(w, "ab", 2, &err), 0);
	cr_assert_eq(lode_blob_write(w, "c", 1, &err), 0);
	cr_assert_eq(lode_blob_commit(w, SHA_ABC, sha, &err), 0);
	cr_assert_str_eq(sha, SHA_ABC);
	cr_assert_eq(lode_blob_size(b, sha), 3);
	int fd = lode_blob_open(b, sha);
	cr_assert_eq(read(fd, bytes, sizeof(bytes)), 3);
	close(fd);
	uint64_t total = 0;
	cr_assert_eq(lode_blobs_list(b, INT64_C(1) << 45, 0, count_one, &total), 0);
	cr_assert_eq(total, 3);
	cr_assert_eq(lode_blob_delete(b, sha), 0);
	cr_assert_eq(lode_blob_size(b, sha), -ENOENT);
	lode_blobs_close(b);
	temp_remove(dir);
}

Test(blobs, a_named_upload_goes_on_where_it_was_cut)
{
	char dir[64], sha[LODE_BLOB_HEX];
	struct lode_err err;
	uint64_t have = 1;
	temp_make(dir);
	struct lode_blobs *b = open_blobs(dir);
	struct lode_blob_writer *w = begin(b, "up-1", &have);
	cr_assert_eq(have, 0);
	cr_assert_eq(lode_blob_write(w, "ab", 2, &err), 0);
	lode_blob_suspend(w);
	lode_blobs_close(b);
	b = open_blobs(dir);
	w = begin(b, "up-1", &have);
	cr_assert_eq(have, 2);
	cr_assert_eq(lode_blob_write(w, "c", 1, &err), 0);
	cr_assert_eq(lode_blob_commit(w, NULL, sha, &err), 0);
	cr_assert_str_eq(sha, SHA_ABC);
	lode_blobs_close(b);
	temp_remove(dir);
}

Test(blobs, other_bytes_than_promised_are_not_kept)
{
	char dir[64], sha[LODE_BLOB_HEX];
	struct lode_err err;
	uint64_t have = 1;
	temp_make(dir);
	struct lode_blobs *b = open_blobs(dir);
	struct lode_blob_writer *w = begin(b, "up-1", NULL);
	cr_assert_eq(lode_blob_write(w, "abd", 3, &err), 0);
	cr_assert_eq(lode_blob_commit(w, SHA_ABC, sha, &err), -EBADMSG);
	cr_assert_eq(lode_blob_size(b, SHA_ABC), -ENOENT);
	w = begin(b, "up-1", &have);
	cr_assert_eq(have, 0);
	lode_blob_abandon(w);
	lode_blobs_close(b);
	temp_remove(dir);
}

Test(blobs, names_cannot_leave_the_folder)
{
	char dir[64];
	struct lode_err err;
	struct lode_blob_writer *w;
	temp_make(dir);
	struct lode_blobs *b = open_blobs(dir);
	cr_assert_eq(lode_blob_begin(b, "../x", 0, &w, NULL, &err), -EINVAL);
	cr_assert_eq(lode_blob_begin(b, "", 0, &w, NULL, &err), -EINVAL);
	cr_assert_eq(lode_blob_open(b, "../../etc/passwd"), -ENOENT);
	cr_assert_eq(lode_blob_begin(b, NULL, UINT64_C(1) << 60, &w, NULL, &err), -ENOSPC);
	lode_blobs_close(b);
	temp_remove(dir);
}
