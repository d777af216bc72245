/* SPDX-License-Identifier: BSD-3-Clause */
#include "bits.h"
#include "coders.h"
#include "words.h"

/* Payload: flags (bit 0: tables of the op before), else top, n contexts and their frequencies; then the
 * length of the rANS part, its states and words, and the raw low bits of the residuals up to the end. */
#define FLAG_REUSE 1

static unsigned exponent_mask(enum lode_delta_type t)
{
	return type_is_float(t) ? (t == LODE_DELTA_F16 ? 0x1f : 0xff) : 0;
}

/* ---- decoder ---- */

/* How to read one residual: first value of each token and its raw bits. */
struct token_values {
	uint32_t base[128];
	uint8_t n_raw[128];
};

struct token_stream {
	const struct token_tables *tables;
	struct token_values values;
	uint16_t context_slot[256]; /* of an exponent: first slot of its context's table, / 2048 */
	const uint8_t *words, *words_end;
	const uint8_t *raw;
	size_t raw_bit, raw_bits;
	uint32_t state[RANS_STATES];
};

static inline __attribute__((always_inline)) void decode_one(struct token_stream *s,
	uint32_t *state, const uint8_t *pred, uint8_t *out, const struct element *el, unsigned w,
	bool is_float)
{
	unsigned bits = 8 * w - el->shift;
	uint32_t p = (uint32_t)(word_load(pred, w) >> el->shift);
	unsigned context = 0;
	if (is_float)
		context = s->context_slot[p >> (type_mantissa_bits(el->type) - el->shift) &
					  exponent_mask(el->type)];
	unsigned token = rans_get(state, s->tables->slots[context], TOKEN_LOG2, &s->words);
	unsigned n_raw = s->values.n_raw[token];
	uint64_t window = lode_load_le64(s->raw + s->raw_bit / 8) >> (s->raw_bit & 7);
	s->raw_bit += n_raw;
	uint32_t z = s->values.base[token] + ((uint32_t)window & ((1u << n_raw) - 1));
	uint32_t v;
	if (is_float && lode_unlikely(token - 1u < 2)) {
		uint32_t sign = p >> (bits - 1) ^ (token == TOKEN_ZERO_NEG);
		v = sign << (bits - 1);
	} else {
		v = (uint32_t)word_restore(z, p, bits, is_float, COMBINE_DIFF);
	}
	word_store(out, (uint64_t)v << el->shift, w);
}

static inline __attribute__((always_inline)) bool decode_words(struct token_stream *s,
	const uint8_t *pred, uint8_t *out, size_t n, const struct element *element, unsigned w,
	bool is_float)
{
	const struct element el = *element;
	size_t i = 0;
	if (rans_n_states(n) == RANS_STATES) {
		uint32_t x0 = s->state[0], x1 = s->state[1], x2 = s->state[2], x3 = s->state[3];
		for (; i + RANS_STATES <= n && s->words <= s->words_end &&
			s->raw_bit <= s->raw_bits;
			i += RANS_STATES) {
			decode_one(s, &x0, pred + i * w, out + i * w, &el, w, is_float);
			decode_one(s, &x1, pred + (i + 1) * w, out + (i + 1) * w, &el, w, is_float);
			decode_one(s, &x2, pred + (i + 2) * w, out + (i + 2) * w, &el, w, is_float);
			decode_one(s, &x3, pred + (i + 3) * w, out + (i + 3) * w, &el, w, is_float);
		}
		s->state[0] = x0, s->state[1] = x1, s->state[2] = x2, s->state[3] = x3;
	}
	for (; i < n && s->words <= s->words_end && s->raw_bit <= s->raw_bits; i++)
		decode_one(s, &s->state[i & (rans_n_states(n) - 1)], pred + i * w, out + i * w, &el,
			w, is_float);
	return i == n;
}

static bool read_tables(struct view *in, const struct element *el, struct token_tables *t)
{
	struct freqs fr;
	t->valid = false;
	if (!get_u8(in, &t->contexts.top) || !get_u8(in, &t->contexts.n) || !t->contexts.n ||
		t->contexts.n > TOKEN_CONTEXTS)
		return false;
	for (unsigned c = 0; c < t->contexts.n; c++) {
		if (!freqs_read(&fr, N_TOKENS, TOKEN_LOG2, in))
			return false;
		if (!type_is_float(el->type) && (fr.f[TOKEN_ZERO] || fr.f[TOKEN_ZERO_NEG]))
			return false;
		rans_fill_slots(&fr, N_TOKENS, TOKEN_LOG2, t->slots[c]);
	}
	t->valid = true;
	return true;
}

static bool open_stream(struct token_stream *s, struct view *in, size_t n)
{
	size_t rans_bytes;
	struct view rans;
	if (!get_size(in, view_left(in), &rans_bytes) || !get_view(in, rans_bytes, &rans))
		return false;
	for (unsigned k = 0; k < rans_n_states(n); k++)
		if (!get_le32(&rans, &s->state[k]) || s->state[k] < RANS_LOW)
			return false;
	s->words = rans.p;
	s->words_end = rans.end;
	s->raw = in->p;
	s->raw_bit = 0;
	s->raw_bits = 8 * view_left(in);
	for (unsigned token = 0; token < N_TOKENS; token++) {
		unsigned n_raw;
		s->values.base[token] = token_base(token, &n_raw);
		s->values.n_raw[token] = (uint8_t)n_raw;
	}
	for (unsigned e = 0; e < 256; e++)
		s->context_slot[e] = (uint16_t)token_context(s->tables->contexts, e);
	return true;
}

static bool close_stream(const struct token_stream *s, size_t n)
{
	for (unsigned k = 0; k < rans_n_states(n); k++)
		if (s->state[k] != RANS_LOW)
			return false;
	return s->words == s->words_end && (s->raw_bit + 7) / 8 == s->raw_bits / 8;
}

bool tokens_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct token_tables *tables)
{
	struct token_stream s = {.tables = tables};
	uint8_t flags;
	if (!get_u8(&in, &flags) || flags > FLAG_REUSE)
		return false;
	if (!(flags & FLAG_REUSE) && !read_tables(&in, el, tables))
		return false;
	if (!tables->valid || !open_stream(&s, &in, n))
		return false;
	bool done = false;
	switch (type_bytes(el->type) + (type_is_float(el->type) ? 8 : 0)) {
	case 1:
		done = decode_words(&s, pred, out, n, el, 1, false);
		break;
	case 2:
		done = decode_words(&s, pred, out, n, el, 2, false);
		break;
	case 4:
		done = decode_words(&s, pred, out, n, el, 4, false);
		break;
	case 8 + 2:
		done = decode_words(&s, pred, out, n, el, 2, true);
		break;
	case 8 + 4:
		done = decode_words(&s, pred, out, n, el, 4, true);
		break;
	}
	return done && close_stream(&s, n);
}

/* ---- encoder ---- */

/* Tokens of all elements, and how often each came in each context (exponent from top downwards). */
struct token_plan {
	struct token_contexts contexts;
	uint32_t counts[TOKEN_CONTEXTS][N_TOKENS];
	uint8_t *token, *exponent; /* per element */
};

static inline __attribute__((always_inline)) size_t split_words(struct token_plan *plan,
	const struct element *element, const uint8_t *pred, const uint8_t *target, size_t n,
	uint8_t *raw, unsigned w, bool is_float)
{
	const struct element el = *element;
	unsigned bits = 8 * w - el.shift, mantissa = type_mantissa_bits(el.type) - el.shift;
	uint8_t *start = raw;
	uint64_t acc = 0;
	unsigned n_acc = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t p = (uint32_t)(word_load(pred + i * w, w) >> el.shift);
		uint32_t t = (uint32_t)(word_load(target + i * w, w) >> el.shift);
		uint32_t z = (uint32_t)word_residual(t, p, bits, is_float, COMBINE_DIFF);
		unsigned n_raw, token = token_of(z, &n_raw);
		if (is_float && !(t & word_mask(bits - 1)) && z) {
			token = t == (p & 1u << (bits - 1)) ? TOKEN_ZERO : TOKEN_ZERO_NEG;
			n_raw = 0;
		}
		plan->token[i] = (uint8_t)token;
		plan->exponent[i] =
			is_float ? (uint8_t)(p >> mantissa & exponent_mask(el.type)) : 0;
		acc |= (uint64_t)(z & ((1u << n_raw) - 1)) << n_acc;
		n_acc += n_raw;
		lode_store_le64(raw, acc);
		raw += n_acc / 8;
		acc >>= n_acc & ~7u;
		n_acc &= 7;
	}
	return (size_t)(raw - start) + (n_acc + 7) / 8;
}

static size_t split(struct token_plan *plan, const struct element *el, const uint8_t *pred,
	const uint8_t *target, size_t n, uint8_t *raw)
{
	switch (type_bytes(el->type) + (type_is_float(el->type) ? 8 : 0)) {
	case 1:
		return split_words(plan, el, pred, target, n, raw, 1, false);
	case 2:
		return split_words(plan, el, pred, target, n, raw, 2, false);
	case 4:
		return split_words(plan, el, pred, target, n, raw, 4, false);
	case 8 + 2:
		return split_words(plan, el, pred, target, n, raw, 2, true);
	default:
		return split_words(plan, el, pred, target, n, raw, 4, true);
	}
}

/* The first context starts at the largest exponent that is not rare. */
static unsigned top_exponent(const uint8_t *exponent, size_t n)
{
	uint32_t counts[256] = {0};
	size_t above = 0;
	for (size_t i = 0; i < n; i++)
		counts[exponent[i]]++;
	for (unsigned e = 255; e > 0; e--) {
		above += counts[e];
		if (above > n / 512)
			return e;
	}
	return 0;
}

static void count_tokens(struct token_plan *plan, size_t n)
{
	uint8_t context[256];
	for (unsigned e = 0; e < 256; e++)
		context[e] = (uint8_t)token_context(plan->contexts, e);
	memset(plan->counts, 0, sizeof(plan->counts));
	for (size_t i = 0; i < n; i++)
		plan->counts[context[plan->exponent[i]]][plan->token[i]]++;
}

static void model_from_counts(struct token_model *m, const struct token_plan *plan)
{
	m->valid = true;
	m->contexts = plan->contexts;
	for (unsigned c = 0; c < m->contexts.n; c++)
		freqs_from_counts(&m->fr[c], plan->counts[c], N_TOKENS, TOKEN_LOG2);
}

static void write_tables(const struct token_model *m, struct buf *out)
{
	put_u8(out, m->contexts.top);
	put_u8(out, m->contexts.n);
	for (unsigned c = 0; c < m->contexts.n; c++)
		freqs_write(&m->fr[c], N_TOKENS, out);
}

/* Bits of the rANS part with this model, or a huge number when it cannot say a token that occurs. */
static double model_cost(const struct token_model *m, const struct token_plan *plan)
{
	double bits = 0;
	for (unsigned c = 0; c < m->contexts.n; c++) {
		for (unsigned t = 0; t < N_TOKENS; t++)
			if (plan->counts[c][t] && !m->fr[c].f[t])
				return 1e18;
		bits += freqs_cost_bits(&m->fr[c], plan->counts[c], N_TOKENS, TOKEN_LOG2);
	}
	return bits;
}

/* Fewer contexts when their tables cost more than they save: halves them while that pays. */
static void choose_contexts(struct token_plan *plan, struct token_model *m, size_t n)
{
	struct buf tables = {0};
	struct token_model fewer;
	plan->contexts.n = plan->contexts.top ? TOKEN_CONTEXTS : 1;
	count_tokens(plan, n);
	model_from_counts(m, plan);
	write_tables(m, &tables);
	double cost = model_cost(m, plan) + 8.0 * (double)tables.len;
	while (plan->contexts.n > 1 && n < 200000) {
		plan->contexts.n /= 2;
		count_tokens(plan, n);
		model_from_counts(&fewer, plan);
		tables.len = 0;
		write_tables(&fewer, &tables);
		double fewer_cost = model_cost(&fewer, plan) + 8.0 * (double)tables.len;
		if (fewer_cost >= cost) {
			plan->contexts.n *= 2;
			break;
		}
		cost = fewer_cost;
		*m = fewer;
	}
	count_tokens(plan, n);
	buf_free(&tables);
}

static void code_tokens(
	const struct token_plan *plan, const struct token_model *m, size_t n, struct buf *out)
{
	uint32_t start[TOKEN_CONTEXTS][N_TOKENS], state[RANS_STATES];
	uint8_t context[256];
	for (unsigned c = 0; c < m->contexts.n; c++) {
		uint32_t slot = 0;
		for (unsigned t = 0; t < N_TOKENS; slot += m->fr[c].f[t++])
			start[c][t] = slot;
	}
	for (unsigned e = 0; e < 256; e++)
		context[e] = (uint8_t)token_context(m->contexts, e);
	unsigned n_states = rans_n_states(n);
	size_t room = 2 * n + 4 * RANS_STATES;
	uint8_t *coded = malloc(room), *end = coded + room, *words = end;
	if (!coded) {
		out->failed = true;
		return;
	}
	for (unsigned k = 0; k < RANS_STATES; k++)
		state[k] = RANS_LOW;
	for (size_t i = n; i-- > 0;) {
		unsigned c = context[plan->exponent[i]], t = plan->token[i];
		rans_put(
			&state[i & (n_states - 1)], start[c][t], m->fr[c].f[t], TOKEN_LOG2, &words);
	}
	for (unsigned k = n_states; k-- > 0;) {
		words -= 4;
		lode_store_le32(words, state[k]);
	}
	put_varint(out, (uint64_t)(end - words));
	put_bytes(out, words, (size_t)(end - words));
	free(coded);
}

/* Keeps the tables of the op before when new ones would not pay for themselves. */
static bool reuse_pays(struct token_plan *plan, const struct token_model *old,
	const struct token_model *own, size_t n)
{
	struct buf tables = {0};
	struct token_contexts own_contexts = plan->contexts;
	write_tables(own, &tables);
	double own_cost = model_cost(own, plan) + 8.0 * (double)tables.len;
	buf_free(&tables);
	plan->contexts = old->contexts;
	count_tokens(plan, n);
	bool pays = model_cost(old, plan) <= own_cost;
	if (!pays) {
		plan->contexts = own_contexts;
		count_tokens(plan, n);
	}
	return pays;
}

void tokens_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	struct token_model *model, struct buf *out)
{
	struct token_plan plan;
	struct token_model own;
	uint8_t *raw = malloc(4 * n + 16);
	plan.token = malloc(2 * n);
	if (!raw || !plan.token) {
		out->failed = true;
		goto out;
	}
	plan.exponent = plan.token + n;
	size_t raw_len = split(&plan, el, pred, target, n, raw);
	plan.contexts.top = (uint8_t)top_exponent(plan.exponent, n);
	choose_contexts(&plan, &own, n);
	bool reuse = model->valid && reuse_pays(&plan, model, &own, n);
	put_u8(out, reuse ? FLAG_REUSE : 0);
	if (!reuse) {
		write_tables(&own, out);
		*model = own;
	}
	code_tokens(&plan, model, n, out);
	put_bytes(out, raw, raw_len);
out:
	free(raw);
	free(plan.token);
}
