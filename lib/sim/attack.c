/* SPDX-License-Identifier: BSD-3-Clause */
/* Somebody on the way who keeps what passes and sends what can be made of it. */
#include "sim.h"

#include "lode_wire.h"

#define CAPTURE_EVERY 32 /* data datagrams; of handshake messages each */
#define HEADERS	      (ETHER_BYTES + IPV4_BYTES + UDP_BYTES)

static bool is_handshake(const uint8_t *frame)
{
	unsigned type = frame[HEADERS] >> 4;
	return type == LODE_WIRE_HANDSHAKE_INIT || type == LODE_WIRE_HANDSHAKE_RESPONSE ||
	       type == LODE_WIRE_COOKIE;
}

void capture_frame(struct site *site, unsigned wan_port, const struct rte_mbuf *m)
{
	struct captures *c = site->sim->captures;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint16_t len = rte_pktmbuf_data_len(m);
	if (len < HEADERS + LODE_WIRE_CLEAR_BYTES || len > CAPTURE_BYTES)
		return;
	bool handshake = is_handshake(frame);
	if (!handshake && c->n_seen++ % CAPTURE_EVERY)
		return;
	struct capture *to =
		handshake ? &c->handshakes[c->n_handshakes++ % LODE_ARRAY_LEN(c->handshakes)]
			  : &c->data[c->n_data++ % LODE_ARRAY_LEN(c->data)];
	to->site = (uint8_t)site->idx;
	to->wan_port = (uint8_t)wan_port;
	to->len = len;
	memcpy(to->frame, frame, len);
}

static void mend(uint8_t *frame)
{
	uint8_t *ip = frame + ETHER_BYTES;
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, 2);
	lode_store_be16(ip + IPV4_BYTES + 6, 0);
}

/* Headers either tell the new length, or still the old one. */
static void truncate(struct capture *c, struct lode_rng *rng)
{
	c->len = (uint16_t)(ETHER_BYTES + lode_rng_below(rng, c->len - ETHER_BYTES));
	if (c->len < HEADERS || lode_rng_below(rng, 4) == 0)
		return;
	lode_store_be16(c->frame + ETHER_BYTES + 2, (uint16_t)(c->len - ETHER_BYTES));
	lode_store_be16(c->frame + ETHER_BYTES + IPV4_BYTES + 4,
		(uint16_t)(c->len - ETHER_BYTES - IPV4_BYTES));
	mend(c->frame);
}

static void flip(struct capture *c, struct lode_rng *rng)
{
	unsigned n = 1 + (unsigned)lode_rng_below(rng, 4);
	for (unsigned i = 0; i < n; i++) {
		uint64_t bit = lode_rng_below(rng, 8 * (c->len - HEADERS));
		c->frame[HEADERS + bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void new_sender(struct capture *c, struct lode_rng *rng)
{
	uint8_t *ip = c->frame + ETHER_BYTES;
	lode_store_be32(ip + 12, 198u << 24 | 18u << 16 | (uint32_t)lode_rng_below(rng, 65536));
	lode_store_be16(ip + IPV4_BYTES, (uint16_t)lode_rng_u64(rng));
}

static void forge(struct capture *c, struct lode_rng *rng)
{
	uint8_t *clear = c->frame + HEADERS;
	switch (lode_rng_below(rng, 5)) {
	case 0: /* type and version */
		clear[0] = (uint8_t)lode_rng_u64(rng);
		break;
	case 1: /* key phase, path, lane */
		clear[1] = (uint8_t)lode_rng_u64(rng);
		break;
	case 2: /* session */
		lode_store_be16(clear + 2, (uint16_t)lode_rng_u64(rng));
		break;
	case 3: /* packet number: a little ahead, or anywhere */
		lode_store_be32(clear + 4,
			lode_load_be32(clear + 4) +
				(uint32_t)(lode_rng_u64(rng) >> lode_rng_below(rng, 64)));
		break;
	default:
		new_sender(c, rng);
	}
	mend(c->frame);
}

bool lode_sim_attack(struct lode_sim *s, enum lode_sim_attack kind, struct lode_rng *rng)
{
	const struct captures *seen = s->captures;
	bool handshake = kind == LODE_SIM_FLOOD || lode_rng_below(rng, 8) == 0;
	uint64_t n = LODE_MIN(handshake ? seen->n_handshakes : seen->n_data,
		handshake ? LODE_ARRAY_LEN(seen->handshakes) : LODE_ARRAY_LEN(seen->data));
	if (n == 0)
		return false;
	uint64_t which = lode_rng_below(rng, n);
	struct capture c = handshake ? seen->handshakes[which] : seen->data[which];
	if (kind == LODE_SIM_TRUNCATED) {
		truncate(&c, rng);
	} else if (kind == LODE_SIM_FLIPPED) {
		flip(&c, rng);
	} else if (kind == LODE_SIM_FORGED) {
		forge(&c, rng);
	} else if (kind == LODE_SIM_MISROUTED) {
		c.site = (uint8_t)lode_rng_below(rng, s->params.n_sites);
	} else if (kind == LODE_SIM_FLOOD) {
		new_sender(&c, rng);
		mend(c.frame);
	}
	lode_sim_inject(s, c.site, c.wan_port, c.frame, c.len);
	return true;
}
