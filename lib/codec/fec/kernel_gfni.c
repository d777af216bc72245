/* SPDX-License-Identifier: BSD-3-Clause */
#include "kernel.h"

#include <immintrin.h>

#define GROUP 4 /* buffers per pass over the source */

static inline __attribute__((always_inline)) void fold_group(const uint64_t *matrix,
	const unsigned n, uint8_t *const *to, const uint8_t *from, size_t len)
{
	__m512i m[GROUP];
	size_t at = 0;
	for (unsigned i = 0; i < n; i++)
		m[i] = _mm512_set1_epi64((long long)matrix[i]);
	for (; at + 64 <= len; at += 64) {
		__m512i x = _mm512_loadu_si512(from + at);
		for (unsigned i = 0; i < n; i++) {
			__m512i sum = _mm512_xor_si512(_mm512_loadu_si512(to[i] + at),
				_mm512_gf2p8affine_epi64_epi8(x, m[i], 0));
			_mm512_storeu_si512(to[i] + at, sum);
		}
	}
	if (at == len)
		return;
	__mmask64 rest = ((__mmask64)1 << (len - at)) - 1;
	__m512i x = _mm512_maskz_loadu_epi8(rest, from + at);
	for (unsigned i = 0; i < n; i++) {
		__m512i sum = _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, to[i] + at),
			_mm512_gf2p8affine_epi64_epi8(x, m[i], 0));
		_mm512_mask_storeu_epi8(to[i] + at, rest, sum);
	}
}

void fold_gfni(
	const uint64_t *matrix, unsigned n, uint8_t *const *to, const uint8_t *from, size_t len)
{
	for (; n >= GROUP; n -= GROUP, matrix += GROUP, to += GROUP)
		fold_group(matrix, GROUP, to, from, len);
	if (n == 3)
		fold_group(matrix, 3, to, from, len);
	else if (n == 2)
		fold_group(matrix, 2, to, from, len);
	else if (n == 1)
		fold_group(matrix, 1, to, from, len);
}
