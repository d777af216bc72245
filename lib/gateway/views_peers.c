/* SPDX-License-Identifier: BSD-3-Clause */
/* The views of peers, their paths and classes. */
#include "views.h"

#include "lode_path.h"

#include <stdio.h>

static void put_endpoint(struct lode_json *j, const char *key, const struct lode_endpoint *e)
{
	char ip[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 10];
	lode_ip_format(&e->ip, ip);
	snprintf(text, sizeof(text), lode_ip_is_v4(&e->ip) ? "%s:%u" : "[%s]:%u", ip, e->port);
	lode_json_string(j, key, lode_ip_is_none(&e->ip) ? "" : text);
}

/* True when params names that peer, or none. */
static bool wanted_peer(const char *params, const char *name)
{
	return !params[0] || !strcmp(params, name);
}

int check_peer(const struct gateway *g, const char *params, struct lode_err *err)
{
	if (!params[0] || lode_config_peer_by_name(lode_control_config(g->control), params) >= 0)
		return 0;
	return lode_err_set(err, -ENOENT, "no peer \"%.40s\"", params);
}

int view_peers(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_peer_status s;
	uint64_t now = now_ns();
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_peer_status(g->control, i, now, &s) ||
			!wanted_peer(params, s.name))
			continue;
		lode_json_object(j, s.name);
		lode_json_string(j, "name", s.name); /* keys of telemetry cannot hold every name */
		lode_json_string(j, "session", s.established ? "established" : "none");
		lode_json_string(j, "role", s.initiator ? "initiator" : "responder");
		lode_json_u64(j, "session_age_s",
			s.established ? (now - s.established_ns) / LODE_NS_PER_S : 0);
		lode_json_u64(j, "handshakes", s.n_handshakes);
		lode_json_u64(j, "failed_handshakes", s.n_failed_handshakes);
		lode_json_u64(j, "paths", s.n_paths);
		lode_json_close_object(j);
	}
	return check_peer(g, params, err);
}

static void put_path(const struct gateway *g, const struct lode_peer_status *peer,
	const struct lode_path_status *p, uint64_t now, struct lode_json *j)
{
	char key[2 * LODE_NAME_MAX];
	snprintf(key, sizeof(key), "%s/%s", peer->name, p->name);
	lode_json_object(j, key);
	lode_json_string(j, "name", p->name);
	lode_json_string(j, "state", lode_path_state_name(p->state));
	lode_json_string(j, "port", g->config->ports[p->port_idx].name);
	lode_json_u64(j, "rtt_us", p->rtt_us);
	lode_json_u64(j, "rtt_min_us", p->rtt_min_us);
	lode_json_u64(j, "jitter_us", p->jitter_us);
	lode_json_u64(j, "owd_us", p->owd_us);
	lode_json_u64(j, "loss_ppm", p->loss_ppm);
	lode_json_u64(j, "probe_loss_ppm", p->probe_loss_ppm);
	lode_json_u64(j, "suspects", p->n_suspects);
	lode_json_u64(j, "downs", p->n_downs);
	lode_json_u64(j, "tx_kbps", p->tx_kbps);
	lode_json_u64(j, "rx_kbps", p->rx_kbps);
	lode_json_u64(j, "pacing_kbps", p->pacing_kbps);
	lode_json_u64(j, "share_kbps", p->share_kbps);
	lode_json_u64(j, "mtu_bytes", p->mtu_bytes);
	lode_json_u64(j, "tx_pkts", p->tx_pkts);
	lode_json_u64(j, "rx_pkts", p->rx_pkts);
	lode_json_u64(j, "tx_bytes", p->tx_bytes);
	lode_json_u64(j, "rx_bytes", p->rx_bytes);
	lode_json_u64(j, "lost_pkts", p->lost_pkts);
	lode_json_u64(j, "silent_ms",
		p->last_rx_ns && now > p->last_rx_ns ? (now - p->last_rx_ns) / LODE_NS_PER_MS : 0);
	put_endpoint(j, "local", &p->local);
	put_endpoint(j, "remote", &p->remote);
	lode_json_u64(j, "id", p->path);
	lode_json_close_object(j);
}

int view_paths(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_peer_status s;
	uint64_t now = now_ns();
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_peer_status(g->control, i, now, &s) ||
			!wanted_peer(params, s.name))
			continue;
		for (unsigned k = 0; k < s.n_paths; k++)
			put_path(g, &s, &s.paths[k], now, j);
	}
	return check_peer(g, params, err);
}

static void put_class(struct gateway *g, const struct lode_peer_status *s, unsigned cls,
	const struct lode_class_summary *c, struct lode_json *j)
{
	char key[2 * LODE_NAME_MAX];
	const union lode_choice choice = s->choice[cls];
	snprintf(key, sizeof(key), "%s/%s", s->name, lode_class_name((enum lode_class)cls));
	lode_json_object(j, key);
	lode_json_u64(j, "queue_pkts", c->queue_pkts);
	lode_json_u64(j, "queue_bytes", c->queue_bytes);
	lode_json_u64(j, "wait_us", c->wait_us);
	lode_json_u64(j, "tx_segments", c->tx_segments);
	lode_json_u64(j, "rx_segments", c->rx_segments);
	lode_json_u64(j, "duplicates", c->duplicates);
	lode_json_u64(j, "copies", choice.copies);
	snprintf(key, sizeof(key), "0x%02x", choice.allowed);
	lode_json_string(j, "allowed_paths", key);
	snprintf(key, sizeof(key), "0x%02x", choice.backup);
	lode_json_string(j, "backup_paths", key);
	lode_json_i64(
		j, "preferred_path", choice.preferred == LODE_NO_PATH ? -1 : choice.preferred);
	lode_json_close_object(j);
}

static void add_lane(struct lode_class_summary *sums, const struct lode_lane_summary *s)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		sums[cls].queue_pkts += s->classes[cls].queue_pkts;
		sums[cls].queue_bytes += s->classes[cls].queue_bytes;
		sums[cls].wait_us = LODE_MAX(sums[cls].wait_us, s->classes[cls].wait_us);
		sums[cls].tx_segments += s->classes[cls].tx_segments;
		sums[cls].rx_segments += s->classes[cls].rx_segments;
		sums[cls].duplicates += s->classes[cls].duplicates;
	}
}

int view_classes(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_peer_status s;
	struct lode_lane_summary sum;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++) {
		if (lode_control_peer_status(g->control, i, now_ns(), &s) ||
			!wanted_peer(params, s.name))
			continue;
		struct lode_class_summary sums[LODE_N_CLASSES] = {0};
		for (unsigned l = 0; l < s.n_lanes; l++) {
			const struct lode_lane_summary *slot =
				atomic_load(&g->shared->summary[i][l]);
			if (slot && lode_lane_summary_read(slot, &sum))
				add_lane(sums, &sum);
		}
		for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
			put_class(g, &s, cls, &sums[cls], j);
	}
	return check_peer(g, params, err);
}
