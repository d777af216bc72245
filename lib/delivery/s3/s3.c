/* SPDX-License-Identifier: BSD-3-Clause */
#include "s3.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PART_BYTES_USUAL (64ull << 20)
#define PART_BYTES_MIN	 (5ull << 20) /* S3's own limit */
#define ATTEMPTS_USUAL	 5

/* ---- set-up ---- */

/* "key = value" of an AWS credentials file. */
static void take_line(const char *line, char id[140], char secret[140])
{
	char name[40], value[140];
	if (sscanf(line, " %39[a-z_] = %139s", name, value) != 2)
		return;
	if (!strcmp(name, "aws_access_key_id"))
		memcpy(id, value, sizeof(value));
	else if (!strcmp(name, "aws_secret_access_key"))
		memcpy(secret, value, sizeof(value));
	OPENSSL_cleanse(value, sizeof(value));
}

static int read_credentials(struct lode_s3 *s, const char *path, struct lode_err *err)
{
	char line[256], id[140] = "", secret[140] = "";
	struct stat st;
	FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st)) {
		int rc = lode_err_set(err, -errno, "credentials: %s: %s", path, strerror(errno));
		if (f)
			fclose(f);
		return rc;
	}
	while (fgets(line, sizeof(line), f))
		take_line(line, id, secret);
	fclose(f);
	snprintf(s->user, sizeof(s->user), "%s:%s", id, secret);
	int rc = 0;
	if (st.st_mode & 077)
		rc = lode_err_set(
			err, -EPERM, "credentials: %s: others can read it: chmod 600", path);
	else if (!*id || !*secret)
		rc = lode_err_set(err, -EINVAL,
			"credentials: %s: aws_access_key_id = and aws_secret_access_key = are "
			"expected",
			path);
	OPENSSL_cleanse(line, sizeof(line));
	OPENSSL_cleanse(secret, sizeof(secret));
	return rc;
}

/* What becomes part of a URL: nothing that needs an escape. */
static bool plain(const char *s, const char *further)
{
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || strchr(further, *s)))
			return false;
	return true;
}

static int take_options(struct lode_s3 *s, const struct lode_s3_options *o, struct lode_err *err)
{
	bool http = !strncmp(o->endpoint, "http://", 7) || !strncmp(o->endpoint, "https://", 8);
	if (!http || strlen(o->endpoint) >= sizeof(s->endpoint) || strchr(o->endpoint, '@'))
		return lode_err_set(err, -EINVAL,
			"endpoint: https://host[:port] is expected, found '%.80s'", o->endpoint);
	if (!*o->bucket || strlen(o->bucket) >= sizeof(s->bucket) || !plain(o->bucket, ".-"))
		return lode_err_set(
			err, -EINVAL, "bucket: a-z 0-9 . - are allowed, found '%.80s'", o->bucket);
	if (strlen(o->prefix) >= sizeof(s->prefix) || !plain(o->prefix, "._-/"))
		return lode_err_set(err, -EINVAL,
			"prefix: up to %zu of a-z 0-9 . _ - / are allowed, found '%.80s'",
			sizeof(s->prefix) - 1, o->prefix);
	if (!*o->region || strlen(o->region) >= sizeof(s->region) || !plain(o->region, "-"))
		return lode_err_set(
			err, -EINVAL, "region: a-z 0-9 - are allowed, found '%.40s'", o->region);
	snprintf(s->endpoint, sizeof(s->endpoint), "%s", o->endpoint);
	s->endpoint[strcspn(s->endpoint + 8, "/") + 8] = 0;
	snprintf(s->region, sizeof(s->region), "%s", o->region);
	snprintf(s->bucket, sizeof(s->bucket), "%s", o->bucket);
	snprintf(s->prefix, sizeof(s->prefix), "%s", o->prefix);
	s->part_bytes = LODE_MAX(o->part_bytes ? o->part_bytes : PART_BYTES_USUAL, PART_BYTES_MIN);
	s->attempts = o->attempts ? o->attempts : ATTEMPTS_USUAL;
	return 0;
}

int lode_s3_open(const struct lode_s3_options *o, struct lode_s3 **out, struct lode_err *err)
{
	struct lode_s3 *s = calloc(1, sizeof(*s));
	if (!s)
		return lode_err_set(err, -ENOMEM, "no memory for S3");
	int rc = take_options(s, o, err);
	if (!rc)
		rc = read_credentials(s, o->credentials, err);
	if (rc) {
		lode_s3_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void lode_s3_close(struct lode_s3 *s)
{
	if (!s)
		return;
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

/* ---- requests ---- */

int lode_s3_get(struct lode_s3 *s, const char *key, lode_s3_write_fn *write, void *ctx,
	struct lode_err *err)
{
	struct exchange x = {.s3 = s, .method = "GET", .key = key, .write = write, .ctx = ctx};
	int rc = exchange(&x, err);
	exchange_clear(&x);
	return rc;
}

int64_t lode_s3_size(struct lode_s3 *s, const char *key, struct lode_err *err)
{
	struct exchange x = {.s3 = s, .method = "HEAD", .key = key};
	int rc = exchange(&x, err);
	exchange_clear(&x);
	return rc ? rc : (int64_t)x.length;
}

int lode_s3_delete(struct lode_s3 *s, const char *key, struct lode_err *err)
{
	struct exchange x = {.s3 = s, .method = "DELETE", .key = key};
	int rc = exchange(&x, err);
	exchange_clear(&x);
	return rc == -ENOENT ? 0 : rc;
}

/* Parameters in the order of their names, encoded: what is signed is what is sent. */
static void list_query(const struct lode_s3 *s, const char *token, char *query, size_t room)
{
	char *t = curl_easy_escape(NULL, token, 0);
	char *p = curl_easy_escape(NULL, s->prefix, 0);
	snprintf(query, room, "%s%s%slist-type=2&prefix=%s%s", *token ? "continuation-token=" : "",
		t ? t : "", *token ? "&" : "", p ? p : "", *s->prefix ? "%2F" : "");
	curl_free(t);
	curl_free(p);
}

int lode_s3_list(struct lode_s3 *s, lode_s3_list_fn *fn, void *ctx, struct lode_err *err)
{
	char token[S3_TOKEN_MAX / 3] = "", query[S3_TOKEN_MAX + 300];
	int rc = 0;
	do {
		list_query(s, token, query, sizeof(query));
		struct exchange x = {.s3 = s, .method = "GET", .query = query};
		rc = exchange(&x, err);
		if (!rc)
			rc = lode_s3_parse_list(x.reply ? x.reply : "", s->prefix, fn, ctx, token,
				sizeof(token), err);
		exchange_clear(&x);
	} while (!rc && *token);
	return rc;
}
