/* SPDX-License-Identifier: BSD-3-Clause */
/* Home lane and further lanes of a peer, each on its worker. A further lane publishes what it sent and
 * received per path; the home lane counts that as its own, so that feedback, bytes in flight and the
 * controllers are about the whole path, and divides each path's rate: first what its own Gaming, VoIP and
 * Web take, then max-min fair over the lanes. It also says which lanes flows may take. */
#include "fq.h"
#include "lane.h"

#define ACTIVE_NS   (2 * LODE_NS_PER_MS) /* between reports and divisions while there is traffic */
#define IDLE_NS	    (20 * LODE_NS_PER_MS) /* home lane: how soon it sees that there is traffic again */
#define SILENT_NS   (100 * LODE_NS_PER_MS) /* further lane without traffic */
#define LINGER_NS   (40 * LODE_NS_PER_MS)  /* counts as traffic: slots and losses are still told */
#define DEAD_NS	    LODE_NS_PER_S	   /* without a report: no flow goes there */
#define CLOSE_NS    LODE_NS_PER_S /* nor when it has no path for so long, while we have one */
#define RATE_WEIGHT 0.3
#define DEMAND_ALL  UINT32_MAX /* packets wait: as much as there is */
#define FLOOR_SHARE 64	       /* of a path's rate, for a lane that begins to send */
#define URGENT_MAX  15 / 16    /* of a path's rate: the others must not starve */

/* ---- further lane ---- */

void lanes_take_grants(struct lode_lane *l)
{
	unsigned p;
	LODE_FOREACH_BIT (p, l->sendable) {
		_Atomic uint64_t *word = &l->env.shared->grant[l->peer_idx][l->lane_id][p];
		const union lode_path_grant grant = {
			.word = atomic_load_explicit(word, memory_order_relaxed)};
		lode_path_take_grant(l->path[p].est, grant);
		lane_path_set_rate(&l->path[p], LODE_MAX(grant.kbps * 1000ull, 1000));
	}
}

static void publish_report(struct lode_lane *l, uint64_t now_ns)
{
	struct lode_lane_report *slot = atomic_load_explicit(
		&l->env.shared->report[l->peer_idx][l->lane_id], memory_order_acquire);
	if (slot == NULL)
		return;
	struct lode_lane_report r = {.now_ns = now_ns, .backlog_pkts = lode_lane_backlog_pkts(l)};
	unsigned p;
	LODE_FOREACH_BIT (p, l->sendable) {
		r.usable |= (uint32_t)lode_path_usable(lode_path_state(l->path[p].est)) << p;
		lode_path_tally(l->path[p].est, &r.paths[p]);
	}
	lode_lane_report_publish(slot, &r);
}

/* Its flows are at home now: what they left here would come behind what they send there. */
static void drop_when_closed(struct lode_lane *l)
{
	const union lode_lane_choice choice = {
		.word = atomic_load_explicit(
			&l->env.shared->lane_choice[l->peer_idx], memory_order_relaxed)};
	if (!(choice.usable & 1u << l->lane_id) && lode_lane_backlog_pkts(l) > 0)
		fq_flush(l, &l->counters.drop_closed);
}

static void report(struct lode_lane *l, uint64_t now_ns)
{
	drop_when_closed(l);
	uint64_t moved = l->counters.tx_datagrams + l->counters.rx_datagrams;
	bool news = moved != l->report_moved && now_ns >= l->report_ns + ACTIVE_NS;
	if (now_ns < l->lanes_due_ns && !news)
		return;
	if (moved != l->report_moved)
		l->linger_ns = now_ns + LINGER_NS;
	lanes_take_grants(l);
	publish_report(l, now_ns);
	l->report_moved = moved;
	l->report_ns = now_ns;
	l->lanes_due_ns = now_ns + (now_ns < l->linger_ns ? ACTIVE_NS : SILENT_NS);
}

/* ---- home lane: what the others report ---- */

static void add_report(struct lode_lane *l, struct further_lane *f,
	const struct lode_lane_report *r, uint64_t now_ns)
{
	unsigned p;
	f->heard_ns = r->now_ns;
	f->usable = (uint8_t)r->usable;
	f->waiting = r->backlog_pkts > 0;
	LODE_FOREACH_BIT (p, l->sendable) {
		uint64_t bytes =
			lode_path_add_tally(l->path[p].est, now_ns, &f->seen[p], &r->paths[p]);
		f->sent_bytes[p] += (uint32_t)bytes;
		l->others_sent += bytes;
	}
}

void lanes_collect(struct lode_lane *l, uint64_t now_ns)
{
	l->others_wait = false;
	for (unsigned lane = 1; l->further != NULL && lane < l->n_lanes; lane++) {
		struct further_lane *f = &l->further[lane - 1];
		const struct lode_lane_report *slot = atomic_load_explicit(
			&l->env.shared->report[l->peer_idx][lane], memory_order_acquire);
		struct lode_lane_report r;
		if (slot != NULL && lode_lane_report_read(slot, &r) && r.now_ns != 0)
			add_report(l, f, &r, now_ns);
		l->others_wait |= f->waiting && f->usable != 0;
	}
}

/* ---- home lane: what they may do ---- */

static void average(uint32_t *kbps, uint32_t *bytes, uint64_t elapsed_ns)
{
	double now_kbps = (double)*bytes * 8e6 / (double)elapsed_ns;
	*kbps = (uint32_t)(*kbps + RATE_WEIGHT * (now_kbps - *kbps));
	*bytes = 0;
}

static bool any_queued(const struct lode_lane *l, bool urgent)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		if (l->queue[cls].pkts && is_sticky(cls) == urgent)
			return true;
	return false;
}

static uint32_t demand_of(uint32_t kbps, bool waiting, uint32_t rate_kbps)
{
	return waiting ? DEMAND_ALL : kbps + kbps / 2 + rate_kbps / FLOOR_SHARE;
}

static void put_grant(struct lode_lane *l, unsigned lane, unsigned p, union lode_path_grant grant)
{
	_Atomic uint64_t *word = &l->env.shared->grant[l->peer_idx][lane][p];
	if (atomic_load_explicit(word, memory_order_relaxed) != grant.word)
		atomic_store_explicit(word, grant.word, memory_order_relaxed);
}

/* Index 0 of the arrays is what of this lane is not urgent. */
static void divide_path(struct lode_lane *l, unsigned p, uint64_t elapsed_ns)
{
	struct lane_path *path = &l->path[p];
	uint32_t demand[LODE_LANES_MAX], share[LODE_LANES_MAX];
	uint32_t rate_kbps = (uint32_t)LODE_MIN(path->pacing_bps / 1000, UINT32_MAX - 1);
	average(&path->urgent_kbps, &path->urgent_bytes, elapsed_ns);
	average(&path->other_kbps, &path->other_bytes, elapsed_ns);
	uint64_t urgent = any_queued(l, true) ? rate_kbps : path->urgent_kbps * 5ull / 4;
	urgent = LODE_MIN(urgent, (uint64_t)rate_kbps * URGENT_MAX);
	demand[0] = demand_of(path->other_kbps, any_queued(l, false), rate_kbps);
	for (unsigned lane = 1; lane < l->n_lanes; lane++) {
		struct further_lane *f = &l->further[lane - 1];
		average(&f->kbps[p], &f->sent_bytes[p], elapsed_ns);
		demand[lane] = f->usable & 1u << p ? demand_of(f->kbps[p], f->waiting, rate_kbps)
						   : rate_kbps / FLOOR_SHARE;
	}
	lode_share_max_min((uint32_t)(rate_kbps - urgent), demand, l->n_lanes, share);
	for (unsigned lane = 1; lane < l->n_lanes; lane++)
		put_grant(l, lane, p, lode_path_grant(path->est, share[lane]));
}

/* A lane that can send on no path for a while, though this one can, or says nothing, is closed: its flows come
 * home. It hears of a path that answers again later than this one: to close it sooner would stir the flows at
 * each outage. New flows leave home when its worker has enough to do. */
static void choose_lanes(struct lode_lane *l, uint64_t now_ns)
{
	union lode_lane_choice choice = {.usable = 1, .open = 1};
	uint32_t load = l->env.load ? l->env.load->permille : 0;
	bool open = load >= l->snapshot->config->lanes_open_permille;
	uint8_t ours = l->up | l->suspect;
	for (unsigned lane = 1; lane < l->n_lanes; lane++) {
		struct further_lane *f = &l->further[lane - 1];
		bool heard = f->heard_ns != 0 && now_ns < f->heard_ns + DEAD_NS;
		bool works = heard && (f->usable & ours);
		if (works || (f->worked_ns != 0 && ours == 0))
			f->worked_ns = now_ns;
		if (!heard || now_ns - f->worked_ns >= CLOSE_NS)
			f->worked_ns = 0;
		choice.usable |= (uint8_t)((f->worked_ns != 0) << lane);
		choice.open |= (uint8_t)((works && open) << lane);
	}
	_Atomic uint32_t *word = &l->env.shared->lane_choice[l->peer_idx];
	if (atomic_load_explicit(word, memory_order_relaxed) != choice.word)
		atomic_store_explicit(word, choice.word, memory_order_relaxed);
}

static void divide(struct lode_lane *l, uint64_t now_ns)
{
	if (now_ns < l->lanes_due_ns)
		return;
	lanes_collect(l, now_ns);
	bool active = l->others_wait;
	for (unsigned lane = 1; lane < l->n_lanes; lane++)
		for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
			active |= l->further[lane - 1].sent_bytes[p] != 0;
	unsigned p;
	LODE_FOREACH_BIT (p, l->sendable)
		divide_path(l, p, LODE_MAX(now_ns - l->report_ns, 1));
	choose_lanes(l, now_ns);
	l->report_ns = now_ns;
	l->lanes_due_ns = now_ns + (active ? ACTIVE_NS : IDLE_NS);
}

/* ---- both ---- */

size_t lode_lane_further_bytes(void)
{
	return (LODE_LANES_MAX - 1) * sizeof(struct further_lane);
}

void lanes_init(struct lode_lane *l)
{
	l->n_lanes = 1;
	if (l->lane_id != 0 || l->env.further_memory == NULL)
		return;
	uint8_t *memory = l->env.further_memory + l->peer_idx * lode_lane_further_bytes();
	memset(memory, 0, lode_lane_further_bytes());
	l->further = (struct further_lane *)memory;
}

/* Lanes that are no more get nothing, nor do paths that are not there now. */
static void withdraw(struct lode_lane *l, unsigned n_lanes)
{
	for (unsigned lane = 1; lane < LODE_LANES_MAX; lane++)
		for (unsigned p = 0; p < LODE_LINKS_MAX; p++)
			if (lane >= n_lanes || !(l->sendable & 1u << p))
				put_grant(l, lane, p, (union lode_path_grant){.word = 0});
	for (unsigned lane = n_lanes; lane < l->n_lanes; lane++)
		memset(&l->further[lane - 1], 0, sizeof(l->further[0]));
	if (n_lanes == 1)
		atomic_store_explicit(
			&l->env.shared->lane_choice[l->peer_idx], 0, memory_order_relaxed);
}

void lanes_set_view(struct lode_lane *l)
{
	unsigned n = l->view != NULL ? l->view->n_lanes : 1;
	l->lanes_due_ns = 0;
	l->others_wait = false;
	if (l->further != NULL)
		withdraw(l, n);
	l->n_lanes = (uint8_t)n;
}

void lanes_path_started(struct lode_lane *l, unsigned p)
{
	for (unsigned i = 0; l->further != NULL && i < LODE_LANES_MAX - 1; i++) {
		l->further[i].seen[p] = (struct lode_path_seen){0};
		l->further[i].sent_bytes[p] = 0;
	}
}

uint64_t lanes_poll(struct lode_lane *l, uint64_t now_ns)
{
	if (l->n_lanes == 1)
		return LODE_NEVER_NS;
	if (l->lane_id != 0)
		report(l, now_ns);
	else if (l->further != NULL)
		divide(l, now_ns);
	return l->lanes_due_ns;
}
