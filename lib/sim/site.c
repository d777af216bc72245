/* SPDX-License-Identifier: BSD-3-Clause */
/* One gateway: what lcores, NICs and the kernel are to a real one. */
#include "sim.h"

#include "lode_noise.h"

#include <rte_errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define YAML_BYTES    (64 * 1024)
#define HANDOFF_SLOTS 1024

/* ---- configuration ---- */

struct text {
	char *buf;
	size_t len;
};

static void add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(t->buf + t->len, YAML_BYTES - t->len, fmt, args);
	va_end(args);
	t->len = LODE_MIN(t->len + (size_t)LODE_MAX(n, 0), (size_t)YAML_BYTES - 1);
}

static bool knows(const struct lode_sim *s, unsigned site, unsigned other)
{
	return site_reaches(s, site, other) && other != s->sites[site].dismissed;
}

int lode_sim_peer_idx(const struct lode_sim *s, unsigned site, unsigned other)
{
	if (!knows(s, site, other))
		return -ENOENT;
	int idx = 0;
	for (unsigned i = 0; i < other; i++)
		idx += knows(s, site, i);
	return idx;
}

static unsigned n_peers(const struct lode_sim *s, unsigned site)
{
	unsigned n = 0;
	for (unsigned i = 0; i < s->params.n_sites; i++)
		n += knows(s, site, i);
	return n;
}

static void add_peer(struct text *t, const struct site *site, const struct site *other)
{
	const struct lode_sim *s = other->sim;
	char key[48], ip[INET6_ADDRSTRLEN];
	unsigned n = other->idx + 1;
	lode_config_key_to_base64(other->public_key, key);
	add(t, "  - name: %s\n    public_key: \"%s\"\n", other->name, key);
	add(t, "    prefixes: [10.%u.0.0/16, \"2001:db8:%x::/48\", 10.255.0.%u/32]\n    links:\n",
		n, n, n);
	bool learns = s->params.topology == LODE_SIM_HUB_LEARNS && site->idx == 0;
	for (unsigned k = 0; k < s->params.n_wan_ports; k++) {
		struct lode_ip addr = wan_address(other->idx, k);
		add(t, "      - {name: net%u, port: wan%u", k, k);
		if (!learns)
			add(t, ", remote: \"%s:51900\"", lode_ip_format(&addr, ip));
		add(t, "}\n");
	}
}

static void add_ports(struct text *t, const struct site *site)
{
	const struct lode_sim_params *p = &site->sim->params;
	char ip[INET6_ADDRSTRLEN];
	unsigned n = site->idx + 1;
	add(t,
		"ports:\n  - {name: lan0, role: lan, device: lan0, addresses: [10.%u.0.1/16, "
		"\"2001:db8:%x::1/48\"]}\n",
		n, n);
	for (unsigned k = 0; k < p->n_wan_ports; k++) {
		struct lode_ip addr = wan_address(site->idx, k);
		add(t,
			"  - {name: wan%u, role: wan, device: wan%u, addresses: [%s/24], up_mbps: "
			"%g}\n",
			k, k, lode_ip_format(&addr, ip), p->up_kbps[k] / 1000.0);
	}
}

static struct lode_config *make_config(
	const struct site *site, const char *yaml, struct lode_err *err)
{
	const struct lode_sim *s = site->sim;
	struct text t = {.buf = malloc(YAML_BYTES)};
	struct lode_config *config = NULL;
	if (!t.buf) {
		lode_err_set(err, -ENOMEM, "no memory");
		return NULL;
	}
	add(&t, "version: 1\nname: %s\ncpu: {control: 0, workers: [", site->name);
	for (unsigned w = 0; w < site->n_workers; w++)
		add(&t, "%s%u", w ? ", " : "", w + 1);
	add(&t, "]}\nmemory: {flows: %u}\nhost: {addresses: [10.255.0.%u/24]}\n",
		s->params.n_flow_entries, site->idx + 1);
	add_ports(&t, site);
	add(&t, "peers:%s\n", n_peers(s, site->idx) ? "" : " []");
	for (unsigned i = 0; i < s->params.n_sites; i++)
		if (knows(s, site->idx, i))
			add_peer(&t, site, &s->sites[i]);
	if (s->params.topology != LODE_SIM_MESH && site->idx && knows(s, site->idx, 0))
		add(&t, "routes: {default: %s}\n", s->sites[0].name);
	add(&t, "%s", yaml ? yaml : "");
	lode_config_parse(site->name, t.buf, t.len, &config, err);
	free(t.buf);
	return config;
}

/* ---- what control asks of its surroundings ---- */

static void on_random(void *ctx, void *buf, size_t len)
{
	struct site *site = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&site->rng);
}

static int on_save_counter(void *ctx, uint64_t counter)
{
	struct site *site = ctx;
	site->saved_counter = counter;
	return 0;
}

void site_resolve(void *ctx, const struct lode_resolve *want)
{
	struct site *site = ctx;
	struct lode_neighbour n = {.ip = want->ip, .port_idx = want->port_idx};
	if (resolve_mac(site->sim, want, n.mac))
		lode_control_set_neighbour(site->control, &n);
}

static void on_log(void *ctx, enum lode_log_level level, const char *text)
{
	struct site *site = ctx;
	if (level == LODE_LOG_ERROR)
		site->sim->stats.log_errors++;
}

/* ---- life ---- */

static int make_handoff(struct site *site, struct lode_err *err)
{
	unsigned n = site->n_workers;
	for (unsigned from = 0; from < n; from++) {
		for (unsigned to = 0; to < n; to++) {
			char name[RTE_RING_NAMESIZE];
			if (from == to)
				continue;
			snprintf(name, sizeof(name), "%p.%u.%u.%u", (void *)site,
				site->generation & 1, from, to);
			site->handoff[from][to] = rte_ring_create(
				name, HANDOFF_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!site->handoff[from][to])
				return lode_err_set(err, -ENOMEM,
					"no memory for hand-off rings: %s",
					rte_strerror(rte_errno));
		}
	}
	return 0;
}

static int make_worker(struct site *site, unsigned idx, struct lode_err *err)
{
	const struct lode_sim_params *p = &site->sim->params;
	char name[32];
	snprintf(name, sizeof(name), "%p.%u", (void *)site, idx);
	site->places[idx] = (struct worker_place){site, idx};
	struct lode_worker_params params = {.name = name,
		.worker_idx = idx,
		.n_workers = site->n_workers,
		.socket_id = SOCKET_ID_ANY,
		.pool = site->sim->pool,
		.shared = site->shared,
		.n_flows = p->n_flow_entries,
		.flush = site_flush_tx,
		.ctx = &site->places[idx],
		.seed = lode_rng_u64(&site->rng)};
	for (unsigned i = 0; i < site->n_workers; i++) {
		params.handoff_to[i] = site->handoff[idx][i];
		params.handoff_from[i] = site->handoff[i][idx];
	}
	site->workers[idx] = lode_worker_new(&params, err);
	return site->workers[idx] ? 0 : -ENOMEM;
}

void site_announce_port(struct site *site, unsigned port_idx)
{
	uint8_t mac[6];
	uint16_t lan_mtu = site->sim->params.lan_mtu[site->idx];
	port_mac(site->idx, port_idx, mac);
	lode_control_set_port(site->control, port_idx, mac,
		port_idx == LAN_PORT && lan_mtu ? lan_mtu : LAN_MTU, !site->no_carrier[port_idx]);
}

static int make_control(struct site *site, struct lode_err *err)
{
	struct lode_prepared *prepared;
	struct lode_config *config = make_config(site, site->sim->params.yaml, err);
	if (!config || lode_control_prepare(config, &prepared, err))
		return -EINVAL;
	struct lode_control_params params = {.shared = site->shared,
		.aead = site->sim->aead,
		.seed = lode_rng_u64(&site->rng),
		.n_workers = site->n_workers,
		.rekey_ns = site->sim->params.rekey_ns,
		.ctx = site,
		.random = on_random,
		.save_counter = on_save_counter,
		.counter = site->saved_counter,
		.resolve = site_resolve,
		.log = on_log};
	memcpy(params.private_key, site->private_key, sizeof(params.private_key));
	for (unsigned i = 0; i < params.n_workers; i++)
		params.rings[i] = lode_worker_rings(site->workers[i]);
	site->control = lode_control_new(&params, prepared, site_now(site), err);
	if (!site->control)
		return -EINVAL;
	for (unsigned i = 0; i <= site->sim->params.n_wan_ports; i++)
		site_announce_port(site, i);
	return 0;
}

int site_start(struct site *site, struct lode_err *err)
{
	struct lode_sim *s = site->sim;
	site->shared = calloc(1, sizeof(*site->shared));
	if (!site->shared)
		return lode_err_set(err, -ENOMEM, "no memory");
	atomic_store(&site->shared->wall_offset_ns, -(int64_t)site->clock_ns);
	site->generation++;
	int rc = make_handoff(site, err);
	memset(&site->tally, 0, sizeof(site->tally));
	memset(&site->cost, 0, sizeof(site->cost));
	for (unsigned w = 0; w < site->n_workers && !rc; w++)
		rc = make_worker(site, w, err);
	rc = rc ? rc : make_control(site, err);
	if (rc)
		return rc;
	timeline_set(&s->timeline, due_control(site->idx), s->now_ns);
	return 0;
}

static void site_flush(struct site *site)
{
	for (unsigned w = 0; w < LODE_WORKERS_MAX; w++) {
		for (unsigned p = 0; p < LODE_ALL_PORTS; p++) {
			rte_pktmbuf_free_bulk(site->rx[w][p].pkts, site->rx[w][p].n);
			site->rx[w][p].n = 0;
		}
	}
}

void site_stop(struct site *site)
{
	struct lode_sim *s = site->sim;
	ledger_close(site);
	site_flush(site);
	timeline_set(&s->timeline, due_control(site->idx), LODE_NEVER_NS);
	for (unsigned w = 0; w < LODE_WORKERS_MAX; w++) {
		timeline_set(&s->timeline, due_worker(site->idx, w), LODE_NEVER_NS);
		lode_worker_free(site->workers[w]);
	}
	lode_control_free(site->control);
	for (unsigned from = 0; from < LODE_WORKERS_MAX; from++)
		for (unsigned to = 0; to < LODE_WORKERS_MAX; to++)
			rte_ring_free(site->handoff[from][to]);
	free(site->shared);
	memset(site->workers, 0, sizeof(site->workers));
	memset(site->handoff, 0, sizeof(site->handoff));
	site->control = NULL;
	site->shared = NULL;
}

int lode_sim_restart(struct lode_sim *s, unsigned site, struct lode_err *err)
{
	site_stop(&s->sites[site]);
	s->sites[site].upset_ns = s->now_ns;
	return site_start(&s->sites[site], err);
}

void lode_sim_dismiss(struct lode_sim *s, unsigned site, unsigned other)
{
	s->sites[site].dismissed = other;
}

int lode_sim_reconfigure(struct lode_sim *s, unsigned site, const char *yaml, struct lode_err *err)
{
	struct lode_prepared *prepared;
	struct lode_config *config = make_config(&s->sites[site], yaml, err);
	if (!config)
		return -EINVAL;
	s->sites[site].upset_ns = s->now_ns;
	int rc = lode_control_prepare(config, &prepared, err);
	return rc ? rc
		  : lode_control_apply(
			    s->sites[site].control, prepared, site_now(&s->sites[site]), err);
}
