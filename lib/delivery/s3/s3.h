/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_s3.h"

#include <curl/curl.h>

#define S3_REPLY_MAX (1u << 20) /* bytes of an answer that is kept */
#define S3_TOKEN_MAX 1100
#define S3_HEX_BYTES 65

struct lode_s3 {
	char endpoint[200], region[40], bucket[80], prefix[64];
	char user[300]; /* id:secret */
	uint64_t part_bytes;
	unsigned attempts;
	_Atomic uint64_t away_until_ns; /* not reached a moment ago: not tried before */
};

/* One request and its answer. Zeroed fields mean: none. */
struct exchange {
	struct lode_s3 *s3;
	const char *method; /* GET, HEAD, PUT, POST, DELETE */
	const char *key;    /* below the prefix; NULL: the bucket */
	const char *query;  /* sorted and encoded */
	/* What goes up: bytes, or a part of a file. */
	const char *body;
	size_t body_len;
	int fd;
	uint64_t fd_at, fd_len;
	const char *sha256; /* of it, hex; NULL: of nothing */
	/* Where what comes goes: else it is kept in reply. */
	lode_s3_write_fn *write;
	void *ctx;
	uint64_t skip; /* bytes that came in an earlier attempt */
	/* The answer. */
	long status;
	char *reply;
	size_t reply_len;
	char etag[80];
	uint64_t length;
	/* While it runs. */
	uint64_t sent;
	int error;
	CURL *curl;
};

/* Attempts included. Frees nothing: exchange_clear does. */
int exchange(struct exchange *x, struct lode_err *err);
void exchange_clear(struct exchange *x);

/* The text of the first <tag> at or after *at, and moves *at behind it; false: none that fits. */
bool xml_text(const char **at, const char *tag, char *text, size_t room);
void hex_sha256(const void *bytes, size_t len, char hex[S3_HEX_BYTES]);
