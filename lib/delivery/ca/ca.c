/* SPDX-License-Identifier: BSD-3-Clause */
/* The manager's authority. */
#include "pem.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CA_DAYS	       7300
#define SERVER_DAYS    397 /* what browsers still accept */
#define CLOCK_SKEW_S   300 /* appliances whose clock is behind */
#define DAY_S	       86400ll
#define MIN_EC_BITS    256
#define MIN_RSA_BITS   2048
#define SERIAL_BYTES   16
#define HOST_CHARS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-,"
#define ORGANISATION   "Lodestone"
#define AUTHORITY_NAME "Lodestone manager"

struct lode_ca {
	EVP_PKEY *key;
	X509 *cert;
	char *pem;
	char sha256[LODE_CA_SHA256_HEX];
};

/* 16 random bytes, positive and of full length, so that their hex is always as long. */
static int set_serial(X509 *cert, char hex[LODE_CA_SERIAL_HEX])
{
	uint8_t bytes[SERIAL_BYTES];
	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(hex + 2 * i, 3, "%02X", bytes[i]);
	BIGNUM *n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	int rc = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) ? 0 : -ENOMEM;
	BN_free(n);
	return rc;
}

static int set_name(X509_NAME *name, const char *unit, const char *common)
{
	const struct {
		const char *field, *value;
	} parts[] = {{"O", ORGANISATION}, {"OU", unit}, {"CN", common}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(parts); i++)
		if (parts[i].value &&
			X509_NAME_add_entry_by_txt(name, parts[i].field, MBSTRING_UTF8,
				(const unsigned char *)parts[i].value, -1, -1, 0) != 1)
			return -EINVAL;
	return 0;
}

static int add_extension(X509 *cert, X509V3_CTX *ctx, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
	int rc = e && X509_add_ext(cert, e, -1) == 1 ? 0 : -EINVAL;
	X509_EXTENSION_free(e);
	return rc;
}

/* Calls fn for each of the hosts in a comma-separated list until it returns not 0. */
static int each_host(const char *hosts, int (*fn)(void *ctx, const char *host), void *ctx)
{
	char copy[LODE_CA_HOSTS_MAX + 64], *at = NULL;
	int rc = 0;
	snprintf(copy, sizeof(copy), "%s", hosts);
	for (char *host = strtok_r(copy, ",", &at); host && !rc; host = strtok_r(NULL, ",", &at))
		rc = fn(ctx, host);
	return rc;
}

struct names {
	char *text;
	size_t n, size;
};

static int add_name(void *ctx, const char *host)
{
	struct names *y = ctx;
	uint8_t address[16];
	bool numeric =
		inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
	y->n += (size_t)snprintf(y->text + y->n, y->size - y->n, "%s%s:%s", y->n ? "," : "",
		numeric ? "IP" : "DNS", host);
	return y->n < y->size ? 0 : -ENOSPC;
}

static int alternative_names(const char *hosts, char *text, size_t size)
{
	struct names y = {text, 0, size};
	int rc = each_host(hosts, add_name, &y);
	return rc || !y.n ? -EINVAL : 0;
}

/* What a client, a server or the authority itself may do (RFC 5280 4.2.1). */
static int add_extensions(X509 *cert, X509 *issuer, const char *host, bool authority)
{
	char names[2 * LODE_CA_HOSTS_MAX];
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	int rc = add_extension(cert, &ctx, NID_basic_constraints,
		authority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
	rc = rc ? rc
		: add_extension(cert, &ctx, NID_key_usage,
			  authority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	rc = rc ? rc : add_extension(cert, &ctx, NID_subject_key_identifier, "hash");
	if (rc || authority)
		return rc;
	rc = add_extension(cert, &ctx, NID_authority_key_identifier, "keyid");
	rc = rc ? rc
		: add_extension(cert, &ctx, NID_ext_key_usage, host ? "serverAuth" : "clientAuth");
	if (rc || !host)
		return rc;
	return alternative_names(host, names, sizeof(names))
		       ? -EINVAL
		       : add_extension(cert, &ctx, NID_subject_alt_name, names);
}

struct body {
	const struct lode_ca_subject *subject;
	EVP_PKEY *key; /* of the subject */
	X509 *issuer;  /* NULL: itself */
	EVP_PKEY *sign_with;
	int64_t now_ms;
};

static X509 *make_certificate(const struct body *b, char serial[LODE_CA_SERIAL_HEX])
{
	X509 *cert = X509_new();
	X509 *issuer = b->issuer ? b->issuer : cert;
	time_t from = (time_t)(b->now_ms / 1000 - CLOCK_SKEW_S);
	time_t to = (time_t)(b->now_ms / 1000 + b->subject->days * DAY_S);
	bool ok = cert && X509_set_version(cert, 2) == 1 && !set_serial(cert, serial) &&
		  !set_name(X509_get_subject_name(cert), b->subject->unit, b->subject->name) &&
		  X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
		  ASN1_TIME_set(X509_getm_notBefore(cert), from) &&
		  ASN1_TIME_set(X509_getm_notAfter(cert), to) &&
		  X509_set_pubkey(cert, b->key) == 1 &&
		  !add_extensions(cert, issuer, b->subject->host, !b->issuer) &&
		  X509_sign(cert, b->sign_with, EVP_sha256()) > 0;
	if (ok)
		return cert;
	X509_free(cert);
	return NULL;
}

/* ---- the authority's own files ---- */

static int load_key(struct lode_ca *ca, const char *dir, struct lode_err *err)
{
	char *text = NULL, path[512];
	struct stat st;
	int rc = lode_ca_read_file(dir, "ca.key", &text, err);
	if (rc == -ENOENT) {
		EVP_PKEY *key = EVP_EC_gen("P-256");
		text = key ? pem_of_key(key) : NULL;
		EVP_PKEY_free(key);
		rc = text ? write_first(dir, "ca.key", 0600, &text, err)
			  : openssl_err(err, -EIO, "no key could be made");
	}
	if (!rc) {
		snprintf(path, sizeof(path), "%s/ca.key", dir);
		ca->key = pem_key(text, err);
		rc = ca->key ? 0 : lode_err_prefix(err, "%s", path);
		if (!rc && !stat(path, &st) && st.st_mode & 077)
			rc = lode_err_set(err, -EPERM,
				"%s: only its owner may read it (chmod 600), found mode %o", path,
				st.st_mode & 0777);
	}
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	return rc;
}

static int make_own_certificate(
	struct lode_ca *ca, const char *dir, int64_t now_ms, struct lode_err *err)
{
	const struct lode_ca_subject self = {.name = AUTHORITY_NAME, .days = CA_DAYS};
	char serial[LODE_CA_SERIAL_HEX];
	X509 *cert =
		make_certificate(&(struct body){&self, ca->key, NULL, ca->key, now_ms}, serial);
	ca->pem = cert ? pem_of_certificate(cert) : NULL;
	X509_free(cert);
	return ca->pem ? write_first(dir, "ca.pem", 0644, &ca->pem, err)
		       : openssl_err(err, -EIO, "no certificate could be made");
}

int lode_ca_open(const char *dir, int64_t now_ms, struct lode_ca **out, struct lode_err *err)
{
	struct lode_ca *ca = calloc(1, sizeof(*ca));
	if (!ca)
		return lode_err_set(err, -ENOMEM, "no memory for the authority");
	int rc = mkdir(dir, 0755) && errno != EEXIST
			 ? lode_err_set(err, -errno, "%s: %s", dir, strerror(errno))
			 : load_key(ca, dir, err);
	if (!rc) {
		rc = lode_ca_read_file(dir, "ca.pem", &ca->pem, err);
		if (rc == -ENOENT)
			rc = make_own_certificate(ca, dir, now_ms, err);
		if (!rc && !(ca->cert = pem_certificate(ca->pem, err)))
			rc = lode_err_prefix(err, "%s/ca.pem", dir);
	}
	if (!rc && X509_check_private_key(ca->cert, ca->key) != 1)
		rc = openssl_err(err, -EBADMSG, "ca.pem and ca.key do not belong together");
	if (rc) {
		lode_ca_close(ca);
		return rc;
	}
	certificate_sha256(ca->cert, ca->sha256);
	*out = ca;
	return 0;
}

void lode_ca_close(struct lode_ca *ca)
{
	if (!ca)
		return;
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	free(ca->pem);
	free(ca);
}

const char *lode_ca_pem(const struct lode_ca *ca)
{
	return ca->pem;
}

const char *lode_ca_sha256(const struct lode_ca *ca)
{
	return ca->sha256;
}

/* ---- signing ---- */

static int check_strength(const EVP_PKEY *key, struct lode_err *err)
{
	int bits = EVP_PKEY_get_bits(key), type = EVP_PKEY_get_base_id(key);
	bool ok = type == EVP_PKEY_ED25519 || (type == EVP_PKEY_EC && bits >= MIN_EC_BITS) ||
		  (type == EVP_PKEY_RSA && bits >= MIN_RSA_BITS);
	return ok ? 0
		  : lode_err_set(err, -EINVAL,
			    "a key is Ed25519, ECDSA from %d bits or RSA from %d, found type %d "
			    "with "
			    "%d bits",
			    MIN_EC_BITS, MIN_RSA_BITS, type, bits);
}

static X509_REQ *read_request(const char *pem, struct lode_err *err)
{
	size_t len = pem ? strnlen(pem, LODE_CA_PEM_MAX + 1) : 0;
	BIO *bio = len && len <= LODE_CA_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
	BIO_free(bio);
	int rc = !key ? openssl_err(err, -EINVAL, "this is no certificate request")
		      : check_strength(key, err);
	if (!rc && X509_REQ_verify(req, key) != 1)
		rc = openssl_err(err, -EINVAL, "the request is not signed by its own key");
	if (!rc)
		return req;
	X509_REQ_free(req);
	return NULL;
}

int lode_ca_sign(struct lode_ca *ca, const char *request_pem, const struct lode_ca_subject *subject,
	int64_t now_ms, struct lode_ca_issued *out, struct lode_err *err)
{
	*out = (struct lode_ca_issued){.not_after_ms = now_ms + subject->days * DAY_S * 1000};
	X509_REQ *req = read_request(request_pem, err);
	if (!req)
		return err->code;
	struct body b = {subject, X509_REQ_get0_pubkey(req), ca->cert, ca->key, now_ms};
	X509 *cert = make_certificate(&b, out->serial);
	out->pem = cert ? pem_of_certificate(cert) : NULL;
	X509_free(cert);
	X509_REQ_free(req);
	return out->pem ? 0 : openssl_err(err, -EINVAL, "no certificate could be made");
}

/* ---- the server's file ---- */

static int not_named(void *ctx, const char *host)
{
	return X509_check_host(ctx, host, 0, 0, NULL) != 1 && X509_check_ip_asc(ctx, host, 0) != 1;
}

static bool server_file_good(struct lode_ca *ca, const char *dir, const char *hosts, int64_t now_ms)
{
	struct lode_err err;
	char *pem = NULL;
	int64_t from, to;
	bool good = !lode_ca_read_file(dir, LODE_CA_SERVER_FILE, &pem, &err) &&
		    !lode_ca_check(pem, pem, ca->pem, &err) &&
		    !lode_ca_lifetime(pem, &from, &to, &err) && now_ms < to - (to - from) / 3;
	X509 *cert = good ? pem_certificate(pem, &err) : NULL;
	good = cert && !each_host(hosts, not_named, cert);
	X509_free(cert);
	if (pem)
		explicit_bzero(pem, strlen(pem));
	free(pem);
	return good;
}

/* Key and certificate in one file: whoever reads it has a pair that fits. */
static int make_server_file(struct lode_ca *ca, const char *dir,
	const struct lode_ca_subject *subject, int64_t now_ms, struct lode_err *err)
{
	struct lode_ca_issued cert = {0};
	char *key, *request, *both = NULL;
	int rc = lode_ca_request(subject->name, &key, &request, err);
	if (rc)
		return rc;
	rc = lode_ca_sign(ca, request, subject, now_ms, &cert, err);
	if (!rc && asprintf(&both, "%s%s", key, cert.pem) < 0)
		rc = lode_err_set(err, -ENOMEM, "no memory for a certificate");
	if (!rc) {
		rc = lode_ca_write_file(dir, LODE_CA_SERVER_FILE, 0640, both, err);
		explicit_bzero(both, strlen(both));
		free(both);
	}
	explicit_bzero(key, strlen(key));
	free(key);
	free(request);
	free(cert.pem);
	return rc;
}

int lode_ca_server_file(struct lode_ca *ca, const char *dir, const char *hosts, int64_t now_ms,
	bool *renewed, struct lode_err *err)
{
	char names[LODE_CA_HOSTS_MAX + sizeof(LODE_CA_SERVER_NAME) + 1];
	const struct lode_ca_subject subject = {
		.name = "manager", .unit = "server", .host = names, .days = SERVER_DAYS};
	size_t n = strspn(hosts, HOST_CHARS);
	if (!n || hosts[n] || n >= LODE_CA_HOSTS_MAX)
		return lode_err_set(err, -EINVAL,
			"hosts are names or addresses with commas between, up to %d bytes, found "
			"'%.60s'",
			LODE_CA_HOSTS_MAX - 1, hosts);
	snprintf(names, sizeof(names), LODE_CA_SERVER_NAME ",%s", hosts);
	*renewed = !server_file_good(ca, dir, names, now_ms);
	return *renewed ? make_server_file(ca, dir, &subject, now_ms, err) : 0;
}
