/* SPDX-License-Identifier: BSD-3-Clause */
#include "reference.h"

/* Polynomial 0x11d, as in RFC 8681 and ISA-L. */
uint8_t reference_multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;
	for (; b; b >>= 1) {
		if (b & 1)
			product ^= a;
		a = (uint8_t)(a << 1 ^ (a & 0x80 ? 0x1d : 0));
	}
	return product;
}

static uint8_t inverse(uint8_t a)
{
	for (unsigned b = 1; b < 256; b++)
		if (reference_multiply(a, (uint8_t)b) == 1)
			return (uint8_t)b;
	return 0;
}

static uint8_t coefficient(uint8_t id, uint32_t seq)
{
	return inverse((uint8_t)((0x80 | (id & 0x7f)) ^ (seq & 0x7f)));
}

/* Byte `at` of the symbol: two bytes of length, the bytes, zeros. */
static uint8_t symbol_byte(const uint8_t *bytes, uint16_t len, unsigned at)
{
	if (at < 2)
		return (uint8_t)(at == 0 ? len >> 8 : len);
	return at - 2 < len ? bytes[at - 2] : 0;
}

void reference_repair(uint8_t id, uint32_t first_seq, unsigned span, const uint8_t *const *source,
	const uint16_t *len, struct lode_fec_repair *out)
{
	out->first_seq = first_seq;
	out->span = (uint8_t)span;
	out->id = id;
	out->len = 0;
	uint8_t c[LODE_FEC_SPAN_MAX];
	for (unsigned i = 0; i < span; i++) {
		c[i] = coefficient(id, first_seq + i);
		out->len = LODE_MAX(out->len, len[i]);
	}
	for (unsigned at = 0; at < out->len + 2u; at++) {
		uint8_t sum = 0;
		for (unsigned i = 0; i < span; i++)
			sum ^= reference_multiply(c[i], symbol_byte(source[i], len[i], at));
		if (at < 2)
			out->coded_length = (uint16_t)(out->coded_length << 8 | sum);
		else
			out->bytes[at - 2] = sum;
	}
}

struct matrix {
	unsigned rows, columns;
	uint8_t a[LODE_FEC_REPAIRS_MAX]
		 [LODE_FEC_LOST_MAX + 1]; /* the last column is the right side */
};

static bool solve_matrix(struct matrix *m)
{
	for (unsigned c = 0; c < m->columns; c++) {
		unsigned pivot = c;
		while (pivot < m->rows && m->a[pivot][c] == 0)
			pivot++;
		if (pivot >= m->rows)
			return false;
		for (unsigned k = 0; k <= m->columns; k++) {
			uint8_t swap = m->a[pivot][k];
			m->a[pivot][k] = m->a[c][k];
			m->a[c][k] = swap;
		}
		uint8_t by = inverse(m->a[c][c]);
		for (unsigned k = 0; k <= m->columns; k++)
			m->a[c][k] = reference_multiply(by, m->a[c][k]);
		for (unsigned r = 0; r < m->rows; r++) {
			uint8_t times = m->a[r][c];
			for (unsigned k = 0; r != c && k <= m->columns; k++)
				m->a[r][k] ^= reference_multiply(times, m->a[c][k]);
		}
	}
	return true;
}

static uint8_t repair_byte(const struct lode_fec_repair *r, unsigned at)
{
	if (at < 2)
		return (uint8_t)(at == 0 ? r->coded_length >> 8 : r->coded_length);
	return at - 2 < r->len ? r->bytes[at - 2] : 0;
}

bool reference_solve(const struct lode_fec_repair *repairs, unsigned n_repairs, uint32_t first_seq,
	unsigned n, const uint8_t *const *source, const uint16_t *len, uint8_t *const *to,
	uint16_t *to_len)
{
	unsigned lost[LODE_FEC_LOST_MAX], n_lost = 0, longest = 0;
	uint8_t c[LODE_FEC_REPAIRS_MAX][LODE_FEC_SPAN_MAX];
	for (unsigned i = 0; i < n; i++)
		if (!source[i]) {
			if (n_lost == LODE_FEC_LOST_MAX)
				return false;
			lost[n_lost++] = i;
		}
	for (unsigned r = 0; r < n_repairs; r++) {
		longest = LODE_MAX(longest, repairs[r].len);
		for (unsigned i = 0; i < repairs[r].span; i++)
			c[r][i] = coefficient(repairs[r].id, repairs[r].first_seq + i);
	}
	for (unsigned at = 0; at < longest + 2; at++) {
		struct matrix m = {.rows = n_repairs, .columns = n_lost};
		for (unsigned r = 0; r < n_repairs; r++) {
			uint8_t right = repair_byte(&repairs[r], at);
			for (unsigned i = 0; i < repairs[r].span; i++) {
				unsigned k = repairs[r].first_seq + i - first_seq;
				if (source[k])
					right ^= reference_multiply(
						c[r][i], symbol_byte(source[k], len[k], at));
				for (unsigned j = 0; j < n_lost; j++)
					if (lost[j] == k)
						m.a[r][j] = c[r][i];
			}
			m.a[r][n_lost] = right;
		}
		if (!solve_matrix(&m))
			return false;
		for (unsigned j = 0; j < n_lost; j++) {
			uint16_t *l = &to_len[lost[j]];
			if (at < 2)
				*l = (uint16_t)(*l << 8 | m.a[j][n_lost]);
			else
				to[lost[j]][at - 2] = m.a[j][n_lost];
		}
	}
	return true;
}
