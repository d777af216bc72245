/* SPDX-License-Identifier: BSD-3-Clause */
/* The rounds of both messages in turns, four at a time. States are kept as the instructions want them: A B E F and
 * C D G H, the first in the highest lane. */
#include "sha256_pair.h"

#include <immintrin.h>

#define BLOCK 64u

static const uint32_t round_constants[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
	0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
	0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152,
	0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
	0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624,
	0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3,
	0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

struct lane {
	__m128i abef, cdgh;
	const uint8_t *at;
};

static void lane_start(struct lane *l, const uint8_t *message)
{
	l->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
	l->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
	l->at = message;
}

/* Message words 4 i to 4 i + 3; w holds the sixteen before. */
static inline __attribute__((always_inline)) __m128i words(
	const __m128i w[4], const uint8_t *block, unsigned i)
{
	if (i < 4) {
		const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
		return _mm_shuffle_epi8(
			_mm_loadu_si128((const __m128i *)(block + (size_t)16 * i)), swap);
	}
	__m128i sum = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
	sum = _mm_add_epi32(sum, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
	return _mm_sha256msg2_epu32(sum, w[(i + 3) & 3]);
}

/* Whole blocks of the first n_lanes lanes, a constant where it is inlined. */
static inline __attribute__((always_inline)) void blocks(
	struct lane *lanes, const unsigned n_lanes, uint64_t n_blocks)
{
	__m128i abef[2], cdgh[2], w[2][4];
	for (; n_blocks; n_blocks--) {
		for (unsigned k = 0; k < n_lanes; k++) {
			abef[k] = lanes[k].abef;
			cdgh[k] = lanes[k].cdgh;
		}
#pragma GCC unroll 16
		for (unsigned i = 0; i < 16; i++) {
			const __m128i constants =
				_mm_loadu_si128((const __m128i *)(round_constants + (size_t)4 * i));
#pragma GCC unroll 2
			for (unsigned k = 0; k < n_lanes; k++) {
				w[k][i & 3] = words(w[k], lanes[k].at, i);
				__m128i sum = _mm_add_epi32(w[k][i & 3], constants);
				cdgh[k] = _mm_sha256rnds2_epu32(cdgh[k], abef[k], sum);
				abef[k] = _mm_sha256rnds2_epu32(
					abef[k], cdgh[k], _mm_shuffle_epi32(sum, 0x0e));
			}
		}
		for (unsigned k = 0; k < n_lanes; k++) {
			lanes[k].abef = _mm_add_epi32(lanes[k].abef, abef[k]);
			lanes[k].cdgh = _mm_add_epi32(lanes[k].cdgh, cdgh[k]);
			lanes[k].at += BLOCK;
		}
	}
}

/* The bytes behind the last whole block, a one, zeros and the length in bits. */
static void lane_end(struct lane *l, uint64_t size, uint8_t *digest)
{
	uint8_t tail[2 * BLOCK] = {0};
	unsigned left = (unsigned)(size % BLOCK), n_blocks = left + 9 > BLOCK ? 2 : 1;
	if (left)
		memcpy(tail, l->at, left);
	tail[left] = 0x80;
	lode_store_be64(tail + n_blocks * BLOCK - 8, size * 8);
	l->at = tail;
	blocks(l, 1, n_blocks);
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i feba = _mm_shuffle_epi32(l->abef, 0x1b), dchg = _mm_shuffle_epi32(l->cdgh, 0xb1);
	__m128i abcd = _mm_blend_epi16(feba, dchg, 0xf0);
	__m128i efgh = _mm_alignr_epi8(dchg, feba, 8);
	_mm_storeu_si128((__m128i *)digest, _mm_shuffle_epi8(abcd, swap));
	_mm_storeu_si128((__m128i *)(digest + 16), _mm_shuffle_epi8(efgh, swap));
}

void sha256_pair_ni(const struct lode_delta_input *const in[2], uint8_t *const digest[2])
{
	struct lane lanes[2];
	const uint64_t n[2] = {in[0]->size / BLOCK, in[1]->size / BLOCK};
	const uint64_t both = LODE_MIN(n[0], n[1]);
	lane_start(&lanes[0], in[0]->data);
	lane_start(&lanes[1], in[1]->data);
	blocks(lanes, 2, both);
	for (unsigned k = 0; k < 2; k++) {
		blocks(&lanes[k], 1, n[k] - both);
		lane_end(&lanes[k], in[k]->size, digest[k]);
	}
}
