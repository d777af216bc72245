/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of a few flows as a worker shows them; each begins with its length. */
#include "lode_classify.h"

#include <stdlib.h>

#define FLOWS	 64
#define MAX_PKTS 6

static struct lode_classify *the_classify;

static void end(void)
{
	lode_classify_free(the_classify);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_err err;
	if (!the_classify) {
		if (lode_classify_new(FLOWS, &the_classify, &err))
			abort();
		atexit(end);
	}
	for (uint64_t t = 0; size > 3; t++) {
		size_t len = LODE_MIN((size_t)lode_load_be16(data), size - 3);
		int app;
		enum lode_class cls;
		if (lode_classify_payload(data + 3, (uint32_t)len) > len)
			abort();
		if (lode_classify_look(the_classify, data[2] % FLOWS, data + 3, (uint16_t)len, t,
			    MAX_PKTS, &app) &&
			app >= 0)
			lode_classify_app(the_classify, (unsigned)app, &cls);
		data += 3 + len;
		size -= 3 + len;
	}
	return 0;
}
