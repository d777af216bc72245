/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_http.h"

#include <microhttpd.h>
#include <sys/un.h>

struct lode_http {
	struct lode_http_options options;
	struct lode_api *api;
	struct MHD_Daemon *daemon;
	struct aside *aside; /* NULL: uploads hold the server's thread */
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct lode_http_stats stats;
};

/* How far an upload has come; what the server calls back for does not tell. */
enum step { ARRIVED, OPENING, OPEN, ENDING };

/* One request while it arrives. */
struct incoming {
	struct lode_api_request req;
	enum lode_api_body kind;
	struct lode_blob_writer *writer;
	char *body;
	size_t body_room;
	bool by_proxy;
	int failed;		       /* the body could not be taken: the status to answer */
	struct lode_api_reply refusal; /* known before the body; status 0: none */
	enum step step;
	uint64_t start_ns;	     /* when its last byte was there */
	struct lode_api_reply reply; /* of what was done aside */
	struct incoming *next;	     /* in the row of those to be done aside */
};

/* http.c */
const char *get_header(void *ctx, const char *name);
enum MHD_Result queue(struct MHD_Connection *conn, int status, struct MHD_Response *r);
void add_headers(struct MHD_Response *r, const struct lode_api_reply *reply);
enum MHD_Result send_empty(
	struct MHD_Connection *conn, int status, const char *name, const char *value);

/* aside.c: a thread for uploads. api: its own, used by nobody else; outlives it. */
int aside_new(struct lode_api *api, struct aside **out, struct lode_err *err);
/* What it is doing is done to its end; who waits in the row is refused. */
void aside_free(struct aside *a);
/* Suspends the connection; it is called back when the upload has been opened or ended, as its step says. */
void aside_do(struct aside *a, struct MHD_Connection *conn, struct incoming *in);

/* blob.c */
/* The bytes that the reply names, or the part of them that is asked for. */
enum MHD_Result send_blob(struct lode_http *h, struct MHD_Connection *conn,
	const struct incoming *in, const struct lode_api_reply *reply);
