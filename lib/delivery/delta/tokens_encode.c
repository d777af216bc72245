/* SPDX-License-Identifier: BSD-3-Clause */
#include "tokens_split.h"

#ifndef TOKENS_ENCODE
#define TOKENS_ENCODE tokens_encode_portable
#endif

/* The first context starts at the largest exponent that is not rare among some elements. */
static unsigned top_exponent(const struct element *el, const uint8_t *pred, size_t n)
{
	unsigned w = type_bytes(el->type), mask = token_exponent_mask(el->type);
	uint32_t counts[256] = {0}, above = 0, seen = 0;
	size_t step = LODE_MAX(n / 4096, 1u);
	if (!mask)
		return 0;
	for (size_t i = 0; i < n; i += step, seen++)
		counts[word_load(pred + i * w, w) >> type_mantissa_bits(el->type) & mask]++;
	for (unsigned e = 255; e > 0; e--) {
		above += counts[e];
		if (above > seen / 512)
			return e;
	}
	return 0;
}

static inline __attribute__((always_inline)) void split_words(struct token_plan *plan,
	const struct element el, const uint8_t *pred, const uint8_t *target, size_t n)
{
	struct raw_writer raw = {.to = plan->raw};
	size_t done = 0;
	memset(plan->counts, 0, sizeof(plan->counts));
#ifdef SPLIT_SIXTEENS
	done = SPLIT_SIXTEENS(plan, el, pred, target, n, &raw);
#endif
	split_each(plan, el, pred, target, done, n, &raw);
	plan->raw_len = (size_t)(raw.to - plan->raw) + (raw.n_acc + 7) / 8;
}

static void split(struct token_plan *plan, const struct element *el, const uint8_t *pred,
	const uint8_t *target, size_t n)
{
	const struct element f32 = {LODE_DELTA_F32, COMBINE_DIFF, 0};
	const struct element bf16 = {LODE_DELTA_BF16, COMBINE_DIFF, 0};
	const struct element f16 = {LODE_DELTA_F16, COMBINE_DIFF, 0};
	const struct element u8 = {LODE_DELTA_U8, COMBINE_DIFF, 0};
	plan->contexts.top = (uint8_t)top_exponent(el, pred, n);
	plan->contexts.n = plan->contexts.top ? TOKEN_CONTEXTS : 1;
	if (el->type == LODE_DELTA_F32 && !el->shift)
		split_words(plan, f32, pred, target, n);
	else if (el->type == LODE_DELTA_BF16 && !el->shift)
		split_words(plan, bf16, pred, target, n);
	else if (el->type == LODE_DELTA_F16 && !el->shift)
		split_words(plan, f16, pred, target, n);
	else if (el->type == LODE_DELTA_U8 && !el->shift)
		split_words(plan, u8, pred, target, n);
	else
		split_words(plan, *el, pred, target, n);
}

/* ---- models ---- */

static void write_tables(const struct token_model *m, struct buf *out)
{
	put_u8(out, m->contexts.top);
	put_u8(out, m->contexts.n);
	for (unsigned c = 0; c < m->contexts.n; c++)
		freqs_write(&m->fr[c], N_TOKENS, out);
}

/* Bits of the rANS part with this model, or a huge number when it cannot say a token that occurs. */
static double model_cost(const struct token_model *m, uint32_t (*counts)[N_TOKENS])
{
	double bits = 0;
	for (unsigned c = 0; c < m->contexts.n; c++) {
		for (unsigned t = 0; t < N_TOKENS; t++)
			if (counts[c][t] && !m->fr[c].f[t])
				return 1e18;
		bits += freqs_cost_bits(&m->fr[c], counts[c], N_TOKENS, TOKEN_LOG2);
	}
	return bits;
}

/* A model of these counts; returns its cost with tables, in bits. */
static double model_make(
	struct token_model *m, struct token_contexts contexts, uint32_t (*counts)[N_TOKENS])
{
	struct buf tables = {0};
	m->valid = true;
	m->contexts = contexts;
	for (unsigned c = 0; c < contexts.n; c++)
		freqs_from_counts(&m->fr[c], counts[c], N_TOKENS, TOKEN_LOG2);
	write_tables(m, &tables);
	double cost = model_cost(m, counts) + 8.0 * (double)tables.len;
	buf_free(&tables);
	return cost;
}

/* Adds the counts of the last contexts until only n are left. */
static void merge_contexts(uint32_t (*counts)[N_TOKENS], unsigned from, unsigned n)
{
	for (unsigned c = n; c < from; c++)
		for (unsigned t = 0; t < N_TOKENS; t++)
			counts[n - 1][t] += counts[c][t];
}

/* Halves the contexts while their tables cost more than they save. Returns the cost. */
static double choose_model(const struct token_plan *plan, struct token_model *best)
{
	uint32_t counts[TOKEN_CONTEXTS][N_TOKENS];
	struct token_contexts contexts = plan->contexts;
	struct token_model fewer;
	memcpy(counts, plan->counts, sizeof(counts));
	double cost = model_make(best, contexts, counts);
	while (contexts.n > 1) {
		merge_contexts(counts, contexts.n, contexts.n / 2);
		contexts.n /= 2;
		double fewer_cost = model_make(&fewer, contexts, counts);
		if (fewer_cost >= cost)
			break;
		cost = fewer_cost;
		*best = fewer;
	}
	return cost;
}

/* What the tables of the op before would cost. */
static double reuse_cost(const struct token_plan *plan, const struct token_model *old, size_t n)
{
	uint32_t counts[TOKEN_CONTEXTS][N_TOKENS] = {0};
	uint8_t context[256];
	for (unsigned e = 0; e < 256; e++)
		context[e] = (uint8_t)token_context(old->contexts, e);
	for (size_t i = 0; i < n; i++)
		counts[context[plan->exponent[i]]][plan->token[i]]++;
	return model_cost(old, counts);
}

/* ---- coding ---- */

static void code_tokens(const struct token_plan *plan, const struct token_model *m, size_t n,
	uint8_t *room, size_t room_len, struct buf *out)
{
	struct rans_symbol symbols[TOKEN_CONTEXTS][N_TOKENS];
	const struct rans_symbol *of_exponent[256];
	const uint8_t *restrict token = plan->token, *restrict exponent = plan->exponent;
	uint32_t x[RANS_STATES] = {RANS_LOW, RANS_LOW, RANS_LOW, RANS_LOW};
	uint8_t *end = room + room_len, *words = end;
	unsigned n_states = rans_n_states(n);
	size_t i = n;
	for (unsigned c = 0; c < m->contexts.n; c++)
		rans_symbols(&m->fr[c], N_TOKENS, TOKEN_LOG2, symbols[c]);
	for (unsigned e = 0; e < 256; e++)
		of_exponent[e] = symbols[token_context(m->contexts, e)];
	for (; i % RANS_STATES || (n_states == 1 && i); i--)
		rans_put(&x[(i - 1) & (n_states - 1)], &of_exponent[exponent[i - 1]][token[i - 1]],
			&words);
	uint32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
	for (; i; i -= RANS_STATES) {
		rans_put(&x3, &of_exponent[exponent[i - 1]][token[i - 1]], &words);
		rans_put(&x2, &of_exponent[exponent[i - 2]][token[i - 2]], &words);
		rans_put(&x1, &of_exponent[exponent[i - 3]][token[i - 3]], &words);
		rans_put(&x0, &of_exponent[exponent[i - 4]][token[i - 4]], &words);
	}
	x[0] = x0, x[1] = x1, x[2] = x2, x[3] = x3;
	for (unsigned k = n_states; k-- > 0;) {
		words -= 4;
		lode_store_le32(words, x[k]);
	}
	put_varint(out, (uint64_t)(end - words));
	put_bytes(out, words, (size_t)(end - words));
}

void TOKENS_ENCODE(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	struct token_model *model, struct buf *out)
{
	struct token_plan plan;
	struct token_model own;
	size_t raw_room = 4 * n + 16, words_room = 2 * n + 4 * RANS_STATES;
	uint8_t *scratch = malloc(raw_room + words_room + 2 * n);
	if (!scratch) {
		out->failed = true;
		return;
	}
	plan.raw = scratch;
	plan.token = scratch + raw_room + words_room;
	plan.exponent = plan.token + n;
	split(&plan, el, pred, target, n);
	double cost = choose_model(&plan, &own);
	bool reuse = model->valid && reuse_cost(&plan, model, n) <= cost;
	put_u8(out, reuse ? TOKEN_FLAG_REUSE : 0);
	if (!reuse) {
		write_tables(&own, out);
		*model = own;
	}
	code_tokens(&plan, model, n, scratch + raw_room, words_room, out);
	put_bytes(out, plan.raw, plan.raw_len);
	free(scratch);
}
