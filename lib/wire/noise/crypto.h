/* SPDX-License-Identifier: BSD-3-Clause */
/* The primitives of the handshake, over libcrypto. All return 0 or -errno. */
#pragma once

#include "lode_noise.h"

#define HASH_BYTES 32
#define TAG_BYTES  16

struct bytes {
	const void *data;
	size_t len;
};

int sha256(const struct bytes *parts, unsigned n_parts, uint8_t out[HASH_BYTES]);
int hmac_sha256(const void *key, size_t key_bytes, const struct bytes *parts, unsigned n_parts,
	uint8_t out[HASH_BYTES]);
/* -EBADMSG when the result would be zero (a point of low order). */
int x25519(const struct lode_noise_pair *ours, const uint8_t theirs[32], uint8_t shared[32]);
/* AES-256-GCM; nonce: 4 zero bytes, then 64 bits. out has room for len + TAG_BYTES. */
int gcm_seal(
	const uint8_t key[32], uint64_t nonce, struct bytes aad, struct bytes text, uint8_t *out);
/* text: with its tag. out has room for text.len - TAG_BYTES. -EBADMSG: not authentic. */
int gcm_open(
	const uint8_t key[32], uint64_t nonce, struct bytes aad, struct bytes text, uint8_t *out);
