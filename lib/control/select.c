/* SPDX-License-Identifier: BSD-3-Clause */
/* What the selectors hear. Promises come from probes (round trip, jitter, loss on the way to the peer) and
 * from the controller (rate); every 50 ms the fate of the traffic itself is held against them: a class
 * learns with full weight from paths that carried its own segments, with less from what others met there.
 * A path that loses so much more than the others that it would spoil what is striped over them is poor, and
 * set aside at once. */
#include "control.h"

#include <math.h>
#include <stdlib.h>

#define WINDOW_NS	 (50 * LODE_NS_PER_MS)
#define WINDOW_PKTS	 20 /* fewer say nothing about a loss rate, and may be control messages alone */
#define OWN_WEIGHT	 0.5
#define OTHERS_WEIGHT	 0.125
#define AVAILABILITY_NS	 (300.0 * (double)LODE_NS_PER_S)
#define RATE_NS		 (3.0 * (double)LODE_NS_PER_S)
#define POOR_ENTER	 0.10 /* of packets, and so many times what the best path loses */
#define POOR_LEAVE	 0.05
#define POOR_TIMES	 3
#define POOR_WINDOWS	 10 /* in a row; or at once, when so many of so few packets are lost, */
#define POOR_GROSS	 0.25
#define POOR_GROSS_PKTS	 48
#define POOR_GROSS_RUNS	 4     /* not by a short outage, */
#define POOR_QUEUE_US	 15000 /* nor in a buffer that is full */
#define LAGGARD_LOSS_PPM 20000
#define LAGGARD_BACK	 0.7 /* of the limit */
#define POOR_HOLD_S	 2   /* twice as long each time, at most */
#define POOR_HOLD_MAX_S	 160

static const struct lode_config_link *config_link(
	const struct lode_control *c, unsigned peer_idx, const char *name)
{
	const struct lode_config_peer *peer = &c->prepared->config->peers[peer_idx];
	for (unsigned i = 0; i < peer->n_links; i++)
		if (!strcmp(peer->links[i].name, name))
			return &peer->links[i];
	return NULL;
}

/* ---- life ---- */

static struct lode_selector_params params_of(const struct lode_control *c, unsigned peer_idx)
{
	const struct lode_config *config = c->prepared->config;
	struct lode_selector_params p = lode_selector_defaults;
	p.kind = (enum lode_selector_kind)config->selector.algorithm;
	p.seed = config->selector.seed ? config->selector.seed + peer_idx
				       : c->params.seed + peer_idx;
	p.margin = config->selector.margin;
	p.ripe_ns = config->selector.return_us * LODE_NS_PER_US;
	/* With a second copy under way a real-time class may try a path too. */
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		if (config->classes[cls].copies > 1)
			p.explore |= (uint8_t)(1u << cls);
	return p;
}

void selector_free(struct lode_control *c, unsigned peer_idx)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	if (!slot->selector)
		return;
	remember_take(c, peer_idx);
	free(slot->selector);
	slot->selector = NULL;
	memset(slot->selector_link, 0, sizeof(slot->selector_link));
}

static int selector_make(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	const struct lode_selector_params params = params_of(c, peer_idx);
	void *memory = malloc(lode_selector_bytes(params.kind));
	if (!memory)
		return -ENOMEM;
	selector_free(c, peer_idx);
	slot->selector = lode_selector_init(memory, &params, now_ns);
	slot->selector_params = params;
	return 0;
}

int selector_sync(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	const struct lode_selector_params *a = &slot->selector_params, b = params_of(c, peer_idx);
	const char *name = c->prepared->config->peers[peer_idx].name;
	bool same = slot->selector && a->kind == b.kind && a->seed == b.seed &&
		    a->margin == b.margin && a->ripe_ns == b.ripe_ns && a->explore == b.explore;
	if (same && !strcmp(slot->name, name))
		return 0;
	int rc = selector_make(c, peer_idx, now_ns);
	memcpy(slot->name, name, sizeof(slot->name));
	return rc;
}

/* A path id that stands for another link now: what was learned follows the link's name. */
static void follow_names(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lode_path_view *v = &slot->view->paths[p];
		if (!v->valid || !strcmp(v->name, slot->selector_link[p]))
			continue;
		if (slot->selector_link[p][0] && selector_make(c, peer_idx, now_ns))
			return; /* no memory: as it was, tried again */
		memcpy(slot->selector_link[p], v->name, sizeof(v->name));
		remember_give(c, peer_idx, p, now_ns);
	}
}

/* ---- estimates ---- */

static double path_cost(const struct lode_control *c, unsigned peer_idx, unsigned path)
{
	const struct lode_path_view *v = &c->peers[peer_idx].view->paths[path];
	const struct lode_config_link *link = config_link(c, peer_idx, v->name);
	return (link ? link->cost : 1) + quota_price(c, v->port_idx);
}

static uint8_t estimate(const struct lode_control *c, unsigned peer_idx, uint64_t now_ns,
	struct lode_selector_path out[LODE_SELECTOR_PATHS])
{
	const struct peer_slot *slot = &c->peers[peer_idx];
	uint8_t known = 0;
	memset(out, 0, LODE_SELECTOR_PATHS * sizeof(*out));
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lode_path_summary *s = &slot->summary.paths[p];
		if (!slot->view->paths[p].valid || s->srtt_us == 0)
			continue;
		known |= (uint8_t)(1u << p);
		out[p] = (struct lode_selector_path){.rtt_ms = s->srtt_us / 1e3,
			.jitter_ms = s->jitter_us / 1e3,
			.loss = s->probe_loss_ppm / 1e6,
			.mbps = slot->health[p].mbps.value,
			.availability = slot->health[p].availability,
			.cost = path_cost(c, peer_idx, p),
			.updated_ns = now_ns};
	}
	return known;
}

/* ---- fate ---- */

/* Segments of the class over the path since the last window. */
static uint32_t class_sent(struct peer_slot *slot, unsigned path, unsigned cls)
{
	uint32_t *before = &slot->health[path].sent_segments[cls];
	uint32_t now = slot->summary.classes[cls].tx_path[path], n = now - *before;
	*before = now;
	return n;
}

static void learn(struct peer_slot *slot, unsigned path, const struct lode_selector_fate *fate,
	const uint32_t sent[LODE_N_CLASSES], uint64_t now_ns)
{
	struct lode_selector_choice choice;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		lode_selector_describe(slot->selector, (enum lode_class)cls, path, now_ns, &choice);
		lode_selector_observe(slot->selector, &choice,
			lode_selector_reward(slot->selector, (enum lode_class)cls, fate),
			sent[cls] ? OWN_WEIGHT : OTHERS_WEIGHT);
	}
}

/* What was told since the last time; none if the path began anew meanwhile. */
static struct told news(const struct lode_path_summary *s, struct told *before)
{
	struct told now = {s->told_pkts, s->lost_pkts, s->lost_runs}, n = {0};
	if (now.pkts >= before->pkts && now.lost_pkts >= before->lost_pkts)
		n = (struct told){now.pkts - before->pkts, now.lost_pkts - before->lost_pkts,
			now.lost_runs - before->lost_runs};
	*before = now;
	return n;
}

/* Average loss of traffic; < 0: too little was told in the newest window. */
static double look_at_fate(struct peer_slot *slot, unsigned path, uint64_t now_ns)
{
	struct path_health *h = &slot->health[path];
	const struct lode_path_summary *s = &slot->summary.paths[path];
	uint32_t sent[LODE_N_CLASSES]; /* of the home lane: further ones tell none apart */
	struct told n = news(s, &h->fate);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		sent[cls] = class_sent(slot, path, cls);
	if (n.pkts < WINDOW_PKTS)
		return -1;
	const struct lode_selector_fate fate = {.rtt_ms = s->srtt_us / 1e3,
		.jitter_ms = s->jitter_us / 1e3,
		.loss = (double)n.lost_pkts / (double)n.pkts,
		.mbps = h->mbps.value};
	if (h->state == LODE_PATH_UP)
		learn(slot, path, &fate, sent, now_ns);
	return s->loss_ppm / 1e6;
}

/* ---- paths that spoil the others ---- */

/* What the path delivers later than the receiver of the class waits for it, next to the fastest one; a loss
 * that is asked for again takes a round trip more. */
uint8_t selector_laggards(
	const struct lode_control *c, unsigned peer_idx, unsigned cls, uint8_t was)
{
	const struct peer_slot *slot = &c->peers[peer_idx];
	double limit_ms = c->prepared->config->classes[cls].reorder_limit_us / 1e3;
	double least_ms = INFINITY;
	uint8_t late = 0;
	if (cls != LODE_STREAMING && cls != LODE_BULK)
		return 0; /* their flows stay on one path */
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (slot->health[p].healthy_ns)
			least_ms = LODE_MIN(least_ms, slot->summary.paths[p].srtt_us / 1e3);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lode_path_summary *s = &slot->summary.paths[p];
		double rtt_ms = s->srtt_us / 1e3;
		double lag_ms = (rtt_ms - least_ms) / 2 + 2 * s->jitter_us / 1e3;
		if (s->probe_loss_ppm > LAGGARD_LOSS_PPM)
			lag_ms += rtt_ms;
		if (slot->health[p].healthy_ns &&
			lag_ms > limit_ms * (was & 1u << p ? LAGGARD_BACK : 1))
			late |= (uint8_t)(1u << p);
	}
	return late;
}

static void set_aside(struct lode_control *c, struct path_health *h, uint64_t now_ns)
{
	if (!h->poor) {
		h->poor_hold_s =
			LODE_MIN(LODE_MAX(2 * h->poor_hold_s, POOR_HOLD_S), POOR_HOLD_MAX_S);
		lode_counter_add(&c->counters.poor_paths, 1);
	}
	h->poor = true;
	h->poor_until_ns = now_ns + h->poor_hold_s * LODE_NS_PER_S;
}

static bool is_bad(double loss, double least)
{
	return loss > LODE_MAX(POOR_ENTER, POOR_TIMES * least);
}

static void judge_poor(
	struct lode_control *c, struct path_health *h, bool told, double least, uint64_t now_ns)
{
	if (is_bad(h->loss, least))
		h->poor_windows++;
	else if (told) /* a window without traffic takes nothing back */
		h->poor_windows = 0;
	if (h->poor && !h->healthy_ns) /* while it comes and goes probes see outages, not loss */
		h->poor_until_ns = LODE_MAX(h->poor_until_ns, now_ns + POOR_HOLD_S * LODE_NS_PER_S);
	if (h->poor_windows >= POOR_WINDOWS && is_bad(h->loss, least))
		set_aside(c, h, now_ns);
	else if (h->poor && h->loss < POOR_LEAVE && now_ns >= h->poor_until_ns)
		h->poor = false;
	else if (!h->poor && now_ns >= h->poor_until_ns + POOR_HOLD_MAX_S * LODE_NS_PER_S)
		h->poor_hold_s = 0;
}

static double least_loss(const struct peer_slot *slot)
{
	double least = 1;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (slot->health[p].healthy_ns)
			least = LODE_MIN(least, slot->health[p].loss);
	return least;
}

static void look_at_traffic(struct lode_control *c, struct peer_slot *slot, uint64_t now_ns)
{
	bool told[LODE_LINKS_MAX] = {false};
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		if (!slot->view->paths[p].valid)
			continue;
		double seen = look_at_fate(slot, p, now_ns);
		told[p] = seen >= 0;
		slot->health[p].loss = LODE_MAX(seen, slot->summary.paths[p].probe_loss_ppm / 1e6);
	}
	double least = least_loss(slot);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
		if (slot->view->paths[p].valid)
			judge_poor(c, &slot->health[p], told[p], least, now_ns);
}

/* A path that suddenly loses much takes the window of every inner TCP with it: some ten ms count. */
static void look_for_onset(struct lode_control *c, struct peer_slot *slot, uint64_t now_ns)
{
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		struct path_health *h = &slot->health[p];
		const struct lode_path_summary *s = &slot->summary.paths[p];
		if (s->told_pkts - h->onset.pkts < POOR_GROSS_PKTS)
			continue;
		struct told n = news(s, &h->onset);
		double loss = (double)n.lost_pkts / (double)LODE_MAX(n.pkts, 1u);
		if (loss > POOR_GROSS && n.lost_runs >= POOR_GROSS_RUNS &&
			s->owd_us < POOR_QUEUE_US && is_bad(loss, least_loss(slot)))
			set_aside(c, h, now_ns);
	}
}

static void update_averages(struct peer_slot *slot)
{
	double elapsed_ns = (double)slot->elapsed_ns;
	double weight = LODE_MIN(elapsed_ns / AVAILABILITY_NS, 1.0);
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		struct path_health *h = &slot->health[p];
		double mbps = slot->summary.paths[p].pacing_kbps / 1e3;
		if (mbps > 0)
			lode_ewma_add(&h->mbps, mbps, LODE_MIN(elapsed_ns / RATE_NS, 1.0));
		double up = h->state == LODE_PATH_UP;
		/* Before it was up for the first time nothing speaks against it. */
		if (h->availability > 0)
			h->availability += weight * (up - h->availability);
		else if (up > 0)
			h->availability = 1;
	}
}

void selector_feed(struct lode_control *c, unsigned peer_idx, uint64_t now_ns)
{
	struct peer_slot *slot = &c->peers[peer_idx];
	struct lode_selector_path path[LODE_SELECTOR_PATHS];
	follow_names(c, peer_idx, now_ns);
	update_averages(slot);
	uint8_t known = estimate(c, peer_idx, now_ns, path);
	lode_selector_update(slot->selector, path, known, now_ns);
	look_for_onset(c, slot, now_ns);
	/* The peers take turns, so that no tick has all of them. */
	if (!slot->window_ns)
		slot->window_ns = now_ns + peer_idx % (WINDOW_NS / TICK_NS) * TICK_NS;
	if (now_ns < slot->window_ns)
		return;
	slot->window_ns = now_ns + WINDOW_NS;
	look_at_traffic(c, slot, now_ns);
}
