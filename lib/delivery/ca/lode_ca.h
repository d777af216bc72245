/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/ca: who may talk to a manager, as X.509 certificates (RFC 5280): the manager's own authority, which signs
 * requests (PKCS#10, RFC 2986), and the appliance's side, which makes a key and a request. Keys are ECDSA P-256. What
 * a certificate allows is kept by the caller under its serial number; here is only mathematics and files. No
 * clock: times are milliseconds since 1970 (`_ms`). Any thread; an authority belongs to one. Actions return 0 or
 * -errno. */
#pragma once

#include "lode_base.h"

#define LODE_CA_PEM_MAX	   16384u /* bytes of a request or certificate that is looked at */
#define LODE_CA_SERIAL_HEX 33	  /* 16 random bytes in upper-case hex, with the NUL */
#define LODE_CA_SHA256_HEX 65
#define LODE_CA_HOSTS_MAX  400 /* bytes of a list of hosts, with the NUL */

struct lode_ca;

/* The authority in a folder: ca.key and ca.pem, made when they are not there. -EPERM when others may read the key. */
int lode_ca_open(const char *dir, int64_t now_ms, struct lode_ca **out, struct lode_err *err);
void lode_ca_close(struct lode_ca *ca);
/* Its own certificate, PEM, and that one's SHA-256 (over DER). */
const char *lode_ca_pem(const struct lode_ca *ca);
const char *lode_ca_sha256(const struct lode_ca *ca);

struct lode_ca_subject {
	const char *name; /* common name */
	const char *unit; /* organisational unit: the role */
	const char *host; /* a server's names and addresses, commas between; NULL: a client */
	unsigned days;	  /* valid, from now */
};

struct lode_ca_issued {
	char *pem; /* malloc */
	char serial[LODE_CA_SERIAL_HEX];
	int64_t not_after_ms;
};

/* Signs a request. Only its key is taken over, after its signature was checked: who it is for is the subject's matter.
 * -EINVAL when it is no request or its key is weaker than P-256 or RSA 2048. */
int lode_ca_sign(struct lode_ca *ca, const char *request_pem, const struct lode_ca_subject *subject,
	int64_t now_ms, struct lode_ca_issued *out, struct lode_err *err);

/* A new key and a request for it; both malloc, the key to be wiped by the caller. */
int lode_ca_request(const char *name, char **key_pem, char **request_pem, struct lode_err *err);
/* 0 when the certificate belongs to the key and the authority signed it; else -EBADMSG. */
int lode_ca_check(
	const char *certificate_pem, const char *key_pem, const char *ca_pem, struct lode_err *err);
/* From when to when a certificate is valid. */
int lode_ca_lifetime(const char *certificate_pem, int64_t *not_before_ms, int64_t *not_after_ms,
	struct lode_err *err);
/* SHA-256 of the certificate's DER in lower-case hex. */
int lode_ca_fingerprint(
	const char *certificate_pem, char hex[LODE_CA_SHA256_HEX], struct lode_err *err);

/* The name that every manager's certificate has besides its hosts: for clients that compare names only. */
#define LODE_CA_SERVER_NAME "lodestone-manager"
#define LODE_CA_SERVER_FILE "server.pem"
/* DIR/server.pem, key and certificate for a list of hosts, made or renewed when missing, not for all of them, or past two
 * thirds of its life. *renewed: what reads it must read it again. */
int lode_ca_server_file(struct lode_ca *ca, const char *dir, const char *hosts, int64_t now_ms,
	bool *renewed, struct lode_err *err);

/* A whole file, at most LODE_CA_PEM_MAX bytes, NUL-terminated, malloc. */
int lode_ca_read_file(const char *dir, const char *name, char **text, struct lode_err *err);
/* Temp, fsync, rename, folder fsync. */
int lode_ca_write_file(
	const char *dir, const char *name, unsigned mode, const char *text, struct lode_err *err);
