/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/fetch: bytes by their hash over HTTP, at the pace that is allowed. A transfer goes on where it broke, as
 * often as it breaks, while it gets further; the writer's commit compares the hash, so that it does not
 * matter who sends. libcurl talks; clock and sleep come from the caller. One thread per object. Actions return
 * 0 or -errno: -ENOENT the source has no such bytes, -ENOTCONN not reached, -EAGAIN no byte further for too
 * long, -EPROTO refused, -EFBIG more than there should be, -EBUSY not at this time of day, -ECANCELED stopped. */
#pragma once

#include "lode_store.h"

/* ---- pace ---- */

#define LODE_PACE_WINDOWS_MAX 16

/* From from_min to to_min (minutes of the day; over midnight when from is larger) so many bytes per second. */
struct lode_pace_window {
	uint16_t from_min, to_min;
	uint64_t bytes_per_s; /* 0: no transfers */
};

struct lode_pace {
	uint64_t max_bytes_per_s; /* 0: no cap of its own */
	unsigned n_windows;
	struct lode_pace_window windows[LODE_PACE_WINDOWS_MAX];
};

#define LODE_PACE_OPEN UINT64_MAX /* no limit */

/* "08:00-18:00=200k 18:00-08:00=20M": bytes per second with k, M, G; 0 for none at all. */
int lode_pace_parse(const char *text, struct lode_pace *pace, struct lode_err *err);
/* Bytes per second at a minute of the day: the cap, or what the window says when that is less; then what the
 * data plane can spare (LODE_PACE_OPEN: not asked). 0: not now. */
uint64_t lode_pace_rate(const struct lode_pace *pace, unsigned minute, uint64_t spare_bytes_per_s);

/* ---- transfers ---- */

struct lode_fetch_source {
	const char *url; /* what stands before the hash, https://host/api/v2/blobs */
	/* NULL: none. A relay is told none of these. */
	const char *device, *token, *ca, *cert, *key;
	unsigned attempts; /* in a row that get no further; 0: as the options say */
};

struct lode_fetch_options {
	unsigned stall_s;  /* without a byte for so long a transfer is given up */
	unsigned attempts; /* in a row that get no further; 0: 5 */
	uint64_t (*now_ns)(void *ctx);
	void (*sleep_ns)(void *ctx, uint64_t ns);
	uint64_t (*rate)(void *ctx); /* bytes per second now, 0: stop; NULL: no limit */
	/* Bytes so far; total 0: unknown. Not 0 ends the transfer. NULL: nobody wants to know. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void (*log)(void *ctx, const char *line);
	uint64_t seed; /* of the pauses' jitter */
	void *ctx;
};

struct lode_fetch;

int lode_fetch_new(
	const struct lode_fetch_options *o, struct lode_fetch **out, struct lode_err *err);
void lode_fetch_free(struct lode_fetch *f);
/* Appends to the writer what it lacks of the blob: have_bytes are in it. Not more than max_bytes altogether. The
 * writer stays open in any case. */
int lode_fetch_blob(struct lode_fetch *f, const struct lode_fetch_source *source,
	const char *sha256, uint64_t max_bytes, struct lode_blob_writer *w, struct lode_err *err);
/* Bytes that came since lode_fetch_new, also those thrown away. */
uint64_t lode_fetch_received(const struct lode_fetch *f);
