/* SPDX-License-Identifier: BSD-3-Clause */
/* The door: what a datagram must show before it costs us a multiplication on the curve, and what all peers of
 * this appliance share. */
#include "internal.h"

#include <stdlib.h>

#define COUNTER_BLOCK	   1024 /* initiations per save */
#define LOAD_PER_S_DEFAULT 50
#define LOAD_LIMIT	   10 /* times load_per_s, with cookies: more are not read */
#define SECRET_NS	   (120 * LODE_NS_PER_S)

LODE_COUNTER_DESCS(lode_peer_counter_descs, LODE_PEER_COUNTERS);
const unsigned lode_peer_n_counters = LODE_ARRAY_LEN(lode_peer_counter_descs);

struct lode_peer_host *lode_peer_host_new(
	const struct lode_peer_host_params *params, struct lode_err *err)
{
	struct lode_peer_host *h = calloc(1, sizeof(*h));
	if (!h) {
		lode_err_set(err, -ENOMEM, "peers: no memory");
		return NULL;
	}
	h->params = *params;
	if (!h->params.load_per_s)
		h->params.load_per_s = LOAD_PER_S_DEFAULT;
	if (!h->params.rekey_ns)
		h->params.rekey_ns = LODE_PEER_REKEY_NS;
	if (!h->params.version_max) {
		h->params.version_min = LODE_WIRE_VERSION_MIN;
		h->params.version_max = LODE_WIRE_VERSION;
	}
	h->counter = h->counter_saved = params->counter;
	if (lode_noise_make_pair(params->private_key, &h->keys) ||
		lode_noise_mac_keys(h->keys.pub, &h->mac_keys)) {
		lode_err_set(err, -EINVAL, "peers: the private key is not an X25519 key");
		lode_peer_host_free(h);
		return NULL;
	}
	return h;
}

void lode_peer_host_free(struct lode_peer_host *h)
{
	if (!h)
		return;
	while (h->peers)
		lode_peer_free(h->peers);
	lode_noise_clear(h, sizeof(*h));
	free(h);
}

const struct lode_peer_counters *lode_peer_host_counters(const struct lode_peer_host *h)
{
	return &h->counters;
}

void host_count(uint64_t *counter)
{
	lode_counter_add(counter, 1);
}

uint64_t host_counter(struct lode_peer_host *h)
{
	if (h->counter == h->counter_saved) {
		if (h->params.save_counter(h->params.ctx, h->counter_saved + COUNTER_BLOCK))
			return 0;
		h->counter_saved += COUNTER_BLOCK;
	}
	return ++h->counter;
}

static bool session_index_taken(const struct lode_peer_host *h, uint16_t index)
{
	for (const struct lode_peer *p = h->peers; p; p = p->list)
		if (peer_has_session_index(p, index))
			return true;
	return false;
}

/* Random, so that nobody outside can guess which are alive; few are taken, so this ends soon. */
uint16_t host_session_index(struct lode_peer_host *h)
{
	uint16_t index;
	h->params.random(h->params.ctx, &index, sizeof(index));
	while (!index || session_index_taken(h, index))
		index++;
	return index;
}

void host_send(struct lode_peer_host *h, unsigned port_idx, const struct lode_endpoint *local,
	const struct lode_endpoint *remote, const uint8_t *msg, size_t len)
{
	struct lode_peer_datagram d = {.local = *local,
		.remote = *remote,
		.data = msg,
		.len = (uint16_t)len,
		.port_idx = (uint8_t)port_idx};
	h->params.send(h->params.ctx, &d);
}

/* ---- cookies ---- */

static void turn_secret(struct lode_peer_host *h, uint64_t now_ns)
{
	if (h->cookie_secret_ns && now_ns - h->cookie_secret_ns < SECRET_NS)
		return;
	memcpy(h->cookie_secret[1], h->cookie_secret[0], sizeof(h->cookie_secret[1]));
	h->params.random(h->params.ctx, h->cookie_secret[0], sizeof(h->cookie_secret[0]));
	if (!h->cookie_secret_ns) /* both unknown to everyone from the start */
		h->params.random(h->params.ctx, h->cookie_secret[1], sizeof(h->cookie_secret[1]));
	h->cookie_secret_ns = now_ns ? now_ns : 1;
}

/* What only the owner of that address can know. */
static int make_cookie(
	const uint8_t secret[32], const struct lode_peer_datagram *d, uint8_t cookie[MAC_BYTES])
{
	uint8_t source[18];
	memcpy(source, d->remote.ip.b, 16);
	lode_store_be16(source + 16, d->remote.port);
	return lode_noise_mac(secret, 32, source, sizeof(source), cookie);
}

static bool mac2_right(struct lode_peer_host *h, const struct lode_peer_datagram *d)
{
	size_t covered = d->len - MAC_BYTES;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(h->cookie_secret); i++) {
		uint8_t cookie[MAC_BYTES], mac[MAC_BYTES];
		if (!make_cookie(h->cookie_secret[i], d, cookie) &&
			!lode_noise_mac(cookie, sizeof(cookie), d->data, covered, mac) &&
			lode_noise_equal(mac, d->data + covered, MAC_BYTES))
			return true;
	}
	return false;
}

static void send_cookie(struct lode_peer_host *h, const struct lode_peer_datagram *d)
{
	uint8_t msg[FRAME_BYTES + LODE_NOISE_COOKIE_BYTES], nonce[16], cookie[MAC_BYTES];
	struct frame f;
	h->work_us += WORK_US_COOKIE;
	frame_get(d->data, &f);
	f = (struct frame){.type = LODE_WIRE_COOKIE, .receiver = f.sender};
	frame_put(msg, &f);
	h->params.random(h->params.ctx, nonce, sizeof(nonce));
	/* Keyed with our own public key: the initiator knows it, a stranger cannot make one up. */
	if (make_cookie(h->cookie_secret[0], d, cookie) ||
		lode_noise_seal_cookie(&h->mac_keys, nonce, d->data + d->len - 2 * MAC_BYTES,
			cookie, msg + FRAME_BYTES))
		return;
	host_send(h, d->port_idx, &d->local, &d->remote, msg, sizeof(msg));
	host_count(&h->counters.cookies_sent);
}

/* ---- the door ---- */

static bool mac1_right(struct lode_peer_host *h, const uint8_t *data, size_t covered)
{
	uint8_t mac[MAC_BYTES];
	h->work_us += WORK_US_MAC;
	return !lode_noise_mac(h->mac_keys.mac1, sizeof(h->mac_keys.mac1), data, covered, mac) &&
	       lode_noise_equal(mac, data + covered, MAC_BYTES);
}

/* Initiations of this second, or of the last one when that had more. */
static uint32_t measure_load(struct lode_peer_host *h, uint64_t now_ns)
{
	uint64_t seconds = (now_ns - h->second_ns) / LODE_NS_PER_S;
	if (seconds) {
		h->n_inits_before = seconds == 1 ? h->n_inits : 0;
		h->n_inits = h->n_read = 0;
		h->second_ns += seconds * LODE_NS_PER_S;
	}
	h->n_inits++;
	return LODE_MAX(h->n_inits, h->n_inits_before);
}

static int input_init(struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	if (d->len < FRAME_BYTES + LODE_NOISE_INIT_BYTES + HELLO_FIXED_BYTES + 2 * MAC_BYTES) {
		host_count(&h->counters.refused_malformed);
		return -EBADMSG;
	}
	if (!mac1_right(h, d->data, d->len - 2 * MAC_BYTES)) {
		host_count(&h->counters.refused_mac);
		return -EACCES;
	}
	turn_secret(h, now_ns);
	uint32_t load = measure_load(h, now_ns);
	if (load > h->params.load_per_s && !mac2_right(h, d)) {
		send_cookie(h, d);
		return -EAGAIN;
	}
	if (h->n_read >= h->params.load_per_s * LOAD_LIMIT) {
		host_count(&h->counters.refused_load);
		return -EBUSY;
	}
	h->n_read++;
	return handshake_on_init(h, now_ns, d);
}

static int input_response(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	if (d->len < FRAME_BYTES + MAC_BYTES) {
		host_count(&h->counters.refused_malformed);
		return -EBADMSG;
	}
	if (!mac1_right(h, d->data, d->len - MAC_BYTES)) {
		host_count(&h->counters.refused_mac);
		return -EACCES;
	}
	return handshake_on_response(h, now_ns, d);
}

int lode_peer_host_input(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	unsigned type =
		d->len >= FRAME_BYTES && d->len <= LODE_PEER_DATAGRAM_MAX ? d->data[0] >> 4 : 0;
	switch (type) {
	case LODE_WIRE_HANDSHAKE_INIT:
		return input_init(h, now_ns, d);
	case LODE_WIRE_HANDSHAKE_RESPONSE:
		return input_response(h, now_ns, d);
	case LODE_WIRE_COOKIE:
		return handshake_on_cookie(h, now_ns, d);
	default:
		host_count(&h->counters.refused_malformed);
		return -EBADMSG;
	}
}

bool lode_peer_host_busy(const struct lode_peer_host *h)
{
	return h->work_us >= WORK_US_MAX;
}

uint64_t lode_peer_host_poll(struct lode_peer_host *h, uint64_t now_ns)
{
	uint64_t due = lode_peer_host_busy(h) ? now_ns + BUSY_NS : LODE_NEVER_NS;
	uint32_t work_us = 0;
	h->work_us = 0;
	for (struct lode_peer *p = h->peers; p; p = p->list) {
		peer_poll(p, now_ns, &work_us);
		due = LODE_MIN(due, LODE_MAX(peer_due(p), now_ns + BUSY_NS));
	}
	return due;
}
