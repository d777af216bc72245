/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/s3: objects in an S3-compatible bucket. libcurl talks and signs (AWS Signature Version 4); each
 * object's SHA-256 is signed with it. Broken connections and answers of 429 and 5xx are tried again with
 * growing pauses; a download goes on where it broke. After a server was not reached, calls fail at once for 5 s. Calls block; an object may be used by several
 * threads, each call has a connection of its own. Credentials are in no message. Actions return 0 or -errno:
 * -ENOENT no such object, -EACCES refused, -ENOTCONN not reached, -EAGAIN the server is in trouble. */
#pragma once

#include "lode_base.h"

#define LODE_S3_KEY_MAX 128 /* bytes with the NUL; of [a-z0-9/._-] */

struct lode_s3;

struct lode_s3_options {
	const char *endpoint; /* https://host[:port], or http:// */
	const char *region;   /* us-east-1, or what the server wants */
	const char *bucket;
	const char *prefix; /* before every key, without slashes at its ends; "" none */
	const char *
		credentials; /* file, not readable for others: aws_access_key_id = ..., aws_secret_access_key
				  * = ... */
	uint64_t part_bytes; /* larger objects go up in parts; 0: 64 MiB, at least 5 MiB */
	unsigned attempts;   /* of one request; 0: 5 */
};

int lode_s3_open(const struct lode_s3_options *o, struct lode_s3 **out, struct lode_err *err);
void lode_s3_close(struct lode_s3 *s);

/* n_bytes of fd from its start; sha256: their hash in hex. */
int lode_s3_put(struct lode_s3 *s, const char *key, int fd, uint64_t n_bytes, const char *sha256,
	struct lode_err *err);
/* Gives the object's bytes to write in order; not 0 from it ends the transfer with that. */
typedef int lode_s3_write_fn(void *ctx, const void *bytes, size_t len);
int lode_s3_get(struct lode_s3 *s, const char *key, lode_s3_write_fn *write, void *ctx,
	struct lode_err *err);
/* Bytes of an object, or -errno. */
int64_t lode_s3_size(struct lode_s3 *s, const char *key, struct lode_err *err);
/* 0 also when it was not there: S3 does not say. */
int lode_s3_delete(struct lode_s3 *s, const char *key, struct lode_err *err);

struct lode_s3_object {
	char key[LODE_S3_KEY_MAX]; /* without the prefix */
	uint64_t n_bytes;
	int64_t modified_s; /* since 1970 */
};
/* Not 0 from fn ends the listing with that. */
typedef int lode_s3_list_fn(void *ctx, const struct lode_s3_object *object);
int lode_s3_list(struct lode_s3 *s, lode_s3_list_fn *fn, void *ctx, struct lode_err *err);

/* ---- pieces that tests and fuzzers reach ---- */

/* One page of ListObjectsV2: fn for each object; next: the continuation token, "" after the last page. */
int lode_s3_parse_list(const char *xml, const char *prefix, lode_s3_list_fn *fn, void *ctx,
	char *next, size_t next_room, struct lode_err *err);
