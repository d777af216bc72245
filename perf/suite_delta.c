/* SPDX-License-Identifier: BSD-3-Clause */
/* Tensor deltas: patch sizes against zstd, xdelta3, bsdiff and XOR+zstd on the same files in the same run
 * (and the recorded figures of two tools that Debian does not have), speed, and memory.
 *   lode-perf delta [--only size|speed|memory]
 * The peers are the programs of Debian's packages; one that is missing is said and left out. */
#include "delta_peers.h"
#include "lode_delta.h"
#include "lode_perf.h"
#include "model_pairs.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL_WIDTH 256 /* of the generated pairs whose sizes are compared: bsdiff takes its time */
#define LARGE_WIDTH 512 /* of those whose speed is measured: 29 MB in float32 */
#define GIB	    (1ull << 30)

/* ratios of patch to target measured elsewhere for tools that are not packaged; 0: not known */
struct real_pair {
	const char *name, *base, *target;
	double hdiffpatch, oxide;
};

static const struct real_pair real_pairs[] = {
	{"seed-last-layer", "seed-mlp/v1.onnx", "seed-mlp/v2-lastlayer-noise1pct.onnx", .0043,
		.0040},
	{"seed-all-5pct", "seed-mlp/v1.onnx", "seed-mlp/v2-all-weights5pct.onnx", .0516, .0691},
	{"seed-retrain", "seed-mlp/v1.onnx", "seed-mlp/v2-retrain.onnx", .924, .923},
	{"cnn-finetune-adam", "cnn/v1.onnx", "cnn/v2-finetune-adam.onnx", .810, .771},
	{"cnn-continual-sgd", "cnn/v1.onnx", "cnn/v2-continual-sgd.onnx", .694, .567},
	{"cnn-head", "cnn/v1.onnx", "cnn/v2-head.onnx", .0023, .0025},
	{"cnn-prune50", "cnn/v1.onnx", "cnn/v2-prune50.onnx", .481, .337},
	{"cnn-retrain", "cnn/v1.onnx", "cnn/v2-retrain.onnx", 0, 0},
	{"cnn-bnfold", "cnn-bnfold/v1.onnx", "cnn-bnfold/v2-bn-adapted.onnx", .473, .442},
	{"cnn-int8", "cnn-int8/v1.onnx", "cnn-int8/v2-finetune.onnx", .810, .585},
	{"cnn-sparse", "cnn-sparse/v1.safetensors", "cnn-sparse/v2-finetune-masked.safetensors",
		.327, .306},
	{"lstm", "lstm/v1.safetensors", "lstm/v2-finetune-adam.safetensors", .924, .923},
	{"gpt-f32", "gpt/v1.safetensors", "gpt/v2-finetune-adamw.safetensors", .922, .921},
	{"gpt-bf16", "gpt/v1-bf16.safetensors", "gpt/v2-finetune-adamw-bf16.safetensors", .584,
		.755},
	{"gpt-lora-f32", "gpt/v1.safetensors", "gpt/v2-lora-merged.safetensors", .476, .476},
	{"gpt-lora-bf16", "gpt/v1-bf16.safetensors", "gpt/v2-lora-merged-bf16.safetensors", .400,
		.400},
	{"mlp-float-data", "mlp-float-data/v1.onnx", "mlp-float-data/v2-finetune.onnx", .905, 0},
	{"mlp-external-graph", "mlp-external/v1/model.onnx", "mlp-external/v2/model.onnx", 0, 0},
	{"mlp-external-data", "mlp-external/v1/model.onnx.data", "mlp-external/v2/model.onnx.data",
		.909, .910},
	{"mlp-unknown", "mlp-unknown/v1.npz", "mlp-unknown/v2.npz", .890, .892},
	{"mlp-clean", "mlp-clean/v1.safetensors", "mlp-clean/v2-finetune.safetensors", .244, .445},
	{"mlp-struct", "mlp-struct/v1.safetensors",
		"mlp-struct/v2-renamed-reordered-grown.safetensors", .0199, .0208},
};

struct work {
	struct lode_perf *p;
	char dir[64], base[96], target[96], patch[96], out[96];
	double log_sum; /* of ours over the best peer's, files above 10 KB */
	unsigned n_ratios;
	double worst_excess; /* bytes above the best peer */
	char worst[64];
};

static void fail(const char *what, const struct lode_err *err)
{
	fprintf(stderr, "lode-perf delta: %s: %s\n", what, err->msg);
	exit(1);
}

/* ---- sizes ---- */

/* Ours: made, applied and compared. Returns the patch's bytes. */
static double our_size(struct work *w, const struct blob *target)
{
	struct lode_err err = {0};
	struct lode_delta_report r;
	if (lode_delta_diff_path(
		    w->base, w->target, w->patch, LODE_DELTA_MODE_DEFAULT, NULL, NULL, &r, &err))
		fail("diff", &err);
	if (lode_delta_apply_path(w->patch, w->base, w->out, NULL, NULL, &err))
		fail("apply", &err);
	struct blob made = blob_read(w->out);
	if (made.len != target->len || memcmp(made.data, target->data, made.len))
		fail("the target differs", &err);
	free(made.data);
	double size = (double)r.patch_bytes;
	lode_delta_report_clear(&r);
	return size;
}

static void compare_sizes(struct work *w, const char *name, const struct blob *base,
	const struct blob *target, double hdiffpatch, double oxide)
{
	char label[80], metric[64];
	snprintf(label, sizeof(label), "size/%s", name);
	if (!lode_perf_wanted(w->p, label))
		return;
	lode_perf_progress(w->p, "%s", label);
	double ours = our_size(w, target);
	struct best_peer best = {NULL, INFINITY};
	best_peer_offer(&best, "zstd -19", peer_zstd(w->target, w->out));
	best_peer_offer(
		&best, "zstd --patch-from -19", peer_patch_from(w->base, w->target, w->out));
	best_peer_offer(&best, "xdelta3 -9", peer_xdelta3(w->base, w->target, w->out));
	best_peer_offer(&best, "bsdiff", peer_bsdiff(w->base, w->target, w->out));
	best_peer_offer(&best, "XOR + zstd -3", peer_xor_zstd(base, target));
	best_peer_offer(&best, "HDiffPatch (recorded)", hdiffpatch * (double)target->len);
	best_peer_offer(&best, "Oxide (recorded)", oxide * (double)target->len);
	snprintf(metric, sizeof(metric), "patch of %zu", target->len);
	lode_perf_row(w->p, label, metric, ours, "bytes", best.name, best.bytes / ours);
	if (target->len > 10000) {
		w->log_sum += log(ours / best.bytes);
		w->n_ratios++;
	}
	if (ours - best.bytes > w->worst_excess) {
		w->worst_excess = ours - best.bytes;
		snprintf(w->worst, sizeof(w->worst), "%s", name);
	}
}

static void real_sizes(struct work *w)
{
	const char *data = getenv("LODESTONE_DATA_DIR");
	char path[512];
	for (size_t i = 0; i < LODE_ARRAY_LEN(real_pairs); i++) {
		const struct real_pair *r = &real_pairs[i];
		snprintf(path, sizeof(path), "size/%s", r->name);
		if (!lode_perf_wanted(w->p, path))
			continue;
		snprintf(path, sizeof(path), "%s/model-pairs/%s", data ? data : "../shared/data",
			r->base);
		struct blob base = blob_read(path);
		snprintf(path, sizeof(path), "%s/model-pairs/%s", data ? data : "../shared/data",
			r->target);
		struct blob target = blob_read(path);
		if (base.data && target.data) {
			blob_write(w->base, &base);
			blob_write(w->target, &target);
			compare_sizes(w, r->name, &base, &target, r->hdiffpatch, r->oxide);
		} else {
			printf("size/%s: not measurable here: no %s (set LODESTONE_DATA_DIR)\n",
				r->name, path);
		}
		free(base.data);
		free(target.data);
	}
}

/* Bytes an order-0 coder needs at least for the zigzag differences of INT8 files of one layout. */
static double order0_bytes(const struct model_pair *m)
{
	double counts[256] = {0}, bits = 0;
	for (size_t i = 0; i < m->target_len; i++) {
		int8_t d = (int8_t)(m->target[i] - m->base[i]);
		counts[(uint8_t)((d << 1) ^ (d >> 7))]++;
	}
	for (unsigned s = 0; s < 256; s++)
		if (counts[s] > 0)
			bits -= counts[s] * log2(counts[s] / (double)m->target_len);
	return bits / 8;
}

static bool use_pair(struct work *w, const struct pair_recipe *r, unsigned n_layers, unsigned width,
	struct model_pair *m)
{
	if (model_pair_make(r, n_layers, width, 1, m))
		return false;
	blob_write(w->base, &(struct blob){m->base, m->base_len});
	blob_write(w->target, &(struct blob){m->target, m->target_len});
	return true;
}

static void free_pair(struct model_pair *m)
{
	free(m->base);
	free(m->target);
}

static void generated_sizes(struct work *w)
{
	for (unsigned i = 0; i < n_pair_recipes; i++) {
		char label[80];
		struct model_pair m;
		snprintf(label, sizeof(label), "size/%s", pair_recipes[i].name);
		if (!lode_perf_wanted(w->p, label) ||
			!use_pair(w, &pair_recipes[i], 1, SMALL_WIDTH, &m))
			continue;
		compare_sizes(w, pair_recipes[i].name, &(struct blob){m.base, m.base_len},
			&(struct blob){m.target, m.target_len}, 0, 0);
		if (pair_recipes[i].dtype == PAIR_I8) {
			double floor = order0_bytes(&m),
			       ours = our_size(w, &(struct blob){m.target, m.target_len});
			lode_perf_row(w->p, label, "against order-0 entropy", ours / floor, "x",
				NULL, NAN);
		}
		free_pair(&m);
	}
}

static void size_summary(struct work *w)
{
	if (!w->n_ratios)
		return;
	lode_perf_row(w->p, "size/all", "geometric mean of ours/best",
		exp(w->log_sum / w->n_ratios), "", NULL, NAN);
	char metric[96];
	snprintf(metric, sizeof(metric), "most above the best: %s", w->worst);
	lode_perf_row(w->p, "size/all", metric, w->worst_excess, "bytes", NULL, NAN);
}

/* ---- children, whose time and memory the kernel counts ---- */

/* Peak resident memory of this process since its exec; what wait4 says has the parent's in it. */
static void write_own_peak(const char *path)
{
	char line[256];
	FILE *status = fopen("/proc/self/status", "r"), *to = fopen(path, "w");
	while (status && to && fgets(line, sizeof(line), status))
		if (!strncmp(line, "VmHWM:", 6))
			fputs(line + 6, to);
	if (status)
		fclose(status);
	if (to)
		fclose(to);
}

static double read_peak(const char *path)
{
	double kib = NAN;
	FILE *f = fopen(path, "r");
	if (f && fscanf(f, "%lf", &kib) != 1)
		kib = NAN;
	if (f)
		fclose(f);
	unlink(path);
	return kib;
}

/* Runs this program as `lode-perf delta -- PEAK VERB ...`; seconds of CPU of the whole process and its peak
 * memory. */
static bool run_child(
	const struct work *w, char *const *args, double *cpu_seconds, double *peak_kib)
{
	char peak[112], *argv[11] = {(char *)"lode-perf", (char *)"delta", (char *)"--", peak};
	struct rusage use;
	int status;
	snprintf(peak, sizeof(peak), "%s/peak", w->dir);
	for (unsigned i = 0; args[i] && i < 6; i++)
		argv[4 + i] = args[i];
	pid_t child = fork();
	if (!child) {
		execv("/proc/self/exe", argv);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &use) != child)
		return false;
	*cpu_seconds = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
	*peak_kib = read_peak(peak);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static int child_work(int argc, char **argv)
{
	struct lode_err err = {0};
	if (argc == 4 && !strcmp(argv[0], "apply"))
		return lode_delta_apply_path(argv[1], argv[2], argv[3], NULL, NULL, &err);
	if (argc == 5 && !strcmp(argv[0], "diff"))
		return lode_delta_diff_path(argv[1], argv[2], argv[3],
			strcmp(argv[4], "fast") ? LODE_DELTA_MODE_DEFAULT : LODE_DELTA_MODE_FAST,
			NULL, NULL, NULL, &err);
	return argc == 1 && !strcmp(argv[0], "nothing") ? 0 : 1;
}

static int child_main(struct lode_perf *p)
{
	int rc = child_work(p->argc - 1, p->argv + 1);
	write_own_peak(p->argv[0]);
	return rc;
}

/* ---- speed ---- */

#define RUNS 9

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Medians of RUNS runs of a whole process, in seconds of its CPU time and of the time that passed. */
static void child_seconds(const struct work *w, char *const *args, double *cpu, double *wall)
{
	double cpu_s[RUNS], wall_s[RUNS], peak;
	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t start = lode_perf_wall_ns();
		if (!run_child(w, args, &cpu_s[i], &peak))
			cpu_s[i] = NAN;
		wall_s[i] = (double)(lode_perf_wall_ns() - start) * 1e-9;
	}
	qsort(cpu_s, RUNS, sizeof(cpu_s[0]), by_value);
	qsort(wall_s, RUNS, sizeof(wall_s[0]), by_value);
	*cpu = cpu_s[RUNS / 2];
	*wall = wall_s[RUNS / 2];
}

/* MB/s above a run that does nothing: loading this program and its libraries is no work on a patch. */
static void child_rates(
	const struct work *w, char *const *args, double bytes, double *cpu, double *wall)
{
	char *nothing[] = {(char *)"nothing", NULL};
	double cpu_s, wall_s, empty_cpu_s, empty_wall_s;
	child_seconds(w, nothing, &empty_cpu_s, &empty_wall_s);
	child_seconds(w, args, &cpu_s, &wall_s);
	*cpu = bytes / 1e6 / (cpu_s - empty_cpu_s);
	*wall = bytes / 1e6 / (wall_s - empty_wall_s);
}

static void measure_speed(struct work *w, const struct pair_recipe *r)
{
	char label[80];
	struct model_pair m;
	snprintf(label, sizeof(label), "speed/%s", r->name);
	if (!lode_perf_wanted(w->p, label) || !use_pair(w, r, 2, LARGE_WIDTH, &m))
		return;
	double bytes = (double)m.target_len;
	free_pair(&m);
	lode_perf_progress(w->p, "%s", label);
	char *fast[] = {(char *)"diff", w->base, w->target, w->patch, (char *)"fast", NULL};
	char *full[] = {(char *)"diff", w->base, w->target, w->patch, (char *)"default", NULL};
	char *apply[] = {(char *)"apply", w->patch, w->base, w->out, NULL};
	const struct {
		const char *metric;
		char *const *args;
	} rows[] = {
		{"encode, fast", fast}, {"encode, default", full}, {"apply, both SHA-256", apply}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++) {
		double cpu, wall;
		char metric[64];
		child_rates(w, rows[i].args, bytes, &cpu, &wall);
		lode_perf_row(w->p, label, rows[i].metric, cpu, "MB/s", NULL, NAN);
		snprintf(metric, sizeof(metric), "%s, wall", rows[i].metric);
		lode_perf_row(w->p, label, metric, wall, "MB/s", NULL, NAN);
	}
}

static void speeds(struct work *w)
{
	static const char *const names[] = {"ft-f32-r.01", "ft-bf16-r.01", "ft-f16-r.01",
		"ft-int8-r.01", "lora8-f32", "head-f32"};
	for (unsigned i = 0; i < n_pair_recipes; i++)
		for (size_t k = 0; k < LODE_ARRAY_LEN(names); k++)
			if (!strcmp(pair_recipes[i].name, names[k]))
				measure_speed(w, &pair_recipes[i]);
}

/* ---- memory ---- */

static void peak_of_apply(struct work *w, const char *label)
{
	char *nothing[] = {(char *)"nothing", NULL};
	char *apply[] = {(char *)"apply", w->patch, w->base, w->out, NULL};
	double seconds, empty, peak;
	if (run_child(w, nothing, &seconds, &empty) && run_child(w, apply, &seconds, &peak))
		lode_perf_row(w->p, label, "apply above an empty run", (peak - empty) / 1024, "MiB",
			NULL, NAN);
	else
		printf("%s: the apply failed\n", label);
}

static void dense_memory(struct work *w, const char *name)
{
	struct model_pair m;
	struct lode_err err = {0};
	char label[80];
	for (unsigned i = 0; i < n_pair_recipes; i++) {
		snprintf(label, sizeof(label), "memory/%s", pair_recipes[i].name);
		if (strcmp(pair_recipes[i].name, name) || !lode_perf_wanted(w->p, label) ||
			!use_pair(w, &pair_recipes[i], 2, LARGE_WIDTH, &m))
			continue;
		free_pair(&m);
		if (lode_delta_diff_path(w->base, w->target, w->patch, LODE_DELTA_MODE_DEFAULT,
			    NULL, NULL, NULL, &err))
			fail("diff", &err);
		peak_of_apply(w, label);
	}
}

static void make_sparse(const char *path, uint64_t bytes, uint8_t value)
{
	uint8_t data[65536];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	memset(data, value, sizeof(data));
	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		exit(1);
	for (uint64_t at = 12345; at < bytes; at += GIB / 2)
		if (pwrite(fd, data, sizeof(data), (off_t)at) < 0)
			exit(1);
	close(fd);
}

static void sparse_memory(struct work *w)
{
	struct lode_err err = {0};
	if (!lode_perf_wanted(w->p, "memory/8-GiB-sparse"))
		return;
	lode_perf_progress(w->p, "memory/8-GiB-sparse");
	make_sparse(w->base, 8 * GIB, 1);
	make_sparse(w->target, 8 * GIB, 2);
	if (lode_delta_diff_path(
		    w->base, w->target, w->patch, LODE_DELTA_MODE_FAST, NULL, NULL, NULL, &err))
		fail("diff", &err);
	peak_of_apply(w, "memory/8-GiB-sparse");
}

int suite_delta(struct lode_perf *p);
int suite_delta(struct lode_perf *p)
{
	struct work w = {.p = p};
	if (p->argc > 1)
		return child_main(p) ? -1 : 0;
	snprintf(w.dir, sizeof(w.dir), "/tmp/lode-perf-XXXXXX");
	if (!mkdtemp(w.dir))
		return -errno;
	snprintf(w.base, sizeof(w.base), "%s/base", w.dir);
	snprintf(w.target, sizeof(w.target), "%s/target", w.dir);
	snprintf(w.patch, sizeof(w.patch), "%s/patch", w.dir);
	snprintf(w.out, sizeof(w.out), "%s/out", w.dir);
	real_sizes(&w);
	generated_sizes(&w);
	size_summary(&w);
	speeds(&w);
	dense_memory(&w, "ft-f32-r.01");
	dense_memory(&w, "lora8-f32");
	sparse_memory(&w);
	unlink(w.base);
	unlink(w.target);
	unlink(w.patch);
	unlink(w.out);
	return rmdir(w.dir) ? -errno : 0;
}
