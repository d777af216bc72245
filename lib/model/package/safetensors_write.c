/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"

#include <inttypes.h>

static int by_alignment(const void *a, const void *b)
{
	const struct lode_tensor_out *x = *(const struct lode_tensor_out *const *)a;
	const struct lode_tensor_out *y = *(const struct lode_tensor_out *const *)b;
	unsigned sx = lode_dtype_size(x->dtype), sy = lode_dtype_size(y->dtype);
	if (sx != sy)
		return sx > sy ? -1 : 1;
	return strcmp(x->name, y->name);
}

static uint64_t tensor_bytes(const struct lode_tensor_out *t)
{
	uint64_t n_bytes;
	return layout_tensor_bytes(t->dtype, t->dims, t->rank, &n_bytes) ? n_bytes : UINT64_MAX;
}

static void write_header(struct lode_json *j, const struct lode_tensor_out **order,
	size_t n_tensors, const struct lode_metadata *metadata, size_t n_metadata)
{
	lode_json_object(j, NULL);
	if (n_metadata) {
		lode_json_object(j, "__metadata__");
		for (size_t i = 0; i < n_metadata; i++)
			lode_json_string(j, metadata[i].key, metadata[i].value);
		lode_json_close_object(j);
	}
	uint64_t at = 0;
	for (size_t i = 0; i < n_tensors; i++) {
		lode_json_object(j, order[i]->name);
		lode_json_string(j, "dtype", lode_dtype_name(order[i]->dtype));
		lode_json_array(j, "shape");
		for (uint32_t d = 0; d < order[i]->rank; d++)
			lode_json_u64(j, NULL, order[i]->dims[d]);
		lode_json_close_array(j);
		lode_json_array(j, "data_offsets");
		lode_json_u64(j, NULL, at);
		lode_json_u64(j, NULL, at += tensor_bytes(order[i]));
		lode_json_close_array(j);
		lode_json_close_object(j);
	}
	lode_json_close_object(j);
}

/* Room for the header text: every byte of a string may become six. */
static size_t header_room(const struct lode_tensor_out *tensors, size_t n_tensors,
	const struct lode_metadata *metadata, size_t n_metadata)
{
	size_t room = 64;
	for (size_t i = 0; i < n_tensors; i++)
		room += 6 * strlen(tensors[i].name) + 80 + 21 * (LODE_MAX_RANK + 2);
	for (size_t i = 0; i < n_metadata; i++)
		room += 6 * (strlen(metadata[i].key) + strlen(metadata[i].value)) + 8;
	return room;
}

static int check(const struct lode_tensor_out *tensors, size_t n_tensors, uint64_t *n_data,
	struct lode_err *err)
{
	*n_data = 0;
	for (size_t i = 0; i < n_tensors; i++) {
		const struct lode_tensor_out *t = &tensors[i];
		if (t->dtype == LODE_BYTES || t->rank > LODE_MAX_RANK || !t->name[0])
			return lode_err_set(err, -EINVAL,
				"tensor '%.80s' has no name, dtype or a rank above %d", t->name,
				LODE_MAX_RANK);
		if (__builtin_add_overflow(*n_data, tensor_bytes(t), n_data) ||
			*n_data > SIZE_MAX / 2)
			return lode_err_set(err, -E2BIG, "tensor '%.80s' is too large", t->name);
	}
	return 0;
}

static int build(const struct lode_tensor_out **order, const struct lode_tensor_out *tensors,
	size_t n_tensors, const struct lode_metadata *metadata, size_t n_metadata, uint64_t n_data,
	uint8_t **image, size_t *n_bytes)
{
	size_t room = header_room(tensors, n_tensors, metadata, n_metadata);
	uint8_t *out = malloc(8 + room + n_data);
	if (!out)
		return -ENOMEM;
	struct lode_json j;
	lode_json_begin(&j, (char *)out + 8, room);
	write_header(&j, order, n_tensors, metadata, n_metadata);
	long n_header = lode_json_end(&j);
	assert(n_header > 0);
	size_t padded = ((size_t)n_header + 7) & ~(size_t)7;
	memset(out + 8 + n_header, ' ', padded - (size_t)n_header);
	uint64_t length = padded;
	memcpy(out, &length, 8);
	uint8_t *at = out + 8 + padded;
	for (size_t i = 0; i < n_tensors; i++) {
		uint64_t n = tensor_bytes(order[i]);
		if (n)
			memcpy(at, order[i]->data, n);
		at += n;
	}
	*image = out;
	*n_bytes = (size_t)(at - out);
	return 0;
}

int lode_safetensors_write(const struct lode_tensor_out *tensors, size_t n_tensors,
	const struct lode_metadata *metadata, size_t n_metadata, uint8_t **image, size_t *n_bytes,
	struct lode_err *err)
{
	*image = NULL;
	*n_bytes = 0;
	uint64_t n_data;
	int rc = check(tensors, n_tensors, &n_data, err);
	if (rc)
		return rc;
	const struct lode_tensor_out **order = calloc(n_tensors + 1, sizeof(*order));
	if (!order)
		return lode_err_set(err, -ENOMEM, "no memory for %zu tensors", n_tensors);
	for (size_t i = 0; i < n_tensors; i++)
		order[i] = &tensors[i];
	qsort(order, n_tensors, sizeof(*order), by_alignment);
	rc = build(order, tensors, n_tensors, metadata, n_metadata, n_data, image, n_bytes);
	free(order);
	return rc ? lode_err_set(err, rc, "no memory for a file of %llu bytes",
			    (unsigned long long)n_data)
		  : 0;
}
