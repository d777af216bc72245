/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 8)
		return 0;
	uint64_t total, first, length;
	memcpy(&total, data, 8);
	total >>= 1; /* files are shorter than 2^63 */
	char *header = calloc(1, size - 8 + 1);
	if (!header)
		return 0;
	memcpy(header, data + 8, size - 8);
	enum lode_range kind = lode_http_range(header, total, &first, &length);
	if (kind == LODE_RANGE_PART && (!length || first >= total || length > total - first))
		abort();
	free(header);
	return 0;
}
