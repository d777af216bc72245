/* SPDX-License-Identifier: BSD-3-Clause */
/* Features of the compression oracle. The entropy comes out of the counting itself: with S(c) = c log2 c,
 * that of n bytes is S(n) - sum over values of S(count), and each byte counted adds S(count + 1) -
 * S(count), a table look-up. */
#include "oracle.h"

#include "oracle_table.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define LANES	      16
#define TEXT_PERCENT  80
#define ENTROPY_WHOLE (1u << 31) /* S(256) in steps of 2^-20 */

static const struct lode_feature columns[LODE_ORACLE_FEATURES] = {
	{"size", "bytes", 1 / 65535.0, 0, 0, 1},
	{"entropy", "bit/byte", 0.125, 0, 0, 1},
	{"first_bytes", "1", 0x1p-64, 0, 0, 1},
	{"top_1", "1", 1, 0, 0, 1},
	{"top_2", "1", 1, 0, 0, 1},
	{"top_3", "1", 1, 0, 0, 1},
	{"top_4", "1", 1, 0, 0, 1},
	{"text", "1", 1, 0, 0, 1},
};
const struct lode_schema lode_schema_oracle = {"oracle/1", LODE_ARRAY_LEN(columns), columns};

void oracle_finish(const struct oracle_counts *c, const uint8_t *payload, uint32_t packet_bytes,
	float out[LODE_ORACLE_FEATURES])
{
	uint64_t first = 0;
	for (unsigned i = 0; i < LODE_MIN(c->n, 8u); i++)
		first |= (uint64_t)payload[i] << 8 * i;
	out[0] = (float)LODE_MIN(packet_bytes, 65535u) * (1 / 65535.0f);
	out[1] = (float)c->entropy * per_byte[c->n] * 0x1p-23f;
	out[2] = (float)first * 0x1p-64f;
	for (unsigned i = 0; i < ORACLE_TOP; i++)
		out[3 + i] = (float)c->top[i] * per_byte[c->n];
	out[7] = c->n && 100 * c->n_text >= TEXT_PERCENT * LODE_MIN(c->n, TEXT_SAMPLE_BYTES);
}

typedef uint8_t lanes __attribute__((vector_size(LANES)));

#ifdef __SSE2__
#define LARGER(a, b)	((lanes)_mm_max_epu8((__m128i)(a), (__m128i)(b)))
#define SMALLER(a, b)	((lanes)_mm_min_epu8((__m128i)(a), (__m128i)(b)))
#define MOVE_DOWN(v, n) ((lanes)_mm_srli_si128((__m128i)(v), n)) /* lane l + n to lane l */
#else
#define LARGER(a, b)	(((a) & (lanes)((a) > (b))) | ((b) & ~(lanes)((a) > (b))))
#define SMALLER(a, b)	(((b) & (lanes)((a) > (b))) | ((a) & ~(lanes)((a) > (b))))
#define MOVE_DOWN(v, n) ((lanes)((unsigned __int128)(v) >> 8 * (n)))
#endif

/* Counts of all values, and in the end what is left of S(n). A count of 256 is stored as 0. */
static uint32_t count_bytes(const uint8_t *p, uint32_t n, uint8_t count[256])
{
	uint32_t growth = 0, i = 0, all = ENTROPY_WHOLE;
	for (; i + 4 <= n; i += 4)
		for (unsigned k = 0; k < 4; k++)
			growth += entropy_step[count[p[i + k]]++];
	for (; i < n; i++)
		growth += entropy_step[count[p[i]]++];
	for (; i < LODE_ORACLE_SAMPLE_BYTES; i++)
		all -= entropy_step[i];
	return all - growth;
}

static inline lanes is_within(lanes b, uint8_t first, uint8_t last)
{
	lanes above = b - first, most = (lanes){0} + (uint8_t)(last - first);
	return (lanes)(SMALLER(above, most) == above);
}

/* 255 for printable ASCII and white space. */
static inline lanes is_text(lanes b)
{
	return is_within(b, ' ', '~') | is_within(b, '\t', '\r');
}

static uint32_t count_text(const uint8_t *p, uint32_t n)
{
	lanes text = {0}, bytes; /* at most 255 in each */
	uint32_t sum = 0, i = 0;
	for (; i + LANES <= n; i += LANES) {
		memcpy(&bytes, p + i, LANES);
		text -= is_text(bytes);
	}
	bytes = (lanes){0};
	for (unsigned l = 0; i < n; l++, i++)
		bytes[l] = p[i];
	text -= is_text(bytes);
	for (unsigned l = 0; l < LANES; l++)
		sum += text[l];
	return sum;
}

/* ---- the four highest counts: in each lane first, then across lanes ---- */

static inline void order(lanes *high, lanes *low)
{
	lanes a = *high, b = *low;
	*high = LARGER(a, b);
	*low = SMALLER(a, b);
}

/* rank falls; down is the same of other lanes. The larger ones of two opposed sequences are a bitonic one
 * of the four highest (Batcher 1968), two more steps order it. */
static inline void merge(lanes rank[ORACLE_TOP], const lanes down[ORACLE_TOP])
{
	for (unsigned r = 0; r < ORACLE_TOP; r++)
		rank[r] = LARGER(rank[r], down[ORACLE_TOP - 1 - r]);
	order(&rank[0], &rank[2]);
	order(&rank[1], &rank[3]);
	order(&rank[0], &rank[1]);
	order(&rank[2], &rank[3]);
}

#define MERGE_LANES(rank, n)                                                        \
	do {                                                                        \
		const lanes down[] = {MOVE_DOWN(rank[0], n), MOVE_DOWN(rank[1], n), \
			MOVE_DOWN(rank[2], n), MOVE_DOWN(rank[3], n)};              \
		merge(rank, down);                                                  \
	} while (0)

static void find_top(const uint8_t count[256], uint32_t top[ORACLE_TOP])
{
	lanes rank[ORACLE_TOP] = {{0}};
	for (unsigned first = 0; first < 256; first += LANES) {
		lanes next;
		memcpy(&next, count + first, LANES);
		for (unsigned r = 0; r < ORACLE_TOP; r++)
			order(&rank[r], &next);
	}
	MERGE_LANES(rank, 8);
	MERGE_LANES(rank, 4);
	MERGE_LANES(rank, 2);
	MERGE_LANES(rank, 1);
	for (unsigned r = 0; r < ORACLE_TOP; r++)
		top[r] = rank[r][0];
}

void lode_oracle_features(const uint8_t *payload, uint32_t n_payload, uint32_t packet_bytes,
	float out[LODE_ORACLE_FEATURES])
{
	uint8_t count[256] __attribute__((aligned(64))) = {0};
	struct oracle_counts c = {.n = LODE_MIN(n_payload, (uint32_t)LODE_ORACLE_SAMPLE_BYTES)};
	c.entropy = count_bytes(payload, c.n, count);
	c.n_text = count_text(payload, LODE_MIN(c.n, TEXT_SAMPLE_BYTES));
	find_top(count, c.top);
	if (c.n == 256 && !count[payload[0]])
		c.top[0] = 256;
	oracle_finish(&c, payload, packet_bytes, out);
}
