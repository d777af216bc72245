/* SPDX-License-Identifier: BSD-3-Clause */
/* What the compression oracle sees: fast against plain counting, and both against what is known. */
#include "lode_oracle.h"
#include "oracle_table.h"

#include <criterion/criterion.h>
#include <math.h>

#define N_BYTES 300

/* Payloads of n_values different bytes; few values make long runs. */
static void draw(struct lode_rng *rng, unsigned n_values, uint8_t *p)
{
	uint8_t first = (uint8_t)lode_rng_below(rng, 256);
	for (unsigned i = 0; i < N_BYTES; i++)
		p[i] = (uint8_t)(first + lode_rng_below(rng, n_values));
}

Test(oracle, fast_and_plain_give_the_same_bits)
{
	static const unsigned n_values[] = {1, 2, 3, 20, 95, 256};
	struct lode_rng rng;
	lode_rng_seed(&rng, 1);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t p[N_BYTES];
		float fast[LODE_ORACLE_FEATURES], plain[LODE_ORACLE_FEATURES];
		uint32_t n = i % (N_BYTES + 1), packet = (uint32_t)lode_rng_below(&rng, 70000);
		draw(&rng, n_values[i % LODE_ARRAY_LEN(n_values)], p);
		lode_oracle_features(p, n, packet, fast);
		lode_oracle_features_reference(p, n, packet, plain);
		cr_assert_eq(memcmp(fast, plain, sizeof(fast)), 0, "input %u, %u bytes", i, n);
		for (unsigned f = 0; f < LODE_ORACLE_FEATURES; f++)
			cr_assert(fast[f] >= 0 && fast[f] <= 1, "feature %u is %g", f,
				(double)fast[f]);
	}
}

Test(oracle, entropy_is_shannons)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, 2);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t p[N_BYTES];
		float features[LODE_ORACLE_FEATURES];
		unsigned n = 1 + (unsigned)lode_rng_below(&rng, 256), count[256] = {0};
		double bits = 0;
		draw(&rng, 1 + (unsigned)lode_rng_below(&rng, 256), p);
		for (unsigned k = 0; k < n; k++)
			count[p[k]]++;
		for (unsigned v = 0; v < 256; v++)
			if (count[v])
				bits -= (double)count[v] / n * log2((double)count[v] / n);
		lode_oracle_features(p, n, n, features);
		cr_assert_float_eq(features[1] * 8, bits, 2e-5);
	}
}

Test(oracle, known_payloads)
{
	static const char text[] = "GET /index.html HTTP/1.1\r\nHost: example.org\r\n\r\n";
	uint8_t bytes[256] = {0};
	float f[LODE_ORACLE_FEATURES];
	lode_oracle_features((const uint8_t *)text, sizeof(text) - 1, 131070, f);
	cr_expect_eq(f[0], 1);
	cr_expect_float_eq(f[2], ('e' * 256.0 + 'd') / 65536, 1e-2); /* ends in "nde": x < e */
	cr_expect_eq(f[7], 1);
	lode_oracle_features(bytes, 256, 1000, f);
	cr_expect_eq(f[1], 0);
	cr_expect_eq(f[3], 1);
	cr_expect_eq(f[4], 0);
	cr_expect_eq(f[7], 0);
	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	lode_oracle_features(bytes, 256, 1000, f);
	cr_expect_eq(f[1], 1);
	cr_expect_eq(f[6], 1 / 256.0f);
	lode_oracle_features(bytes, 0, 40, f);
	cr_expect_eq(f[1], 0);
	cr_expect_eq(f[3], 0);
}

Test(oracle, tables_are_those_of_libm)
{
	for (unsigned n = 0; n < LODE_ORACLE_SAMPLE_BYTES; n++) {
		double now = n ? n * log2(n) : 0, next = (n + 1) * log2(n + 1);
		cr_expect_eq(entropy_step[n], llround(next * 0x1p20) - llround(now * 0x1p20));
		cr_expect_eq(per_byte[n + 1], 1.0f / (float)(n + 1));
	}
}

Test(oracle, schema_is_fixed)
{
	uint8_t sha256[LODE_SHA256_BYTES];
	lode_schema_hash(&lode_schema_oracle, sha256);
	cr_expect_eq(lode_schema_oracle.n_features, LODE_ORACLE_FEATURES);
	cr_expect_eq(sha256[0] << 8 | sha256[1], 0x47e1, "%02x%02x", sha256[0], sha256[1]);
}
