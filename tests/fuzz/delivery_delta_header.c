/* SPDX-License-Identifier: BSD-3-Clause */
/* Headers of both patch formats, with a right checksum so that the fields are reached. */
#include "crc32c.h"
#include "lode_delta.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_delta_info *info = malloc(sizeof(*info));
	struct lode_oxdl_info old;
	struct lode_err err;
	uint8_t *copy = malloc(size + 1);
	memcpy(copy, data, size);
	lode_delta_parse_header(data, size, info, &err);
	lode_oxdl_parse(data, size, &old, &err);
	if (size >= 24) {
		memcpy(copy, "LDLT\1", 5);
		copy[6] = 12 + copy[6] % 7;
		lode_store_le32(copy + 8, (uint32_t)size);
		copy[12] &= 3;
		memset(copy + 13, 0, 3);
		lode_store_le32(copy + size - 4, crc32c(0, copy, size - 4));
		long n = lode_delta_parse_header(copy, size, info, &err);
		if (n > 0 && (n != (long)size || !info->n_target))
			abort();
	}
	free(copy);
	free(info);
	return 0;
}
