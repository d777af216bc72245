/* SPDX-License-Identifier: BSD-3-Clause */
/* How a worker rests, over a pipe in place of a port. */
#include <criterion/criterion.h>

#include "gateway.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
	struct gateway g;
	struct lode_config config;
	int pipe[2];
};

/* A worker with one port that can wake it. */
static struct worker_run *start(struct bench *b)
{
	struct worker_run *r = &b->g.workers[0];
	struct lode_err err;
	cr_assert_eq(pipe(b->pipe), 0);
	b->config.n_workers = b->config.n_ports = 1;
	b->g.config = &b->config;
	b->g.ports[0].n_rx_queues = 1;
	b->g.ports[0].wake_fds[0] = b->pipe[0];
	atomic_store(&b->g.idle_mode, LODE_IDLE_RAMP);
	atomic_store(&b->g.idle_max_sleep_us, 200);
	r->g = &b->g;
	r->from_kernel = lode_ring_new(4, sizeof(uint64_t));
	cr_assert_eq(idle_init(r, &err), 0, "%s", err.msg);
	cr_assert(r->may_block);
	return r;
}

static void finish(struct bench *b, struct worker_run *r)
{
	idle_fini(r);
	lode_ring_free(r->from_kernel);
	close(b->pipe[0]);
	close(b->pipe[1]);
	free(b);
}

/* Empty turns until one sleeps. */
static unsigned turns_to_sleep(struct worker_run *r, uint64_t due)
{
	unsigned n = 1;
	while (!idle_rest(r, false, now_ns(), due) && n < 1000)
		n++;
	return n;
}

Test(idle, spins_a_little_before_it_sleeps)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker_run *r = start(b);
	idle_rest(r, true, now_ns(), LODE_NEVER_NS);
	unsigned n = turns_to_sleep(r, LODE_NEVER_NS);
	cr_assert(n > 1 && n < 50, "%u turns", n);
	finish(b, r);
}

Test(idle, never_sleeps_when_polling_or_when_something_is_due)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker_run *r = start(b);
	cr_assert_eq(turns_to_sleep(r, 0), 1000, "slept with work due");
	atomic_store(&b->g.idle_mode, LODE_IDLE_POLL);
	cr_assert_eq(turns_to_sleep(r, LODE_NEVER_NS), 1000, "slept in poll mode");
	finish(b, r);
}

Test(idle, rare_packets_block_at_once_dense_ones_ramp)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker_run *r = start(b);
	idle_rest(r, true, LODE_NS_PER_S, LODE_NEVER_NS);
	cr_assert(!r->dense);
	idle_rest(r, true, LODE_NS_PER_S + 100 * LODE_NS_PER_US, LODE_NEVER_NS);
	cr_assert(r->dense);
	idle_rest(r, true, LODE_NS_PER_S + 100 * LODE_NS_PER_MS, LODE_NEVER_NS);
	cr_assert(!r->dense);
	finish(b, r);
}

Test(idle, a_worker_with_a_port_that_cannot_wake_it_only_sleeps)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker_run *r = start(b);
	idle_fini(r);
	b->g.ports[0].wake_fds[0] = -1;
	cr_assert_eq(idle_init(r, NULL), 0);
	cr_assert(!r->may_block);
	turns_to_sleep(r, LODE_NEVER_NS);
	cr_assert(!atomic_load(&r->asleep));
	finish(b, r);
}

static void *push_forever(void *arg)
{
	struct worker_run *r = arg;
	for (uint64_t i = 0; i < 2000;)
		if (lode_ring_push(r->from_kernel, &i)) {
			i++;
			idle_wake(r);
		}
	return NULL;
}

/* Every record is seen although the worker may block: a lost wake-up would cost 2 ms each time. */
Test(idle, what_is_pushed_wakes_a_blocked_worker, .timeout = 60)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct worker_run *r = start(b);
	pthread_t thread;
	uint64_t got, expected = 0;
	pthread_create(&thread, NULL, push_forever, r);
	while (expected < 2000) {
		bool busy = false;
		while (lode_ring_pop(r->from_kernel, &got)) {
			cr_assert_eq(got, expected);
			expected++;
			busy = true;
		}
		idle_rest(r, busy, now_ns(), LODE_NEVER_NS);
	}
	pthread_join(thread, NULL);
	finish(b, r);
}
