/* SPDX-License-Identifier: BSD-3-Clause */
/* Head, little-endian: magic 8, version 1, log2 of the chunk 1, number of wrapped keys 2, zero 4, plain bytes 8,
 * id 16. Then the wrapped keys, then the chunks, each followed by its tag. */
#include "seal.h"

#include <openssl/evp.h>

static const uint8_t magic[8] = {'L', 'O', 'D', 'E', 'S', 'E', 'A', 'L'};
enum { VERSION = 1, PLAIN_LOG2_MAX = 46 };

bool lode_seal_is(const uint8_t *bytes, size_t len)
{
	return len >= sizeof(magic) && !memcmp(bytes, magic, sizeof(magic));
}

int lode_seal_complete(struct lode_seal_info *info, struct lode_err *err)
{
	uint32_t chunk = info->chunk_bytes;
	if (chunk < LODE_SEAL_CHUNK_MIN || chunk > LODE_SEAL_CHUNK_MAX || (chunk & (chunk - 1)))
		return lode_err_set(err, -EINVAL,
			"sealed chunks have %u to %u bytes, a power of two; found %u",
			LODE_SEAL_CHUNK_MIN, LODE_SEAL_CHUNK_MAX, chunk);
	if (info->n_wraps > LODE_SEAL_WRAPS_MAX || info->plain_bytes >> PLAIN_LOG2_MAX)
		return lode_err_set(err, -EINVAL,
			"a sealed file has up to %d readers and 2^%d bytes; found %u and %llu",
			LODE_SEAL_WRAPS_MAX, PLAIN_LOG2_MAX, info->n_wraps,
			(unsigned long long)info->plain_bytes);
	info->n_chunks = LODE_MAX((info->plain_bytes + chunk - 1) / chunk, 1ull);
	info->body_at = LODE_SEAL_HEAD_BYTES + (uint64_t)info->n_wraps * LODE_SEAL_WRAP_BYTES;
	info->sealed_bytes =
		info->body_at + info->plain_bytes + info->n_chunks * LODE_SEAL_TAG_BYTES;
	return 0;
}

int lode_seal_parse(
	const uint8_t *bytes, size_t len, struct lode_seal_info *info, struct lode_err *err)
{
	if (len < LODE_SEAL_HEAD_BYTES || !lode_seal_is(bytes, len))
		return lode_err_set(err, -EBADMSG, "this is no sealed file");
	if (bytes[8] != VERSION || lode_load_le32(bytes + 12))
		return lode_err_set(err, -ENOTSUP,
			"a sealed file of version %u, this program knows %d", bytes[8], VERSION);
	*info = (struct lode_seal_info){
		.chunk_bytes = bytes[9] < 32 ? 1u << bytes[9] : 0,
		.n_wraps = lode_load_le16(bytes + 10),
		.plain_bytes = lode_load_le64(bytes + 16),
	};
	memcpy(info->id, bytes + 24, sizeof(info->id));
	return lode_seal_complete(info, err);
}

void lode_seal_write_head(const struct lode_seal_info *info, uint8_t head[LODE_SEAL_HEAD_BYTES])
{
	memset(head, 0, LODE_SEAL_HEAD_BYTES);
	memcpy(head, magic, sizeof(magic));
	head[8] = VERSION;
	head[9] = (uint8_t)__builtin_ctz(info->chunk_bytes);
	head[10] = (uint8_t)info->n_wraps;
	head[11] = (uint8_t)(info->n_wraps >> 8);
	lode_store_le64(head + 16, info->plain_bytes);
	memcpy(head + 24, info->id, sizeof(info->id));
}

size_t lode_seal_chunk_len(const struct lode_seal_info *info, uint64_t idx)
{
	return idx + 1 < info->n_chunks ? info->chunk_bytes
					: info->plain_bytes - idx * info->chunk_bytes;
}

/* The head without its number of readers, which may change; then which chunk, and whether it is the last. */
enum { AAD_BYTES = LODE_SEAL_HEAD_BYTES + 9, NONCE_BYTES = 12 };

static void bind_place(const struct lode_seal_info *info, uint64_t idx, uint8_t aad[AAD_BYTES],
	uint8_t nonce[NONCE_BYTES])
{
	struct lode_seal_info fixed = *info;
	fixed.n_wraps = 0;
	lode_seal_write_head(&fixed, aad);
	lode_store_le64(aad + LODE_SEAL_HEAD_BYTES, idx);
	aad[AAD_BYTES - 1] = idx + 1 == info->n_chunks;
	memset(nonce, 0, NONCE_BYTES);
	lode_store_le64(nonce, idx);
	nonce[NONCE_BYTES - 1] = aad[AAD_BYTES - 1];
}

int gcm_seal(const struct gcm *g, const uint8_t *plain, size_t len, uint8_t *sealed)
{
	int n;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, g->key, g->nonce) == 1 &&
		  EVP_EncryptUpdate(ctx, NULL, &n, g->aad, (int)g->aad_len) == 1 &&
		  EVP_EncryptUpdate(ctx, sealed, &n, plain, (int)len) == 1 &&
		  EVP_EncryptFinal_ex(ctx, sealed + len, &n) == 1 &&
		  EVP_CIPHER_CTX_ctrl(
			  ctx, EVP_CTRL_GCM_GET_TAG, LODE_SEAL_TAG_BYTES, sealed + len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	return ok ? 0 : -ENOMEM;
}

int gcm_open(const struct gcm *g, const uint8_t *sealed, size_t len, uint8_t *plain)
{
	int n;
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool ok = ctx && EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, g->key, g->nonce) == 1 &&
		  EVP_DecryptUpdate(ctx, NULL, &n, g->aad, (int)g->aad_len) == 1 &&
		  EVP_DecryptUpdate(ctx, plain, &n, sealed, (int)len) == 1 &&
		  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, LODE_SEAL_TAG_BYTES,
			  (void *)(sealed + len)) == 1 &&
		  EVP_DecryptFinal_ex(ctx, plain + len, &n) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!ok)
		memset(plain, 0, len); /* what was not authentic is not given out */
	return ok ? 0 : -EBADMSG;
}

int lode_seal_chunk(const struct lode_seal_info *info, const uint8_t key[LODE_SEAL_KEY_BYTES],
	uint64_t idx, const uint8_t *plain, uint8_t *sealed)
{
	uint8_t aad[AAD_BYTES], nonce[NONCE_BYTES];
	bind_place(info, idx, aad, nonce);
	return gcm_seal(&(struct gcm){key, nonce, aad, sizeof(aad)}, plain,
		lode_seal_chunk_len(info, idx), sealed);
}

int lode_seal_open_chunk(const struct lode_seal_info *info, const uint8_t key[LODE_SEAL_KEY_BYTES],
	uint64_t idx, const uint8_t *sealed, uint8_t *plain)
{
	uint8_t aad[AAD_BYTES], nonce[NONCE_BYTES];
	bind_place(info, idx, aad, nonce);
	return gcm_open(&(struct gcm){key, nonce, aad, sizeof(aad)}, sealed,
		lode_seal_chunk_len(info, idx), plain);
}
