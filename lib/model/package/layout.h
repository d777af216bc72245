/* SPDX-License-Identifier: BSD-3-Clause */
/* The growing side of a package: what the readers call while they find tensors. */
#pragma once

#include "lode_package.h"

#include <stdlib.h>

/* Room for one more element of an array of n: memory doubles whenever n is a power of two. */
static inline void *grow_array(void *array, size_t n, size_t element_bytes)
{
	if (n & (n - 1))
		return array;
	return reallocarray(array, n ? 2 * n : 1, element_bytes);
}

/* Checked product of dims and element size. */
bool layout_tensor_bytes(
	enum lode_dtype dtype, const uint64_t *dims, uint32_t rank, uint64_t *n_bytes);

/* Adds a tensor; takes e->name (malloc) in any case. rows and cols are computed here. */
int layout_add(struct lode_package *pkg, struct lode_extent e, struct lode_err *err);
/* Takes key and value (malloc) in any case. */
int layout_add_metadata(struct lode_package *pkg, char *key, char *value, struct lode_err *err);

/* Says once why something of a file is plain bytes; the first note stays. */
void layout_note(struct lode_package *pkg, uint32_t file_idx, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* -EEXIST and a sentence when two of the tensors from `first` on, or two of the metadata keys, have one
 * name. */
int layout_check_names(const struct lode_package *pkg, size_t first_extent, size_t first_metadata,
	struct lode_err *err);

/* Forgets everything found after the marks. */
void layout_rollback(struct lode_package *pkg, size_t n_extents, size_t n_metadata);

/* Sorts, drops overlaps (an error under LODE_REFUSE), fills the gaps with plain bytes. */
int layout_finish(struct lode_package *pkg, struct lode_err *err);

/* The readers. They see one file of the package and report the first fault found; the caller decides
 * by policy. */
bool safetensors_sniff(const uint8_t *data, uint64_t n_bytes);
int safetensors_read(struct lode_package *pkg, uint32_t file_idx, struct lode_err *err);
int onnx_read(struct lode_package *pkg, uint32_t file_idx, struct lode_err *err);

/* A file of this name in the package, opened from the same folder if it is not there yet. -EPERM for a
 * name that could leave the folder, a link or anything but a regular file with one name. */
int package_sibling(
	struct lode_package *pkg, const char *name, uint32_t *file_idx, struct lode_err *err);
/* True for the name of a shard index; package_add_shards then adds the files it names. */
bool package_is_index(const char *name);
int package_add_shards(struct lode_package *pkg, uint32_t index_idx, struct lode_err *err);
/* [A-Za-z0-9._-]+, no leading dot, fits. */
bool package_plain_name(const char *name);
int package_add_file(struct lode_package *pkg, const char *name, const uint8_t *data,
	uint64_t n_bytes, bool mapped, struct lode_err *err);
/* Reads every file, those that join meanwhile too, and finishes the layout. */
int package_read(struct lode_package *pkg, struct lode_err *err);
