/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

void lode_share_max_min(uint32_t total, const uint32_t *demand, unsigned n, uint32_t *share)
{
	uint64_t left = total;
	unsigned open = n;
	memset(share, 0, n * sizeof(*share));
	/* Who asks for less than an even part gets all of it; the others share the rest. */
	for (bool again = true; again && open;) {
		uint64_t even = left / open;
		again = false;
		for (unsigned i = 0; i < n; i++) {
			if (share[i] || demand[i] > even)
				continue;
			share[i] = LODE_MAX(demand[i], 1);
			left -= LODE_MIN(left, share[i]);
			open--;
			again = true;
		}
	}
	for (unsigned i = 0; i < n && open; i++)
		if (!share[i])
			share[i] = (uint32_t)LODE_MAX(left / open, 1);
	for (unsigned i = 0; i < n && !open; i++)
		share[i] += (uint32_t)(left / n);
}
