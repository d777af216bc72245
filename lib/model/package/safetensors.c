/* SPDX-License-Identifier: BSD-3-Clause */
/* safetensors: u64 LE header length, JSON header, data buffer. Checks after the reference
 * implementation (huggingface/safetensors): the tensors cover the buffer in order, without hole or
 * overlap, and their shapes agree with their lengths; besides, keys are unique. */
#include "json_scan.h"
#include "layout.h"

#include <inttypes.h>

enum { LENGTH_BYTES = 8 };

bool safetensors_sniff(const uint8_t *data, uint64_t n_bytes)
{
	return n_bytes > LENGTH_BYTES && data[LENGTH_BYTES] == '{' &&
	       lode_load_le64(data) <= n_bytes - LENGTH_BYTES;
}

static int read_dtype(struct json_scan *s, struct lode_extent *e)
{
	/* Known to the format, without whole bytes per element or rare: carried, not looked into. */
	static const char *const others[] = {"F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "C64"};
	char *name;
	if (scan_string(s, 16, false, &name))
		return s->rc;
	int found = -1;
	for (int i = LODE_BOOL; i < LODE_N_DTYPES; i++)
		if (!strcmp(name, lode_dtype_name((enum lode_dtype)i)))
			found = i;
	for (size_t i = 0; i < LODE_ARRAY_LEN(others); i++)
		if (!strcmp(name, others[i]))
			found = LODE_BYTES;
	e->dtype = found < 0 ? LODE_BYTES : (enum lode_dtype)found;
	if (found < 0)
		scan_fail(s, -EBADMSG, "dtype '%s' is unknown", name);
	free(name);
	return s->rc;
}

/* [u64, ...] of at most max numbers. */
static int read_numbers(
	struct json_scan *s, uint64_t *v, uint32_t max, uint32_t *n, const char *what)
{
	*n = 0;
	if (scan_expect(s, '[') || scan_take(s, ']'))
		return s->rc;
	do {
		if (*n == max)
			return scan_fail(s, -E2BIG, "%s has more than %u numbers", what, max);
		if (scan_u64(s, &v[*n]))
			return s->rc;
		++*n;
	} while (scan_take(s, ','));
	return scan_expect(s, ']');
}

static int read_field(struct json_scan *s, const struct lode_limits *limits, struct lode_extent *e,
	unsigned *seen)
{
	static const char *const fields[] = {"dtype", "shape", "data_offsets"};
	char *key;
	if (scan_string(s, 16, false, &key))
		return s->rc;
	unsigned f = 0;
	while (f < LODE_ARRAY_LEN(fields) && strcmp(key, fields[f]))
		f++;
	if (f == LODE_ARRAY_LEN(fields))
		scan_fail(
			s, -EBADMSG, "field '%s': dtype, shape and data_offsets are allowed", key);
	else if (*seen & 1u << f)
		scan_fail(s, -EEXIST, "field '%s' occurs twice", key);
	free(key);
	if (scan_expect(s, ':'))
		return s->rc;
	*seen |= 1u << f;
	uint64_t offsets[2] = {0};
	uint32_t n;
	switch (f) {
	case 0:
		return read_dtype(s, e);
	case 1:
		return read_numbers(s, e->dims, limits->rank, &e->rank, "shape");
	default:
		if (read_numbers(s, offsets, 2, &n, "data_offsets"))
			return s->rc;
		if (n != 2 || offsets[0] > offsets[1])
			return scan_fail(
				s, -EBADMSG, "data_offsets must be [begin, end] with begin <= end");
		e->offset_bytes = offsets[0];
		e->n_bytes = offsets[1] - offsets[0];
		return 0;
	}
}

/* {"dtype", "shape", "data_offsets"}; offsets stay relative to the buffer here. */
static int read_tensor(struct json_scan *s, const struct lode_limits *limits, struct lode_extent *e)
{
	unsigned seen = 0;
	if (scan_expect(s, '{'))
		return s->rc;
	do {
		if (read_field(s, limits, e, &seen))
			return s->rc;
	} while (scan_take(s, ','));
	if (scan_expect(s, '}'))
		return s->rc;
	if (seen != 7)
		return scan_fail(s, -EBADMSG, "dtype, shape and data_offsets are all required");
	if (!(limits->dtypes & 1u << e->dtype))
		return scan_fail(s, -EBADMSG, "dtype %s is not allowed by the %s limits",
			lode_dtype_name(e->dtype), limits->name);
	uint64_t expected;
	if (!layout_tensor_bytes(e->dtype, e->dims, e->rank, &expected))
		return scan_fail(s, -E2BIG, "product of the shape is above 2^63 bytes");
	if (e->dtype != LODE_BYTES && expected != e->n_bytes)
		return scan_fail(s, -EBADMSG,
			"shape and dtype need %" PRIu64 " bytes, data_offsets hold %" PRIu64,
			expected, e->n_bytes);
	return 0;
}

static int read_metadata(struct json_scan *s, struct lode_package *pkg)
{
	if (scan_expect(s, '{') || scan_take(s, '}'))
		return s->rc;
	do {
		char *key, *value;
		if (scan_string(s, pkg->limits->name_bytes, false, &key))
			return s->rc;
		if (scan_expect(s, ':') ||
			scan_string(s, pkg->limits->metadata_bytes, true, &value)) {
			free(key);
			return s->rc;
		}
		int rc = layout_add_metadata(pkg, key, value, s->err);
		if (rc)
			return rc;
	} while (scan_take(s, ','));
	return scan_expect(s, '}');
}

static int read_entry(
	struct json_scan *s, struct lode_package *pkg, uint32_t file_idx, bool *metadata_seen)
{
	struct lode_extent e = {.file_idx = file_idx};
	char *name;
	if (scan_string(s, pkg->limits->name_bytes, false, &name))
		return s->rc;
	if (!strcmp(name, "__metadata__")) {
		free(name);
		if (*metadata_seen)
			return scan_fail(s, -EEXIST, "__metadata__ occurs twice");
		*metadata_seen = true;
		return scan_expect(s, ':') ? s->rc : read_metadata(s, pkg);
	}
	if (!name[0])
		scan_fail(s, -EBADMSG, "a tensor has an empty name");
	if (scan_expect(s, ':') || read_tensor(s, pkg->limits, &e)) {
		lode_err_prefix(s->err, "tensor '%.80s'", name);
		free(name);
		return s->rc;
	}
	e.name = name;
	return layout_add(pkg, e, s->err);
}

static int read_header(struct json_scan *s, struct lode_package *pkg, uint32_t file_idx)
{
	bool metadata_seen = false;
	if (scan_expect(s, '{'))
		return s->rc;
	if (scan_take(s, '}'))
		return scan_finish(s);
	do {
		int rc = read_entry(s, pkg, file_idx, &metadata_seen);
		if (rc)
			return rc;
	} while (scan_take(s, ','));
	return scan_expect(s, '}') ? s->rc : scan_finish(s);
}

static int by_offset(const void *a, const void *b)
{
	const struct lode_extent *x = a, *y = b;
	if (x->offset_bytes != y->offset_bytes)
		return x->offset_bytes < y->offset_bytes ? -1 : 1;
	return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* Contiguous from 0 to the end of the buffer; then offsets become those of the file. */
static int check_cover(struct lode_extent *e, size_t n, uint64_t data_start, uint64_t n_buffer,
	struct lode_err *err)
{
	uint64_t at = 0;
	if (n)
		qsort(e, n, sizeof(*e), by_offset);
	for (size_t i = 0; i < n; i++) {
		if (e[i].offset_bytes != at)
			return lode_err_set(err, -EBADMSG,
				"tensor '%.80s' starts at %" PRIu64 ", %s: %" PRIu64 " expected",
				e[i].name, e[i].offset_bytes,
				e[i].offset_bytes > at ? "leaving a hole" : "inside the one before",
				at);
		at += e[i].n_bytes; /* both below 2^63 */
		if (at > n_buffer)
			return lode_err_set(err, -EBADMSG,
				"tensor '%.80s' ends at %" PRIu64 ", the buffer has %" PRIu64
				" bytes",
				e[i].name, at, n_buffer);
		e[i].offset_bytes += data_start;
	}
	if (at != n_buffer)
		return lode_err_set(err, -EBADMSG,
			"%" PRIu64 " bytes after the last tensor: it ends at %" PRIu64
			", the buffer at %" PRIu64,
			n_buffer - at, at, n_buffer);
	return 0;
}

int safetensors_read(struct lode_package *pkg, uint32_t file_idx, struct lode_err *err)
{
	const struct lode_package_file *f = &pkg->files[file_idx];
	uint64_t n_header = lode_load_le64(f->data);
	if (n_header > pkg->limits->header_bytes)
		return lode_err_set(err, -E2BIG,
			"header of %" PRIu64 " bytes, %" PRIu64 " are allowed", n_header,
			pkg->limits->header_bytes);
	const uint8_t *header = f->data + LENGTH_BYTES;
	struct lode_err unused;
	struct json_scan s = {
		.start = header, .p = header, .end = header + n_header, .err = err ? err : &unused};
	size_t first_extent = pkg->n_extents, first_metadata = pkg->n_metadata;
	int rc = read_header(&s, pkg, file_idx);
	if (!rc)
		rc = layout_check_names(pkg, first_extent, first_metadata, err);
	if (!rc)
		rc = check_cover(pkg->n_extents ? pkg->extents + first_extent : NULL,
			pkg->n_extents - first_extent, LENGTH_BYTES + n_header,
			f->n_bytes - LENGTH_BYTES - n_header, err);
	return rc;
}
