/* SPDX-License-Identifier: BSD-3-Clause */
/* The little XML that S3 answers with: flat elements, five entities. */
#include "s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* In place; what is no entity of the five stays. */
static void decode_entities(char *s)
{
	static const struct {
		const char *name;
		char is;
	} known[] = {
		{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
	char *to = s;
	while (*s) {
		size_t i = 0;
		while (i < LODE_ARRAY_LEN(known) &&
			strncmp(s, known[i].name, strlen(known[i].name)) != 0)
			i++;
		bool found = i < LODE_ARRAY_LEN(known);
		*to++ = found ? known[i].is : *s;
		s += found ? strlen(known[i].name) : 1;
	}
	*to = 0;
}

bool xml_text(const char **at, const char *tag, char *text, size_t room)
{
	char open[64], close[64];
	snprintf(open, sizeof(open), "<%s>", tag);
	snprintf(close, sizeof(close), "</%s>", tag);
	const char *from = strstr(*at, open);
	if (!from)
		return false;
	from += strlen(open);
	const char *end = strstr(from, close);
	if (!end || (size_t)(end - from) >= room)
		return false;
	memcpy(text, from, (size_t)(end - from));
	text[end - from] = 0;
	decode_entities(text);
	*at = end + strlen(close);
	return true;
}

/* 2026-01-31T23:59:59.000Z */
static int64_t parse_time(const char *text)
{
	struct tm t = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
	return end ? timegm(&t) : 0;
}

/* One <Contents>...</Contents>: false when it is none of ours. */
static bool parse_object(const char *element, const char *prefix, struct lode_s3_object *o)
{
	char key[LODE_S3_KEY_MAX + 80], size[24], time[40];
	const char *k = element, *s = element, *m = element;
	size_t n = strlen(prefix);
	if (!xml_text(&k, "Key", key, sizeof(key)) || !xml_text(&s, "Size", size, sizeof(size)) ||
		!xml_text(&m, "LastModified", time, sizeof(time)))
		return false;
	if (strncmp(key, prefix, n) || (n && key[n++] != '/') || strlen(key + n) >= sizeof(o->key))
		return false;
	snprintf(o->key, sizeof(o->key), "%s", key + n);
	o->n_bytes = strtoull(size, NULL, 10);
	o->modified_s = parse_time(time);
	return true;
}

int lode_s3_parse_list(const char *xml, const char *prefix, lode_s3_list_fn *fn, void *ctx,
	char *next, size_t next_room, struct lode_err *err)
{
	static const char open[] = "<Contents>";
	char element[4096], truncated[8] = "";
	const char *at = xml, *flag = xml, *token = xml;
	*next = 0;
	if (!strstr(xml, "<ListBucketResult"))
		return lode_err_set(err, -EPROTO, "the bucket's list is none");
	while ((at = strstr(at, open))) {
		struct lode_s3_object o;
		const char *end = strstr(at, "</Contents>");
		if (!end)
			return lode_err_set(err, -EPROTO, "the bucket's list is cut off");
		size_t len = (size_t)(end - at);
		bool fits = len < sizeof(element);
		memcpy(element, at, fits ? len : 0);
		element[fits ? len : 0] = 0;
		int rc = parse_object(element, prefix, &o) ? fn(ctx, &o) : 0;
		if (rc)
			return rc;
		at = end;
	}
	xml_text(&flag, "IsTruncated", truncated, sizeof(truncated));
	if (!strcmp(truncated, "true") &&
		(!xml_text(&token, "NextContinuationToken", next, next_room) || !*next))
		return lode_err_set(err, -EPROTO, "the bucket's list goes on, but not where");
	return 0;
}
