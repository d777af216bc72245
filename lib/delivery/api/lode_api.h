/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/api: what the manager answers. Requests and replies are plain structs, so that every route runs in a
 * test without a socket. Two faces: /api/v1 has the routes, bodies and headers of an older system, /api/v2 adds typed
 * states, JSON errors, paging, ETags and uploads that can be continued. One thread per struct lode_api;
 * several, in one or many processes, may share a database. Actions return 0 or -errno. */
#pragma once

#include "lode_ca.h"
#include "lode_seal.h"
#include "lode_store.h"

#define LODE_API_BODY_MAX     (1u << 20)   /* bytes of a JSON body */
#define LODE_API_BLOB_MAX     (8ull << 30) /* bytes of a model */
#define LODE_API_HEADERS      8
#define LODE_API_DAYS_DEFAULT 90 /* a certificate is valid */

enum lode_api_role {
	LODE_ROLE_NONE,	    /* nobody: health and enrolment only */
	LODE_ROLE_DEVICE,   /* an appliance, for itself */
	LODE_ROLE_VIEWER,   /* reads */
	LODE_ROLE_OPERATOR, /* uploads, runs campaigns */
	LODE_ROLE_ADMIN,    /* tokens, revocations, deletions */
};
const char *lode_api_role_name(enum lode_api_role role);
/* LODE_ROLE_NONE for an unknown name. */
enum lode_api_role lode_api_role_from(const char *name);

struct lode_api_identity {
	enum lode_api_role role;
	char name[LODE_STORE_ID_MAX];	 /* the device's id or the operator's name */
	char serial[LODE_CA_SERIAL_HEX]; /* of its certificate, "" without one */
};

struct lode_api_request {
	const char *method, *path; /* path percent-decoded, without the query */
	const char *(*header)(void *ctx, const char *name); /* NULL when absent */
	const char *(*query)(void *ctx, const char *name);
	void *ctx;
	const char *body; /* NUL-terminated; NULL when none or when it is a blob */
	size_t body_len;
	uint64_t content_length; /* as announced; 0: unknown */
	struct lode_api_identity who;
	int64_t now_ms;
};

struct lode_api_reply {
	int status;
	const char *type; /* Content-Type */
	char *body;	  /* malloc; NULL when there is none */
	size_t body_len;
	char blob[LODE_BLOB_HEX]; /* send this blob's bytes instead; "" none */
	unsigned n_headers;
	struct {
		char name[32], value[LODE_STORE_ID_MAX + 64];
	} headers[LODE_API_HEADERS];
};
void lode_api_reply_clear(struct lode_api_reply *reply);

struct lode_api;

struct lode_api_options {
	bool anybody;		   /* without identities everybody is admin: --insecure-loopback */
	unsigned offline_s;	   /* silent for longer is offline */
	const char *ca_dir;	   /* the authority's folder; NULL: nobody can enrol */
	unsigned certificate_days; /* of devices and operators */
	int64_t now_ms;		   /* for a new authority */
	unsigned keep_versions;	   /* of each model, the newest; 0: all */
	const struct lode_seal_keys *seal_keys; /* private; the first seals what comes; NULL: nothing is */
};

int lode_api_new(const struct lode_api_options *options, const char *store_url,
	const char *blob_dir, struct lode_api **out, struct lode_err *err);
void lode_api_free(struct lode_api *api);
struct lode_blobs *lode_api_blobs(struct lode_api *api);

/* The plain bytes under the hash that a reply names. */
struct lode_api_view {
	int fd;				 /* -1: sealed */
	struct lode_seal_reader *sealed; /* NULL: as they are in the file */
	uint64_t n_bytes;
};
/* wait: for a bucket; else -EAGAIN while the bytes are on their way. */
int lode_api_view_open(
	struct lode_api *api, const char *sha256, bool wait, struct lode_api_view *v);
void lode_api_view_close(struct lode_api_view *v);

/* What a request's body is, known from its first line. */
enum lode_api_body { LODE_BODY_NONE, LODE_BODY_JSON, LODE_BODY_BLOB };
enum lode_api_body lode_api_body(const char *method, const char *path);
/* For LODE_BODY_BLOB, before its bytes: checks who and what; gives the place to write to, or fills the reply
 * with the refusal and returns its -errno. */
int lode_api_upload_begin(struct lode_api *api, const struct lode_api_request *req,
	struct lode_blob_writer **writer, struct lode_api_reply *reply);
/* The whole request is there. writer: of upload_begin (ended here in any case), else NULL. */
void lode_api_handle(struct lode_api *api, const struct lode_api_request *req,
	struct lode_blob_writer *writer, struct lode_api_reply *reply);

/* Moves campaigns on; call about once a second. */
void lode_api_tick(struct lode_api *api, int64_t now_ms);

/* Makes one wanted patch, if there is one: true when there was. Takes as long as it takes: for a thread with an
 * api object of its own. */
bool lode_api_make_delta(struct lode_api *api, int64_t now_ms);

/* Removes versions past keep_versions that nothing needs (pinned, run, assigned, to go back to, in an open campaign), patches
 * and uploads that lead nowhere, and blobs that nothing names any more; returns how many blobs. */
/* Seals one blob that an older key sealed for the newest, if there is one: true when there was. As make_delta. */
bool lode_api_rekey(struct lode_api *api);

unsigned lode_api_collect(struct lode_api *api, int64_t now_ms);

/* The secret's SHA-256 in hex, as tokens are stored. */
void lode_api_token_hash(const char *secret, char hex[LODE_BLOB_HEX]);
/* Who a certificate is by its serial number; false when it was not issued here, is revoked or expired. */
bool lode_api_certificate_identity(
	struct lode_api *api, const char *serial, int64_t now_ms, struct lode_api_identity *who);
/* The authority; NULL without one. */
struct lode_ca *lode_api_ca(struct lode_api *api);
/* Who a bearer token is; false when unknown or expired. */
bool lode_api_token_identity(
	struct lode_api *api, const char *secret, int64_t now_ms, struct lode_api_identity *who);
