/* SPDX-License-Identifier: BSD-3-Clause */
/* Handshake datagrams. The first byte chooses how deep the rest may get: the datagram as it is; with a right
 * first MAC; as the payload of an authentic initiation; as the payload of an authentic response. */
#include "lode_noise.h"
#include "lode_peer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FRAME	 8
#define MAC	 LODE_NOISE_MAC_BYTES
#define PROLOGUE "lodestone handshake 1"

struct fuzz {
	struct lode_rng rng;
	uint8_t sent[LODE_PEER_DATAGRAM_MAX]; /* by the host, last */
	uint16_t sent_bytes;
};

static const uint8_t our_priv[32] = {8, [31] = 0x40}, peer_priv[32] = {16, [31] = 0x40};
static const struct lode_endpoint far_end = {
	.ip = {{[10] = 0xff, 0xff, 10, 0, 0, 2}}, .port = 51820};

static void fill(void *ctx, void *buf, size_t len)
{
	struct fuzz *f = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&f->rng);
}

static int save(void *ctx, uint64_t counter)
{
	return 0;
}

static void keep(void *ctx, const struct lode_peer_datagram *d)
{
	struct fuzz *f = ctx;
	if (d->len > sizeof(f->sent))
		abort();
	memcpy(f->sent, d->data, d->len);
	f->sent_bytes = d->len;
}

static void input(struct lode_peer_host *h, uint64_t now_ns, const uint8_t *msg, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* exactly sized: a sanitizer sees a read past it */
	if (!exact)
		return;
	memcpy(exact, msg, len);
	struct lode_peer_datagram d = {
		.local = far_end, .remote = far_end, .data = exact, .len = (uint16_t)len};
	lode_peer_host_input(h, now_ns, &d);
	lode_peer_host_poll(h, now_ns + LODE_NS_PER_MS);
	free(exact);
}

static void put_mac1(uint8_t *msg, size_t covered)
{
	struct lode_noise_mac_keys keys;
	uint8_t pub[32];
	lode_noise_public_key(our_priv, pub);
	lode_noise_mac_keys(pub, &keys);
	lode_noise_mac(keys.mac1, 32, msg, covered, msg + covered);
}

static void as_init(struct lode_peer_host *h, uint8_t *msg, const uint8_t *data, size_t size)
{
	static const uint8_t e_priv[32] = {24};
	struct lode_noise n;
	struct lode_noise_pair peer;
	uint8_t pub[32];
	lode_noise_public_key(our_priv, pub);
	lode_noise_make_pair(peer_priv, &peer);
	lode_noise_start_initiator(
		&n, LODE_NOISE_IK, &peer, pub, NULL, PROLOGUE, sizeof(PROLOGUE) - 1);
	memset(msg, 0, FRAME);
	msg[0] = LODE_WIRE_HANDSHAKE_INIT << 4 | 1;
	if (size >= 26)
		memcpy(msg + 4, data + 24, 2); /* the session index stands outside too */
	int len = lode_noise_write_init(&n, e_priv, data, size, msg + FRAME);
	if (len < 0)
		return;
	put_mac1(msg, FRAME + (size_t)len);
	memset(msg + FRAME + len + MAC, 0, MAC);
	input(h, LODE_NS_PER_S, msg, FRAME + (size_t)len + 2 * MAC);
}

/* The host's own initiation, which its first poll sent, is answered. */
static void as_response(
	struct lode_peer_host *h, struct fuzz *f, uint8_t *msg, const uint8_t *data, size_t size)
{
	static const uint8_t e_priv[32] = {32};
	struct lode_noise n;
	uint8_t payload[LODE_PEER_DATAGRAM_MAX];
	struct lode_noise_pair peer;
	lode_noise_make_pair(peer_priv, &peer);
	lode_noise_start_responder(&n, LODE_NOISE_IK, &peer, PROLOGUE, sizeof(PROLOGUE) - 1);
	if (lode_noise_read_init(&n, f->sent + FRAME, f->sent_bytes - FRAME - 2 * MAC, payload) < 0)
		abort();
	memset(msg, 0, FRAME);
	msg[0] = LODE_WIRE_HANDSHAKE_RESPONSE << 4 | 1;
	memcpy(msg + 2, f->sent + 4, 2);
	if (size >= 26)
		memcpy(msg + 4, data + 24, 2);
	int len = lode_noise_write_response(&n, e_priv, data, size, msg + FRAME);
	if (len < 0)
		return;
	put_mac1(msg, FRAME + (size_t)len);
	input(h, LODE_NS_PER_S, msg, FRAME + (size_t)len + MAC);
}

static void feed(struct lode_peer_host *h, struct fuzz *f, const uint8_t *data, size_t size)
{
	uint8_t msg[2048];
	switch (data[0] & 3) {
	case 0:
		input(h, LODE_NS_PER_S, data + 1, size - 1);
		break;
	case 1:
		memcpy(msg, data + 1, size - 1);
		if (size > 2 * MAC + FRAME) {
			bool init = msg[0] >> 4 == LODE_WIRE_HANDSHAKE_INIT;
			put_mac1(msg, size - 1 - (init ? 2 : 1) * MAC);
		}
		input(h, LODE_NS_PER_S, msg, size - 1);
		break;
	case 2:
		as_init(h, msg, data + 1, size - 1);
		break;
	default:
		as_response(h, f, msg, data + 1, size - 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 1400)
		return 0;
	struct fuzz f = {.sent_bytes = 0};
	struct lode_aead *aead = lode_aead_new("null", NULL);
	struct lode_peer_host_params params = {.aead = aead,
		.udp_port = 51820,
		.ctx = &f,
		.random = fill,
		.save_counter = save,
		.send = keep};
	struct lode_peer_params peer = {.n_links = 1,
		.links = {{.name = "wan0", .remote = far_end}},
		.lanes = {.n_lanes = 1, .udp_port = {51820}}};
	lode_rng_seed(&f.rng, 1);
	memcpy(params.private_key, our_priv, 32);
	lode_noise_public_key(peer_priv, peer.public_key);
	struct lode_peer_host *h = lode_peer_host_new(&params, NULL);
	struct lode_peer *p = h ? lode_peer_new(h, &peer, 0, NULL) : NULL;
	if (!p)
		abort();
	lode_peer_host_poll(h, 0);
	feed(h, &f, data, size);
	lode_peer_installed(p, UINT64_MAX, 2 * LODE_NS_PER_S);
	lode_peer_host_poll(h, 200 * LODE_NS_PER_S);
	lode_peer_host_free(h);
	lode_aead_free(aead);
	return 0;
}
