/* SPDX-License-Identifier: BSD-3-Clause */
/* The unknowns are the missing sources under the kept repairs, the equations are the repairs. Elimination
 * runs on that small matrix of coefficients only; then each unknown that came out unique is one linear
 * combination of repairs and arrived sources, folded in one pass over each of them. */
#include "fec.h"

/* Repairs whose window starts further ahead are nonsense; it bounds the walk over all windows. */
#define WINDOW_MAX (8 * LODE_FEC_SPAN_MAX)

struct kept_repair {
	struct lode_fec_repair r;
	bool used;
};

struct lode_fec_decoder {
	const struct lode_fec_tables *tables;
	uint16_t symbol_bytes;
	uint8_t next; /* slot of the next repair */
	struct kept_repair kept[LODE_FEC_REPAIRS_MAX];
	uint8_t *recovered[LODE_FEC_LOST_MAX];
};

/* The matrix [coefficients of unknowns | identity]: what elimination does to the repairs is kept on the
 * right. */
struct system {
	unsigned n_rows, n_unknowns;
	uint32_t unknown[LODE_FEC_LOST_MAX];
	uint8_t repair[LODE_FEC_REPAIRS_MAX]; /* slot of each row */
	uint8_t a[LODE_FEC_REPAIRS_MAX][LODE_FEC_LOST_MAX];
	uint8_t mix[LODE_FEC_REPAIRS_MAX][LODE_FEC_REPAIRS_MAX];
	int8_t row_of[LODE_FEC_LOST_MAX]; /* the row that gives this unknown alone; -1: none */
};

size_t lode_fec_decoder_bytes(uint16_t symbol_bytes)
{
	size_t own = (sizeof(struct lode_fec_decoder) + LODE_CACHE_LINE - 1) / LODE_CACHE_LINE;
	return own * LODE_CACHE_LINE +
	       (size_t)(LODE_FEC_REPAIRS_MAX + LODE_FEC_LOST_MAX) * padded(symbol_bytes);
}

struct lode_fec_decoder *lode_fec_decoder_init(
	void *mem, const struct lode_fec_tables *tables, uint16_t symbol_bytes)
{
	struct lode_fec_decoder *d = mem;
	size_t size = padded(symbol_bytes);
	uint8_t *bytes = (uint8_t *)mem + lode_fec_decoder_bytes(symbol_bytes) -
			 (LODE_FEC_REPAIRS_MAX + LODE_FEC_LOST_MAX) * size;
	memset(d, 0, sizeof(*d));
	d->tables = tables;
	d->symbol_bytes = symbol_bytes;
	for (unsigned i = 0; i < LODE_FEC_REPAIRS_MAX; i++, bytes += size)
		d->kept[i].r.bytes = bytes;
	for (unsigned i = 0; i < LODE_FEC_LOST_MAX; i++, bytes += size)
		d->recovered[i] = bytes;
	return d;
}

int lode_fec_decoder_repair(struct lode_fec_decoder *d, const struct lode_fec_repair *r)
{
	if (r->span == 0 || r->span > LODE_FEC_SPAN_MAX || r->len > d->symbol_bytes || r->id > 0x7f)
		return -EINVAL;
	struct kept_repair *k = &d->kept[d->next];
	uint8_t *bytes = k->r.bytes;
	memcpy(bytes, r->bytes, r->len);
	k->r = *r;
	k->r.bytes = bytes;
	k->used = true;
	d->next = (uint8_t)((d->next + 1) % LODE_FEC_REPAIRS_MAX);
	return 0;
}

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static int column_of(const struct system *s, uint32_t seq)
{
	for (unsigned i = 0; i < s->n_unknowns; i++)
		if (s->unknown[i] == seq)
			return (int)i;
	return -1;
}

/* Adds a row for the repair in `slot`, with columns for its missing sources. False: nothing is missing, or
 * there are more unknowns than can be solved for. */
static bool add_row(struct lode_fec_decoder *d, struct system *s, unsigned slot, uint32_t oldest,
	const struct lode_fec_sources *sources)
{
	const struct lode_fec_repair *r = &d->kept[slot].r;
	uint8_t *row = s->a[s->n_rows];
	unsigned n_missing = 0, n_before = s->n_unknowns;
	uint16_t len;
	memset(row, 0, sizeof(s->a[0]));
	for (uint32_t seq = r->first_seq; seq != r->first_seq + r->span; seq++) {
		if (sources->find(sources->ctx, seq, &len))
			continue;
		int column = column_of(s, seq);
		/* What is gone for good makes the equation useless. */
		if (before(seq, oldest) || (column < 0 && s->n_unknowns == LODE_FEC_LOST_MAX)) {
			s->n_unknowns = n_before;
			return false;
		}
		if (column < 0) {
			column = (int)s->n_unknowns;
			s->unknown[s->n_unknowns++] = seq;
		}
		row[column] = lode_fec_coefficient(d->tables, r->id, seq);
		n_missing++;
	}
	if (n_missing == 0) {
		d->kept[slot].used = false;
		return false;
	}
	memset(s->mix[s->n_rows], 0, sizeof(s->mix[0]));
	s->mix[s->n_rows][s->n_rows] = 1;
	s->repair[s->n_rows++] = (uint8_t)slot;
	return true;
}

static void collect(struct lode_fec_decoder *d, struct system *s, uint32_t oldest,
	const struct lode_fec_sources *sources)
{
	s->n_rows = s->n_unknowns = 0;
	for (unsigned slot = 0; slot < LODE_FEC_REPAIRS_MAX; slot++) {
		struct kept_repair *k = &d->kept[slot];
		if (k->used && (before(k->r.first_seq + k->r.span - 1u, oldest) ||
				       before(oldest + WINDOW_MAX, k->r.first_seq)))
			k->used = false;
		if (k->used)
			add_row(d, s, slot, oldest, sources);
	}
}

static void scale_row(const struct lode_fec_tables *t, struct system *s, unsigned row, uint8_t by)
{
	for (unsigned c = 0; c < s->n_unknowns; c++)
		s->a[row][c] = gf_product(t, by, s->a[row][c]);
	for (unsigned c = 0; c < s->n_rows; c++)
		s->mix[row][c] = gf_product(t, by, s->mix[row][c]);
}

static void subtract_row(const struct lode_fec_tables *t, struct system *s, unsigned row,
	unsigned from, uint8_t times)
{
	for (unsigned c = 0; c < s->n_unknowns; c++)
		s->a[row][c] ^= gf_product(t, times, s->a[from][c]);
	for (unsigned c = 0; c < s->n_rows; c++)
		s->mix[row][c] ^= gf_product(t, times, s->mix[from][c]);
}

static void swap_rows(struct system *s, unsigned i, unsigned j)
{
	uint8_t a[LODE_FEC_LOST_MAX], mix[LODE_FEC_REPAIRS_MAX];
	memcpy(a, s->a[i], sizeof(a));
	memcpy(s->a[i], s->a[j], sizeof(a));
	memcpy(s->a[j], a, sizeof(a));
	memcpy(mix, s->mix[i], sizeof(mix));
	memcpy(s->mix[i], s->mix[j], sizeof(mix));
	memcpy(s->mix[j], mix, sizeof(mix));
}

/* Gauss-Jordan; a row left with one unknown gives it. */
static void eliminate(const struct lode_fec_tables *t, struct system *s)
{
	unsigned rank = 0;
	memset(s->row_of, -1, sizeof(s->row_of));
	for (unsigned c = 0; c < s->n_unknowns && rank < s->n_rows; c++) {
		unsigned pivot = rank;
		while (pivot < s->n_rows && s->a[pivot][c] == 0)
			pivot++;
		if (pivot == s->n_rows)
			continue;
		if (pivot != rank)
			swap_rows(s, pivot, rank);
		scale_row(t, s, rank, t->inverse[s->a[rank][c]]);
		for (unsigned r = 0; r < s->n_rows; r++)
			if (r != rank && s->a[r][c])
				subtract_row(t, s, r, rank, s->a[r][c]);
		rank++;
	}
	for (unsigned r = 0; r < rank; r++) {
		unsigned n = 0, last = 0;
		for (unsigned c = 0; c < s->n_unknowns; c++)
			if (s->a[r][c]) {
				n++;
				last = c;
			}
		if (n == 1)
			s->row_of[last] = (int8_t)r;
	}
}

struct solution {
	unsigned n;
	uint8_t unknown[LODE_FEC_LOST_MAX]; /* columns that came out */
	uint16_t len[LODE_FEC_LOST_MAX];    /* recovered lengths */
	uint16_t longest;		    /* of the repairs in use */
	uint8_t *to[LODE_FEC_LOST_MAX];
};

static void choose(const struct lode_fec_decoder *d, const struct system *s, struct solution *x)
{
	x->n = 0;
	x->longest = 0;
	for (unsigned c = 0; c < s->n_unknowns; c++)
		if (s->row_of[c] >= 0) {
			x->len[x->n] = 0;
			x->to[x->n] = d->recovered[x->n];
			x->unknown[x->n++] = (uint8_t)c;
		}
	for (unsigned r = 0; r < s->n_rows; r++)
		x->longest = LODE_MAX(x->longest, d->kept[s->repair[r]].r.len);
	for (unsigned i = 0; i < x->n; i++)
		memset(x->to[i], 0, x->longest);
}

static void fold_repairs(
	const struct lode_fec_decoder *d, const struct system *s, struct solution *x)
{
	uint8_t coefficient[LODE_FEC_LOST_MAX];
	for (unsigned r = 0; r < s->n_rows; r++) {
		const struct lode_fec_repair *repair = &d->kept[s->repair[r]].r;
		for (unsigned i = 0; i < x->n; i++) {
			coefficient[i] = s->mix[s->row_of[x->unknown[i]]][r];
			x->len[i] ^= gf_product16(d->tables, coefficient[i], repair->coded_length);
		}
		fold(d->tables, x->n, coefficient, x->to, repair->bytes, repair->len);
	}
}

/* The share of an arrived source in each unknown: over all repairs that cover it. */
static void fold_sources(const struct lode_fec_decoder *d, const struct system *s,
	struct solution *x, const struct lode_fec_sources *sources)
{
	uint8_t coefficient[LODE_FEC_LOST_MAX];
	uint32_t first = d->kept[s->repair[0]].r.first_seq, end = first;
	for (unsigned r = 0; r < s->n_rows; r++) {
		const struct lode_fec_repair *k = &d->kept[s->repair[r]].r;
		first = before(k->first_seq, first) ? k->first_seq : first;
		end = before(end, k->first_seq + k->span) ? k->first_seq + k->span : end;
	}
	for (uint32_t seq = first; seq != end; seq++) {
		uint16_t len;
		const uint8_t *bytes = sources->find(sources->ctx, seq, &len);
		if (!bytes || len > d->symbol_bytes)
			continue;
		memset(coefficient, 0, sizeof(coefficient));
		for (unsigned r = 0; r < s->n_rows; r++) {
			const struct lode_fec_repair *k = &d->kept[s->repair[r]].r;
			if (seq - k->first_seq >= k->span)
				continue;
			uint8_t c = lode_fec_coefficient(d->tables, k->id, seq);
			for (unsigned i = 0; i < x->n; i++)
				coefficient[i] ^= gf_product(
					d->tables, c, s->mix[s->row_of[x->unknown[i]]][r]);
		}
		for (unsigned i = 0; i < x->n; i++)
			x->len[i] ^= gf_product16(d->tables, coefficient[i], len);
		fold(d->tables, x->n, coefficient, x->to, bytes, LODE_MIN(len, x->longest));
	}
}

/* Hands out in ascending order. A length that cannot be says that something was not what it claimed. */
static unsigned hand_out(
	const struct system *s, const struct solution *x, struct lode_fec_recovered *out)
{
	unsigned n = 0;
	for (unsigned i = 0; i < x->n; i++) {
		struct lode_fec_recovered one = {s->unknown[x->unknown[i]], x->len[i], x->to[i]};
		if (one.len > x->longest)
			continue;
		unsigned at = n++;
		for (; at > 0 && before(one.seq, out[at - 1].seq); at--)
			out[at] = out[at - 1];
		out[at] = one;
	}
	return n;
}

unsigned lode_fec_decoder_solve(struct lode_fec_decoder *d, uint32_t oldest,
	const struct lode_fec_sources *sources, struct lode_fec_recovered *out)
{
	struct system s;
	struct solution x;
	collect(d, &s, oldest, sources);
	if (s.n_rows == 0)
		return 0;
	eliminate(d->tables, &s);
	choose(d, &s, &x);
	if (x.n == 0)
		return 0;
	fold_repairs(d, &s, &x);
	fold_sources(d, &s, &x, sources);
	return hand_out(&s, &x, out);
}
