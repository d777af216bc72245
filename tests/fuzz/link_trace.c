/* SPDX-License-Identifier: BSD-3-Clause */
/* Any text as a trace; what is accepted must carry packets and come to an end. */
#include "lode_link.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_link_trace *t;
	if (lode_link_trace_parse("fuzz", (const char *)data, size, &t, NULL))
		return 0;
	struct lode_link_config c = {.trace = t};
	struct lode_link *l = lode_link_new(&c, size, 0, NULL);
	struct lode_link_out out;
	for (uint64_t i = 0; l && i < 20; i++)
		lode_link_push(l, i * 700000, 900, i);
	unsigned n = 0;
	while (l && lode_link_pop(l, LODE_NEVER_NS - 1, &out))
		n++;
	if (l && n != 20)
		abort();
	lode_link_free(l);
	free(t);
	return 0;
}
