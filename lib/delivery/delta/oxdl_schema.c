/* SPDX-License-Identifier: BSD-3-Clause */
/* The schema by which the old system decodes and encodes ONNX files (onnx.proto, proto2), as far as it can be seen
 * in the bytes. */
#include "oxdl_field.h"
#include "oxdl_onnx.h"

enum message {
	M_MODEL,
	M_GRAPH,
	M_NODE,
	M_ATTRIBUTE,
	M_TENSOR,
	M_SEGMENT,
	M_SPARSE,
	M_VALUE_INFO,
	M_TYPE,
	M_TYPE_TENSOR,
	M_TYPE_SEQUENCE,
	M_TYPE_MAP,
	M_SHAPE,
	M_DIMENSION,
	M_OPSET,
	M_PAIR,
	M_ANNOTATION,
	M_TRAINING,
	M_FUNCTION,
	N_MESSAGES,
	KIND_INT64 = 32,
	KIND_INT32,
	KIND_FIXED32,
	KIND_STRING,
	KIND_BYTES,
	KIND_VARINTS,
};

#define MANY	  0x80 /* repeated */
#define DEPTH_MAX 64

/* Per message: field number and kind (a message or KIND_*), in ascending order, ended by zeros. */
static const uint8_t schema[N_MESSAGES][20][2] = {
	[M_MODEL] = {{1, KIND_INT64}, {2, KIND_STRING}, {3, KIND_STRING}, {4, KIND_STRING},
		{5, KIND_INT64}, {6, KIND_STRING}, {7, M_GRAPH}, {8, M_OPSET | MANY},
		{14, M_PAIR | MANY}, {20, M_TRAINING | MANY}, {25, M_FUNCTION | MANY}},
	[M_GRAPH] = {{1, M_NODE | MANY}, {2, KIND_STRING}, {5, M_TENSOR | MANY}, {10, KIND_STRING},
		{11, M_VALUE_INFO | MANY}, {12, M_VALUE_INFO | MANY}, {13, M_VALUE_INFO | MANY},
		{14, M_ANNOTATION | MANY}, {15, M_SPARSE | MANY}, {16, M_PAIR | MANY}},
	[M_NODE] = {{1, KIND_STRING | MANY}, {2, KIND_STRING | MANY}, {3, KIND_STRING},
		{4, KIND_STRING}, {5, M_ATTRIBUTE | MANY}, {6, KIND_STRING}, {7, KIND_STRING},
		{8, KIND_STRING}, {9, M_PAIR | MANY}},
	[M_ATTRIBUTE] = {{1, KIND_STRING}, {2, KIND_FIXED32}, {3, KIND_INT64}, {4, KIND_BYTES},
		{5, M_TENSOR}, {6, M_GRAPH}, {7, KIND_FIXED32 | MANY}, {8, KIND_INT64 | MANY},
		{9, KIND_BYTES | MANY}, {10, M_TENSOR | MANY}, {11, M_GRAPH | MANY},
		{13, KIND_STRING}, {14, M_TYPE}, {15, M_TYPE | MANY}, {20, KIND_INT32},
		{21, KIND_STRING}, {22, M_SPARSE}, {23, M_SPARSE | MANY}},
	[M_TENSOR] = {{1, KIND_INT64 | MANY}, {2, KIND_INT32}, {3, M_SEGMENT}, {4, KIND_BYTES},
		{5, KIND_VARINTS}, {6, KIND_BYTES | MANY}, {7, KIND_VARINTS}, {8, KIND_STRING},
		{9, KIND_BYTES}, {10, KIND_BYTES}, {11, KIND_VARINTS}, {12, KIND_STRING},
		{13, M_PAIR | MANY}, {14, KIND_INT32}, {16, M_PAIR | MANY}},
	[M_SEGMENT] = {{1, KIND_INT64}, {2, KIND_INT64}},
	[M_SPARSE] = {{1, M_TENSOR}, {2, M_TENSOR}, {3, KIND_INT64 | MANY}},
	[M_VALUE_INFO] = {{1, KIND_STRING}, {2, M_TYPE}, {3, KIND_STRING}, {4, M_PAIR | MANY}},
	[M_TYPE] = {{1, M_TYPE_TENSOR}, {4, M_TYPE_SEQUENCE}, {5, M_TYPE_MAP}, {6, KIND_STRING}},
	[M_TYPE_TENSOR] = {{1, KIND_INT32}, {2, M_SHAPE}},
	[M_TYPE_SEQUENCE] = {{1, M_TYPE}},
	[M_TYPE_MAP] = {{1, KIND_INT32}, {2, M_TYPE}},
	[M_SHAPE] = {{1, M_DIMENSION | MANY}},
	[M_DIMENSION] = {{1, KIND_INT64}, {2, KIND_STRING}, {3, KIND_STRING}},
	[M_OPSET] = {{1, KIND_STRING}, {2, KIND_INT64}},
	[M_PAIR] = {{1, KIND_STRING}, {2, KIND_STRING}},
	[M_ANNOTATION] = {{1, KIND_STRING}, {2, M_PAIR | MANY}},
	[M_TRAINING] = {{1, M_GRAPH}, {2, M_GRAPH}, {3, M_PAIR | MANY}, {4, M_PAIR | MANY}},
	[M_FUNCTION] = {{1, KIND_STRING}, {4, KIND_STRING | MANY}, {5, KIND_STRING | MANY},
		{6, KIND_STRING | MANY}, {7, M_NODE | MANY}, {8, KIND_STRING}, {9, M_OPSET | MANY},
		{10, KIND_STRING}, {11, M_ATTRIBUTE | MANY}, {12, M_VALUE_INFO | MANY},
		{13, KIND_STRING}, {14, M_PAIR | MANY}},
};

/* RFC 3629, without surrogates and overlong forms. */
static bool is_utf8(struct view v)
{
	uint8_t b;
	while (get_u8(&v, &b)) {
		unsigned n = b < 0x80		     ? 0
			     : b >= 0xc2 && b < 0xe0 ? 1
			     : b >= 0xe0 && b < 0xf0 ? 2
			     : b >= 0xf0 && b < 0xf5 ? 3
						     : 4;
		uint32_t c = n ? b & (0x3fu >> n) : b;
		if (n == 4)
			return false;
		for (unsigned i = 0; i < n; i++) {
			if (!get_u8(&v, &b) || (b & 0xc0) != 0x80)
				return false;
			c = c << 6 | (b & 0x3f);
		}
		if ((n == 2 && c < 0x800) || (n == 3 && c < 0x10000) || c > 0x10ffff ||
			(c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

static bool varints_ok(struct view v)
{
	uint64_t value;
	while (v.p < v.end)
		if (!get_varint(&v, &value))
			return false;
	return true;
}

static bool message_ok(enum message m, struct view v, unsigned depth);

static bool field_ok(const struct field *f, unsigned kind, unsigned depth)
{
	switch (kind) {
	case KIND_INT64:
		return f->wire == WIRE_VARINT;
	case KIND_INT32:
		return f->wire == WIRE_VARINT && f->value <= INT32_MAX;
	case KIND_FIXED32:
		return f->wire == WIRE_FIXED32;
	case KIND_STRING:
		return f->wire == WIRE_BYTES && is_utf8(f->bytes);
	case KIND_BYTES:
		return f->wire == WIRE_BYTES;
	case KIND_VARINTS:
		return f->wire == WIRE_BYTES && varints_ok(f->bytes);
	default:
		return f->wire == WIRE_BYTES && message_ok(kind, f->bytes, depth + 1);
	}
}

static bool message_ok(enum message m, struct view v, unsigned depth)
{
	const uint8_t(*row)[2] = schema[m];
	struct field f;
	uint32_t before = 0;
	if (depth > DEPTH_MAX)
		return false;
	while (v.p < v.end) {
		if (!next_field(&v, &f))
			return false;
		while ((*row)[0] && (*row)[0] < f.number)
			row++;
		bool many = (*row)[1] & MANY;
		if ((*row)[0] != f.number || (f.number == before && !many) ||
			!field_ok(&f, (*row)[1] & ~MANY, depth))
			return false;
		before = f.number;
	}
	return true;
}

bool oxdl_canonical(struct view file)
{
	return message_ok(M_MODEL, file, 0);
}
