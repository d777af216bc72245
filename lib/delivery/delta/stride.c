/* SPDX-License-Identifier: BSD-3-Clause */
#include "stride.h"
size_t stride_find(const uint8_t *target, uint64_t n, const uint8_t *base, uint64_t n_base,
	struct stride_run **runs)
{
	*runs = NULL;
	return 0;
}
