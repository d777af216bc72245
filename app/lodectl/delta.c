/* SPDX-License-Identifier: BSD-3-Clause */
/* Patches between model files: made, applied, described, checked, measured. */
#include "lodectl.h"

#include "lode_clock.h"
#include "lode_delta.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_MAX 512
#define DIFF_USAGE "BASE TARGET PATCH [--fast|--best] [--reverse FILE]"

static int draw_bar(void *what, uint64_t done, uint64_t total)
{
	progress_bar(what, done, total, "bytes");
	if (done >= total)
		progress_end();
	return 0;
}

/* ---- diff ---- */

static const char *cost_name(const struct lode_delta_cost *c)
{
	return c->name[0] ? c->name : "(between tensors)";
}

static void print_costs(const struct lode_delta_report *r)
{
	static const char *const heads[] = {
		"TENSOR", "TYPE", "CODER", "PREDICTOR", "BYTES", "PATCH", "SHARE"};
	struct table t;
	uint64_t copied = 0;
	table_begin(&t, LODE_ARRAY_LEN(heads), heads);
	for (uint32_t i = 0; i < r->n_costs; i++) {
		const struct lode_delta_cost *c = &r->costs[i];
		if (c->coder == LODE_DELTA_COPY) {
			copied += c->target_bytes;
			continue;
		}
		table_cell(&t, "%s", cost_name(c));
		table_cell(&t, "%s", lode_delta_type_name(c->type));
		table_cell(&t, "%s", lode_delta_coder_name(c->coder));
		table_cell(&t, "%s", lode_delta_predictor_name(c->predictor));
		table_cell(&t, "%llu", (unsigned long long)c->target_bytes);
		table_cell(&t, "%llu", (unsigned long long)c->patch_bytes);
		table_cell(&t, "%.2f %%", 100.0 * (double)c->patch_bytes / (double)c->target_bytes);
	}
	table_end(&t, stdout);
	printf("copied from the base: %llu bytes\n", (unsigned long long)copied);
	printf("%llu tensors, %llu matched, %llu unchanged; patch %llu of %llu bytes (%.2f %%)\n",
		(unsigned long long)r->n_tensors, (unsigned long long)r->n_matched,
		(unsigned long long)r->n_unchanged, (unsigned long long)r->patch_bytes,
		(unsigned long long)r->target_bytes,
		100.0 * (double)r->patch_bytes / (double)LODE_MAX(r->target_bytes, 1u));
	if (r->patch_bytes >= r->target_bytes)
		puts("the target itself is not larger: ship that");
}

static int print_costs_json(const struct lode_delta_report *r)
{
	json_t *tensors = json_array();
	for (uint32_t i = 0; i < r->n_costs; i++) {
		const struct lode_delta_cost *c = &r->costs[i];
		json_array_append_new(
			tensors, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "name", c->name,
					 "type", lode_delta_type_name(c->type), "coder",
					 lode_delta_coder_name(c->coder), "predictor",
					 lode_delta_predictor_name(c->predictor), "target_bytes",
					 (json_int_t)c->target_bytes, "patch_bytes",
					 (json_int_t)c->patch_bytes));
	}
	json_t *all = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "base_bytes",
		(json_int_t)r->base_bytes, "target_bytes", (json_int_t)r->target_bytes,
		"patch_bytes", (json_int_t)r->patch_bytes, "tensors_total",
		(json_int_t)r->n_tensors, "tensors_matched", (json_int_t)r->n_matched,
		"tensors_unchanged", (json_int_t)r->n_unchanged, "tensors", tensors);
	int rc = print_json(all);
	json_decref(all);
	return rc;
}

/* "none" as the base: a first install. */
static const char *base_or_null(const char *base)
{
	return strcmp(base, "none") ? base : NULL;
}

static int make_patch(const char *base, const char *target, const char *patch,
	enum lode_delta_mode mode, struct lode_delta_report *r)
{
	struct lode_err err = {0};
	if (lode_delta_diff_path(
		    base_or_null(base), target, patch, mode, draw_bar, "diff", r, &err))
		return complain(EXIT_OTHER, "%s", err.msg);
	return EXIT_OK;
}

static int diff(struct lodectl *ctl, int argc, char **argv)
{
	enum lode_delta_mode mode = LODE_DELTA_MODE_DEFAULT;
	const char *reverse = NULL;
	struct lode_delta_report r, back;
	if (argc < 3)
		return complain(EXIT_OTHER, "usage: lodectl delta diff " DIFF_USAGE);
	for (int i = 3; i < argc; i++) {
		if (!strcmp(argv[i], "--fast"))
			mode = LODE_DELTA_MODE_FAST;
		else if (!strcmp(argv[i], "--best"))
			mode = LODE_DELTA_MODE_BEST;
		else if (!strcmp(argv[i], "--reverse") && i + 1 < argc)
			reverse = argv[++i];
		else
			return complain(EXIT_OTHER, "usage: lodectl delta diff " DIFF_USAGE);
	}
	int rc = make_patch(argv[0], argv[1], argv[2], mode, &r);
	if (rc)
		return rc;
	if (ctl->json)
		print_costs_json(&r);
	else
		print_costs(&r);
	lode_delta_report_clear(&r);
	if (reverse) {
		rc = make_patch(argv[1], argv[0], reverse, mode, &back);
		lode_delta_report_clear(&back);
	}
	return rc;
}

/* ---- apply ---- */

static double seconds_since(uint64_t start_ns)
{
	return (double)(lode_clock_ns() - start_ns) / LODE_NS_PER_S;
}

static int print_applied(
	const struct lodectl *ctl, const struct lode_delta_stats *s, double seconds)
{
	double rate = seconds > 0 ? (double)s->target_bytes / 1e6 / seconds : 0;
	if (ctl->json) {
		json_t *j = json_pack("{s:I, s:I, s:I, s:f, s:f}", "target_bytes",
			(json_int_t)s->target_bytes, "patch_bytes", (json_int_t)s->patch_bytes,
			"resumed_bytes", (json_int_t)s->resumed_bytes, "seconds", seconds,
			"megabytes_per_second", rate);
		print_json(j);
		json_decref(j);
		return EXIT_OK;
	}
	printf("%llu bytes from a patch of %llu in %.2f s (%.0f MB/s)",
		(unsigned long long)s->target_bytes, (unsigned long long)s->patch_bytes, seconds,
		rate);
	if (s->resumed_bytes)
		printf(", %llu of them were there", (unsigned long long)s->resumed_bytes);
	puts("; SHA-256 verified");
	return EXIT_OK;
}

static int apply(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_err err = {0};
	struct lode_delta_stats stats = {0};
	struct lode_delta_apply_options opt = {.progress = draw_bar, .progress_ctx = "apply"};
	if (argc != 3)
		return complain(EXIT_OTHER, "usage: lodectl delta apply PATCH BASE OUT");
	uint64_t start = lode_clock_ns();
	if (lode_delta_apply_path(argv[0], base_or_null(argv[1]), argv[2], &opt, &stats, &err))
		return complain(EXIT_OTHER, "%s", err.msg);
	return print_applied(ctl, &stats, seconds_since(start));
}

/* ---- info ---- */

static json_t *files_json(const struct lode_delta_file *f, uint32_t n)
{
	json_t *list = json_array();
	char hex[2 * LODE_DELTA_SHA256_SIZE + 1];
	for (uint32_t i = 0; i < n; i++) {
		lode_hex(f[i].sha256, LODE_DELTA_SHA256_SIZE, hex);
		json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "name", f[i].name, "bytes",
						    (json_int_t)f[i].size, "sha256", hex));
	}
	return list;
}

static void print_files(const char *what, const struct lode_delta_file *f, uint32_t n)
{
	char hex[2 * LODE_DELTA_SHA256_SIZE + 1];
	for (uint32_t i = 0; i < n; i++) {
		lode_hex(f[i].sha256, LODE_DELTA_SHA256_SIZE, hex);
		printf("%-7s %s %12llu %s\n", what, hex, (unsigned long long)f[i].size, f[i].name);
	}
}

static int print_info(const struct lodectl *ctl, const struct lode_delta_info *info)
{
	if (ctl->json) {
		json_t *j = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:o, s:o}", "format", "LDLT",
			"major", info->major, "minor", info->minor, "block_bytes",
			1 << info->block_log2, "incompat", (int)info->incompat, "compat",
			(int)info->compat, "base", files_json(info->base, info->n_base), "target",
			files_json(info->target, info->n_target));
		print_json(j);
		json_decref(j);
		return EXIT_OK;
	}
	printf("format  LDLT %u.%u, blocks of %u bytes, features 0x%x (must) 0x%x (may)\n",
		info->major, info->minor, 1u << info->block_log2, info->incompat, info->compat);
	print_files("base", info->base, info->n_base);
	print_files("target", info->target, info->n_target);
	return EXIT_OK;
}

static int print_oxdl_info(const struct lodectl *ctl, const struct lode_oxdl_info *info)
{
	char base[2 * LODE_DELTA_SHA256_SIZE + 1], target[2 * LODE_DELTA_SHA256_SIZE + 1];
	const char *strategy = info->strategy == LODE_OXDL_TENSOR ? "tensor" : "binary";
	lode_hex(info->base_sha256, LODE_DELTA_SHA256_SIZE, base);
	lode_hex(info->target_sha256, LODE_DELTA_SHA256_SIZE, target);
	if (ctl->json) {
		json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:I, s:i}", "format", "OXDL",
			"strategy", strategy, "base_sha256", base, "target_sha256", target,
			"target_bytes", (json_int_t)info->target_bytes, "chunks",
			(int)info->n_chunks);
		print_json(j);
		json_decref(j);
		return EXIT_OK;
	}
	printf("format  OXDL 1, %s strategy, %u chunks\nbase    %s\ntarget  %s %12llu\n", strategy,
		info->n_chunks, base, target, (unsigned long long)info->target_bytes);
	return EXIT_OK;
}

/* Reads a whole file; NULL after having complained. */
static uint8_t *read_whole(const char *path, size_t *len)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *data = NULL;
	if (fd >= 0 && !fstat(fd, &st) && (data = malloc((size_t)st.st_size + 1))) {
		ssize_t n = 0;
		*len = 0;
		while (*len < (size_t)st.st_size &&
			(n = read(fd, data + *len, (size_t)st.st_size - *len)) > 0)
			*len += (size_t)n;
	}
	if (!data)
		complain(EXIT_OTHER, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return data;
}

static int info(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_err err = {0};
	struct lode_oxdl_info old;
	size_t len;
	if (argc != 1)
		return complain(EXIT_OTHER, "usage: lodectl delta info PATCH");
	struct lode_delta_info *what = malloc(sizeof(*what));
	uint8_t *data = what ? read_whole(argv[0], &len) : NULL;
	int rc = EXIT_OTHER;
	if (data && lode_oxdl_is(data, len)) {
		rc = lode_oxdl_parse(data, len, &old, &err) ? complain(EXIT_OTHER, "%s", err.msg)
							    : print_oxdl_info(ctl, &old);
	} else if (data) {
		long n = lode_delta_parse_header(data, len, what, &err);
		rc = n > 0 ? print_info(ctl, what)
			   : complain(EXIT_OTHER, "%s: %s", argv[0],
				     n ? err.msg : "ends within its header");
	}
	free(data);
	free(what);
	return rc;
}

/* Removes a folder of ours: the files in it and in the folders in it. */
static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_folder(const char *path)
{
	nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A new one for what is thrown away; an exit code. */
static int make_folder(char dir[FOLDER_MAX])
{
	const char *tmp = getenv("TMPDIR");
	if (snprintf(dir, FOLDER_MAX, "%s/lodectl-XXXXXX", tmp ? tmp : "/tmp") >= FOLDER_MAX)
		return complain(EXIT_ENVIRONMENT, "TMPDIR: longer than %d bytes", FOLDER_MAX);
	if (!mkdtemp(dir))
		return complain(EXIT_ENVIRONMENT, "%s: %s", dir, strerror(errno));
	return EXIT_OK;
}

/* ---- verify: an apply into a file that is thrown away ---- */

static int verify(struct lodectl *ctl, int argc, char **argv)
{
	struct lode_err err = {0};
	struct lode_delta_stats stats = {0};
	struct lode_delta_apply_options opt = {.progress = draw_bar, .progress_ctx = "verify"};
	char dir[FOLDER_MAX], out[FOLDER_MAX + 32];
	if (argc != 2)
		return complain(EXIT_OTHER, "usage: lodectl delta verify PATCH BASE");
	int rc = make_folder(dir);
	if (rc)
		return rc;
	snprintf(out, sizeof(out), "%s/target", dir);
	uint64_t start = lode_clock_ns();
	rc = lode_delta_apply_path(argv[0], base_or_null(argv[1]), out, &opt, &stats, &err);
	double seconds = seconds_since(start);
	remove_folder(dir);

	return rc ? complain(EXIT_OTHER, "%s", err.msg) : print_applied(ctl, &stats, seconds);
}

/* ---- bench ---- */

struct bench_row {
	const char *mode;
	double diff_seconds, apply_seconds;
	struct lode_delta_report report;
};

static int bench_mode(const char *base, const char *target, const char *dir,
	enum lode_delta_mode mode, struct bench_row *row)
{
	char patch[544], out[544];
	struct lode_err err = {0};
	snprintf(patch, sizeof(patch), "%s/patch", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	uint64_t start = lode_clock_ns();
	int rc = make_patch(base, target, patch, mode, &row->report);
	row->diff_seconds = seconds_since(start);
	if (rc)
		return rc;
	start = lode_clock_ns();
	if (lode_delta_apply_path(patch, base_or_null(base), out, NULL, NULL, &err))
		rc = complain(EXIT_OTHER, "%s", err.msg);
	row->apply_seconds = seconds_since(start);
	return rc;
}

static void print_bench(const struct lodectl *ctl, const struct bench_row *rows, size_t n)
{
	static const char *const heads[] = {"MODE", "PATCH", "SHARE", "DIFF MB/s", "APPLY MB/s"};
	struct table t;
	json_t *list = json_array();
	table_begin(&t, LODE_ARRAY_LEN(heads), heads);
	for (size_t i = 0; i < n; i++) {
		double bytes = (double)rows[i].report.target_bytes;
		double diff_rate = bytes / 1e6 / rows[i].diff_seconds;
		double apply_rate = bytes / 1e6 / rows[i].apply_seconds;
		table_cell(&t, "%s", rows[i].mode);
		table_cell(&t, "%llu", (unsigned long long)rows[i].report.patch_bytes);
		table_cell(&t, "%.2f %%", 100.0 * (double)rows[i].report.patch_bytes / bytes);
		table_cell(&t, "%.0f", diff_rate);
		table_cell(&t, "%.0f", apply_rate);
		json_array_append_new(
			list, json_pack("{s:s, s:I, s:I, s:f, s:f}", "mode", rows[i].mode,
				      "patch_bytes", (json_int_t)rows[i].report.patch_bytes,
				      "target_bytes", (json_int_t)rows[i].report.target_bytes,
				      "diff_mb_s", diff_rate, "apply_mb_s", apply_rate));
	}
	if (ctl->json)
		print_json(list);
	table_end(&t, ctl->json ? stderr : stdout);
	json_decref(list);
}

static int bench(struct lodectl *ctl, int argc, char **argv)
{
	struct bench_row rows[3] = {{.mode = "fast"}, {.mode = "default"}, {.mode = "best"}};
	static const enum lode_delta_mode modes[] = {
		LODE_DELTA_MODE_FAST, LODE_DELTA_MODE_DEFAULT, LODE_DELTA_MODE_BEST};
	char dir[FOLDER_MAX];
	if (argc != 2)
		return complain(EXIT_OTHER, "usage: lodectl delta bench BASE TARGET");
	int rc = make_folder(dir);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < LODE_ARRAY_LEN(rows); i++)
		rc = bench_mode(argv[0], argv[1], dir, modes[i], &rows[i]);
	if (!rc)
		print_bench(ctl, rows, LODE_ARRAY_LEN(rows));
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++)
		lode_delta_report_clear(&rows[i].report);
	remove_folder(dir);
	return rc;
}

const struct command delta_commands[] = {
	{"delta", "diff", DIFF_USAGE, "make a patch; files or folders, BASE may be 'none'", diff},
	{"delta", "apply", "PATCH BASE OUT", "apply a patch; goes on where it was interrupted",
		apply},
	{"delta", "info", "PATCH", "what a patch says of itself", info},
	{"delta", "verify", "PATCH BASE", "apply a patch to nowhere and check the hashes", verify},
	{"delta", "bench", "BASE TARGET", "size and speed of all modes on one pair", bench},
	COMMANDS_END,
};
