/* SPDX-License-Identifier: BSD-3-Clause */
/* Turns of a worker's loop that took too long: when, how long, in which step, with how many frames, and whether
 * others had the CPU meanwhile. The worker notes, whoever holds the lock keeps the last ones and shows them. */
#include "views.h"

#include <rte_cycles.h>
#include <stdio.h>
#include <sys/resource.h>

static const char *const step_names[LOOP_N_STEPS] = {
	[LOOP_RX] = "rx",
	[LOOP_KERNEL] = "kernel",
	[LOOP_POLL] = "lanes",
	[LOOP_TX] = "tx",
};

/* ---- the worker's side ---- */

/* How often the kernel gave this thread's CPU to another one. */
static uint64_t n_preempted(void)
{
	struct rusage usage;
	return getrusage(RUSAGE_THREAD, &usage) ? 0 : (uint64_t)usage.ru_nivcsw;
}

void loop_slept(struct worker_run *r)
{
	r->turn.n_preempted = n_preempted();
}

static uint64_t ns_of_cycles(uint64_t cycles)
{
	return (uint64_t)((double)cycles * 1e9 / (double)rte_get_tsc_hz());
}

void loop_was_long(struct worker_run *r, uint64_t spent_ns, unsigned n_frames)
{
	uint64_t preempted = n_preempted();
	const struct long_loop record = {
		.now_ns = r->turn_ns,
		.spent_ns = spent_ns,
		.step_ns = ns_of_cycles(r->turn.worst_cycles),
		.step = r->turn.worst_step,
		.port_idx = r->turn.worst_port,
		.n_frames = n_frames,
		.n_preempted = (uint32_t)(preempted - r->turn.n_preempted),
	};
	r->turn.n_preempted = preempted;
	lode_ring_push(r->long_loops, &record);
}

/* ---- the side that shows ---- */

static const char *step_name(
	const struct gateway *g, const struct long_loop *l, char *text, size_t size)
{
	if (l->step != LOOP_RX)
		return step_names[l->step];
	snprintf(text, size, "rx %s", port_name(g, l->port_idx));
	return text;
}

void loops_run(struct gateway *g)
{
	struct long_loop l;
	char step[LODE_NAME_MAX + 4];
	for (unsigned w = 0; w < g->config->n_workers; w++) {
		struct worker_run *r = &g->workers[w];
		while (lode_ring_pop(r->long_loops, &l)) {
			r->last_long[r->n_long++ % LONG_LOOPS_KEPT] = l;
			log_line(&g->log, LOG_GATEWAY, LODE_LOG_DEBUG,
				"worker %u: a loop of %lu us, %lu us of it in %s", w,
				(unsigned long)(l.spent_ns / LODE_NS_PER_US),
				(unsigned long)(l.step_ns / LODE_NS_PER_US),
				step_name(g, &l, step, sizeof(step)));
		}
	}
}

/* Upper edge of the bucket in which a fraction q of the turns lies. */
static uint64_t quantile_us(const struct worker_run *r, double q)
{
	uint64_t n = 0, seen = 0;
	for (unsigned i = 0; i < LOOP_BUCKETS; i++)
		n += lode_counter_read(&r->loop_us_log2[i]);
	for (unsigned i = 0; i < LOOP_BUCKETS && n; i++) {
		seen += lode_counter_read(&r->loop_us_log2[i]);
		if ((double)seen >= q * (double)n)
			return 1ull << i;
	}
	return 0;
}

static void put_loops(const struct gateway *g, unsigned worker, struct lode_json *j)
{
	const struct worker_run *r = &g->workers[worker];
	char key[24];
	snprintf(key, sizeof(key), "%u", worker);
	lode_json_object(j, key);
	lode_json_u64(j, "limit_us", atomic_load(&g->long_loop_us));
	lode_json_u64(j, "loops", lode_counter_read(&r->counters.loops));
	lode_json_u64(j, "long_loops", lode_counter_read(&r->counters.long_loops));
	lode_json_u64(j, "p50_us", quantile_us(r, 0.5));
	lode_json_u64(j, "p99_us", quantile_us(r, 0.99));
	lode_json_u64(j, "p999_us", quantile_us(r, 0.999));
	lode_json_u64(
		j, "longest_us", lode_counter_read(&r->counters.longest_loop_ns) / LODE_NS_PER_US);
	for (unsigned i = 0; i < LOOP_BUCKETS; i++) {
		uint64_t n = lode_counter_read(&r->loop_us_log2[i]);
		snprintf(key, sizeof(key), "below_%llu_us", 1ull << i);
		if (n)
			lode_json_u64(j, key, n);
	}
	lode_json_close_object(j);
}

int view_loops(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	int only = pick_worker(g, params, err);
	for (unsigned i = 0; i < g->config->n_workers && only >= -1; i++)
		if (only < 0 || (unsigned)only == i)
			put_loops(g, i, j);
	return only < -1 ? err->code : 0;
}

static void put_long(struct gateway *g, unsigned worker, unsigned number, const struct long_loop *l,
	struct lode_json *j)
{
	char key[24], when[40], step[LODE_NAME_MAX + 4];
	snprintf(key, sizeof(key), "%u/%u", worker, number);
	format_wall_time(l->now_ns, when, sizeof(when));
	lode_json_object(j, key);
	lode_json_string(j, "when", when);
	lode_json_u64(j, "us", l->spent_ns / LODE_NS_PER_US);
	lode_json_string(j, "step", step_name(g, l, step, sizeof(step)));
	lode_json_u64(j, "step_us", l->step_ns / LODE_NS_PER_US);
	lode_json_u64(j, "frames", l->n_frames);
	lode_json_u64(j, "preempted", l->n_preempted);
	lode_json_close_object(j);
}

int view_long_loops(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	int only = pick_worker(g, params, err);
	loops_run(g);
	for (unsigned w = 0; w < g->config->n_workers && only >= -1; w++) {
		const struct worker_run *r = &g->workers[w];
		unsigned kept = LODE_MIN(r->n_long, LONG_LOOPS_KEPT);
		if (only >= 0 && (unsigned)only != w)
			continue;
		for (unsigned i = 1; i <= kept; i++) /* newest first */
			put_long(g, w, r->n_long - i + 1,
				&r->last_long[(r->n_long - i) % LONG_LOOPS_KEPT], j);
	}
	return only < -1 ? err->code : 0;
}
