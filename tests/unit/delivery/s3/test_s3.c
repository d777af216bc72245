/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_s3.h"
#include "s3_server.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct s3_server server;

static void stop(void)
{
	s3_server_stop(&server);
}

static struct lode_s3 *connect_with(const char *credentials)
{
	struct lode_s3_options o = {.endpoint = server.endpoint,
		.region = "us-east-1",
		.bucket = "lode",
		.prefix = "models/x",
		.credentials = credentials,
		.part_bytes = 5 << 20,
		.attempts = 2};
	struct lode_s3 *s = NULL;
	struct lode_err err = {0};
	cr_assert_eq(lode_s3_open(&o, &s, &err), 0, "%s", err.msg);
	return s;
}

static struct lode_s3 *connect_or_skip(bool trouble)
{
	if (!s3_server_start(&server, trouble))
		cr_skip("the S3 server cannot be had: node, npm or its registry is missing");
	return connect_with(server.credentials);
}

static int seeded_file(size_t n_bytes, char hex[65])
{
	uint8_t *bytes = malloc(n_bytes), digest[32];
	for (size_t i = 0; i < n_bytes; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	int fd = memfd_create("object", MFD_CLOEXEC);
	cr_assert_eq(write(fd, bytes, n_bytes), (ssize_t)n_bytes);
	EVP_Digest(bytes, n_bytes, digest, NULL, EVP_sha256(), NULL);
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	free(bytes);
	return fd;
}

struct got {
	uint64_t n_bytes;
	bool same;
};

static int take(void *ctx, const void *bytes, size_t len)
{
	struct got *g = ctx;
	for (size_t i = 0; i < len; i++)
		g->same &= ((const uint8_t *)bytes)[i] ==
			   (uint8_t)((g->n_bytes + i) * 2654435761u >> 13);
	g->n_bytes += len;
	return 0;
}

static int count(void *ctx, const struct lode_s3_object *o)
{
	char *seen = ctx;
	sprintf(seen + strlen(seen), "%s:%llu ", o->key, (unsigned long long)o->n_bytes);
	return 0;
}

static void check_object(struct lode_s3 *s, const char *key, size_t n_bytes)
{
	struct lode_err err = {0};
	struct got g = {.same = true};
	char hex[65];
	int fd = seeded_file(n_bytes, hex);
	cr_assert_eq(lode_s3_put(s, key, fd, n_bytes, hex, &err), 0, "%s", err.msg);
	close(fd);
	cr_assert_eq(lode_s3_size(s, key, &err), (int64_t)n_bytes);
	cr_assert_eq(lode_s3_get(s, key, take, &g, &err), 0, "%s", err.msg);
	cr_assert_eq(g.n_bytes, n_bytes);
	cr_assert(g.same);
}

Test(s3, objects_come_and_go, .fini = stop, .timeout = 120)
{
	struct lode_s3 *s = connect_or_skip(false);
	struct lode_err err = {0};
	char seen[200] = "";
	check_object(s, "ab/small", 1000);
	check_object(s, "ab/parts", (11 << 20) + 17);
	cr_assert_eq(lode_s3_list(s, count, seen, &err), 0, "%s", err.msg);
	cr_assert_str_eq(seen, "ab/parts:11534353 ab/small:1000 ");
	cr_assert_eq(lode_s3_delete(s, "ab/small", &err), 0);
	cr_assert_eq(lode_s3_delete(s, "ab/small", &err), 0);
	cr_assert_eq(lode_s3_size(s, "ab/small", &err), -ENOENT);
	lode_s3_close(s);
}

/* Every third request fails, downloads break once: all goes through, nothing is sent twice into the file. */
Test(s3, trouble_is_tried_again, .fini = stop, .timeout = 120)
{
	struct lode_s3 *s = connect_or_skip(true);
	check_object(s, "ab/small", 1000);
	check_object(s, "ab/cut", 3 << 20);
	check_object(s, "ab/parts", (11 << 20) + 17);
	lode_s3_close(s);
}

Test(s3, a_wrong_secret_is_refused_and_not_told, .fini = stop, .timeout = 120)
{
	struct lode_s3 *s = connect_or_skip(false);
	struct lode_err err = {0};
	char path[100];
	lode_s3_close(s);
	snprintf(path, sizeof(path), "%s/wrong", server.dir);
	s3_write_credentials(path, "Guessed123", 0600);
	s = connect_with(path);
	cr_assert_eq(lode_s3_list(s, count, (char[200]){0}, &err), -EACCES, "%s", err.msg);
	cr_assert_null(strstr(err.msg, "Guessed123"));
	lode_s3_close(s);
}

Test(s3, a_server_that_is_away_is_said_so)
{
	struct lode_err err = {0};
	char path[] = "/tmp/lodestone-test-XXXXXX";
	close(mkstemp(path));
	s3_write_credentials(path, "x", 0600);
	struct lode_s3_options o = {.endpoint = "http://127.0.0.1:1",
		.region = "us-east-1",
		.bucket = "lode",
		.prefix = "",
		.credentials = path,
		.attempts = 2};
	struct lode_s3 *s;
	cr_assert_eq(lode_s3_open(&o, &s, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_s3_size(s, "a", &err), -ENOTCONN);
	lode_s3_close(s);
	chmod(path, 0644);
	cr_assert_eq(lode_s3_open(&o, &s, &err), -EPERM, "others could read it");
	o.endpoint = "ftp://x";
	cr_assert_eq(lode_s3_open(&o, &s, &err), -EINVAL);
	unlink(path);
}

Test(s3, a_list_is_read_page_by_page)
{
	static const char page[] =
		"<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>"
		"<NextContinuationToken>a&amp;b+/=</NextContinuationToken>"
		"<Contents><Key>p/ab/1</Key><LastModified>1970-01-02T00:00:01.000Z</LastModified>"
		"<Size>7</Size></Contents>"
		"<Contents><Key>other</Key><LastModified>x</LastModified><Size>1</Size></Contents>"
		"</ListBucketResult>";
	char seen[200] = "", next[40];
	struct lode_err err = {0};
	cr_assert_eq(lode_s3_parse_list(page, "p", count, seen, next, sizeof(next), &err), 0);
	cr_assert_str_eq(seen, "ab/1:7 ");
	cr_assert_str_eq(next, "a&b+/=");
	cr_assert_eq(
		lode_s3_parse_list("<html>", "p", count, seen, next, sizeof(next), &err), -EPROTO);
	cr_assert_eq(lode_s3_parse_list("<ListBucketResult><Contents><Key>", "p", count, seen, next,
			     sizeof(next), &err),
		-EPROTO);
	cr_assert_eq(lode_s3_parse_list("<ListBucketResult><IsTruncated>true</IsTruncated>", "p",
			     count, seen, next, sizeof(next), &err),
		-EPROTO);
}
