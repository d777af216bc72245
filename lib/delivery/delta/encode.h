/* SPDX-License-Identifier: BSD-3-Clause */
/* Plan to records, for one range of the target. Ranges share the plan, which is only read, so that they can be coded
 * by several threads; what a range becomes does not depend on the others. */
#pragma once

#include "block.h"
#include "choose.h"
#include "plan.h"

/* All ranges of a job. */
struct encode_job {
	struct space base, target;
	struct plan plan;
	enum lode_delta_mode mode;
	bool adaptive;
};

/* One thread's means. */
struct range_encoder {
	struct encode_job *job;
	struct op_encoder ops;
	struct block_decoder decoder;
	struct buf out, body;
	uint32_t features;	       /* that the records need */
	struct lode_delta_cost *costs; /* one per tensor of the plan */
	uint64_t *largest;	       /* bytes of the op that named a cost's coder */
	/* Of the range being coded. */
	uint64_t pos, end;
	size_t segment; /* the one that holds pos */
	const struct low_rank_factors *resource;
};

/* Returns 0 or -ENOMEM; clear in any case. */
int range_encoder_init(struct range_encoder *e, struct encode_job *job);
void range_encoder_clear(struct range_encoder *e);
/* Appends the records of [start, end) of the target space, all of one file, to e->out. Every block is decoded by
 * the interpreter and compared before it is kept. Returns 0 or -ENOMEM. */
int range_encode(struct range_encoder *e, uint64_t start, uint64_t end);
/* Where a range may end: at most pos, between elements. */
uint64_t range_cut(const struct plan *plan, uint64_t pos);
/* Bytes from pos (in a segment) on that equal the base, without a jump in the base. */
uint64_t equal_run(const struct encode_job *job, uint64_t pos, size_t segment, uint64_t limit);
