/* SPDX-License-Identifier: BSD-3-Clause */
#include "layout.h"
#include "lode_onnx.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>

bool package_plain_name(const char *name)
{
	size_t n =
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
	return n > 0 && n < LODE_FILE_NAME_BYTES && !name[n] && name[0] != '.';
}

int package_add_file(struct lode_package *pkg, const char *name, const uint8_t *data,
	uint64_t n_bytes, bool mapped, struct lode_err *err)
{
	if (!package_plain_name(name))
		return lode_err_set(err, -EPERM,
			"file name '%.80s': one path component of [A-Za-z0-9._-] without a leading "
			"dot is "
			"allowed",
			name);
	if (pkg->n_files >= pkg->limits->n_files)
		return lode_err_set(
			err, -E2BIG, "'%s': more than %u files", name, pkg->limits->n_files);
	if (n_bytes > pkg->limits->file_bytes)
		return lode_err_set(err, -E2BIG, "'%s': %" PRIu64 " bytes, %" PRIu64 " are allowed",
			name, n_bytes, pkg->limits->file_bytes);
	void *grown = grow_array(pkg->files, pkg->n_files, sizeof(*pkg->files));
	if (!grown)
		return lode_err_set(err, -ENOMEM, "'%s': no memory", name);
	pkg->files = grown;
	struct lode_package_file *f = &pkg->files[pkg->n_files++];
	*f = (struct lode_package_file){.data = data, .n_bytes = n_bytes, .mapped = mapped};
	snprintf(f->name, sizeof(f->name), "%s", name);
	return 0;
}

/* Every fault of the content ends here: an error, or a note and plain bytes. */
static int read_file(struct lode_package *pkg, uint32_t file_idx, struct lode_err *err)
{
	struct lode_package_file *f = &pkg->files[file_idx];
	size_t n_extents = pkg->n_extents, n_metadata = pkg->n_metadata;
	struct lode_err fault = {0};
	int rc;
	if (safetensors_sniff(f->data, f->n_bytes)) {
		f->format = LODE_FORMAT_SAFETENSORS;
		rc = safetensors_read(pkg, file_idx, &fault);
	} else if (lode_onnx_sniff(f->data, f->n_bytes)) {
		f->format = LODE_FORMAT_ONNX;
		rc = onnx_read(pkg, file_idx, &fault);
	} else {
		bool refuse = pkg->limits->policy == LODE_REFUSE;
		return refuse ? lode_err_set(err, -EBADMSG, "neither safetensors nor ONNX") : 0;
	}
	f = &pkg->files[file_idx]; /* siblings may have joined */
	if (!rc)
		return 0;
	/* the file's name is the caller's to add: under these limits there is only one */
	if (pkg->limits->policy == LODE_REFUSE || rc == -ENOMEM)
		return lode_err_set(err, rc, "%s", fault.msg);
	layout_rollback(pkg, n_extents, n_metadata);
	layout_note(pkg, file_idx, "plain bytes: %.220s", fault.msg);
	f->format = LODE_FORMAT_UNKNOWN;
	return 0;
}

int package_read(struct lode_package *pkg, struct lode_err *err)
{
	for (uint32_t i = 0; i < pkg->n_files; i++) {
		int rc = read_file(pkg, i, err);
		if (rc)
			return rc;
	}
	return layout_finish(pkg, err);
}

int lode_package_from_memory(struct lode_package *pkg, const struct lode_package_input *inputs,
	uint32_t n_inputs, const struct lode_limits *limits, struct lode_err *err)
{
	*pkg = (struct lode_package){.limits = limits, .dir_fd = -1};
	for (uint32_t i = 0; i < n_inputs; i++) {
		int rc = package_add_file(
			pkg, inputs[i].name, inputs[i].data, inputs[i].n_bytes, false, err);
		if (rc)
			return rc;
	}
	return package_read(pkg, err);
}

void lode_package_close(struct lode_package *pkg)
{
	for (size_t i = 0; i < pkg->n_extents; i++)
		if (pkg->extents[i].name && pkg->extents[i].name[0])
			free((char *)pkg->extents[i].name);
	for (size_t i = 0; i < pkg->n_metadata; i++) {
		free((char *)pkg->metadata[i].key);
		free((char *)pkg->metadata[i].value);
	}
	for (uint32_t i = 0; i < pkg->n_files; i++)
		if (pkg->files[i].mapped && pkg->files[i].n_bytes)
			munmap((void *)pkg->files[i].data, pkg->files[i].n_bytes);
	free(pkg->extents);
	free(pkg->metadata);
	free(pkg->files);
	*pkg = (struct lode_package){.dir_fd = -1};
}

const struct lode_extent *lode_package_tensor(const struct lode_package *pkg, const char *name)
{
	for (size_t i = 0; i < pkg->n_extents; i++)
		if (pkg->extents[i].name[0] && !strcmp(pkg->extents[i].name, name))
			return &pkg->extents[i];
	return NULL;
}

const char *lode_package_metadata(const struct lode_package *pkg, const char *key)
{
	for (size_t i = 0; i < pkg->n_metadata; i++)
		if (!strcmp(pkg->metadata[i].key, key))
			return pkg->metadata[i].value;
	return NULL;
}
