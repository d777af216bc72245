/* SPDX-License-Identifier: BSD-3-Clause */
/* The exception thread: frames between workers and the kernel's mirrors, and who has which MAC address. */
#include "gateway.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FRAMES_PER_TURN 64
#define LONGEST_WAIT_MS 5 /* requests for neighbours do not wake the thread */
#define VLAN_BYTES	4
#define MACS_BYTES	12

struct exception {
	struct gateway *g;
	struct kernel_frame *frame;
	struct pollfd fds[LODE_ALL_PORTS + 2];
	uint8_t ports[LODE_ALL_PORTS]; /* of the first n_taps descriptors */
	unsigned n_taps, n_fds;
};

/* ---- worker -> kernel ---- */

/* Mirrors know no VLAN: the tag of the port's frames is theirs. */
static void strip_vlan(struct kernel_frame *f)
{
	if (f->len < MACS_BYTES + VLAN_BYTES + 2 || lode_load_be16(f->data + MACS_BYTES) != 0x8100)
		return;
	memmove(f->data + MACS_BYTES, f->data + MACS_BYTES + VLAN_BYTES,
		(size_t)f->len - MACS_BYTES - VLAN_BYTES);
	f->len -= VLAN_BYTES;
}

static unsigned to_kernel(struct exception *x, struct worker_run *r)
{
	unsigned n = 0;
	for (; n < FRAMES_PER_TURN && lode_ring_pop(r->to_kernel, x->frame); n++) {
		unsigned i = x->frame->port_idx;
		if (i != LODE_HOST_PORT && x->g->config->ports[i].vlan)
			strip_vlan(x->frame);
		/* A mirror that is down, or a full queue, loses it like any interface. */
		ssize_t done = write(x->g->mirrors[i].tap.fd, x->frame->data, x->frame->len);
		(void)done;
	}
	return n;
}

/* ---- kernel -> worker ---- */

static bool add_vlan(struct exception *x, uint16_t vlan)
{
	struct kernel_frame *f = x->frame;
	if (f->len < MACS_BYTES || sizeof(*f) + f->len + VLAN_BYTES > x->g->frame_bytes)
		return false;
	memmove(f->data + MACS_BYTES + VLAN_BYTES, f->data + MACS_BYTES,
		(size_t)f->len - MACS_BYTES);
	lode_store_be16(f->data + MACS_BYTES, 0x8100);
	lode_store_be16(f->data + MACS_BYTES + 2, vlan);
	f->len += VLAN_BYTES;
	return true;
}

static void from_kernel(struct exception *x, unsigned port_idx)
{
	struct gateway *g = x->g;
	uint16_t vlan = port_idx == LODE_HOST_PORT ? 0 : g->config->ports[port_idx].vlan;
	unsigned n = 0;
	for (; n < FRAMES_PER_TURN; n++) {
		ssize_t len = read(g->mirrors[port_idx].tap.fd, x->frame->data,
			g->frame_bytes - sizeof(*x->frame));
		if (len <= 0)
			break;
		x->frame->len = (uint16_t)len;
		x->frame->port_idx = (uint8_t)port_idx;
		if (!vlan || add_vlan(x, vlan))
			lode_ring_push(g->workers[0].from_kernel, x->frame);
	}
	if (n)
		idle_wake(&g->workers[0]);
}

/* ---- neighbours ---- */

static void take_requests(struct gateway *g, struct lode_ring *ring, uint64_t now)
{
	struct lode_resolve want;
	for (unsigned n = 0; n < FRAMES_PER_TURN && lode_ring_pop(ring, &want); n++)
		if (want.port_idx < g->config->n_ports)
			lode_resolver_want(g->resolver, want.port_idx, &want.ip, false, now);
}

/* Next hops of the configuration are asked for before anybody needs them. */
static void want_gateways(struct gateway *g, uint64_t now)
{
	for (unsigned i = 0; i < g->config->n_ports; i++) {
		const struct lode_config_port *c = &g->config->ports[i];
		if (!lode_ip_is_none(&c->gateway4))
			lode_resolver_want(g->resolver, i, &c->gateway4, true, now);
		if (!lode_ip_is_none(&c->gateway6))
			lode_resolver_want(g->resolver, i, &c->gateway6, true, now);
	}
}

/* ---- the thread ---- */

/* Says that it sleeps, then looks once more: a worker that pushes afterwards sees that and wakes it. */
static int wait_for_work(struct exception *x, bool work_left, uint64_t now, uint64_t due)
{
	uint64_t ms = due <= now ? 0 : (due - now) / LODE_NS_PER_MS + 1;
	int timeout = work_left ? 0 : (int)LODE_MIN(ms, (uint64_t)LONGEST_WAIT_MS);
	if (timeout)
		atomic_store(&x->g->asleep, true);
	for (unsigned i = 0; timeout && i < x->g->config->n_workers; i++)
		if (to_kernel(x, &x->g->workers[i]))
			timeout = 0;
	int n = poll(x->fds, x->n_fds, timeout);
	atomic_store(&x->g->asleep, false);
	return n;
}

void exception_wake(struct gateway *g)
{
	/* Pairs with the store in wait_for_work: either it sees our frame or we see that it sleeps. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&g->asleep, memory_order_relaxed) &&
		atomic_exchange(&g->asleep, false))
		eventfd_write(g->wake_fd, 1);
}

static void set_descriptors(struct exception *x)
{
	struct gateway *g = x->g;
	for (unsigned i = 0; i < LODE_ALL_PORTS; i++) {
		if (g->mirrors[i].tap.fd < 0)
			continue;
		x->ports[x->n_taps] = (uint8_t)i;
		x->fds[x->n_taps++] = (struct pollfd){g->mirrors[i].tap.fd, POLLIN, 0};
	}
	x->fds[x->n_taps] = (struct pollfd){lode_netlink_fd(g->netlink), POLLIN, 0};
	x->fds[x->n_taps + 1] = (struct pollfd){g->wake_fd, POLLIN, 0};
	x->n_fds = x->n_taps + 2;
}

static void turn(struct exception *x)
{
	struct gateway *g = x->g;
	unsigned n = 0;
	uint64_t now = now_ns();
	for (unsigned i = 0; i < g->config->n_workers; i++) {
		n += to_kernel(x, &g->workers[i]);
		take_requests(g, lode_worker_rings(g->workers[i].worker)->resolve, now);
	}
	take_requests(g, g->resolve, now);
	host_routes_run(g);
	uint64_t due = lode_resolver_poll(g->resolver, now);
	if (wait_for_work(x, n > 0, now, due) <= 0)
		return;
	for (unsigned i = 0; i < x->n_taps; i++)
		if (x->fds[i].revents)
			from_kernel(x, x->ports[i]);
	if (x->fds[x->n_taps].revents)
		mirrors_run(g);
	if (x->fds[x->n_taps + 1].revents) {
		eventfd_t woken;
		eventfd_read(g->wake_fd, &woken);
	}
}

static void *exception_main(void *arg)
{
	struct gateway *g = arg;
	struct exception x = {.g = g, .frame = calloc(1, g->frame_bytes)};
	if (!x.frame) {
		log_line(&g->log, LOG_KERNEL, LODE_LOG_ERROR, "no memory for the exception thread");
		return NULL;
	}
	set_descriptors(&x);
	want_gateways(g, now_ns());
	while (!atomic_load(&g->stop))
		turn(&x);
	free(x.frame);
	return NULL;
}

int start_exception(struct gateway *g, struct lode_err *err)
{
	g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->wake_fd < 0)
		return lode_err_set(err, -errno, "eventfd: %s", strerror(errno));
	int rc = pthread_create(&g->exception_thread, NULL, exception_main, g);
	if (rc)
		return lode_err_set(err, -rc, "exception thread: %s", strerror(rc));
	pthread_setname_np(g->exception_thread, "lode-exception");
	return 0;
}

void stop_exception(struct gateway *g)
{
	atomic_store(&g->stop, true);
	pthread_join(g->exception_thread, NULL);
	close(g->wake_fd);
}
