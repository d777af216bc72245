/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of repair: slots of the pools, and what is used when. */
#include "lane.h"

#include <rte_common.h>
#include <stdlib.h>

#define NOISE_MIN_PKTS 20		    /* fewer say nothing yet */
#define QUEUE_MIN_NS   (5 * LODE_NS_PER_MS) /* delay above the floor that counts as congestion */
#define RENEW_MIN_NS   (5 * LODE_NS_PER_MS)
#define HORIZON_NS     (250 * LODE_NS_PER_MS) /* a decision is worth nothing after */
#define SILENT_NS      (100 * LODE_NS_PER_MS) /* between decisions for a class that sends nothing */
#define FORGET_NS      (10.0 * (double)LODE_NS_PER_S)
#define PPS_OVER_NS    (50.0 * (double)LODE_NS_PER_MS)

/* ---- slots ---- */

static size_t tx_slot_bytes(void)
{
	return RTE_ALIGN_CEIL(sizeof(struct repair_tx), LODE_CACHE_LINE) +
	       lode_fec_encoder_bytes(SYMBOL_BYTES) + (size_t)SENT_SLOTS * SYMBOL_BYTES;
}

static size_t rx_slot_bytes(void)
{
	return RTE_ALIGN_CEIL(sizeof(struct repair_rx), LODE_CACHE_LINE) +
	       lode_fec_decoder_bytes(SYMBOL_BYTES) + (size_t)KEPT_SLOTS * SYMBOL_BYTES;
}

static size_t pools_bytes(const struct lode_lane_limits *limits)
{
	return sizeof(struct lode_fec_tables) +
	       limits->repair_slots * (tx_slot_bytes() + rx_slot_bytes()) +
	       limits->repair_lanes * sizeof(struct lane_repair);
}

int repair_pools_init(struct repair_pools *pools, const struct lode_lane_limits *limits)
{
	/* Ordinary memory: what is never used is never touched, and the worker touches it first. */
	uint8_t *at = aligned_alloc(
		LODE_CACHE_LINE, RTE_ALIGN_CEIL(pools_bytes(limits), LODE_CACHE_LINE));
	if (at == NULL)
		return -ENOMEM;
	memset(pools, 0, sizeof(*pools));
	pools->memory = at;
	pools->tables = (struct lode_fec_tables *)at;
	pools->none.due_ns = LODE_NEVER_NS;
	lode_fec_tables_init((struct lode_fec_tables *)at);
	at += sizeof(struct lode_fec_tables);
	for (uint32_t i = 0; i < limits->repair_slots; i++) {
		struct repair_tx *tx = (struct repair_tx *)at;
		at += tx_slot_bytes();
		tx->texts = at - (size_t)SENT_SLOTS * SYMBOL_BYTES;
		tx->next_free = pools->free_tx;
		pools->free_tx = tx;
		struct repair_rx *rx = (struct repair_rx *)at;
		at += rx_slot_bytes();
		rx->symbols = at - (size_t)KEPT_SLOTS * SYMBOL_BYTES;
		rx->next_free = pools->free_rx;
		pools->free_rx = rx;
	}
	for (uint32_t i = 0; i < limits->repair_lanes; i++) {
		struct lane_repair *lane = (struct lane_repair *)at;
		at += sizeof(*lane);
		lane->next_free = pools->free_lane;
		pools->free_lane = lane;
	}
	return 0;
}

void repair_pools_free(struct repair_pools *pools)
{
	free(pools->memory);
}

struct repair_tx *repair_take_tx(struct lode_lane *l)
{
	struct repair_pools *pools = &l->env.pools->repair;
	struct repair_tx *tx = pools->free_tx;
	if (tx == NULL)
		return NULL;
	pools->free_tx = tx->next_free;
	memset(tx->sent, 0, sizeof(tx->sent));
	uint8_t *memory = tx->texts - lode_fec_encoder_bytes(SYMBOL_BYTES);
	tx->encoder = lode_fec_encoder_init(memory, pools->tables, SYMBOL_BYTES);
	tx->flushed = true;
	return tx;
}

struct repair_rx *repair_take_rx(struct lode_lane *l)
{
	struct repair_pools *pools = &l->env.pools->repair;
	struct repair_rx *rx = pools->free_rx;
	if (rx == NULL)
		return NULL;
	pools->free_rx = rx->next_free;
	memset(rx->kept, 0, sizeof(rx->kept));
	uint8_t *memory = rx->symbols - lode_fec_decoder_bytes(SYMBOL_BYTES);
	rx->decoder = lode_fec_decoder_init(memory, pools->tables, SYMBOL_BYTES);
	rx->span_us = 0;
	return rx;
}

static void give_tx(struct lode_lane *l, unsigned cls)
{
	struct repair_tx *tx = l->repair->classes[cls].tx;
	if (tx == NULL)
		return;
	tx->next_free = l->env.pools->repair.free_tx;
	l->env.pools->repair.free_tx = tx;
	l->repair->classes[cls].tx = NULL;
}

static void give_rx(struct lode_lane *l, unsigned cls)
{
	struct repair_rx *rx = l->repair->classes[cls].rx;
	if (rx == NULL)
		return;
	rx->next_free = l->env.pools->repair.free_rx;
	l->env.pools->repair.free_rx = rx;
	l->repair->classes[cls].rx = NULL;
	l->repair->keeping &= (uint8_t) ~(1u << cls);
}

/* The lane gets a state of its own when its peer agrees, as long as there are any. */
static void take_lane(struct lode_lane *l)
{
	struct repair_pools *pools = &l->env.pools->repair;
	if (l->repair != &pools->none || pools->free_lane == NULL)
		return;
	l->repair = pools->free_lane;
	pools->free_lane = l->repair->next_free;
	memset(l->repair, 0, sizeof(*l->repair));
	l->repair->agreed = true;
	l->repair->due_ns = LODE_NEVER_NS;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		lode_repair_belief_init(&l->repair->noise[p].belief);
}

void repair_flush(struct lode_lane *l)
{
	struct repair_pools *pools = &l->env.pools->repair;
	if (l->repair == &pools->none)
		return;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		give_tx(l, cls);
		give_rx(l, cls);
	}
	l->repair->next_free = pools->free_lane;
	pools->free_lane = l->repair;
	l->repair = &pools->none;
}

/* ---- snapshots ---- */

static bool peer_agrees(const struct lode_peer_view *view)
{
	for (unsigned e = 0; view != NULL && e < LODE_EPOCHS; e++) {
		const struct lode_epoch_view *epoch = &view->epochs[e];
		if ((epoch->rx_valid || epoch->tx_valid) &&
			(epoch->features & LODE_WIRE_FEATURE_REPAIR))
			return true;
	}
	return false;
}

static enum lode_repair_scheme scheme_of(enum lode_repair_mode mode)
{
	switch (mode) {
	case LODE_REPAIR_NACK:
		return LODE_REPAIR_SCHEME_NACK;
	case LODE_REPAIR_AUTO:
		return LODE_REPAIR_SCHEME_AUTO;
	case LODE_REPAIR_FIXED:
		return LODE_REPAIR_SCHEME_FIXED;
	case LODE_REPAIR_OFF:
		break;
	}
	return LODE_REPAIR_SCHEME_NONE;
}

void repair_set_snapshot(struct lode_lane *l)
{
	if (peer_agrees(l->view))
		take_lane(l);
	else if (l->view != NULL)
		repair_flush(l);
	struct lane_repair *r = l->repair;
	if (!r->agreed)
		return;
	r->sending = r->asking = 0;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		const struct lode_config_class *config = &l->snapshot->config->classes[cls];
		struct class_repair *c = &r->classes[cls];
		c->mode = config->repair;
		c->deadline_ns = config->deadline_us * LODE_NS_PER_US;
		c->input.scheme = scheme_of(c->mode);
		c->input.n_sources = config->fec_sources;
		c->input.n_repairs = config->fec_repairs;
		c->input.deadline_ns = c->deadline_ns;
		c->input.residual = config->residual_ppm / 1e6;
		c->parity_share = config->parity_percent / 100.0;
		r->sending |= (uint8_t)((c->mode != LODE_REPAIR_OFF) << cls);
		r->asking |= (uint8_t)((c->mode == LODE_REPAIR_NACK || c->mode == LODE_REPAIR_AUTO)
				       << cls);
		if (c->mode == LODE_REPAIR_OFF) {
			give_tx(l, cls);
			memset(&c->cache, 0, sizeof(c->cache));
		}
	}
}

/* ---- what is known of the paths ---- */

/* Loss while the path's queue is short is noise; loss behind a growing queue is congestion, which parity
 * would make worse. */
static void renew_noise(struct path_noise *n, const struct lode_path_stats *s, uint64_t now_ns)
{
	uint64_t sent = s->tx.pkts - n->sent_pkts, lost = s->tx.lost_pkts - n->lost_pkts;
	uint64_t runs = s->tx.lost_runs - n->lost_runs, elapsed_ns = now_ns - n->told_ns;
	bool anew = s->tx.pkts < n->sent_pkts || s->tx.lost_pkts < n->lost_pkts;
	if (!anew && sent < NOISE_MIN_PKTS && lost == 0)
		return;
	n->sent_pkts = s->tx.pkts;
	n->lost_pkts = s->tx.lost_pkts;
	n->lost_runs = s->tx.lost_runs;
	n->told_ns = now_ns;
	if (anew) { /* another path by that number */
		n->lossy_ns = 0;
		n->rx_queue_max_ns = 0;
		lode_repair_belief_init(&n->belief);
		return;
	}
	if (lost > 0)
		n->lossy_ns = now_ns;
	if (s->tx.owd_queue_ns > QUEUE_MIN_NS + s->min_rtt_ns / 8)
		return;
	lode_repair_belief_observe(
		&n->belief, elapsed_ns, (uint32_t)sent, (uint32_t)lost, (double)runs);
}

/* What was lost lately, and what the predictor foresees for 50 to 100 ms from now that is not congestion. */
static void expect_loss(const struct lode_lane *l, unsigned p, double pps, uint64_t now_ns,
	struct lode_repair_path *out)
{
	const struct lode_loss *predictor = l->path[p].loss;
	const struct lode_loss_forecast *f = predictor ? lode_loss_newest(predictor) : NULL;
	lode_repair_path_believe(out, &l->repair->noise[p].belief);
	if (f == NULL || now_ns >= f->expires_ns || f->congested || f->any_ppm == 0)
		return;
	const struct lode_repair_foreseen foreseen = {.any = f->any_ppm / 1e6,
		.share = (double)f->loss_ppm / f->any_ppm,
		.burst = f->burst_centi / 100.0,
		.n_pkts = pps * (double)(LODE_LOSS_FAR_NS - LODE_LOSS_NEAR_NS) / 1e9};
	lode_repair_path_foresee(out, &foreseen);
}

/* The paths of a class, by what it sent over them; before it sent anything, all it may use alike. */
static void renew_paths_of(struct lode_lane *l, struct class_repair *c, unsigned cls,
	const double path_pps[LODE_LINKS_MAX],
	const struct lode_repair_path expected[LODE_LINKS_MAX])
{
	struct lode_repair_input *in = &c->input;
	uint8_t usable = l->class_paths[cls].usable, fastest = l->class_paths[cls].fastest;
	double all = 0;
	unsigned p;
	in->n_paths = 0;
	LODE_FOREACH_BIT (p, usable)
		all += c->pps[p];
	LODE_FOREACH_BIT (p, usable) {
		const struct path_noise *n = &l->repair->noise[p];
		c->lossy_ns = LODE_MAX(c->lossy_ns, n->lossy_ns);
		struct lode_repair_path *path = &in->paths[in->n_paths];
		c->input_link[in->n_paths++] = (uint8_t)p;
		*path = expected[p];
		path->slower_ns = l->path[p].delay_ns - l->path[fastest].delay_ns;
		double share = path_pps[p] > 0 ? c->pps[p] / path_pps[p] : 1;
		path->weight = all > 0 ? c->pps[p] / all : 1.0 / __builtin_popcount(usable);
		path->burst = 1 + LODE_MAX(path->burst - 1, 0.0) * LODE_MIN(share, 1.0);
	}
}

static bool is_queueing(const struct lode_lane *l, unsigned cls)
{
	return l->queue[cls].wait_ns > l->queue[cls].codel_target_ns;
}

/* The paths are as they were at the last renewal: only what changes from packet to packet is looked at. */
void repair_refresh(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct class_repair *c = &l->repair->classes[cls];
	if (c->input.queueing != is_queueing(l, cls) ||
		c->input.copies != l->class_paths[cls].wanted_copies) {
		repair_decide(l, cls, now_ns);
		return;
	}
	struct lode_repair_decision same = c->cache.decision;
	lode_repair_cache_put(&c->cache, &same, c->cache.ladder_q8, now_ns + HORIZON_NS);
}

void repair_decide(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	struct class_repair *c = &l->repair->classes[cls];
	struct lode_repair_decision d;
	double loss = 0;
	c->decided_ns = now_ns;
	c->input.queueing = is_queueing(l, cls);
	c->input.copies = l->class_paths[cls].wanted_copies;
	lode_repair_decide(&c->input, &d);
	for (unsigned i = 0; i < c->input.n_paths; i++)
		loss += c->input.paths[i].weight * lode_repair_path_loss(&c->input.paths[i]);
	uint16_t ladder = c->mode == LODE_REPAIR_AUTO ? lode_repair_ladder(loss) : d.rate_q8;
	bool shed = cls == LODE_BULK && l->env.load && l->env.load->level >= LODE_LOAD_SEVERE;
	if (lode_unlikely(shed && (d.rate_q8 | ladder))) {
		d.rate_q8 = ladder = 0;
		lode_counter_add(&l->counters.parity_shed, 1);
	}
	lode_repair_cache_put(&c->cache, &d, ladder, now_ns + HORIZON_NS);
	c->stats.nack = d.nack;
	c->stats.copies = d.copies;
	c->stats.span = d.span;
	c->stats.rate_q8 = d.rate_q8;
	c->stats.loss_ppm = (uint32_t)(loss * 1e6);
	c->stats.decisions = c->cache.n_decisions;
	c->stats.expired = c->cache.n_expired;
}

static void renew_budget(struct class_repair *c, uint64_t elapsed_ns)
{
	lode_repair_budget_observe(&c->budget, elapsed_ns,
		(uint32_t)(c->stats.tx_sources - c->n_sources),
		(uint32_t)(c->stats.tx_repairs - c->n_repairs), c->parity_share);
	c->n_sources = c->stats.tx_sources;
	c->n_repairs = c->stats.tx_repairs;
	c->input.price = lode_repair_budget_price(&c->budget);
}

static void renew_pps(struct class_repair *c, uint64_t elapsed_ns, double path_pps[LODE_LINKS_MAX])
{
	double weight = LODE_MIN((double)elapsed_ns / PPS_OVER_NS, 1.0);
	c->input.pps = 0;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		c->pps[p] += weight * (c->n_sent[p] * 1e9 / (double)elapsed_ns - c->pps[p]);
		c->n_sent[p] = 0;
		c->input.pps += c->pps[p];
		path_pps[p] += c->pps[p];
	}
}

static void give_back_idle(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	const struct class_repair *c = &l->repair->classes[cls];
	if (c->tx != NULL && now_ns - c->tx->used_ns > REPAIR_IDLE_NS)
		give_tx(l, cls);
	if (c->rx != NULL && now_ns - c->rx->used_ns > REPAIR_IDLE_NS)
		give_rx(l, cls);
}

/* What the paths lost, and how long an answer over the fastest one takes. */
static void look_at_paths(struct lode_lane *l, uint64_t elapsed_ns, uint64_t now_ns)
{
	struct lane_repair *r = l->repair;
	unsigned p;
	r->rtt_ns = r->late_ns = 0;
	LODE_FOREACH_BIT (p, l->sendable) {
		struct path_noise *n = &r->noise[p];
		struct lode_path_stats s;
		lode_path_get_stats(l->path[p].est, &s);
		renew_noise(n, &s, now_ns);
		n->rx_queue_max_ns *= 1 - LODE_MIN((double)elapsed_ns / FORGET_NS, 1.0);
		n->rx_queue_max_ns = LODE_MAX(n->rx_queue_max_ns, (double)s.rx.owd_queue_ns);
		bool usable = (l->up | l->suspect) & 1u << p;
		if (!usable || s.srtt_ns == 0 || (r->rtt_ns > 0 && s.srtt_ns >= r->rtt_ns))
			continue;
		r->rtt_ns = s.srtt_ns;
		r->late_ns = s.jitter_ns;
	}
	r->ask_us = (uint32_t)(LODE_REPAIR_ASK_NS(r->rtt_ns) / LODE_NS_PER_US);
}

static void decide_for(struct lode_lane *l, uint8_t classes, const double path_pps[LODE_LINKS_MAX],
	uint64_t now_ns)
{
	struct lode_repair_path expected[LODE_LINKS_MAX];
	uint8_t used = 0;
	unsigned p, cls;
	LODE_FOREACH_BIT (cls, classes)
		used |= l->class_paths[cls].usable;
	LODE_FOREACH_BIT (p, used)
		expect_loss(l, p, path_pps[p], now_ns, &expected[p]);
	LODE_FOREACH_BIT (cls, classes) {
		struct class_repair *c = &l->repair->classes[cls];
		renew_paths_of(l, c, cls, path_pps, expected);
		c->input.rtt_ns = l->repair->rtt_ns;
		c->input.late_ns = l->repair->late_ns;
		repair_decide(l, cls, now_ns);
	}
}

/* Nothing is decided for classes that send nothing, as long as nobody else does; a lane that wakes begins with
 * a decision for all. */
void repair_renew(struct lode_lane *l, uint64_t now_ns)
{
	struct lane_repair *r = l->repair;
	double path_pps[LODE_LINKS_MAX] = {0};
	uint64_t elapsed_ns = now_ns - r->renewed_ns;
	uint8_t due = 0;
	unsigned cls;
	if (!r->agreed || elapsed_ns < RENEW_MIN_NS)
		return;
	r->renewed_ns = now_ns;
	look_at_paths(l, elapsed_ns, now_ns);
	for (cls = 0; cls < LODE_N_CLASSES; cls++)
		renew_pps(&r->classes[cls], elapsed_ns, path_pps);
	LODE_FOREACH_BIT (cls, r->sending | r->keeping) {
		struct class_repair *c = &r->classes[cls];
		bool silent = c->stats.tx_sources == c->n_sources;
		bool old = !l->resting && now_ns - c->decided_ns >= SILENT_NS;
		due |= (uint8_t)((!silent || old) << cls);
		renew_budget(c, elapsed_ns);
		give_back_idle(l, cls, now_ns);
	}
	if (due != 0)
		decide_for(l, due, path_pps, now_ns);
}
