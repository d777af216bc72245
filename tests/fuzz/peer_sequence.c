/* SPDX-License-Identifier: BSD-3-Clause */
/* Two hosts and a network that does what the input says: delivers, damages, repeats, forgets, lets time pass, lets
 * workers be slow, restarts a host. After every step what workers are told must be consistent; and however bad
 * it was, once the network works both must have a session that they agree on. */
#include "lode_noise.h"
#include "lode_peer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_LETTERS  16
#define UDP_PORT   51820
#define HEALING_NS (40 * LODE_NS_PER_S)
#define STABLE_NS  (4 * LODE_NS_PER_S)
#define STEP_NS	   (50 * LODE_NS_PER_MS)

struct letter {
	uint16_t len; /* 0: none */
	uint8_t to;
	uint8_t data[LODE_PEER_DATAGRAM_MAX];
};

struct end {
	struct world *world;
	uint8_t idx;
	struct lode_rng rng;
	uint8_t priv[32], pub[32];
	struct lode_endpoint at;
	uint64_t counter;
	struct lode_peer_host *host;
	struct lode_peer *peer;
	struct lode_peer_report report;
};

struct world {
	struct lode_aead *aead;
	struct end ends[2];
	struct letter letters[N_LETTERS];
	unsigned next_letter;
	uint64_t now_ns;
	const uint8_t *data;
	size_t left;
};

static uint8_t take(struct world *w)
{
	if (!w->left)
		return 0;
	w->left--;
	return *w->data++;
}

static void fill(void *ctx, void *buf, size_t len)
{
	struct end *e = ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)lode_rng_u64(&e->rng);
}

static int save(void *ctx, uint64_t counter)
{
	struct end *e = ctx;
	if (counter <= e->counter)
		abort();
	e->counter = counter;
	return 0;
}

static void post(void *ctx, const struct lode_peer_datagram *d)
{
	struct end *e = ctx;
	struct end *to = &e->world->ends[1 - e->idx];
	if (d->len > LODE_PEER_DATAGRAM_MAX)
		abort();
	if (!lode_endpoint_equal(&d->remote, &to->at))
		return; /* to where nobody is */
	struct letter *l = &e->world->letters[e->world->next_letter++ % N_LETTERS];
	l->len = d->len;
	l->to = to->idx;
	memcpy(l->data, d->data, d->len);
}

static void switch_on(struct end *e)
{
	struct end *other = &e->world->ends[1 - e->idx];
	struct lode_peer_host_params host = {.aead = e->world->aead,
		.udp_port = UDP_PORT,
		.load_per_s = 5,
		.counter = e->counter,
		.ctx = e,
		.random = fill,
		.save_counter = save,
		.send = post};
	struct lode_peer_params peer = {.n_links = 1,
		.links = {{.name = "wan0"}},
		.lanes = {.n_lanes = 1, .udp_port = {UDP_PORT}}};
	if (e->idx == 0)
		peer.links[0].remote = other->at;
	memcpy(host.private_key, e->priv, 32);
	memcpy(peer.public_key, other->pub, 32);
	e->report = (struct lode_peer_report){0};
	e->host = lode_peer_host_new(&host, NULL);
	e->peer = e->host ? lode_peer_new(e->host, &peer, e->world->now_ns, NULL) : NULL;
	if (!e->peer)
		abort();
}

static void deliver(struct world *w, struct letter *l)
{
	struct end *to = &w->ends[l->to];
	uint8_t *exact = malloc(l->len ? l->len : 1);
	if (!exact || !l->len) {
		free(exact);
		return;
	}
	memcpy(exact, l->data, l->len);
	struct lode_peer_datagram d = {
		.local = to->at, .remote = w->ends[1 - l->to].at, .data = exact, .len = l->len};
	lode_peer_host_input(to->host, w->now_ns, &d);
	free(exact);
}

/* The epoch of `to` under which it reads what `from` seals; NULL: it cannot. */
static struct lode_peer_epoch *reads(const struct end *from, const struct end *to)
{
	const struct lode_peer_epoch *tx = lode_peer_state(from->peer)->tx;
	struct lode_peer_epoch *rx =
		tx ? lode_peer_state(to->peer)->rx[tx->peer_phase % LODE_WIRE_PHASES] : NULL;
	return rx && rx->session == tx->peer_session ? rx : NULL;
}

/* A sealed packet, if it knows where to go and can be opened. */
static void packet(struct world *w, struct end *from)
{
	struct end *to = &w->ends[1 - from->idx];
	const struct lode_peer_path *path = &lode_peer_state(from->peer)->paths[0];
	struct lode_peer_epoch *rx = reads(from, to);
	if (!rx || !path->valid || !lode_endpoint_equal(&path->remote[0], &to->at))
		return;
	uint8_t data[32] = {0};
	struct lode_aead_op op = {
		.data = data, .nonce = w->now_ns, .aad_bytes = 8, .text_bytes = 8};
	lode_aead_seal_burst(lode_peer_state(from->peer)->tx->tx[0], &op, 1);
	if (!lode_aead_open_burst(rx->rx[0], &op, 1))
		return;
	to->report.rx_epoch = LODE_MAX(to->report.rx_epoch, rx->serial);
	to->report.last_rx_ns = w->now_ns;
	lode_peer_report(to->peer, &to->report, w->now_ns);
	lode_peer_roam(to->peer, 0, 0, 0, &from->at, w->now_ns);
}

static void check(const struct end *e)
{
	const struct lode_peer_state *s = lode_peer_state(e->peer);
	bool tx_opens = false;
	for (unsigned i = 0; i < LODE_WIRE_PHASES; i++) {
		const struct lode_peer_epoch *rx = s->rx[i];
		if (!rx)
			continue;
		if (rx->key_phase != i || !rx->session || !rx->refs || !rx->rx[0] || !rx->tx[0])
			abort();
		for (unsigned k = 0; k < i; k++)
			if (s->rx[k] && s->rx[k]->session == rx->session)
				abort();
		tx_opens |= rx == s->tx;
	}
	if (s->tx && !tx_opens)
		abort();
}

static void step(struct world *w)
{
	uint8_t op = take(w), arg = take(w);
	struct end *e = &w->ends[arg & 1];
	struct letter *l = &w->letters[(arg >> 1) % N_LETTERS];
	static const struct lode_endpoint nowhere = {.ip = {{[15] = 1}}, .port = 9};
	switch (op % 12) {
	case 0:
	case 1:
		deliver(w, l);
		l->len = 0;
		break;
	case 2:
		deliver(w, l); /* and again later */
		break;
	case 3:
		if (l->len)
			l->data[take(w) % l->len] ^= (uint8_t)(take(w) | 1);
		break;
	case 4:
		w->now_ns += (uint64_t)arg * 10 * LODE_NS_PER_MS;
		break;
	case 5:
		w->now_ns += (uint64_t)arg * LODE_NS_PER_S;
		break;
	case 6:
	case 7:
		lode_peer_installed(e->peer, lode_peer_state(e->peer)->generation, w->now_ns);
		break;
	case 8:
		packet(w, e);
		break;
	case 9:
		lode_peer_roam(e->peer, 0, 0, 0, &nowhere, w->now_ns);
		break;
	case 10:
		if (arg & 2)
			lode_peer_closed(e->peer, w->now_ns);
		else
			lode_peer_kick(e->peer, w->now_ns);
		break;
	default:
		lode_peer_host_free(e->host);
		switch_on(e);
		break;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (lode_peer_host_poll(w->ends[i].host, w->now_ns) <= w->now_ns)
			abort();
		check(&w->ends[i]);
	}
}

static bool agree(const struct world *w)
{
	return reads(&w->ends[0], &w->ends[1]) && reads(&w->ends[1], &w->ends[0]) &&
	       lode_endpoint_equal(
		       &lode_peer_state(w->ends[0].peer)->paths[0].remote[0], &w->ends[1].at) &&
	       lode_endpoint_equal(
		       &lode_peer_state(w->ends[1].peer)->paths[0].remote[0], &w->ends[0].at);
}

/* Within HEALING_NS they agree, and still do when a silence would have been noticed. */
static void heal(struct world *w)
{
	uint64_t end_ns = w->now_ns + HEALING_NS, agreed_ns = 0;
	memset(w->letters, 0, sizeof(w->letters));
	while (!agreed_ns || w->now_ns - agreed_ns < STABLE_NS) {
		for (unsigned i = 0; i < 2; i++) {
			struct end *e = &w->ends[i];
			lode_peer_host_poll(e->host, w->now_ns);
			lode_peer_installed(
				e->peer, lode_peer_state(e->peer)->generation, w->now_ns);
			packet(w, e);
		}
		for (unsigned i = 0; i < N_LETTERS; i++) {
			deliver(w, &w->letters[i]);
			w->letters[i].len = 0;
		}
		if (!agree(w))
			agreed_ns = 0;
		else if (!agreed_ns)
			agreed_ns = w->now_ns;
		w->now_ns += STEP_NS;
		if (w->now_ns > end_ns)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 400)
		return 0;
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		return 0;
	w->aead = lode_aead_new("null", NULL);
	w->now_ns = 1000 * LODE_NS_PER_S;
	w->data = data;
	w->left = size;
	bool swap = take(w) & 1; /* which end has the smaller key */
	for (uint8_t i = 0; i < 2; i++) {
		struct end *e = &w->ends[i];
		e->world = w;
		e->idx = i;
		e->priv[0] = (uint8_t)(8 + 8 * (i ^ swap));
		e->priv[31] = 0x40;
		lode_noise_public_key(e->priv, e->pub);
		lode_rng_seed(&e->rng, i + 1u);
		e->at = (struct lode_endpoint){
			lode_ip_from_v4_be(0x0100000au + ((uint32_t)i << 24)), UDP_PORT};
	}
	switch_on(&w->ends[0]);
	switch_on(&w->ends[1]);
	while (w->left)
		step(w);
	heal(w);
	lode_peer_host_free(w->ends[0].host);
	lode_peer_host_free(w->ends[1].host);
	lode_aead_free(w->aead);
	free(w);
	return 0;
}
