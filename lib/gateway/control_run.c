/* SPDX-License-Identifier: BSD-3-Clause */
/* The control lcore: control's work under the lock, links of the ports, and whether everybody still moves. */
#include "gateway.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define LONGEST_WAIT_NS (5 * LODE_NS_PER_MS)
#define LINK_NS		(100 * LODE_NS_PER_MS)
#define STALL_NS	(500 * LODE_NS_PER_MS) /* of a worker before a line is written */

struct watch {
	uint64_t links_ns, watchdog_ns, watchdog_every_ns;
	bool stalled[LODE_WORKERS_MAX];
};

/* ---- control's services ---- */

static void give_random(void *ctx, void *buf, size_t len)
{
	uint8_t *at = buf;
	while (len) {
		ssize_t n = getrandom(at, len, 0);
		if (n < 0)
			continue; /* interrupted */
		at += n;
		len -= (size_t)n;
	}
}

static int save_counter(void *ctx, uint64_t counter)
{
	struct gateway *g = ctx;
	int rc = state_save_counter(g->config->state_dir, counter);
	if (rc)
		log_line(&g->log, LOG_CONTROL, LODE_LOG_ERROR,
			"handshake counter cannot be kept in %s: %s; no handshake is started",
			g->config->state_dir, strerror(-rc));
	return rc;
}

static void ask_resolver(void *ctx, const struct lode_resolve *want)
{
	lode_ring_push(((struct gateway *)ctx)->resolve, want);
}

static void log_control(void *ctx, enum lode_log_level level, const char *text)
{
	log_line(&((struct gateway *)ctx)->log, LOG_CONTROL, level, "%s", text);
}

static const char *aead_name(const struct lode_config *c)
{
	static const char *const names[] = {
		[LODE_AEAD_CHOICE_AUTO] = "auto",
		[LODE_AEAD_CHOICE_IPSEC_MB] = "ipsec-mb",
		[LODE_AEAD_CHOICE_OPENSSL] = "openssl",
	};
	return names[c->aead];
}

void publish_settings(struct gateway *g, const struct lode_config *config)
{
	atomic_store(&g->idle_mode, config->idle_mode);
	atomic_store(&g->idle_max_sleep_us, config->idle_max_sleep_us);
	atomic_store(&g->long_loop_us, config->long_loop_us);
	atomic_fetch_add(&g->config_serial, 1);
	log_configure(&g->log, config->log_level);
}

/* Peers refuse a handshake counter that is not above the last one they saw. An appliance whose state was lost
 * (reinstalled with the same key) would be locked out by those that cannot call it; the wall clock, at 1024
 * counters a second, is always ahead of what was used. A clock that is wrong does no harm: the file counts too. */
static uint64_t first_counter(uint64_t saved)
{
	return LODE_MAX(saved, (uint64_t)time(NULL) << 10);
}

/* For what happens by the calendar; the wall clock may be set while we run. */
static void tell_wall_clock(struct gateway *g)
{
	atomic_store_explicit(&g->shared->wall_offset_ns,
		(int64_t)(lode_clock_wall_ns() - now_ns()), memory_order_relaxed);
}

static int make_control(struct gateway *g, struct lode_err *err)
{
	struct lode_config *config;
	struct lode_prepared *prepared;
	struct lode_control_params params = {
		.shared = g->shared,
		.aead = g->aead,
		.n_workers = g->config->n_workers,
		.ctx = g,
		.random = give_random,
		.save_counter = save_counter,
		.resolve = ask_resolver,
		.log = log_control,
	};
	for (unsigned i = 0; i < params.n_workers; i++)
		params.rings[i] = lode_worker_rings(g->workers[i].worker);
	give_random(NULL, &params.seed, sizeof(params.seed));
	tell_wall_clock(g);
	char *state = selector_state_read(g);
	params.state = state;
	int rc = state_read_counter(g->config->state_dir, &params.counter, err);
	params.counter = first_counter(params.counter);
	if (!rc)
		rc = lode_config_read_key(g->config->key_file, params.private_key, err);
	if (!rc)
		rc = lode_config_load(g->options.config_path, &config, err);
	if (!rc)
		rc = lode_control_prepare(config, &prepared, err);
	if (!rc && !(g->control = lode_control_new(&params, prepared, now_ns(), err)))
		rc = err->code ? err->code : -ENOMEM;
	free(state);
	explicit_bzero(params.private_key, sizeof(params.private_key));
	if (!rc)
		publish_settings(g, lode_control_config(g->control));
	return rc;
}

int start_control(struct gateway *g, struct lode_err *err)
{
	g->aead = lode_aead_new(aead_name(g->config), err);
	if (!g->aead)
		return err->code;
	int rc = make_control(g, err);
	if (rc)
		lode_aead_free(g->aead);
	return rc;
}

void stop_control(struct gateway *g)
{
	lode_control_free(g->control);
	lode_aead_free(g->aead);
}

/* ---- the loop ---- */

static void check_links(struct gateway *g)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		if (!g->mirrors[i].device_ifindex)
			mirror_set_link(g, i, lode_port_link(&g->ports[i]).up);
}

static bool all_move(struct gateway *g, struct watch *w, uint64_t now)
{
	bool moving = true;
	for (unsigned i = 0; i < g->config->n_workers; i++) {
		uint64_t beat = atomic_load(&g->workers[i].heartbeat_ns);
		bool stalled = beat && now > beat + STALL_NS;
		if (stalled != w->stalled[i])
			log_line(&g->log, LOG_GATEWAY, stalled ? LODE_LOG_WARN : LODE_LOG_INFO,
				"worker %u on CPU %d %s", i, g->workers[i].cpu,
				stalled ? "has not moved for 500 ms: the CPU is taken by others?"
					: "moves again");
		w->stalled[i] = stalled;
		moving &= !stalled;
	}
	return moving;
}

/* Waiting for the slowest worker's serial is the grace period: a worker reads the snapshot once per loop. */
static uint64_t poll_control(struct gateway *g, uint64_t now)
{
	uint64_t serial = UINT64_MAX;
	for (unsigned i = 0; i < g->config->n_workers; i++)
		serial = LODE_MIN(serial, lode_worker_serial(g->workers[i].worker));
	pthread_mutex_lock(&g->lock);
	lode_control_reclaim(g->control, serial, now);
	uint64_t due = lode_control_poll(g->control, now);
	pthread_mutex_unlock(&g->lock);
	return due;
}

static void housekeeping(struct gateway *g, struct watch *w, uint64_t now)
{
	if (now < w->links_ns)
		return;
	w->links_ns = now + LINK_NS;
	check_links(g);
	tell_wall_clock(g);
	pthread_mutex_lock(&g->lock);
	drops_run(g, now);
	loops_run(g);
	pthread_mutex_unlock(&g->lock);
	if (all_move(g, w, now) && w->watchdog_every_ns && now >= w->watchdog_ns) {
		sd_notify(0, "WATCHDOG=1");
		w->watchdog_ns = now + w->watchdog_every_ns;
	}
}

void control_run(struct gateway *g)
{
	struct watch w = {0};
	uint64_t watchdog_us;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		w.watchdog_every_ns = watchdog_us * LODE_NS_PER_US / 3;
	prctl(PR_SET_TIMERSLACK, 1);
	while (!atomic_load_explicit(&g->stop, memory_order_relaxed)) {
		uint64_t now = now_ns();
		uint64_t due = LODE_MIN(poll_control(g, now), now + LONGEST_WAIT_NS);
		housekeeping(g, &w, now);
		now = now_ns();
		if (due > now)
			nanosleep(&(struct timespec){.tv_nsec = (long)(due - now)}, NULL);
	}
}
