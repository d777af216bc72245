/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"

#include <stdarg.h>
#include <stdio.h>

bool layout_tensor_bytes(
	enum lode_dtype dtype, const uint64_t *dims, uint32_t rank, uint64_t *n_bytes)
{
	/* A zero anywhere makes the tensor empty, whatever the others say; the others must still fit. */
	uint64_t product = lode_dtype_size(dtype);
	bool empty = false;
	for (uint32_t i = 0; i < rank; i++) {
		empty |= dims[i] == 0;
		if (dims[i] && __builtin_mul_overflow(product, dims[i], &product))
			return false;
	}
	*n_bytes = empty ? 0 : product;
	return product <= INT64_MAX;
}

static void set_rows_cols(struct lode_extent *e)
{
	uint64_t n_elements = e->n_bytes / lode_dtype_size(e->dtype);
	bool matrix = e->dtype != LODE_BYTES && e->rank >= 2 && e->dims[0] > 0 && n_elements > 0;
	e->rows = matrix ? e->dims[0] : 1;
	e->cols = n_elements / e->rows;
}

int layout_add(struct lode_package *pkg, struct lode_extent e, struct lode_err *err)
{
	if (pkg->n_extents >= pkg->limits->n_tensors) {
		free((char *)e.name);
		return lode_err_set(err, -E2BIG, "more than %u tensors", pkg->limits->n_tensors);
	}
	void *grown = grow_array(pkg->extents, pkg->n_extents, sizeof(e));
	if (!grown) {
		free((char *)e.name);
		return lode_err_set(err, -ENOMEM, "no memory for %zu tensors", pkg->n_extents);
	}
	pkg->extents = grown;
	set_rows_cols(&e);
	pkg->extents[pkg->n_extents++] = e;
	return 0;
}

int layout_add_metadata(struct lode_package *pkg, char *key, char *value, struct lode_err *err)
{
	int rc = 0;
	if (pkg->n_metadata >= pkg->limits->n_metadata)
		rc = lode_err_set(
			err, -E2BIG, "more than %u metadata keys", pkg->limits->n_metadata);
	void *grown =
		rc ? NULL : grow_array(pkg->metadata, pkg->n_metadata, sizeof(*pkg->metadata));
	if (!rc && !grown)
		rc = lode_err_set(err, -ENOMEM, "no memory for %zu metadata keys", pkg->n_metadata);
	if (rc) {
		free(key);
		free(value);
		return rc;
	}
	pkg->metadata = grown;
	pkg->metadata[pkg->n_metadata++] = (struct lode_metadata){key, value};
	return 0;
}

void layout_note(struct lode_package *pkg, uint32_t file_idx, const char *fmt, ...)
{
	struct lode_package_file *f = &pkg->files[file_idx];
	if (f->note[0])
		return;
	va_list args;
	va_start(args, fmt);
	vsnprintf(f->note, sizeof(f->note), fmt, args);
	va_end(args);
}

void layout_rollback(struct lode_package *pkg, size_t n_extents, size_t n_metadata)
{
	while (pkg->n_extents > n_extents)
		free((char *)pkg->extents[--pkg->n_extents].name);
	while (pkg->n_metadata > n_metadata) {
		struct lode_metadata *m = &pkg->metadata[--pkg->n_metadata];
		free((char *)m->key);
		free((char *)m->value);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The first string that occurs twice; NULL if none. Sorts. */
static const char *find_duplicate(const char **names, size_t n)
{
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(names[i - 1], names[i]))
			return names[i];
	return NULL;
}

int layout_check_names(const struct lode_package *pkg, size_t first_extent, size_t first_metadata,
	struct lode_err *err)
{
	size_t n_tensors = pkg->n_extents - first_extent, n_keys = pkg->n_metadata - first_metadata;
	const char **names = calloc(LODE_MAX(n_tensors, n_keys) + 1, sizeof(*names));
	if (!names)
		return lode_err_set(err, -ENOMEM, "no memory for %zu names", n_tensors);
	for (size_t i = 0; i < n_tensors; i++)
		names[i] = pkg->extents[first_extent + i].name;
	const char *what = "tensor", *twice = find_duplicate(names, n_tensors);
	if (!twice) {
		what = "metadata key";
		for (size_t i = 0; i < n_keys; i++)
			names[i] = pkg->metadata[first_metadata + i].key;
		twice = find_duplicate(names, n_keys);
	}
	free(names);
	if (twice)
		return lode_err_set(err, -EEXIST, "%s '%.80s' occurs twice", what, twice);
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct lode_extent *x = a, *y = b;
	if (x->file_idx != y->file_idx)
		return x->file_idx < y->file_idx ? -1 : 1;
	if (x->offset_bytes != y->offset_bytes)
		return x->offset_bytes < y->offset_bytes ? -1 : 1;
	return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* Drops extents that begin inside the one before. */
static int drop_overlaps(struct lode_package *pkg, struct lode_err *err)
{
	size_t n_kept = 0;
	for (size_t i = 0; i < pkg->n_extents; i++) {
		struct lode_extent *e = &pkg->extents[i];
		const struct lode_extent *last = n_kept ? &pkg->extents[n_kept - 1] : NULL;
		if (!last || last->file_idx != e->file_idx ||
			last->offset_bytes + last->n_bytes <= e->offset_bytes) {
			pkg->extents[n_kept++] = *e;
			continue;
		}
		if (pkg->limits->policy == LODE_REFUSE)
			return lode_err_set(err, -EBADMSG,
				"tensor '%.80s' overlaps '%.80s' at offset %llu", e->name,
				last->name, (unsigned long long)e->offset_bytes);
		layout_note(pkg, e->file_idx,
			"tensor '%.80s' overlaps '%.80s', its bytes are plain", e->name,
			last->name);
		free((char *)e->name);
		e->name = NULL;
	}
	pkg->n_extents = n_kept;
	return 0;
}

/* Copies one file's extents behind *n_out with the gaps filled; returns the index behind them. */
static size_t cover_file(struct lode_package *pkg, uint32_t file_idx, size_t i,
	struct lode_extent *out, size_t *n_out)
{
	struct lode_package_file *f = &pkg->files[file_idx];
	uint64_t at = 0;
	f->first_extent = *n_out;
	for (;;) {
		bool tensor = i < pkg->n_extents && pkg->extents[i].file_idx == file_idx;
		uint64_t next = tensor ? pkg->extents[i].offset_bytes : f->n_bytes;
		if (next > at)
			out[(*n_out)++] = (struct lode_extent){.name = "",
				.file_idx = file_idx,
				.offset_bytes = at,
				.n_bytes = next - at,
				.rows = 1,
				.cols = next - at};
		if (!tensor)
			break;
		out[(*n_out)++] = pkg->extents[i];
		at = next + pkg->extents[i].n_bytes;
		i++;
	}
	f->n_extents = *n_out - f->first_extent;
	return i;
}

int layout_finish(struct lode_package *pkg, struct lode_err *err)
{
	if (pkg->n_extents)
		qsort(pkg->extents, pkg->n_extents, sizeof(*pkg->extents), by_place);
	int rc = drop_overlaps(pkg, err);
	if (rc)
		return rc;
	struct lode_extent *out = calloc(2 * pkg->n_extents + pkg->n_files + 1, sizeof(*out));
	if (!out)
		return lode_err_set(err, -ENOMEM, "no memory for %zu extents", pkg->n_extents);
	size_t n_out = 0, i = 0;
	for (uint32_t f = 0; f < pkg->n_files; f++)
		i = cover_file(pkg, f, i, out, &n_out);
	free(pkg->extents);
	pkg->extents = out;
	pkg->n_extents = n_out;
	return 0;
}
