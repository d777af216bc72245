/* SPDX-License-Identifier: BSD-3-Clause */
#include "tokens_stream.h"

#ifndef TOKENS_DECODE
#define TOKENS_DECODE tokens_decode_portable
#endif

static inline __attribute__((always_inline)) void decode_one(const struct token_stream *restrict s,
	struct token_cursor *at, uint32_t *state, const uint8_t *pred, uint8_t *out,
	const struct element el)
{
	const unsigned w = type_bytes(el.type), bits = 8 * w - el.shift;
	const bool is_float = type_is_float(el.type);
	uint32_t p = (uint32_t)(word_load(pred, w) >> el.shift);
	unsigned context = 0;
	if (is_float)
		context = s->context[p >> (type_mantissa_bits(el.type) - el.shift) &
				     token_exponent_mask(el.type)];
	unsigned token = rans_get(state, s->tables->slots[context], TOKEN_LOG2, &at->words);
	uint64_t value = s->value[token];
	uint64_t window = lode_load_le64(s->raw + at->raw_bit / 8) >> (at->raw_bit & 7);
	unsigned n_raw = (unsigned)(value >> 32);
	at->raw_bit += n_raw;
	uint32_t z = (uint32_t)value + ((uint32_t)window & ((1u << n_raw) - 1)), v;
	if (is_float && lode_unlikely(token - 1u < 2)) {
		uint32_t sign = p >> (bits - 1) ^ (token == TOKEN_ZERO_NEG);
		v = sign << (bits - 1);
	} else {
		v = (uint32_t)word_restore(z, p, bits, is_float, COMBINE_DIFF);
	}
	word_store(out, (uint64_t)v << el.shift, w);
}

static inline __attribute__((always_inline)) bool decode_words(struct token_stream *restrict s,
	const uint8_t *restrict pred, uint8_t *restrict out, size_t n, const struct element el)
{
	const unsigned w = type_bytes(el.type), n_states = rans_n_states(n);
	const uint8_t *words_end = s->words_end;
	const size_t raw_bits = s->raw_bits;
	struct token_cursor at = {s->words, 0};
	size_t i = 0;
#ifdef DECODE_SIXTEENS
	i = DECODE_SIXTEENS(s, &at, pred, out, n, el);
	pred += i * w;
	out += i * w;
#endif
	if (n_states == RANS_STATES) {
		uint32_t x0 = s->state[0], x1 = s->state[1], x2 = s->state[2], x3 = s->state[3];
		for (; i + RANS_STATES <= n && at.words <= words_end && at.raw_bit <= raw_bits;
			i += RANS_STATES, pred += RANS_STATES * w, out += RANS_STATES * w) {
			decode_one(s, &at, &x0, pred, out, el);
			decode_one(s, &at, &x1, pred + w, out + w, el);
			decode_one(s, &at, &x2, pred + 2 * w, out + 2 * w, el);
			decode_one(s, &at, &x3, pred + 3 * w, out + 3 * w, el);
		}
		s->state[0] = x0, s->state[1] = x1, s->state[2] = x2, s->state[3] = x3;
	}
	for (; i < n && at.words <= words_end && at.raw_bit <= raw_bits; i++, pred += w, out += w)
		decode_one(s, &at, &s->state[i & (n_states - 1)], pred, out, el);
	s->words = at.words;
	s->raw_bit = at.raw_bit;
	return i == n;
}

static bool read_tables(struct view *in, struct token_tables *t)
{
	struct freqs fr;
	t->valid = false;
	if (!get_u8(in, &t->contexts.top) || !get_u8(in, &t->contexts.n) || !t->contexts.n ||
		t->contexts.n > TOKEN_CONTEXTS)
		return false;
	t->has_zeros = false;
	for (unsigned c = 0; c < t->contexts.n; c++) {
		if (!freqs_read(&fr, N_TOKENS, TOKEN_LOG2, in))
			return false;
		t->has_zeros |= fr.f[TOKEN_ZERO] || fr.f[TOKEN_ZERO_NEG];
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
	s->raw_bits = 8 * view_left(in);
	for (unsigned token = 0; token < N_TOKENS; token++) {
		unsigned n_raw;
		uint32_t first = token_base(token, &n_raw);
		s->value[token] = first | (uint64_t)n_raw << 32;
	}
	for (unsigned e = 0; e < 256; e++)
		s->context[e] = (uint16_t)token_context(s->tables->contexts, e);
	return true;
}

static bool close_stream(const struct token_stream *s, size_t n)
{
	for (unsigned k = 0; k < rans_n_states(n); k++)
		if (s->state[k] != RANS_LOW)
			return false;
	return s->words == s->words_end && (s->raw_bit + 7) / 8 == s->raw_bits / 8;
}

/* The usual types get loops of their own. */
static bool decode_elements(struct token_stream *s, const uint8_t *pred, uint8_t *out, size_t n,
	const struct element *el)
{
	const struct element f32 = {LODE_DELTA_F32, COMBINE_DIFF, 0};
	const struct element bf16 = {LODE_DELTA_BF16, COMBINE_DIFF, 0};
	const struct element f16 = {LODE_DELTA_F16, COMBINE_DIFF, 0};
	const struct element u8 = {LODE_DELTA_U8, COMBINE_DIFF, 0};
	if (el->shift)
		return decode_words(s, pred, out, n, *el);
	switch (el->type) {
	case LODE_DELTA_F32:
		return decode_words(s, pred, out, n, f32);
	case LODE_DELTA_BF16:
		return decode_words(s, pred, out, n, bf16);
	case LODE_DELTA_F16:
		return decode_words(s, pred, out, n, f16);
	case LODE_DELTA_U8:
		return decode_words(s, pred, out, n, u8);
	default:
		return decode_words(s, pred, out, n, *el);
	}
}

bool TOKENS_DECODE(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct token_tables *tables)
{
	struct token_stream s = {.tables = tables};
	uint8_t flags;
	if (!get_u8(&in, &flags) || flags > TOKEN_FLAG_REUSE)
		return false;
	if (!(flags & TOKEN_FLAG_REUSE) && !read_tables(&in, tables))
		return false;
	if (!tables->valid || (tables->has_zeros && !type_is_float(el->type)) ||
		!open_stream(&s, &in, n))
		return false;
	return decode_elements(&s, pred, out, n, el) && close_stream(&s, n);
}
