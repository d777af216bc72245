/* SPDX-License-Identifier: BSD-3-Clause */
/* The encoder's job: files hashed and cut into ranges, which threads take one after another; the ranges' records in
 * order are the patch, whatever the number of threads. */
#include "diff.h"
#include "encode.h"
#include "header.h"
#include "sha256_pair.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#define RANGE_MIN_BYTES	   (8u << 20)
#define RANGES_MAX	   128 /* beyond that ranges grow */
#define THREADS_MAX	   16
#define HUGE_PAGE_BYTES	   (2u << 20)
#define ADAPTIVE_MAX_BYTES (2500 * 1000) /* changed bytes up to which adaptive models run */

/* Something a thread takes: two files to hash, or a range to encode. */
struct task {
	const struct lode_delta_input *hash[2]; /* the second may be missing */
	uint8_t *digest[2];
	uint64_t start, end;
	struct buf out; /* made, but those before are not */
	bool made;
};

struct diff {
	const struct lode_delta_job *job;
	struct lode_delta_info *info;
	struct encode_job encode;
	struct task *tasks;
	uint32_t n_tasks, n_threads;
	atomic_uint next_task; /* taken by any thread */
	_Atomic uint64_t done; /* target bytes; added by any thread, read by the first */
	atomic_int rc;	       /* first failure; the others stop */
	const struct patch_sink *sink;
	/* Guards the sink and what follows, and what workers add at their end: costs, largest, features. */
	pthread_mutex_t merge;
	uint64_t patch_bytes; /* behind what was written */
	uint32_t n_written;   /* tasks */
	struct lode_delta_cost *costs;
	uint64_t *largest;
	struct lode_delta_report *report;
	struct lode_err *err;
};

/* ---- workers ---- */

/* Room for what a range can come to, in huge pages where the system has them: thousands of faults less. Without
 * memory for it the buffer grows as it is needed. */
static void reserve(struct buf *b, uint64_t len)
{
	void *data;
	size_t cap = (len + HUGE_PAGE_BYTES) & ~(size_t)(HUGE_PAGE_BYTES - 1);
	b->len = 0;
	if (b->data || len < HUGE_PAGE_BYTES || posix_memalign(&data, HUGE_PAGE_BYTES, cap))
		return;
	madvise(data, cap, MADV_HUGEPAGE);
	*b = (struct buf){.data = data, .cap = cap};
}

/* The records of a task whose turn it is. */
static int write_out(struct diff *d, const struct buf *out)
{
	int rc =
		out->len ? d->sink->write_at(d->sink->ctx, d->patch_bytes, out->data, out->len) : 0;
	d->patch_bytes += out->len;
	d->n_written++;
	return rc;
}

/* Writes what was made and whatever waited for it; a buffer that went out at once stays with its thread. */
static int hand_in(struct diff *d, struct task *t, struct buf *out)
{
	int rc = 0;
	pthread_mutex_lock(&d->merge);
	t->made = true;
	if (t == &d->tasks[d->n_written]) {
		rc = write_out(d, out);
	} else {
		t->out = *out;
		*out = (struct buf){0};
	}
	while (!rc && d->n_written < d->n_tasks && d->tasks[d->n_written].made) {
		struct buf *next = &d->tasks[d->n_written].out;
		rc = write_out(d, next);
		buf_free(next);
	}
	pthread_mutex_unlock(&d->merge);
	return rc;
}

static int run_task(struct diff *d, struct range_encoder *e, struct task *t)
{
	int rc;
	if (t->hash[0])
		return sha256_pair(t->hash, t->digest);
	reserve(&e->out, t->end - t->start);
	rc = range_encode(e, t->start, t->end);
	if (!rc && e->out.failed)
		rc = -ENOMEM;
	atomic_fetch_add(&d->done, t->end - t->start);
	return rc ? rc : hand_in(d, t, &e->out);
}

static void merge_costs(struct diff *d, const struct range_encoder *e)
{
	pthread_mutex_lock(&d->merge);
	d->info->incompat |= e->features;
	for (uint32_t i = 0; e->costs && i < d->encode.plan.n_tensors; i++) {
		struct lode_delta_cost *c = &d->costs[i];
		c->target_bytes += e->costs[i].target_bytes;
		c->patch_bytes += e->costs[i].patch_bytes;
		if (e->costs[i].target_bytes && e->largest[i] >= d->largest[i]) {
			d->largest[i] = e->largest[i];
			c->coder = e->costs[i].coder;
			c->predictor = e->costs[i].predictor;
		}
	}
	pthread_mutex_unlock(&d->merge);
}

/* Only the caller's own thread reports progress. */
static void work(struct diff *d, bool reports)
{
	struct range_encoder e;
	int rc = range_encoder_init(&e, &d->encode);
	while (!rc && !atomic_load(&d->rc)) {
		uint32_t i = atomic_fetch_add(&d->next_task, 1);
		if (i >= d->n_tasks)
			break;
		rc = run_task(d, &e, &d->tasks[i]);
		if (!rc && reports && d->job->progress)
			rc = d->job->progress(
				d->job->progress_ctx, atomic_load(&d->done), d->encode.target.size);
	}
	int none = 0;
	if (rc)
		atomic_compare_exchange_strong(&d->rc, &none, rc);
	merge_costs(d, &e);
	range_encoder_clear(&e);
}

static void *helper(void *ctx)
{
	work(ctx, false);
	return NULL;
}

/* A thread that cannot be started is done without. */
static int run_tasks(struct diff *d)
{
	pthread_t threads[THREADS_MAX];
	uint32_t n = 0;
	while (n + 1 < LODE_MIN(d->n_threads, d->n_tasks) &&
		!pthread_create(&threads[n], NULL, helper, d))
		n++;
	work(d, true);
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	int rc = atomic_load(&d->rc);
	if (rc)
		return lode_err_set(d->err, rc, "encoding failed: %s", strerror(-rc));
	return d->job->progress ? d->job->progress(d->job->progress_ctx, d->encode.target.size,
					  d->encode.target.size)
				: 0;
}

/* ---- the job ---- */

static int describe(const struct lode_delta_input *in, uint32_t n, struct lode_delta_file *out,
	struct lode_err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!(in[i].name[0] ? file_name_ok(in[i].name) : n == 1))
			return lode_err_set(err, -EINVAL,
				"file name \"%s\": one path component of [A-Za-z0-9._-] without "
				"leading dot allowed",
				in[i].name);
		memcpy(out[i].name, in[i].name, sizeof(out[i].name));
		out[i].size = in[i].size;
	}
	return 0;
}

/* Bytes of matched tensors that differ, up to a limit: whether adaptive models are affordable. */
static bool changes_are_few(const struct encode_job *job)
{
	uint64_t changed = 0;
	for (size_t i = 0; i < job->plan.n_segments && changed <= ADAPTIVE_MAX_BYTES; i++) {
		const struct segment *s = &job->plan.segments[i];
		uint64_t same = equal_run(job, s->target, i, s->len);
		changed += s->len - LODE_MIN(same, s->len);
	}
	return changed <= ADAPTIVE_MAX_BYTES;
}

/* Two at a time, while the last one waits for a second. */
static void add_hashes(
	struct diff *d, const struct lode_delta_input *in, struct lode_delta_file *f, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct task *last = d->n_tasks ? &d->tasks[d->n_tasks - 1] : NULL;
		bool joins = last && last->hash[0] && !last->hash[1];
		struct task *t = joins ? last : &d->tasks[d->n_tasks++];
		t->hash[joins] = &in[i];
		t->digest[joins] = f[i].sha256;
	}
}

static int make_tasks(struct diff *d)
{
	const struct lode_delta_job *job = d->job;
	uint64_t size = d->encode.target.size, start = 0;
	uint64_t step = LODE_MAX(size / RANGES_MAX, (uint64_t)RANGE_MIN_BYTES);
	d->tasks = calloc(job->n_base + 2ul * job->n_target + size / step + 1, sizeof(*d->tasks));
	if (!d->tasks)
		return -ENOMEM;
	for (uint32_t f = 0; f < job->n_target; f++) {
		uint64_t end = start + job->target[f].size;
		while (start < end) {
			uint64_t cut = end - start > step + step / 2
					       ? range_cut(&d->encode.plan, start + step)
					       : end;
			d->tasks[d->n_tasks++] = (struct task){.start = start, .end = cut};
			start = cut;
		}
	}
	add_hashes(d, job->base, d->info->base, job->n_base);
	add_hashes(d, job->target, d->info->target, job->n_target);
	return 0;
}

/* The same before and after hashes and features are known. */
static size_t header_bytes(const struct lode_delta_info *info)
{
	struct buf header = {0};
	header_write(info, &header);
	size_t len = header.len;
	buf_free(&header);
	return len;
}

static int prepare(struct diff *d)
{
	const struct lode_delta_job *job = d->job;
	struct encode_job *e = &d->encode;
	int rc = describe(job->base, job->n_base, d->info->base, d->err);
	if (!rc)
		rc = describe(job->target, job->n_target, d->info->target, d->err);
	if (rc)
		return rc;
	d->info->block_log2 = BLOCK_LOG2_MAX;
	d->info->n_base = job->n_base;
	d->info->n_target = job->n_target;
	d->n_threads = LODE_MIN(LODE_MAX(job->n_threads, 1u), THREADS_MAX);
	e->mode = job->mode;
	space_open(&e->base, job->base, job->n_base);
	space_open(&e->target, job->target, job->n_target);
	d->patch_bytes = header_bytes(d->info);
	rc = plan_make(&e->plan, &e->base, &e->target);
	if (!rc)
		rc = make_tasks(d);
	d->costs = calloc(e->plan.n_tensors + 1, sizeof(*d->costs));
	d->largest = calloc(e->plan.n_tensors + 1, sizeof(*d->largest));
	if (rc || !d->costs || !d->largest)
		return lode_err_set(d->err, -ENOMEM, "no memory for the encoder");
	e->adaptive = job->mode == LODE_DELTA_MODE_BEST ||
		      (job->mode == LODE_DELTA_MODE_DEFAULT && changes_are_few(e));
	return 0;
}

/* The end mark, and the header into the place that was left for it. */
static int finish(struct diff *d)
{
	static const uint8_t mark = RECORD_END;
	struct buf header = {0};
	header_write(d->info, &header);
	int rc = header.failed ? -ENOMEM : 0;
	if (!rc)
		rc = d->sink->write_at(d->sink->ctx, d->patch_bytes++, &mark, 1);
	if (!rc)
		rc = d->sink->write_at(d->sink->ctx, 0, header.data, header.len);
	buf_free(&header);
	return rc ? lode_err_set(d->err, rc, "the patch cannot be written: %s", strerror(-rc)) : 0;
}

static void fill_report(struct diff *d)
{
	struct lode_delta_report *r = d->report;
	const struct plan *plan = &d->encode.plan;
	*r = (struct lode_delta_report){.base_bytes = d->encode.base.size,
		.target_bytes = d->encode.target.size,
		.patch_bytes = d->patch_bytes,
		.n_matched = plan->n_matched,
		.n_unchanged = plan->n_unchanged,
		.costs = d->costs,
		.n_costs = plan->n_tensors};
	for (uint32_t i = 0; i < plan->n_tensors; i++) {
		struct lode_delta_cost *c = &d->costs[i];
		snprintf(c->name, sizeof(c->name), "%s", plan->tensors[i].name);
		c->type = plan->tensors[i].type;
		r->n_tensors += c->name[0] != 0;
	}
	d->costs = NULL;
}

static int run(struct diff *d)
{
	int rc = prepare(d);
	if (!rc)
		rc = run_tasks(d);
	if (!rc)
		rc = finish(d);
	if (!rc && d->report)
		fill_report(d);
	return rc;
}

int diff_to(const struct lode_delta_job *job, const struct patch_sink *sink,
	struct lode_delta_report *report, struct lode_err *err)
{
	struct diff d = {.job = job, .sink = sink, .report = report, .err = err};
	int rc = -ENOMEM;
	if (!job->n_target || job->n_target > LODE_DELTA_MAX_FILES ||
		job->n_base > LODE_DELTA_MAX_FILES)
		return lode_err_set(err, -EINVAL,
			"%u base and %u target files: up to %u allowed, one target at least",
			job->n_base, job->n_target, LODE_DELTA_MAX_FILES);
	pthread_mutex_init(&d.merge, NULL);
	d.info = calloc(1, sizeof(*d.info));
	if (d.info)
		rc = run(&d);
	plan_clear(&d.encode.plan);
	space_close(&d.encode.base);
	space_close(&d.encode.target);
	for (uint32_t i = 0; i < d.n_tasks; i++)
		buf_free(&d.tasks[i].out);
	free(d.tasks);
	free(d.costs);
	free(d.largest);
	free(d.info);
	pthread_mutex_destroy(&d.merge);
	return rc;
}

static int write_to_memory(void *ctx, uint64_t offset, const void *data, size_t len)
{
	struct buf *b = ctx;
	if (offset + len > b->len) {
		if (!buf_room(b, offset + len - b->len))
			return -ENOMEM;
		b->len = offset + len;
	}
	memcpy(b->data + offset, data, len);
	return 0;
}

int lode_delta_diff(const struct lode_delta_job *job, struct lode_delta_patch *patch,
	struct lode_delta_report *report, struct lode_err *err)
{
	struct buf all = {0};
	const struct patch_sink sink = {&all, write_to_memory};
	int rc = diff_to(job, &sink, report, err);
	if (rc)
		buf_free(&all);
	*patch = (struct lode_delta_patch){all.data, all.len};
	return rc;
}

void lode_delta_report_clear(struct lode_delta_report *r)
{
	free(r->costs);
	*r = (struct lode_delta_report){0};
}
