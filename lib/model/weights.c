/* SPDX-License-Identifier: BSD-3-Clause */
/* From extents to aligned tensors in native types. Every tensor of the file must be asked for. */
#include "model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WEIGHT_LIMIT 1e6f /* no trained network has more */

enum { ALIGN = 64, MAX_GOLDEN = 256 };

struct reader {
	struct lode_model *m;
	const struct lode_package *pkg;
	const struct layout_names *names;
	uint8_t *next, *end; /* of m->memory */
	bool *used;	     /* [n_extents] */
	struct lode_err *err;
};

static float from_bits(uint32_t bits)
{
	float v;
	memcpy(&v, &bits, 4);
	return v;
}

/* IEEE half to single, exact. */
static float half(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
	if (exponent == 31)
		return from_bits(sign | 0x7f800000 | mantissa << 13);
	if (exponent)
		return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
	float v = (float)mantissa * 0x1p-24f;
	return sign ? -v : v;
}

static void to_float(const uint8_t *data, enum lode_dtype dtype, uint64_t n, float *out)
{
	uint16_t h;
	for (uint64_t i = 0; i < n; i++) {
		if (dtype == LODE_F32) {
			memcpy(&out[i], data + 4 * i, 4);
			continue;
		}
		memcpy(&h, data + 2 * i, 2);
		out[i] = dtype == LODE_F16 ? half(h) : from_bits((uint32_t)h << 16);
	}
}

static void print_shape(const uint64_t *dims, uint32_t rank, char *text, size_t size)
{
	size_t n = (size_t)snprintf(text, size, "[");
	for (uint32_t i = 0; i < rank && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%" PRIu64, i ? "," : "", dims[i]);
	if (n < size)
		snprintf(text + n, size - n, "]");
}

static const struct lode_extent *find(struct reader *r, const char *name)
{
	const struct lode_extent *e = lode_package_tensor(r->pkg, name);
	if (e)
		r->used[e - r->pkg->extents] = true;
	return e;
}

/* The tensor in the wanted type (F32, from F16 and BF16 too, or I8) and shape; 0 in dims: any length. */
static int read_tensor(struct reader *r, const char *name, enum lode_dtype dtype,
	const uint64_t *dims, uint32_t rank, const void **data, struct lode_err *err)
{
	const struct lode_extent *e = find(r, name);
	char expected[80], found[80];
	print_shape(dims, rank, expected, sizeof(expected));
	if (!e)
		return lode_err_set(err, -EINVAL, "tensor '%s': %s %s expected, not in the file",
			name, lode_dtype_name(dtype), expected);
	bool same = e->rank == rank &&
		    (e->dtype == dtype ||
			    (dtype == LODE_F32 && (e->dtype == LODE_F16 || e->dtype == LODE_BF16)));
	for (uint32_t i = 0; same && i < rank; i++)
		same = dims[i] == 0 || e->dims[i] == dims[i];
	print_shape(e->dims, e->rank, found, sizeof(found));
	if (!same)
		return lode_err_set(err, -EINVAL,
			"tensor '%s' at offset %" PRIu64 ": %s %s expected, %s %s found", name,
			e->offset_bytes, lode_dtype_name(dtype), expected,
			lode_dtype_name(e->dtype), found);
	uint64_t n = e->rows * e->cols, n_bytes = n * lode_dtype_size(dtype);
	assert(n_bytes <= (uint64_t)(r->end - r->next));
	*data = r->next;
	if (dtype == LODE_F32)
		to_float(lode_extent_data(r->pkg, e), e->dtype, n, (float *)r->next);
	else
		memcpy(r->next, lode_extent_data(r->pkg, e), n_bytes);
	for (uint64_t i = 0; dtype == LODE_F32 && i < n; i++)
		if (!(fabsf(((const float *)r->next)[i]) <= WEIGHT_LIMIT))
			return lode_err_set(err, -EINVAL,
				"tensor '%s' at offset %" PRIu64 ": element %" PRIu64
				" is %g, finite and at most %g expected",
				name, e->offset_bytes, i, (double)((const float *)r->next)[i],
				(double)WEIGHT_LIMIT);
	r->next += (n_bytes + ALIGN - 1) & ~(uint64_t)(ALIGN - 1);
	return 0;
}

/* Of the network, not of the file: an INT8 file adds scales and ranges. */
static uint64_t count_params(const struct lode_nn_desc *desc)
{
	struct lode_nn_tensor specs[LODE_NN_MAX_TENSORS];
	unsigned n = lode_nn_specs(desc, LODE_NN_FORMAT_FP32, specs);
	uint64_t sum = 0;
	for (unsigned k = 0; k < n; k++)
		sum += lode_nn_tensor_bytes(&specs[k]) / sizeof(float);
	return sum;
}

static int read_net(struct reader *r, unsigned i)
{
	struct lode_model_net *net = &r->m->nets[i];
	struct lode_nn_tensor *t = net->tensors;
	net->n_tensors = lode_nn_specs(&net->desc, r->m->format, t);
	r->m->n_params += count_params(&net->desc);
	for (unsigned k = 0; k < net->n_tensors; k++) {
		char name[TENSOR_NAME_BYTES];
		uint64_t dims[2] = {t[k].dims[0], t[k].dims[1]};
		tensor_file_name(r->names, r->m, i, t[k].name, name);
		int rc = read_tensor(r, name, t[k].type == LODE_NN_S8 ? LODE_I8 : LODE_F32, dims,
			t[k].n_dims, &t[k].data, r->err);
		if (rc)
			return rc;
	}
	return lode_nn_tensors_check(&net->desc, r->m->format, t, net->n_tensors, r->err);
}

/* Ranges are optional: without them the loader calibrates. */
static int read_ranges(struct reader *r, unsigned i)
{
	struct lode_model_net *net = &r->m->nets[i];
	char in_name[TENSOR_NAME_BYTES], points_name[TENSOR_NAME_BYTES];
	const void *in, *points;
	tensor_file_name(r->names, r->m, i, "calibration.in", in_name);
	tensor_file_name(r->names, r->m, i, "calibration.points", points_name);
	lode_nn_ranges_init(&net->ranges);
	if (r->m->format == LODE_NN_FORMAT_INT8 || !lode_package_tensor(r->pkg, in_name))
		return 0;
	uint64_t in_dims[] = {net->desc.n_in, 2}, points_dims[] = {LODE_NN_MAX_POINTS, 2};
	int rc = read_tensor(r, in_name, LODE_F32, in_dims, 2, &in, r->err);
	if (!rc)
		rc = read_tensor(r, points_name, LODE_F32, points_dims, 2, &points, r->err);
	if (rc)
		return rc;
	for (unsigned k = 0; k < net->desc.n_in; k++) {
		net->ranges.in_low[k] = ((const float *)in)[2 * k];
		net->ranges.in_high[k] = ((const float *)in)[2 * k + 1];
		if (net->ranges.in_low[k] > net->ranges.in_high[k])
			return lode_err_set(r->err, -EINVAL,
				"tensor '%s': row %u has low above high", in_name, k);
	}
	for (unsigned k = 0; k < LODE_NN_MAX_POINTS; k++) {
		net->ranges.low[k] = ((const float *)points)[2 * k];
		net->ranges.high[k] = ((const float *)points)[2 * k + 1];
		if (net->ranges.low[k] > net->ranges.high[k])
			return lode_err_set(r->err, -EINVAL,
				"tensor '%s': row %u has low above high", points_name, k);
	}
	net->ranges.n_samples = 1;
	return 0;
}

static int read_golden(struct reader *r)
{
	struct lode_model *m = r->m;
	const struct lode_extent *e = lode_package_tensor(r->pkg, "golden.input");
	if (!e)
		return lode_err_set(
			r->err, -EILSEQ, "no golden vectors: tensor 'golden.input' is missing");
	if (e->rank != 2 || e->dims[0] < 1 || e->dims[0] > MAX_GOLDEN)
		return lode_err_set(r->err, -EILSEQ, "tensor 'golden.input': 1 to %d rows expected",
			MAX_GOLDEN);
	m->n_golden = (uint32_t)e->dims[0];
	uint64_t in_dims[] = {m->n_golden, lode_model_inputs(m)};
	uint64_t out_dims[] = {m->n_golden, lode_model_outputs(m)};
	int rc = read_tensor(
		r, "golden.input", LODE_F32, in_dims, 2, (const void **)&m->golden_in, r->err);
	if (!rc)
		rc = read_tensor(r, "golden.output", LODE_F32, out_dims, 2,
			(const void **)&m->golden_out, r->err);
	if (!rc && m->format == LODE_NN_FORMAT_INT8)
		rc = read_tensor(r, "golden.int8", LODE_F32, out_dims, 2,
			(const void **)&m->golden_int8, r->err);
	return rc;
}

static int check_all_used(struct reader *r)
{
	for (size_t i = 0; i < r->pkg->n_extents; i++)
		if (r->pkg->extents[i].name[0] && !r->used[i])
			return lode_err_set(r->err, -EINVAL,
				"tensor '%.80s' at offset %" PRIu64 " is not part of this network",
				r->pkg->extents[i].name, r->pkg->extents[i].offset_bytes);
	return 0;
}

static int read_all(struct reader *r)
{
	int rc = 0;
	for (unsigned i = 0; !rc && i < r->m->n_nets; i++) {
		rc = read_net(r, i);
		if (!rc)
			rc = read_ranges(r, i);
	}
	bool legacy = !lode_package_metadata(r->pkg, META "version");
	if (!rc && !legacy)
		rc = read_golden(r);
	return rc ? rc : check_all_used(r);
}

int read_weights(struct lode_model *m, const struct lode_package *pkg,
	const struct layout_names *names, struct lode_err *err)
{
	size_t room = 0;
	for (size_t i = 0; i < pkg->n_extents;
		i++) /* single precision, aligned, is the most it can be */
		room += pkg->extents[i].name[0] ? 4 * pkg->extents[i].n_bytes + ALIGN : 0;
	m->memory = aligned_alloc(ALIGN, (room + ALIGN) & ~(size_t)(ALIGN - 1));
	bool *used = calloc(pkg->n_extents + 1, sizeof(*used));
	int rc;
	if (m->memory && used) {
		uint8_t *start = m->memory;
		struct reader r = {m, pkg, names, start, start + room, used, err};
		rc = read_all(&r);
	} else {
		rc = lode_err_set(err, -ENOMEM, "no memory for %zu bytes of weights", room);
	}
	free(used);
	return rc;
}
