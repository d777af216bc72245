/* SPDX-License-Identifier: BSD-3-Clause */
/* Netlink messages with hostile lengths: events carry what the header allows, nothing is read past it. */
#include "lode_mirror.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(void *ctx, const struct lode_kernel_event *ev)
{
	if (ev->prefix.len > 128 || ev->kind > LODE_KERNEL_LINK ||
		ev->state > LODE_NEIGHBOUR_FAILED)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The kernel's messages are aligned, and so is the buffer they are read into. */
	uint8_t *copy = aligned_alloc(8, (size + 8) & ~(size_t)7);
	memcpy(copy, data, size);
	lode_netlink_parse(copy, size, check, NULL);
	free(copy);
	return 0;
}
