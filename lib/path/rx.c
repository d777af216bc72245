/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving: 10 ms slots of what arrived, losses from gaps in the packet numbers, and the feedback about
 * them. A number that is missing is judged one to two slots after a higher one came: what is late by less
 * counts as reordered, not as lost. */
#include "path.h"

#define FEEDBACK_MAX_NS (20 * LODE_NS_PER_MS)
#define FEEDBACK_MIN_NS (5 * LODE_NS_PER_MS)
#define FEEDBACK_TELLS	3     /* of the newest data: a window that is full waits for them */
#define RATE_WEIGHT	0.1   /* per slot: about 100 ms */
#define LOSS_WEIGHT	500.0 /* packets */
#define SLOPE_NS	(100.0 * (double)LODE_NS_PER_MS)

void rx_init(struct lode_path *p, uint64_t now_ns)
{
	struct rx *r = &p->rx;
	r->slot = now_ns / SLOT_NS;
	r->slot_end_ns = (r->slot + 1) * SLOT_NS;
	r->told_slot = r->told_before = r->slot;
}

void lode_path_new_rx_epoch(struct lode_path *p)
{
	struct rx *r = &p->rx;
	r->next_pn = r->judged_pn = r->slot_pn = 0;
	r->run = 0;
	memset(r->window, 0, sizeof(r->window));
}

void slope_add(double *slope, uint64_t *at_ns, uint64_t now_ns, double change_ns)
{
	double dt_ns = (double)(now_ns - *at_ns);
	*at_ns = now_ns;
	double keep = SLOPE_NS / (SLOPE_NS + dt_ns);
	*slope = keep * *slope + change_ns / (SLOPE_NS + dt_ns) * (double)LODE_NS_PER_S;
}

static struct lode_wire_slot *current(struct rx *r)
{
	return &r->slots[r->slot % LODE_WIRE_SLOTS_MAX];
}

/* A run of losses has ended. */
static void end_run(struct rx *r)
{
	struct lode_wire_slot *s = current(r);
	if (r->run == 0)
		return;
	s->bursts++;
	s->longest_burst = (uint16_t)LODE_MIN(LODE_MAX(s->longest_burst, r->run), UINT16_MAX);
	lode_ewma_add(&r->burst, r->run, 0.1);
	r->run = 0;
}

/* Judges all numbers below pn: whatever has not come is lost. */
static void judge(struct rx *r, uint64_t pn)
{
	uint64_t lost = 0, n = pn > r->judged_pn ? pn - r->judged_pn : 0;
	while (r->judged_pn < pn) {
		uint64_t *word = &r->window[r->judged_pn / 64 % (WINDOW_PKTS / 64)];
		uint64_t bit = 1ull << (r->judged_pn & 63);
		if (*word == UINT64_MAX && bit == 1 && pn - r->judged_pn >= 64) {
			end_run(r);
			*word = 0;
			r->judged_pn += 64;
			continue;
		}
		if (*word & bit) {
			end_run(r);
		} else {
			r->run++;
			lost++;
		}
		*word &= ~bit;
		r->judged_pn++;
	}
	struct lode_wire_slot *s = current(r);
	s->lost = (uint16_t)LODE_MIN(s->lost + lost, UINT16_MAX);
	r->lost_pkts += lost;
	if (n)
		lode_ewma_add(
			&r->loss, (double)lost / (double)n, LODE_MIN(1.0, (double)n / LOSS_WEIGHT));
}

static void number(struct rx *r, uint64_t pn)
{
	if (pn < r->judged_pn) {
		r->late_pkts++;
		return;
	}
	if (pn >= r->judged_pn + WINDOW_PKTS) {
		/* A jump past the window: everything in between is gone, bounded by the window. */
		judge(r, LODE_MIN(pn, r->judged_pn + WINDOW_PKTS));
		if (pn >= r->judged_pn + WINDOW_PKTS) {
			uint64_t skipped = pn - r->judged_pn;
			r->lost_pkts += skipped;
			r->run = (uint32_t)LODE_MIN(r->run + skipped, UINT32_MAX);
			r->judged_pn = pn;
		}
	}
	r->window[pn / 64 % (WINDOW_PKTS / 64)] |= 1ull << (pn & 63);
}

/* Ends slots up to now. After a long silence only the newest matter. */
static void roll(struct rx *r, uint64_t now_ns)
{
	if (now_ns < r->slot_end_ns)
		return;
	uint64_t slot = now_ns / SLOT_NS, n = slot - r->slot;
	r->bps += RATE_WEIGHT * ((double)current(r)->bytes * 8e9 / (double)SLOT_NS - r->bps);
	struct lode_wire_slot last = *current(r);
	if (n > LODE_WIRE_SLOTS_MAX) {
		r->slot = slot - LODE_WIRE_SLOTS_MAX;
		r->bps = 0;
	}
	while (r->slot < slot) {
		r->slot++;
		if (n > 1)
			r->bps -= RATE_WEIGHT * r->bps;
		*current(r) = (struct lode_wire_slot){
			.owd_min_us = last.owd_last_us, .owd_last_us = last.owd_last_us};
	}
	r->slot_end_ns = (slot + 1) * SLOT_NS;
	judge(r, n > 1 ? r->next_pn : r->slot_pn);
	r->slot_pn = r->next_pn;
}

/* Of a burst. The first arrival of all sets the zero, the first of a slot its smallest. */
static inline void delays(struct rx *r, struct lode_wire_slot *s, uint32_t now_us,
	const struct lode_path_arrival *arrivals, unsigned n)
{
	uint32_t owd_us = now_us - arrivals[0].tx_us;
	if (lode_unlikely(!r->owd_any))
		r->owd_zero_us = owd_us;
	uint32_t min_us = s->pkts > 0 && r->owd_any ? s->owd_min_us : owd_us;
	r->owd_any = true;
	for (unsigned i = 0; i < n; i++) {
		owd_us = now_us - arrivals[i].tx_us;
		min_us = (int32_t)(owd_us - min_us) < 0 ? owd_us : min_us;
	}
	s->owd_min_us = min_us;
	s->owd_last_us = owd_us;
}

/* Per packet only counters move; delays are looked at once per slot. */
static void look_at_delay(struct rx *r, uint64_t now_ns)
{
	const struct lode_wire_slot *s = current(r);
	int64_t ns = (int64_t)(int32_t)(s->owd_last_us - r->owd_zero_us) * (int64_t)LODE_NS_PER_US;
	int64_t min_ns =
		(int64_t)(int32_t)(s->owd_min_us - r->owd_zero_us) * (int64_t)LODE_NS_PER_US;
	if (s->pkts == 0 || !r->owd_any)
		return;
	floor_add(&r->owd_floor, now_ns, min_ns);
	uint64_t before_ns = r->queue_ns;
	r->queue_ns = (uint64_t)LODE_MAX(ns - floor_get(&r->owd_floor), 0);
	slope_add(&r->owd_slope, &r->owd_slope_at_ns, now_ns,
		(double)r->queue_ns - (double)before_ns);
}

void lode_path_stalled(struct lode_path *p, uint64_t now_ns)
{
	p->rx.stalled_ns = now_ns;
}

void lode_path_received_burst(
	struct lode_path *p, uint64_t now_ns, const struct lode_path_arrival *arrivals, unsigned n)
{
	struct rx *r = &p->rx;
	if (now_ns >= r->slot_end_ns)
		rx_poll(p, now_ns);
	struct lode_wire_slot *s = current(r);
	uint32_t now_us = lode_path_tx_us(now_ns);
	uint64_t next_pn = r->next_pn;
	uint32_t bytes = 0, ce = 0;
	bool data = false;
	if (lode_likely(now_ns != r->stalled_ns)) /* else they waited here */
		delays(r, s, now_us, arrivals, n);
	for (unsigned i = 0; i < n; i++) {
		const struct lode_path_arrival *a = &arrivals[i];
		bytes += a->bytes;
		ce += (a->flags & LODE_PATH_CE) != 0;
		data |= !(a->flags & LODE_PATH_CONTROL);
		if (a->pn == LODE_PATH_NO_PN)
			continue;
		number(r, a->pn);
		if (a->pn >= r->next_pn) {
			r->next_pn = a->pn + 1;
			r->echo_us = a->tx_us;
		}
	}
	if (r->next_pn != next_pn)
		r->echo_rx_ns = now_ns;
	r->pkts += n;
	r->bytes += bytes;
	s->pkts = (uint16_t)LODE_MIN(s->pkts + n, UINT16_MAX);
	s->bytes += bytes;
	s->ce = (uint16_t)(s->ce + ce);
	r->ce_pkts += ce;
	if (data)
		r->owed = FEEDBACK_TELLS;
	p->life.unvalidated_rx += bytes;
	life_received(p, now_ns, data);
}

void rx_poll(struct lode_path *p, uint64_t now_ns)
{
	struct rx *r = &p->rx;
	if (now_ns < r->slot_end_ns)
		return;
	look_at_delay(r, now_ns);
	if (p->params.follower)
		follow_end_slot(p);
	roll(r, now_ns);
}

static uint16_t add_u16(uint16_t a, uint16_t b)
{
	return (uint16_t)LODE_MIN(a + b, UINT16_MAX);
}

void rx_add_slot(struct lode_path *p, uint64_t slot, const struct lode_wire_slot *s)
{
	struct rx *r = &p->rx;
	struct lode_wire_slot *to = &r->slots[slot % LODE_WIRE_SLOTS_MAX];
	uint32_t n = (uint32_t)s->pkts + s->lost;
	if (n == 0 || slot + LODE_WIRE_SLOTS_MAX <= r->slot)
		return;
	if (!r->owd_any)
		r->owd_zero_us = s->owd_min_us;
	r->owd_any = true;
	if (s->pkts && (to->pkts == 0 || (int32_t)(s->owd_min_us - to->owd_min_us) < 0))
		to->owd_min_us = s->owd_min_us;
	if (s->pkts)
		to->owd_last_us = s->owd_last_us;
	to->bytes += s->bytes;
	to->pkts = add_u16(to->pkts, s->pkts);
	to->lost = add_u16(to->lost, s->lost);
	to->bursts = add_u16(to->bursts, s->bursts);
	to->longest_burst = LODE_MAX(to->longest_burst, s->longest_burst);
	to->ce = add_u16(to->ce, s->ce);
	r->pkts += s->pkts;
	r->bytes += s->bytes;
	r->lost_pkts += s->lost;
	r->ce_pkts += s->ce;
	r->bps += RATE_WEIGHT * ((double)s->bytes * 8e9 / (double)SLOT_NS);
	lode_ewma_add(&r->loss, (double)s->lost / n, LODE_MIN(1.0, n / LOSS_WEIGHT));
	r->told_before = LODE_MIN(r->told_before, slot); /* told once more, and whole */
	r->owed = FEEDBACK_TELLS;
}

void rx_add_echo(struct lode_path *p, uint32_t echo_us, uint64_t rx_ns)
{
	struct rx *r = &p->rx;
	if (r->next_pn && (int32_t)(echo_us - r->echo_us) <= 0)
		return;
	r->echo_us = echo_us;
	r->echo_rx_ns = rx_ns;
}

uint64_t rx_feedback_due_ns(const struct lode_path *p)
{
	const struct rx *r = &p->rx;
	if (r->owed == 0)
		return FAR_FUTURE;
	if (r->owed < FEEDBACK_TELLS) /* no news: once more, in case it was lost */
		return r->feedback_ns + FEEDBACK_MAX_NS;
	uint64_t half = p->tx.srtt_ns ? p->tx.srtt_ns / 2 : FEEDBACK_MAX_NS;
	return r->feedback_ns + LODE_MAX(LODE_MIN(half, FEEDBACK_MAX_NS), FEEDBACK_MIN_NS);
}

/* Every slot is told at least twice: one feedback may get lost. */
void rx_make_feedback(struct lode_path *p, uint64_t now_ns, struct lode_wire_feedback *m)
{
	struct rx *r = &p->rx;
	rx_poll(p, now_ns);
	uint64_t first =
		LODE_MAX(r->told_before, r->slot + 1 - LODE_MIN(r->slot + 1, LODE_WIRE_SLOTS_MAX));
	uint64_t last = r->slot;
	/* The newest slot may be empty yet: the one before has all there is. */
	while (last > first && r->slots[last % LODE_WIRE_SLOTS_MAX].pkts == 0 &&
		r->slots[last % LODE_WIRE_SLOTS_MAX].lost == 0)
		last--;
	*m = (struct lode_wire_feedback){.path = p->params.path_id,
		.n_slots = (uint8_t)(last - first + 1),
		.first_slot = (uint32_t)first,
		.highest = r->next_pn ? r->next_pn - 1 : 0,
		.echo_us = r->echo_us,
		.hold_us = (uint32_t)((now_ns - r->echo_rx_ns) / LODE_NS_PER_US)};
	for (uint64_t i = first; i <= last; i++)
		m->slots[i - first] = r->slots[i % LODE_WIRE_SLOTS_MAX];
	r->told_before = r->told_slot;
	r->told_slot = r->slot;
	r->feedback_ns = now_ns;
	r->owed -= r->owed > 0;
}

void rx_dir_stats(const struct lode_path *p, struct lode_path_dir *out)
{
	const struct rx *r = &p->rx;
	*out = (struct lode_path_dir){.pkts = r->pkts,
		.bytes = r->bytes,
		.lost_pkts = r->lost_pkts > r->late_pkts ? r->lost_pkts - r->late_pkts : 0,
		.bps = (uint64_t)r->bps,
		.loss = r->loss.value,
		.burst = r->burst.valid ? r->burst.value : 1,
		.owd_queue_ns = r->queue_ns,
		.owd_gradient_ns_per_s = (int64_t)r->owd_slope,
		.ce_pkts = r->ce_pkts};
}
