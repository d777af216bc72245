/* SPDX-License-Identifier: BSD-3-Clause */
#include "oracle.h"

#include "oracle_table.h"

#include <stdlib.h>

static int falling(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x < y) - (x > y);
}

/* n log2 n, 2^-20 */
static uint32_t n_log_n(uint32_t n)
{
	uint32_t sum = 0;
	for (uint32_t i = 0; i < n; i++)
		sum += entropy_step[i];
	return sum;
}

void lode_oracle_features_reference(const uint8_t *payload, uint32_t n_payload,
	uint32_t packet_bytes, float out[LODE_ORACLE_FEATURES])
{
	uint32_t count[256] = {0};
	struct oracle_counts c = {.n = LODE_MIN(n_payload, (uint32_t)LODE_ORACLE_SAMPLE_BYTES)};
	for (uint32_t i = 0; i < c.n; i++) {
		uint8_t b = payload[i];
		count[b]++;
		if (i < TEXT_SAMPLE_BYTES && ((b >= ' ' && b <= '~') || (b >= '\t' && b <= '\r')))
			c.n_text++;
	}
	c.entropy = n_log_n(c.n);
	for (unsigned v = 0; v < 256; v++)
		c.entropy -= n_log_n(count[v]);
	qsort(count, 256, sizeof(*count), falling);
	memcpy(c.top, count, sizeof(c.top));
	oracle_finish(&c, payload, packet_bytes, out);
}
