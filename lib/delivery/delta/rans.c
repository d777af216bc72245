/* SPDX-License-Identifier: BSD-3-Clause */
#include "rans.h"

#include "bits.h"

#include <math.h>

/* ---- frequencies ---- */

/* Takes from or gives to the symbol that changes the cost least (slope of n log f) until the sum is
 * right. */
static void settle_sum(struct freqs *fr, const uint32_t *counts, unsigned n_symbols, int excess)
{
	while (excess) {
		int step = excess > 0 ? -1 : 1, best = -1;
		double best_cost = INFINITY;
		for (unsigned s = 0; s < n_symbols; s++) {
			if (!counts[s] || (step < 0 && fr->f[s] < 2))
				continue;
			double cost = -step * (double)counts[s] / (fr->f[s] + 0.5 * step);
			if (cost < best_cost) {
				best_cost = cost;
				best = (int)s;
			}
		}
		fr->f[best] = (uint16_t)(fr->f[best] + step);
		excess += step;
	}
}

void freqs_from_counts(
	struct freqs *fr, const uint32_t *counts, unsigned n_symbols, unsigned total_log2)
{
	uint64_t total = 0, sum = 0;
	memset(fr, 0, sizeof(*fr));
	for (unsigned s = 0; s < n_symbols; s++)
		total += counts[s];
	if (!total)
		return;
	for (unsigned s = 0; s < n_symbols; s++) {
		if (!counts[s])
			continue;
		uint64_t f = (((uint64_t)counts[s] << (total_log2 + 1)) / total + 1) / 2;
		fr->f[s] = (uint16_t)LODE_MAX(f, 1u);
		sum += fr->f[s];
	}
	settle_sum(fr, counts, n_symbols, (int)sum - (1 << total_log2));
}

double freqs_cost_bits(
	const struct freqs *fr, const uint32_t *counts, unsigned n_symbols, unsigned total_log2)
{
	double bits = 0;
	for (unsigned s = 0; s < n_symbols; s++)
		if (counts[s])
			bits += counts[s] * (total_log2 - log2(fr->f[s]));
	return bits;
}

/* Written as the first and the number of symbols, then per frequency its bit length (difference to the one
 * before, zigzag, unary) and the bits below the leading one. */
void freqs_write(const struct freqs *fr, unsigned n_symbols, struct buf *out)
{
	unsigned lo = 0, hi = n_symbols;
	while (lo < hi && !fr->f[lo])
		lo++;
	while (hi > lo && !fr->f[hi - 1])
		hi--;
	struct bit_writer w = {.out = out};
	bits_put(&w, hi - lo, 9);
	if (hi > lo)
		bits_put(&w, lo, 8);
	unsigned before = 6;
	for (unsigned s = lo; s < hi; s++) {
		unsigned len = bit_length(fr->f[s]);
		unsigned z = (unsigned)zigzag64((int)len - (int)before);
		bits_put(&w, (1u << z) - 1, z);
		bits_put(&w, 0, 1);
		if (len > 1)
			bits_put(&w, fr->f[s] & ((1u << (len - 1)) - 1), len - 1);
		before = len;
	}
	bits_flush(&w);
}

static bool read_one_freq(
	struct bit_reader *r, unsigned total_log2, unsigned *before, uint16_t *freq)
{
	unsigned z = 0;
	while (bits_get(r, 1))
		if (++z > 28)
			return false;
	int64_t len = (int64_t)*before + unzigzag64(z);
	if (len < 0 || len > (int64_t)total_log2 + 1)
		return false;
	*before = (unsigned)len;
	*freq = len ? (uint16_t)(1u << (len - 1)) : 0;
	if (len > 1)
		*freq |= (uint16_t)bits_get(r, (unsigned)len - 1);
	return true;
}

bool freqs_read(struct freqs *fr, unsigned n_symbols, unsigned total_log2, struct view *in)
{
	struct bit_reader r = {.in = *in};
	uint32_t sum = 0;
	memset(fr, 0, sizeof(*fr));
	unsigned n = (unsigned)bits_get(&r, 9);
	if (n) {
		unsigned lo = (unsigned)bits_get(&r, 8), before = 6;
		if (lo + n > n_symbols)
			return false;
		for (unsigned s = lo; s < lo + n; s++) {
			if (!read_one_freq(&r, total_log2, &before, &fr->f[s]))
				return false;
			if (fr->f[s] > 0xfff)
				return false; /* would not fit a slot's entry */
			sum += fr->f[s];
		}
		if (sum != 1u << total_log2)
			return false;
	}
	return bits_end(&r, in);
}

void rans_fill_slots(
	const struct freqs *fr, unsigned n_symbols, unsigned total_log2, uint32_t *slots)
{
	uint32_t slot = 0;
	for (unsigned s = 0; s < n_symbols; s++)
		for (uint32_t i = 0; i < fr->f[s]; i++)
			slots[slot++] = rans_entry(s, fr->f[s], i);
	if (!slot)
		memset(slots, 0, sizeof(*slots) << total_log2);
}

/* ---- order-0 bytes ---- */

/* (x / f << log2) + x % f + start is x + start + (x / f) * ((1 << log2) - f). For f = 1 the reciprocal
 * gives x - 1, which the bias makes up for. */
void rans_symbols(
	const struct freqs *fr, unsigned n_symbols, unsigned total_log2, struct rans_symbol *out)
{
	uint32_t start = 0;
	for (unsigned s = 0; s < n_symbols; start += fr->f[s++]) {
		uint32_t f = fr->f[s];
		if (!f)
			continue;
		out[s].complement = (1u << total_log2) - f;
		out[s].max = (uint64_t)f << (32 - total_log2);
		out[s].reciprocal = f > 1 ? UINT64_MAX / f + 1 : UINT64_MAX;
		out[s].bias = f > 1 ? start : start + out[s].complement;
	}
}

size_t rans_bytes_size(const uint32_t counts[256], size_t n)
{
	struct freqs fr;
	struct buf tables = {0};
	freqs_from_counts(&fr, counts, 256, RANS_BYTE_LOG2);
	for (unsigned s = 0; s < 256; s++)
		if (fr.f[s] == 1u << RANS_BYTE_LOG2)
			return SIZE_MAX; /* one symbol only: no rANS stream, the caller fills */
	freqs_write(&fr, 256, &tables);
	size_t size = tables.len + 4 * rans_n_states(n) +
		      (size_t)(freqs_cost_bits(&fr, counts, 256, RANS_BYTE_LOG2) / 8) + 2;
	buf_free(&tables);
	return size;
}

void rans_bytes_encode(const uint8_t *data, size_t n, struct buf *out)
{
	uint32_t counts[256] = {0};
	uint32_t x[RANS_STATES] = {RANS_LOW, RANS_LOW, RANS_LOW, RANS_LOW};
	struct rans_symbol symbols[256];
	struct freqs fr;
	for (size_t i = 0; i < n; i++)
		counts[data[i]]++;
	freqs_from_counts(&fr, counts, 256, RANS_BYTE_LOG2);
	rans_symbols(&fr, 256, RANS_BYTE_LOG2, symbols);
	freqs_write(&fr, 256, out);
	unsigned n_states = rans_n_states(n);
	size_t room = 2 * n + 4 * RANS_STATES, i = n;
	uint8_t *base = buf_room(out, room);
	if (!base)
		return;
	uint8_t *end = base + room, *words = end;
	for (; i % RANS_STATES || (n_states == 1 && i); i--)
		rans_put(&x[(i - 1) & (n_states - 1)], &symbols[data[i - 1]], &words);
	uint32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
	for (; i; i -= RANS_STATES) {
		rans_put(&x3, &symbols[data[i - 1]], &words);
		rans_put(&x2, &symbols[data[i - 2]], &words);
		rans_put(&x1, &symbols[data[i - 3]], &words);
		rans_put(&x0, &symbols[data[i - 4]], &words);
	}
	x[0] = x0, x[1] = x1, x[2] = x2, x[3] = x3;
	for (unsigned k = n_states; k-- > 0;) {
		words -= 4;
		lode_store_le32(words, x[k]);
	}
	memmove(base, words, (size_t)(end - words));
	out->len += (size_t)(end - words);
}

bool rans_bytes_decode(struct view in, uint8_t *data, size_t n, uint32_t *slots)
{
	struct freqs fr;
	uint32_t state[RANS_STATES];
	unsigned n_states = rans_n_states(n);
	if (!freqs_read(&fr, 256, RANS_BYTE_LOG2, &in))
		return false;
	rans_fill_slots(&fr, 256, RANS_BYTE_LOG2, slots);
	for (unsigned k = 0; k < n_states; k++)
		if (!get_le32(&in, &state[k]) || state[k] < RANS_LOW)
			return false;
	const uint8_t *words = in.p;
	size_t i = 0;
	if (n_states == RANS_STATES) {
		for (; i + RANS_STATES <= n && words <= in.end; i += RANS_STATES)
			for (unsigned k = 0; k < RANS_STATES; k++)
				data[i + k] =
					(uint8_t)rans_get(&state[k], slots, RANS_BYTE_LOG2, &words);
	}
	for (; i < n && words <= in.end; i++)
		data[i] = (uint8_t)rans_get(
			&state[i & (n_states - 1)], slots, RANS_BYTE_LOG2, &words);
	for (unsigned k = 0; k < n_states; k++)
		if (state[k] != RANS_LOW)
			return false;
	return i == n && words == in.end;
}
