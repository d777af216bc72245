/* SPDX-License-Identifier: BSD-3-Clause */
/* What others may know of a lane: counters, stages, summary. */
#include "lane.h"

const struct lode_counter_desc lode_lane_counter_descs[] = {LODE_LANE_COUNTERS(LODE_COUNTER_DESC_)};
const unsigned lode_lane_n_counters = LODE_ARRAY_LEN(lode_lane_counter_descs);

uint32_t lode_lane_backlog_pkts(const struct lode_lane *l)
{
	uint32_t n = 0;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		n += l->queue[cls].pkts;
	return n;
}

uint16_t lode_lane_segment_bytes(const struct lode_lane *l)
{
	return l->segment_bytes;
}

const struct lode_lane_counters *lode_lane_counters(const struct lode_lane *l)
{
	return &l->counters;
}

unsigned lode_lane_stages(const struct lode_lane *l, const char *names[],
	const struct lode_stage_stats *stats[], unsigned n)
{
	unsigned all = LAN_TO_WAN_STAGES + WAN_TO_LAN_STAGES;
	for (unsigned i = 0; i < LODE_MIN(n, all); i++) {
		names[i] = i < LAN_TO_WAN_STAGES ? lan_to_wan[i].name
						 : wan_to_lan[i - LAN_TO_WAN_STAGES].name;
		stats[i] = &l->stages[i];
	}
	return LODE_MIN(n, all);
}

static void summarise_loss(
	const struct lode_loss *l, uint64_t now_ns, struct lode_path_summary *out)
{
	struct lode_loss_path_score score;
	const struct lode_loss_forecast *f = lode_loss_newest(l);
	if (now_ns < f->expires_ns) {
		out->foreseen_loss_ppm = f->loss_ppm;
		out->foreseen_any_ppm = f->any_ppm;
		out->foreseen_burst_centi = f->burst_centi;
		out->foreseen_by = f->source;
	}
	lode_loss_get_path_score(l, &score);
	out->model_losing = score.losing;
	out->loss_outcomes = score.outcomes;
	for (unsigned i = 0; score.outcomes && i < LODE_LOSS_SOURCES; i++)
		out->brier_ppm[i] = (uint32_t)(score.brier[i] * 1e6);
}

static void summarise_path(
	const struct lane_path *path, uint64_t now_ns, struct lode_path_summary *out)
{
	struct lode_path_stats s;
	out->remote = path->remote;
	out->remote_port = path->remote_port;
	out->remote_pn = path->remote_pn;
	out->remote_ns = path->remote_ns;
	if (path->est == NULL)
		return;
	lode_path_get_stats(path->est, &s);
	out->state = (uint8_t)s.state;
	out->last_rx_ns = s.last_rx_ns;
	out->srtt_us = (uint32_t)(s.srtt_ns / LODE_NS_PER_US);
	out->min_rtt_us = (uint32_t)(s.min_rtt_ns / LODE_NS_PER_US);
	out->jitter_us = (uint32_t)(s.jitter_ns / LODE_NS_PER_US);
	out->owd_us = (uint32_t)(s.tx.owd_queue_ns / LODE_NS_PER_US);
	out->loss_ppm = (uint32_t)(s.tx.loss * 1e6);
	out->n_suspects = s.n_suspects;
	out->n_downs = s.n_downs;
	out->probe_loss_ppm = (uint32_t)(s.probe_loss * 1e6);
	out->loss_burst_centi = (uint32_t)(s.tx.burst * 100);
	out->delivery_kbps = (uint32_t)(s.tx.bps / 1000);
	out->pacing_kbps = (uint32_t)LODE_MIN(s.pacing_bps / 1000, UINT32_MAX);
	out->rx_kbps = (uint32_t)(s.rx.bps / 1000);
	out->cwnd_bytes = (uint32_t)LODE_MIN(s.cwnd_bytes, UINT32_MAX);
	out->inflight_bytes = (uint32_t)LODE_MIN(s.inflight_bytes, UINT32_MAX);
	out->mtu_bytes = s.mtu_bytes;
	out->budget_bytes = lode_path_segment_bytes(path->est);
	out->tx_pkts = s.tx.pkts;
	out->tx_bytes = s.tx.bytes;
	out->rx_pkts = s.rx.pkts;
	out->rx_bytes = s.rx.bytes;
	out->told_pkts = s.tx.told_pkts;
	out->lost_pkts = s.tx.lost_pkts;
	out->lost_runs = s.tx.lost_runs;
	if (path->loss != NULL)
		summarise_loss(path->loss, now_ns, out);
}

void lode_lane_summarise(const struct lode_lane *l, uint64_t now_ns, struct lode_lane_summary *out)
{
	memset(out, 0, sizeof(*out));
	out->now_ns = now_ns;
	out->rx_generation = l->rx_generation;
	out->last_rx_ns = l->last_rx_ns;
	out->tx_packets = l->tx_packets;
	for (unsigned i = 0; i < LAN_TO_WAN_STAGES + WAN_TO_LAN_STAGES; i++)
		out->load_cycles += l->stages[i].cycles;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		summarise_path(&l->path[p], now_ns, &out->paths[p]);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		struct lode_class_summary *c = &out->classes[cls];
		c->queue_pkts = l->queue[cls].pkts;
		c->queue_bytes = l->queue[cls].bytes;
		c->wait_us = (uint32_t)(l->queue[cls].wait_ns / LODE_NS_PER_US);
		c->tx_segments = l->queue[cls].n_segments;
		c->rx_segments = l->window[cls].n_segments;
		c->duplicates = l->window[cls].n_duplicates;
		c->repair = l->repair->classes[cls].stats;
		memcpy(c->tx_path, l->class_paths[cls].n_sent, sizeof(c->tx_path));
	}
}
