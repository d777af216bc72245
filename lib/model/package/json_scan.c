/* SPDX-License-Identifier: BSD-3-Clause */
#include "json_scan.h"

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int scan_fail(struct json_scan *s, int code, const char *fmt, ...)
{
	if (s->rc)
		return s->rc;
	char what[300];
	va_list args;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	s->rc = lode_err_set(
		s->err, code, "header offset %zu: %s", (size_t)(s->p - s->start), what);
	return s->rc;
}

static void skip_space(struct json_scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
		s->p++;
}

bool scan_take(struct json_scan *s, char c)
{
	if (s->rc)
		return false;
	skip_space(s);
	if (s->p == s->end || *s->p != (uint8_t)c)
		return false;
	s->p++;
	return true;
}

int scan_expect(struct json_scan *s, char c)
{
	if (scan_take(s, c))
		return 0;
	if (s->p == s->end)
		return scan_fail(s, -EBADMSG, "'%c' expected, end of header found", c);
	return scan_fail(s, -EBADMSG, "'%c' expected, byte 0x%02x found", c, *s->p);
}

static int hex4(struct json_scan *s, uint32_t *v)
{
	*v = 0;
	if (s->end - s->p < 4)
		return scan_fail(s, -EBADMSG, "\\u escape is cut");
	for (int i = 0; i < 4; i++, s->p++) {
		uint8_t c = *s->p, lower = c | 0x20;
		if (c >= '0' && c <= '9')
			*v = *v * 16 + c - '0';
		else if (lower >= 'a' && lower <= 'f')
			*v = *v * 16 + lower - 'a' + 10;
		else
			return scan_fail(s, -EBADMSG, "\\u escape needs four hex digits");
	}
	return 0;
}

static int unicode_escape(struct json_scan *s, uint32_t *cp)
{
	uint32_t low;
	if (hex4(s, cp))
		return s->rc;
	if (*cp < 0xd800 || *cp > 0xdfff)
		return 0;
	if (*cp > 0xdbff || s->end - s->p < 2 || s->p[0] != '\\' || s->p[1] != 'u')
		return scan_fail(s, -EBADMSG, "\\u escape is half a surrogate pair");
	s->p += 2;
	if (hex4(s, &low))
		return s->rc;
	if (low < 0xdc00 || low > 0xdfff)
		return scan_fail(s, -EBADMSG, "\\u escape is half a surrogate pair");
	*cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
	return 0;
}

/* One character, escaped or not, to its code point. */
static int next_char(struct json_scan *s, uint32_t *cp)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	if (*s->p != '\\') {
		size_t n = utf8_decode(s->p, (size_t)(s->end - s->p), cp);
		if (!n)
			return scan_fail(s, -EBADMSG, "byte 0x%02x is not UTF-8", *s->p);
		if (*cp < 0x20)
			return scan_fail(
				s, -EBADMSG, "raw control character 0x%02x in a string", *cp);
		s->p += n;
		return 0;
	}
	if (++s->p == s->end)
		return scan_fail(s, -EBADMSG, "escape is cut");
	uint8_t c = *s->p++;
	if (c == 'u')
		return unicode_escape(s, cp);
	const char *at = c ? strchr(escapes, c) : NULL;
	if (!at)
		return scan_fail(s, -EBADMSG, "escape \\0x%02x is unknown", c);
	*cp = (uint8_t)meanings[at - escapes];
	return 0;
}

static bool allowed(uint32_t cp, bool newlines)
{
	if (cp == '\n' || cp == '\r' || cp == '\t')
		return newlines;
	return cp >= 0x20 && (cp < 0x7f || cp > 0x9f);
}

/* Upper bound of the decoded length: the distance to the closing quote, found without decoding. */
static size_t raw_length(const struct json_scan *s)
{
	const uint8_t *p = s->p;
	while (p < s->end && *p != '"')
		p += *p == '\\' && s->end - p > 1 ? 2 : 1;
	return (size_t)(p - s->p);
}

static int decode_string(struct json_scan *s, uint32_t max_bytes, bool newlines, char *out)
{
	size_t n = 0;
	while (s->p < s->end && *s->p != '"') {
		uint32_t cp;
		if (next_char(s, &cp))
			return s->rc;
		if (!allowed(cp, newlines))
			return scan_fail(s, -EBADMSG, "control character 0x%02x in a string", cp);
		n += utf8_encode(cp, out + n);
		if (n > max_bytes)
			return scan_fail(s, -E2BIG, "string is longer than %u bytes", max_bytes);
	}
	out[n] = 0;
	return scan_expect(s, '"');
}

int scan_string(struct json_scan *s, uint32_t max_bytes, bool newlines, char **out)
{
	*out = NULL;
	if (scan_expect(s, '"'))
		return s->rc;
	size_t raw = raw_length(s);
	if (raw / 6 > max_bytes)
		return scan_fail(s, -E2BIG, "string is longer than %u bytes", max_bytes);
	char *text = malloc(raw + 1);
	if (!text)
		return scan_fail(s, -ENOMEM, "no memory for a string of %zu bytes", raw);
	if (decode_string(s, max_bytes, newlines, text)) {
		free(text);
		return s->rc;
	}
	*out = text;
	return 0;
}

int scan_u64(struct json_scan *s, uint64_t *v)
{
	skip_space(s);
	const uint8_t *first = s->p;
	*v = 0;
	while (!s->rc && s->p < s->end && *s->p >= '0' && *s->p <= '9') {
		if (__builtin_mul_overflow(*v, 10u, v) ||
			__builtin_add_overflow(*v, (uint64_t)(*s->p - '0'), v) || *v > INT64_MAX)
			return scan_fail(s, -E2BIG, "number is above 2^63 - 1");
		s->p++;
	}
	if (s->p == first)
		return scan_fail(s, -EBADMSG, "unsigned integer expected");
	if (*first == '0' && s->p - first > 1)
		return scan_fail(s, -EBADMSG, "number has a leading zero");
	if (s->p < s->end && (*s->p == '.' || (*s->p | 0x20) == 'e'))
		return scan_fail(
			s, -EBADMSG, "plain decimal integer expected, fraction or exponent found");
	return s->rc;
}

static int skip_container(struct json_scan *s, char close, unsigned depth)
{
	if (!depth)
		return scan_fail(s, -E2BIG, "values are nested too deep");
	if (scan_take(s, close))
		return s->rc;
	do {
		char *key = NULL;
		if (close == '}' &&
			(scan_string(s, UINT32_MAX / 8, true, &key) || scan_expect(s, ':'))) {
			free(key);
			return s->rc;
		}
		free(key);
		if (scan_skip(s, depth - 1))
			return s->rc;
	} while (scan_take(s, ','));
	return scan_expect(s, close);
}

/* Numbers and literals: letters, digits, signs and points; what they mean does not matter. */
static int skip_word(struct json_scan *s)
{
	const uint8_t *first = s->p;
	while (s->p < s->end && *s->p && strchr("+-.0123456789Eaeflnrstu", *s->p))
		s->p++;
	return s->p > first ? s->rc : scan_fail(s, -EBADMSG, "a value is expected");
}

int scan_skip(struct json_scan *s, unsigned depth)
{
	if (scan_take(s, '{'))
		return skip_container(s, '}', depth);
	if (scan_take(s, '['))
		return skip_container(s, ']', depth);
	if (s->p < s->end && *s->p == '"') {
		char *text;
		int rc = scan_string(s, UINT32_MAX / 8, true, &text);
		free(text);
		return rc;
	}
	return skip_word(s);
}

int scan_finish(struct json_scan *s)
{
	skip_space(s);
	if (s->p != s->end)
		return scan_fail(s, -EBADMSG, "byte 0x%02x after the end of the object", *s->p);
	return s->rc;
}
