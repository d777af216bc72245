/* SPDX-License-Identifier: BSD-3-Clause */
/* The payload coders. Decoders get exactly their payload (READ_PAD readable bytes behind it), fill n whole
 * elements at out and return false on anything that no encoder writes. Encoders append to a buf. pred
 * holds one predicted element per target element. */
#pragma once

#include "format.h"
#include "rans.h"

#include <zstd.h>

/* ---- tokens: bit length and two bits by rANS in contexts of the prediction's exponent ---- */

#define TOKEN_LOG2     11
#define TOKEN_CONTEXTS 16
#define TOKEN_SAME     0 /* residual 0 */
#define TOKEN_ZERO     1 /* the target is zero with the sign of the prediction */
#define TOKEN_ZERO_NEG 2 /* ... with the other sign */
#define TOKEN_FIRST    3 /* residual 1 */
#define N_TOKENS       126

/* Which context an exponent belongs to: 0 from top upwards, one per exponent below, the last for all further
 * ones. */
struct token_contexts {
	uint8_t top, n;
};

struct token_tables {
	bool valid;	/* an op of this block has set them */
	bool has_zeros; /* the two zero tokens occur: floats only */
	struct token_contexts contexts;
	uint32_t slots[TOKEN_CONTEXTS][1 << TOKEN_LOG2];
};

static inline unsigned token_context(struct token_contexts c, unsigned exponent)
{
	if (exponent >= c.top)
		return 0;
	return LODE_MIN(c.top - exponent, c.n - 1u);
}

/* Mask of the exponent once shifted down; 0 for integers, which have one context. */
static inline unsigned token_exponent_mask(enum lode_delta_type t)
{
	return type_is_float(t) ? (t == LODE_DELTA_F16 ? 0x1f : 0xff) : 0;
}

/* The bit length beyond three bits and the top three bits; the rest is raw. */
static inline unsigned token_of(uint32_t residual, unsigned *n_raw)
{
	unsigned q = 29 - (unsigned)__builtin_clz(residual | 4);
	*n_raw = q;
	return residual ? 2 + 4 * q + (residual >> q) : TOKEN_SAME;
}

static inline uint32_t token_base(unsigned token, unsigned *n_raw)
{
	if (token < 10) {
		*n_raw = 0;
		return token < TOKEN_FIRST ? 0 : token - 2;
	}
	*n_raw = (token - 10) / 4 + 1;
	return (4 + (token - 10) % 4) << *n_raw;
}

/* Payload: flags, then unless TOKEN_FLAG_REUSE the top exponent, the number of contexts and their
 * frequencies; then the length of the rANS part, its states and words, and the raw low bits up to the end. */
#define TOKEN_FLAG_REUSE 1 /* tables of the op before */

/* What the encoder keeps between the ops of a block to reuse tables. */
struct token_model {
	bool valid;
	struct token_contexts contexts;
	struct freqs fr[TOKEN_CONTEXTS];
};

bool tokens_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct token_tables *tables);
bool tokens_decode_portable(struct view in, const struct element *el, const uint8_t *pred,
	uint8_t *out, size_t n, struct token_tables *tables);
/* Call it only where the machine has BMI2. */
bool tokens_decode_bmi2(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct token_tables *tables);
/* Call it only where tokens_has_avx512 says so. */
bool tokens_decode_avx512(struct view in, const struct element *el, const uint8_t *pred,
	uint8_t *out, size_t n, struct token_tables *tables);
/* Updates *model when the written op carries tables. */
void tokens_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	struct token_model *model, struct buf *out);
void tokens_encode_portable(const struct element *el, const uint8_t *pred, const uint8_t *target,
	size_t n, struct token_model *model, struct buf *out);
/* Call it only where the machine has BMI2. */
void tokens_encode_bmi2(const struct element *el, const uint8_t *pred, const uint8_t *target,
	size_t n, struct token_model *model, struct buf *out);
/* Call it only where tokens_has_avx512 says so. */
void tokens_encode_avx512(const struct element *el, const uint8_t *pred, const uint8_t *target,
	size_t n, struct token_model *model, struct buf *out);
bool tokens_has_avx512(void);

/* ---- adaptive: binary models that learn while coding ---- */

/* The state carried from op to op within a block; about 150 KB. */
struct adaptive_model;
size_t adaptive_model_bytes(void);
void adaptive_reset(struct adaptive_model *m);
/* What an op leaves to the next one. */
void adaptive_copy(struct adaptive_model *to, const struct adaptive_model *from);
bool adaptive_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, struct adaptive_model *m);
/* row: elements per row of the tensor, 0 if unknown. */
void adaptive_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	size_t row, struct adaptive_model *m, struct buf *out);

/* ---- byte streams, planes, sparse ---- */

enum stream_method { STREAM_RAW, STREAM_FILL, STREAM_ZSTD, STREAM_RANS, N_STREAM_METHODS };

/* Decoder's scratch for streams. */
struct stream_scratch {
	ZSTD_DCtx *dctx;
	uint32_t *slots;   /* 1 << RANS_BYTE_LOG2 */
	uint8_t *plane[2]; /* BLOCK_MAX each */
};

/* Method, coded length, bytes; n is known to the reader. effort: zstd level, 0 leaves zstd out. */
void stream_encode(const uint8_t *data, size_t n, ZSTD_CCtx *cctx, int effort, struct buf *out);
bool stream_decode(struct view *in, uint8_t *data, size_t n, const struct stream_scratch *s);

void planes_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	ZSTD_CCtx *cctx, int effort, struct buf *out);
bool planes_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, const struct stream_scratch *s);

/* Appends nothing when more than a quarter of the elements changed. */
void sparse_encode(const struct element *el, const uint8_t *pred, const uint8_t *target, size_t n,
	ZSTD_CCtx *cctx, int effort, struct buf *out);
bool sparse_decode(struct view in, const struct element *el, const uint8_t *pred, uint8_t *out,
	size_t n, const struct stream_scratch *s);

/* ---- zstd frames ---- */

/* One frame without checksum or content size; prefix may be NULL. Returns false on no memory. */
bool zstd_encode(ZSTD_CCtx *cctx, int level, const uint8_t *prefix, size_t prefix_len,
	const uint8_t *data, size_t n, struct buf *out);
/* Exactly one frame that makes exactly n bytes. */
bool zstd_decode(ZSTD_DCtx *dctx, struct view in, const uint8_t *prefix, size_t prefix_len,
	uint8_t *data, size_t n);
