/* SPDX-License-Identifier: BSD-3-Clause */
/* The encoder's job with its patch going out as it is made, so that it is nowhere held as a whole. */
#pragma once

#include "lode_delta.h"

/* Where a patch goes: one call at a time, from any thread, each byte once, the header last. Returns 0 or -errno. */
struct patch_sink {
	void *ctx;
	int (*write_at)(void *ctx, uint64_t offset, const void *data, size_t len);
};

/* As lode_delta_diff. */
int diff_to(const struct lode_delta_job *job, const struct patch_sink *sink,
	struct lode_delta_report *report, struct lode_err *err);
