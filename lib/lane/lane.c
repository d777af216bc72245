/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a lane: its memory, what a snapshot changes, and the entry points that run the stages. */
#include "fq.h"
#include "order.h"

#include <rte_common.h>

#define RUNS_MAX      4			    /* bursts sent per poll: others want their turn */
#define SWEEP_NS      (10 * LODE_NS_PER_MS) /* dropping what waited too long behind a busy path */
#define RENEW_NS      (10 * LODE_NS_PER_MS)
#define RENEW_REST_NS (100 * LODE_NS_PER_MS)
#define REST_AFTER_NS (300 * LODE_NS_PER_MS) /* without a segment either way */
#define STALL_NS      (5 * LODE_NS_PER_MS)   /* called so late, packets waited for us */

/* ---- memory ---- */

static size_t lane_bytes(void)
{
	return RTE_ALIGN_CEIL(sizeof(struct lode_lane), LODE_CACHE_LINE);
}

static size_t path_bytes(void)
{
	return RTE_ALIGN_CEIL(lode_path_bytes(), LODE_CACHE_LINE);
}

size_t lode_lane_bytes(void)
{
	return lane_bytes() + LODE_LINKS_MAX * path_bytes();
}

struct lode_lane *lode_lane_init(void *memory, const struct lode_lane_env *env, unsigned peer_idx,
	unsigned lane_id, uint64_t now_ns)
{
	struct lode_lane *l = memory;
	memset(l, 0, lode_lane_bytes());
	l->env = *env;
	l->peer_idx = (uint8_t)peer_idx;
	l->lane_id = (uint8_t)lane_id;
	l->bundle_item_bytes = BUNDLE_ITEM_BYTES;
	l->expire_due_ns = l->due_ns = l->loss_due_ns = LODE_NEVER_NS;
	l->repair = &env->pools->repair.none;
	uint32_t room_bytes = rte_pktmbuf_data_room_size(env->mbufs) - RTE_PKTMBUF_HEADROOM;
	l->buffer_bytes = (uint16_t)LODE_MIN(room_bytes - LODE_WIRE_TAG_BYTES, UINT16_MAX);
	lode_rng_seed(&l->rng, env->seed ^ (uint64_t)peer_idx << 8 ^ lane_id ^ now_ns << 16);
	l->tag = (uint32_t)lode_rng_u64(&l->rng) | 1;
	lanes_init(l);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		l->queue[cls].next_seq = (uint32_t)lode_rng_u64(&l->rng) & LODE_WIRE_SEQ_MASK;
	return l;
}

void lode_lane_flush(struct lode_lane *l)
{
	fq_flush(l, &l->counters.drop_flush);
	order_flush(l);
	repair_flush(l);
	l->view = NULL;
	lanes_set_view(l);
}

/* ---- snapshots ---- */

static void set_classes(struct lode_lane *l, const struct lode_config *config)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		const struct lode_config_class *c = &config->classes[cls];
		l->queue[cls].limit_ns = c->queue_limit_us * LODE_NS_PER_US;
		l->queue[cls].codel_target_ns = c->codel_target_us * LODE_NS_PER_US;
		l->queue[cls].outer_dscp = c->outer_dscp;
		l->window[cls].limit_ns = c->reorder_limit_us * LODE_NS_PER_US;
	}
	l->management.bps = (uint64_t)config->management_kbps * 1000;
	l->management.depth_bytes = (int64_t)LODE_MAX(l->management.bps / 8 / 50, 3000u);
}

/* The peer lost its memory, or path ids mean something else now: what is held goes, nothing is known. */
static void start_anew(struct lode_lane *l)
{
	order_release_all(l);
	repair_flush(l);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		l->window[cls].started = false;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		memset(&l->path[p], 0, sizeof(l->path[p]));
	memset(l->replay_generation, 0, sizeof(l->replay_generation));
	l->association = l->view->association;
	l->tag = (uint32_t)lode_rng_u64(&l->rng) | 1; /* flows forget their predecessors */
	l->tx_generation = 0;
	l->rx_generation = 0;
	l->late_valid = false;
}

static void set_epochs(struct lode_lane *l)
{
	const struct lode_peer_view *view = l->view;
	for (unsigned e = 0; e < LODE_EPOCHS; e++) {
		if (view->epochs[e].generation == l->replay_generation[e])
			continue;
		l->replay_generation[e] = view->epochs[e].generation;
		memset(l->replay[e], 0, sizeof(l->replay[e]));
	}
	const struct lode_epoch_view *tx = &view->epochs[view->tx_epoch];
	if (!tx->tx_valid || tx->generation == l->tx_generation)
		return;
	l->tx_generation = tx->generation;
	l->tx_packets = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		l->path[p].next_number = 0;
}

/* A remote address from the configuration is trusted; one that was learned must answer a challenge. */
static bool is_configured(const struct lode_lane *l, const struct lode_path_view *v)
{
	const struct lode_config_peer *peer = &l->snapshot->config->peers[l->peer_idx];
	for (unsigned i = 0; i < peer->n_links; i++) {
		if (strcmp(peer->links[i].name, v->name) == 0)
			return memcmp(&peer->links[i].remote.ip, &v->remote, sizeof(v->remote)) ==
			       0;
	}
	return false;
}

static void start_path(
	struct lode_lane *l, unsigned p, const struct lode_path_view *v, uint64_t now_ns)
{
	struct lode_path_params params = {
		.path_id = (uint8_t)p,
		.outer_v6 = !lode_ip_is_v4(&v->remote),
		.link_mtu_bytes = v->link_mtu_bytes,
		.configured_kbps = v->up_kbps,
		.remote_known = is_configured(l, v),
		.follower = l->lane_id != 0,
		.seed = lode_rng_u64(&l->rng),
		/* A peer's paths in step, so that one look serves all; peers not. */
		.probe_phase_ns = lode_mix64(l->env.seed + l->peer_idx),
	};
	uint8_t *memory = (uint8_t *)l + lane_bytes() + p * path_bytes();
	l->path[p].est = lode_path_init(memory, &params, now_ns);
	lanes_path_started(l, p);
	l->path[p].to = v->remote;
	l->path[p].to_port = v->remote_port[l->lane_id];
	l->path[p].link_mtu_bytes = v->link_mtu_bytes;
	l->path[p].up_kbps = v->up_kbps;
	loss_start(l, p, now_ns);
}

/* What a new snapshot may change on a path that runs. */
static void change_path(
	struct lode_lane *l, unsigned p, const struct lode_path_view *v, uint64_t now_ns)
{
	struct lane_path *path = &l->path[p];
	uint16_t to_port = v->remote_port[l->lane_id];
	if (path->to_port != to_port || memcmp(&path->to, &v->remote, sizeof(v->remote)) != 0) {
		path->to = v->remote;
		path->to_port = to_port;
		lode_path_moved(path->est, now_ns);
	}
	if (path->link_mtu_bytes != v->link_mtu_bytes || path->up_kbps != v->up_kbps) {
		path->link_mtu_bytes = v->link_mtu_bytes;
		path->up_kbps = v->up_kbps;
		lode_path_set_link(path->est, v->up_kbps, v->link_mtu_bytes, now_ns);
	}
}

static void set_path(struct lode_lane *l, unsigned p, uint64_t now_ns)
{
	static const uint8_t unresolved[6];
	const struct lode_path_view *v = &l->view->paths[p];
	struct lane_path *path = &l->path[p];
	bool addressed = v->valid && !lode_ip_is_none(&v->remote) && !lode_ip_is_none(&v->local) &&
			 v->remote_port[l->lane_id] != 0;
	l->sendable &= (uint8_t) ~(1u << p);
	if (!v->valid ||
		(addressed && path->est != NULL && path->outer_v6 != !lode_ip_is_v4(&v->remote)))
		path->est = NULL;
	if (!addressed)
		return;
	path->outer_v6 = !lode_ip_is_v4(&v->remote);
	if (path->est == NULL)
		start_path(l, p, v, now_ns);
	else
		change_path(l, p, v, now_ns);
	path->txq = &l->env.txqs[v->port_idx];
	if (memcmp(v->dst_mac, unresolved, sizeof(unresolved)) == 0)
		return;
	outer_build(&path->outer, v, l->env.worker_idx, l->lane_id);
	l->sendable |= (uint8_t)(1u << p);
}

void lode_lane_set_snapshot(
	struct lode_lane *l, const struct lode_snapshot *snapshot, uint64_t now_ns)
{
	l->snapshot = snapshot;
	l->view = snapshot->peers[l->peer_idx];
	l->view_due_ns = 0;
	l->renew_due_ns = 0;
	l->stirred = UINT8_MAX;
	set_classes(l, snapshot->config);
	if (l->view == NULL) {
		l->sendable = 0;
		l->up = l->suspect = 0;
		l->segment_bytes = 0;
		lanes_set_view(l);
		return;
	}
	if (l->view->association != l->association)
		start_anew(l);
	repair_set_snapshot(l);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		set_path(l, p, now_ns);
	set_epochs(l);
	lanes_set_view(l);
}

/* ---- packets ---- */

static void fill(struct lode_burst *b, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	b->now_ns = now_ns;
	b->n = n;
	b->gaps = 0;
	if (n > 0)
		memcpy(b->pkts, pkts, n * sizeof(pkts[0]));
}

void lode_lane_enqueue(struct lode_lane *l, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	struct lode_burst b;
	fill(&b, pkts, n, now_ns);
	stages_run(l, lan_to_wan, 1, l->stages, &b);
}

/* What was lost and could be computed takes the way of what arrived from where it is one segment. */
static void recover(struct lode_lane *l, uint64_t now_ns)
{
	struct lode_burst b = {.now_ns = now_ns};
	unsigned first = WAN_TO_LAN_STAGES - RECOVERED_STAGES;
	repair_solve(l, &b);
	if (b.n > 0)
		stages_run(l, wan_to_lan + first, RECOVERED_STAGES,
			l->stages + LAN_TO_WAN_STAGES + first, &b);
}

static void watch_stall(struct lode_lane *l, uint64_t now_ns)
{
	unsigned p;
	if (lode_likely(now_ns <= l->due_ns || now_ns - l->due_ns <= STALL_NS))
		return;
	LODE_FOREACH_BIT (p, l->sendable)
		lode_path_stalled(l->path[p].est, now_ns);
}

void lode_lane_wan_rx(struct lode_lane *l, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	struct lode_burst b;
	watch_stall(l, now_ns);
	fill(&b, pkts, n, now_ns);
	stages_run(l, wan_to_lan, WAN_TO_LAN_STAGES, l->stages + LAN_TO_WAN_STAGES, &b);
	if (lode_unlikely(l->env.pools->repair.arrived.n > 0))
		recover(l, now_ns);
	release_flush(l, now_ns);
}

bool release_ecn(struct lode_lane *l, struct rte_mbuf *m)
{
	if (!ecn_leave(m, lode_pkt(m)->outer_ecn)) {
		lane_drop(l, m, &l->counters.drop_rx_ce_not_ect);
		return false;
	}
	lode_counter_add(&l->counters.rx_ce, lode_pkt(m)->outer_ecn == ECN_CE);
	return true;
}

void release_flush(struct lode_lane *l, uint64_t now_ns)
{
	uint64_t bytes = 0;
	if (l->out.n == 0)
		return;
	for (unsigned i = 0; i < l->out.n; i++)
		bytes += l->out.pkts[i]->pkt_len;
	lode_counter_add(&l->counters.delivered_pkts, l->out.n);
	lode_counter_add(&l->counters.delivered_bytes, bytes);
	unsigned n = l->out.n;
	l->out.n = 0;
	l->env.deliver(l->env.ctx, l->peer_idx, l->out.pkts, n, now_ns);
}

void lode_lane_held(const struct lode_lane *l, struct lode_lane_held *out)
{
	out->queued_pkts = lode_lane_backlog_pkts(l);
	out->waiting_parts = order_waiting_parts(l);
	out->waiting_pkts = l->n_waiting - out->waiting_parts;
}

/* ---- poll ---- */

static bool can_send(const struct lode_lane *l)
{
	if (l->view == NULL)
		return false;
	const struct lode_epoch_view *epoch = &l->view->epochs[l->view->tx_epoch];
	return epoch->tx_valid && epoch->tx_key[l->lane_id] != NULL;
}

#define CLOSE_BYTES (LODE_WIRE_TLV_HEADER_BYTES + 1)
#define LAST_STAGES 2 /* seal, send */

void lode_lane_close(struct lode_lane *l, enum lode_wire_close reason, uint64_t now_ns)
{
	struct lode_burst b = {.now_ns = now_ns};
	unsigned p, first = LAN_TO_WAN_STAGES - LAST_STAGES;
	if (l->lane_id != 0 || !can_send(l))
		return;
	LODE_FOREACH_BIT (p, l->sendable) {
		struct lode_wire_writer w;
		struct rte_mbuf *m = lode_txq_room(l->path[p].txq) < LODE_LINKS_MAX
					     ? NULL
					     : paths_begin_control(l, p, CLOSE_BYTES, &w, now_ns);
		if (m == NULL)
			continue;
		lode_wire_put_close(&w, reason);
		paths_end_control(l, &b, m, &w);
	}
	if (b.n > 0)
		stages_run(l, lan_to_wan + first, LAST_STAGES, l->stages + first, &b);
}

static void send_bursts(struct lode_lane *l, uint64_t now_ns)
{
	l->unfinished = true;
	for (unsigned i = 0; i < RUNS_MAX && l->unfinished; i++) {
		struct lode_burst b; /* half a KiB: not cleared for each poll */
		fill(&b, NULL, 0, now_ns);
		stages_run(l, lan_to_wan + 1, LAN_TO_WAN_STAGES - 1, l->stages + 1, &b);
		l->unfinished = b.n > 0 && lode_lane_backlog_pkts(l) > 0;
	}
	unsigned p;
	if (lode_lane_backlog_pkts(l) == 0 && !l->others_wait) {
		LODE_FOREACH_BIT (p, l->sendable)
			lode_path_app_limited(l->path[p].est);
	}
}

static uint64_t n_carried(const struct lode_lane *l)
{
	return l->counters.tx_segments + l->counters.rx_segments + l->others_sent;
}

/* A lane that carries nothing but its own control is looked after less often, until the next packet comes. */
static bool wakes(const struct lode_lane *l)
{
	return l->resting && (lode_lane_backlog_pkts(l) > 0 || n_carried(l) != l->carried);
}

static void choose_rest(struct lode_lane *l, uint64_t now_ns)
{
	uint64_t carried = n_carried(l);
	if (carried != l->carried || lode_lane_backlog_pkts(l) > 0)
		l->carried_ns = now_ns;
	l->carried = carried;
	l->resting = now_ns - l->carried_ns >= REST_AFTER_NS;
	l->renew_due_ns = now_ns + (l->resting ? RENEW_REST_NS : RENEW_NS);
}

static void renew_rates(struct lode_lane *l)
{
	unsigned p;
	LODE_FOREACH_BIT (p, l->sendable) {
		struct lane_path *path = &l->path[p];
		struct lode_path_stats stats;
		lode_path_set_share(path->est,
			atomic_load_explicit(&l->env.shared->rate_share_kbps[l->peer_idx][p],
				memory_order_relaxed));
		lode_path_get_stats(path->est, &stats);
		lane_path_set_rate(path, stats.pacing_bps);
	}
}

/* What is decided about paths for some ms: rates, repair, what control is told. */
static void renew(struct lode_lane *l, uint64_t now_ns)
{
	choose_rest(l, now_ns);
	l->view_due_ns = 0;
	if (l->lane_id == 0) /* others go by their grants */
		renew_rates(l);
	repair_renew(l, now_ns);
	struct lode_lane_summary *slot = atomic_load_explicit(
		&l->env.shared->summary[l->peer_idx][l->lane_id], memory_order_acquire);
	if (slot != NULL) {
		struct lode_lane_summary summary;
		lode_lane_summarise(l, now_ns, &summary);
		lode_lane_summary_publish(slot, &summary);
	}
	if (l->path_event)
		atomic_fetch_add_explicit(&l->env.shared->path_events, 1, memory_order_release);
	l->path_event = false;
	loss_wake(l, now_ns);
}

uint64_t lode_lane_poll(struct lode_lane *l, uint64_t now_ns)
{
	watch_stall(l, now_ns);
	order_expire(l, now_ns);
	release_flush(l, now_ns);
	if (now_ns >= l->renew_due_ns || wakes(l))
		renew(l, now_ns);
	if (now_ns >= l->loss_due_ns)
		loss_poll(l, now_ns);
	uint64_t due_ns = LODE_MIN(l->expire_due_ns, lanes_poll(l, now_ns));
	if (can_send(l))
		send_bursts(l, now_ns);
	due_ns = LODE_MIN(due_ns, LODE_MIN(l->renew_due_ns, l->loss_due_ns));
	if (lode_lane_backlog_pkts(l) > 0) {
		if (now_ns >= l->sweep_due_ns) {
			fq_sweep(l, now_ns);
			l->sweep_due_ns = now_ns + SWEEP_NS;
		}
		due_ns = LODE_MIN(due_ns, l->sweep_due_ns);
	}
	if (can_send(l))
		due_ns = LODE_MIN(LODE_MIN(due_ns, l->repair->due_ns), paths_due_ns(l, now_ns));
	l->due_ns = due_ns;
	return l->due_ns;
}
