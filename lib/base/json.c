/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put(struct lode_json *j, const char *text, size_t len)
{
	if (j->overflow || len >= j->size - j->len) {
		j->overflow = true;
		return;
	}
	memcpy(j->buf + j->len, text, len);
	j->len += len;
}

static void put_char(struct lode_json *j, char c)
{
	put(j, &c, 1);
}

/* Bytes of the UTF-8 character at s (RFC 3629); 0: it is none. */
static size_t utf8_bytes(const unsigned char *s)
{
	size_t n = s[0] < 0x80			 ? 1
		   : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
		   : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
		   : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
						 : 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
	bool surrogate = s[0] == 0xed && s[1] >= 0xa0, beyond = s[0] == 0xf4 && s[1] >= 0x90;
	return overlong || surrogate || beyond ? 0 : n;
}

/* Text may come from outside or be cut in the middle of a character: what is no UTF-8 becomes U+FFFD. */
static void put_quoted(struct lode_json *j, const char *s)
{
	put_char(j, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		size_t n = utf8_bytes((const unsigned char *)s);
		if (n != 1) {
			put(j, n ? s : "\\ufffd", n ? n : 6);
			s += n ? n - 1 : 0;
			continue;
		}
		char esc[8];
		if (c == '"' || c == '\\')
			put(j, (char[]){'\\', (char)c}, 2);
		else if (c < 0x20 || c == 0x7f)
			put(j, esc, (size_t)snprintf(esc, sizeof(esc), "\\u%04x", c));
		else
			put_char(j, (char)c);
	}
	put_char(j, '"');
}

static void begin_value(struct lode_json *j, const char *key)
{
	if (j->comma)
		put_char(j, ',');
	if (key) {
		put_quoted(j, key);
		put_char(j, ':');
	}
	j->comma = true;
}

void lode_json_begin(struct lode_json *j, char *buf, size_t size)
{
	*j = (struct lode_json){.buf = buf, .size = size, .overflow = size == 0};
}

static void open_container(struct lode_json *j, const char *key, char c)
{
	begin_value(j, key);
	put_char(j, c);
	j->comma = false;
	j->depth++;
}

static void close_container(struct lode_json *j, char c)
{
	put_char(j, c);
	j->comma = true;
	j->depth--;
}

void lode_json_object(struct lode_json *j, const char *key)
{
	open_container(j, key, '{');
}

void lode_json_array(struct lode_json *j, const char *key)
{
	open_container(j, key, '[');
}

void lode_json_close_object(struct lode_json *j)
{
	close_container(j, '}');
}

void lode_json_close_array(struct lode_json *j)
{
	close_container(j, ']');
}

void lode_json_string(struct lode_json *j, const char *key, const char *value)
{
	begin_value(j, key);
	put_quoted(j, value);
}

void lode_json_u64(struct lode_json *j, const char *key, uint64_t value)
{
	char text[24];
	begin_value(j, key);
	put(j, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)value));
}

void lode_json_i64(struct lode_json *j, const char *key, int64_t value)
{
	char text[24];
	begin_value(j, key);
	put(j, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)value));
}

void lode_json_double(struct lode_json *j, const char *key, double value)
{
	char text[40];
	if (!isfinite(value)) {
		lode_json_null(j, key);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	begin_value(j, key);
	put(j, text, strlen(text));
}

void lode_json_bool(struct lode_json *j, const char *key, bool value)
{
	lode_json_raw(j, key, value ? "true" : "false");
}

void lode_json_null(struct lode_json *j, const char *key)
{
	lode_json_raw(j, key, "null");
}

void lode_json_raw(struct lode_json *j, const char *key, const char *json)
{
	begin_value(j, key);
	put(j, json, strlen(json));
}

long lode_json_end(struct lode_json *j)
{
	if (j->overflow)
		return -ENOSPC;
	j->buf[j->len] = '\0';
	return (long)j->len;
}
