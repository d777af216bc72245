/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/relay: one appliance fetches for its whole site. It serves blobs by their hash from a cache
 * of limited size; what it lacks it fetches once, however many ask, and they come again until it is there. Nobody has to
 * trust it: who asks compares the hash, and the relay itself keeps nothing whose hash is wrong. It tells
 * nobody who its manager is and gives out no credentials.
 *
 * GET /api/v2/blobs/HASH, as at the manager: 200 or 206 with bytes; 503 with Retry-After and X-Lodestone-Received (a number that grows) while it
 * is being fetched;
 * 404 when the manager has no such bytes. Two threads of its own, until lode_relay_free. Actions return 0 or
 * -errno. */
#pragma once

#include "lode_fetch.h"

struct lode_relay;

struct lode_relay_options {
	const char *address; /* to listen on, IPv4 or IPv6 */
	uint16_t port;
	const char *cache_dir;
	uint64_t cache_bytes;		   /* a blob may have half of it */
	struct lode_fetch_source upstream; /* device, token and files have to stay */
	struct lode_fetch_options fetch;   /* progress and log are called from the relay's thread */
};

int lode_relay_new(
	const struct lode_relay_options *o, struct lode_relay **out, struct lode_err *err);
/* A transfer that is under way is cut; its beginning stays in the cache. */
void lode_relay_free(struct lode_relay *r);

struct lode_relay_stats {
	uint64_t n_requests, n_fetches, n_failed;
	uint64_t served_bytes, fetched_bytes;
};
void lode_relay_stats(struct lode_relay *r, struct lode_relay_stats *s);
