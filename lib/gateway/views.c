/* SPDX-License-Identifier: BSD-3-Clause */
/* What telemetry and lodectl show: one function per object. Lists are objects keyed by name; numbers are
 * integers with their unit in the key. Called with the lock held. */
#include "views.h"

#include "lode_path.h"
#include "lode_peer.h"

#include <inttypes.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STAGES_MAX 32

static void put_counters(struct lode_json *j, const struct lode_counter_desc *descs, unsigned n,
	const void *counters)
{
	const uint64_t *values = counters;
	for (unsigned i = 0; i < n; i++)
		lode_json_u64(j, descs[i].name, lode_counter_read(&values[i]));
}

static void put_mac(struct lode_json *j, const char *key, const uint8_t mac[6])
{
	char text[24];
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	lode_json_string(j, key, text);
}

int pick_worker(const struct gateway *g, const char *params, struct lode_err *err)
{
	char *end;
	if (!params[0])
		return -1;
	long i = strtol(params, &end, 10);
	if (*end || i < 0 || i >= g->config->n_workers)
		return lode_err_set(err, -ENOENT, "worker \"%.20s\": 0 to %d are running", params,
			       g->config->n_workers - 1) -
		       1;
	return (int)i;
}

/* ---- the objects ---- */

static int view_version(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	lode_json_string(j, "version", LODE_VERSION);
	lode_json_string(j, "dpdk", rte_version());
	lode_json_string(j, "aead", lode_aead_name(g->aead));
	lode_json_u64(j, "pid", (uint64_t)getpid());
	return 0;
}

struct totals {
	unsigned peers, established, paths, paths_up;
};

static void count_peers(const struct gateway *g, struct totals *t)
{
	struct lode_peer_status s;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_peer_status(g->control, i, now_ns(), &s))
			continue;
		t->peers++;
		t->established += s.established;
		for (unsigned k = 0; k < s.n_paths; k++) {
			t->paths++;
			t->paths_up += s.paths[k].state == LODE_PATH_UP;
		}
	}
}

static uint64_t busiest_permille(const struct gateway *g)
{
	uint64_t most = 0, alive = LODE_MAX(now_ns() - g->started_ns, 1ull);
	for (unsigned i = 0; i < g->config->n_workers; i++)
		most = LODE_MAX(most,
			lode_counter_read(&g->workers[i].counters.busy_ns) / (alive / 1000 + 1));
	return most;
}

static int view_status(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct totals t = {0};
	unsigned ports_up = 0;
	count_peers(g, &t);
	for (unsigned i = 0; i < g->config->n_ports; i++)
		ports_up += g->mirrors[i].up;
	lode_json_string(j, "name", g->config->name);
	lode_json_u64(j, "up_s", (now_ns() - g->started_ns) / LODE_NS_PER_S);
	lode_json_u64(j, "ports", g->config->n_ports);
	lode_json_u64(j, "ports_up", ports_up);
	lode_json_u64(j, "peers", t.peers);
	lode_json_u64(j, "peers_established", t.established);
	lode_json_u64(j, "paths", t.paths);
	lode_json_u64(j, "paths_up", t.paths_up);
	lode_json_u64(j, "workers", g->config->n_workers);
	lode_json_u64(j, "busiest_worker_permille", busiest_permille(g));
	lode_json_u64(j, "packets_in_use", rte_mempool_in_use_count(g->pool));
	lode_json_u64(j, "packets", g->pool->size);
	lode_json_u64(j, "snapshot", lode_control_serial(g->control));
	lode_json_bool(j, "hugepages", g->hugepages);
	put_counters(j, lode_control_counter_descs, lode_control_n_counters,
		lode_control_counters(g->control));
	put_counters(j, lode_peer_counter_descs, lode_peer_n_counters,
		lode_control_peer_counters(g->control));
	return 0;
}

static void put_port(struct gateway *g, unsigned i, struct lode_json *j)
{
	const struct lode_port *p = &g->ports[i];
	const struct lode_config_port *c = &g->config->ports[i];
	struct rte_eth_stats stats = {0};
	rte_eth_stats_get(p->ethdev, &stats);
	lode_json_object(j, c->name);
	lode_json_string(j, "role", c->role == LODE_PORT_LAN ? "lan" : "wan");
	lode_json_string(j, "link", g->mirrors[i].up ? "up" : "down");
	lode_json_u64(j, "mbps", lode_port_link(p).mbps);
	lode_json_string(j, "driver", p->driver);
	lode_json_string(j, "profile", g->profiles[i].name);
	lode_json_bool(j, "tested", g->profiles[i].tested);
	lode_json_string(j, "device", p->device);
	lode_json_string(j, "mirror", g->mirrors[i].tap.name);
	put_mac(j, "mac", p->mac);
	lode_json_u64(j, "mtu_bytes", p->mtu_bytes);
	lode_json_u64(j, "rx_queues", p->n_rx_queues);
	lode_json_u64(j, "tx_queues", p->n_tx_queues);
	lode_json_bool(j, "steered", p->steered);
	lode_json_u64(j, "rx_pkts", stats.ipackets);
	lode_json_u64(j, "rx_bytes", stats.ibytes);
	lode_json_u64(j, "rx_missed_pkts", stats.imissed);
	lode_json_u64(j, "rx_errors", stats.ierrors);
	lode_json_u64(j, "rx_no_mbuf", stats.rx_nombuf);
	lode_json_u64(j, "tx_pkts", stats.opackets);
	lode_json_u64(j, "tx_bytes", stats.obytes);
	lode_json_u64(j, "tx_errors", stats.oerrors);
	lode_json_string(j, "note", g->profiles[i].note);
	lode_json_close_object(j);
}

static int view_ports(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	for (unsigned i = 0; i < g->config->n_ports; i++)
		put_port(g, i, j);
	return 0;
}

static void put_worker(struct gateway *g, unsigned i, struct lode_json *j)
{
	static const char *const levels[] = {"normal", "high", "severe"};
	const struct worker_run *r = &g->workers[i];
	struct lode_load load = lode_worker_load(r->worker);
	char key[12];
	snprintf(key, sizeof(key), "%u", i);
	lode_json_object(j, key);
	lode_json_u64(j, "cpu", (uint64_t)r->cpu);
	lode_json_u64(j, "snapshot", lode_worker_serial(r->worker));
	lode_json_u64(j, "flows", lode_worker_n_flows(r->worker));
	lode_json_u64(j, "load_permille", load.permille);
	lode_json_string(j, "overload", levels[load.level]);
	put_counters(j, worker_run_counter_descs, n_worker_run_counters, &r->counters);
	put_counters(j, lode_worker_counter_descs, lode_worker_n_counters,
		lode_worker_counters(r->worker));
	lode_json_close_object(j);
}

static int view_workers(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	int only = pick_worker(g, params, err);
	for (unsigned i = 0; i < g->config->n_workers && only >= -1; i++)
		if (only < 0 || (unsigned)only == i)
			put_worker(g, i, j);
	return only < -1 ? err->code : 0;
}

static int view_flows(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	int only = pick_worker(g, params, err);
	for (unsigned i = 0; i < g->config->n_workers && only >= -1; i++) {
		const struct lode_worker_counters *c = lode_worker_counters(g->workers[i].worker);
		char key[12];
		if (only >= 0 && (unsigned)only != i)
			continue;
		snprintf(key, sizeof(key), "%u", i);
		lode_json_object(j, key);
		lode_json_u64(j, "flows", lode_worker_n_flows(g->workers[i].worker));
		lode_json_u64(j, "room", g->config->flows);
		lode_json_u64(j, "new", lode_counter_read(&c->flows_new));
		lode_json_u64(j, "expired", lode_counter_read(&c->flows_expired));
		lode_json_u64(j, "table_full_pkts", lode_counter_read(&c->flow_table_full));
		lode_json_close_object(j);
	}
	return only < -1 ? err->code : 0;
}

static void put_stages(const struct gateway *g, unsigned worker, unsigned peer,
	const char *peer_name, struct lode_json *j)
{
	const char *names[STAGES_MAX];
	const struct lode_stage_stats *stats[STAGES_MAX];
	const struct lode_lane *lane = lode_worker_lane(g->workers[worker].worker, peer);
	unsigned n = lane ? lode_lane_stages(lane, names, stats, STAGES_MAX) : 0;
	for (unsigned i = 0; i < n; i++) {
		char key[96];
		uint64_t in = lode_counter_read(&stats[i]->pkts_in);
		uint64_t sampled = lode_counter_read(&stats[i]->cycle_pkts);
		snprintf(key, sizeof(key), "%u/%s/%02u_%s", worker, peer_name, i, names[i]);
		lode_json_object(j, key);
		lode_json_u64(j, "bursts", lode_counter_read(&stats[i]->bursts));
		lode_json_u64(j, "pkts_in", in);
		lode_json_u64(j, "pkts_out", lode_counter_read(&stats[i]->pkts_out));
		lode_json_u64(j, "cycles_per_pkt",
			sampled ? lode_counter_read(&stats[i]->cycles) / sampled : 0);
		lode_json_close_object(j);
	}
}

static int view_stages(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_peer_status s;
	int only = pick_worker(g, params, err);
	for (unsigned w = 0; w < g->config->n_workers && only >= -1; w++)
		for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
			if ((only < 0 || (unsigned)only == w) &&
				!lode_control_peer_status(g->control, i, now_ns(), &s))
				put_stages(g, w, i, s.name, j);
	return only < -1 ? err->code : 0;
}

static int view_config(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	const struct lode_config *c = lode_control_config(g->control);
	lode_json_string(j, "file", g->options.config_path);
	lode_json_string(j, "name", c->name);
	lode_json_u64(j, "ports", c->n_ports);
	lode_json_u64(j, "peers", c->n_peers);
	lode_json_u64(j, "rules", c->n_rules);
	lode_json_u64(j, "workers", c->n_workers);
	lode_json_string(j, "idle", c->idle_mode == LODE_IDLE_RAMP ? "ramp" : "poll");
	lode_json_u64(j, "idle_max_sleep_us", c->idle_max_sleep_us);
	lode_json_string(j, "log_level", log_level_names[c->log_level]);
	lode_json_string(j, "state_dir", c->state_dir);
	lode_json_string(j, "control_socket", c->control_socket);
	return 0;
}

static int view_log(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	log_show(&g->log, j);
	return 0;
}

const struct view views[] = {
	{"version", "versions of gateway and DPDK. Takes no parameters", view_version},
	{"status", "the gateway on one screen. Takes no parameters", view_status},
	{"ports", "ports: link, queues, counters. Takes no parameters", view_ports},
	{"workers", "workers: load and counters. Parameters: int worker (optional)", view_workers},
	{"peers", "peers: sessions and handshakes. Parameters: string peer (optional)", view_peers},
	{"paths", "paths: state, RTT, loss, rates. Parameters: string peer (optional)", view_paths},
	{"lanes", "lanes: worker, use, rate granted. Parameters: string peer (optional)",
		view_lanes},
	{"flows", "flow tables. Parameters: int worker (optional)", view_flows},
	{"classes", "classes: queues, path choice. Parameters: string peer (optional)",
		view_classes},
	{"fec", "losses made good: means, redundancy, counts. Parameters: string peer (optional)",
		view_fec},
	{"selector", "what selectors learned, budgets. Parameters: string peer (optional)",
		view_selector},
	{"decisions", "the last path choices. Parameters: string peer (optional)", view_decisions},
	{"explain", "why a class uses its path. Parameters: string class, string peer (optional)",
		view_explain},
	{"stages", "packets and cycles per stage. Parameters: int worker (optional)", view_stages},
	{"drops", "dropped packets. Parameters: string worker, lane or loop (optional)", view_drops},
	{"counters", "what counters mean. Parameters: string table (optional)", view_counters},
	{"loops", "how long workers' loops take. Parameters: int worker (optional)", view_loops},
	{"long_loops", "the newest long loops. Parameters: int worker (optional)", view_long_loops},
	{"talkers", "heaviest conversations; the first call starts it. Takes no parameters",
		view_talkers},
	{"loss", "loss now and foreseen, per path. Parameters: string peer (optional)", view_loss},
	{"loss_score", "how good forecasts were in the last hour. Takes no parameters",
		view_loss_score},
	{"apps", "applications recognised, their classes and flows. Takes no parameters", view_apps},
	{"models", "models in use, by role. Takes no parameters", view_models},
	{"log", "log levels by module, lines left out. Takes no parameters", view_log},
	{"config", "what runs from which file. Takes no parameters", view_config},
};
const unsigned n_views = LODE_ARRAY_LEN(views);

const struct view *view_by_name(const char *name)
{
	for (unsigned i = 0; i < n_views; i++)
		if (!strcmp(views[i].name, name))
			return &views[i];
	return NULL;
}

long view_write(struct gateway *g, const struct view *v, const char *params, char *buf, size_t size,
	struct lode_err *err)
{
	struct lode_json j;
	lode_json_begin(&j, buf, size);
	lode_json_object(&j, NULL);
	pthread_mutex_lock(&g->lock);
	int rc = v->write(g, params, &j, err);
	pthread_mutex_unlock(&g->lock);
	lode_json_close_object(&j);
	if (rc)
		return rc;
	long len = lode_json_end(&j);
	return len < 0 ? lode_err_set(err, (int)len, "%s: too long; give a parameter", v->name)
		       : len;
}
