/* SPDX-License-Identifier: BSD-3-Clause */
/* What must hold for every opened package, whatever the bytes. */
#pragma once

#include "lode_package.h"

#include <stdlib.h>

static inline void require(bool holds)
{
	if (!holds)
		abort();
}

/* Extents cover each file in order; tensors with elements have the bytes of their shape. */
static inline void check_package(const struct lode_package *pkg)
{
	size_t next = 0;
	for (uint32_t f = 0; f < pkg->n_files; f++) {
		uint64_t at = 0;
		require(pkg->files[f].first_extent == next);
		for (size_t i = 0; i < pkg->files[f].n_extents; i++, next++) {
			const struct lode_extent *e = &pkg->extents[next];
			require(e->file_idx == f && e->offset_bytes == at);
			require(e->rows * e->cols * lode_dtype_size(e->dtype) == e->n_bytes);
			at += e->n_bytes;
		}
		require(at == pkg->files[f].n_bytes);
	}
	require(next == pkg->n_extents);
}

/* Opens the files under both sets of limits; what engine takes, delivery takes too. */
static inline void check_files(const struct lode_package_input *files, uint32_t n_files)
{
	struct lode_package pkg;
	struct lode_manifest manifest;
	struct lode_err err;
	bool strict = !lode_package_from_memory(&pkg, files, n_files, &lode_limits_engine, &err);
	if (strict)
		check_package(&pkg);
	lode_package_close(&pkg);
	require(!lode_package_from_memory(&pkg, files, n_files, &lode_limits_delivery, &err));
	check_package(&pkg);
	require(!strict || pkg.files[0].format != LODE_FORMAT_UNKNOWN);
	require(!lode_manifest_make(&manifest, &pkg, &err));
	lode_manifest_free(&manifest);
	lode_package_close(&pkg);
}
