/* SPDX-License-Identifier: BSD-3-Clause */
/* wire/aead: AES-256-GCM over bursts of datagrams that share a key, in place. Back ends: libipsec-mb called
 * directly, and OpenSSL EVP: the same bytes from both. `null` does not encrypt; its tag finds corruption and
 * a wrong key but protects nothing: for simulations only. A back end is made at start and outlives its keys;
 * any thread may read it. A key belongs to one thread at a time (OpenSSL keeps scratch in it): the worker
 * that owns its lane. Seal and open allocate nothing. */
#pragma once

#include "lode_base.h"

#define LODE_AEAD_KEY_BYTES 32
#define LODE_AEAD_TAG_BYTES 16
#define LODE_AEAD_BURST_MAX 64

struct lode_aead;
struct lode_aead_key; /* expanded */

/* name: "auto" (ipsec-mb where the CPU has AES instructions, else OpenSSL), "ipsec-mb", "openssl", "null".
 * NULL and a sentence: not possible on this machine, or no such name. */
struct lode_aead *lode_aead_new(const char *name, struct lode_err *err);
void lode_aead_free(struct lode_aead *a);
const char *lode_aead_name(const struct lode_aead *a);

/* salt: the first 4 bytes of every nonce. NULL without memory. */
struct lode_aead_key *lode_aead_key_new(
	const struct lode_aead *a, const uint8_t key[LODE_AEAD_KEY_BYTES], uint32_t salt);
/* Wipes and frees; NULL is nothing. */
void lode_aead_key_free(struct lode_aead_key *key);

/* One datagram: aad_bytes of additional data, text_bytes of text, room for the tag, in one piece. */
struct lode_aead_op {
	uint8_t *data;
	uint64_t nonce; /* lode_wire_nonce: never twice under one key when sealing */
	uint16_t aad_bytes, text_bytes;
};

/* Encrypts the texts and writes the tags behind them. n <= LODE_AEAD_BURST_MAX. */
void lode_aead_seal_burst(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n);
/* Decrypts the texts; text_bytes leaves out the tag, which stands behind. Bit i of the result is set when op
 * i is authentic; the text of one that is not is useless (it may be overwritten). */
uint64_t lode_aead_open_burst(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n);
