/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of starting, and of stopping, in one table. */
#include "gateway.h"

#include <rte_version.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

struct step {
	int (*start)(struct gateway *g, struct lode_err *err);
	void (*stop)(struct gateway *g); /* may be NULL */
	enum lode_exit failure;
};

static int start_state(struct gateway *g, struct lode_err *err)
{
	int rc = state_make_dir(g->config->state_dir, err);
	if (!rc)
		rc = state_lock(g->config->state_dir, &g->state_lock, err);
	int n = rc ? rc : lode_guard_release_all(g->config->state_dir, err);
	if (n > 0)
		log_line(&g->log, LOG_KERNEL, LODE_LOG_INFO,
			"restored %d interfaces that a killed gateway had left", n);
	return LODE_MIN(n, 0);
}

static void stop_state(struct gateway *g)
{
	close(g->state_lock);
}

/* Stopping goes the other way round. The ports stop before the workers' packets are freed, and the pool is
 * counted last. */
static const struct step steps[] = {
	{start_state, stop_state, LODE_EXIT_ENVIRONMENT},
	{start_profiles, NULL, LODE_EXIT_DEVICE},
	{check_pool, NULL, LODE_EXIT_CONFIG},
	{start_eal, stop_eal, LODE_EXIT_ENVIRONMENT},
	{start_guards, stop_guards, LODE_EXIT_DEVICE},
	{start_pool, stop_pool, LODE_EXIT_ENVIRONMENT},
	{start_workers, stop_workers, LODE_EXIT_ENVIRONMENT},
	{start_drops, stop_drops, LODE_EXIT_ENVIRONMENT},
	{start_ports, stop_ports, LODE_EXIT_DEVICE},
	{start_mirrors, stop_mirrors, LODE_EXIT_ENVIRONMENT},
	{start_host_routes, stop_host_routes, LODE_EXIT_ENVIRONMENT},
	{start_models, stop_models, LODE_EXIT_ENVIRONMENT},
	{start_control, stop_control, LODE_EXIT_CONFIG},
	{start_loss, stop_loss, LODE_EXIT_OTHER},
	{start_port_views, NULL, LODE_EXIT_ENVIRONMENT},
	{NULL, stop_apps, LODE_EXIT_OTHER},
	{launch_workers, join_workers, LODE_EXIT_OTHER},
	{start_exception, stop_exception, LODE_EXIT_OTHER},
	{start_telemetry, stop_telemetry, LODE_EXIT_OTHER},
	{start_helper, stop_helper, LODE_EXIT_ENVIRONMENT},
};

static void stop_steps(struct gateway *g, size_t n)
{
	while (n-- > 0)
		if (steps[n].stop)
			steps[n].stop(g);
}

static int start_steps(struct gateway *g, struct lode_err *err)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(steps); i++) {
		int rc = steps[i].start ? steps[i].start(g, err) : 0;
		if (!rc)
			continue;
		g->exit_code = steps[i].failure;
		stop_steps(g, i);
		return rc;
	}
	return 0;
}

/* Signals go to the helper thread; every thread made from here on has them blocked. */
static void block_signals(void)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void say_hello(struct gateway *g)
{
	const struct lode_config *c = g->config;
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO,
		"lodestone-gateway " LODE_VERSION ", %s, \"%s\" from %s", rte_version(), c->name,
		g->options.config_path);
	char cpus[128] = "";
	for (unsigned i = 0, len = 0; i < c->n_workers && len < sizeof(cpus); i++)
		len += (unsigned)snprintf(
			cpus + len, sizeof(cpus) - len, "%s%d", i ? "," : "", c->worker_cpus[i]);
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "control on CPU %d, %u worker%s on CPU %s",
		c->control_cpu, c->n_workers, c->n_workers > 1 ? "s" : "", cpus);
}

static void say_ready(struct gateway *g)
{
	const struct lode_config *c = g->config;
	log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO,
		"ready in %lu ms: %u ports, %u peers, %u packets (%u per worker at most), AEAD %s, "
		"%s",
		(unsigned long)((now_ns() - g->started_ns) / LODE_NS_PER_MS), c->n_ports,
		c->n_peers, c->mbufs, lode_worker_quota_pkts(), lode_aead_name(g->aead),
		g->hugepages ? "hugepages" : "no hugepages");
	sd_notifyf(0, "READY=1\nSTATUS=%u ports, %u peers", c->n_ports, c->n_peers);
}

enum lode_exit lode_gateway_run(const struct lode_gateway_options *options)
{
	struct gateway *g = calloc(1, sizeof(*g));
	struct lode_err err = {0};
	if (!g)
		return LODE_EXIT_ENVIRONMENT;
	g->options = *options;
	g->started_ns = now_ns();
	log_init(&g->log);
	pthread_mutex_init(&g->lock, NULL);
	umask(0077);
	block_signals();
	if (lode_config_load(options->config_path, &g->config, &err)) {
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_ERROR, "%s", err.msg);
		free(g);
		return LODE_EXIT_CONFIG;
	}
	log_configure(&g->log, g->config->log_level);
	say_hello(g);
	if (start_steps(g, &err)) {
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_ERROR, "%s", err.msg);
		sd_notifyf(0, "STATUS=%s", err.msg);
	} else {
		say_ready(g);
		control_run(g);
		stop_steps(g, LODE_ARRAY_LEN(steps));
		log_line(&g->log, LOG_GATEWAY, LODE_LOG_INFO, "ended");
	}
	enum lode_exit code = g->exit_code;
	lode_config_free(g->config);
	free(g);
	return code;
}

enum lode_exit lode_gateway_restore(const char *config_path)
{
	struct lode_config *config;
	struct lode_err err;
	struct logger log;
	log_init(&log);
	if (lode_config_load(config_path, &config, &err)) {
		log_line(&log, LOG_GATEWAY, LODE_LOG_ERROR, "%s", err.msg);
		return LODE_EXIT_CONFIG;
	}
	int lock, rc = state_lock(config->state_dir, &lock, &err);
	int n = rc == -ENOENT ? 0 : rc ? rc : lode_guard_release_all(config->state_dir, &err);
	lode_config_free(config);
	if (n < 0) {
		log_line(&log, LOG_KERNEL, LODE_LOG_ERROR, "%s", err.msg);
		return LODE_EXIT_ENVIRONMENT;
	}
	if (n)
		log_line(&log, LOG_KERNEL, LODE_LOG_INFO, "restored %d interfaces", n);
	return LODE_EXIT_OK;
}
