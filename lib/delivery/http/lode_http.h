/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/http: the manager's API over HTTP/1.1, on a UNIX socket behind nginx or for trying out on
 * 127.0.0.1. libmicrohttpd parses; this room knows who asks, streams bodies and answers ranges. One thread per
 * server; it calls the API object it was given from there. With a second one it opens and ends uploads on a thread
 * of its own. Actions return 0 or -errno. */
#pragma once

#include "lode_api.h"

#include <sys/types.h>

struct lode_http;

/* What has been answered so far. The server's thread writes and reads. */
struct lode_http_stats {
	uint64_t by_class[6];	    /* answers by the first digit of their status */
	uint64_t reply_bytes;	    /* bodies, those that the proxy sends from the blobs included */
	struct lode_hist answer_ns; /* from the last byte of a request to its answer */
};

/* Asked before the API: true when it answered. */
typedef bool lode_http_page_fn(void *ctx, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply);

struct lode_http_options {
	const char *socket_path; /* UNIX socket; NULL: 127.0.0.1 */
	uint16_t port;		 /* of 127.0.0.1 */
	uid_t proxy_uid;	 /* nginx: its identity headers are believed; (uid_t)-1: none */
	const char *
		accel_prefix; /* answers to the proxy name blobs below it (X-Accel-Redirect); NULL: never */
	/* What a local user may do who is neither root nor this process's own; NULL: nothing. */
	enum lode_api_role (*local_role)(const void *ctx, uid_t uid);
	const void *local_role_ctx;
	int64_t (*now_ms)(void);
	uint64_t (*now_ns)(void); /* monotonic, for the statistics */
	/* Of the same place, for the thread of uploads alone; outlives the server. NULL: they hold up the others. */
	struct lode_api *upload_api;
	lode_http_page_fn *page; /* may be NULL */
	void *page_ctx;
};

/* Listens. Who connects to the UNIX socket as root or as this process's own user is admin; through the proxy
 * whose certificate it says it has verified; everybody else is who its token says. */
int lode_http_new(const struct lode_http_options *options, struct lode_api *api,
	struct lode_http **out, struct lode_err *err);
void lode_http_free(struct lode_http *h);
/* Serves what is there, waiting up to timeout_ms. */
int lode_http_run(struct lode_http *h, int timeout_ms);

/* ---- pieces that tests and fuzzers reach ---- */

enum lode_range { LODE_RANGE_ALL, LODE_RANGE_PART, LODE_RANGE_BAD };
/* One range of RFC 9110 14.2 out of a Range header for size_bytes; what is no byte range or several is
 * LODE_RANGE_ALL, what lies outside LODE_RANGE_BAD. */
enum lode_range lode_http_range(
	const char *header, uint64_t size_bytes, uint64_t *first, uint64_t *length);
