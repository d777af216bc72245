/* SPDX-License-Identifier: BSD-3-Clause */
/* Files beyond 2 and 4 GiB. They are sparse, but every byte is hashed several times: only with
 * LODESTONE_SLOW_TESTS=1. */
#include "lode_delta.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t marks[] = {
	0, (1ull << 31) - 1, (1ull << 31) + 4096, (1ull << 32) - 3, (1ull << 32) + 65537};
#define SIZE ((1ull << 32) + (1 << 20) + 5)

static void make_file(const char *path, uint8_t value)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	uint8_t data[64];
	cr_assert(fd >= 0 && !ftruncate(fd, SIZE));
	memset(data, value, sizeof(data));
	for (size_t i = 0; i < LODE_ARRAY_LEN(marks); i++)
		cr_assert_eq(pwrite(fd, data, sizeof(data), (off_t)marks[i]), 64);
	close(fd);
}

Test(sizes, beyond_4_gib)
{
	char dir[] = "/tmp/lode-delta-XXXXXX", base[64], target[64], patch[64], out[64], cmd[256];
	struct lode_err err = {0};
	struct lode_delta_stats stats;
	struct stat st;
	if (!getenv("LODESTONE_SLOW_TESTS"))
		cr_skip_test("LODESTONE_SLOW_TESTS is not set");
	cr_assert(mkdtemp(dir));
	snprintf(base, sizeof(base), "%s/v1", dir);
	snprintf(target, sizeof(target), "%s/v2", dir);
	snprintf(patch, sizeof(patch), "%s/p", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	make_file(base, 1);
	make_file(target, 2);
	cr_assert_eq(lode_delta_diff_path(
			     base, target, patch, LODE_DELTA_MODE_DEFAULT, NULL, NULL, NULL, &err),
		0, "%s", err.msg);
	cr_assert(!stat(patch, &st));
	cr_assert_lt(st.st_size, 4096);
	cr_assert_eq(lode_delta_apply_path(patch, base, out, NULL, &stats, &err), 0, "%s", err.msg);
	cr_assert_eq(stats.target_bytes, SIZE);
	cr_assert(!stat(out, &st));
	cr_assert_eq((uint64_t)st.st_size, SIZE);
	cr_assert_lt(st.st_blocks, 8192, "%ld blocks: not sparse any more", (long)st.st_blocks);
	snprintf(cmd, sizeof(cmd), "cmp %s %s && rm -r %s", out, target, dir);
	cr_assert_eq(system(cmd), 0);
}
