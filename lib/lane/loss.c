/* SPDX-License-Identifier: BSD-3-Clause */
/* The home lane's loss predictors: a window of each path every 10 ms, phase-shifted, at most one inference per
 * poll; none while nothing is sent. */
#include "lane.h"

#define IDLE_NS (300 * LODE_NS_PER_MS)
#define GOLDEN	0.6180339887 /* spreads the phases of any number of paths */
#define MARK_MS 12000	     /* of each quarter of a minute, UTC: when satellites change */

void loss_start(struct lode_lane *l, unsigned p, uint64_t now_ns)
{
	size_t slot = (size_t)l->peer_idx * LODE_LINKS_MAX + p;
	double phase = (double)slot * GOLDEN;
	l->path[p].loss = NULL;
	if (l->env.loss_memory == NULL || l->lane_id != 0)
		return;
	l->path[p].loss = lode_loss_init(l->env.loss_memory + slot * lode_loss_bytes(),
		phase - (double)(uint64_t)phase, now_ns);
	l->loss_due_ns = now_ns;
}

void loss_wake(struct lode_lane *l, uint64_t now_ns)
{
	uint64_t sent = l->counters.tx_segments + l->others_sent;
	if (sent == l->loss_segments)
		return;
	l->loss_segments = sent;
	l->loss_moved_ns = now_ns;
	if (l->loss_due_ns == LODE_NEVER_NS)
		l->loss_due_ns = now_ns;
}

static uint32_t phase_ms(const struct lode_lane *l, uint64_t now_ns)
{
	int64_t offset_ns =
		atomic_load_explicit(&l->env.shared->wall_offset_ns, memory_order_relaxed);
	uint64_t wall_ms = (now_ns + (uint64_t)offset_ns) / LODE_NS_PER_MS;
	return offset_ns == 0 ? UINT32_MAX : (uint32_t)((wall_ms - MARK_MS) % LODE_LOSS_PHASE_MS);
}

static uint32_t backlog_bytes(const struct lode_lane *l)
{
	uint32_t n = 0;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		n += l->queue[cls].bytes;
	return n;
}

static void window(struct lode_lane *l, unsigned p, uint64_t now_ns)
{
	struct lane_path *path = &l->path[p];
	struct lode_loss_window w;
	lode_path_loss_window(path->est, now_ns, &w);
	w.backlog_bytes = backlog_bytes(l);
	w.phase_ms = phase_ms(l, now_ns);
	lode_loss_observe(path->loss, &w, l->env.loss_stats);
	lode_loss_decide(path->loss, l->snapshot->loss_model, l->env.nn_scratch, l->env.clock_ns,
		l->env.loss_stats);
	if (l->env.loss_window != NULL &&
		atomic_load_explicit(&l->env.shared->record_loss, memory_order_relaxed))
		l->env.loss_window(l->env.ctx, l->peer_idx, p, &w);
}

void loss_poll(struct lode_lane *l, uint64_t now_ns)
{
	bool one = false;
	unsigned p;
	loss_wake(l, now_ns);
	l->loss_due_ns = LODE_NEVER_NS;
	if (now_ns - l->loss_moved_ns > IDLE_NS)
		return;
	LODE_FOREACH_BIT (p, l->sendable) {
		if (l->path[p].loss == NULL)
			continue;
		if (!one && lode_loss_due_ns(l->path[p].loss) <= now_ns) {
			window(l, p, now_ns);
			one = true;
		}
		l->loss_due_ns = LODE_MIN(l->loss_due_ns, lode_loss_due_ns(l->path[p].loss));
	}
}
