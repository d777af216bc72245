/* SPDX-License-Identifier: BSD-3-Clause */
/* Patches made and applied in memory. */
#pragma once

#include "lode_delta.h"

struct memory_io {
	const uint8_t *patch;
	size_t patch_len, patch_at;
	const struct lode_delta_input *base;
	uint8_t *target[LODE_DELTA_MAX_FILES];
	uint64_t target_size[LODE_DELTA_MAX_FILES];
	uint64_t n_writes;
};

/* Applies in memory; targets are allocated from the patch's header. */
int memory_apply(struct memory_io *m, const uint8_t *patch, size_t patch_len,
	const struct lode_delta_input *base, struct lode_delta_stats *stats, struct lode_err *err);
void memory_clear(struct memory_io *m);

/* Makes a patch from one buffer to another, applies it, asserts equality; returns the patch's length. */
size_t round_trip(const uint8_t *base, size_t base_len, const uint8_t *target, size_t target_len,
	enum lode_delta_mode mode);

/* A file of the data folder; NULL (with a note on stderr) when the folder is absent. */
uint8_t *load_data(const char *name, size_t *len);
