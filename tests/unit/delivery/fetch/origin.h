/* SPDX-License-Identifier: BSD-3-Clause */
/* A server of one blob that behaves as a test wants it to, on 127.0.0.1. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum manner {
	HONEST,
	WRONG_BYTES, /* one byte in the middle */
	NO_RANGES,   /* always from the start */
	ENDLESS,     /* more than there is */
	BUSY,	     /* 503, come again, for ever */
	SILENT,	     /* never a byte */
};

struct origin {
	uint8_t *bytes;
	size_t n_bytes;
	char sha256[65], url[64];
	_Atomic enum manner manner;
	size_t cut_max_bytes; /* connections break after 1 to so many bytes; 0: they hold */
	atomic_ullong sent_bytes, n_requests;
	uint16_t port;
	int listener;
	pthread_t thread;
	atomic_uint n_open;
	atomic_bool stop;
};

/* bytes: from malloc, taken over; NULL: some. */
void origin_start(struct origin *o, uint8_t *bytes, size_t n_bytes);
void origin_stop(struct origin *o);
