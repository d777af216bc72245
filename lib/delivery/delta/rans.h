/* SPDX-License-Identifier: BSD-3-Clause */
/* Range asymmetric numeral systems (Duda, arXiv 1311.2540): 32-bit states, 16-bit words, static
 * frequencies that sum to a power of two. Symbol i uses state i mod n_states, so that
 * the states' dependency chains overlap. The encoder runs back to front and writes back to front. */
#pragma once

#include "bytes.h"

#define RANS_LOW	 (1u << 16) /* a state is in [RANS_LOW, 2^32) between symbols */
#define RANS_STATES	 4
#define RANS_BYTE_LOG2	 12
#define RANS_SYMBOLS_MAX 256
/* Fewer symbols than this use one state: four cost 12 bytes more. */
#define RANS_MANY_SYMBOLS 4096

static inline unsigned rans_n_states(size_t n_symbols)
{
	return n_symbols >= RANS_MANY_SYMBOLS ? RANS_STATES : 1;
}

/* Frequencies of one context; they sum to 1 << total_log2, or are all zero. */
struct freqs {
	uint16_t f[RANS_SYMBOLS_MAX];
};

/* Scales counts to frequencies; each symbol present keeps at least 1. */
void freqs_from_counts(
	struct freqs *fr, const uint32_t *counts, unsigned n_symbols, unsigned total_log2);
/* Bits all counted symbols take with these frequencies. */
double freqs_cost_bits(
	const struct freqs *fr, const uint32_t *counts, unsigned n_symbols, unsigned total_log2);
void freqs_write(const struct freqs *fr, unsigned n_symbols, struct buf *out);
/* False unless the frequencies sum to exactly 1 << total_log2, or none is there. */
bool freqs_read(struct freqs *fr, unsigned n_symbols, unsigned total_log2, struct view *in);

/* One entry per slot: symbol, its frequency, slot minus its first slot. */
static inline uint32_t rans_entry(unsigned symbol, uint32_t freq, uint32_t offset)
{
	return symbol | freq << 8 | offset << 20;
}
/* Fills 1 << total_log2 entries. All-zero frequencies leave entries that no valid stream reaches. */
void rans_fill_slots(
	const struct freqs *fr, unsigned n_symbols, unsigned total_log2, uint32_t *slots);

static inline unsigned rans_get(
	uint32_t *state, const uint32_t *slots, unsigned total_log2, const uint8_t **words)
{
	uint32_t x = *state;
	uint32_t entry = slots[x & ((1u << total_log2) - 1)];
	uint16_t word;
	x = ((entry >> 8) & 0xfff) * (x >> total_log2) + (entry >> 20);
	memcpy(&word, *words, sizeof(word));
	/* whether a word is due cannot be foretold: arithmetic, no branch */
	uint32_t due = (uint32_t)(((uint64_t)x - RANS_LOW) >> 63);
	*words += 2 * due;
	*state = x << (16 * due) | (word & (0 - due));
	return entry & 0xff;
}

/* What the encoder needs of a symbol. The division by its frequency is a multiplication by
 * 2^64 / frequency, exact for 32-bit states. */
struct rans_symbol {
	uint64_t reciprocal;
	uint64_t max; /* states from here on give a word away first */
	uint32_t bias, complement;
};

/* Only symbols with a frequency may be put. */
void rans_symbols(
	const struct freqs *fr, unsigned n_symbols, unsigned total_log2, struct rans_symbol *out);

/* Words are written downwards from the end of a buffer. */
static inline void rans_put(uint32_t *state, const struct rans_symbol *s, uint8_t **words)
{
	uint32_t x = *state;
	uint16_t word = (uint16_t)x;
	/* no branch, as in rans_get */
	uint32_t full = (uint32_t)((s->max - 1 - x) >> 63);
	memcpy(*words - 2, &word, sizeof(word));
	*words -= 2 * full;
	x >>= 16 * full;
	uint32_t q = (uint32_t)(((unsigned __int128)x * s->reciprocal) >> 64);
	*state = x + s->bias + q * s->complement;
}

/* Order-0 coding of bytes: tables, states, words. Appends to out. n > 0. */
void rans_bytes_encode(const uint8_t *data, size_t n, struct buf *out);
/* Bytes rans_bytes_encode would append, from the counts of the data. */
size_t rans_bytes_size(const uint32_t counts[256], size_t n);
/* Decodes exactly n bytes and the whole of in, behind which READ_PAD bytes must be readable. slots:
 * 1 << RANS_BYTE_LOG2 entries of scratch. */
bool rans_bytes_decode(struct view in, uint8_t *data, size_t n, uint32_t *slots);
