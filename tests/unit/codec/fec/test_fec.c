/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "fec.h"
#include "reference.h"

#include <stdlib.h>

#define SYMBOL 1500
#define N      4096 /* sources of a run */

static struct lode_fec_tables tables;
static uint8_t bytes[N][SYMBOL];
static uint16_t length[N];
static bool arrived[N];
static uint32_t base; /* sequence number of source 0 */

static void *new_encoder(void)
{
	lode_fec_tables_init(&tables);
	return lode_fec_encoder_init(
		aligned_alloc(64, (lode_fec_encoder_bytes(SYMBOL) + 63) / 64 * 64), &tables,
		SYMBOL);
}

static void *new_decoder(void)
{
	return lode_fec_decoder_init(
		aligned_alloc(64, (lode_fec_decoder_bytes(SYMBOL) + 63) / 64 * 64), &tables,
		SYMBOL);
}

static const uint8_t *find(void *ctx, uint32_t seq, uint16_t *len)
{
	uint32_t i = seq - base;
	if (i >= N || !arrived[i])
		return NULL;
	*len = length[i];
	return bytes[i];
}
static const struct lode_fec_sources sources = {NULL, find};

static void make_sources(struct lode_rng *rng, uint16_t shortest, uint16_t longest)
{
	for (unsigned i = 0; i < N; i++) {
		length[i] = (uint16_t)(shortest + lode_rng_below(rng, longest - shortest + 1u));
		for (unsigned k = 0; k < length[i]; k++)
			bytes[i][k] = (uint8_t)lode_rng_u64(rng);
	}
}

Test(fec, field_agrees_with_the_reference)
{
	lode_fec_tables_init(&tables);
	for (unsigned a = 1; a < 256; a++) {
		cr_assert_eq(reference_multiply((uint8_t)a, tables.inverse[a]), 1);
		for (unsigned b = 1; b < 256; b++)
			cr_assert_eq(tables.exp[tables.log[a] + tables.log[b]],
				reference_multiply((uint8_t)a, (uint8_t)b));
	}
}

/* All kernels, all coefficients, lengths around their block sizes, nothing written beyond. */
Test(fec, kernels_agree_with_the_reference)
{
	static const uint16_t lengths[] = {0, 1, 31, 63, 64, 65, 127, 200, 1400};
	struct lode_rng rng;
	uint8_t coefficient[5], from[1400], to[5][1401], *rows[5];
	lode_fec_tables_init(&tables);
	lode_rng_seed(&rng, 3);
	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)lode_rng_u64(&rng);
	for (unsigned round = 0; round < 2 * 256; round++) {
		uint16_t len = lengths[round % LODE_ARRAY_LEN(lengths)];
		unsigned n = 1 + round % 5;
		tables.gfni = tables.gfni && round < 256;
		for (unsigned i = 0; i < n; i++) {
			coefficient[i] = (uint8_t)(round + 17 * i);
			rows[i] = to[i];
			memset(to[i], 0x5a + (int)i, sizeof(to[i]));
		}
		fold(&tables, n, coefficient, rows, from, len);
		for (unsigned i = 0; i < n; i++) {
			for (unsigned k = 0; k < len; k++)
				cr_assert_eq(to[i][k],
					(uint8_t)(0x5a + i) ^
						reference_multiply(coefficient[i], from[k]));
			cr_assert_eq(to[i][len], 0x5a + i);
		}
	}
}

/* Every repair the encoder hands out is bit for bit what the definition says. */
Test(fec, repairs_are_those_of_the_reference)
{
	struct lode_rng rng;
	uint8_t *want = malloc(SYMBOL);
	int n_repairs = 0;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct lode_fec_encoder *e = new_encoder();
		struct lode_fec_repair got, ref = {.bytes = want};
		tables.gfni = tables.gfni && seed % 2; /* every second time with ISA-L */
		lode_rng_seed(&rng, seed);
		make_sources(&rng, 0, SYMBOL);
		base = UINT32_MAX - 100; /* over the end of the numbers */
		lode_fec_encoder_set(e, (uint16_t)(20 + 50 * seed), (uint8_t)(4 * seed));
		for (unsigned i = 0; i < 300; i++) {
			const uint8_t *window[LODE_FEC_SPAN_MAX];
			bool due = lode_fec_encoder_add(e, base + i, bytes[i], length[i], &got);
			for (; due; due = lode_fec_encoder_due(e, &got)) {
				uint32_t first = got.first_seq - base;
				cr_assert_eq(first + got.span, i + 1);
				for (unsigned k = 0; k < got.span; k++)
					window[k] = bytes[first + k];
				ref.coded_length = 0;
				reference_repair(got.id, got.first_seq, got.span, window,
					&length[first], &ref);
				cr_assert_eq(got.len, ref.len);
				cr_assert_eq(got.coded_length, ref.coded_length);
				cr_assert_arr_eq(got.bytes, ref.bytes, ref.len);
				n_repairs++;
			}
		}
		free(e);
	}
	cr_assert_gt(n_repairs, 300);
	free(want);
}

Test(fec, rate_and_span_are_kept)
{
	struct lode_fec_encoder *e = new_encoder();
	struct lode_fec_repair r;
	for (unsigned rate = 16; rate <= 512; rate *= 2) {
		unsigned n = 0, spans = 0;
		lode_fec_encoder_set(e, (uint16_t)rate, 20);
		for (unsigned i = 0; i < 2000; i++)
			for (bool due = lode_fec_encoder_add(e, 10000 + i, bytes[0], 100, &r); due;
				due = lode_fec_encoder_due(e, &r)) {
				n++;
				spans += i > 200 ? r.span : 20;
			}
		cr_assert_float_eq(
			n / (2000 * rate / 256.0), 1, 0.05, "rate %u: %u repairs", rate, n);
		cr_assert(spans / n >= 15 && spans / n <= 32, "rate %u span %u", rate, spans / n);
	}
	lode_fec_encoder_set(e, 0, 20);
	cr_assert_not(lode_fec_encoder_add(e, 99999, bytes[0], 100, &r));
	cr_assert_not(lode_fec_encoder_flush(e, 0, &r));
	free(e);
}

/* Many repairs are open when the rate falls: they fill up together, but only one leaves at a time. */
Test(fec, no_repair_covers_too_many_when_the_rate_falls)
{
	struct lode_fec_encoder *e = new_encoder();
	struct lode_fec_repair r;
	unsigned n = 0;
	lode_fec_encoder_set(e, 128, 60);
	for (unsigned i = 0; i < 1000; i++) {
		if (i == 5)
			lode_fec_encoder_set(e, 1, 20);
		if (!lode_fec_encoder_add(e, 77 + i, bytes[0], 100, &r))
			continue;
		cr_assert_leq(r.span, LODE_FEC_SPAN_MAX, "repair %u", n);
		n++;
	}
	cr_assert_geq(n, 28);
	free(e);
}

/* Random losses of sources and repairs: what the decoder computes is what was sent, and whenever the
 * reference can solve everything the decoder has done so. */
Test(fec, recovers_exactly_and_no_less_than_the_reference)
{
	unsigned n_recovered = 0;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct lode_rng rng;
		struct lode_fec_encoder *e = new_encoder();
		struct lode_fec_decoder *d = new_decoder();
		tables.gfni = tables.gfni && seed % 2;
		struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
		struct lode_fec_repair r;
		lode_rng_seed(&rng, seed);
		make_sources(&rng, 20, (uint16_t)(20 + lode_rng_below(&rng, SYMBOL - 20)));
		memset(arrived, 0, sizeof(arrived));
		base = (uint32_t)lode_rng_u64(&rng);
		lode_fec_encoder_set(e, (uint16_t)(30 + lode_rng_below(&rng, 200)),
			(uint8_t)(2 + lode_rng_below(&rng, 40)));
		for (unsigned i = 0; i < 400; i++) {
			bool due = lode_fec_encoder_add(e, base + i, bytes[i], length[i], &r);
			arrived[i] = lode_rng_unit(&rng) > 0.05;
			for (; due; due = lode_fec_encoder_due(e, &r)) {
				if (lode_rng_unit(&rng) < 0.05)
					continue;
				cr_assert_eq(lode_fec_decoder_repair(d, &r), 0);
				uint32_t oldest = i > 100 ? base + i - 100 : base;
				unsigned n = lode_fec_decoder_solve(d, oldest, &sources, out);
				for (unsigned k = 0; k < n; k++) {
					uint32_t at = out[k].seq - base;
					cr_assert_leq(at, i);
					cr_assert_not(arrived[at]);
					cr_assert_eq(out[k].len, length[at]);
					cr_assert_arr_eq(out[k].bytes, bytes[at], length[at]);
					arrived[at] = true;
					n_recovered++;
				}
			}
		}
		free(e);
		free(d);
	}
	cr_assert_gt(n_recovered, 300);
}

/* k sources, e of them lost, e repairs over all: always solvable, as the matrix is Cauchy's. */
Test(fec, as_many_repairs_as_losses_always_do)
{
	static uint8_t room[LODE_FEC_LOST_MAX][SYMBOL], spare[64][SYMBOL];
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct lode_rng rng;
		struct lode_fec_decoder *d;
		struct lode_fec_repair r[LODE_FEC_REPAIRS_MAX];
		struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
		const uint8_t *have[64];
		uint8_t *to[64];
		uint16_t to_len[64] = {0};
		lode_fec_tables_init(&tables);
		d = new_decoder();
		lode_rng_seed(&rng, seed);
		unsigned k = 5 + (unsigned)lode_rng_below(&rng, 50),
			 e = 1 + (unsigned)lode_rng_below(&rng, 5);
		make_sources(&rng, 1, 200);
		base = (uint32_t)lode_rng_u64(&rng);
		const uint8_t *all[64];
		for (unsigned i = 0; i < k; i++) {
			all[i] = bytes[i];
			arrived[i] = true;
			to[i] = spare[i];
		}
		for (unsigned i = 0; i < e; i++) {
			arrived[lode_rng_below(&rng, k)] = false;
			r[i] = (struct lode_fec_repair){.bytes = room[i]};
			reference_repair(
				(uint8_t)(seed * 7 + i) & 0x7f, base, k, all, length, &r[i]);
			cr_assert_eq(lode_fec_decoder_repair(d, &r[i]), 0);
		}
		for (unsigned i = 0; i < k; i++)
			have[i] = arrived[i] ? bytes[i] : NULL;
		cr_assert(reference_solve(r, e, base, k, have, length, to, to_len));
		unsigned n = lode_fec_decoder_solve(d, base, &sources, out);
		for (unsigned i = 0, at = 0; i < k; i++) {
			if (have[i])
				continue;
			cr_assert_lt(at, n);
			cr_assert_eq(out[at].seq, base + i);
			cr_assert_eq(out[at].len, to_len[i]);
			cr_assert_arr_eq(out[at].bytes, to[i], to_len[i]);
			cr_assert_arr_eq(out[at].bytes, bytes[i], length[i]);
			at++;
		}
		free(d);
	}
}

Test(fec, nonsense_is_refused_or_harmless)
{
	uint8_t data[SYMBOL] = {1};
	struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
	lode_fec_tables_init(&tables);
	struct lode_fec_decoder *d = new_decoder();
	struct lode_fec_repair good = {.first_seq = 10, .span = 4, .len = 100, .bytes = data};
	struct lode_fec_repair r = good;
	r.span = 0;
	cr_assert_eq(lode_fec_decoder_repair(d, &r), -EINVAL);
	r.span = LODE_FEC_SPAN_MAX + 1;
	cr_assert_eq(lode_fec_decoder_repair(d, &r), -EINVAL);
	r = good;
	r.len = SYMBOL + 1;
	cr_assert_eq(lode_fec_decoder_repair(d, &r), -EINVAL);
	r = good;
	r.id = 200;
	cr_assert_eq(lode_fec_decoder_repair(d, &r), -EINVAL);
	memset(arrived, 0, sizeof(arrived));
	for (unsigned i = 0; i < 100; i++) {
		r = good;
		r.first_seq = 0x7fffff00u * i; /* all over the numbers */
		cr_assert_eq(lode_fec_decoder_repair(d, &r), 0);
		cr_assert_leq(lode_fec_decoder_solve(d, 0, &sources, out), LODE_FEC_LOST_MAX);
	}
	free(d);
}

Test(fec, flush_protects_the_tail)
{
	struct lode_fec_encoder *e = new_encoder();
	struct lode_fec_repair r;
	lode_fec_encoder_set(e, 26, 10);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_not(lode_fec_encoder_add(e, i, bytes[i], 50, &r));
	cr_assert(lode_fec_encoder_flush(e, 0, &r));
	cr_assert_eq(r.first_seq, 0);
	cr_assert_eq(r.span, 3);
	cr_assert_not(lode_fec_encoder_flush(e, 0, &r));
	free(e);
}

Test(fec, restart_leaves_earlier_sources_out)
{
	struct lode_fec_encoder *e = new_encoder();
	struct lode_fec_repair r;
	lode_fec_encoder_set(e, 26, 10);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_not(lode_fec_encoder_add(e, i, bytes[i], 50, &r));
	lode_fec_encoder_restart(e);
	for (unsigned i = 3; i < 5; i++)
		cr_assert_not(lode_fec_encoder_add(e, i, bytes[i], 50, &r));
	cr_assert(lode_fec_encoder_flush(e, 0, &r));
	cr_assert_eq(r.first_seq, 3);
	cr_assert_eq(r.span, 2);
	free(e);
}
