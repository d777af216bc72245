/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker does when it has nothing to do. First it spins a few turns, then it sleeps a little longer
 * each turn up to idle.max_sleep_us; then, where every port behind it can wake it, it blocks until a frame
 * comes or something is due (at once, when packets are rare). A timed sleep costs 24 us of CPU on a virtual machine, so blocking is what
 * makes an idle gateway idle. */
#include "gateway.h"

#include <rte_pause.h>
#include <rte_ring.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SPIN_TURNS	  8    /* empty turns before the first sleep */
#define FIRST_SLEEP_NS	  5000 /* doubles each turn */
#define SHORTEST_SLEEP_NS 2000
#define DENSE_NS	  (500 * LODE_NS_PER_US)
#define LONGEST_BLOCK_NS  (2 * LODE_NS_PER_MS) /* snapshots and control's datagrams do not wake us */

int idle_init(struct worker_run *r, struct lode_err *err)
{
	const struct gateway *g = r->g;
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0)
		return lode_err_set(err, -errno, "eventfd: %s", strerror(errno));
	r->may_block = true;
	r->n_wake = 0;
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		if (r->idx >= g->ports[i].n_rx_queues)
			continue;
		int fd = g->ports[i].wake_fds[r->idx];
		r->may_block &= fd >= 0;
		r->wake_ports[r->n_wake] = (uint8_t)i;
		r->wake[r->n_wake++] = (struct pollfd){fd, POLLIN, 0};
	}
	r->wake[r->n_wake++] = (struct pollfd){r->wake_fd, POLLIN, 0};
	return 0;
}

void idle_fini(struct worker_run *r)
{
	if (r->wake_fd > 0)
		close(r->wake_fd);
}

void idle_wake(struct worker_run *r)
{
	/* Pairs with the store in block: either it sees what we pushed or we see that it sleeps. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&r->asleep, memory_order_relaxed) &&
		atomic_exchange(&r->asleep, false))
		eventfd_write(r->wake_fd, 1);
}

static void sleep_for(uint64_t ns)
{
	nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

/* A socket of an interface that went down stays readable until its error is read. */
static bool clear_errors(struct worker_run *r)
{
	bool any = false;
	for (unsigned i = 0; i < r->n_wake; i++) {
		int error;
		socklen_t len = sizeof(error);
		if (!(r->wake[i].revents & (POLLERR | POLLHUP | POLLNVAL)))
			continue;
		getsockopt(r->wake[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
		any = true;
	}
	return any;
}

void idle_wake_others(struct worker_run *r)
{
	for (unsigned k = 0; k < r->g->config->n_workers; k++) {
		const struct rte_ring *ring = r->g->handoff[r->idx][k];
		if (ring && !rte_ring_empty(ring))
			idle_wake(&r->g->workers[k]);
	}
}

static bool is_handed_something(const struct worker_run *r)
{
	bool any = !lode_ring_is_empty(r->from_kernel);
	for (unsigned k = 0; k < r->g->config->n_workers; k++)
		any |= r->g->handoff[k][r->idx] && !rte_ring_empty(r->g->handoff[k][r->idx]);
	return any;
}

/* False: a frame may have come already. */
static bool arm_ports(struct worker_run *r)
{
	bool quiet = true;
	for (unsigned i = 0; i + 1 < r->n_wake; i++)
		quiet &= lode_port_arm(&r->g->ports[r->wake_ports[i]], r->idx);
	return quiet;
}

static void disarm_ports(struct worker_run *r)
{
	for (unsigned i = 0; i + 1 < r->n_wake; i++)
		lode_port_disarm(&r->g->ports[r->wake_ports[i]], r->idx);
}

/* Says that it sleeps, then looks at the rings once more: who pushes afterwards wakes us. */
static void block(struct worker_run *r, uint64_t ns, uint64_t longest_ns)
{
	atomic_store(&r->asleep, true);
	if (is_handed_something(r)) {
		atomic_store(&r->asleep, false);
		return;
	}
	bool quiet = arm_ports(r);
	int n = quiet ? ppoll(r->wake, r->n_wake, &(struct timespec){.tv_nsec = (long)ns}, NULL)
		      : 0;
	disarm_ports(r);
	atomic_store(&r->asleep, false);
	if (n <= 0)
		return;
	if (r->wake[r->n_wake - 1].revents) {
		eventfd_t woken;
		eventfd_read(r->wake_fd, &woken);
	}
	if (clear_errors(r))
		sleep_for(LODE_MIN(ns, longest_ns));
}

/* Traffic is dense when turns with packets follow each other closely: then short sleeps collect bursts.
 * Probes and the like are worth no ramp of sleeps each. */
static void note_busy(struct worker_run *r, uint64_t now)
{
	r->dense = now - r->busy_ns < DENSE_NS;
	r->busy_ns = now;
	r->idle_turns = 0;
}

bool idle_rest(struct worker_run *r, bool busy, uint64_t now, uint64_t due)
{
	if (busy)
		note_busy(r, now);
	else
		r->idle_turns++;
	if (busy || atomic_load_explicit(&r->g->idle_mode, memory_order_relaxed) == LODE_IDLE_POLL)
		return false;
	if (r->idle_turns <= SPIN_TURNS) {
		rte_pause();
		return false;
	}
	uint64_t longest = atomic_load_explicit(&r->g->idle_max_sleep_us, memory_order_relaxed) *
			   LODE_NS_PER_US;
	uint64_t left = due > now ? due - now : 0;
	unsigned doublings = LODE_MIN(r->idle_turns - SPIN_TURNS - 1, 20u);
	uint64_t sleep = (uint64_t)FIRST_SLEEP_NS << doublings;
	if (left < SHORTEST_SLEEP_NS)
		return false;
	if (r->may_block && (sleep > longest || !r->dense))
		block(r, LODE_MIN(left, LONGEST_BLOCK_NS), longest);
	else
		sleep_for(LODE_MIN(LODE_MIN(sleep, longest), left));
	return true;
}
