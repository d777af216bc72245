/* SPDX-License-Identifier: BSD-3-Clause */
/* The interpreter of block bodies: ops to target bytes, in buffers of fixed size. */
#pragma once

#include "coders.h"
#include "format.h"

/* Reads base bytes at an offset in the space of all base files; 0 or -errno. */
typedef int (*base_read_fn)(void *ctx, uint64_t offset, void *buf, size_t len);

/* Where such bytes already lie in memory, or NULL. */
typedef const uint8_t *(*base_map_fn)(void *ctx, uint64_t offset, size_t len);

struct block_decoder {
	base_read_fn read_base;
	base_map_fn map_base; /* NULL: nothing does */
	void *read_ctx;
	uint64_t base_size;
	uint8_t *window; /* base bytes of one op, then its prediction */
	uint8_t *target; /* BLOCK_MAX */
	struct stream_scratch streams;
	struct token_tables *tables;
	struct adaptive_model *adaptive;
	bool adaptive_ready;	  /* reset for this block */
	struct low_rank low_rank; /* the current resource; rank 0: none */
	int32_t *factors;	  /* its numbers, RESOURCE_MAX bytes */
	struct lode_delta_stats *stats;
};

/* Returns 0 or -ENOMEM. */
int block_decoder_init(
	struct block_decoder *d, base_read_fn read_base, void *ctx, uint64_t base_size);
void block_decoder_clear(struct block_decoder *d);
/* Decodes a body (READ_PAD readable bytes behind it) to len bytes at d->target. first_base: the base offset
 * expected by its first op. Returns 0, -EBADMSG, -ENOMEM or what read_base said. */
int block_decode(struct block_decoder *d, struct view body, uint64_t first_base, uint32_t len);
/* Makes the factors of a low-rank correction current. */
int block_set_resource(struct block_decoder *d, struct view body);
