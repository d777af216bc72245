/* SPDX-License-Identifier: BSD-3-Clause */
/* One peer: which sessions live, when a new one is wanted, what workers are told. */
#include "internal.h"

#include <stdlib.h>

/* ---- life ---- */

static int check_links(const struct lode_peer_link *links, unsigned n_links,
	const struct lode_wire_lanes *lanes, struct lode_err *err)
{
	if (n_links < 1 || n_links > LODE_WIRE_PATHS)
		return lode_err_set(err, -EINVAL, "peer: 1..%d links allowed, found %u",
			LODE_WIRE_PATHS, n_links);
	if (lanes->n_lanes < 1 || lanes->n_lanes > LODE_WIRE_LANES)
		return lode_err_set(err, -EINVAL, "peer: 1..%d lanes allowed, found %u",
			LODE_WIRE_LANES, lanes->n_lanes);
	for (unsigned i = 0; i < n_links; i++) {
		if (!links[i].name[0] || links[i].name[LODE_NAME_MAX - 1])
			return lode_err_set(err, -EINVAL, "peer: link %u: 1..%d bytes of name", i,
				LODE_NAME_MAX - 1);
		for (unsigned j = 0; j < i; j++)
			if (!strcmp(links[i].name, links[j].name))
				return lode_err_set(err, -EINVAL,
					"peer: links %u and %u are both called \"%s\"", j, i,
					links[i].name);
	}
	return 0;
}

static int check_key(const struct lode_peer_host *h, const uint8_t key[32], struct lode_err *err)
{
	static const uint8_t zero[32];
	if (!memcmp(key, zero, 32))
		return lode_err_set(err, -EINVAL, "peer: the public key is all zero");
	if (!memcmp(key, h->keys.pub, 32))
		return lode_err_set(err, -EINVAL, "peer: the public key is this appliance's own");
	for (const struct lode_peer *p = h->peers; p; p = p->list)
		if (!memcmp(key, p->params.public_key, 32))
			return lode_err_set(
				err, -EEXIST, "peer: two peers have the same public key");
	return 0;
}

struct lode_peer *lode_peer_new(struct lode_peer_host *h, const struct lode_peer_params *params,
	uint64_t now_ns, struct lode_err *err)
{
	if (check_key(h, params->public_key, err) ||
		check_links(params->links, params->n_links, &params->lanes, err))
		return NULL;
	struct lode_peer *p = calloc(1, sizeof(*p));
	if (!p || lode_noise_mac_keys(params->public_key, &p->mac_keys)) {
		lode_err_set(err, -ENOMEM, "peer: no memory");
		free(p);
		return NULL;
	}
	p->host = h;
	p->params = *params;
	p->wait_generation = UINT64_MAX;
	p->retry_ns = now_ns;
	p->backoff_ns = BACKOFF_MIN_NS;
	p->list = h->peers;
	h->peers = p;
	return p;
}

void lode_peer_free(struct lode_peer *p)
{
	if (!p)
		return;
	struct lode_peer **at = &p->host->peers;
	while (*at != p)
		at = &(*at)->list;
	*at = p->list;
	session_drop(&p->prev);
	session_drop(&p->cur);
	session_drop(&p->next);
	lode_noise_clear(p, sizeof(*p));
	free(p);
}

/* ---- what workers are told ---- */

const struct lode_peer_state *lode_peer_state(const struct lode_peer *p)
{
	return &p->state;
}

static void publish(struct lode_peer *p)
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
	publish(p);
	p->wait_generation = p->state.generation;
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
	p->known.valid = true;
	p->known.instance = s->peer.instance;
	p->known.names = s->names;
	p->known.accepted = s->accepted;

	handshake_abandon(p);
	p->changed &= s->epoch.serial <= p->changed_serial;
	p->backoff_ns = BACKOFF_MIN_NS;
	p->retry_ns = now_ns;
	p->n_handshakes++;
	host_count(&p->host->counters.sessions);
	publish(p);
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

static void end_sessions(struct lode_peer *p)
{
	session_drop(&p->prev);
	session_drop(&p->cur);
	p->established_ns = 0;
	publish(p);
}

void lode_peer_closed(struct lode_peer *p, uint64_t now_ns)
{
	session_drop(&p->next);
	handshake_abandon(p);
	end_sessions(p);
	p->retry_ns = now_ns + LODE_NS_PER_S;
}

/* ---- when a new session is wanted ---- */

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
	uint64_t at = p->cur->born_ns + LODE_PEER_REKEY_NS + grace_ns;
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

static void poll_attempt(struct lode_peer *p, uint64_t now_ns, unsigned *n_begun)
{
	struct attempt *a = &p->attempt;
	if (a->active && now_ns - a->started_ns >= ATTEMPT_NS) {
		handshake_abandon(p);
		p->n_failed++;
		host_count(&p->host->counters.attempts_failed);
		back_off(p, now_ns);
	}
	if (want_ns(p) <= now_ns && *n_begun < HEAVY_PER_POLL) {
		++*n_begun;
		if (handshake_start(p, now_ns))
			back_off(p, now_ns);
	}
	if (a->active && now_ns >= a->next_ns) {
		handshake_transmit(p, now_ns);
		a->next_ns = now_ns + a->interval_ns;
		a->interval_ns = LODE_MIN(2 * a->interval_ns, RETRANSMIT_MAX_NS);
	}
}

void peer_poll(struct lode_peer *p, uint64_t now_ns, unsigned *n_begun)
{
	if (p->prev && now_ns >= p->prev_until_ns) {
		session_drop(&p->prev);
		publish(p);
	}
	if (now_ns >= unconfirmed_ns(p)) {
		session_drop(&p->next);
		p->wait_generation = UINT64_MAX;
		publish(p);
	}
	if (now_ns >= reject_ns(p))
		end_sessions(p);
	poll_attempt(p, now_ns, n_begun);
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

/* ---- changes from outside ---- */

void lode_peer_kick(struct lode_peer *p, uint64_t now_ns)
{
	p->retry_ns = LODE_MIN(p->retry_ns, now_ns);
	p->backoff_ns = BACKOFF_MIN_NS;
	p->attempt.next_ns = LODE_MIN(p->attempt.next_ns, now_ns);
}

/* An address in the configuration that changed replaces what was learned. */
static void forget_moved(struct lode_peer *p, const struct lode_peer_link *links, unsigned n_links)
{
	for (unsigned id = 0; id < LODE_WIRE_PATHS; id++) {
		struct lode_peer_path *path = &p->state.paths[id];
		if (!path->valid)
			continue;
		const struct lode_endpoint *was = &p->params.links[path->link_idx].remote;
		for (unsigned i = 0; i < n_links; i++)
			if (!strcmp(links[i].name, path->name) &&
				!lode_endpoint_equal(&links[i].remote, was))
				path->valid = false;
	}
}

static bool other_names(
	const struct lode_peer *p, const struct lode_peer_link *links, unsigned n_links)
{
	unsigned n_same = 0;
	for (unsigned i = 0; i < n_links; i++)
		for (unsigned j = 0; j < p->params.n_links; j++)
			n_same += !strcmp(links[i].name, p->params.links[j].name);
	return n_same != n_links || n_same != p->params.n_links;
}

static bool other_lanes(const struct lode_wire_lanes *a, const struct lode_wire_lanes *b)
{
	return a->n_lanes != b->n_lanes ||
	       memcmp(a->udp_port, b->udp_port, a->n_lanes * sizeof(a->udp_port[0]));
}

int lode_peer_set_links(struct lode_peer *p, const struct lode_peer_link *links, unsigned n_links,
	const struct lode_wire_lanes *lanes, uint64_t now_ns, struct lode_err *err)
{
	int rc = check_links(links, n_links, lanes, err);
	if (rc)
		return rc;
	p->changed |= other_names(p, links, n_links) || other_lanes(lanes, &p->params.lanes);
	forget_moved(p, links, n_links);
	memmove(p->params.links, links, n_links * sizeof(*links));
	p->params.n_links = (uint8_t)n_links;
	p->params.lanes = *lanes;
	memset(p->cookies, 0, sizeof(p->cookies));
	if (p->changed) {
		handshake_abandon(p); /* it offers what is gone */
		p->changed_serial = p->host->serial;
	}
	lode_peer_kick(p, now_ns);
	publish(p);
	return 0;
}

void lode_peer_info(const struct lode_peer *p, struct lode_peer_info *info)
{
	*info = (struct lode_peer_info){
		.established = p->cur,
		.initiator = p->cur && p->cur->initiator,
		.shaking = p->attempt.active,
		.established_ns = p->established_ns,
		.epoch_ns = p->cur ? p->cur->born_ns : 0,
		.n_handshakes = p->n_handshakes,
		.n_failed = p->n_failed,
	};
}
