/* SPDX-License-Identifier: BSD-3-Clause */
/* libipsec-mb's GCM functions called directly: they work on one buffer each, so its job queue would only add
 * latency. The manager is used for its table of functions for this CPU. */
#include "backend.h"

static int ipsec_mb_start(struct lode_aead *a, struct lode_err *err)
{
	if (!__builtin_cpu_supports("aes") || !__builtin_cpu_supports("pclmul"))
		return lode_err_set(err, -ENODEV,
			"aead ipsec-mb: this CPU has no AES and carry-less multiply instructions; "
			"use openssl");
	a->mb = alloc_mb_mgr(0);
	if (!a->mb)
		return lode_err_set(err, -ENOMEM, "aead ipsec-mb: no memory");
	init_mb_mgr_auto(a->mb, NULL);
	int code = imb_get_errno(a->mb);
	if (code) {
		free_mb_mgr(a->mb);
		return lode_err_set(err, -ENODEV, "aead ipsec-mb: %s", imb_get_strerror(code));
	}
	return 0;
}

static void ipsec_mb_stop(struct lode_aead *a)
{
	free_mb_mgr(a->mb);
}

static int ipsec_mb_key_init(struct lode_aead_key *key, const uint8_t raw[LODE_AEAD_KEY_BYTES])
{
	IMB_AES256_GCM_PRE(key->aead->mb, raw, &key->gcm);
	return 0;
}

static void ipsec_mb_seal(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	const IMB_MGR *mb = key->aead->mb;
	struct gcm_context_data ctx;
	for (unsigned i = 0; i < n; i++) {
		uint8_t iv[NONCE_ROOM], *text = ops[i].data + ops[i].aad_bytes;
		nonce_bytes(key, ops[i].nonce, iv);
		IMB_AES256_GCM_ENC(mb, &key->gcm, &ctx, text, text, ops[i].text_bytes, iv,
			ops[i].data, ops[i].aad_bytes, text + ops[i].text_bytes,
			LODE_AEAD_TAG_BYTES);
	}
}

static bool tags_equal(const uint8_t *a, const uint8_t *b)
{
	return !((lode_load_le64(a) ^ lode_load_le64(b)) |
		 (lode_load_le64(a + 8) ^ lode_load_le64(b + 8)));
}

static uint64_t ipsec_mb_open(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	const IMB_MGR *mb = key->aead->mb;
	struct gcm_context_data ctx;
	uint64_t authentic = 0;
	for (unsigned i = 0; i < n; i++) {
		uint8_t iv[NONCE_ROOM], tag[LODE_AEAD_TAG_BYTES],
			*text = ops[i].data + ops[i].aad_bytes;
		nonce_bytes(key, ops[i].nonce, iv);
		IMB_AES256_GCM_DEC(mb, &key->gcm, &ctx, text, text, ops[i].text_bytes, iv,
			ops[i].data, ops[i].aad_bytes, tag, LODE_AEAD_TAG_BYTES);
		if (tags_equal(tag, text + ops[i].text_bytes))
			authentic |= 1ull << i;
	}
	return authentic;
}

const struct backend backend_ipsec_mb = {
	.name = "ipsec-mb",
	.start = ipsec_mb_start,
	.stop = ipsec_mb_stop,
	.key_init = ipsec_mb_key_init,
	.seal = ipsec_mb_seal,
	.open = ipsec_mb_open,
};
