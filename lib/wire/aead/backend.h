/* SPDX-License-Identifier: BSD-3-Clause */
/* What a back end of wire/aead brings. */
#pragma once

#include "lode_aead.h"

#include <intel-ipsec-mb.h>
#include <openssl/evp.h>

struct lode_aead {
	const struct backend *backend;
	IMB_MGR *mb;	    /* ipsec-mb: its function table for this CPU; read-only after start */
	EVP_CIPHER *cipher; /* openssl */
};

struct lode_aead_key {
	union { /* first: gcm_key_data wants its 64-byte alignment */
		struct gcm_key_data gcm;
		struct {
			EVP_CIPHER_CTX *seal, *open;
		} evp;
		uint64_t null_key[4];
	};
	const struct lode_aead *aead;
	uint32_t salt;
};

struct backend {
	const char *name;
	int (*start)(struct lode_aead *a, struct lode_err *err);
	void (*stop)(struct lode_aead *a);
	int (*key_init)(struct lode_aead_key *key, const uint8_t raw[LODE_AEAD_KEY_BYTES]);
	void (*key_fini)(struct lode_aead_key *key); /* may be NULL */
	void (*seal)(const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n);
	uint64_t (*open)(
		const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n);
};

extern const struct backend backend_ipsec_mb, backend_openssl, backend_null;

/* 12 bytes and 4 of room, in one store: the ciphers load them as a vector, which would wait for two stores to leave
 * the core before it could put them together. */
#define NONCE_ROOM 16
static inline void nonce_bytes(
	const struct lode_aead_key *key, uint64_t nonce, uint8_t iv[NONCE_ROOM])
{
	typedef uint64_t vector __attribute__((vector_size(NONCE_ROOM)));
	uint64_t salt_be = __builtin_bswap32(key->salt), nonce_be = __builtin_bswap64(nonce);
	vector v = {salt_be | nonce_be << 32, nonce_be >> 32};
	memcpy(iv, &v, sizeof(v));
}
