/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes as the text of a network: what is taken prints and reads back the same. */
#include "lode_model.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[300], printed[LODE_NETWORK_TEXT_BYTES], again[LODE_NETWORK_TEXT_BYTES];
	struct lode_nn_desc desc, back;
	struct lode_err err;
	size_t n = LODE_MIN(size, sizeof(text) - 1);
	memcpy(text, data, n);
	text[n] = 0;
	if (lode_network_parse(text, &desc, &err))
		return 0;
	lode_network_print(&desc, printed);
	if (lode_network_parse(printed, &back, &err))
		abort();
	lode_network_print(&back, again);
	if (strcmp(printed, again))
		abort();
	return 0;
}
