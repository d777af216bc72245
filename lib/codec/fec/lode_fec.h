/* SPDX-License-Identifier: BSD-3-Clause */
/* codec/fec: systematic sliding-window random linear code over GF(2^8), after RFC 8681, on kernels for GFNI,
 * or those of ISA-L.
 * Source packets go out unchanged; every now and then a repair packet goes out that is a linear
 * combination of the last `span` source packets. A lost source is computed from repairs and the sources
 * that did arrive.
 *
 * A source is known by its sequence number (they are consecutive). As a symbol it is its length and its
 * bytes, padded with zeros to the longest of the window, so that lengths are recovered too. Coefficients are
 * those of a Cauchy matrix, 1 / (x ^ y) with x from the repair's id and y from the sequence number: repairs
 * over the same window are always independent, as long as it has at most LODE_FEC_SPAN_MAX sources.
 *
 * Encoder and decoder belong to one thread each and live in memory that the caller gives; nothing is
 * allocated. Sizes are bytes. */
#pragma once

#include "lode_base.h"

#define LODE_FEC_SPAN_MAX    128 /* sources that one repair may cover */
#define LODE_FEC_OPEN_MAX    32	 /* repairs being built at once */
#define LODE_FEC_REPAIRS_MAX 32	 /* repairs that the decoder keeps */
#define LODE_FEC_LOST_MAX    32	 /* lost sources solved for at once */
#define LODE_FEC_SYMBOL_MAX  9216

/* Products of every coefficient, in the layouts of ISA-L and of GFNI, and logarithms. Read-only after init: one per
 * program is enough, for any number of threads. 64-byte aligned. */
struct lode_fec_tables {
	uint8_t product[256][32];
	uint64_t matrix[256];
	uint8_t log[256], exp[512], inverse[256];
	bool gfni; /* this CPU has AVX-512 and GFNI; else ISA-L's kernels are used */
} LODE_CACHE_ALIGNED;

void lode_fec_tables_init(struct lode_fec_tables *t);
/* The coefficient of source `seq` in repair `id`; never 0. */
static inline uint8_t lode_fec_coefficient(
	const struct lode_fec_tables *t, uint8_t id, uint32_t seq)
{
	return t->inverse[(0x80 | (id & 0x7f)) ^ (seq & 0x7f)];
}

/* What a repair packet carries besides its bytes. */
struct lode_fec_repair {
	uint32_t first_seq; /* it covers first_seq .. first_seq + span - 1 */
	uint8_t span, id;
	uint16_t coded_length; /* combination of the sources' lengths */
	uint16_t len;	       /* of the longest source: as many bytes are coded */
	uint8_t *bytes;	       /* of the encoder until its next call, or of the receiver */
};

/* ---- encoder: incremental, no source is held or copied ---- */

struct lode_fec_encoder;

size_t lode_fec_encoder_bytes(uint16_t symbol_bytes);
/* mem: lode_fec_encoder_bytes(symbol_bytes), 64-byte aligned. symbol_bytes: longest source. */
struct lode_fec_encoder *lode_fec_encoder_init(
	void *mem, const struct lode_fec_tables *tables, uint16_t symbol_bytes);
/* Repairs per source in 1/256 (0 stops; 256 doubles the traffic) and how many sources each covers. Takes
 * effect with the next source; repairs being built go on. span is cut to what OPEN_MAX and SPAN_MAX allow. */
void lode_fec_encoder_set(struct lode_fec_encoder *e, uint16_t rate_q8, uint8_t span);
/* Folds a source in. seq is the previous one's plus 1, else the window starts anew. True: a repair is due
 * and in *out; send it, and ask lode_fec_encoder_due again (rates above 1 make several). */
bool lode_fec_encoder_add(struct lode_fec_encoder *e, uint32_t seq, const uint8_t *bytes,
	uint16_t len, struct lode_fec_repair *out);
bool lode_fec_encoder_due(struct lode_fec_encoder *e, struct lode_fec_repair *out);
/* The sources so far are too old to be worth having back: the window starts anew. */
void lode_fec_encoder_restart(struct lode_fec_encoder *e);
/* The sources pause: hands out a repair ahead of its time, if any source since the last repair is
 * unprotected and at least min_credit_q8 / 256 of a repair is owed; the rest is made up for later. */
bool lode_fec_encoder_flush(
	struct lode_fec_encoder *e, uint16_t min_credit_q8, struct lode_fec_repair *out);

/* ---- decoder ---- */

struct lode_fec_decoder;

/* How the decoder finds a source that arrived: its bytes, or NULL. Only asked inside a call. */
struct lode_fec_sources {
	void *ctx;
	const uint8_t *(*find)(void *ctx, uint32_t seq, uint16_t *len);
};

/* A source that was computed. */
struct lode_fec_recovered {
	uint32_t seq;
	uint16_t len;
	uint8_t *bytes; /* of the decoder until its next call */
};

size_t lode_fec_decoder_bytes(uint16_t symbol_bytes);
struct lode_fec_decoder *lode_fec_decoder_init(
	void *mem, const struct lode_fec_tables *tables, uint16_t symbol_bytes);
/* Keeps a repair that arrived (copies it), in place of the oldest when full. -EINVAL: its span, length or
 * window make no sense; it is not kept. */
int lode_fec_decoder_repair(struct lode_fec_decoder *d, const struct lode_fec_repair *r);
/* Computes what can be computed now of the sources from `oldest` on that are missing. Returns how many
 * were, in out[], ascending; at most LODE_FEC_LOST_MAX. Solves for the missing symbols only. A repair whose
 * sources are all there is dropped, and so is one that lies before oldest. */
unsigned lode_fec_decoder_solve(struct lode_fec_decoder *d, uint32_t oldest,
	const struct lode_fec_sources *sources, struct lode_fec_recovered *out);
