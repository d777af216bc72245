/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing and reading the three kinds of handshake datagrams. A message changes a peer only after it has been
 * found authentic, new and possible in every respect. */
#include "internal.h"

static const char prologue[] = "lodestone handshake 1";
#define PROLOGUE_BYTES (sizeof(prologue) - 1)

/* Largest payload of either message. */
#define PAYLOAD_MAX (LODE_PEER_DATAGRAM_MAX - FRAME_BYTES - LODE_NOISE_INIT_BYTES - 2 * MAC_BYTES)

static void introduce(struct lode_peer *p, struct hello *h)
{
	const struct lode_peer_host_params *host = &p->host->params;
	*h = (struct hello){
		.instance = p->instance,
		.features = host->features,
		.session = host_session_index(p->host),
		.key_phase = peer_free_phase(p),
		.version_min = host->version_min,
		.version_max = host->version_max,
		.udp_port = host->udp_port,
		.lanes = p->params.lanes,
	};
}

/* ---- as initiator ---- */

static int write_init(struct lode_peer *p, struct attempt *a)
{
	uint8_t payload[PAYLOAD_MAX], e_priv[32];
	enum lode_noise_pattern pattern = p->params.has_psk ? LODE_NOISE_IKPSK2 : LODE_NOISE_IK;
	struct frame f = {.type = LODE_WIRE_HANDSHAKE_INIT,
		.pattern = (uint8_t)pattern,
		.sender = a->ours.session};
	int len = hello_put(&a->ours, payload, sizeof(payload));
	if (len < 0)
		return len;
	lode_noise_start_initiator(&a->noise, pattern, &p->host->keys, p->params.public_key,
		p->params.has_psk ? p->params.psk : NULL, prologue, PROLOGUE_BYTES);
	frame_put(a->msg, &f);
	p->host->params.random(p->host->params.ctx, e_priv, sizeof(e_priv));
	len = lode_noise_write_init(&a->noise, e_priv, payload, (size_t)len, a->msg + FRAME_BYTES);
	lode_noise_clear(e_priv, sizeof(e_priv));
	if (len < 0)
		return len;
	size_t covered = FRAME_BYTES + (size_t)len;
	a->len = (uint16_t)(covered + 2 * MAC_BYTES);
	return lode_noise_mac(
		p->mac_keys.mac1, sizeof(p->mac_keys.mac1), a->msg, covered, a->msg + covered);
}

int handshake_start(struct lode_peer *p, uint64_t now_ns)
{
	struct attempt *a = &p->attempt;
	uint64_t counter = host_counter(p->host);
	if (!counter)
		return -EIO;
	introduce(p, &a->ours);
	a->ours.counter = counter;
	a->ours.has_links = true;
	paths_offer(p, &a->ours.links);
	int rc = write_init(p, a);
	if (rc)
		return rc;
	a->active = true;
	a->started_ns = now_ns;
	a->interval_ns = RETRANSMIT_NS;
	a->next_ns = now_ns;
	a->n_rounds = 0;
	return 0;
}

void handshake_abandon(struct lode_peer *p)
{
	lode_noise_clear(&p->attempt, sizeof(p->attempt));
}

static void handshake_transmit_link(struct lode_peer *p, unsigned link, uint64_t now_ns)
{
	struct attempt *a = &p->attempt;
	struct lode_endpoint to;
	if (!paths_target(p, link, a->n_rounds, &to))
		return;
	size_t covered = a->len - MAC_BYTES; /* mac2 proves our address, so it differs by link */
	memset(a->msg + covered, 0, MAC_BYTES);
	const struct cookie *c = &p->cookies[link];
	if (c->until_ns > now_ns &&
		lode_noise_mac(c->bytes, sizeof(c->bytes), a->msg, covered, a->msg + covered))
		return;
	static const struct lode_endpoint any;
	host_send(p->host, p->params.links[link].port_idx, &any, &to, a->msg, a->len);
	host_count(&p->host->counters.initiations_sent);
}

void handshake_transmit(struct lode_peer *p, uint64_t now_ns)
{
	for (unsigned link = 0; link < p->params.n_links; link++)
		handshake_transmit_link(p, link, now_ns);
	p->attempt.n_rounds++;
}

static struct lode_peer *waiting_peer(struct lode_peer_host *h, uint16_t session)
{
	for (struct lode_peer *p = h->peers; p; p = p->list)
		if (p->attempt.active && p->attempt.ours.session == session)
			return p;
	return NULL;
}

static bool versions_meet(const struct lode_peer_host *h, const struct hello *theirs)
{
	uint8_t version = LODE_MIN(h->params.version_max, theirs->version_max);
	return version >= h->params.version_min && version >= theirs->version_min;
}

static int refuse(uint64_t *counter, int code)
{
	host_count(counter);
	return code;
}

int handshake_on_response(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	struct frame f;
	struct hello theirs;
	uint8_t payload[LODE_PEER_DATAGRAM_MAX];
	if (d->len < FRAME_BYTES + LODE_NOISE_RESPONSE_BYTES + MAC_BYTES || frame_get(d->data, &f))
		return refuse(&h->counters.refused_malformed, -EBADMSG);
	struct lode_peer *p = waiting_peer(h, f.receiver);
	if (!p)
		return refuse(&h->counters.refused_unexpected, -ENOENT);
	struct attempt *a = &p->attempt;
	h->work_us += WORK_US_READ;
	int len = lode_noise_read_response(
		&a->noise, d->data + FRAME_BYTES, d->len - FRAME_BYTES - MAC_BYTES, payload);
	if (len < 0)
		return refuse(&h->counters.refused_crypto, -EBADMSG);
	if (hello_get(payload, (size_t)len, &theirs) || theirs.session != f.sender ||
		theirs.counter != a->ours.counter)
		return refuse(&h->counters.refused_malformed, -EBADMSG);
	if (!versions_meet(h, &theirs))
		return refuse(&h->counters.refused_version, -EPROTONOSUPPORT);
	struct session *s = session_new(p, &a->noise, true, &a->ours, &theirs, now_ns);
	if (!s)
		return -ENOMEM;
	s->via = d->remote;
	handshake_abandon(p);
	peer_set_next(p, s);
	return 0;
}

int handshake_on_cookie(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	struct frame f;
	if (d->len != FRAME_BYTES + LODE_NOISE_COOKIE_BYTES || frame_get(d->data, &f))
		return refuse(&h->counters.refused_malformed, -EBADMSG);
	struct lode_peer *p = waiting_peer(h, f.receiver);
	int link = p ? paths_link_of(p, d->port_idx, &d->remote) : -ENOENT;
	if (link < 0 || p->cookies[link].until_ns > now_ns + COOKIE_NS - RETRANSMIT_NS)
		return refuse(&h->counters.refused_unexpected, -ENOENT);
	struct cookie *c = &p->cookies[link];
	const uint8_t *mac1 = p->attempt.msg + p->attempt.len - 2 * MAC_BYTES;
	if (lode_noise_open_cookie(&p->mac_keys, mac1, d->data + FRAME_BYTES, c->bytes))
		return refuse(&h->counters.refused_crypto, -EBADMSG);
	c->until_ns = now_ns + COOKIE_NS;
	host_count(&h->counters.cookies_received);
	handshake_transmit_link(p, (unsigned)link, now_ns);
	return 0;
}

/* ---- as responder ---- */

static struct lode_peer *peer_of_key(struct lode_peer_host *h, const uint8_t key[32])
{
	for (struct lode_peer *p = h->peers; p; p = p->list)
		if (lode_noise_equal(p->params.public_key, key, 32))
			return p;
	return NULL;
}

/* An initiation that was answered already comes again, over another link or because the answer got lost:
 * the same answer. Stops when the session is confirmed, so that a recording of it gets nothing later. */
static struct lode_peer *answered_peer(struct lode_peer_host *h, const uint8_t *mac1)
{
	for (struct lode_peer *p = h->peers; p; p = p->list)
		if (p->next && !p->next->initiator &&
			lode_noise_equal(p->answer.init_mac1, mac1, MAC_BYTES))
			return p;
	return NULL;
}

static int write_response(struct lode_peer *p, struct lode_noise *noise, const struct hello *ours,
	const struct hello *theirs)
{
	uint8_t payload[PAYLOAD_MAX], e_priv[32];
	struct answer *a = &p->answer;
	struct frame f = {.type = LODE_WIRE_HANDSHAKE_RESPONSE,
		.pattern = (uint8_t)noise->pattern,
		.receiver = theirs->session,
		.sender = ours->session};
	int len = hello_put(ours, payload, sizeof(payload));
	if (len < 0)
		return len;
	frame_put(a->msg, &f);
	p->host->params.random(p->host->params.ctx, e_priv, sizeof(e_priv));
	len = lode_noise_write_response(noise, e_priv, payload, (size_t)len, a->msg + FRAME_BYTES);
	lode_noise_clear(e_priv, sizeof(e_priv));
	if (len < 0)
		return len;
	size_t covered = FRAME_BYTES + (size_t)len;
	a->len = (uint16_t)(covered + MAC_BYTES);
	return lode_noise_mac(
		p->mac_keys.mac1, sizeof(p->mac_keys.mac1), a->msg, covered, a->msg + covered);
}

static int accept_init(struct lode_peer *p, struct lode_noise *noise, const struct hello *theirs,
	uint64_t now_ns, const struct lode_peer_datagram *d)
{
	struct hello ours;
	handshake_abandon(p);
	introduce(p, &ours);
	ours.counter = theirs->counter;
	ours.accepted = paths_accept(p, &theirs->links);
	p->answer = (struct answer){0};
	int rc = write_response(p, noise, &ours, theirs);
	struct session *s = rc ? NULL : session_new(p, noise, false, &ours, theirs, now_ns);
	if (!s) {
		p->answer.len = 0;
		return rc ? rc : -ENOMEM;
	}
	memcpy(p->answer.init_mac1, d->data + d->len - 2 * MAC_BYTES, MAC_BYTES);
	p->peer_counter = theirs->counter;
	peer_set_next(p, s);
	peer_answer(p, d);
	return 0;
}

/* Both ends began at once: the smaller key's initiation counts, and the other end will answer it. Not for
 * ever: perhaps ours cannot get through. */
static bool ours_goes_first(const struct lode_peer *p, uint64_t now_ns)
{
	return p->attempt.active && now_ns - p->attempt.started_ns < PRECEDENCE_NS &&
	       memcmp(p->host->keys.pub, p->params.public_key, 32) < 0;
}

static int judge_init(struct lode_peer *p, struct lode_noise *noise, const struct frame *f,
	const struct hello *theirs, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	struct lode_peer_counters *count = &p->host->counters;
	if (theirs->session != f->sender || !theirs->has_links)
		return refuse(&count->refused_malformed, -EBADMSG);
	if (theirs->counter <= p->peer_counter)
		return refuse(&count->refused_replay, -EALREADY);
	if (!versions_meet(p->host, theirs))
		return refuse(&count->refused_version, -EPROTONOSUPPORT);
	if (ours_goes_first(p, now_ns))
		return refuse(&count->yielded, -EBUSY);
	if (p->params.has_psk)
		lode_noise_set_psk(noise, p->params.psk);
	return accept_init(p, noise, theirs, now_ns, d);
}

int handshake_on_init(struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	struct frame f;
	struct hello theirs;
	struct lode_noise noise;
	uint8_t payload[LODE_PEER_DATAGRAM_MAX];
	if (frame_get(d->data, &f))
		return refuse(&h->counters.refused_malformed, -EBADMSG);
	struct lode_peer *p = answered_peer(h, d->data + d->len - 2 * MAC_BYTES);
	if (p) {
		peer_answer(p, d);
		return 0;
	}
	h->work_us += WORK_US_READ;
	lode_noise_start_responder(
		&noise, (enum lode_noise_pattern)f.pattern, &h->keys, prologue, PROLOGUE_BYTES);
	int rc, len = lode_noise_read_init(&noise, d->data + FRAME_BYTES,
			d->len - FRAME_BYTES - 2 * MAC_BYTES, payload);
	if (len < 0)
		rc = refuse(&h->counters.refused_crypto, -EBADMSG);
	else if (!(p = peer_of_key(h, noise.rs)))
		rc = refuse(&h->counters.refused_stranger, -ENOENT);
	else if (p->params.has_psk != (f.pattern == LODE_NOISE_IKPSK2))
		rc = refuse(&h->counters.refused_psk, -EACCES);
	else if (hello_get(payload, (size_t)len, &theirs))
		rc = refuse(&h->counters.refused_malformed, -EBADMSG);
	else
		rc = judge_init(p, &noise, &f, &theirs, now_ns, d);
	lode_noise_wipe(&noise);
	return rc;
}
