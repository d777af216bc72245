/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_aead.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const real[] = {"ipsec-mb", "openssl"};
static const char *const all[] = {"ipsec-mb", "openssl", "null"};

/* A machine without AES instructions has no ipsec-mb: the test says so and goes on. */
static struct lode_aead *backend(const char *name)
{
	struct lode_err err;
	struct lode_aead *a = lode_aead_new(name, &err);
	if (!a)
		cr_log_warn("skipped: %s", err.msg);
	return a;
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;
	for (size_t i = 0; i < n; i++) {
		unsigned byte;
		cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		out[i] = (uint8_t)byte;
	}
	return n;
}

/* AES-256 test cases 13 to 16 of "The Galois/Counter Mode of Operation (GCM)", McGrew and Viega. */
static const struct {
	const char *key, *iv, *aad, *text, *sealed, *tag;
} vectors[] = {
	{"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "", "00000000000000000000000000000000",
		"cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		"cafebabefacedbaddecaf888", "",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		"b094dac5d93471bdec1a502270e3cc6c"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		"cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void check_vector(const struct lode_aead *a, size_t v)
{
	uint8_t key[32], iv[12], data[128], want[128];
	unhex(vectors[v].key, key);
	unhex(vectors[v].iv, iv);
	size_t aad_bytes = unhex(vectors[v].aad, data);
	size_t text_bytes = unhex(vectors[v].text, data + aad_bytes);
	memcpy(want, data, aad_bytes);
	unhex(vectors[v].sealed, want + aad_bytes);
	unhex(vectors[v].tag, want + aad_bytes + text_bytes);
	struct lode_aead_key *k = lode_aead_key_new(a, key, lode_load_be32(iv));
	struct lode_aead_op op = {.data = data,
		.nonce = lode_load_be64(iv + 4),
		.aad_bytes = (uint16_t)aad_bytes,
		.text_bytes = (uint16_t)text_bytes};
	lode_aead_seal_burst(k, &op, 1);
	cr_assert_arr_eq(
		data, want, aad_bytes + text_bytes + 16, "%s, vector %zu", lode_aead_name(a), v);
	cr_assert_eq(lode_aead_open_burst(k, &op, 1), 1);
	unhex(vectors[v].text, want + aad_bytes);
	cr_assert_arr_eq(data, want, aad_bytes + text_bytes);
	lode_aead_key_free(k);
}

Test(aead, published_vectors)
{
	for (size_t b = 0; b < LODE_ARRAY_LEN(real); b++) {
		struct lode_aead *a = backend(real[b]);
		for (size_t v = 0; a && v < LODE_ARRAY_LEN(vectors); v++)
			check_vector(a, v);
		lode_aead_free(a);
	}
}

#define AAD	 8
#define TEXT_MAX 1600
#define SLOT	 (AAD + TEXT_MAX + LODE_AEAD_TAG_BYTES)

static uint8_t plain[LODE_AEAD_BURST_MAX][SLOT], bufs[3][LODE_AEAD_BURST_MAX][SLOT];

/* A burst of random lengths, from no text at all to more than an Ethernet frame. */
static void make_burst(struct lode_rng *rng, struct lode_aead_op ops[][LODE_AEAD_BURST_MAX])
{
	for (unsigned i = 0; i < LODE_AEAD_BURST_MAX; i++) {
		for (unsigned j = 0; j < SLOT; j++)
			plain[i][j] = (uint8_t)lode_rng_u64(rng);
		uint64_t nonce = lode_rng_u64(rng);
		uint16_t len = (uint16_t)(i ? lode_rng_below(rng, TEXT_MAX + 1) : 0);
		for (unsigned b = 0; b < 3; b++)
			ops[b][i] = (struct lode_aead_op){.data = bufs[b][i],
				.nonce = nonce,
				.aad_bytes = AAD,
				.text_bytes = len};
	}
	for (unsigned b = 0; b < 3; b++)
		memcpy(bufs[b], plain, sizeof(plain));
}

Test(aead, back_ends_give_the_same_bytes)
{
	static struct lode_aead_op ops[3][LODE_AEAD_BURST_MAX];
	struct lode_aead *a = backend(real[0]), *b = backend(real[1]);
	struct lode_rng rng;
	uint8_t key[32];
	lode_rng_seed(&rng, 11);
	for (int round = 0; a && b && round < 20; round++) {
		for (int i = 0; i < 32; i++)
			key[i] = (uint8_t)lode_rng_u64(&rng);
		uint32_t salt = (uint32_t)lode_rng_u64(&rng);
		struct lode_aead_key *ka = lode_aead_key_new(a, key, salt);
		struct lode_aead_key *kb = lode_aead_key_new(b, key, salt);
		make_burst(&rng, ops);
		lode_aead_seal_burst(ka, ops[0], LODE_AEAD_BURST_MAX);
		lode_aead_seal_burst(kb, ops[1], LODE_AEAD_BURST_MAX);
		cr_assert_arr_eq(bufs[0], bufs[1], sizeof(bufs[0]));
		cr_assert_eq(lode_aead_open_burst(ka, ops[1], LODE_AEAD_BURST_MAX), UINT64_MAX);
		cr_assert_eq(lode_aead_open_burst(kb, ops[0], LODE_AEAD_BURST_MAX), UINT64_MAX);
		for (unsigned i = 0; i < LODE_AEAD_BURST_MAX; i++) {
			cr_assert_arr_eq(bufs[0][i], plain[i], AAD + ops[0][i].text_bytes);
			cr_assert_arr_eq(bufs[1][i], plain[i], AAD + ops[1][i].text_bytes);
		}
		lode_aead_key_free(ka);
		lode_aead_key_free(kb);
	}
	lode_aead_free(a);
	lode_aead_free(b);
}

/* Every odd packet is damaged somewhere: its bit stays 0, the others are opened. */
static void damage(struct lode_rng *rng, const struct lode_aead_op *op)
{
	size_t len = (size_t)op->aad_bytes + op->text_bytes + LODE_AEAD_TAG_BYTES;
	op->data[lode_rng_below(rng, len)] ^= (uint8_t)(1u << lode_rng_below(rng, 8));
}

Test(aead, damage_anywhere_is_seen_by_all)
{
	static struct lode_aead_op ops[3][LODE_AEAD_BURST_MAX];
	struct lode_rng rng;
	lode_rng_seed(&rng, 12);
	static const uint8_t key[32] = {1, 2, 3};
	for (unsigned b = 0; b < LODE_ARRAY_LEN(all); b++) {
		struct lode_aead *a = backend(all[b]);
		if (!a)
			continue;
		struct lode_aead_key *k = lode_aead_key_new(a, key, 9);
		for (int round = 0; round < 20; round++) {
			make_burst(&rng, ops);
			lode_aead_seal_burst(k, ops[b], LODE_AEAD_BURST_MAX);
			for (unsigned i = 1; i < LODE_AEAD_BURST_MAX; i += 2)
				damage(&rng, &ops[b][i]);
			cr_assert_eq(lode_aead_open_burst(k, ops[b], LODE_AEAD_BURST_MAX),
				0x5555555555555555ull, "%s", all[b]);
		}
		lode_aead_key_free(k);
		lode_aead_free(a);
	}
}

Test(aead, another_key_salt_or_nonce_opens_nothing)
{
	for (unsigned b = 0; b < LODE_ARRAY_LEN(all); b++) {
		struct lode_aead *a = backend(all[b]);
		if (!a)
			continue;
		uint8_t key[32] = {0}, data[64] = {0};
		struct lode_aead_key *right = lode_aead_key_new(a, key, 1);
		struct lode_aead_key *salt = lode_aead_key_new(a, key, 2);
		key[0] = 1;
		struct lode_aead_key *other = lode_aead_key_new(a, key, 1);
		struct lode_aead_op op = {
			.data = data, .nonce = 1, .aad_bytes = 8, .text_bytes = 20};
		struct lode_aead_op later = op;
		later.nonce = 2;
		lode_aead_seal_burst(right, &op, 1);
		uint8_t sealed[64];
		memcpy(sealed, data, sizeof(data));
		cr_assert_eq(lode_aead_open_burst(other, &op, 1), 0);
		memcpy(data, sealed, sizeof(data));
		cr_assert_eq(lode_aead_open_burst(salt, &op, 1), 0);
		memcpy(data, sealed, sizeof(data));
		cr_assert_eq(lode_aead_open_burst(right, &later, 1), 0);
		memcpy(data, sealed, sizeof(data));
		cr_assert_eq(lode_aead_open_burst(right, &op, 1), 1);
		lode_aead_key_free(right);
		lode_aead_key_free(salt);
		lode_aead_key_free(other);
		lode_aead_free(a);
	}
}

Test(aead, unknown_names_are_refused_with_what_is_allowed)
{
	struct lode_err err;
	cr_assert_null(lode_aead_new("rot13", &err));
	cr_assert_eq(err.code, -EINVAL);
	cr_assert_str_eq(err.msg, "aead: auto, ipsec-mb, openssl or null allowed, found \"rot13\"");
	struct lode_aead *a = lode_aead_new("auto", &err);
	cr_assert(a);
	lode_aead_free(a);
}

/* Packets that end where the memory ends (assembly is invisible to sanitizers). */
Test(aead, nothing_is_touched_behind_the_tag)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *memory =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
	cr_assert_eq(mprotect(memory + page, page, PROT_NONE), 0);
	static const uint8_t key[32] = {5};
	for (unsigned b = 0; b < LODE_ARRAY_LEN(all); b++) {
		struct lode_aead *a = backend(all[b]);
		struct lode_aead_key *k = a ? lode_aead_key_new(a, key, 1) : NULL;
		for (uint16_t len = 0; k && len <= 600; len++) {
			struct lode_aead_op op = {
				.nonce = len, .aad_bytes = AAD, .text_bytes = len};
			op.data = memory + page - AAD - len - LODE_AEAD_TAG_BYTES;
			lode_aead_seal_burst(k, &op, 1);
			cr_assert_eq(
				lode_aead_open_burst(k, &op, 1), 1, "%s, %u bytes", all[b], len);
		}
		lode_aead_key_free(k);
		lode_aead_free(a);
	}
	munmap(memory, 2 * page);
}
