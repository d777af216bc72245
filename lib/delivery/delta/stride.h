/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds arrays of floats in files nobody can parse, by where the bytes of base and target agree. */
#pragma once

#include "format.h"

struct stride_run {
	uint64_t offset, len;
	enum lode_delta_type type;
};

/* base: the range that lies at the same place, shorter if the base ends. *runs is allocated, in order and
 * without overlap; returns their number (0 on no memory too: then nothing is found). */
size_t stride_find(const uint8_t *target, uint64_t n, const uint8_t *base, uint64_t n_base,
	struct stride_run **runs);
