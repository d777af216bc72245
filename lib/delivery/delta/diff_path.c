/* SPDX-License-Identifier: BSD-3-Clause */
#include "diff.h"
#include "files.h"

#include <sched.h>
#include <stdlib.h>

static uint32_t n_cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (uint32_t)LODE_MIN(CPU_COUNT(&set), 4);
}

static int write_to_file(void *ctx, uint64_t offset, const void *data, size_t len)
{
	const int *fd = ctx;
	return posix_fs.write_at(posix_fs.ctx, *fd, offset, data, len);
}

static int diff_mapped(const struct lode_delta_job *job, const char *path,
	struct lode_delta_report *report, struct lode_err *err)
{
	struct place place;
	int fd, rc = place_open(&place, path, err);
	const struct patch_sink sink = {&fd, write_to_file};
	if (!rc)
		rc = place_create(&place, &fd, err);
	if (!rc) {
		int made = diff_to(job, &sink, report, err);
		rc = place_commit(&place, &posix_fs, fd, made, err);
		if (rc && !made && report)
			lode_delta_report_clear(report);
	}
	place_close(&place);
	return rc;
}

int lode_delta_diff_path(const char *base, const char *target, const char *patch,
	enum lode_delta_mode mode,
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes), void *progress_ctx,
	struct lode_delta_report *report, struct lode_err *err)
{
	struct mapped *from = calloc(1, sizeof(*from)), *to = calloc(1, sizeof(*to));
	int rc = from && to ? mapped_open(from, base, err) : -ENOMEM;
	if (!rc)
		rc = mapped_open(to, target, err);
	if (!rc) {
		struct lode_delta_job job = {.base = from->files,
			.target = to->files,
			.n_base = from->n_files,
			.n_target = to->n_files,
			.mode = mode,
			.n_threads = n_cpus(),
			.progress = progress,
			.progress_ctx = progress_ctx};
		rc = diff_mapped(&job, patch, report, err);
	}
	if (from)
		mapped_close(from);
	if (to)
		mapped_close(to);
	free(from);
	free(to);
	return rc;
}
