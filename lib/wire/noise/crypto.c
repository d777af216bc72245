/* SPDX-License-Identifier: BSD-3-Clause */
#include "crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

int sha256(const struct bytes *parts, unsigned n_parts, uint8_t out[HASH_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	for (unsigned i = 0; ok && i < n_parts; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok ? 0 : -ENOMEM;
}

/* RFC 2104 over sha256: libcrypto's streaming HMAC is deprecated or needs a fetch per call. */
int hmac_sha256(const void *key, size_t key_bytes, const struct bytes *parts, unsigned n_parts,
	uint8_t out[HASH_BYTES])
{
	uint8_t buf[512];
	size_t len = 0;
	for (unsigned i = 0; i < n_parts; i++)
		len += parts[i].len;
	if (n_parts == 1)
		return HMAC(EVP_sha256(), key, (int)key_bytes, parts[0].data, len, out, NULL)
			       ? 0
			       : -ENOMEM;
	if (len > sizeof(buf))
		return -EINVAL;
	len = 0;
	for (unsigned i = 0; i < n_parts; i++) {
		memcpy(buf + len, parts[i].data, parts[i].len);
		len += parts[i].len;
	}
	bool ok = HMAC(EVP_sha256(), key, (int)key_bytes, buf, len, out, NULL);
	OPENSSL_cleanse(buf, len);
	return ok ? 0 : -ENOMEM;
}

int lode_noise_public_key(const uint8_t priv[32], uint8_t pub[32])
{
	size_t len = 32;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, 32);
	bool ok = key && EVP_PKEY_get_raw_public_key(key, pub, &len) == 1;
	EVP_PKEY_free(key);
	return ok ? 0 : -EINVAL;
}

int lode_noise_make_pair(const uint8_t priv[32], struct lode_noise_pair *pair)
{
	memcpy(pair->priv, priv, sizeof(pair->priv));
	return lode_noise_public_key(priv, pair->pub);
}

/* Given both halves, libcrypto does not compute the public one again, which would double the cost. */
static EVP_PKEY *import_pair(const struct lode_noise_pair *pair)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PRIV_KEY, (void *)(uintptr_t)pair->priv, 32),
		OSSL_PARAM_construct_octet_string(
			OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)pair->pub, 32),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, NULL);
	if (ctx && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

int x25519(const struct lode_noise_pair *ours, const uint8_t theirs[32], uint8_t shared[32])
{
	size_t len = 32;
	EVP_PKEY *own = import_pair(ours);
	EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, theirs, 32);
	EVP_PKEY_CTX *ctx = own ? EVP_PKEY_CTX_new(own, NULL) : NULL;
	bool ok = ctx && other && EVP_PKEY_derive_init(ctx) == 1 &&
		  EVP_PKEY_derive_set_peer(ctx, other) == 1 &&
		  EVP_PKEY_derive(ctx, shared, &len) == 1;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(own);
	EVP_PKEY_free(other);
	return ok ? 0 : -EBADMSG;
}

static void gcm_nonce(uint64_t nonce, uint8_t iv[12])
{
	memset(iv, 0, 4);
	lode_store_be64(iv + 4, nonce);
}

int gcm_seal(
	const uint8_t key[32], uint64_t nonce, struct bytes aad, struct bytes text, uint8_t *out)
{
	uint8_t iv[12];
	int len = 0;
	gcm_nonce(nonce, iv);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
		  EVP_EncryptUpdate(ctx, NULL, &len, aad.data, (int)aad.len) == 1 &&
		  EVP_EncryptUpdate(ctx, out, &len, text.data, (int)text.len) == 1 &&
		  EVP_EncryptFinal_ex(ctx, out + text.len, &len) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + text.len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -ENOMEM;
}

int gcm_open(
	const uint8_t key[32], uint64_t nonce, struct bytes aad, struct bytes text, uint8_t *out)
{
	if (text.len < TAG_BYTES)
		return -EBADMSG;
	uint8_t iv[12], tag[TAG_BYTES];
	size_t text_bytes = text.len - TAG_BYTES;
	int len = 0;
	gcm_nonce(nonce, iv);
	memcpy(tag, (const uint8_t *)text.data + text_bytes, TAG_BYTES);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv) == 1 &&
		  EVP_DecryptUpdate(ctx, NULL, &len, aad.data, (int)aad.len) == 1 &&
		  EVP_DecryptUpdate(ctx, out, &len, text.data, (int)text_bytes) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
		  EVP_DecryptFinal_ex(ctx, out + text_bytes, &len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -EBADMSG;
}

bool lode_noise_equal(const void *a, const void *b, size_t len)
{
	return !CRYPTO_memcmp(a, b, len);
}

void lode_noise_clear(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}
