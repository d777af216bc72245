/* SPDX-License-Identifier: BSD-3-Clause */
/* What is keyed with HMAC-SHA-256: the lanes' keys, the two MACs of a handshake message, cookies. */
#include "crypto.h"

#define LANE_LABEL   "lodestone lane"
#define MAC1_LABEL   "lodestone mac1"
#define COOKIE_LABEL "lodestone cookie"

int lode_noise_lane_key(
	const uint8_t transport_key[32], unsigned lane, struct lode_noise_lane_key *out)
{
	uint8_t first[HASH_BYTES], second[HASH_BYTES], number = (uint8_t)lane, count = 1;
	struct bytes info = {LANE_LABEL, sizeof(LANE_LABEL) - 1};
	struct bytes parts[] = {{first, 0}, info, {&number, 1}, {&count, 1}};
	int rc = hmac_sha256(transport_key, 32, parts, 4, first);
	parts[0].len = HASH_BYTES;
	count = 2;
	rc = rc ? rc : hmac_sha256(transport_key, 32, parts, 4, second);
	memcpy(out->key, first, sizeof(out->key));
	out->salt = lode_load_be32(second);
	lode_noise_clear(first, sizeof(first));
	lode_noise_clear(second, sizeof(second));
	return rc;
}

int lode_noise_mac_keys(const uint8_t receiver_pub[32], struct lode_noise_mac_keys *out)
{
	struct bytes mac1[] = {{MAC1_LABEL, sizeof(MAC1_LABEL) - 1}, {receiver_pub, 32}};
	struct bytes cookie[] = {{COOKIE_LABEL, sizeof(COOKIE_LABEL) - 1}, {receiver_pub, 32}};
	int rc = sha256(mac1, 2, out->mac1);
	return rc ? rc : sha256(cookie, 2, out->cookie);
}

int lode_noise_mac(const uint8_t *key, size_t key_bytes, const void *data, size_t len,
	uint8_t mac[LODE_NOISE_MAC_BYTES])
{
	uint8_t full[HASH_BYTES];
	struct bytes in = {data, len};
	int rc = hmac_sha256(key, key_bytes, &in, 1, full);
	if (!rc)
		memcpy(mac, full, LODE_NOISE_MAC_BYTES);
	return rc;
}

/* The receiver's cookie key is as long-lived as its static key, so each reply has a key of its own from a
 * random 128-bit nonce: 96 bits alone would be too few to draw at random for years. */
static int reply_key(
	const struct lode_noise_mac_keys *keys, const uint8_t nonce[16], uint8_t key[HASH_BYTES])
{
	struct bytes in = {nonce, 16};
	return hmac_sha256(keys->cookie, sizeof(keys->cookie), &in, 1, key);
}

int lode_noise_seal_cookie(const struct lode_noise_mac_keys *keys, const uint8_t nonce[16],
	const uint8_t mac1[16], const uint8_t cookie[16], uint8_t out[LODE_NOISE_COOKIE_BYTES])
{
	uint8_t key[HASH_BYTES];
	int rc = reply_key(keys, nonce, key);
	memcpy(out, nonce, 16);
	return rc ? rc
		  : gcm_seal(
			    key, 0, (struct bytes){mac1, 16}, (struct bytes){cookie, 16}, out + 16);
}

int lode_noise_open_cookie(const struct lode_noise_mac_keys *keys, const uint8_t mac1[16],
	const uint8_t in[LODE_NOISE_COOKIE_BYTES], uint8_t cookie[16])
{
	uint8_t key[HASH_BYTES];
	int rc = reply_key(keys, in, key);
	return rc ? rc
		  : gcm_open(key, 0, (struct bytes){mac1, 16}, (struct bytes){in + 16, 32}, cookie);
}
