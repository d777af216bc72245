/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "format.h"

/* Fits one float32 per row so that base x scale comes near the target (batch normalisation folded
 * anew, a changed output range). Returns false unless that shortens the residuals by a bit on
 * average; else op->cols, first, n_scales are set and the scales appended to *scales. */
bool row_scale_fit(struct op *op, const uint8_t *base, const uint8_t *target, uint64_t cols,
	uint64_t first_element, struct buf *scales);
