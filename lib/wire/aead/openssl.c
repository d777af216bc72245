/* SPDX-License-Identifier: BSD-3-Clause */
/* OpenSSL EVP: contexts are made and keyed once; a packet sets only the nonce. */
#include "backend.h"

static int openssl_start(struct lode_aead *a, struct lode_err *err)
{
	a->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	return a->cipher ? 0 : lode_err_set(err, -ENODEV, "aead openssl: it has no AES-256-GCM");
}

static void openssl_stop(struct lode_aead *a)
{
	EVP_CIPHER_free(a->cipher);
}

static int openssl_key_init(struct lode_aead_key *key, const uint8_t raw[LODE_AEAD_KEY_BYTES])
{
	key->evp.seal = EVP_CIPHER_CTX_new();
	key->evp.open = EVP_CIPHER_CTX_new();
	bool ok = key->evp.seal && key->evp.open &&
		  EVP_EncryptInit_ex2(key->evp.seal, key->aead->cipher, raw, NULL, NULL) == 1 &&
		  EVP_DecryptInit_ex2(key->evp.open, key->aead->cipher, raw, NULL, NULL) == 1;
	return ok ? 0 : -ENOMEM;
}

static void openssl_key_fini(struct lode_aead_key *key)
{
	EVP_CIPHER_CTX_free(key->evp.seal);
	EVP_CIPHER_CTX_free(key->evp.open);
}

/* Sealing cannot fail with a keyed context and in-memory data; if a provider fails all the same, the packet
 * must not leave readable: it is overwritten, and the other end drops it as not authentic. */
static void openssl_seal(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	EVP_CIPHER_CTX *ctx = key->evp.seal;
	for (unsigned i = 0; i < n; i++) {
		uint8_t iv[NONCE_ROOM], *text = ops[i].data + ops[i].aad_bytes;
		int len = 0, bytes = ops[i].text_bytes;
		nonce_bytes(key, ops[i].nonce, iv);
		bool ok = EVP_EncryptInit_ex2(ctx, NULL, NULL, iv, NULL) == 1 &&
			  EVP_EncryptUpdate(ctx, NULL, &len, ops[i].data, ops[i].aad_bytes) == 1 &&
			  EVP_EncryptUpdate(ctx, text, &len, text, bytes) == 1 &&
			  EVP_EncryptFinal_ex(ctx, text + bytes, &len) == 1 &&
			  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, LODE_AEAD_TAG_BYTES,
				  text + bytes) == 1;
		if (!ok)
			memset(text, 0, (size_t)bytes + LODE_AEAD_TAG_BYTES);
	}
}

static uint64_t openssl_open(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	EVP_CIPHER_CTX *ctx = key->evp.open;
	uint64_t authentic = 0;
	for (unsigned i = 0; i < n; i++) {
		uint8_t iv[NONCE_ROOM], *text = ops[i].data + ops[i].aad_bytes;
		int len = 0, bytes = ops[i].text_bytes;
		nonce_bytes(key, ops[i].nonce, iv);
		bool ok = EVP_DecryptInit_ex2(ctx, NULL, NULL, iv, NULL) == 1 &&
			  EVP_DecryptUpdate(ctx, NULL, &len, ops[i].data, ops[i].aad_bytes) == 1 &&
			  EVP_DecryptUpdate(ctx, text, &len, text, bytes) == 1 &&
			  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, LODE_AEAD_TAG_BYTES,
				  text + bytes) == 1 &&
			  EVP_DecryptFinal_ex(ctx, text + bytes, &len) == 1;
		authentic |= (uint64_t)ok << i;
	}
	return authentic;
}

const struct backend backend_openssl = {
	.name = "openssl",
	.start = openssl_start,
	.stop = openssl_stop,
	.key_init = openssl_key_init,
	.key_fini = openssl_key_fini,
	.seal = openssl_seal,
	.open = openssl_open,
};
