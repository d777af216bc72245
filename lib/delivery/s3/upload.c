/* SPDX-License-Identifier: BSD-3-Clause */
/* One PUT, or an upload in parts: then a part is what is sent again after trouble. */
#include "s3.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int put_whole(struct lode_s3 *s, const char *key, int fd, uint64_t n_bytes,
	const char *sha256, struct lode_err *err)
{
	struct exchange x = {.s3 = s,
		.method = "PUT",
		.key = key,
		.fd = fd,
		.fd_len = n_bytes,
		.sha256 = sha256};
	int rc = exchange(&x, err);
	exchange_clear(&x);
	return rc;
}

static int range_sha256(
	int fd, uint64_t at, uint64_t len, char hex[S3_HEX_BYTES], struct lode_err *err)
{
	enum { STEP = 1 << 17 };
	uint8_t *buf = malloc(STEP), digest[32];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = buf && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	while (ok && len) {
		ssize_t n = pread(fd, buf, LODE_MIN(len, (uint64_t)STEP), (off_t)at);
		ok = n > 0 && EVP_DigestUpdate(md, buf, (size_t)n) == 1;
		at += ok ? (uint64_t)n : 0;
		len -= ok ? (uint64_t)n : 0;
	}
	ok = ok && EVP_DigestFinal_ex(md, digest, NULL) == 1;
	if (ok)
		lode_hex(digest, sizeof(digest), hex);
	EVP_MD_CTX_free(md);
	free(buf);
	return ok ? 0 : lode_err_set(err, -EIO, "what is to go to S3 cannot be read");
}

/* An upload in parts: id is encoded for a URL. */
struct parts {
	struct lode_s3 *s3;
	const char *key;
	int fd;
	char id[S3_TOKEN_MAX];
	char *list; /* the XML of the parts so far */
	size_t list_len, list_room;
};

static int begin_parts(struct parts *p, struct lode_err *err)
{
	struct exchange x = {
		.s3 = p->s3, .method = "POST", .key = p->key, .query = "uploads=", .body = ""};
	char id[S3_TOKEN_MAX / 3];
	int rc = exchange(&x, err);
	const char *at = x.reply ? x.reply : "";
	if (!rc && !xml_text(&at, "UploadId", id, sizeof(id)))
		rc = lode_err_set(err, -EPROTO, "S3 names no upload");
	char *escaped = rc ? NULL : curl_easy_escape(NULL, id, 0);
	if (escaped)
		snprintf(p->id, sizeof(p->id), "%s", escaped);
	curl_free(escaped);
	exchange_clear(&x);
	return rc;
}

static int note_part(struct parts *p, unsigned number, const char *etag)
{
	char text[200];
	int n = snprintf(text, sizeof(text),
		"<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number, etag);
	if (p->list_len + (size_t)n + 1 > p->list_room) {
		size_t room = 2 * p->list_room + 4096;
		char *list = realloc(p->list, room);
		if (!list)
			return -ENOMEM;
		p->list = list;
		p->list_room = room;
	}
	memcpy(p->list + p->list_len, text, (size_t)n + 1);
	p->list_len += (size_t)n;
	return 0;
}

static int put_part(
	struct parts *p, unsigned number, uint64_t at, uint64_t len, struct lode_err *err)
{
	char query[S3_TOKEN_MAX + 60], sha[S3_HEX_BYTES];
	int rc = range_sha256(p->fd, at, len, sha, err);
	snprintf(query, sizeof(query), "partNumber=%u&uploadId=%s", number, p->id);
	struct exchange x = {.s3 = p->s3,
		.method = "PUT",
		.key = p->key,
		.query = query,
		.fd = p->fd,
		.fd_at = at,
		.fd_len = len,
		.sha256 = sha};
	if (!rc)
		rc = exchange(&x, err);
	if (!rc && (!*x.etag || strpbrk(x.etag, "<>&")))
		rc = lode_err_set(err, -EPROTO, "S3 gives a part no ETag");
	exchange_clear(&x);
	return rc ? rc : note_part(p, number, x.etag);
}

/* Also an answer of 200 may hold an error. */
static int end_parts(struct parts *p, struct lode_err *err)
{
	static const char open[] = "<CompleteMultipartUpload>",
			  close[] = "</CompleteMultipartUpload>";
	char query[S3_TOKEN_MAX + 20], sha[S3_HEX_BYTES], code[80] = "none";
	size_t room = p->list_len + sizeof(open) + sizeof(close);
	char *body = malloc(room);
	if (!body)
		return lode_err_set(err, -ENOMEM, "no memory for an upload");
	snprintf(body, room, "%s%s%s", open, p->list, close);
	hex_sha256(body, strlen(body), sha);
	snprintf(query, sizeof(query), "uploadId=%s", p->id);
	struct exchange x = {.s3 = p->s3,
		.method = "POST",
		.key = p->key,
		.query = query,
		.body = body,
		.body_len = strlen(body),
		.sha256 = sha};
	int rc = exchange(&x, err);
	const char *at = x.reply ? x.reply : "";
	if (!rc && !strstr(at, "CompleteMultipartUploadResult")) {
		xml_text(&at, "Code", code, sizeof(code));
		rc = lode_err_set(err, -EPROTO, "S3 does not put the parts together: %s", code);
	}
	exchange_clear(&x);
	free(body);
	return rc;
}

static void abort_parts(struct parts *p)
{
	char query[S3_TOKEN_MAX + 20];
	struct lode_err ignored;
	snprintf(query, sizeof(query), "uploadId=%s", p->id);
	struct exchange x = {.s3 = p->s3, .method = "DELETE", .key = p->key, .query = query};
	exchange(&x, &ignored);
	exchange_clear(&x);
}

int lode_s3_put(struct lode_s3 *s, const char *key, int fd, uint64_t n_bytes, const char *sha256,
	struct lode_err *err)
{
	struct parts p = {.s3 = s, .key = key, .fd = fd};
	if (n_bytes <= s->part_bytes)
		return put_whole(s, key, fd, n_bytes, sha256, err);
	int rc = begin_parts(&p, err);
	if (rc)
		return rc;
	unsigned number = 0;
	for (uint64_t at = 0; !rc && at < n_bytes; at += s->part_bytes)
		rc = put_part(&p, ++number, at, LODE_MIN(s->part_bytes, n_bytes - at), err);
	if (!rc)
		rc = end_parts(&p, err);
	if (rc)
		abort_parts(&p);
	free(p.list);
	return rc;
}
