/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

#include <math.h>

void lode_rng_seed(struct lode_rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		rng->s[i] = lode_mix64(seed += 0x9e3779b97f4a7c15ull);
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t lode_rng_u64(struct lode_rng *rng)
{
	uint64_t *s = rng->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

/* Multiply-shift; the bias is below 2^-64 * bound, nothing here is that fine. */
uint64_t lode_rng_below(struct lode_rng *rng, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)lode_rng_u64(rng) * bound) >> 64);
}

double lode_rng_unit(struct lode_rng *rng)
{
	return (double)(lode_rng_u64(rng) >> 11) * 0x1p-53;
}

double lode_rng_normal(struct lode_rng *rng)
{
	double x, y, r2;
	do {
		x = 2 * lode_rng_unit(rng) - 1;
		y = 2 * lode_rng_unit(rng) - 1;
		r2 = x * x + y * y;
	} while (r2 >= 1 || r2 == 0);
	return x * sqrt(-2 * log(r2) / r2);
}

double lode_rng_exponential(struct lode_rng *rng, double mean)
{
	return -mean * log(1 - lode_rng_unit(rng));
}
