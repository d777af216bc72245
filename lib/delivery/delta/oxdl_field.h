/* SPDX-License-Identifier: BSD-3-Clause */
/* One field of a protobuf message after the other. */
#pragma once

#include "bytes.h"

enum { WIRE_VARINT, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };

struct field {
	uint32_t number;
	uint8_t wire;
	uint64_t value;	   /* WIRE_VARINT */
	struct view bytes; /* WIRE_BYTES, fixed */
	struct view whole; /* tag included */
};

static inline bool next_field(struct view *v, struct field *f)
{
	uint64_t tag, len;
	*f = (struct field){.whole.p = v->p};
	if (!get_varint(v, &tag) || !(tag >> 3) || tag >> 3 > 0x1fffffff)
		return false;
	f->number = (uint32_t)(tag >> 3);
	f->wire = tag & 7;
	bool ok = false;
	if (f->wire == WIRE_VARINT)
		ok = get_varint(v, &f->value);
	else if (f->wire == WIRE_BYTES)
		ok = get_varint(v, &len) && len <= view_left(v) && get_view(v, len, &f->bytes);
	else if (f->wire == WIRE_FIXED32)
		ok = get_view(v, 4, &f->bytes);
	else if (f->wire == WIRE_FIXED64)
		ok = get_view(v, 8, &f->bytes);
	f->whole.end = v->p;
	return ok;
}
