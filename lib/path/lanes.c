/* SPDX-License-Identifier: BSD-3-Clause */
/* One path in several lanes: what the home lane's path grants its followers, and what they tell it. A
 * follower is an ordinary path whose controller is its grant: pacer, probes, challenge, losses and slots
 * work as everywhere; feedback and path MTU discovery are the home path's. */
#include "path.h"

#define KBPS_MAX    UINT32_MAX
#define DELAY_MAX   ((1ull << 15) - 1)
#define SEGMENT_MAX ((1u << 14) - 1)
#define JUDGE_SLOTS 2 /* after which losses of a slot are known (rx.c) */
#define NO_WINDOW   (UINT64_MAX / 2)
static_assert(LODE_WIRE_MTU_MAX <= SEGMENT_MAX, "a grant holds every segment size");

/* ---- a controller that does what it is told ---- */

static void grant_init(void *state, const struct lode_cc_params *params, uint64_t now_ns,
	struct lode_cc_decision *out)
{
	out->pacing_bps = LODE_CC_RATE_MIN;
	out->cwnd_bytes = 0;
}

static void grant_feedback(
	void *state, const struct lode_cc_interval *in, struct lode_cc_decision *out)
{
}

static void grant_timeout(void *state, uint64_t now_ns, struct lode_cc_decision *out)
{
}

static const char *grant_phase(const void *state)
{
	return "granted";
}

const struct lode_cc_ops follow_cc = {.name = "follower",
	.init = grant_init,
	.on_feedback = grant_feedback,
	.on_timeout = grant_timeout,
	.phase = grant_phase};

/* ---- the follower ---- */

void lode_path_take_grant(struct lode_path *p, union lode_path_grant grant)
{
	if (grant.word == p->follow.grant.word)
		return;
	p->follow.grant = grant;
	p->tx.decision.pacing_bps = LODE_MAX(grant.kbps * 1000ull, LODE_CC_RATE_MIN);
	p->tx.decision.cwnd_bytes = grant.kbps ? NO_WINDOW : 0;
	tx_apply_rate(p);
}

enum lode_path_state follow_state(const struct lode_path *p)
{
	enum lode_path_state own = p->life.state;
	if (!p->life.validated) /* it may send little: flows had better stay where they are */
		own = LODE_MIN(own, LODE_PATH_PROBING);
	return lode_path_usable(own) ? (enum lode_path_state)p->follow.grant.state : own;
}

void follow_end_slot(struct lode_path *p)
{
	const struct rx *r = &p->rx;
	if (r->slots[r->slot % LODE_WIRE_SLOTS_MAX].pkts)
		p->follow.last_data_slot = r->slot;
	p->follow.echo_us = r->echo_us;
	p->follow.echo_rx_ns = r->echo_rx_ns;
}

uint64_t follow_next_due_ns(const struct lode_path *p)
{
	const struct rx *r = &p->rx;
	bool telling = r->slots[r->slot % LODE_WIRE_SLOTS_MAX].pkts ||
		       r->slot <= p->follow.last_data_slot + JUDGE_SLOTS;
	return telling ? r->slot_end_ns : FAR_FUTURE;
}

void lode_path_tally(const struct lode_path *p, struct lode_path_tally *out)
{
	*out = (struct lode_path_tally){.tx_pkts = p->tx.pkts,
		.tx_bytes = p->tx.bytes,
		.next_slot = p->rx.slot,
		.rx_ns = p->follow.echo_rx_ns,
		.echo_us = p->follow.echo_us};
	for (uint64_t i = 1; i <= LODE_PATH_TALLY_SLOTS && i <= p->rx.slot; i++)
		out->slots[(p->rx.slot - i) % LODE_PATH_TALLY_SLOTS] =
			p->rx.slots[(p->rx.slot - i) % LODE_WIRE_SLOTS_MAX];
}

/* ---- the home path ---- */

union lode_path_grant lode_path_grant(const struct lode_path *home, uint32_t kbps)
{
	uint64_t delay = lode_path_delay_ns(home) / (100 * LODE_NS_PER_US);
	return (union lode_path_grant){
		.kbps = kbps & KBPS_MAX,
		.delay_100us = LODE_MIN(delay, DELAY_MAX),
		.segment_bytes = lode_path_segment_bytes(home) & SEGMENT_MAX,
		.state = lode_path_state(home),
	};
}

static uint64_t add_sent(struct lode_path *p, uint64_t now_ns, const struct lode_path_seen *seen,
	const struct lode_path_tally *t)
{
	uint64_t pkts = t->tx_pkts - seen->tx_pkts, bytes = t->tx_bytes - seen->tx_bytes;
	if (pkts == 0)
		return 0;
	p->tx.pkts += pkts - 1;
	lode_path_sent(
		p, now_ns, (uint32_t)LODE_MIN(bytes, UINT32_MAX), lode_path_tx_us(now_ns), 0);
	return bytes;
}

/* Slots that have ended here too: the lanes' clocks are one, but are read at different times. */
static void add_received(struct lode_path *p, uint64_t now_ns, struct lode_path_seen *seen,
	const struct lode_path_tally *t)
{
	rx_poll(p, now_ns);
	uint64_t oldest = t->next_slot - LODE_MIN(t->next_slot, LODE_PATH_TALLY_SLOTS);
	uint64_t slot = LODE_MAX(seen->next_slot, oldest), end = LODE_MIN(t->next_slot, p->rx.slot);
	bool any = false;
	for (; slot < end; slot++) {
		const struct lode_wire_slot *s = &t->slots[slot % LODE_PATH_TALLY_SLOTS];
		rx_add_slot(p, slot, s);
		any |= s->pkts != 0;
	}
	seen->next_slot = LODE_MAX(seen->next_slot, end);
	if (any) {
		rx_add_echo(p, t->echo_us, t->rx_ns);
		life_received(p, now_ns, true);
	}
}

uint64_t lode_path_add_tally(struct lode_path *p, uint64_t now_ns, struct lode_path_seen *seen,
	const struct lode_path_tally *t)
{
	uint64_t sent = 0;
	bool restarted = t->tx_pkts < seen->tx_pkts;
	if (seen->next_slot == 0 || restarted)
		seen->next_slot = t->next_slot;
	else
		sent = add_sent(p, now_ns, seen, t);
	seen->tx_pkts = t->tx_pkts;
	seen->tx_bytes = t->tx_bytes;
	add_received(p, now_ns, seen, t);
	return sent;
}
