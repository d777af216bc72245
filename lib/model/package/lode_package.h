/* SPDX-License-Identifier: BSD-3-Clause */
/* package: the files of one model, and which bytes of which file are which tensor. safetensors and
 * ONNX are read without re-encoding anything: the result is a list of byte ranges (extents) that
 * covers every file completely. A package belongs to one thread at a time; once opened it is only
 * read. Sizes and offsets are bytes, 64 bit. Actions return 0 or -errno.
 *
 * The same readers run under two sets of limits. `engine` is for weights that will be executed: the
 * first oddity refuses the package. `delivery` is for files that are only carried: an oddity turns
 * the tensor, or the whole file, into plain bytes and leaves a note that says why. */
#pragma once

#include "lode_base.h"

/* Element types by their safetensors names. LODE_BYTES is everything without fixed-size elements:
 * headers, gaps, files of other formats, strings, varint-coded and 4-bit tensors. The numbers are part
 * of the manifest's hashes: append only. */
enum lode_dtype {
	LODE_BYTES,
	LODE_BOOL,
	LODE_U8,
	LODE_I8,
	LODE_F8_E5M2,
	LODE_F8_E4M3,
	LODE_U16,
	LODE_I16,
	LODE_F16,
	LODE_BF16,
	LODE_U32,
	LODE_I32,
	LODE_F32,
	LODE_U64,
	LODE_I64,
	LODE_F64,
	LODE_N_DTYPES,
};

/* Bytes of one element; 1 for LODE_BYTES. */
unsigned lode_dtype_size(enum lode_dtype dtype);
/* "F32", "BYTES". */
const char *lode_dtype_name(enum lode_dtype dtype);

enum lode_format { LODE_FORMAT_UNKNOWN, LODE_FORMAT_SAFETENSORS, LODE_FORMAT_ONNX };
const char *lode_format_name(enum lode_format format);

enum lode_policy {
	LODE_KEEP_BYTES, /* odd content becomes plain bytes with a note */
	LODE_REFUSE,	 /* odd content is an error */
};

struct lode_limits {
	const char *name;
	enum lode_policy policy;
	uint64_t file_bytes;
	uint64_t header_bytes; /* safetensors header */
	uint32_t n_files, n_tensors, n_metadata, n_nodes;
	uint32_t name_bytes;	 /* tensor names and metadata keys */
	uint32_t metadata_bytes; /* one value */
	uint32_t rank;
	uint32_t depth;	 /* graphs inside graphs */
	uint32_t dtypes; /* bit set of enum lode_dtype */
};
extern const struct lode_limits lode_limits_engine, lode_limits_delivery;

#define LODE_MAX_RANK	     8
#define LODE_FILE_NAME_BYTES 256

/* One byte range of one file. Tensors have a name; a tensor of dtype LODE_BYTES is one whose payload
 * has no fixed-size elements. Everything between tensors has the name "". */
struct lode_extent {
	const char *
		name; /* UTF-8 without control characters; sub-graph tensors as node/attribute/name */
	enum lode_dtype dtype;
	uint32_t file_idx;
	uint64_t offset_bytes, n_bytes;
	uint64_t rows, cols; /* rows * cols elements, row-major; a vector is one row */
	uint32_t rank;
	uint64_t dims[LODE_MAX_RANK];
};

struct lode_package_file {
	char name[LODE_FILE_NAME_BYTES]; /* one path component: [A-Za-z0-9._-], no leading dot */
	const uint8_t *data;
	uint64_t n_bytes;
	enum lode_format format; /* unknown too if the file is not what it looks like; see note */
	char note
		[240]; /* why the file or a part of it is plain bytes; "" if nothing is to be said */
	size_t first_extent, n_extents;
	bool mapped; /* else the bytes are the caller's */
};

struct lode_metadata {
	const char *key, *value;
};

struct lode_package {
	const struct lode_limits *limits;
	struct lode_package_file *files;
	uint32_t n_files;
	struct lode_extent *extents; /* by file, then offset; no holes, no overlap */
	size_t n_extents;
	struct lode_metadata *metadata; /* of all safetensors files, in file order */
	size_t n_metadata;
	int dir_fd; /* the folder, while the package is being opened; else -1 */
};

/* Opens a file, a folder of plain files (no sub-folders, no symbolic links; hidden files are skipped),
 * or a shard index (*.safetensors.index.json with its shards). Files are mapped read-only and must not
 * change while the package is open. The file that path names may be reached by links; what another
 * file's content names, external data and shards, is taken from the same folder only: one plain path
 * component, no symbolic link, no second hard link. pkg is valid for close in any case. */
int lode_package_open(struct lode_package *pkg, const char *path, const struct lode_limits *limits,
	struct lode_err *err);

/* The same over memory that outlives the package. Names as in struct lode_package_file. */
struct lode_package_input {
	const char *name;
	const void *data;
	uint64_t n_bytes;
};
int lode_package_from_memory(struct lode_package *pkg, const struct lode_package_input *inputs,
	uint32_t n_inputs, const struct lode_limits *limits, struct lode_err *err);

void lode_package_close(struct lode_package *pkg);

static inline const uint8_t *lode_extent_data(
	const struct lode_package *pkg, const struct lode_extent *e)
{
	return pkg->files[e->file_idx].data + e->offset_bytes;
}

/* First tensor of that name, NULL if there is none. */
const struct lode_extent *lode_package_tensor(const struct lode_package *pkg, const char *name);
/* Value of a metadata key, NULL if there is none. */
const char *lode_package_metadata(const struct lode_package *pkg, const char *key);

/* ---- manifest: what a package holds, in hashes ---- */

#define LODE_SHA256_BYTES 32

struct lode_manifest {
	uint8_t (*file_sha256)[LODE_SHA256_BYTES]; /* [n_files] */
	uint8_t (
		*extent_sha256)[LODE_SHA256_BYTES]; /* [n_extents], tensors and plain bytes alike */
	/* RFC 6962 tree over the extents in order; a leaf is offset, length (u64 LE), dtype (u8),
	 * SHA-256 of the bytes, file name, NUL, tensor name. So the root commits to every byte, name
	 * and place. */
	uint8_t merkle_root[LODE_SHA256_BYTES];
};

int lode_manifest_make(
	struct lode_manifest *m, const struct lode_package *pkg, struct lode_err *err);
void lode_manifest_free(struct lode_manifest *m);
/* {"merkle_root", "files": [{name, format, bytes, sha256, note}], "tensors": [{name, file, dtype, shape,
 * offset, bytes, sha256}]}. */
void lode_manifest_json(
	const struct lode_manifest *m, const struct lode_package *pkg, struct lode_json *json);

/* ---- safetensors writer ---- */

struct lode_tensor_out {
	const char *name;
	enum lode_dtype dtype; /* not LODE_BYTES */
	uint32_t rank;
	uint64_t dims[LODE_MAX_RANK];
	const void *data;
};

/* Builds a file image in *image (free() it): tensors by element size descending, then name; header
 * padded with spaces to a multiple of 8. Reads back under the same names. */
int lode_safetensors_write(const struct lode_tensor_out *tensors, size_t n_tensors,
	const struct lode_metadata *metadata, size_t n_metadata, uint8_t **image, size_t *n_bytes,
	struct lode_err *err);
