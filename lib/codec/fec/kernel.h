/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel for CPUs with AVX-512 and GFNI: a product with a constant is a matrix of bits, which they apply to
 * 64 bytes at once. Only called where lode_fec_tables.gfni says so. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* to[i] ^= matrix[i] applied to from, for n buffers of len bytes. */
void fold_gfni(
	const uint64_t *matrix, unsigned n, uint8_t *const *to, const uint8_t *from, size_t len);
