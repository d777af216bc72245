/* SPDX-License-Identifier: BSD-3-Clause */
/* Speed of the code, and the overhead it needs: packets of a 1000 pps stream lost at random or in bursts on
 * 1 to 4 striped paths, 99.9 % of them there within 20 ms. */
#include "fec_rows.h"

#include "lode_repair.h"
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SYMBOL	  1400
#define POOL	  ((32u << 20) / SYMBOL)
#define DEADLINE  20	 /* packets, at 1 ms each */
#define N_PACKETS 200000 /* of one overhead run */
#define RESIDUAL  1e-3

int suite_fec(struct lode_perf *p);

static struct lode_fec_tables tables;

/* ---- speed ---- */

struct pool {
	struct lode_fec_encoder *encoder;
	uint8_t *bytes;
	uint32_t seq;
};

static void encode_one(void *arg)
{
	struct pool *pool = arg;
	struct lode_fec_repair r;
	for (bool due = lode_fec_encoder_add(pool->encoder, pool->seq,
		     pool->bytes + (size_t)(pool->seq % POOL) * SYMBOL, SYMBOL, &r);
		due; due = lode_fec_encoder_due(pool->encoder, &r))
		;
	pool->seq++;
}

static void encode_row(
	struct lode_perf *p, struct pool *pool, const char *name, unsigned k, unsigned r)
{
	if (!lode_perf_wanted(p, name))
		return;
	lode_fec_encoder_set(pool->encoder, (uint16_t)(256 * r / k), (uint8_t)k);
	double ns = lode_perf_median_ns(encode_one, pool, POOL, 21);
	lode_perf_row(p, name, "per packet", ns, "ns", NULL, NAN);
	lode_perf_row(p, name, "source", SYMBOL / ns, "GB/s", NULL, NAN);
}

struct block {
	struct lode_fec_decoder *decoder;
	uint8_t *bytes;
	unsigned k, n_lost;
};

static const uint8_t *find_in_block(void *ctx, uint32_t seq, uint16_t *len)
{
	struct block *b = ctx;
	*len = SYMBOL;
	return seq < b->n_lost || seq >= b->k ? NULL : b->bytes + (size_t)seq * SYMBOL;
}

static void decode_once(void *arg)
{
	struct block *b = arg;
	struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
	struct lode_fec_sources sources = {b, find_in_block};
	if (lode_fec_decoder_solve(b->decoder, 0, &sources, out) != b->n_lost)
		abort();
}

static void decode_row(
	struct lode_perf *p, struct pool *pool, const char *name, unsigned k, unsigned n_lost)
{
	const uint8_t *source[LODE_FEC_SPAN_MAX];
	uint16_t len[LODE_FEC_SPAN_MAX];
	uint8_t repair[SYMBOL];
	if (!lode_perf_wanted(p, name))
		return;
	void *mem = aligned_alloc(LODE_CACHE_LINE, lode_fec_decoder_bytes(SYMBOL));
	struct block b = {lode_fec_decoder_init(mem, &tables, SYMBOL), pool->bytes, k, n_lost};
	for (unsigned i = 0; i < k; i++) {
		source[i] = pool->bytes + (size_t)i * SYMBOL;
		len[i] = SYMBOL;
	}
	for (unsigned i = 0; i < n_lost; i++) {
		struct lode_fec_repair r = {.bytes = repair};
		reference_repair((uint8_t)i, 0, k, source, len, &r);
		lode_fec_decoder_repair(b.decoder, &r);
	}
	lode_perf_row(p, name, "solve", lode_perf_median_ns(decode_once, &b, 2000, 21) / 1000, "us",
		NULL, NAN);
	free(mem);
}

/* ---- overhead ---- */

/* One path's losses: at random, or in bursts (Gilbert-Elliott, everything lost in the bad state). */
struct loss {
	double rate, burst; /* burst: mean length in packets, 1 at random */
	bool bad[4];
};

static bool lose(struct loss *l, struct lode_rng *rng, unsigned path)
{
	double leave = 1 / l->burst, enter = leave * l->rate / (1 - l->rate);
	if (l->burst <= 1)
		return lode_rng_unit(rng) < l->rate;
	l->bad[path] = lode_rng_unit(rng) < (l->bad[path] ? 1 - leave : enter);
	return l->bad[path];
}

#define WINDOW 256
struct stream {
	bool here[WINDOW];
	uint32_t newest;
};

static const uint8_t *find_in_stream(void *ctx, uint32_t seq, uint16_t *len)
{
	static const uint8_t nothing;
	const struct stream *s = ctx;
	*len = 0;
	return s->newest - seq < WINDOW && s->here[seq % WINDOW] ? &nothing : NULL;
}

/* Share of packets missing DEADLINE packets after they were sent. Symbols are empty: only the code's
 * structure counts. */
static double residual(unsigned rate_q8, unsigned span, struct loss loss, unsigned n_paths)
{
	struct lode_rng rng;
	struct stream s = {.newest = 0};
	void *encoder_mem = aligned_alloc(LODE_CACHE_LINE, lode_fec_encoder_bytes(LODE_CACHE_LINE));
	void *decoder_mem = aligned_alloc(LODE_CACHE_LINE, lode_fec_decoder_bytes(LODE_CACHE_LINE));
	struct lode_fec_encoder *e = lode_fec_encoder_init(encoder_mem, &tables, LODE_CACHE_LINE);
	struct lode_fec_decoder *d = lode_fec_decoder_init(decoder_mem, &tables, LODE_CACHE_LINE);
	unsigned n_missed = 0, n_sent = 0;
	lode_rng_seed(&rng, 1);
	lode_fec_encoder_set(e, (uint16_t)rate_q8, (uint8_t)span);
	for (uint32_t seq = 0; seq < N_PACKETS; seq++) {
		struct lode_fec_repair r;
		struct lode_fec_recovered out[LODE_FEC_LOST_MAX];
		struct lode_fec_sources sources = {&s, find_in_stream};
		if (seq >= DEADLINE)
			n_missed += !s.here[(seq - DEADLINE) % WINDOW];
		s.newest = seq;
		s.here[seq % WINDOW] = !lose(&loss, &rng, n_sent++ % n_paths);
		for (bool due = lode_fec_encoder_add(e, seq, NULL, 0, &r); due;
			due = lode_fec_encoder_due(e, &r)) {
			if (lose(&loss, &rng, n_sent++ % n_paths))
				continue;
			lode_fec_decoder_repair(d, &r);
			unsigned n =
				lode_fec_decoder_solve(d, seq > 100 ? seq - 100 : 0, &sources, out);
			for (unsigned i = 0; i < n; i++)
				s.here[out[i].seq % WINDOW] = true;
		}
	}
	free(encoder_mem);
	free(decoder_mem);
	return (double)n_missed / N_PACKETS;
}

static void overhead_row(struct lode_perf *p, const char *name, struct loss loss, unsigned n_paths)
{
	static const uint8_t spans[] = {10, 14, 18, 22, 28};
	unsigned best = 1024;
	if (!lode_perf_wanted(p, name))
		return;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(spans); i++) {
		unsigned low = 1, high = best;
		lode_perf_progress(p, "%s: span %u", name, spans[i]);
		while (low < high) { /* residual falls with the rate */
			unsigned mid = (low + high) / 2;
			if (residual(mid, spans[i], loss, n_paths) <= RESIDUAL)
				high = mid;
			else
				low = mid + 1;
		}
		best = high;
	}
	lode_perf_row(p, name, "overhead for 99.9 %", best / 2.56, "%", NULL, NAN);
}

/* ---- the policy's look-up, and its table ---- */

static void look_up(void *arg)
{
	struct lode_repair_cache *c = arg;
	c->left_pkts |= 64; /* never used up here */
	uint16_t rate = lode_repair_cache_rate(c, 1);
	__asm__ volatile("" : : "r"(rate));
}

static void decide(void *arg)
{
	struct lode_repair_decision d;
	lode_repair_decide(arg, &d);
	*(volatile uint8_t *)&((struct lode_repair_input *)arg)->copies = d.copies;
}

static void believe(void *arg)
{
	lode_repair_belief_observe(arg, 10 * LODE_NS_PER_MS, 100, 3, 2);
}

static void policy_speed(struct lode_perf *p)
{
	struct lode_repair_cache cache = {.left_pkts = 64, .expires_ns = LODE_NEVER_NS};
	struct lode_repair_input in = {.scheme = LODE_REPAIR_SCHEME_AUTO,
		.deadline_ns = 20 * LODE_NS_PER_MS,
		.residual = 1e-3,
		.rtt_ns = 60 * LODE_NS_PER_MS,
		.pps = 1000,
		.copies = 1,
		.n_paths = 1};
	struct lode_repair_belief belief;
	if (!lode_perf_wanted(p, "policy"))
		return;
	lode_repair_belief_init(&belief);
	lode_repair_belief_observe(&belief, LODE_NS_PER_S, 1000, 30, 15);
	in.paths[0].weight = 1;
	lode_repair_path_believe(&in.paths[0], &belief);
	lode_perf_row(p, "policy", "look-up of a packet",
		lode_perf_median_ns(look_up, &cache, 100000, 21), "ns", NULL, NAN);
	lode_perf_row(p, "policy", "belief of a path and report",
		lode_perf_median_ns(believe, &belief, 10000, 21), "ns", NULL, NAN);
	lode_perf_row(p, "policy", "decision", lode_perf_median_ns(decide, &in, 10000, 21), "ns",
		NULL, NAN);
}

/* lib/engine/repair_table.h on standard output. */
static int print_table(void)
{
	printf("/* SPDX-License-Identifier: BSD-3-Clause */\n"
	       "/* Made by `lode-perf fec -- table`; do not edit. */\n");
	int column = 0;
	for (unsigned i = 0; i < LODE_REPAIR_TABLE_DENSITY * LODE_REPAIR_TABLE_WINDOW *
					 LODE_REPAIR_TABLE_BAD * LODE_REPAIR_TABLE_LOSS;
		i++) {
		unsigned bad = i / LODE_REPAIR_TABLE_LOSS % LODE_REPAIR_TABLE_BAD;
		unsigned row = i / LODE_REPAIR_TABLE_LOSS / LODE_REPAIR_TABLE_BAD;
		const struct lode_repair_channel c = {
			.loss = lode_repair_table_loss[i % LODE_REPAIR_TABLE_LOSS],
			.bad_pkts = lode_repair_table_bad[bad],
			.density = lode_repair_table_density[row / LODE_REPAIR_TABLE_WINDOW]};
		double window = lode_repair_table_window[row % LODE_REPAIR_TABLE_WINDOW];
		for (unsigned r = 1; r < LODE_REPAIR_TABLE_RATE; r++) {
			double left = lode_repair_model_residual(
				&c, (unsigned)window, (unsigned)lode_repair_table_rate_q8[r]);
			column += printf(
				"%.0f,", -LODE_REPAIR_TABLE_UNIT * log2(LODE_MAX(left, 1e-18)));
			if (column > 94)
				column = putchar('\n') - '\n';
		}
	}
	putchar('\n');
	return 0;
}

int suite_fec(struct lode_perf *p)
{
	if (p->argc == 1 && !strcmp(p->argv[0], "table"))
		return print_table();
	struct lode_rng rng;
	struct pool pool = {.bytes = malloc((size_t)POOL * SYMBOL)};
	void *mem = aligned_alloc(LODE_CACHE_LINE, lode_fec_encoder_bytes(SYMBOL));
	if (!pool.bytes || !mem)
		return -1;
	lode_rng_seed(&rng, 1);
	for (size_t i = 0; i < (size_t)POOL * SYMBOL; i++)
		pool.bytes[i] = (uint8_t)lode_rng_u64(&rng);
	lode_fec_tables_init(&tables);
	pool.encoder = lode_fec_encoder_init(mem, &tables, SYMBOL);
	encode_row(p, &pool, "encode 10:1", 10, 1);
	encode_row(p, &pool, "encode 10:2", 10, 2);
	encode_row(p, &pool, "encode 10:4", 10, 4);
	encode_row(p, &pool, "encode 20:5", 20, 5);
	decode_row(p, &pool, "decode 2 of 10", 10, 2);
	decode_row(p, &pool, "decode 10 of 50", 50, 10);
	overhead_row(p, "random 1 %", (struct loss){.rate = 0.01, .burst = 1}, 1);
	overhead_row(p, "random 3 %", (struct loss){.rate = 0.03, .burst = 1}, 1);
	overhead_row(p, "random 5 %", (struct loss){.rate = 0.05, .burst = 1}, 1);
	overhead_row(p, "random 10 %", (struct loss){.rate = 0.1, .burst = 1}, 1);
	overhead_row(p, "bursts of 8, 1 %, 4 paths", (struct loss){.rate = 0.01, .burst = 8}, 4);
	free(mem);
	free(pool.bytes);
	policy_speed(p);
	fec_policy(p, &tables);
	fec_harm(p);
	return 0;
}
