/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/store: what the manager must not forget. Documents (JSON text) by kind, parent and id with
 * compare-and-set, an audit log whose entries are chained by SHA-256, and blobs addressed by their SHA-256 in a
 * folder or an S3-compatible bucket. Documents live in SQLite or PostgreSQL: the same calls, the same answers. A store object belongs to
 * one thread; several processes and threads may open the same place. Times are milliseconds since 1970
 * (`_ms`). Actions return 0 or -errno. */
#pragma once

#include "lode_base.h"

/* ---- documents ---- */

enum lode_store_kind {
	LODE_DOC_DEVICE,
	LODE_DOC_FLEET,
	LODE_DOC_MEMBER,  /* parent: fleet, id: device */
	LODE_DOC_VERSION, /* parent: model, id: version */
	LODE_DOC_DELTA,	  /* parent: SHA-256 of the target, id: SHA-256 of the base */
	LODE_DOC_CAMPAIGN,
	LODE_DOC_TARGET,      /* parent: campaign, id: device */
	LODE_DOC_UPLOAD,      /* an upload that may be continued */
	LODE_DOC_TOKEN,	      /* id: SHA-256 of the secret */
	LODE_DOC_ENROLMENT,   /* id: SHA-256 of the one-time secret */
	LODE_DOC_CERTIFICATE, /* id: serial number, hex */
	LODE_DOC_RELEASE,     /* parent: model, id: version; the signed chain */
	LODE_DOC_SEALED,      /* id: SHA-256 of bytes that are in the store sealed, under another; tag: key id */
	LODE_N_DOCS,
};

#define LODE_STORE_ID_MAX  129	      /* bytes with the NUL */
#define LODE_STORE_TAG_MAX 32	      /* bytes with the NUL: a state to list by */
#define LODE_STORE_DOC_MAX (1u << 20) /* bytes of one document */
#define LODE_STORE_ANY_REV (-1)	      /* write whatever is there */
#define LODE_STORE_NEW	   0	      /* write only if nothing is there */

struct lode_store;

struct lode_store_doc {
	char parent[LODE_STORE_ID_MAX], id[LODE_STORE_ID_MAX], tag[LODE_STORE_TAG_MAX];
	int64_t rev; /* 1 when new, one more with each write */
	char *text;  /* lode_store_doc_clear frees it */
};

/* url: a path (SQLite, made when it is not there) or postgresql://... Makes or upgrades the tables; a newer
 * program's tables are refused with -ENOTSUP. */
int lode_store_open(const char *url, struct lode_store **out, struct lode_err *err);
void lode_store_close(struct lode_store *s);

/* A transaction. durable: on disk when commit returns; else it may be lost with the power, never torn: for
 * heartbeats. Without begin each call is a durable transaction of its own. Commit can
 * return -EAGAIN when another process was faster: do the whole again. */
int lode_store_begin(struct lode_store *s, bool durable, struct lode_err *err);
int lode_store_commit(struct lode_store *s, struct lode_err *err);
void lode_store_rollback(struct lode_store *s);

/* -ENOENT when there is none. */
int lode_store_get(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *id, struct lode_store_doc *doc, struct lode_err *err);
/* Writes if the document's revision is rev: -EEXIST when it should be new and is not, -ESTALE when
 * somebody was faster. */
int lode_store_put(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *id, const char *tag, const char *text, int64_t rev, struct lode_err *err);
/* -ENOENT when there was none. */
int lode_store_delete(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *id, struct lode_err *err);
void lode_store_doc_clear(struct lode_store_doc *doc);

/* Calls fn for documents ordered by (parent, id) until it returns not 0, which is then returned. */
struct lode_store_query {
	const char *parent;	  /* NULL: of all */
	const char *tag;	  /* NULL: of any */
	const char *after_parent; /* NULL: from the start; only with parent NULL */
	const char *after_id;	  /* NULL: from the start */
	unsigned limit;		  /* 0: all */
};
typedef int lode_store_fn(void *ctx, const struct lode_store_doc *doc);
int lode_store_list(struct lode_store *s, enum lode_store_kind kind,
	const struct lode_store_query *q, lode_store_fn *fn, void *ctx, struct lode_err *err);
/* How many, or -errno. */
int64_t lode_store_count(struct lode_store *s, enum lode_store_kind kind, const char *parent,
	const char *tag, struct lode_err *err);

/* ---- audit log ---- */

struct lode_audit {
	int64_t seq, time_ms;
	const char *actor, *action, *object, *detail;
	char hash[65]; /* hex SHA-256 of the entry before and of this one's fields */
};

int lode_store_audit(struct lode_store *s, const struct lode_audit *entry, struct lode_err *err);
typedef int lode_audit_fn(void *ctx, const struct lode_audit *entry);
int lode_store_audit_list(struct lode_store *s, int64_t after_seq, unsigned limit,
	lode_audit_fn *fn, void *ctx, struct lode_err *err);
/* 0 when the chain holds; else -EBADMSG and the first entry that does not fit in *bad_seq. */
int lode_store_audit_verify(struct lode_store *s, int64_t *bad_seq, struct lode_err *err);

/* ---- blobs ---- */

#define LODE_BLOB_HEX 65 /* hex SHA-256 with the NUL */

struct lode_blobs;
struct lode_blob_writer;

/* place: a folder, made when it is not there, or a bucket (delivery/s3) with a folder as cache:
 * s3://BUCKET[/PREFIX]?endpoint=URL&credentials=FILE&cache=FOLDER[&region=NAME][&cache_bytes=N]. A blob is in
 * the bucket before its commit returns; one that the cache lacks is fetched, which takes its time, and its hash
 * compared. What an earlier process left unfinished and nobody can continue is removed. */
int lode_blobs_open(const char *place, struct lode_blobs **out, struct lode_err *err);
void lode_blobs_close(struct lode_blobs *b);

/* A new blob, or with `name` one that can be continued: *have_bytes are there from before, and are read again.
 * -EBUSY: another writer has that one open, in this process or another. -ENOSPC before writing when total_bytes
 * (0: unknown) do not fit. */
int lode_blob_begin(struct lode_blobs *b, const char *name, uint64_t total_bytes,
	struct lode_blob_writer **out, uint64_t *have_bytes, struct lode_err *err);
int lode_blob_write(
	struct lode_blob_writer *w, const void *bytes, size_t len, struct lode_err *err);
/* Bytes of one that can be continued, 0 when there is none. */
uint64_t lode_blob_part_bytes(const struct lode_blobs *b, const char *name);
uint64_t lode_blob_written(const struct lode_blob_writer *w);
/* The writer's own descriptor for reading what was written so far, and its hash; or -errno. */
int lode_blob_peek(const struct lode_blob_writer *w, char sha256[LODE_BLOB_HEX]);
/* Ends the writer: synced, renamed to its hash, folder synced. sha256: hex of what was written. With
 * `expect` (may be NULL) other bytes are refused with -EBADMSG and removed. */
int lode_blob_commit(struct lode_blob_writer *w, const char *expect, char sha256[LODE_BLOB_HEX],
	struct lode_err *err);
/* Ends the writer; a named one stays to be continued, another is removed. */
void lode_blob_suspend(struct lode_blob_writer *w);
void lode_blob_abandon(struct lode_blob_writer *w);

/* Length in bytes, or -ENOENT. */
int64_t lode_blob_size(const struct lode_blobs *b, const char *sha256);
/* A descriptor for reading, or -errno. */
int lode_blob_open(struct lode_blobs *b, const char *sha256);
/* The same without waiting for a bucket: -EAGAIN when a thread is fetching it now; ask again. */
int lode_blob_open_soon(struct lode_blobs *b, const char *sha256);
/* Bytes that came from the bucket so far: it grows while something is being fetched. */
uint64_t lode_blobs_fetched(const struct lode_blobs *b);
/* Its path below the folder the store was opened with ("ab/abcd..."), whether it is there or not. */
void lode_blob_path(const char *sha256, char path[72]);
int lode_blob_delete(const struct lode_blobs *b, const char *sha256);
/* Calls fn for every blob older than min_age_s; fn may delete it. */
int lode_blobs_list(const struct lode_blobs *b, int64_t now_ms, unsigned min_age_s,
	int (*fn)(void *ctx, const char *sha256, uint64_t n_bytes), void *ctx);
/* Removes from the folder what was read longest ago until max_bytes hold the rest, whose bytes it returns: for
 * caches. */
uint64_t lode_blobs_trim(struct lode_blobs *b, uint64_t max_bytes);
/* 64 lower-case hex digits and no more. */
bool lode_blob_name_ok(const char *sha256);
