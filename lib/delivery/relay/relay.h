/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_relay.h"

#include <microhttpd.h>
#include <pthread.h>

#define WANTED_MAX  64
#define MISSING_MAX 64

/* What somebody asked for and the manager did not have, so that the same question is not passed on at once. */
struct missing {
	char sha256[LODE_BLOB_HEX];
	uint64_t until_ns;
};

struct lode_relay {
	struct lode_relay_options options;
	char url[600];		  /* of upstream */
	struct lode_blobs *cache; /* by descriptors: both threads may use it */
	struct MHD_Daemon *daemon;
	struct lode_fetch *fetch; /* the fetching thread's */
	pthread_t thread;
	bool thread_runs;
	atomic_bool stopping;
	/* The fetching thread writes, the serving one reads. */
	_Atomic uint64_t received_bytes; /* tells those who wait that it goes on */
	/* Under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned n_wanted;
	char wanted[WANTED_MAX][LODE_BLOB_HEX]; /* the first is being fetched */
	unsigned next_missing;
	struct missing missing[MISSING_MAX];
	struct lode_relay_stats stats;
};

/* Asks for a blob to be fetched; false: the manager did not have it a moment ago. */
bool relay_want(struct lode_relay *r, const char *sha256);

int relay_listen(struct lode_relay *r, struct lode_err *err);
