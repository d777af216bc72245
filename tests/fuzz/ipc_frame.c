/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream of frames cut at hostile places: the decoder never reads past its bytes, never holds more
 * than limit + header + one push, and hands out what the plain reading of the stream says. */
#include "lode_ipc.h"

#include <stdlib.h>

#define LIMIT 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lode_ipc_decoder d;
	lode_ipc_decoder_init(&d, LIMIT);
	size_t at = 0, plain = 0;
	while (at < size) {
		size_t n = LODE_MIN((size_t)data[at] + 1, size - at);
		int rc = lode_ipc_decoder_push(&d, data + at, n);
		at += n;
		const char *body;
		long len = rc;
		while (!rc && (len = lode_ipc_decoder_next(&d, &body)) >= 0) {
			if ((size_t)len != lode_load_be32(data + plain) || body[len] ||
				memcmp(body, data + plain + 4, (size_t)len))
				abort();
			plain += 4 + (size_t)len;
		}
		if (len == -EMSGSIZE)
			break;
	}
	lode_ipc_decoder_fini(&d);
	return 0;
}
