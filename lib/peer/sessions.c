/* SPDX-License-Identifier: BSD-3-Clause */
/* Which sessions of a peer live and what workers are told: a new one arrives as next, becomes cur when the other
 * end is known to have it, then prev, then nothing. */
#include "internal.h"

/* ---- what workers are told ---- */

const struct lode_peer_state *lode_peer_state(const struct lode_peer *p)
{
	return &p->state;
}

void peer_publish(struct lode_peer *p)
{
	struct session *const living[] = {p->prev, p->cur, p->next};
	memset(p->state.rx, 0, sizeof(p->state.rx));
	for (unsigned i = 0; i < LODE_ARRAY_LEN(living); i++)
		if (living[i])
			p->state.rx[living[i]->epoch.key_phase] = &living[i]->epoch;
	p->state.tx = p->cur ? &p->cur->epoch : NULL;
	paths_rebuild(p);
	p->state.generation++;
}

uint8_t peer_free_phase(const struct lode_peer *p)
{
	uint8_t phase = p->cur ? (p->cur->epoch.key_phase + 1) % LODE_WIRE_PHASES : 0;
	if (p->prev && p->prev->epoch.key_phase == phase)
		phase = (phase + 1) % LODE_WIRE_PHASES;
	return phase;
}

bool peer_has_session_index(const struct lode_peer *p, uint16_t index)
{
	return (p->prev && p->prev->epoch.session == index) ||
	       (p->cur && p->cur->epoch.session == index) ||
	       (p->next && p->next->epoch.session == index) ||
	       (p->attempt.active && p->attempt.ours.session == index);
}

/* ---- sessions ---- */

void peer_set_next(struct lode_peer *p, struct session *s)
{
	session_drop(&p->next);
	p->next = s;
	peer_publish(p);
	p->wait_generation = p->state.generation;
}

static void remember(struct lode_peer *p, const struct session *s)
{
	p->known.valid = true;
	p->known.instance = s->peer.instance;
	p->known.names = s->names;
	p->known.accepted = s->accepted;
}

/* The other end can receive under next: it is what we seal with from now on. */
static void promote(struct lode_peer *p, uint64_t now_ns)
{
	struct session *s = p->next;
	bool same_memory = p->known.valid && p->known.instance == s->peer.instance;
	bool silent = now_ns - p->report.last_rx_ns >= LODE_PEER_SILENCE_NS;
	if (s->initiator && (silent || !same_memory))
		paths_forget(p, &s->via);
	p->next = NULL;
	p->wait_generation = UINT64_MAX;
	session_drop(&p->prev);
	if (same_memory)
		p->prev = p->cur;
	else
		session_drop(&p->cur); /* it has forgotten these keys */
	p->prev_until_ns = now_ns + 3ull * p->report.rtt_us * LODE_NS_PER_US + OLD_KEYS_NS;
	p->cur = s;
	p->cur_since_ns = now_ns;
	p->report.tx_packets = 0;
	if (!same_memory || paths_moved(p, s))
		p->state.association++;
	if (!same_memory || !p->established_ns)
		p->established_ns = now_ns;
	remember(p, s);
	handshake_abandon(p);
	p->changed &= s->epoch.serial <= p->changed_serial;
	p->backoff_ns = BACKOFF_MIN_NS;
	p->retry_ns = now_ns;
	p->n_handshakes++;
	host_count(&p->host->counters.sessions);
	peer_publish(p);
}

static void send_answer(struct lode_peer *p, const struct lode_endpoint *local,
	const struct lode_endpoint *remote, unsigned port_idx)
{
	struct answer *a = &p->answer;
	if (!a->len || a->n_sent >= ANSWER_REPEATS)
		return;
	a->n_sent++;
	host_send(p->host, port_idx, local, remote, a->msg, a->len);
	host_count(&p->host->counters.responses_sent);
}

void peer_answer(struct lode_peer *p, const struct lode_peer_datagram *to)
{
	struct answer *a = &p->answer;
	if (a->ready) {
		send_answer(p, &to->local, &to->remote, to->port_idx);
	} else if (a->n_waiting < LODE_ARRAY_LEN(a->waiting)) {
		a->waiting[a->n_waiting].local = to->local;
		a->waiting[a->n_waiting].remote = to->remote;
		a->waiting[a->n_waiting++].port_idx = to->port_idx;
	}
}

void lode_peer_installed(struct lode_peer *p, uint64_t generation, uint64_t now_ns)
{
	if (!p->next || generation < p->wait_generation)
		return;
	p->wait_generation = UINT64_MAX;
	if (p->next->initiator) {
		promote(p, now_ns);
		return;
	}
	struct answer *a = &p->answer;
	a->ready = true;
	for (unsigned i = 0; i < a->n_waiting; i++)
		send_answer(p, &a->waiting[i].local, &a->waiting[i].remote, a->waiting[i].port_idx);
	a->n_waiting = 0;
}

void lode_peer_report(struct lode_peer *p, const struct lode_peer_report *report, uint64_t now_ns)
{
	p->report = *report;
	if (p->next && !p->next->initiator && report->rx_epoch == p->next->epoch.serial)
		promote(p, now_ns);
}

void peer_end_sessions(struct lode_peer *p)
{
	session_drop(&p->prev);
	session_drop(&p->cur);
	p->established_ns = 0;
	peer_publish(p);
}

void lode_peer_closed(struct lode_peer *p, uint64_t now_ns)
{
	session_drop(&p->next);
	handshake_abandon(p);
	peer_end_sessions(p);
	p->retry_ns = now_ns + LODE_NS_PER_S;
}
