/* SPDX-License-Identifier: BSD-3-Clause */
/* The encoder's plan: the target cut into segments, each with the base range it is expected to resemble.
 * Offsets are in the spaces of all target files and of all base files, one after another. */
#pragma once

#include "format.h"

#include "lode_package.h"

struct low_rank_factors; /* lowrank.h */

/* One tensor of the target, or the bytes between two. */
struct plan_tensor {
	const char *name; /* lives in the package; "" between tensors */
	enum lode_delta_type type;
	uint64_t rows, cols;
	struct low_rank_factors *factors; /* NULL: no low-rank correction */
};

struct segment {
	uint64_t target, len;
	uint64_t base; /* of the first byte; also where unmatched bytes may have come from */
	bool elements; /* type is known: predictors and element coders apply */
	bool matched;  /* the base range holds the same element for each element */
	enum lode_delta_type type, base_type; /* they differ: a cast */
	uint32_t tensor;
	uint64_t first_element; /* of the segment within its tensor */
};

struct plan {
	struct segment *segments; /* by target, no holes */
	size_t n_segments;
	struct plan_tensor *tensors;
	uint32_t n_tensors;
	uint64_t n_matched, n_unchanged;
};

/* A side of the job: all its files as one space. */
struct space {
	const struct lode_delta_input *files;
	uint32_t n_files;
	uint64_t size;
	struct lode_package package;
	bool parsed; /* else each file is one range of bytes */
};

/* Where an offset lies in memory; the bytes up to the file's end follow, *left of them. */
const uint8_t *space_at(const struct space *s, uint64_t offset, uint64_t *left);
/* Where a range lies in memory; NULL when it crosses files. */
const uint8_t *space_map(void *space, uint64_t offset, size_t len);
/* Copies a range that may cross files. */
int space_read(void *space, uint64_t offset, void *buf, size_t len);
void space_open(struct space *s, const struct lode_delta_input *files, uint32_t n_files);
void space_close(struct space *s);

/* Returns 0 or -ENOMEM. */
int plan_make(struct plan *p, const struct space *base, const struct space *target);
void plan_clear(struct plan *p);
