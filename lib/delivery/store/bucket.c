/* SPDX-License-Identifier: BSD-3-Clause */
/* Blobs in a bucket, under the names they have in a folder. The folder is a cache then: what is in it was checked,
 * what leaves it is fetched again. */
#include "blobs.h"

#include <stdio.h>
#include <stdlib.h>

#define CACHE_BYTES_USUAL (20ull << 30)
#define SCHEME		  "s3://"

bool bucket_named(const char *place)
{
	return !strncmp(place, SCHEME, strlen(SCHEME));
}

/* s3://BUCKET/PREFIX?key=value&... cut into its parts, in place. */
struct place {
	char text[600];
	struct lode_s3_options s3;
	const char *cache;
	uint64_t cache_bytes;
};

static int take_parameter(struct place *p, char *name, struct lode_err *err)
{
	const char *equals = strchr(name, '=');
	char *value = name + strcspn(name, "=");
	const struct {
		const char *name;
		const char **to;
	} known[] = {{"endpoint", &p->s3.endpoint}, {"region", &p->s3.region},
		{"credentials", &p->s3.credentials}, {"cache", &p->cache}};
	if (equals)
		*value++ = 0;
	for (size_t i = 0; i < LODE_ARRAY_LEN(known); i++)
		if (equals && !strcmp(name, known[i].name)) {
			*known[i].to = value;
			return 0;
		}
	p->cache_bytes = equals && !strcmp(name, "cache_bytes") ? strtoull(value, NULL, 10) : 0;
	if (p->cache_bytes)
		return 0;
	return lode_err_set(err, -EINVAL,
		"blobs: endpoint=, region=, credentials=, cache= and cache_bytes= are allowed, "
		"found "
		"'%.40s'",
		name);
}

static int parse_place(struct place *p, const char *place, struct lode_err *err)
{
	if (strlen(place) >= sizeof(p->text))
		return lode_err_set(err, -ENAMETOOLONG, "blobs: the place is too long");
	snprintf(p->text, sizeof(p->text), "%s", place);
	char *save = NULL, *query = strchr(p->text, '?');
	p->s3 = (struct lode_s3_options){.region = "us-east-1", .prefix = ""};
	p->s3.bucket = p->text + strlen(SCHEME);
	p->cache_bytes = CACHE_BYTES_USUAL;
	if (query)
		*query++ = 0;
	char *slash = strchr(p->text + strlen(SCHEME), '/');
	if (slash) {
		*slash = 0;
		p->s3.prefix = slash + 1;
	}
	int rc = 0;
	for (char *at = query ? strtok_r(query, "&", &save) : NULL; at && !rc;
		at = strtok_r(NULL, "&", &save))
		rc = take_parameter(p, at, err);
	if (!rc && (!p->s3.endpoint || !p->s3.credentials || !p->cache))
		rc = lode_err_set(err, -EINVAL,
			"blobs: s3://BUCKET[/PREFIX]?endpoint=URL&credentials=FILE&cache=FOLDER is "
			"expected");
	return rc;
}

int bucket_open(struct lode_blobs *b, const char *place, char dir[LODE_STORE_ID_MAX + 384],
	struct lode_err *err)
{
	struct place p;
	int rc = parse_place(&p, place, err);
	if (!rc)
		rc = lode_s3_open(&p.s3, &b->s3, err);
	if (rc)
		return rc;
	b->cache_bytes = p.cache_bytes;
	snprintf(dir, LODE_STORE_ID_MAX + 384, "%s", p.cache);
	return 0;
}

int bucket_put(
	struct lode_blobs *b, int fd, uint64_t n_bytes, const char *sha256, struct lode_err *err)
{
	char path[72];
	lode_blob_path(sha256, path);
	return lode_s3_put(b->s3, path, fd, n_bytes, sha256, err);
}

struct fetch {
	struct lode_blobs *blobs;
	struct lode_blob_writer *writer;
	struct lode_err *err;
};

static int take_bytes(void *ctx, const void *bytes, size_t len)
{
	struct fetch *f = ctx;
	if (atomic_load(&f->blobs->closing))
		return -ECANCELED;
	atomic_fetch_add(&f->blobs->fetched_bytes, len);
	return lode_blob_write(f->writer, bytes, len, f->err);
}

int bucket_fetch(struct lode_blobs *b, const char *sha256, struct lode_err *err)
{
	char path[72], found[LODE_BLOB_HEX];
	struct fetch f = {.blobs = b, .err = err};
	lode_blob_path(sha256, path);
	int64_t n_bytes = lode_s3_size(b->s3, path, err);
	int rc = n_bytes < 0 ? (int)n_bytes
			     : lode_blob_begin(b, NULL, (uint64_t)n_bytes, &f.writer, NULL, err);
	if (rc)
		return rc;
	writer_stays_local(f.writer);
	rc = lode_s3_get(b->s3, path, take_bytes, &f, err);
	if (rc) {
		lode_blob_abandon(f.writer);
		return rc;
	}
	return lode_blob_commit(f.writer, sha256, found, err);
}

struct listing {
	int64_t older_than_s;
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes);
	void *ctx;
};

static int list_one(void *ctx, const struct lode_s3_object *o)
{
	const struct listing *l = ctx;
	const char *sha256 = strchr(o->key, '/');
	if (!sha256 || !lode_blob_name_ok(++sha256) || o->modified_s > l->older_than_s)
		return 0;
	return l->fn(l->ctx, sha256, o->n_bytes);
}

int bucket_list(const struct lode_blobs *b, int64_t older_than_s,
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes), void *ctx)
{
	struct lode_err ignored;
	struct listing l = {older_than_s, fn, ctx};
	return lode_s3_list(b->s3, list_one, &l, &ignored);
}
