/* SPDX-License-Identifier: BSD-3-Clause */
/* Any text: an error or a configuration that prints and parses to itself. */
#include "lode_config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[1 << 18];
	struct lode_config *c, *again;
	struct lode_err err;
	if (lode_config_parse("fuzz", (const char *)data, size, &c, &err))
		return 0;
	long len = lode_config_print(c, text, sizeof(text));
	if (len < 0 || lode_config_parse("again", text, (size_t)len, &again, &err) ||
		memcmp(c, again, sizeof(*c)))
		abort();
	lode_config_free(c);
	lode_config_free(again);
	return 0;
}
