/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory_io.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static long read_patch(void *ctx, void *buf, size_t len)
{
	struct memory_io *m = ctx;
	size_t n = LODE_MIN(len, m->patch_len - m->patch_at);
	memcpy(buf, m->patch + m->patch_at, n);
	m->patch_at += n;
	return (long)n;
}

static int read_base(void *ctx, unsigned file, uint64_t offset, void *buf, size_t len)
{
	struct memory_io *m = ctx;
	cr_assert(offset + len <= m->base[file].size);
	memcpy(buf, m->base[file].data + offset, len);
	return 0;
}

static int write_target(void *ctx, unsigned file, uint64_t offset, const void *buf, size_t len)
{
	struct memory_io *m = ctx;
	cr_assert(offset + len <= m->target_size[file]);
	memcpy(m->target[file] + offset, buf, len);
	m->n_writes++;
	return 0;
}

int memory_apply(struct memory_io *m, const uint8_t *patch, size_t patch_len,
	const struct lode_delta_input *base, struct lode_delta_stats *stats, struct lode_err *err)
{
	struct lode_delta_info *info = malloc(sizeof(*info));
	*m = (struct memory_io){.patch = patch, .patch_len = patch_len, .base = base};
	if (lode_delta_parse_header(patch, patch_len, info, NULL) > 0) {
		for (uint32_t f = 0; f < info->n_target; f++) {
			m->target_size[f] = info->target[f].size;
			m->target[f] = malloc(info->target[f].size + 1);
		}
	}
	struct lode_delta_io io = {.ctx = m,
		.read_patch = read_patch,
		.read_base = read_base,
		.write_target = write_target};
	int rc = lode_delta_apply(&io, info, stats, err);
	free(info);
	return rc;
}

void memory_clear(struct memory_io *m)
{
	for (unsigned f = 0; f < LODE_DELTA_MAX_FILES; f++)
		free(m->target[f]);
}

size_t round_trip(const uint8_t *base, size_t base_len, const uint8_t *target, size_t target_len,
	enum lode_delta_mode mode)
{
	struct lode_delta_input in = {.data = base, .size = base_len};
	struct lode_delta_input out = {.data = target, .size = target_len};
	struct lode_delta_job job = {
		.base = &in, .target = &out, .n_base = 1, .n_target = 1, .mode = mode};
	struct lode_delta_patch patch;
	struct memory_io m;
	struct lode_err err = {0};
	cr_assert_eq(lode_delta_diff(&job, &patch, NULL, &err), 0, "%s", err.msg);
	cr_assert_eq(memory_apply(&m, patch.data, patch.len, &in, NULL, &err), 0, "%s", err.msg);
	cr_assert_eq(m.target_size[0], target_len);
	cr_assert(!memcmp(m.target[0], target, target_len));
	memory_clear(&m);
	free(patch.data);
	return patch.len;
}

uint8_t *load_data(const char *name, size_t *len)
{
	const char *dir = getenv("LODESTONE_DATA_DIR"), *root = getenv("LODE_SOURCE_ROOT");
	char path[1024];
	if (dir)
		snprintf(path, sizeof(path), "%s/%s", dir, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/data/%s", root ? root : ".", name);
	FILE *f = fopen(path, "rb");
	if (!f) {
		fprintf(stderr, "skipped: no %s (set LODESTONE_DATA_DIR)\n", path);
		return NULL;
	}
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	uint8_t *data = malloc(*len + 1);
	cr_assert(data && fread(data, 1, *len, f) == *len);
	fclose(f);
	return data;
}
