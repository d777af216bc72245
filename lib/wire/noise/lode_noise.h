/* SPDX-License-Identifier: BSD-3-Clause */
/* wire/noise: the handshake Noise_IK_25519_AESGCM_SHA256 and its variant IKpsk2 (Noise specification,
 * revision 34), the keys derived from it, and the MACs and cookies that keep floods away (after WireGuard,
 * Donenfeld 2017, section 5.4). No I/O, no clock, no random numbers: the caller brings ephemeral keys and
 * nonces from a secure source. An object belongs to one thread. -EBADMSG: not authentic or malformed, with
 * nothing said about why; -ENOMEM: libcrypto could not work. */
#pragma once

#include "lode_base.h"

#define LODE_NOISE_KEY_BYTES 32
#define LODE_NOISE_MAC_BYTES 16
/* What the messages add to their payloads. */
#define LODE_NOISE_INIT_BYTES	  (32 + 48 + 16)
#define LODE_NOISE_RESPONSE_BYTES (32 + 16)

/* Public key of a private key (X25519). 0 or -EINVAL. */
int lode_noise_public_key(
	const uint8_t priv[LODE_NOISE_KEY_BYTES], uint8_t pub[LODE_NOISE_KEY_BYTES]);

/* A private key and its public key, kept together: computing the second takes as long as a handshake's step. */
struct lode_noise_pair {
	uint8_t priv[LODE_NOISE_KEY_BYTES], pub[LODE_NOISE_KEY_BYTES];
};
int lode_noise_make_pair(const uint8_t priv[LODE_NOISE_KEY_BYTES], struct lode_noise_pair *pair);

enum lode_noise_pattern { LODE_NOISE_IK, LODE_NOISE_IKPSK2 };

/* One handshake; the caller's memory, wiped by lode_noise_wipe. Fields are private. */
struct lode_noise {
	enum lode_noise_pattern pattern;
	bool failed; /* sticky: libcrypto refused or had no memory */
	uint8_t hash[32], chain[32], key[32];
	uint64_t nonce;
	struct lode_noise_pair s, e; /* own static and ephemeral keys */
	uint8_t rs[32], re[32];	     /* the other end's */
	uint8_t psk[32];
};

/* The initiator knows the responder's static key; psk: 32 bytes for IKPSK2, else NULL. */
void lode_noise_start_initiator(struct lode_noise *n, enum lode_noise_pattern pattern,
	const struct lode_noise_pair *s, const uint8_t rs[32], const uint8_t *psk,
	const void *prologue, size_t prologue_bytes);
void lode_noise_start_responder(struct lode_noise *n, enum lode_noise_pattern pattern,
	const struct lode_noise_pair *s, const void *prologue, size_t prologue_bytes);
/* The responder learns from the first message whose psk it needs; before lode_noise_write_response. */
void lode_noise_set_psk(struct lode_noise *n, const uint8_t psk[32]);
void lode_noise_wipe(struct lode_noise *n);

/* Write: out has room for len + the message's own bytes; returns bytes written or -errno. Read: payload has
 * room for what the message holds; returns the payload's length or -EBADMSG. e_priv: fresh and random. */
int lode_noise_write_init(struct lode_noise *n, const uint8_t e_priv[32], const void *payload,
	size_t len, uint8_t *out);
int lode_noise_read_init(struct lode_noise *n, const uint8_t *msg, size_t len, uint8_t *payload);
int lode_noise_write_response(struct lode_noise *n, const uint8_t e_priv[32], const void *payload,
	size_t len, uint8_t *out);
int lode_noise_read_response(
	struct lode_noise *n, const uint8_t *msg, size_t len, uint8_t *payload);
/* After the response: the two transport keys. */
int lode_noise_split(const struct lode_noise *n, uint8_t initiator_to_responder[32],
	uint8_t responder_to_initiator[32]);

/* AEAD key and salt of one lane from the transport key of its direction (HKDF-Expand, RFC 5869). */
struct lode_noise_lane_key {
	uint8_t key[32];
	uint32_t salt;
};
int lode_noise_lane_key(
	const uint8_t transport_key[32], unsigned lane, struct lode_noise_lane_key *out);

/* ---- MACs: mac1 shows that the sender knows whom it talks to, mac2 that it owns its address ---- */

/* Keys of one receiver, from its static public key. */
struct lode_noise_mac_keys {
	uint8_t mac1[32], cookie[32];
};
int lode_noise_mac_keys(const uint8_t receiver_pub[32], struct lode_noise_mac_keys *out);
/* HMAC-SHA-256 cut to 16 bytes; also mac2 (keyed with the cookie) and the cookie itself. */
int lode_noise_mac(const uint8_t *key, size_t key_bytes, const void *data, size_t len,
	uint8_t mac[LODE_NOISE_MAC_BYTES]);
/* In constant time. */
bool lode_noise_equal(const void *a, const void *b, size_t len);

/* A cookie travels encrypted to who sent mac1: 16 bytes nonce, 16 cookie, 16 tag. */
#define LODE_NOISE_COOKIE_BYTES 48
int lode_noise_seal_cookie(const struct lode_noise_mac_keys *keys, const uint8_t nonce[16],
	const uint8_t mac1[16], const uint8_t cookie[16], uint8_t out[LODE_NOISE_COOKIE_BYTES]);
int lode_noise_open_cookie(const struct lode_noise_mac_keys *keys, const uint8_t mac1[16],
	const uint8_t in[LODE_NOISE_COOKIE_BYTES], uint8_t cookie[16]);

void lode_noise_clear(void *secret, size_t len); /* memset that is not optimised away */
