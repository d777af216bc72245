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

static inline void nonce_bytes(const struct lode_aead_key *key, uint64_t nonce, uint8_t iv[12])
{
	lode_store_be32(iv, key->salt);
	lode_store_be64(iv + 4, nonce);
}
