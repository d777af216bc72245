/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "../pb_build.h"
#include "lode_package.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
	strcpy(dir, "/tmp/lode-package-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char cmd[128];
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

static const char *in_dir(const char *name)
{
	static char path[160];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const void *data, size_t n)
{
	FILE *f = fopen(in_dir(name), "wb");
	cr_assert_not_null(f);
	cr_assert_eq(fwrite(data, 1, n, f), n);
	fclose(f);
}

/* One F32 tensor `name` of n elements. */
static void write_tensor(const char *file, const char *name, uint64_t n)
{
	float *values = calloc(n, sizeof(float));
	struct lode_tensor_out t = {name, LODE_F32, 1, {n}, values};
	uint8_t *image;
	size_t n_bytes;
	cr_assert_eq(lode_safetensors_write(&t, 1, NULL, 0, &image, &n_bytes, NULL), 0);
	write_file(file, image, n_bytes);
	free(image);
	free(values);
}

TestSuite(open, .init = make_dir, .fini = remove_dir);

Test(open, a_folder_with_shards_and_other_files)
{
	struct lode_package pkg;
	struct lode_err err;
	write_tensor("model-2.safetensors", "b", 3);
	write_tensor("model-1.safetensors", "a", 2);
	write_file("tokenizer.json", "{}", 2);
	write_file("empty", "", 0);
	write_file(".hidden", "x", 1);
	cr_assert_eq(lode_package_open(&pkg, dir, &lode_limits_delivery, &err), 0, "%s", err.msg);
	cr_assert_eq(pkg.n_files, 4);
	cr_assert_str_eq(pkg.files[0].name, "empty");
	cr_assert_eq(pkg.files[0].n_extents, 0);
	cr_assert_eq(lode_package_tensor(&pkg, "a")->file_idx, 1);
	cr_assert_eq(lode_package_tensor(&pkg, "b")->file_idx, 2);
	cr_assert_eq(pkg.files[3].n_extents, 1);
	uint64_t covered = 0, total = 0;
	for (size_t i = 0; i < pkg.n_extents; i++)
		covered += pkg.extents[i].n_bytes;
	for (uint32_t i = 0; i < pkg.n_files; i++)
		total += pkg.files[i].n_bytes;
	cr_assert_eq(covered, total);
	lode_package_close(&pkg);
}

Test(open, a_shard_index_brings_its_shards)
{
	struct lode_package pkg;
	struct lode_err err;
	static const char good[] =
		"{\"metadata\":{\"total_size\":20.5,\"x\":[null,{\"y\":\"z\"}]},"
		"\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\","
		"\"c\":\"m-1.safetensors\"}}";
	static const char leaving[] = "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}";
	static const char deep[] = "{\"metadata\":[[[[[[1]]]]]]}";
	write_tensor("m-1.safetensors", "a", 2);
	write_tensor("m-2.safetensors", "b", 3);
	write_tensor("other.safetensors", "x", 3);
	const char *index = "m.safetensors.index.json";
	write_file(index, good, strlen(good));
	cr_assert_eq(lode_package_open(&pkg, in_dir(index), &lode_limits_delivery, &err), 0, "%s",
		err.msg);
	cr_assert_eq(pkg.n_files, 3);
	cr_assert_not_null(lode_package_tensor(&pkg, "b"));
	cr_assert_null(lode_package_tensor(&pkg, "x"));
	lode_package_close(&pkg);
	write_file(index, leaving, strlen(leaving));
	cr_assert_eq(lode_package_open(&pkg, in_dir(index), &lode_limits_delivery, &err), -EPERM);
	lode_package_close(&pkg);
	write_file(index, deep, strlen(deep));
	cr_assert_eq(lode_package_open(&pkg, in_dir(index), &lode_limits_delivery, &err), -E2BIG);
	lode_package_close(&pkg);
}

Test(open, only_plain_files)
{
	struct lode_package pkg;
	struct lode_err err;
	write_tensor("a.safetensors", "a", 2);
	cr_assert_eq(symlink("a.safetensors", in_dir("b.safetensors")), 0);
	/* the caller may name a link, a folder's content may not be one */
	cr_assert_eq(
		lode_package_open(&pkg, in_dir("b.safetensors"), &lode_limits_delivery, &err), 0);
	cr_assert_not_null(lode_package_tensor(&pkg, "a"));
	lode_package_close(&pkg);
	cr_assert_lt(lode_package_open(&pkg, dir, &lode_limits_delivery, &err), 0);
	lode_package_close(&pkg);
	unlink(in_dir("b.safetensors"));
	mkdir(in_dir("folder"), 0700);
	cr_assert_eq(lode_package_open(&pkg, dir, &lode_limits_delivery, &err), -EPERM);
	cr_assert_not_null(strstr(err.msg, "'folder'"));
	lode_package_close(&pkg);
	rmdir(in_dir("folder"));
	char other[160];
	snprintf(other, sizeof(other), "%s/c.safetensors", dir);
	cr_assert_eq(link(in_dir("a.safetensors"), other), 0);
	cr_assert_eq(lode_package_open(&pkg, dir, &lode_limits_delivery, &err), 0, "%s", err.msg);
	cr_assert_eq(pkg.n_files, 2);
	lode_package_close(&pkg);
	write_file("with space", "x", 1);
	cr_assert_eq(lode_package_open(&pkg, dir, &lode_limits_delivery, &err), -EPERM);
	lode_package_close(&pkg);
	cr_assert_eq(
		lode_package_open(&pkg, in_dir("absent"), &lode_limits_delivery, &err), -ENOENT);
	lode_package_close(&pkg);
}

Test(open, tensors_across_2_and_4_gib)
{
	static const uint64_t sizes[] = {
		0x7ffffffc, 0x80000000, 0xfffffffc, 0x100000000, 0x140000004};
	for (size_t i = 0; i < LODE_ARRAY_LEN(sizes); i++) {
		char header[300];
		uint64_t half = sizes[i] / 2, n_header;
		n_header = (uint64_t)snprintf(header, sizeof(header),
			"{\"a\":{\"dtype\":\"U8\",\"shape\":[2,%llu],\"data_offsets\":[0,%llu]},"
			"\"b\":{\"dtype\":\"I8\",\"shape\":[5],\"data_offsets\":[%llu,%llu]}}",
			(unsigned long long)half, (unsigned long long)(2 * half),
			(unsigned long long)(2 * half), (unsigned long long)(2 * half + 5));
		write_file("big.safetensors", &n_header, 8);
		int fd = open(in_dir("big.safetensors"), O_WRONLY | O_APPEND);
		cr_assert_eq(write(fd, header, n_header), (ssize_t)n_header);
		cr_assert_eq(ftruncate(fd, (off_t)(8 + n_header + 2 * half + 5)), 0);
		close(fd);
		struct lode_package pkg;
		struct lode_err err;
		cr_assert_eq(lode_package_open(
				     &pkg, in_dir("big.safetensors"), &lode_limits_delivery, &err),
			0, "%s", err.msg);
		cr_assert_eq(lode_package_tensor(&pkg, "a")->cols, half);
		cr_assert_eq(lode_package_tensor(&pkg, "a")->rows, 2);
		cr_assert_eq(lode_package_tensor(&pkg, "b")->offset_bytes, 8 + n_header + 2 * half);
		cr_assert_eq(lode_extent_data(&pkg, lode_package_tensor(&pkg, "b"))[4], 0);
		lode_package_close(&pkg);
	}
}

/* A graph whose one tensor lies at `offset` of its side file. */
static void write_graph(const char *name, uint64_t offset)
{
	const char *const keys[] = {"location", "offset", "length"};
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)offset);
	const char *const values[] = {"w.data", text, "8"};
	struct pbw *t = pbw_new(), *graph = pbw_new(), *m = pbw_new();
	pbw_u64(t, 1, 2);
	pbw_u64(t, 2, 1);
	pbw_text(t, 8, "w");
	for (int i = 0; i < 3; i++) {
		struct pbw *entry = pbw_new();
		pbw_text(entry, 1, keys[i]);
		pbw_text(entry, 2, values[i]);
		pbw_put(t, 13, entry);
	}
	pbw_u64(t, 14, 1);
	pbw_put(graph, 5, t);
	pbw_u64(m, 1, 8);
	pbw_put(m, 7, graph);
	write_file(name, m->buf, m->n);
	free(m);
}

Test(open, external_data_beyond_4_gib)
{
	static const uint64_t offsets[] = {0x7ffffffc, 0xfffffffc, 0x100000000, 0x140000000};
	struct lode_package pkg;
	struct lode_err err;
	write_file("w.data", "", 0);
	cr_assert_eq(truncate(in_dir("w.data"), 0x140000010), 0);
	for (size_t i = 0; i < LODE_ARRAY_LEN(offsets); i++) {
		write_graph("m.onnx", offsets[i]);
		cr_assert_eq(
			lode_package_open(&pkg, in_dir("m.onnx"), &lode_limits_delivery, &err), 0);
		const struct lode_extent *w = lode_package_tensor(&pkg, "w");
		cr_assert_not_null(w, "%s", pkg.files[0].note);
		cr_assert_eq(w->offset_bytes, offsets[i]);
		cr_assert_eq(pkg.files[1].n_extents, 3);
		lode_package_close(&pkg);
	}
	write_graph("m.onnx", 0x14000000c);
	cr_assert_eq(lode_package_open(&pkg, in_dir("m.onnx"), &lode_limits_delivery, &err), 0);
	cr_assert_not_null(strstr(pkg.files[0].note, "outside 'w.data'"));
	lode_package_close(&pkg);
}
