/* SPDX-License-Identifier: BSD-3-Clause */
/* A wrapped key: the reader's key id 8, ephemeral public key 32, content key sealed 32 + 16. The wrapping key is
 * HKDF-SHA256 over the X25519 secret, salted with both public keys, labelled and bound to the file's id; it
 * seals once, so that its nonce is zero. */
#include "seal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>

#define LABEL "lodestone seal 1"
enum { KEY = LODE_SEAL_KEY_BYTES, ID_AT = 0, EPHEMERAL_AT = 8, SEALED_AT = 40 };

static const uint8_t no_nonce[12];

int fresh(uint8_t *bytes, size_t len, struct lode_err *err)
{
	return RAND_bytes(bytes, (int)len) == 1
		       ? 0
		       : lode_err_set(err, -EIO, "no random numbers from OpenSSL");
}

int lode_seal_public(const uint8_t private_key[KEY], uint8_t public_key[KEY])
{
	size_t len = KEY;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, private_key, KEY);
	bool ok = key && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;
	EVP_PKEY_free(key);
	return ok ? 0 : -EINVAL;
}

static void key_id(const uint8_t public_key[KEY], uint8_t id[8])
{
	uint8_t digest[32] = {0};
	EVP_Digest(public_key, KEY, digest, NULL, EVP_sha256(), NULL);
	memcpy(id, digest, 8);
}

void lode_seal_key_name(const uint8_t public_key[KEY], char name[LODE_SEAL_KEY_NAME_LEN])
{
	uint8_t id[8];
	key_id(public_key, id);
	lode_hex(id, 8, name);
}

void lode_seal_wrap_name(
	const uint8_t wrap[LODE_SEAL_WRAP_BYTES], char name[LODE_SEAL_KEY_NAME_LEN])
{
	lode_hex(wrap + ID_AT, 8, name);
}

/* libcrypto refuses points that give an all-zero secret (RFC 7748 6.1). */
static int x25519(const uint8_t ours[KEY], const uint8_t theirs[KEY], uint8_t secret[KEY])
{
	size_t len = KEY;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, ours, KEY);
	EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, theirs, KEY);
	EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	bool ok = ctx && peer && EVP_PKEY_derive_init(ctx) == 1 &&
		  EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
		  EVP_PKEY_derive(ctx, secret, &len) == 1;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(key);
	return ok ? 0 : -EINVAL;
}

static int hkdf(const uint8_t secret[KEY], const uint8_t salt[2 * KEY],
	const uint8_t id[LODE_SEAL_ID_BYTES], uint8_t out[KEY])
{
	uint8_t info[sizeof(LABEL) - 1 + LODE_SEAL_ID_BYTES];
	memcpy(info, LABEL, sizeof(LABEL) - 1);
	memcpy(info + sizeof(LABEL) - 1, id, LODE_SEAL_ID_BYTES);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, KEY),
		OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, 2 * KEY),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	bool ok = ctx && EVP_KDF_derive(ctx, out, KEY, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? 0 : -ENOMEM;
}

/* The wrapping key that both ends reach: ours is a private key, theirs a public one. */
static int wrapping_key(const uint8_t id[LODE_SEAL_ID_BYTES], const uint8_t ours[KEY],
	const uint8_t theirs[KEY], const uint8_t salt[2 * KEY], uint8_t out[KEY])
{
	uint8_t secret[KEY];
	int rc = x25519(ours, theirs, secret);
	if (!rc)
		rc = hkdf(secret, salt, id, out);
	OPENSSL_cleanse(secret, sizeof(secret));
	return rc;
}

int lode_seal_wrap(const uint8_t id[LODE_SEAL_ID_BYTES], const uint8_t key[KEY],
	const uint8_t reader_public[KEY], const uint8_t ephemeral[KEY],
	uint8_t wrap[LODE_SEAL_WRAP_BYTES], struct lode_err *err)
{
	uint8_t kek[KEY], salt[2 * KEY];
	int rc = lode_seal_public(ephemeral, salt);
	memcpy(salt + KEY, reader_public, KEY);
	if (!rc)
		rc = wrapping_key(id, ephemeral, reader_public, salt, kek);
	key_id(reader_public, wrap + ID_AT);
	memcpy(wrap + EPHEMERAL_AT, salt, KEY);
	const struct gcm g = {kek, no_nonce, id, LODE_SEAL_ID_BYTES};
	if (!rc)
		rc = gcm_seal(&g, key, KEY, wrap + SEALED_AT);
	OPENSSL_cleanse(kek, sizeof(kek));
	return rc ? lode_err_set(err, rc, "this is no X25519 public key") : 0;
}

int lode_seal_unwrap(const uint8_t id[LODE_SEAL_ID_BYTES], const uint8_t wrap[LODE_SEAL_WRAP_BYTES],
	const uint8_t private_key[KEY], uint8_t key[KEY], struct lode_err *err)
{
	uint8_t kek[KEY], salt[2 * KEY], ours[8];
	int rc = lode_seal_public(private_key, salt + KEY);
	key_id(salt + KEY, ours);
	if (rc || memcmp(ours, wrap + ID_AT, sizeof(ours)) != 0)
		return lode_err_set(err, -ENOKEY, "sealed for another key");
	memcpy(salt, wrap + EPHEMERAL_AT, KEY);
	rc = wrapping_key(id, private_key, wrap + EPHEMERAL_AT, salt, kek);
	const struct gcm g = {kek, no_nonce, id, LODE_SEAL_ID_BYTES};
	if (!rc)
		rc = gcm_open(&g, wrap + SEALED_AT, KEY, key);
	OPENSSL_cleanse(kek, sizeof(kek));
	return rc ? lode_err_set(err, -EBADMSG, "the wrapped key was changed or is of another file")
		  : 0;
}
