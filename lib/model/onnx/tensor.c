/* SPDX-License-Identifier: BSD-3-Clause */
#include "tensor.h"

#include "proto.h"

static void odd(struct lode_onnx_tensor *t, const char *why)
{
	if (!t->odd)
		t->odd = why;
}

static void add_dim(struct lode_onnx_tensor *t, uint64_t dim)
{
	if (t->rank == LODE_ONNX_MAX_RANK)
		odd(t, "it has more than 8 dimensions");
	else if (dim > INT64_MAX)
		odd(t, "a dimension is negative");
	else
		t->dims[t->rank++] = dim;
}

/* Repeated integers come one by one or packed, split over any number of records. */
static bool parse_dims(struct lode_onnx_tensor *t, const struct pb_field *f)
{
	if (f->wire == PB_VARINT)
		add_dim(t, f->value);
	else if (f->wire != PB_LEN)
		odd(t, "dims have an unexpected wire type");
	else
		for (uint64_t at = 0, dim; at < f->n_bytes;) {
			unsigned n = pb_varint(f->data + at, f->data + f->n_bytes, &dim);
			if (!n)
				return false;
			add_dim(t, dim);
			at += n;
		}
	return true;
}

/* A payload field: the format lets it repeat and merge; here it may come once and packed. */
static void set_payload(
	struct lode_onnx_tensor *t, const struct pb_field *f, enum lode_onnx_payload kind)
{
	if (f->wire != PB_LEN)
		odd(t, "its typed data is not packed");
	else if (t->payload != LODE_ONNX_NO_DATA)
		odd(t, "it has more than one payload field");
	t->payload = kind;
	t->bytes = (struct lode_span){f->data, f->n_bytes};
}

/* Plain decimal, nothing else. */
static bool parse_decimal(struct lode_span text, uint64_t *v)
{
	*v = 0;
	for (uint64_t i = 0; i < text.n_bytes; i++) {
		uint8_t c = text.data[i];
		if (c < '0' || c > '9' || __builtin_mul_overflow(*v, 10u, v) ||
			__builtin_add_overflow(*v, (uint64_t)(c - '0'), v))
			return false;
	}
	return text.n_bytes > 0 && *v <= INT64_MAX;
}

static void set_external(
	struct lode_onnx_tensor *t, struct lode_span key, struct lode_span value, unsigned *seen)
{
	/* "checksum" and keys of the future say nothing about the place */
	unsigned bit = lode_span_is(key, "location") ? 1
		       : lode_span_is(key, "offset") ? 2
		       : lode_span_is(key, "length") ? 4
						     : 0;
	if (*seen & bit)
		odd(t, "an external data key occurs twice");
	*seen |= bit;
	if (bit == 1)
		t->location = value;
	else if (bit == 2 && !parse_decimal(value, &t->offset_bytes))
		odd(t, "its external data offset is not a plain decimal");
	else if (bit == 4 && !parse_decimal(value, &t->n_bytes))
		odd(t, "its external data length is not a plain decimal");
}

static bool parse_external(struct lode_onnx_tensor *t, const struct pb_field *entry, unsigned *seen)
{
	struct pb m = pb_open(entry);
	struct pb_field f;
	struct lode_span key = {0}, value = {0};
	int rc;
	while ((rc = pb_next(&m, &f)) > 0) {
		if (f.wire == PB_LEN && f.number == ENTRY_KEY)
			key = (struct lode_span){f.data, f.n_bytes};
		if (f.wire == PB_LEN && f.number == ENTRY_VALUE)
			value = (struct lode_span){f.data, f.n_bytes};
	}
	set_external(t, key, value, seen);
	return rc == 0;
}

static bool parse_field(
	struct lode_onnx_tensor *t, const struct pb_field *f, unsigned *external_seen)
{
	switch (f->number) {
	case TENSOR_DIMS:
		return parse_dims(t, f);
	case TENSOR_DATA_TYPE:
		t->data_type =
			f->wire == PB_VARINT && f->value <= UINT32_MAX ? (uint32_t)f->value : 0;
		break;
	case TENSOR_NAME:
		if (f->wire == PB_LEN)
			t->name = (struct lode_span){f->data, f->n_bytes};
		break;
	case TENSOR_RAW_DATA:
		set_payload(t, f, LODE_ONNX_RAW);
		break;
	case TENSOR_FLOAT_DATA:
		set_payload(t, f, LODE_ONNX_FLOATS);
		break;
	case TENSOR_DOUBLE_DATA:
		set_payload(t, f, LODE_ONNX_DOUBLES);
		break;
	case TENSOR_INT32_DATA:
	case TENSOR_INT64_DATA:
	case TENSOR_UINT64_DATA:
		set_payload(t, f, LODE_ONNX_VARINTS);
		break;
	case TENSOR_STRING_DATA:
		odd(t, "it holds strings");
		break;
	case TENSOR_SEGMENT:
		odd(t, "it is a segment of a tensor");
		break;
	case TENSOR_EXTERNAL_DATA:
		if (f->wire != PB_LEN || !parse_external(t, f, external_seen))
			return false;
		break;
	case TENSOR_DATA_LOCATION:
		if (f->value == 1 && t->payload != LODE_ONNX_NO_DATA)
			odd(t, "it has both external and own data");
		if (f->value == 1)
			t->payload = LODE_ONNX_EXTERNAL;
		break;
	default: /* doc_string, metadata, the future */
		break;
	}
	return true;
}

bool tensor_parse(struct pb m, struct lode_onnx_tensor *t)
{
	*t = (struct lode_onnx_tensor){.n_bytes = UINT64_MAX};
	struct pb_field f;
	unsigned external_seen = 0;
	int rc;
	while ((rc = pb_next(&m, &f)) > 0)
		if (!parse_field(t, &f, &external_seen))
			return false;
	if (t->payload == LODE_ONNX_EXTERNAL && !(external_seen & 1))
		odd(t, "its external data has no location");
	if (t->payload != LODE_ONNX_EXTERNAL && external_seen)
		odd(t, "it has external data keys but its own data");
	return rc == 0;
}
