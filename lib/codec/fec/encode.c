/* SPDX-License-Identifier: BSD-3-Clause */
/* Several repairs are built at once: a source is folded into all of them when it passes, the oldest one
 * leaves when a repair is due, and a new one takes its place. */
#include "fec.h"

struct accumulator {
	uint32_t first_seq;
	uint16_t n_sources, len, coded_length;
	uint8_t id;
	uint8_t *bytes;
};

struct lode_fec_encoder {
	const struct lode_fec_tables *tables;
	uint16_t symbol_bytes, rate_q8;
	int16_t credit_q8; /* repairs owed in 1/256; below 0 when one went ahead of its time */
	uint8_t span, next_id;
	uint8_t n_open,
		oldest; /* the open ones are oldest, oldest + 1, ... modulo the size of the ring */
	uint8_t n_since_repair; /* sources that no repair sent so far covers, at most 255 */
	uint32_t next_seq;
	struct accumulator ring[LODE_FEC_OPEN_MAX];
	/* One buffer more than can be open: the one handed out stays whole until the next call. The newest one
	 * back is used first, so that few buffers stay in the cache. */
	uint8_t n_spare;
	uint8_t *spare[LODE_FEC_OPEN_MAX + 1];
	uint8_t *handed_out;
};

#define BUFFERS (LODE_FEC_OPEN_MAX + 1)

size_t lode_fec_encoder_bytes(uint16_t symbol_bytes)
{
	size_t own = (sizeof(struct lode_fec_encoder) + LODE_CACHE_LINE - 1) / LODE_CACHE_LINE;
	return own * LODE_CACHE_LINE + (size_t)BUFFERS * padded(symbol_bytes);
}

struct lode_fec_encoder *lode_fec_encoder_init(
	void *mem, const struct lode_fec_tables *tables, uint16_t symbol_bytes)
{
	struct lode_fec_encoder *e = mem;
	uint8_t *bytes = (uint8_t *)mem + lode_fec_encoder_bytes(symbol_bytes) -
			 (size_t)BUFFERS * padded(symbol_bytes);
	memset(e, 0, sizeof(*e));
	e->tables = tables;
	e->symbol_bytes = symbol_bytes;
	for (unsigned i = 0; i < BUFFERS; i++)
		e->spare[i] = bytes + (size_t)(BUFFERS - 1 - i) * padded(symbol_bytes);
	e->n_spare = BUFFERS;
	return e;
}

void lode_fec_encoder_set(struct lode_fec_encoder *e, uint16_t rate_q8, uint8_t span)
{
	unsigned most = rate_q8 ? LODE_FEC_OPEN_MAX * 256u / rate_q8 : LODE_FEC_SPAN_MAX;
	e->rate_q8 = rate_q8;
	e->span = (uint8_t)LODE_MAX(1, LODE_MIN(LODE_MIN(span, most), LODE_FEC_SPAN_MAX));
}

static struct accumulator *open_at(struct lode_fec_encoder *e, unsigned i)
{
	return &e->ring[(e->oldest + i) % LODE_FEC_OPEN_MAX];
}

static void open_one(struct lode_fec_encoder *e, uint32_t first_seq)
{
	struct accumulator *a = open_at(e, e->n_open++);
	*a = (struct accumulator){
		.first_seq = first_seq, .id = e->next_id, .bytes = e->spare[--e->n_spare]};
	e->next_id = (e->next_id + 1) & 0x7f;
}

static void take_back(struct lode_fec_encoder *e)
{
	if (e->handed_out)
		e->spare[e->n_spare++] = e->handed_out;
	e->handed_out = NULL;
}

static void drop_open(struct lode_fec_encoder *e)
{
	for (; e->n_open > 0; e->n_open--)
		e->spare[e->n_spare++] = open_at(e, e->n_open - 1u)->bytes;
}

void lode_fec_encoder_restart(struct lode_fec_encoder *e)
{
	drop_open(e);
}

static void close_oldest(struct lode_fec_encoder *e, struct lode_fec_repair *out)
{
	struct accumulator *a = open_at(e, 0);
	*out = (struct lode_fec_repair){.first_seq = a->first_seq,
		.span = (uint8_t)a->n_sources,
		.id = a->id,
		.coded_length = a->coded_length,
		.len = a->len,
		.bytes = a->bytes};
	e->oldest = (uint8_t)((e->oldest + 1) % LODE_FEC_OPEN_MAX);
	take_back(e);
	e->handed_out = a->bytes;
	e->n_open--;
	e->n_since_repair = 0;
}

/* How many are open in the steady state: one leaves every 256 / rate sources after `span` of them. */
static unsigned wanted_open(const struct lode_fec_encoder *e)
{
	unsigned n = ((unsigned)e->span * e->rate_q8 + 255) / 256;
	return LODE_MAX(1, LODE_MIN(n, LODE_FEC_OPEN_MAX));
}

static void fold_source(
	struct lode_fec_encoder *e, uint32_t seq, const uint8_t *bytes, uint16_t len)
{
	uint8_t coefficient[LODE_FEC_OPEN_MAX], *to[LODE_FEC_OPEN_MAX];
	unsigned n = 0;
	for (unsigned i = 0; i < e->n_open; i++) {
		struct accumulator *a = open_at(e, i);
		if (a->n_sources == LODE_FEC_SPAN_MAX)
			continue; /* full, as others that began with it: they leave one by one */
		if (len > a->len) {
			memset(a->bytes + a->len, 0, len - a->len);
			a->len = len;
		}
		coefficient[n] = lode_fec_coefficient(e->tables, a->id, seq);
		to[n] = a->bytes;
		a->coded_length ^= gf_product16(e->tables, coefficient[n], len);
		a->n_sources++;
		n++;
	}
	if (n > 0)
		fold(e->tables, n, coefficient, to, bytes, len);
}

bool lode_fec_encoder_due(struct lode_fec_encoder *e, struct lode_fec_repair *out)
{
	struct accumulator *a = open_at(e, 0);
	bool full = e->n_open && a->n_sources >= LODE_FEC_SPAN_MAX;
	if (e->n_open == 0 || a->n_sources == 0 || (e->credit_q8 < 256 && !full))
		return false;
	e->credit_q8 = (int16_t)(e->credit_q8 >= 256 ? e->credit_q8 - 256 : 0);
	close_oldest(e, out);
	return true;
}

bool lode_fec_encoder_add(struct lode_fec_encoder *e, uint32_t seq, const uint8_t *bytes,
	uint16_t len, struct lode_fec_repair *out)
{
	take_back(e);
	if (seq != e->next_seq)
		drop_open(e); /* the window must be consecutive */
	e->next_seq = seq + 1;
	if (e->rate_q8 == 0 || len > e->symbol_bytes) {
		drop_open(e);
		e->credit_q8 = 0;
		return false;
	}
	/* At a start all open at once and leave one by one, each replaced: that spreads them evenly. */
	while (e->n_open < wanted_open(e))
		open_one(e, seq);
	fold_source(e, seq, bytes, len);
	e->n_since_repair = (uint8_t)LODE_MIN(e->n_since_repair + 1, 255);
	e->credit_q8 = (int16_t)LODE_MIN(e->credit_q8 + e->rate_q8, 4 * 256);
	return lode_fec_encoder_due(e, out);
}

bool lode_fec_encoder_flush(
	struct lode_fec_encoder *e, uint16_t min_credit_q8, struct lode_fec_repair *out)
{
	if (e->n_open == 0 || e->n_since_repair == 0 || open_at(e, 0)->n_sources == 0 ||
		e->credit_q8 < (int)min_credit_q8)
		return false;
	e->credit_q8 = (int16_t)(e->credit_q8 - 256);
	close_oldest(e, out);
	return true;
}
