/* SPDX-License-Identifier: BSD-3-Clause */
/* Adaptive coding of residuals: each binary decision is predicted by four models (the prediction's exponent,
 * the size of the last residuals, that of the row above, exponent and two mantissa bits), mixed in the
 * logistic domain (Mahoney, PAQ; "Adaptive weighing of context models", 2005) and coded by a carry-less
 * binary range coder. Integers only, so that encoder and decoder agree on every machine. */
#include "bits.h"
#include "coders.h"
#include "words.h"

#define N_NODES	    48 /* decisions: same?, zero?, then a tree over 32 bit lengths */
#define NODE_SAME   0
#define NODE_ZERO   1
#define NODE_SIGN   2
#define NODE_TREE   8  /* + 1..31 */
#define N_SIZES	    48 /* expected bit lengths, clamped */
#define N_INPUTS    5  /* four models and a constant */
#define ROW_MAX	    65536
#define MODEL_LIMIT 255

/* A probability of a one in the high 22 bits, how often it was used in the low 10. */
typedef uint32_t bit_model;

struct adaptive_model {
	bit_model by_exponent[256][N_NODES];
	bit_model by_before[N_SIZES * 2][N_NODES];
	bit_model by_above[N_SIZES * 2][N_NODES];
	bit_model by_mantissa[256][N_NODES];
	bit_model fraction[33][32][4]; /* bits below the leading one: by bit length and exponent */
	int32_t weights[N_NODES][N_INPUTS];
	int16_t stretch[4096];
	uint16_t rate[MODEL_LIMIT + 1];
	int16_t size[BLOCK_MAX]; /* bit length + exponent of the residuals of this op */
};

size_t adaptive_model_bytes(void)
{
	return sizeof(struct adaptive_model);
}

/* 4096 / (1 + e^-x) for x in 1/256 units: interpolates a 33-entry table. */
static int squash(int x)
{
	static const int16_t table[33] = {1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747,
		1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975, 4022, 4050, 4068, 4079,
		4085, 4089, 4092, 4093, 4094};
	if (x > 2047)
		return 4095;
	if (x < -2047)
		return 1;
	int w = x & 127, i = (x >> 7) + 16;
	return (table[i] * (128 - w) + table[i + 1] * w + 64) >> 7;
}

static void fill_stretch(int16_t *stretch)
{
	int pi = 0;
	for (int x = -2047; x <= 2047; x++) {
		int v = squash(x);
		for (; pi <= v; pi++)
			stretch[pi] = (int16_t)x;
	}
	for (; pi < 4096; pi++)
		stretch[pi] = 2047;
}

static void fill_models(bit_model *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		m[i] = 1u << 31;
}

void adaptive_reset(struct adaptive_model *m)
{
	fill_models(&m->by_exponent[0][0], sizeof(m->by_exponent) / sizeof(bit_model));
	fill_models(&m->by_before[0][0], sizeof(m->by_before) / sizeof(bit_model));
	fill_models(&m->by_above[0][0], sizeof(m->by_above) / sizeof(bit_model));
	fill_models(&m->by_mantissa[0][0], sizeof(m->by_mantissa) / sizeof(bit_model));
	fill_models(&m->fraction[0][0][0], sizeof(m->fraction) / sizeof(bit_model));
	for (unsigned k = 0; k < N_NODES; k++)
		for (unsigned i = 0; i < N_INPUTS; i++)
			m->weights[k][i] = i < 4 ? 1 << 14 : 0;
	fill_stretch(m->stretch);
	for (unsigned n = 0; n <= MODEL_LIMIT; n++)
		m->rate[n] = (uint16_t)(2 * 65536 / (2 * n + 3));
}

void adaptive_copy(struct adaptive_model *to, const struct adaptive_model *from)
{
	memcpy(to, from, offsetof(struct adaptive_model, size));
}

/* Moves towards the bit by 1/(n + 1.5) until n reaches the limit. */
static inline void model_update(const uint16_t *rate, bit_model *m, unsigned bit, unsigned limit)
{
	uint32_t n = *m & 1023;
	int64_t p = *m >> 10, target = bit ? (1 << 22) - 1 : 0;
	p += (target - p) * rate[n] >> 16;
	*m = (uint32_t)p << 10 | LODE_MIN(n + 1, limit);
}

/* ---- the range coder ---- */

struct range_coder {
	uint32_t low, high, code;
	struct view in;
	unsigned past_end; /* decoder: zero bytes made up */
	struct buf *out;
};

static inline uint32_t next_byte(struct range_coder *rc)
{
	uint8_t b;
	if (get_u8(&rc->in, &b))
		return b;
	rc->past_end++;
	return 0;
}

static inline __attribute__((always_inline)) unsigned code_bit(
	struct range_coder *rc, unsigned bit, uint32_t p16, bool encode)
{
	uint32_t range = rc->high - rc->low;
	uint32_t mid = rc->low + (uint32_t)(((uint64_t)range * p16) >> 16);
	if (!encode)
		bit = rc->code <= mid;
	if (bit)
		rc->high = mid;
	else
		rc->low = mid + 1;
	while (!((rc->low ^ rc->high) >> 24)) {
		if (encode)
			put_u8(rc->out, (uint8_t)(rc->high >> 24));
		else
			rc->code = rc->code << 8 | next_byte(rc);
		rc->low <<= 8;
		rc->high = rc->high << 8 | 255;
	}
	return bit;
}

/* ---- the models of one element ---- */

/* What is known before the element: rows of each model. */
struct element_context {
	bit_model *model[4];
	unsigned exponent;
};

static inline __attribute__((always_inline)) unsigned code_node(struct adaptive_model *m,
	struct range_coder *rc, const struct element_context *c, unsigned node, unsigned bit,
	bool encode)
{
	int32_t *w = m->weights[node];
	int32_t in[N_INPUTS];
	int64_t dot = 0;
	for (unsigned i = 0; i < 4; i++)
		in[i] = m->stretch[c->model[i][node] >> 20];
	in[4] = 256;
	for (unsigned i = 0; i < N_INPUTS; i++)
		dot += (int64_t)in[i] * w[i];
	int x = (int)(dot >> 16);
	x = LODE_MIN(LODE_MAX(x, -2047), 2047);
	/* four more bits than the table has, for decisions that are nearly certain */
	int p = squash(x) * 16 + 8;
	bit = code_bit(rc, bit, (uint32_t)p, encode);
	int err = ((int)(bit << 16) - p) * 5 / 16;
	for (unsigned i = 0; i < N_INPUTS; i++)
		w[i] += (in[i] * err + 0x8000) >> 16;
	for (unsigned i = 0; i < 4; i++)
		model_update(m->rate, &c->model[i][node], bit, MODEL_LIMIT);
	return bit;
}

static inline __attribute__((always_inline)) unsigned code_length(struct adaptive_model *m,
	struct range_coder *rc, const struct element_context *c, unsigned length, bool encode)
{
	unsigned node = 1;
	for (int i = 4; i >= 0; i--)
		node = node * 2 +
		       code_node(m, rc, c, NODE_TREE + node, (length - 1) >> i & 1, encode);
	return (node & 31) + 1;
}

/* The two bits below the leading one. */
static inline __attribute__((always_inline)) uint32_t code_fraction(struct adaptive_model *m,
	struct range_coder *rc, const struct element_context *c, unsigned length,
	uint32_t magnitude, bool encode)
{
	bit_model *models = m->fraction[length][c->exponent & 31];
	unsigned node = 1, n = LODE_MIN(length - 1, 2u);
	for (unsigned i = 0; i < n; i++) {
		unsigned bit = magnitude >> (length - 2 - i) & 1;
		uint32_t p = models[node] >> 16;
		bit = code_bit(rc, bit, LODE_MIN(LODE_MAX(p, 32u), 65504u), encode);
		model_update(m->rate, &models[node], bit, MODEL_LIMIT);
		node = node * 2 + bit;
	}
	return n ? node << (length - 1 - n) : 1;
}

static unsigned clamp_size(int v)
{
	return (unsigned)LODE_MIN(LODE_MAX(v + 4, 0), N_SIZES - 1);
}

struct walk {
	struct adaptive_model *m;
	struct range_coder rc;
	struct element el;
	size_t row; /* elements per row, 0 unknown */
	bool has_zeros;
	int before, before2;
	struct bit_writer raw_out;
	struct view raw_in;
	size_t raw_bit;
};

static inline __attribute__((always_inline)) struct element_context context_of(
	struct walk *s, size_t i, uint32_t p, unsigned bits, bool is_float)
{
	struct adaptive_model *m = s->m;
	unsigned mantissa = type_mantissa_bits(s->el.type) - (is_float ? s->el.shift : 0);
	unsigned sign = p >> (bits - 1) & 1;
	struct element_context c = {.exponent = 0};
	if (is_float)
		c.exponent = p >> mantissa & (s->el.type == LODE_DELTA_F16 ? 31 : 255);
	int e = (int)c.exponent;
	int above = s->row && i >= s->row ? m->size[i - s->row] - e : s->before - e;
	unsigned fine = is_float ? (p >> (mantissa >= 2 ? mantissa - 2 : 0)) & 127
				 : p >> (bits > 7 ? bits - 7 : 0);
	c.model[0] = m->by_exponent[is_float ? c.exponent : p >> (bits - LODE_MIN(bits, 8u))];
	c.model[1] = m->by_before[2 * clamp_size((s->before + s->before2 + 1) / 2 - e) + sign];
	c.model[2] = m->by_above[2 * clamp_size(above) + sign];
	c.model[3] = m->by_mantissa[2 * fine + sign];
	return c;
}

static inline uint32_t raw_get(struct walk *s, unsigned n)
{
	uint64_t window = 0;
	size_t at = s->raw_bit / 8, left = view_left(&s->raw_in);
	if (at < left)
		memcpy(&window, s->raw_in.p + at, LODE_MIN(left - at, 8u));
	uint32_t v = (uint32_t)((window >> (s->raw_bit & 7)) & ((1ull << n) - 1));
	s->raw_bit += n;
	return v;
}

/* Codes one element. t: the target's word (encoder); returns the target's word. */
static inline __attribute__((always_inline)) uint32_t walk_one(
	struct walk *s, size_t i, uint32_t p, uint32_t t, unsigned bits, bool is_float, bool encode)
{
	struct element_context c = context_of(s, i, p, bits, is_float);
	uint32_t op = is_float ? (uint32_t)word_to_ordered(p, bits) : p;
	uint32_t ot = is_float ? (uint32_t)word_to_ordered(t, bits) : t;
	uint32_t mask = (uint32_t)word_mask(bits), sign_bit = 1u << (bits - 1);
	uint32_t d = (ot - op) & mask;
	unsigned negative = d >> (bits - 1) & 1;
	uint32_t magnitude = negative ? (0 - d) & mask : d;
	unsigned length = bit_length(magnitude);
	unsigned same = code_node(s->m, &s->rc, &c, NODE_SAME, !magnitude, encode);
	int size = (int)c.exponent;
	if (same) {
		t = p;
	} else if (s->has_zeros &&
		   code_node(s->m, &s->rc, &c, NODE_ZERO, !(t & (sign_bit - 1)), encode)) {
		unsigned flip =
			code_node(s->m, &s->rc, &c, NODE_SIGN + 1, t != (p & sign_bit), encode);
		t = (p & sign_bit) ^ (flip ? sign_bit : 0);
		size = s->before;
	} else {
		length = code_length(s->m, &s->rc, &c, length, encode);
		negative = code_node(s->m, &s->rc, &c, NODE_SIGN, negative, encode);
		uint32_t top = code_fraction(s->m, &s->rc, &c, length, magnitude, encode);
		unsigned n_raw = length > 3 ? length - 3 : 0;
		if (encode)
			bits_put(&s->raw_out, magnitude & ((1u << n_raw) - 1), n_raw);
		else
			magnitude = top | (n_raw ? raw_get(s, n_raw) : 0);
		if (!encode) {
			ot = (negative ? op - magnitude : op + magnitude) & mask;
			t = is_float ? (uint32_t)word_from_ordered(ot, bits) : ot;
		}
		size += (int)length;
	}
	s->before2 = s->before;
	s->before = size;
	s->m->size[i] = (int16_t)size;
	return t;
}

static inline __attribute__((always_inline)) void walk_words(struct walk *s, const uint8_t *pred,
	const uint8_t *target, uint8_t *out, size_t n, unsigned w, bool is_float, bool encode)
{
	unsigned bits = 8 * w - s->el.shift;
	for (size_t i = 0; i < n && s->rc.past_end <= 4; i++) {
		uint32_t p = (uint32_t)(word_load(pred + i * w, w) >> s->el.shift);
		uint32_t t = encode ? (uint32_t)(word_load(target + i * w, w) >> s->el.shift) : 0;
		t = walk_one(s, i, p, t, bits, is_float, encode);
		if (!encode)
			word_store(out + i * w, (uint64_t)t << s->el.shift, w);
	}
}

static inline __attribute__((always_inline)) void walk(struct walk *s, const uint8_t *pred,
	const uint8_t *target, uint8_t *out, size_t n, bool encode)
{
	unsigned w = type_bytes(s->el.type);
	if (w == 4 && s->el.type == LODE_DELTA_F32)
		walk_words(s, pred, target, out, n, 4, true, encode);
	else if (w == 2 && type_is_float(s->el.type))
		walk_words(s, pred, target, out, n, 2, true, encode);
	else
		walk_words(s, pred, target, out, n, w, false, encode);
}

/* ---- payload: row length * 2 + has_zeros, length of the coded part, coded part, raw bits ---- */

bool adaptive_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct adaptive_model *m)
{
	struct walk s = {.m = m, .el = *el, .rc = {.high = ~0u}};
	size_t row, coded;
	if (!get_size(&in, 2 * ROW_MAX + 1, &row) || !get_size(&in, view_left(&in), &coded) ||
		!get_view(&in, coded, &s.rc.in))
		return false;
	s.row = row / 2;
	s.has_zeros = row & 1;
	if (s.has_zeros && !type_is_float(el->type))
		return false;
	s.raw_in = in;
	for (unsigned i = 0; i < 4; i++)
		s.rc.code = s.rc.code << 8 | next_byte(&s.rc);
	walk(&s, pred, NULL, out, n, false);
	return s.rc.past_end <= 4 && s.rc.in.p == s.rc.in.end &&
	       (s.raw_bit + 7) / 8 == view_left(&s.raw_in);
}

static bool any_new_zero(
	const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n)
{
	unsigned w = type_bytes(el->type);
	uint64_t magnitude = word_mask(8 * w - 1);
	for (size_t i = 0; i < n; i++) {
		uint64_t t = word_load(target + i * w, w);
		if (!(t & magnitude) && t != word_load(pred + i * w, w))
			return true;
	}
	return false;
}

void adaptive_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	size_t row, struct adaptive_model *m, struct buf *out)
{
	struct buf coded = {0}, raw = {0};
	struct walk s = {
		.m = m, .el = *el, .rc = {.high = ~0u, .out = &coded}, .raw_out.out = &raw};
	s.row = row <= ROW_MAX ? row : 0;
	s.has_zeros = type_is_float(el->type) && any_new_zero(el, pred, target, n);
	walk(&s, pred, target, NULL, n, true);
	/* any value in [low, high] ends the stream; the shortest one, zeros following */
	if (s.rc.low)
		put_u8(&coded, (uint8_t)((s.rc.low >> 24) + 1));
	bits_flush(&s.raw_out);
	put_varint(out, 2 * s.row + s.has_zeros);
	put_varint(out, coded.len);
	put_bytes(out, coded.data, coded.len);
	put_bytes(out, raw.data, raw.len);
	out->failed |= coded.failed | raw.failed;
	buf_free(&coded);
	buf_free(&raw);
}
