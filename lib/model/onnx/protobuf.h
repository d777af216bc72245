/* SPDX-License-Identifier: BSD-3-Clause */
/* Zero-copy walk over protobuf wire format: spans instead of copies, nothing is allocated.
 * Source: protobuf.dev/programming-guides/encoding. Groups are not supported: ONNX has none. */
#pragma once

#include "lode_base.h"

struct pb {
	const uint8_t *p, *end;
};

enum pb_wire { PB_VARINT = 0, PB_I64 = 1, PB_LEN = 2, PB_I32 = 5 };

struct pb_field {
	uint32_t number;
	enum pb_wire wire;
	uint64_t value;	     /* PB_VARINT, PB_I32, PB_I64 */
	const uint8_t *data; /* PB_LEN: the payload; else the encoded value */
	uint64_t n_bytes;
};

/* 1 with the next field, 0 at the end, -EBADMSG for anything malformed: a varint of more than 10
 * bytes or 64 bits, field number 0 or above 2^29 - 1, wire types 3, 4, 6, 7, a length past the end.
 * m->p stays at the malformed field. */
int pb_next(struct pb *m, struct pb_field *f);

/* Bytes taken by one varint, 0 when malformed or cut. */
unsigned pb_varint(const uint8_t *p, const uint8_t *end, uint64_t *v);

static inline struct pb pb_open(const struct pb_field *f)
{
	return (struct pb){f->data, f->data + f->n_bytes};
}
