/* SPDX-License-Identifier: BSD-3-Clause */
/* The op: coder, predictor, target length, base range, parameters, payload. */
#pragma once

#include "format.h"

/* expected_base: where the base range of this op starts if nothing moved. The payload's view is set
 * for coders that have one (RAW: the bytes, FILL: the byte). False for anything malformed, also when the op
 * exceeds max_len target bytes or base_size. */
bool op_read(struct view *v, uint64_t expected_base, uint64_t base_size, uint32_t max_len,
	struct op *op, struct view *payload);
/* payload is the coded form (RAW: the bytes, FILL: one byte, COPY: empty). */
void op_write(
	const struct op *op, uint64_t expected_base, const struct buf *payload, struct buf *out);
/* Where the next op's base range is expected. */
uint64_t op_next_base(const struct op *op, uint64_t expected_base);
