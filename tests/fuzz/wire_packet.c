/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of LAN hosts as MSS clamp and ICMP errors see them. */
#include "lode_wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void clamp(const uint8_t *data, size_t size)
{
	uint8_t *tcp = malloc(size ? size : 1);
	if (!tcp)
		return;
	memcpy(tcp, data, size);
	bool changed = lode_wire_mtu_clamp_mss(tcp, size, 1000);
	if (!changed && memcmp(tcp, data, size))
		abort();
	if (changed && lode_wire_mtu_clamp_mss(tcp, size, 1000))
		abort();
	free(tcp);
}

static void answer(enum lode_wire_icmp kind, const uint8_t *data, size_t size)
{
	static const struct lode_ip src = {{0xfd, [15] = 1}};
	uint8_t out[LODE_WIRE_ICMP_MAX];
	size_t len = lode_wire_icmp_error(kind, 1400, &src, data, size, out, sizeof(out));
	if (len > sizeof(out))
		abort();
	/* An error about our error would start a loop. */
	uint8_t more[LODE_WIRE_ICMP_MAX];
	if (len && lode_wire_icmp_error(kind, 1400, &src, out, len, more, sizeof(more)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 65535)
		return 0;
	clamp(data, size);
	answer(LODE_WIRE_ICMP_TOO_BIG, data, size);
	answer(LODE_WIRE_ICMP_NO_ROUTE, data, size);
	answer(LODE_WIRE_ICMP_TIME_EXCEEDED, data, size);
	return 0;
}
