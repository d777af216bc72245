/* SPDX-License-Identifier: BSD-3-Clause */
/* Elements of a TensorProto as float or int64_t. */
#include "graph.h"

#include <stdlib.h>

static unsigned element_bytes(uint32_t type)
{
	switch (type) {
	case LODE_ONNX_UINT8:
	case LODE_ONNX_INT8:
	case LODE_ONNX_BOOL:
		return 1;
	case LODE_ONNX_INT32:
	case LODE_ONNX_FLOAT:
		return 4;
	case LODE_ONNX_INT64:
	case LODE_ONNX_DOUBLE:
		return 8;
	default:
		return 0;
	}
}

static bool is_integer(uint32_t type)
{
	return type != LODE_ONNX_FLOAT && type != LODE_ONNX_DOUBLE;
}

static int64_t load_integer(const uint8_t *p, uint32_t type)
{
	switch (type) {
	case LODE_ONNX_INT8:
		return (int8_t)*p;
	case LODE_ONNX_INT32:
		return (int32_t)lode_load_le32(p);
	case LODE_ONNX_INT64:
		return (int64_t)lode_load_le64(p);
	default:
		return *p;
	}
}

static void load_fixed(const struct lode_onnx_tensor *t, struct array *a)
{
	unsigned size = element_bytes(t->data_type);
	for (uint64_t k = 0; k < a->n; k++) {
		const uint8_t *p = t->bytes.data + k * size;
		double d;
		if (a->integer) {
			a->i[k] = load_integer(p, t->data_type);
		} else if (t->data_type == LODE_ONNX_FLOAT) {
			memcpy(&a->f[k], p, 4);
		} else {
			memcpy(&d, p, 8);
			a->f[k] = (float)d;
		}
	}
}

static bool load_varints(const struct lode_onnx_tensor *t, struct array *a)
{
	const uint8_t *p = t->bytes.data, *end = p + t->bytes.n_bytes;
	for (uint64_t k = 0, v; k < a->n; k++) {
		unsigned n = pb_varint(p, end, &v);
		if (!n || !a->integer)
			return false;
		a->i[k] = (int64_t)v;
		p += n;
	}
	return p == end;
}

static int set_shape(const struct lode_onnx_tensor *t, struct array *a, struct lode_err *err)
{
	a->rank = t->rank;
	a->n = 1;
	for (uint32_t i = 0; i < t->rank; i++) {
		a->dims[i] = (int64_t)t->dims[i];
		if (!t->dims[i] || __builtin_mul_overflow(a->n, t->dims[i], &a->n) ||
			a->n > MAX_VALUE_BYTES / 8)
			return lode_err_set(
				err, -EINVAL, "dimension %u is 0 or the tensor is too large", i);
	}
	return 0;
}

int tensor_decode(const struct lode_onnx_tensor *t, struct array *a, struct lode_err *err)
{
	unsigned size = element_bytes(t->data_type);
	*a = (struct array){
		.integer = is_integer(t->data_type), .is_signed = t->data_type == LODE_ONNX_INT8};
	if (t->odd)
		return lode_err_set(err, -EINVAL, "%s", t->odd);
	if (t->payload == LODE_ONNX_EXTERNAL)
		return lode_err_set(err, -EPERM, "external data is not allowed here");
	if (!size)
		return lode_err_set(err, -ENOTSUP,
			"element type %u is not among float, double, bool, int8, "
			"uint8, int32, int64",
			t->data_type);
	int rc = set_shape(t, a, err);
	if (rc)
		return rc;
	bool fixed = t->payload == LODE_ONNX_RAW ||
		     (t->payload == LODE_ONNX_FLOATS && t->data_type == LODE_ONNX_FLOAT) ||
		     (t->payload == LODE_ONNX_DOUBLES && t->data_type == LODE_ONNX_DOUBLE);
	/* A varint is at least one byte, so memory is bounded by the file either way. */
	uint64_t expected = fixed ? a->n * size : a->n;
	if ((fixed && t->bytes.n_bytes != expected) || t->bytes.n_bytes < expected)
		return lode_err_set(err, -EINVAL, "shape and type need %llu bytes, %llu found",
			(unsigned long long)expected, (unsigned long long)t->bytes.n_bytes);
	a->data = calloc(a->n, a->integer ? sizeof(int64_t) : sizeof(float));
	if (!a->data)
		return lode_err_set(
			err, -ENOMEM, "no memory for %llu elements", (unsigned long long)a->n);
	if (fixed) {
		load_fixed(t, a);
		return 0;
	}
	return load_varints(t, a) ? 0
				  : lode_err_set(err, -EINVAL, "its integers do not fit its shape");
}
