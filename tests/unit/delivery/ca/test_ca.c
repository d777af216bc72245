/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_ca.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_MS INT64_C(1700000000000)
#define DAY_MS INT64_C(86400000)

static char dir[64];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/lodestone-test-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void drop_dir(void)
{
	static const char *const files[] = {"ca.key", "ca.pem", "server.pem"};
	char path[200];
	for (size_t i = 0; i < LODE_ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
}

TestSuite(ca, .init = make_dir, .fini = drop_dir);

static struct lode_ca *open_ca(void)
{
	struct lode_ca *ca = NULL;
	struct lode_err err = {0};
	cr_assert_eq(lode_ca_open(dir, NOW_MS, &ca, &err), 0, "%s", err.msg);
	return ca;
}

Test(ca, what_it_signed_fits_key_and_authority)
{
	static const struct lode_ca_subject edge = {.name = "edge-1", .unit = "device", .days = 90};
	struct lode_ca *ca = open_ca();
	struct lode_ca_issued a, b;
	struct lode_err err = {0};
	char *key, *request, *other_key, *other;
	int64_t from, to;
	cr_assert_eq(lode_ca_request("edge-1", &key, &request, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_ca_request("edge-1", &other_key, &other, &err), 0);
	cr_assert_eq(lode_ca_sign(ca, request, &edge, NOW_MS, &a, &err), 0, "%s", err.msg);
	cr_assert_eq(lode_ca_sign(ca, request, &edge, NOW_MS, &b, &err), 0);
	cr_assert_eq(strlen(a.serial), LODE_CA_SERIAL_HEX - 1);
	cr_assert_str_neq(a.serial, b.serial);
	cr_assert_eq(lode_ca_check(a.pem, key, lode_ca_pem(ca), &err), 0, "%s", err.msg);
	cr_assert_eq(lode_ca_check(a.pem, other_key, lode_ca_pem(ca), &err), -EBADMSG);
	cr_assert_eq(lode_ca_lifetime(a.pem, &from, &to, &err), 0);
	cr_assert_eq(to, NOW_MS + 90 * DAY_MS);
	cr_assert_eq(to, a.not_after_ms);
	cr_assert_lt(from, NOW_MS);
	free(a.pem), free(b.pem), free(key), free(request), free(other_key), free(other);
	lode_ca_close(ca);
}

/* Nobody becomes an authority, or another, by what the request says. */
Test(ca, only_the_key_of_a_request_is_taken)
{
	static const struct lode_ca_subject edge = {.name = "edge-1", .unit = "device", .days = 1};
	struct lode_ca *ca = open_ca();
	struct lode_ca_issued issued;
	struct lode_err err = {0};
	char *key, *request, text[200];
	cr_assert_eq(lode_ca_request("admin", &key, &request, &err), 0);
	cr_assert_eq(lode_ca_sign(ca, request, &edge, NOW_MS, &issued, &err), 0);
	BIO *bio = BIO_new_mem_buf(issued.pem, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text));
	cr_assert_str_eq(text, "/O=Lodestone/OU=device/CN=edge-1");
	cr_assert_eq(X509_check_ca(cert), 0);
	cr_assert_eq(X509_get_extended_key_usage(cert), XKU_SSL_CLIENT);
	X509_free(cert);
	BIO_free(bio);
	free(issued.pem), free(key), free(request);
	lode_ca_close(ca);
}

Test(ca, the_same_authority_is_there_after_a_restart)
{
	struct lode_ca *ca = open_ca();
	char sha256[LODE_CA_SHA256_HEX], again[LODE_CA_SHA256_HEX], path[200];
	struct lode_err err = {0};
	snprintf(sha256, sizeof(sha256), "%s", lode_ca_sha256(ca));
	cr_assert_eq(lode_ca_fingerprint(lode_ca_pem(ca), again, &err), 0);
	cr_assert_str_eq(again, sha256);
	lode_ca_close(ca);
	ca = open_ca();
	cr_assert_str_eq(lode_ca_sha256(ca), sha256);
	lode_ca_close(ca);
	snprintf(path, sizeof(path), "%s/ca.key", dir);
	cr_assert_eq(chmod(path, 0644), 0);
	cr_assert_eq(lode_ca_open(dir, NOW_MS, &ca, &err), -EPERM, "a key that others can read");
}

static char *weak_request(void)
{
	EVP_PKEY *key = EVP_RSA_gen(1024);
	X509_REQ *req = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	X509_REQ_set_pubkey(req, key);
	X509_REQ_sign(req, key, EVP_sha256());
	PEM_write_bio_X509_REQ(bio, req);
	long n = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)n);
	BIO_free(bio);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	return text;
}

Test(ca, what_is_no_request_or_weak_is_refused)
{
	static const struct lode_ca_subject edge = {.name = "edge-1", .days = 1};
	struct lode_ca *ca = open_ca();
	struct lode_ca_issued issued;
	struct lode_err err = {0};
	char *weak = weak_request(), *key, *request;
	cr_assert_eq(lode_ca_sign(ca, "", &edge, NOW_MS, &issued, &err), -EINVAL);
	cr_assert_eq(lode_ca_sign(ca, "nonsense", &edge, NOW_MS, &issued, &err), -EINVAL);
	cr_assert_eq(lode_ca_sign(ca, lode_ca_pem(ca), &edge, NOW_MS, &issued, &err), -EINVAL);
	cr_assert_eq(lode_ca_sign(ca, weak, &edge, NOW_MS, &issued, &err), -EINVAL);
	cr_assert_eq(lode_ca_request("edge-1", &key, &request, &err), 0);
	/* One bit of the signature, near the end of the text. */
	char *at = strstr(request, "\n-----END") - 8;
	*at = *at == 'A' ? 'B' : 'A';
	cr_assert_eq(lode_ca_sign(ca, request, &edge, NOW_MS, &issued, &err), -EINVAL);
	free(weak), free(key), free(request);
	lode_ca_close(ca);
}

Test(ca, the_servers_file_is_renewed_when_it_is_time)
{
	struct lode_ca *ca = open_ca();
	struct lode_err err = {0};
	bool renewed = false;
	cr_assert_eq(lode_ca_server_file(ca, dir, "m.example,10.1.2.3", NOW_MS, &renewed, &err), 0,
		"%s", err.msg);
	cr_assert(renewed);
	cr_assert_eq(lode_ca_server_file(ca, dir, "10.1.2.3", NOW_MS, &renewed, &err), 0);
	cr_assert_not(renewed);
	cr_assert_eq(
		lode_ca_server_file(ca, dir, "m.example", NOW_MS + 200 * DAY_MS, &renewed, &err),
		0);
	cr_assert_not(renewed);
	cr_assert_eq(
		lode_ca_server_file(ca, dir, "m.example", NOW_MS + 300 * DAY_MS, &renewed, &err),
		0);
	cr_assert(renewed, "past two thirds");
	cr_assert_eq(
		lode_ca_server_file(ca, dir, "10.9.9.9", NOW_MS + 300 * DAY_MS, &renewed, &err), 0);
	cr_assert(renewed, "another host");
	cr_assert_eq(lode_ca_server_file(ca, dir, "a b", NOW_MS, &renewed, &err), -EINVAL);
	lode_ca_close(ca);
}
