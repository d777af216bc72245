/* SPDX-License-Identifier: BSD-3-Clause */
/* A strict pull scanner for the JSON subset of model headers: objects, strings, unsigned decimal
 * integers. The caller's grammar decides what may come next, so nothing recurses. The first error
 * sticks; every call after it fails. */
#pragma once

#include "lode_base.h"

struct json_scan {
	const uint8_t *start, *p, *end;
	struct lode_err *err; /* not NULL */
	int rc;
};

/* Takes c after white space. */
int scan_expect(struct json_scan *s, char c);
/* True when c comes next; takes it then. */
bool scan_take(struct json_scan *s, char c);
/* Decodes a string into *out (malloc, the caller frees; NUL-terminated). At most max_bytes; UTF-8
 * only; no control characters unless newlines is true, which allows \n, \r and \t. */
int scan_string(struct json_scan *s, uint32_t max_bytes, bool newlines, char **out);
/* Plain decimal below 2^63: no sign, fraction, exponent or leading zero. */
int scan_u64(struct json_scan *s, uint64_t *v);
/* Passes over one value of any kind, at most `depth` containers deep. */
int scan_skip(struct json_scan *s, unsigned depth);
/* Only white space may follow. */
int scan_finish(struct json_scan *s);
/* Stores a sentence with the byte offset in front and returns it as the sticky error. */
int scan_fail(struct json_scan *s, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
