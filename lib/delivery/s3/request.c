/* SPDX-License-Identifier: BSD-3-Clause */
/* One signed request, tried again while that makes sense. */
#include "s3.h"

#include "lode_clock.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_S 5
#define STALL_S		  20
#define FIRST_PAUSE_MS	  100
#define AWAY_NS		  (5 * LODE_NS_PER_S)

void hex_sha256(const void *bytes, size_t len, char hex[S3_HEX_BYTES])
{
	uint8_t digest[32] = {0};
	EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL);
	lode_hex(digest, sizeof(digest), hex);
}

void exchange_clear(struct exchange *x)
{
	free(x->reply);
	x->reply = NULL;
	x->reply_len = 0;
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	size_t len = size * n, end = len;
	if (len > 6 && !strncasecmp(line, "etag:", 5)) {
		while (end && (line[end - 1] == '\r' || line[end - 1] == '\n'))
			end--;
		size_t at = 5; /* libcurl ends the line with no NUL */
		while (at < end && line[at] == ' ')
			at++;
		if (at < end && end - at < sizeof(x->etag))
			snprintf(x->etag, sizeof(x->etag), "%.*s", (int)(end - at), line + at);
	}
	return len;
}

static int keep(struct exchange *x, const char *bytes, size_t len)
{
	char *reply = x->reply_len + len > S3_REPLY_MAX ? NULL
							: realloc(x->reply, x->reply_len + len + 1);
	if (!reply)
		return x->reply_len + len > S3_REPLY_MAX ? -EMSGSIZE : -ENOMEM;
	memcpy(reply + x->reply_len, bytes, len);
	x->reply = reply;
	x->reply_len += len;
	reply[x->reply_len] = 0;
	return 0;
}

static size_t on_data(char *bytes, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	size_t len = size * n;
	long status = 0;
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
	/* A server that does not know ranges begins again: what is here already is passed over. */
	if (x->write && status == 200 && x->skip && !x->error)
		x->error = -ESPIPE;
	else if (x->write && (status == 200 || status == 206))
		x->error = x->write(x->ctx, bytes, len);
	else
		x->error = keep(x, bytes, len);
	if (!x->error && x->write && status < 300)
		x->length += len;
	return x->error ? 0 : len;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	uint64_t total = x->body ? x->body_len : x->fd_len;
	size_t len = LODE_MIN(size * n, total - x->sent);
	if (x->body) {
		memcpy(to, x->body + x->sent, len);
	} else if (len) {
		ssize_t got = pread(x->fd, to, len, (off_t)(x->fd_at + x->sent));
		if (got <= 0) {
			x->error = got ? -errno : -ENODATA;
			return CURL_READFUNC_ABORT;
		}
		len = (size_t)got;
	}
	x->sent += len;
	return len;
}

static void set_body(struct exchange *x)
{
	curl_easy_setopt(x->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(x->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(x->curl, CURLOPT_READDATA, x);
	curl_easy_setopt(
		x->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(x->body ? x->body_len : x->fd_len));
}

static void set_options(struct exchange *x, const char *url, const char *signature)
{
	CURL *c = x->curl;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_AWS_SIGV4, signature);
	curl_easy_setopt(c, CURLOPT_USERPWD, x->s3->user);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	if (!strcmp(x->method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (!strcmp(x->method, "PUT") || !strcmp(x->method, "POST"))
		set_body(x);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->method);
}

static struct curl_slist *headers_of(const struct exchange *x)
{
	char line[120], none[S3_HEX_BYTES];
	hex_sha256("", 0, none);
	snprintf(line, sizeof(line), "x-amz-content-sha256: %s", x->sha256 ? x->sha256 : none);
	struct curl_slist *list = curl_slist_append(NULL, line);
	if (!x->skip)
		return list;
	snprintf(line, sizeof(line), "Range: bytes=%llu-", (unsigned long long)x->skip);
	return curl_slist_append(list, line);
}

static int status_error(const struct exchange *x, struct lode_err *err)
{
	char code[80] = "";
	const char *at = x->reply ? x->reply : "";
	xml_text(&at, "Code", code, sizeof(code));
	int rc = x->status == 404			? -ENOENT
		 : x->status == 401 || x->status == 403 ? -EACCES
		 : x->status == 429 || x->status >= 500 ? -EAGAIN
							: -EPROTO;
	return lode_err_set(err, rc, "%s/%s: %s %s is answered with %ld %s", x->s3->endpoint,
		x->s3->bucket, x->method, x->key ? x->key : "", x->status, code);
}

static int once(struct exchange *x, struct lode_err *err)
{
	const struct lode_s3 *s = x->s3;
	char url[2048], signature[100];
	snprintf(url, sizeof(url), "%s/%s%s%s%s%s%s%s", s->endpoint, s->bucket, x->key ? "/" : "",
		x->key ? s->prefix : "", x->key && *s->prefix ? "/" : "", x->key ? x->key : "",
		x->query ? "?" : "", x->query ? x->query : "");
	snprintf(signature, sizeof(signature), "aws:amz:%s:s3", s->region);
	x->curl = curl_easy_init();
	if (!x->curl)
		return lode_err_set(err, -ENOMEM, "libcurl does not start");
	struct curl_slist *headers = headers_of(x);
	exchange_clear(x);
	x->sent = 0;
	x->error = 0;
	set_options(x, url, signature);
	curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, headers);
	CURLcode code = curl_easy_perform(x->curl);
	curl_off_t length = -1;
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->status);
	curl_easy_getinfo(x->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	curl_slist_free_all(headers);
	curl_easy_cleanup(x->curl);
	if (!x->write)
		x->length = length > 0 ? (uint64_t)length : 0;
	if (x->error)
		return lode_err_set(err, x->error, "%s/%s: %s", s->bucket, x->key ? x->key : "",
			strerror(-x->error));
	if (code != CURLE_OK)
		return lode_err_set(
			err, -ENOTCONN, "%s: %s", s->endpoint, curl_easy_strerror(code));
	return x->status >= 300 ? status_error(x, err) : 0;
}

/* Callers in step must not stay in step: the pause depends on whose it is. */
static void pause_before(unsigned attempt, const struct exchange *x)
{
	uint64_t ms = (uint64_t)FIRST_PAUSE_MS << attempt;
	ms += ((uintptr_t)x >> 4) % (ms / 2 + 1);
	const struct timespec t = {
		.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

static int try_all(struct exchange *x, struct lode_err *err)
{
	int rc = 0;
	for (unsigned i = 0; i < x->s3->attempts; i++) {
		uint64_t before = x->length;
		rc = once(x, err);
		if (rc != -ENOTCONN && rc != -EAGAIN)
			return rc;
		if (x->write) {
			x->skip = x->length;
			i -= x->length > before ? i + 1 : 0; /* it went on: begin to count again */
		}
		if (i + 1 != x->s3->attempts)
			pause_before(LODE_MIN(i + 1, 6u), x);
	}
	return rc;
}

/* Callers that cannot wait for ever would all wait for a server that is away: after one has, the others are
 * told at once for a while. */
int exchange(struct exchange *x, struct lode_err *err)
{
	struct lode_s3 *s = x->s3;
	if (lode_clock_ns() < atomic_load(&s->away_until_ns))
		return lode_err_set(
			err, -ENOTCONN, "%s: was not reached a moment ago", s->endpoint);
	int rc = try_all(x, err);
	atomic_store(&s->away_until_ns, rc == -ENOTCONN ? lode_clock_ns() + AWAY_NS : 0);
	return rc;
}
