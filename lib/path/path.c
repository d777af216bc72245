/* SPDX-License-Identifier: BSD-3-Clause */
/* A path as a whole: set-up, time, and what is known of it. Start reading here. */
#include "path.h"

size_t lode_path_bytes(void)
{
	return (sizeof(struct lode_path) + LODE_CACHE_LINE - 1) & ~(size_t)(LODE_CACHE_LINE - 1);
}

struct lode_path *lode_path_init(
	void *memory, const struct lode_path_params *params, uint64_t now_ns)
{
	struct lode_path *p = memory;
	memset(p, 0, sizeof(*p));
	p->params = *params;
	if (p->params.follower)
		p->params.cc = &follow_cc;
	if (!p->params.cc)
		p->params.cc = &lode_cc_classic;
	lode_rng_seed(&p->rng, params->seed);
	tx_init(p, now_ns);
	rx_init(p, now_ns);
	life_init(p, now_ns);
	pmtu_init(p, now_ns);
	return p;
}

void lode_path_moved(struct lode_path *p, uint64_t now_ns)
{
	life_moved(p, now_ns);
	pmtu_init(p, now_ns);
	p->tx.owd_floor.turn_ns = p->tx.rtt_floor.turn_ns = 0;
	p->tx.srtt_ns = 0;
	if (lode_path_usable(p->life.state))
		pmtu_path_up(p, now_ns);
}

void lode_path_set_link(
	struct lode_path *p, uint32_t configured_kbps, uint16_t link_mtu_bytes, uint64_t now_ns)
{
	bool mtu_changed = link_mtu_bytes != p->params.link_mtu_bytes;
	p->params.link_mtu_bytes = link_mtu_bytes;
	if (mtu_changed) {
		pmtu_init(p, now_ns);
		if (lode_path_usable(p->life.state))
			pmtu_path_up(p, now_ns);
	}
	if (configured_kbps == p->params.configured_kbps || p->params.follower)
		return;
	p->params.configured_kbps = configured_kbps;
	struct lode_cc_params cc = {
		.configured_bps = configured_kbps * 1000ull, .seed = p->params.seed};
	p->params.cc->init(p->cc_state, &cc, now_ns, &p->tx.decision);
	tx_apply_rate(p);
}

void lode_path_set_share(struct lode_path *p, uint32_t kbps)
{
	if (p->tx.share_kbps == kbps)
		return;
	p->tx.share_kbps = kbps;
	tx_apply_rate(p);
}

void lode_path_poll(struct lode_path *p, uint64_t now_ns)
{
	rx_poll(p, now_ns);
	tx_poll(p, now_ns);
	life_poll(p, now_ns);
	pmtu_poll(p, now_ns);
}

uint64_t lode_path_next_due_ns(const struct lode_path *p)
{
	uint64_t due = LODE_MIN(tx_next_due_ns(p), life_next_due_ns(p));
	due = LODE_MIN(due, p->pmtu_ack.pending ? 0 : life_control_due_ns(p));
	due = LODE_MIN(due, p->params.follower ? follow_next_due_ns(p) : rx_feedback_due_ns(p));
	return LODE_MIN(due, p->pmtu.due_ns);
}

enum lode_path_state lode_path_state(const struct lode_path *p)
{
	return p->params.follower ? follow_state(p) : p->life.state;
}

uint64_t lode_path_srtt_ns(const struct lode_path *p)
{
	return p->tx.srtt_ns;
}

uint64_t lode_path_delay_ns(const struct lode_path *p)
{
	if (p->params.follower)
		return p->follow.grant.delay_100us * 100 * LODE_NS_PER_US;
	uint64_t floor = floor_valid(&p->tx.rtt_floor) ? (uint64_t)floor_get(&p->tx.rtt_floor) : 0;
	return floor / 2 + p->tx.queue_ns;
}

/* Of probes towards the peer: what is lost of round trips, less what is lost on the way back. */
static double probe_loss(const struct lode_path *p)
{
	double back = LODE_MIN(p->rx.loss.value, 0.99);
	return LODE_MAX(0.0, 1 - (1 - p->life.probe_loss.slow) / (1 - back));
}

void lode_path_get_stats(const struct lode_path *p, struct lode_path_stats *out)
{
	const struct tx *t = &p->tx;
	*out = (struct lode_path_stats){.state = lode_path_state(p),
		.controller = p->params.cc->name,
		.phase = p->params.cc->phase(p->cc_state),
		.srtt_ns = t->srtt_ns,
		.min_rtt_ns = floor_valid(&t->rtt_floor) ? (uint64_t)floor_get(&t->rtt_floor) : 0,
		.jitter_ns = t->rttvar_ns,
		.pacing_bps = (uint64_t)(t->bytes_per_ns * 8e9),
		.cwnd_bytes = t->decision.cwnd_bytes,
		.inflight_bytes = tx_inflight(p),
		.last_rx_ns = p->life.last_rx_ns,
		.last_proof_ns = p->life.last_proof_ns,
		.mtu_bytes = p->pmtu.mtu,
		.probe_loss = probe_loss(p),
		.n_probes = p->life.n_probes,
		.n_replies = p->life.n_replies,
		.n_timeouts = t->n_timeouts,
		.n_suspects = p->life.n_suspects,
		.n_downs = p->life.n_downs,
		.backoff_ms = (uint32_t)(p->life.backoff_ns / LODE_NS_PER_MS)};
	if (p->params.follower) /* what it is told */
		out->srtt_ns = out->min_rtt_ns = 2 * lode_path_delay_ns(p);
	tx_dir_stats(p, &out->tx);
	rx_dir_stats(p, &out->rx);
}
