/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of OXDL's tensor strategy that parses models: initializers of an ONNX file, the file without their
 * payloads (skeleton), and the file rebuilt from it. The old system decodes and encodes protobuf there; this
 * works on the wire bytes and gives the same for files that survive such a round trip. */
#pragma once

#include "bytes.h"

struct oxdl_tensor {
	struct view name, bytes;
};

struct oxdl_tensors {
	struct oxdl_tensor *t; /* in file order, names may repeat */
	size_t n;
	struct buf converted; /* payloads that came as varints; bytes of others lie in the file */
};

/* Returns 0, -EBADMSG for bytes that are no ONNX file, -ENOMEM. Clear in any case. */
int oxdl_tensors_read(struct oxdl_tensors *ts, struct view file);
void oxdl_tensors_clear(struct oxdl_tensors *ts);
/* The last tensor of that name, as the old system's map has it; NULL if there is none. */
const struct oxdl_tensor *oxdl_tensor_find(const struct oxdl_tensor *t, size_t n, struct view name);

/* Appends the file without the payloads of its initializers. False for bytes that are no ONNX file. */
bool oxdl_skeleton(struct view file, struct buf *out);
/* Appends the skeleton with raw_data put into every initializer that has a tensor of its name. */
bool oxdl_rebuild(struct view skeleton, const struct oxdl_tensor *t, size_t n, struct buf *out);
/* oxdl_schema.c: whether decoding and encoding by the old system's schema gives the same bytes: known fields only, in
 * ascending order, each optional one once, shortest varints. */
bool oxdl_canonical(struct view file);
