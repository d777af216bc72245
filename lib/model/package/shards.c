/* SPDX-License-Identifier: BSD-3-Clause */
/* model.safetensors.index.json: {"metadata": {...}, "weight_map": {tensor name: file name}}. */
#include "json_scan.h"
#include "layout.h"

enum { MAX_DEPTH = 4 };

bool package_is_index(const char *name)
{
	static const char suffix[] = ".safetensors.index.json";
	size_t n = strlen(name);
	return n >= sizeof(suffix) && !strcmp(name + n - (sizeof(suffix) - 1), suffix);
}

static int add_shard(struct json_scan *s, struct lode_package *pkg)
{
	char *tensor, *file;
	if (scan_string(s, pkg->limits->name_bytes, false, &tensor))
		return s->rc;
	free(tensor);
	if (scan_expect(s, ':') || scan_string(s, LODE_FILE_NAME_BYTES, false, &file))
		return s->rc;
	uint32_t file_idx;
	int rc = package_sibling(pkg, file, &file_idx, s->err);
	free(file);
	return rc;
}

static int add_map(struct json_scan *s, struct lode_package *pkg)
{
	if (scan_expect(s, '{') || scan_take(s, '}'))
		return s->rc;
	do {
		int rc = add_shard(s, pkg);
		if (rc)
			return rc;
	} while (scan_take(s, ','));
	return scan_expect(s, '}');
}

static int read_index(struct json_scan *s, struct lode_package *pkg)
{
	if (scan_expect(s, '{'))
		return s->rc;
	do {
		char *key;
		if (scan_string(s, pkg->limits->name_bytes, false, &key))
			return s->rc;
		bool map = !strcmp(key, "weight_map");
		free(key);
		if (scan_expect(s, ':'))
			return s->rc;
		int rc = map ? add_map(s, pkg) : scan_skip(s, MAX_DEPTH - 1);
		if (rc)
			return rc;
	} while (scan_take(s, ','));
	return scan_expect(s, '}') ? s->rc : scan_finish(s);
}

int package_add_shards(struct lode_package *pkg, uint32_t index_idx, struct lode_err *err)
{
	const struct lode_package_file f = pkg->files[index_idx];
	if (f.n_bytes > pkg->limits->header_bytes)
		return lode_err_set(err, -E2BIG, "%s: %llu bytes, %llu are allowed", f.name,
			(unsigned long long)f.n_bytes,
			(unsigned long long)pkg->limits->header_bytes);
	struct lode_err unused;
	struct json_scan s = {.start = f.data,
		.p = f.data,
		.end = f.data + f.n_bytes,
		.err = err ? err : &unused};
	int rc = read_index(&s, pkg);
	if (rc)
		lode_err_prefix(s.err, "%s", f.name);
	return rc;
}
