/* SPDX-License-Identifier: BSD-3-Clause */
/* The view of how losses are made good, per peer and class, over all lanes. */
#include "gateway.h"

#include <stdio.h>

/* Counts add up; what is in use now is the home lane's. */
static void add_lane(struct lode_repair_summary *to, const struct lode_repair_summary *from)
{
	to->tx_sources += from->tx_sources;
	to->tx_source_bytes += from->tx_source_bytes;
	to->tx_repairs += from->tx_repairs;
	to->tx_repair_bytes += from->tx_repair_bytes;
	to->tx_repairs_skipped += from->tx_repairs_skipped;
	to->tx_copies += from->tx_copies;
	to->tx_resent += from->tx_resent;
	to->tx_unknown += from->tx_unknown;
	to->rx_repairs += from->rx_repairs;
	to->rx_recovered += from->rx_recovered;
	to->rx_late += from->rx_late;
	to->rx_missing += from->rx_missing;
	to->rx_asked += from->rx_asked;
	to->decisions += from->decisions;
	to->expired += from->expired;
}

static void put_means(const struct lode_repair_summary *s, struct lode_json *j)
{
	char means[48] = "";
	if (s->nack)
		strcat(means, "nack");
	if (s->rate_q8)
		strcat(means, means[0] ? "+parity" : "parity");
	if (s->copies > 1)
		strcat(means, means[0] ? "+copies" : "copies");
	lode_json_string(j, "means", means[0] ? means : "none");
}

static uint64_t permille(uint64_t part, uint64_t whole)
{
	return whole ? part * 1000 / whole : 0;
}

static void put_repair(const char *peer, unsigned cls, enum lode_repair_mode mode,
	const struct lode_repair_summary *s, struct lode_json *j)
{
	static const char *const modes[] = {"off", "nack", "auto", "fixed"};
	char key[2 * LODE_NAME_MAX];
	unsigned copies = LODE_MAX(s->copies, 1);
	uint64_t extra = s->tx_repairs + s->tx_resent + s->tx_copies;
	snprintf(key, sizeof(key), "%s/%s", peer, lode_class_name((enum lode_class)cls));
	lode_json_object(j, key);
	lode_json_string(j, "mode", modes[mode]);
	put_means(s, j);
	lode_json_u64(
		j, "redundancy_percent", (s->rate_q8 * 100u + 128) / 256 + (copies - 1) * 100);
	lode_json_u64(j, "loss_ppm", s->loss_ppm);
	lode_json_u64(j, "span", s->rate_q8 ? s->span : 0);
	lode_json_u64(j, "tx_segments", s->tx_sources);
	lode_json_u64(j, "overhead_permille", permille(extra, s->tx_sources));
	lode_json_u64(j, "tx_repairs", s->tx_repairs);
	lode_json_u64(j, "skipped", s->tx_repairs_skipped);
	lode_json_u64(j, "copies", s->tx_copies);
	lode_json_u64(j, "resent", s->tx_resent);
	lode_json_u64(j, "unknown", s->tx_unknown);
	lode_json_u64(j, "rx_missing", s->rx_missing);
	lode_json_u64(j, "asked", s->rx_asked);
	lode_json_u64(j, "rx_repairs", s->rx_repairs);
	lode_json_u64(j, "recovered", s->rx_recovered);
	lode_json_u64(j, "late", s->rx_late);
	lode_json_u64(
		j, "wasted", s->rx_repairs > s->rx_recovered ? s->rx_repairs - s->rx_recovered : 0);
	lode_json_u64(j, "expired", s->expired);
	lode_json_close_object(j);
}

static void put_peer(struct gateway *g, unsigned peer_idx, const char *name, struct lode_json *j)
{
	struct lode_repair_summary all[LODE_N_CLASSES] = {0};
	bool first = true;
	for (unsigned lane = 0; lane < LODE_LANES_MAX; lane++) {
		struct lode_lane_summary sum;
		const struct lode_lane_summary *slot =
			atomic_load(&g->shared->summary[peer_idx][lane]);
		if (!slot || !lode_lane_summary_read(slot, &sum))
			continue;
		for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
			if (first)
				all[cls] = sum.classes[cls].repair;
			else
				add_lane(&all[cls], &sum.classes[cls].repair);
		}
		first = false;
	}
	const struct lode_config *config = lode_control_config(g->control);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		put_repair(name, cls, config->classes[cls].repair, &all[cls], j);
}

int view_fec(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	const struct lode_config *config = lode_control_config(g->control);
	struct lode_peer_status s;
	for (unsigned i = 0; i < LODE_PEERS_MAX; i++)
		if (!lode_control_peer_status(g->control, i, now_ns(), &s) &&
			(!params[0] || !strcmp(params, s.name)))
			put_peer(g, i, s.name, j);
	if (params[0] && lode_config_peer_by_name(config, params) < 0)
		return lode_err_set(err, -ENOENT, "no peer \"%.40s\"", params);
	return 0;
}
