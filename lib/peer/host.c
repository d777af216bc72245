/* SPDX-License-Identifier: BSD-3-Clause */
/* What all peers of this appliance share, and which way a datagram goes. */
#include "internal.h"

#include <stdlib.h>

#define COUNTER_BLOCK	   1024 /* initiations per save */
#define LOAD_PER_S_DEFAULT 50

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
	params->random(params->ctx, &h->door.hash_key, sizeof(h->door.hash_key));
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

/* ---- what comes in ---- */

static int input_init(struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	if (d->len < FRAME_BYTES + LODE_NOISE_INIT_BYTES + HELLO_FIXED_BYTES + 2 * MAC_BYTES) {
		host_count(&h->counters.refused_malformed);
		return -EBADMSG;
	}
	if (!door_knows_us(h, d->data, d->len - 2 * MAC_BYTES)) {
		host_count(&h->counters.refused_mac);
		return -EACCES;
	}
	int rc = door_admit(h, now_ns, d);
	return rc ? rc : handshake_on_init(h, now_ns, d);
}

static int input_response(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	if (d->len < FRAME_BYTES + MAC_BYTES) {
		host_count(&h->counters.refused_malformed);
		return -EBADMSG;
	}
	if (!door_knows_us(h, d->data, d->len - MAC_BYTES)) {
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
	uint64_t due =
		h->work_us ? now_ns + BUSY_NS : LODE_NEVER_NS; /* where some came, more may */
	h->work_us = 0;
	bool may_begin = true;
	for (struct lode_peer *p = h->peers; p; p = p->list) {
		peer_poll(p, now_ns, &may_begin);
		due = LODE_MIN(due, LODE_MAX(peer_due(p), now_ns + BUSY_NS));
	}
	return due;
}
