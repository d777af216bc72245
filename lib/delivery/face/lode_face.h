/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/face: how the manager shows itself: a page for people (/), figures for Prometheus (/metrics) and what
 * the page reads (/api/v2/gateway, /api/v2/gateway/history, /api/v2/overview). One thread calls lode_face_refresh,
 * which asks the gateway and the database; the server's thread calls lode_face_page, which answers from
 * what was found. Times are milliseconds since 1970 (`_ms`). Actions return 0 or -errno. */
#pragma once

#include "lode_http.h"

struct lode_face_options {
	const char *gateway_socket; /* dpdk_telemetry.v2; NULL: no gateway beside this manager */
	const char *store_url;	    /* as lode_store_open */
	bool anybody;		    /* without identities: --insecure-loopback */
	unsigned offline_s;	    /* a device silent for longer is offline */
	int64_t started_ms;
};

struct lode_face;

int lode_face_new(
	const struct lode_face_options *options, struct lode_face **out, struct lode_err *err);
void lode_face_free(struct lode_face *f);

/* Asks the gateway, and every few rounds the database. Blocks up to a second when the gateway hangs. Call it
 * every LODE_SCRAPE_INTERVAL_MS. */
void lode_face_refresh(struct lode_face *f, int64_t now_ms);

/* A lode_http_page_fn; ctx: the face. Wants a viewer. */
bool lode_face_page(void *ctx, const struct lode_api_request *req,
	const struct lode_http_stats *stats, struct lode_api_reply *reply);
