/* SPDX-License-Identifier: BSD-3-Clause */
/* When a peer wants a new session, when it begins and gives up, when keys end. */
#include "internal.h"

static bool has_target(const struct lode_peer *p)
{
	struct lode_endpoint to;
	for (unsigned link = 0; link < p->params.n_links; link++)
		if (paths_target(p, link, 0, &to))
			return true;
	return false;
}

/* Time from which to begin a handshake. The end that began the session renews it; the other one steps in
 * later. Packet counts of the old epoch may arrive just after a change, hence the least age. */
static uint64_t renew_ns(const struct lode_peer *p)
{
	if (!p->cur || p->changed)
		return 0;
	uint64_t grace_ns = p->cur->initiator ? 0 : LODE_PEER_REKEY_GRACE_NS;
	uint64_t heard_ns = LODE_MAX(p->report.last_rx_ns, p->cur_since_ns);
	uint64_t at = p->cur->born_ns + p->host->params.rekey_ns + grace_ns;
	if (p->report.tx_packets >= LODE_PEER_REKEY_PACKETS)
		at = LODE_MIN(at, p->cur_since_ns + LODE_NS_PER_S + grace_ns);
	return LODE_MIN(at, heard_ns + LODE_PEER_SILENCE_NS);
}

/* An answer of ours that nobody follows up must not keep us waiting long: it may have been a recording. */
static uint64_t want_ns(const struct lode_peer *p)
{
	if (p->attempt.active || (p->next && p->next->initiator) || !has_target(p))
		return LODE_NEVER_NS;
	uint64_t at = LODE_MAX(renew_ns(p), p->retry_ns);
	return p->next ? LODE_MAX(at, p->next->born_ns + CONFIRM_NS) : at;
}

static uint64_t reject_ns(const struct lode_peer *p)
{
	if (!p->cur)
		return LODE_NEVER_NS;
	bool worn = p->report.tx_packets >= LODE_PEER_REJECT_PACKETS;
	return worn ? p->cur_since_ns + LODE_NS_PER_S : p->cur->born_ns + LODE_PEER_REJECT_NS;
}

static uint64_t unconfirmed_ns(const struct lode_peer *p)
{
	return p->next && !p->next->initiator ? p->next->born_ns + UNCONFIRMED_NS : LODE_NEVER_NS;
}

/* Doubles, and spreads by a quarter so that peers do not come back in step. */
static void back_off(struct lode_peer *p, uint64_t now_ns)
{
	uint32_t r;
	p->host->params.random(p->host->params.ctx, &r, sizeof(r));
	p->retry_ns = now_ns + p->backoff_ns * (768 + r % 512) / 1024;
	p->backoff_ns = LODE_MIN(p->backoff_ns * 2, BACKOFF_MAX_NS);
}

static void poll_attempt(struct lode_peer *p, uint64_t now_ns, bool *may_begin)
{
	struct attempt *a = &p->attempt;
	if (a->active && now_ns - a->started_ns >= ATTEMPT_NS) {
		handshake_abandon(p);
		p->n_failed++;
		host_count(&p->host->counters.attempts_failed);
		back_off(p, now_ns);
	}
	if (want_ns(p) <= now_ns && *may_begin) {
		*may_begin = false;
		if (handshake_start(p, now_ns))
			back_off(p, now_ns);
	}
	if (a->active && now_ns >= a->next_ns) {
		handshake_transmit(p, now_ns);
		a->next_ns = now_ns + a->interval_ns;
		a->interval_ns = LODE_MIN(2 * a->interval_ns, RETRANSMIT_MAX_NS);
	}
}

void peer_poll(struct lode_peer *p, uint64_t now_ns, bool *may_begin)
{
	if (p->prev && now_ns >= p->prev_until_ns) {
		session_drop(&p->prev);
		peer_publish(p);
	}
	if (now_ns >= unconfirmed_ns(p)) {
		session_drop(&p->next);
		p->wait_generation = UINT64_MAX;
		peer_publish(p);
	}
	if (now_ns >= reject_ns(p))
		peer_end_sessions(p);
	poll_attempt(p, now_ns, may_begin);
}

uint64_t peer_due(const struct lode_peer *p)
{
	uint64_t due = LODE_MIN(reject_ns(p), unconfirmed_ns(p));
	if (p->prev)
		due = LODE_MIN(due, p->prev_until_ns);
	if (p->attempt.active)
		due = LODE_MIN(
			due, LODE_MIN(p->attempt.next_ns, p->attempt.started_ns + ATTEMPT_NS));
	return LODE_MIN(due, want_ns(p));
}
