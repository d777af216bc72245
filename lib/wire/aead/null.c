/* SPDX-License-Identifier: BSD-3-Clause */
/* No secrecy: a keyed checksum stands where the tag would, so that simulations see corruption and wrong keys
 * as the real back ends do. */
#include "backend.h"

static int null_start(struct lode_aead *a, struct lode_err *err)
{
	return 0;
}

static void null_stop(struct lode_aead *a)
{
}

static int null_key_init(struct lode_aead_key *key, const uint8_t raw[LODE_AEAD_KEY_BYTES])
{
	memcpy(key->null_key, raw, sizeof(key->null_key));
	return 0;
}

static uint64_t step(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 32;
}

/* In two chains for speed. */
static void checksum(
	const struct lode_aead_key *key, const struct lode_aead_op *op, uint8_t tag[16])
{
	size_t len = (size_t)op->aad_bytes + op->text_bytes;
	const uint8_t *p = op->data;
	uint64_t h = key->null_key[0] ^ lode_mix64(op->nonce ^ (uint64_t)key->salt << 32) ^ len;
	uint64_t other = ~h, last[2] = {0};
	for (; len >= 16; p += 16, len -= 16) {
		h = step(h, lode_load_le64(p));
		other = step(other, lode_load_le64(p + 8));
	}
	memcpy(last, p, len);
	h = step(step(h, last[0]), step(other, last[1]));
	lode_store_le64(tag, lode_mix64(h ^ key->null_key[1]));
	lode_store_le64(tag + 8, lode_mix64(h ^ key->null_key[2]));
}

static void null_seal(const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		checksum(key, &ops[i], ops[i].data + ops[i].aad_bytes + ops[i].text_bytes);
}

static uint64_t null_open(
	const struct lode_aead_key *key, const struct lode_aead_op *ops, unsigned n)
{
	uint64_t authentic = 0;
	for (unsigned i = 0; i < n; i++) {
		uint8_t tag[LODE_AEAD_TAG_BYTES];
		checksum(key, &ops[i], tag);
		if (!memcmp(tag, ops[i].data + ops[i].aad_bytes + ops[i].text_bytes, sizeof(tag)))
			authentic |= 1ull << i;
	}
	return authentic;
}

const struct backend backend_null = {
	.name = "null",
	.start = null_start,
	.stop = null_stop,
	.key_init = null_key_init,
	.seal = null_seal,
	.open = null_open,
};
