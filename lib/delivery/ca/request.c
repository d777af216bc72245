/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys, requests and certificates as text, and what can be read off them. */
#include "pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int openssl_err(struct lode_err *err, int code, const char *what)
{
	char words[120];
	ERR_error_string_n(ERR_peek_last_error(), words, sizeof(words));
	ERR_clear_error();
	return lode_err_set(err, code, "%s: %s", what, words);
}

static BIO *text_bio(const char *pem, struct lode_err *err)
{
	size_t len = pem ? strnlen(pem, LODE_CA_PEM_MAX + 1) : 0;
	BIO *bio = len && len <= LODE_CA_PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	if (!bio)
		lode_err_set(err, -EINVAL, "PEM text has 1 to %u bytes, found %zu", LODE_CA_PEM_MAX,
			len);
	return bio;
}

/* Nobody sits at a terminal to type a pass phrase. */
static int no_phrase(char *buf, int size, int writing, void *ctx)
{
	(void)buf, (void)size, (void)writing, (void)ctx;
	return -1;
}

X509 *pem_certificate(const char *pem, struct lode_err *err)
{
	BIO *bio = text_bio(pem, err);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_phrase, NULL) : NULL;
	if (bio && !cert)
		openssl_err(err, -EINVAL, "this is no certificate");
	BIO_free(bio);
	return cert;
}

EVP_PKEY *pem_key(const char *pem, struct lode_err *err)
{
	BIO *bio = text_bio(pem, err);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL) : NULL;
	if (bio && !key)
		openssl_err(err, -EINVAL, "this is no private key");
	BIO_free(bio);
	return key;
}

static char *take_text(BIO *bio, bool ok)
{
	char *data, *text = NULL;
	long n = ok ? BIO_get_mem_data(bio, &data) : 0;
	if (n > 0)
		text = strndup(data, (size_t)n);
	BIO_free(bio);
	return text;
}

char *pem_of_certificate(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	return take_text(bio, bio && PEM_write_bio_X509(bio, cert) == 1);
}

char *pem_of_key(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	return take_text(
		bio, bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

void certificate_sha256(X509 *cert, char hex[LODE_CA_SHA256_HEX])
{
	uint8_t digest[32] = {0};
	X509_digest(cert, EVP_sha256(), digest, NULL);
	lode_hex(digest, sizeof(digest), hex);
}

static X509_REQ *make_request(EVP_PKEY *key, const char *name)
{
	X509_REQ *req = X509_REQ_new();
	X509_NAME *subject = X509_NAME_new();
	bool ok = req && subject && X509_REQ_set_version(req, 0) == 1 &&
		  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
			  (const unsigned char *)name, -1, -1, 0) == 1 &&
		  X509_REQ_set_subject_name(req, subject) == 1 &&
		  X509_REQ_set_pubkey(req, key) == 1 && X509_REQ_sign(req, key, EVP_sha256()) > 0;
	X509_NAME_free(subject);
	if (ok)
		return req;
	X509_REQ_free(req);
	return NULL;
}

int lode_ca_request(const char *name, char **key_pem, char **request_pem, struct lode_err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *req = key ? make_request(key, name) : NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	*request_pem = take_text(bio, bio && req && PEM_write_bio_X509_REQ(bio, req) == 1);
	*key_pem = key ? pem_of_key(key) : NULL;
	X509_REQ_free(req);
	EVP_PKEY_free(key);
	if (*key_pem && *request_pem)
		return 0;
	free(*key_pem);
	free(*request_pem);
	return openssl_err(err, -EINVAL, "no certificate request could be made");
}

int lode_ca_check(
	const char *certificate_pem, const char *key_pem, const char *ca_pem, struct lode_err *err)
{
	X509 *cert = pem_certificate(certificate_pem, err);
	EVP_PKEY *key = cert ? pem_key(key_pem, err) : NULL;
	X509 *ca = key ? pem_certificate(ca_pem, err) : NULL;
	int rc = ca ? 0 : err->code;
	if (!rc && X509_check_private_key(cert, key) != 1)
		rc = openssl_err(err, -EBADMSG, "the certificate is for another key");
	if (!rc && (X509_check_issued(ca, cert) != X509_V_OK ||
			   X509_verify(cert, X509_get0_pubkey(ca)) != 1))
		rc = openssl_err(err, -EBADMSG, "the authority did not sign the certificate");
	X509_free(ca);
	EVP_PKEY_free(key);
	X509_free(cert);
	return rc;
}

static int time_ms(const ASN1_TIME *t, int64_t *ms)
{
	struct tm tm;
	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return -EINVAL;
	*ms = (int64_t)timegm(&tm) * 1000;
	return 0;
}

int lode_ca_lifetime(const char *certificate_pem, int64_t *not_before_ms, int64_t *not_after_ms,
	struct lode_err *err)
{
	X509 *cert = pem_certificate(certificate_pem, err);
	if (!cert)
		return err->code;
	int rc = time_ms(X509_get0_notBefore(cert), not_before_ms) ||
				 time_ms(X509_get0_notAfter(cert), not_after_ms)
			 ? openssl_err(err, -EINVAL, "the certificate has no lifetime")
			 : 0;
	X509_free(cert);
	return rc;
}

int lode_ca_fingerprint(
	const char *certificate_pem, char hex[LODE_CA_SHA256_HEX], struct lode_err *err)
{
	X509 *cert = pem_certificate(certificate_pem, err);
	if (!cert)
		return err->code;
	certificate_sha256(cert, hex);
	X509_free(cert);
	return 0;
}
