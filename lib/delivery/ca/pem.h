/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_ca.h"

#include <openssl/x509.h>

/* Writes a file that nobody has written yet; if somebody was faster, *text becomes what he wrote: managers that share a
 * folder start together. */
int write_first(
	const char *dir, const char *name, unsigned mode, char **text, struct lode_err *err);
/* PEM into memory of its own; NULL when there is none. */
X509 *pem_certificate(const char *pem, struct lode_err *err);
EVP_PKEY *pem_key(const char *pem, struct lode_err *err);
char *pem_of_certificate(X509 *cert);
char *pem_of_key(EVP_PKEY *key);
void certificate_sha256(X509 *cert, char hex[LODE_CA_SHA256_HEX]);
/* OpenSSL's own words for what went wrong. */
int openssl_err(struct lode_err *err, int code, const char *what);
