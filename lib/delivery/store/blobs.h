/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_s3.h"
#include "lode_store.h"

#define UNNAMED "new-" /* begins the names of parts that nobody can continue */

struct lode_blobs {
	int dir, parts;
	char path[LODE_STORE_ID_MAX + 384];
	struct lode_s3 *s3;	 /* NULL: the folder is all there is; else it is a cache */
	uint64_t cache_bytes;	 /* of a cache */
	struct fetcher *fetcher; /* of a bucket */
	/* The fetcher writes, anybody reads; and the other way. */
	_Atomic uint64_t fetched_bytes;
	atomic_bool closing;
};

/* fetcher.c */
int fetcher_new(struct lode_blobs *b, struct fetcher **out, struct lode_err *err);
void fetcher_free(struct fetcher *f);
/* -EAGAIN: it will be there; or why it could not be fetched, told once. */
int fetcher_want(struct fetcher *f, const char *sha256);

/* What comes from the bucket is not sent to it again. */
void writer_stays_local(struct lode_blob_writer *w);

/* bucket.c */
bool bucket_named(const char *place);
/* s3://... : connects b->s3; the cache's folder in dir. */
int bucket_open(struct lode_blobs *b, const char *place, char dir[LODE_STORE_ID_MAX + 384],
	struct lode_err *err);
int bucket_put(
	struct lode_blobs *b, int fd, uint64_t n_bytes, const char *sha256, struct lode_err *err);
/* Into the cache; other bytes than the hash says are refused with -EBADMSG. */
int bucket_fetch(struct lode_blobs *b, const char *sha256, struct lode_err *err);
int bucket_list(const struct lode_blobs *b, int64_t older_than_s,
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes), void *ctx);
