/* SPDX-License-Identifier: BSD-3-Clause */
/* The door: what an initiation must show before it costs us a multiplication on the curve. That the sender knows
 * whom it calls (mac1). Under load, that it owns its address (mac2); else it gets a cookie, as long as there is time
 * for that. Then, so that nobody can fill the room alone: not too many from one network, and from all those where no
 * peer of ours is together. */
#include "internal.h"

#define LOAD_LIMIT 10 /* times load_per_s, with cookies: more from unknown addresses are not read */
#define SECRET_NS  (120 * LODE_NS_PER_S)

/* ---- cookies ---- */

static void turn_secret(struct lode_peer_host *h, uint64_t now_ns)
{
	struct door *door = &h->door;
	if (door->secret_ns && now_ns - door->secret_ns < SECRET_NS)
		return;
	memcpy(door->secret[1], door->secret[0], sizeof(door->secret[1]));
	h->params.random(h->params.ctx, door->secret[0], sizeof(door->secret[0]));
	if (!door->secret_ns) /* both unknown to everyone from the start */
		h->params.random(h->params.ctx, door->secret[1], sizeof(door->secret[1]));
	door->secret_ns = now_ns ? now_ns : 1;
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

/* Who has no cookie yet leaves mac2 zero: that is seen for nothing. */
static bool mac2_right(struct lode_peer_host *h, const struct lode_peer_datagram *d)
{
	static const uint8_t none[MAC_BYTES];
	size_t covered = d->len - MAC_BYTES;
	if (lode_noise_equal(none, d->data + covered, MAC_BYTES))
		return false;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(h->door.secret); i++) {
		uint8_t cookie[MAC_BYTES], mac[MAC_BYTES];
		h->work_us += 2 * WORK_US_MAC;
		if (!make_cookie(h->door.secret[i], d, cookie) &&
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
	if (make_cookie(h->door.secret[0], d, cookie) ||
		lode_noise_seal_cookie(&h->mac_keys, nonce, d->data + d->len - 2 * MAC_BYTES,
			cookie, msg + FRAME_BYTES))
		return;
	host_send(h, d->port_idx, &d->local, &d->remote, msg, sizeof(msg));
	host_count(&h->counters.cookies_sent);
}

/* ---- how many ---- */

/* Initiations of this second, or of the last one when that had more. */
static uint32_t measure_load(struct door *door, uint64_t now_ns)
{
	uint64_t seconds = (now_ns - door->second_ns) / LODE_NS_PER_S;
	if (seconds) {
		door->n_inits_before = seconds == 1 ? door->n_inits : 0;
		door->n_inits = door->n_read = 0;
		memset(door->n_read_from, 0, sizeof(door->n_read_from));
		door->second_ns += seconds * LODE_NS_PER_S;
	}
	door->n_inits++;
	return LODE_MAX(door->n_inits, door->n_inits_before);
}

/* An IPv4 address, or the half of an IPv6 address that its owner cannot choose; some share a count. */
static uint32_t *read_from(struct lode_peer_host *h, const struct lode_ip *ip)
{
	uint64_t network;
	memcpy(&network, ip->b + (lode_ip_is_v4(ip) ? 8 : 0), sizeof(network));
	uint64_t hash = lode_mix64(network ^ h->door.hash_key);
	return &h->door.n_read_from[hash % LODE_ARRAY_LEN(h->door.n_read_from)];
}

static bool peer_is_there(const struct lode_peer_host *h, const struct lode_peer_datagram *d)
{
	for (const struct lode_peer *p = h->peers; p; p = p->list)
		if (paths_link_of(p, d->port_idx, &d->remote) >= 0)
			return true;
	return false;
}

static bool has_room(struct lode_peer_host *h, const struct lode_peer_datagram *d)
{
	uint32_t *n_from = read_from(h, &d->remote.ip);
	if (*n_from >= h->params.load_per_s ||
		(h->door.n_read >= h->params.load_per_s * LOAD_LIMIT && !peer_is_there(h, d)))
		return false;
	++*n_from;
	h->door.n_read++;
	return true;
}

/* ---- the door ---- */

bool door_knows_us(struct lode_peer_host *h, const uint8_t *data, size_t covered)
{
	uint8_t mac[MAC_BYTES];
	h->work_us += WORK_US_MAC;
	return !lode_noise_mac(h->mac_keys.mac1, sizeof(h->mac_keys.mac1), data, covered, mac) &&
	       lode_noise_equal(mac, data + covered, MAC_BYTES);
}

int door_admit(struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d)
{
	turn_secret(h, now_ns);
	uint32_t load = measure_load(&h->door, now_ns);
	bool proven = load <= h->params.load_per_s || mac2_right(h, d);
	if (!proven && h->work_us < WORK_US_COOKIES) {
		send_cookie(h, d);
		return -EAGAIN;
	}
	if (proven && has_room(h, d))
		return 0;
	host_count(&h->counters.refused_load);
	return -EBUSY;
}
