/* SPDX-License-Identifier: BSD-3-Clause */
/* The Noise state machine for the one pattern we speak. Names of steps are the specification's tokens:
 *
 *	IK:	<- s    ...    -> e, es, s, ss    <- e, ee, se        (IKpsk2: <- e, ee, se, psk)
 *
 * Steps set n->failed instead of returning it, so that a message reads as its row of tokens. */
#include "crypto.h"

static void mix_hash(struct lode_noise *n, const void *data, size_t len)
{
	struct bytes parts[] = {{n->hash, HASH_BYTES}, {data, len}};
	n->failed |= !!sha256(parts, 2, n->hash);
}

/* HKDF of the specification: n_out outputs of 32 bytes from the chaining key and new input. */
static void hkdf(struct lode_noise *n, const uint8_t *input, size_t len, uint8_t out[][HASH_BYTES],
	unsigned n_out)
{
	uint8_t secret[HASH_BYTES];
	struct bytes in = {input, len};
	n->failed |= !!hmac_sha256(n->chain, HASH_BYTES, &in, 1, secret);
	for (unsigned i = 0; i < n_out; i++) {
		uint8_t count = (uint8_t)(i + 1);
		struct bytes parts[] = {{i ? out[i - 1] : NULL, i ? HASH_BYTES : 0}, {&count, 1}};
		n->failed |= !!hmac_sha256(secret, HASH_BYTES, parts + !i, 1 + !!i, out[i]);
	}
	lode_noise_clear(secret, sizeof(secret));
}

static void mix_key(struct lode_noise *n, const uint8_t input[32])
{
	uint8_t out[2][HASH_BYTES];
	hkdf(n, input, 32, out, 2);
	memcpy(n->chain, out[0], HASH_BYTES);
	memcpy(n->key, out[1], HASH_BYTES);
	n->nonce = 0;
	lode_noise_clear(out, sizeof(out));
}

static void mix_dh(
	struct lode_noise *n, const struct lode_noise_pair *ours, const uint8_t theirs[32])
{
	uint8_t shared[32] = {0};
	n->failed |= !!x25519(ours, theirs, shared);
	mix_key(n, shared);
	lode_noise_clear(shared, sizeof(shared));
}

static void mix_psk(struct lode_noise *n)
{
	if (n->pattern != LODE_NOISE_IKPSK2)
		return;
	uint8_t out[3][HASH_BYTES];
	hkdf(n, n->psk, 32, out, 3);
	memcpy(n->chain, out[0], HASH_BYTES);
	mix_hash(n, out[1], HASH_BYTES);
	memcpy(n->key, out[2], HASH_BYTES);
	n->nonce = 0;
	lode_noise_clear(out, sizeof(out));
}

/* Token e, once the key is known: with a psk, ephemeral keys also enter the chain (specification 9.2). */
static void mix_ephemeral(struct lode_noise *n, const uint8_t pub[32])
{
	mix_hash(n, pub, 32);
	if (n->pattern == LODE_NOISE_IKPSK2)
		mix_key(n, pub);
}

static void encrypt_and_hash(struct lode_noise *n, const void *text, size_t len, uint8_t *out)
{
	n->failed |= !!gcm_seal(n->key, n->nonce++, (struct bytes){n->hash, HASH_BYTES},
		(struct bytes){text, len}, out);
	mix_hash(n, out, len + TAG_BYTES);
}

static void decrypt_and_hash(struct lode_noise *n, const uint8_t *text, size_t len, uint8_t *out)
{
	n->failed |= !!gcm_open(n->key, n->nonce++, (struct bytes){n->hash, HASH_BYTES},
		(struct bytes){text, len}, out);
	mix_hash(n, text, len);
}

static void start(struct lode_noise *n, enum lode_noise_pattern pattern,
	const struct lode_noise_pair *s, const void *prologue, size_t prologue_bytes)
{
	static const char names[][HASH_BYTES + 1] = {
		[LODE_NOISE_IK] = "Noise_IK_25519_AESGCM_SHA256",
		[LODE_NOISE_IKPSK2] = "Noise_IKpsk2_25519_AESGCM_SHA256",
	};
	memset(n, 0, sizeof(*n));
	n->pattern = pattern;
	n->s = *s;
	memcpy(n->hash, names[pattern], HASH_BYTES);
	memcpy(n->chain, names[pattern], HASH_BYTES);
	mix_hash(n, prologue, prologue_bytes);
}

void lode_noise_start_initiator(struct lode_noise *n, enum lode_noise_pattern pattern,
	const struct lode_noise_pair *s, const uint8_t rs[32], const uint8_t *psk,
	const void *prologue, size_t prologue_bytes)
{
	start(n, pattern, s, prologue, prologue_bytes);
	if (psk)
		memcpy(n->psk, psk, sizeof(n->psk));
	memcpy(n->rs, rs, 32);
	mix_hash(n, rs, 32);
}

void lode_noise_start_responder(struct lode_noise *n, enum lode_noise_pattern pattern,
	const struct lode_noise_pair *s, const void *prologue, size_t prologue_bytes)
{
	start(n, pattern, s, prologue, prologue_bytes);
	mix_hash(n, n->s.pub, 32);
}

void lode_noise_set_psk(struct lode_noise *n, const uint8_t psk[32])
{
	memcpy(n->psk, psk, sizeof(n->psk));
}

void lode_noise_wipe(struct lode_noise *n)
{
	lode_noise_clear(n, sizeof(*n));
}

static void set_ephemeral(struct lode_noise *n, const uint8_t e_priv[32], uint8_t *out)
{
	n->failed |= !!lode_noise_make_pair(e_priv, &n->e);
	memcpy(out, n->e.pub, 32);
	mix_ephemeral(n, n->e.pub);
}

int lode_noise_write_init(struct lode_noise *n, const uint8_t e_priv[32], const void *payload,
	size_t len, uint8_t *out)
{
	set_ephemeral(n, e_priv, out);
	mix_dh(n, &n->e, n->rs);
	encrypt_and_hash(n, n->s.pub, 32, out + 32);
	mix_dh(n, &n->s, n->rs);
	encrypt_and_hash(n, payload, len, out + 32 + 48);
	return n->failed ? -ENOMEM : (int)(LODE_NOISE_INIT_BYTES + len);
}

int lode_noise_read_init(struct lode_noise *n, const uint8_t *msg, size_t len, uint8_t *payload)
{
	if (len < LODE_NOISE_INIT_BYTES)
		return -EBADMSG;
	memcpy(n->re, msg, 32);
	mix_ephemeral(n, n->re);
	mix_dh(n, &n->s, n->re);
	decrypt_and_hash(n, msg + 32, 48, n->rs);
	if (n->failed)
		return -EBADMSG; /* two multiplications saved: floods end here */
	mix_dh(n, &n->s, n->rs);
	decrypt_and_hash(n, msg + 32 + 48, len - 32 - 48, payload);
	return n->failed ? -EBADMSG : (int)(len - LODE_NOISE_INIT_BYTES);
}

int lode_noise_write_response(struct lode_noise *n, const uint8_t e_priv[32], const void *payload,
	size_t len, uint8_t *out)
{
	set_ephemeral(n, e_priv, out);
	mix_dh(n, &n->e, n->re);
	mix_dh(n, &n->e, n->rs);
	mix_psk(n);
	encrypt_and_hash(n, payload, len, out + 32);
	return n->failed ? -ENOMEM : (int)(LODE_NOISE_RESPONSE_BYTES + len);
}

int lode_noise_read_response(struct lode_noise *n, const uint8_t *msg, size_t len, uint8_t *payload)
{
	if (len < LODE_NOISE_RESPONSE_BYTES)
		return -EBADMSG;
	/* A forged response must not spoil the handshake: work on a copy until it has proved itself. */
	struct lode_noise t = *n;
	memcpy(t.re, msg, 32);
	mix_ephemeral(&t, t.re);
	mix_dh(&t, &t.e, t.re);
	mix_dh(&t, &t.s, t.re);
	mix_psk(&t);
	decrypt_and_hash(&t, msg + 32, len - 32, payload);
	bool failed = t.failed;
	if (!failed)
		*n = t;
	lode_noise_wipe(&t);
	return failed ? -EBADMSG : (int)(len - LODE_NOISE_RESPONSE_BYTES);
}

int lode_noise_split(const struct lode_noise *n, uint8_t initiator_to_responder[32],
	uint8_t responder_to_initiator[32])
{
	uint8_t out[2][HASH_BYTES];
	struct lode_noise t = *n;
	hkdf(&t, NULL, 0, out, 2);
	memcpy(initiator_to_responder, out[0], 32);
	memcpy(responder_to_initiator, out[1], 32);
	bool failed = t.failed;
	lode_noise_clear(out, sizeof(out));
	lode_noise_wipe(&t);
	return failed ? -ENOMEM : 0;
}
