/* SPDX-License-Identifier: BSD-3-Clause */
/* Loading, step by step; a model exists only when every step has passed. */
#include "model.h"

#include <fcntl.h>
#include <math.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OLDER_LICENCE "MIT OR Apache-2.0" /* declared by the project that published them */

enum { SAMPLE_ROWS = 32 };

unsigned lode_model_outputs(const struct lode_model *m)
{
	unsigned n = 0;
	for (unsigned i = 0; i < m->n_nets; i++)
		n += m->nets[i].desc.n_out;
	return n;
}

unsigned lode_model_inputs(const struct lode_model *m)
{
	return (unsigned)m->nets[0].desc.n_in * m->nets[0].desc.n_steps;
}

static int describe(struct lode_model *m, const struct lode_package *pkg,
	const struct lode_model_options *options, struct layout_names *names, struct lode_err *err)
{
	int rc = describe_file(m, pkg, options, err);
	if (rc != -ENOENT)
		return rc;
	rc = describe_legacy(m, pkg, names, err);
	return rc ? rc : schema_accept(m->schema, options, err);
}

static char *copy_metadata(const struct lode_package *pkg, const char *key, const char *missing)
{
	const char *value = lode_package_metadata(pkg, key);
	return strdup(value ? value : missing);
}

/* The file's own tolerance, as long as it is one. */
static int read_tolerance(
	struct lode_model *m, const struct lode_package *pkg, struct lode_err *err)
{
	const char *text = lode_package_metadata(pkg, META "golden_tolerance");
	float limit =
		golden_tolerance_limit(m->golden_out, (size_t)m->n_golden * lode_model_outputs(m));
	m->golden_tolerance = limit;
	if (m->format != LODE_NN_FORMAT_INT8)
		return 0;
	char *end = NULL;
	float tolerance = text ? strtof(text, &end) : 0;
	if (!text || end == text || *end || !(tolerance > 0 && tolerance <= limit))
		return lode_err_set(err, -EILSEQ,
			META "golden_tolerance: above 0 and at most %.3g expected, '%.20s' found",
			(double)limit, text ? text : "");
	m->golden_tolerance = tolerance;
	return 0;
}

/* Packs; an FP32 file is quantised on the way. */
static int pack(struct lode_model *m, const struct lode_model_options *o, struct lode_err *err)
{
	int rc = 0;
	if (m->format == LODE_NN_FORMAT_FP32)
		rc = calibration_begin(m, o ? o->calibration : NULL, o ? o->n_calibration : 0, err);
	if (!rc)
		rc = pack_nets(
			m, o ? o->isa : LODE_NN_ISA_AUTO, o ? o->form : LODE_NN_FORM_AUTO, err);
	calibration_end(m);
	return rc;
}

/* Older files have no golden vectors: INT8 is held against FP32, on the caller's inputs if there are
 * any. */
static int check_sampled(
	struct lode_model *m, const struct lode_model_options *o, struct lode_err *err)
{
	bool given = o && o->calibration && o->n_calibration >= SAMPLE_ROWS;
	float *in, *out;
	int rc = golden_sample(m, SAMPLE_ROWS, given ? o->calibration : NULL, &in, &out, err);
	if (rc)
		return rc;
	m->golden_in = in;
	m->golden_out = out;
	m->n_golden = SAMPLE_ROWS;
	m->golden_tolerance =
		golden_tolerance_limit(out, (size_t)SAMPLE_ROWS * lode_model_outputs(m));
	rc = golden_check_packed(m, err);
	m->golden_in = m->golden_out = NULL;
	m->n_golden = 0;
	free(in);
	free(out);
	return rc;
}

static int verify(struct lode_model *m, const struct lode_package *pkg,
	const struct lode_model_options *o, struct lode_err *err)
{
	if (!m->n_golden)
		return check_sampled(m, o, err);
	int rc = read_tolerance(m, pkg, err);
	if (!rc && m->format == LODE_NN_FORMAT_FP32)
		rc = golden_check_fp32(m, err);
	if (!rc && m->format == LODE_NN_FORMAT_INT8)
		rc = golden_check_int8_bits(m, o, err);
	return rc ? rc : golden_check_packed(m, err);
}

static int load_package(struct lode_model *m, const struct lode_package *pkg,
	const struct lode_model_options *o, struct lode_err *err)
{
	struct layout_names names = {NAMES_OURS};
	m->file_bytes = pkg->files[0].n_bytes;
	SHA256(pkg->files[0].data, pkg->files[0].n_bytes, m->sha256);
	int rc = describe(m, pkg, o, &names, err);
	if (rc)
		return rc;
	m->card = copy_metadata(pkg, META "card", "{}");
	m->licence = copy_metadata(pkg, META "licence", OLDER_LICENCE);
	if (!m->card || !m->licence)
		return lode_err_set(err, -ENOMEM, "no memory for the model card");
	rc = read_weights(m, pkg, &names, err);
	if (!rc)
		rc = pack(m, o, err);
	return rc ? rc : verify(m, pkg, o, err);
}

int lode_model_load_memory(struct lode_model **model, const void *data, size_t n_bytes,
	const char *name, const struct lode_model_options *options, struct lode_err *err)
{
	struct lode_package_input input = {"model.safetensors", data, n_bytes};
	struct lode_package pkg;
	struct lode_err fault = {0};
	struct lode_model *m = calloc(1, sizeof(*m));
	*model = NULL;
	if (!m)
		return lode_err_set(err, -ENOMEM, "%s: no memory", name);
	int rc = lode_package_from_memory(&pkg, &input, 1, &lode_limits_engine, &fault);
	if (!rc && pkg.files[0].format != LODE_FORMAT_SAFETENSORS)
		rc = lode_err_set(
			&fault, -EBADMSG, "ONNX: a model to run is safetensors, import it first");
	if (!rc)
		rc = load_package(m, &pkg, options, &fault);
	lode_package_close(&pkg);
	if (rc) {
		lode_model_free(m);
		return lode_err_set(err, rc, "%s: %.420s", name, fault.msg);
	}
	*model = m;
	return 0;
}

static int read_fd(int fd, uint8_t **data, size_t *n_bytes, struct lode_err *err)
{
	struct stat st;
	if (fstat(fd, &st))
		return lode_err_set(err, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > lode_limits_engine.file_bytes)
		return lode_err_set(err, -E2BIG, "a regular file of at most %llu bytes expected",
			(unsigned long long)lode_limits_engine.file_bytes);
	*n_bytes = (size_t)st.st_size;
	*data = malloc(*n_bytes + 1);
	if (!*data)
		return lode_err_set(err, -ENOMEM, "no memory for %zu bytes", *n_bytes);
	for (size_t at = 0; at < *n_bytes;) {
		ssize_t n = pread(fd, *data + at, *n_bytes - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			free(*data);
			return lode_err_set(err, n ? -errno : -EIO, "read: %s",
				n ? strerror(errno) : "the file became shorter");
		}
		at += (size_t)n;
	}
	return 0;
}

int lode_model_load(struct lode_model **model, const char *path,
	const struct lode_model_options *options, struct lode_err *err)
{
	uint8_t *data = NULL;
	size_t n_bytes = 0;
	*model = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	int rc = read_fd(fd, &data, &n_bytes, err);
	close(fd);
	if (rc) {
		lode_err_prefix(err, "%s", path);
		return rc;
	}
	rc = lode_model_load_memory(model, data, n_bytes, path, options, err);
	free(data);
	return rc;
}

void lode_model_free(struct lode_model *m)
{
	if (!m)
		return;
	blob_free(m->blob, m->blob_bytes);
	free(m->memory);
	free((char *)m->card);
	free((char *)m->licence);
	free(m);
}
