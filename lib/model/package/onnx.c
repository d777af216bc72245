/* SPDX-License-Identifier: BSD-3-Clause */
/* From TensorProto to extents. */
#include "layout.h"
#include "lode_onnx.h"
#include "utf8.h"

#include <inttypes.h>
#include <stdio.h>

struct onnx_file {
	struct lode_package *pkg;
	uint32_t file_idx;
};

static enum lode_dtype element_type(uint32_t onnx_type)
{
	static const enum lode_dtype map[] = {
		[LODE_ONNX_FLOAT] = LODE_F32,
		[LODE_ONNX_UINT8] = LODE_U8,
		[LODE_ONNX_INT8] = LODE_I8,
		[LODE_ONNX_UINT16] = LODE_U16,
		[LODE_ONNX_INT16] = LODE_I16,
		[LODE_ONNX_INT32] = LODE_I32,
		[LODE_ONNX_INT64] = LODE_I64,
		[LODE_ONNX_BOOL] = LODE_BOOL,
		[LODE_ONNX_FLOAT16] = LODE_F16,
		[LODE_ONNX_DOUBLE] = LODE_F64,
		[LODE_ONNX_UINT32] = LODE_U32,
		[LODE_ONNX_UINT64] = LODE_U64,
		[LODE_ONNX_BFLOAT16] = LODE_BF16,
		[LODE_ONNX_FLOAT8E4M3FN] = LODE_F8_E4M3,
		[LODE_ONNX_FLOAT8E5M2] = LODE_F8_E5M2,
	};
	return onnx_type < LODE_ARRAY_LEN(map) ? map[onnx_type] : LODE_BYTES;
}

static bool printable(const char *name)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t n = strlen(name);
	for (uint32_t cp; n > 0;) {
		size_t len = utf8_decode(p, n, &cp);
		if (!len || cp < 0x20 || (cp >= 0x7f && cp <= 0x9f))
			return false;
		p += len;
		n -= len;
	}
	return true;
}

/* What a payload field may hold as fixed-size elements; anything else is carried as bytes. */
static enum lode_dtype payload_type(const struct lode_onnx_tensor *t)
{
	enum lode_dtype dtype = element_type(t->data_type);
	switch (t->payload) {
	case LODE_ONNX_RAW:
	case LODE_ONNX_EXTERNAL:
	case LODE_ONNX_NO_DATA:
		return dtype;
	case LODE_ONNX_FLOATS:
		return dtype == LODE_F32 ? dtype : LODE_BYTES;
	case LODE_ONNX_DOUBLES:
		return dtype == LODE_F64 ? dtype : LODE_BYTES;
	default:
		return LODE_BYTES;
	}
}

/* Finds the range in the side file. -EPERM, -ENOENT, -ERANGE and a sentence when there is none. */
static int place_external(struct onnx_file *f, const struct lode_onnx_tensor *t,
	struct lode_extent *e, struct lode_err *err)
{
	char location[LODE_FILE_NAME_BYTES];
	if (f->pkg->limits->policy == LODE_REFUSE)
		return lode_err_set(err, -EPERM, "external data is not allowed by the %s limits",
			f->pkg->limits->name);
	if (!t->location.n_bytes || t->location.n_bytes >= sizeof(location) ||
		memchr(t->location.data, 0, t->location.n_bytes))
		return lode_err_set(
			err, -EPERM, "external data location is empty, too long or holds a NUL");
	snprintf(location, sizeof(location), "%.*s", (int)t->location.n_bytes,
		(const char *)t->location.data);
	int rc = package_sibling(f->pkg, location, &e->file_idx, err);
	if (rc)
		return rc;
	uint64_t size = f->pkg->files[e->file_idx].n_bytes;
	e->offset_bytes = t->offset_bytes;
	e->n_bytes = t->n_bytes;
	if (e->offset_bytes <= size && e->n_bytes == UINT64_MAX)
		e->n_bytes = size - e->offset_bytes;
	if (e->offset_bytes > size || e->n_bytes > size - e->offset_bytes)
		return lode_err_set(err, -ERANGE,
			"external data at %" PRIu64 " + %" PRIu64 " is outside '%s' of %" PRIu64
			" bytes",
			e->offset_bytes, e->n_bytes, location, size);
	return 0;
}

static int place(struct onnx_file *f, const struct lode_onnx_tensor *t, bool sparse,
	struct lode_extent *e, struct lode_err *err)
{
	const struct lode_limits *limits = f->pkg->limits;
	if (t->odd)
		return lode_err_set(err, -EBADMSG, "%s", t->odd);
	if (sparse && limits->policy == LODE_REFUSE)
		return lode_err_set(err, -EBADMSG,
			"sparse tensors are not allowed by the %s limits", limits->name);
	if (t->rank > limits->rank)
		return lode_err_set(
			err, -E2BIG, "%u dimensions, %u are allowed", t->rank, limits->rank);
	if (t->payload == LODE_ONNX_EXTERNAL)
		return place_external(f, t, e, err);
	e->offset_bytes =
		t->bytes.n_bytes ? (uint64_t)(t->bytes.data - f->pkg->files[f->file_idx].data) : 0;
	e->n_bytes = t->bytes.n_bytes;
	return 0;
}

/* Shape and length must agree where elements have a fixed size. */
static int check_size(const struct lode_extent *e, struct lode_err *err)
{
	uint64_t expected;
	if (!layout_tensor_bytes(e->dtype, e->dims, e->rank, &expected))
		return lode_err_set(err, -E2BIG, "product of the shape is above 2^63 bytes");
	if (e->dtype != LODE_BYTES && expected != e->n_bytes)
		return lode_err_set(err, -EBADMSG,
			"shape and type need %" PRIu64 " bytes, %" PRIu64 " found", expected,
			e->n_bytes);
	return 0;
}

static int add_tensor(
	struct onnx_file *f, const char *path, struct lode_extent e, struct lode_err *err)
{
	if (!path[0] || strlen(path) > f->pkg->limits->name_bytes || !printable(path))
		return lode_err_set(
			err, -EBADMSG, "its name is empty, too long or not printable UTF-8");
	e.name = strdup(path);
	if (!e.name)
		return lode_err_set(err, -ENOMEM, "no memory for a name");
	return layout_add(f->pkg, e, err);
}

/* A tensor that cannot be placed stays plain bytes, with a note, or refuses the file. */
static int visit(void *ctx, const char *path, const struct lode_onnx_tensor *t, bool sparse,
	struct lode_err *err)
{
	struct onnx_file *f = ctx;
	struct lode_extent e = {.file_idx = f->file_idx, .dtype = payload_type(t), .rank = t->rank};
	memcpy(e.dims, t->dims, sizeof(e.dims));
	struct lode_err fault;
	int rc = place(f, t, sparse, &e, &fault);
	if (!rc)
		rc = check_size(&e, &fault);
	if (!rc && (e.n_bytes || t->payload != LODE_ONNX_NO_DATA))
		rc = add_tensor(f, path, e, &fault);
	if (!rc)
		return 0;
	bool whole_file = f->pkg->limits->policy == LODE_REFUSE || rc == -ENOMEM ||
			  f->pkg->n_extents >= f->pkg->limits->n_tensors;
	if (whole_file)
		return lode_err_set(err, rc, "tensor '%.80s': %.300s", path, fault.msg);
	layout_note(f->pkg, f->file_idx, "tensor '%.60s' is plain bytes: %.140s",
		printable(path) ? path : "?", fault.msg);
	return 0;
}

int onnx_read(struct lode_package *pkg, uint32_t file_idx, struct lode_err *err)
{
	const struct lode_package_file *f = &pkg->files[file_idx];
	struct onnx_file ctx = {pkg, file_idx};
	struct lode_onnx_limits limits = {pkg->limits->n_nodes, pkg->limits->depth};
	return lode_onnx_walk(f->data, f->n_bytes, &limits, visit, &ctx, err);
}
