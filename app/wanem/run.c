/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: frames in, what is due out, sleep until the next due time or the next frame. */
#include "wanem.h"

#include "lode_clock.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static void deliver(struct wanem *w, struct direction *d, struct iface *to,
	const struct lode_link_out *out, uint64_t now_ns)
{
	struct frame *f = (struct frame *)(uintptr_t)out->handle;
	if (out->fate != LODE_LINK_OK) {
		frame_put(w->pool, f);
		return;
	}
	if (out->copy && !(f = frame_copy(w->pool, f)))
		return;
	if (out->corrupt) {
		/* Bits of the IP packet, not of the Ethernet header: a wrong address is another fault. */
		uint32_t at = sizeof(struct virtio_net_hdr) + ETH_BYTES + out->corrupt_bit / 8;
		if (at < f->len)
			f->data[at] ^= (uint8_t)(1u << (out->corrupt_bit & 7));
	}
	lode_hist_add(d->late, now_ns - out->due_ns);
	iface_send(to, w->pool, f);
}

/* Everything due by now, all links. Returns when the next is due. */
static uint64_t deliver_due(struct wanem *w, uint64_t now_ns)
{
	uint64_t next_ns = LODE_NEVER_NS;
	struct lode_link_out out;
	for (unsigned i = 0; i < w->n_pairs; i++) {
		struct pair *p = &w->pairs[i];
		for (int d = 0; d < N_DIRECTIONS; d++) {
			while (lode_link_pop(p->dir[d].link, now_ns, &out))
				deliver(w, &p->dir[d], &p->side[!d], &out, now_ns);
			iface_flush(&p->side[!d], w->pool);
			next_ns = LODE_MIN(next_ns, lode_link_next_due_ns(p->dir[d].link));
		}
	}
	return next_ns;
}

static void receive(struct wanem *w, struct pair *p, int d)
{
	struct frame *frames[BURST_MAX];
	struct direction *dir = &p->dir[d];
	uint64_t now_ns = lode_clock_ns();
	unsigned n = iface_receive(&p->side[d], w->pool, now_ns, frames);
	for (unsigned i = 0; i < n; i++) {
		struct frame *f = frames[i];
		bool too_big = dir->config.mtu_bytes && f->max_bytes > dir->config.mtu_bytes;
		/* A GSO train that fits packet by packet must not be judged as one packet. */
		uint32_t bytes = too_big ? f->max_bytes : f->wire_bytes;
		if (lode_link_push(dir->link, f->rx_ns, bytes, (uintptr_t)f) != LODE_LINK_OK)
			frame_put(w->pool, f);
	}
}

/* Tags of epoll events: pair and side, or one of these. */
enum { TAG_CTL = 1000, TAG_SIGNAL };

static void handle(struct wanem *w, uint32_t tag)
{
	if (tag == TAG_CTL)
		ctl_serve(w);
	else if (tag == TAG_SIGNAL)
		w->quit = true;
	else
		receive(w, &w->pairs[tag / 2], (int)(tag & 1));
}

/* Sleeps until a frame comes or the due time is near, but never in the last spin_ns before it. */
static void wait_and_handle(struct wanem *w, uint64_t due_ns)
{
	struct epoll_event events[2 * LINKS_MAX + 2];
	struct timespec t = {0}, *timeout = &t;
	uint64_t now_ns = lode_clock_ns();
	if (due_ns == LODE_NEVER_NS) {
		timeout = NULL;
	} else if (due_ns > now_ns + w->spin_ns) {
		uint64_t wait_ns = due_ns - now_ns - w->spin_ns;
		t.tv_sec = (time_t)(wait_ns / LODE_NS_PER_S);
		t.tv_nsec = (long)(wait_ns % LODE_NS_PER_S);
	}
	int n = epoll_pwait2(w->epoll_fd, events, (int)LODE_ARRAY_LEN(events), timeout, NULL);
	for (int i = 0; i < n; i++)
		handle(w, events[i].data.u32);
}

static int watch(struct wanem *w, int fd, uint32_t tag)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = tag};
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static int open_pair(struct wanem *w, unsigned idx, struct lode_err *err)
{
	struct pair *p = &w->pairs[idx];
	for (int d = 0; d < N_DIRECTIONS; d++) {
		struct direction *dir = &p->dir[d];
		int rc = iface_open(&p->side[d], err);
		if (rc)
			return lode_err_prefix(err, "link %s", p->name);
		dir->link = lode_link_new(&dir->config, lode_mix64(w->seed + 2 * idx + (unsigned)d),
			w->start_ns, err);
		dir->late = calloc(1, sizeof(*dir->late));
		if (!dir->link || !dir->late)
			return lode_err_prefix(err, "link %s", p->name);
		rc = watch(w, p->side[d].fd, 2 * idx + (unsigned)d);
		if (rc)
			return lode_err_set(err, rc, "epoll: %s", strerror(-rc));
	}
	return 0;
}

static int open_all(struct wanem *w, struct lode_err *err)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	w->start_ns = lode_clock_ns();
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	w->pool = frame_pool_new();
	if (w->epoll_fd < 0 || w->signal_fd < 0 || !w->pool)
		return lode_err_set(err, -ENOMEM, "start: %s", strerror(errno));
	int rc = watch(w, w->signal_fd, TAG_SIGNAL);
	for (unsigned i = 0; i < w->n_pairs && rc == 0; i++)
		rc = open_pair(w, i, err);
	if (rc == 0 && w->ctl_path && (rc = ctl_listen(w, err)) == 0)
		rc = watch(w, w->ctl_fd, TAG_CTL);
	return rc;
}

static void close_all(struct wanem *w)
{
	uint64_t handle;
	for (unsigned i = 0; i < w->n_pairs; i++)
		for (int d = 0; d < N_DIRECTIONS; d++) {
			struct direction *dir = &w->pairs[i].dir[d];
			while (dir->link && lode_link_flush(dir->link, &handle))
				frame_put(w->pool, (struct frame *)(uintptr_t)handle);
			lode_link_free(dir->link);
			free((void *)dir->config.trace);
			free(dir->late);
			iface_close(&w->pairs[i].side[d]);
		}
	frame_pool_free(w->pool);
	if (w->ctl_fd >= 0) {
		close(w->ctl_fd);
		unlink(w->ctl_path);
	}
	close(w->signal_fd);
	close(w->epoll_fd);
}

/* Late wake-ups are what makes an emulator lie: no timer slack, no page faults, first in line. */
static void prefer_punctuality(const struct wanem *w)
{
	prctl(PR_SET_TIMERSLACK, 1);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	struct sched_param param = {.sched_priority = 10};
	if (w->realtime && sched_setscheduler(0, SCHED_FIFO, &param))
		fprintf(stderr, "lodestone-wanem: no real-time priority: %s\n", strerror(errno));
}

int wanem_run(struct wanem *w, struct lode_err *err)
{
	w->ctl_fd = w->signal_fd = w->epoll_fd = -1;
	for (unsigned i = 0; i < w->n_pairs; i++)
		w->pairs[i].side[0].fd = w->pairs[i].side[1].fd = -1;
	int rc = open_all(w, err);
	if (rc == 0) {
		prefer_punctuality(w);
		puts("ready");
		fflush(stdout);
	}
	while (rc == 0 && !w->quit)
		wait_and_handle(w, deliver_due(w, lode_clock_ns()));
	close_all(w);
	return rc;
}
