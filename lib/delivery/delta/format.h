/* SPDX-License-Identifier: BSD-3-Clause */
/* The patch format's constants and the decoder's limits; docs/delta-format.md in C. */
#pragma once

#include "bytes.h"
#include "lode_delta.h"

#define PATCH_MAGIC	  "LDLT"
#define PATCH_MAJOR	  1
#define PATCH_MINOR	  0
#define PATCH_FIXED_BYTES 20 /* magic, version, block size, reserved, header length, two masks */
#define HEADER_MAX_BYTES  (64 * 1024)
#define BLOCK_LOG2_MIN	  12
#define BLOCK_LOG2_MAX	  18
#define BLOCK_MAX	  (1u << BLOCK_LOG2_MAX)
#define BODY_SLACK	  16 /* a block body is at most this longer than its target bytes */
#define RUN_MAX		  (64u << 20)
#define WINDOW_MAX	  (3 * BLOCK_MAX) /* base bytes one zstd op may see */
#define RESOURCE_MAX	  (512 * 1024)	  /* of a resource, coded and decoded */
#define LOW_RANK_MAX	  16
#define READ_PAD	  64 /* zeros behind a body: entropy decoders read ahead of their checks */

/* incompat features */
#define FEATURE_ADAPTIVE (1u << 0)
#define FEATURE_LOW_RANK (1u << 1)
#define FEATURE_KNOWN	 (FEATURE_ADAPTIVE | FEATURE_LOW_RANK)

enum record_kind { RECORD_BLOCK, RECORD_COPY_RUN, RECORD_FILL_RUN, RECORD_RESOURCE, RECORD_END };

/* How target and prediction make the residual. */
enum combine { COMBINE_XOR, COMBINE_DIFF, N_COMBINES };

/* What the elements of an op are. shift: low bits that are zero in every target element. */
struct element {
	enum lode_delta_type type;
	enum combine combine;
	uint8_t shift;
};

/* A low-rank correction: target ~ base + U V 2^-scale, U rows x rank, V rank x cols, integers. */
struct low_rank {
	uint32_t rows, cols, rank;
	int scale;
	const int32_t *u, *v; /* v is cols x rank: the factors of one element are together */
};

/* Fields of an op before its payload. */
struct op {
	enum lode_delta_coder coder;
	enum lode_delta_predictor predictor;
	struct element el;
	uint32_t len;	      /* target bytes */
	uint64_t base_offset; /* in the space of all base files, one after another */
	uint32_t base_len;
	uint32_t
		window_before; /* LODE_DELTA_ZSTD_BASE: the window starts so much before base_offset */
	uint32_t cols,
		first; /* ROW_SCALE: row length and elements of the first row already passed */
	const uint8_t *scales; /* ROW_SCALE: float32 each, little-endian */
	uint32_t n_scales;
	uint64_t first_element;		/* LOW_RANK: index of the first element in the tensor */
	enum lode_delta_type base_type; /* CAST */
};

static inline unsigned type_bytes(enum lode_delta_type t)
{
	static const uint8_t bytes[LODE_DELTA_N_TYPES] = {1, 2, 4, 8, 2, 2, 4, 8};
	return bytes[t];
}

static inline bool type_is_float(enum lode_delta_type t)
{
	return t >= LODE_DELTA_F16;
}

/* Bits of the mantissa; 0 for integers. */
static inline unsigned type_mantissa_bits(enum lode_delta_type t)
{
	static const uint8_t bits[LODE_DELTA_N_TYPES] = {0, 0, 0, 0, 10, 7, 23, 52};
	return bits[t];
}

/* Coders that work on elements and so carry a predictor. */
static inline bool coder_has_elements(enum lode_delta_coder c)
{
	return c >= LODE_DELTA_SPARSE && c <= LODE_DELTA_ADAPTIVE;
}

static inline bool coder_has_payload(enum lode_delta_coder c)
{
	return c != LODE_DELTA_COPY && c != LODE_DELTA_FILL && c != LODE_DELTA_RAW;
}
