/* SPDX-License-Identifier: BSD-3-Clause */
/* OXDL patches: the input is a base length, a base and a patch whose digest of the base is put right. And the
 * ONNX side alone: a skeleton with its tensors put back is the canonical file again. */
#include "delta_fuzz.h"
#include "oxdl_onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_onnx(const uint8_t *data, size_t size)
{
	struct view file = {data, data + size};
	struct oxdl_tensors ts;
	struct buf skeleton = {0}, again = {0};
	oxdl_canonical(file);
	if (!oxdl_tensors_read(&ts, file) && oxdl_skeleton(file, &skeleton)) {
		struct view s = {skeleton.data, skeleton.data + skeleton.len};
		if (!oxdl_rebuild(s, ts.t, ts.n, &again))
			abort();
	}
	oxdl_tensors_clear(&ts);
	buf_free(&skeleton);
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *target;
	size_t len;
	struct lode_err err;
	check_onnx(data, size);
	if (size < 2)
		return 0;
	size_t base_len = (data[0] | (size_t)data[1] << 8) % (size - 1);
	const uint8_t *base = data + 2;
	size_t patch_len = size - 2 - base_len;
	uint8_t *patch = malloc(patch_len + 1);
	memcpy(patch, base + base_len, patch_len);
	if (patch_len >= 38)
		EVP_Digest(base, base_len, patch + 6, NULL, EVP_sha256(), NULL);
	if (patch_len >= 78)
		memset(patch + 73, 0, 5); /* targets up to 16 MB */
	if (!lode_oxdl_apply(patch, patch_len, base, base_len, &target, &len, &err))
		free(target);
	free(patch);
	return 0;
}
