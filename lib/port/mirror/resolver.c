/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_mirror.h"

#include <stdlib.h>

#define ASK_PENDING_NS (500 * LODE_NS_PER_MS) /* nobody has answered yet */
#define ASK_FAILED_NS  (1 * LODE_NS_PER_S)    /* the kernel gave up */
/* The kernel calls an entry stale 15 to 45 s after its last confirmation, and our traffic does not
 * confirm. Asking a reachable entry costs nothing, asking a stale one makes it probe. */
#define CONFIRM_NS (10 * LODE_NS_PER_S)
#define FORGET_NS  (60 * LODE_NS_PER_S) /* no answer for that long: the last good MAC is given up */

struct neighbour {
	struct lode_ip ip;
	uint8_t port_idx, mac[6];
	bool used, always, has_mac;
	enum lode_neighbour_state state;
	uint64_t ask_ns;    /* when to ask next */
	uint64_t good_ns;   /* last time the kernel vouched for the MAC, or the first want */
	uint64_t wanted_ns; /* last want or news */
};

struct lode_resolver {
	struct lode_resolver_ops ops;
	void *ctx;
	struct neighbour table[LODE_RESOLVER_MAX];
};

struct lode_resolver *lode_resolver_new(const struct lode_resolver_ops *ops, void *ctx)
{
	struct lode_resolver *r = calloc(1, sizeof(*r));
	if (r) {
		r->ops = *ops;
		r->ctx = ctx;
	}
	return r;
}

void lode_resolver_free(struct lode_resolver *r)
{
	free(r);
}

static struct neighbour *find(struct lode_resolver *r, unsigned port_idx, const struct lode_ip *ip)
{
	for (unsigned i = 0; i < LODE_RESOLVER_MAX; i++) {
		struct neighbour *n = &r->table[i];
		if (n->used && n->port_idx == port_idx && !memcmp(&n->ip, ip, sizeof(*ip)))
			return n;
	}
	return NULL;
}

static void forget(struct lode_resolver *r, struct neighbour *n)
{
	if (n->has_mac)
		r->ops.tell(r->ctx, n->port_idx, &n->ip, NULL);
	n->has_mac = false;
	n->used = n->always;
}

/* The entry of that address, in place of the least recently wanted one if the table is full. */
static struct neighbour *find_or_add(
	struct lode_resolver *r, unsigned port_idx, const struct lode_ip *ip, uint64_t now_ns)
{
	struct neighbour *n = find(r, port_idx, ip), *oldest = NULL;
	if (n)
		return n;
	for (unsigned i = 0; i < LODE_RESOLVER_MAX; i++) {
		n = &r->table[i];
		if (!n->used)
			break;
		if (!n->always && (!oldest || n->wanted_ns < oldest->wanted_ns))
			oldest = n;
	}
	if (n->used) {
		if (!oldest)
			return NULL;
		n = oldest;
		forget(r, n);
	}
	*n = (struct neighbour){
		.ip = *ip,
		.port_idx = (uint8_t)port_idx,
		.used = true,
		.ask_ns = now_ns,
		.good_ns = now_ns,
		.wanted_ns = now_ns,
	};
	return n;
}

static void ask(struct lode_resolver *r, struct neighbour *n, uint64_t now_ns)
{
	static const uint64_t again_ns[] = {
		[LODE_NEIGHBOUR_PENDING] = ASK_PENDING_NS,
		[LODE_NEIGHBOUR_GOOD] = CONFIRM_NS,
		[LODE_NEIGHBOUR_FAILED] = ASK_FAILED_NS,
	};
	n->ask_ns = now_ns + again_ns[n->state];
	r->ops.ask(r->ctx, n->port_idx, &n->ip);
}

void lode_resolver_want(struct lode_resolver *r, unsigned port_idx, const struct lode_ip *ip,
	bool always, uint64_t now_ns)
{
	struct neighbour *n = find_or_add(r, port_idx, ip, now_ns);
	if (!n)
		return;
	n->always |= always;
	n->wanted_ns = now_ns;
	if (n->has_mac) /* whoever asks has lost it */
		r->ops.tell(r->ctx, port_idx, ip, n->mac);
	else if (n->ask_ns <= now_ns)
		ask(r, n, now_ns);
}

void lode_resolver_learn(struct lode_resolver *r, unsigned port_idx, const struct lode_ip *ip,
	enum lode_neighbour_state state, const uint8_t mac[6], uint64_t now_ns)
{
	struct neighbour *n = find(r, port_idx, ip);
	if (!n && state != LODE_NEIGHBOUR_GOOD)
		return;
	if (!n && !(n = find_or_add(r, port_idx, ip, now_ns)))
		return;
	if (n->state != state)
		n->ask_ns = now_ns + (state == LODE_NEIGHBOUR_GOOD ? CONFIRM_NS : ASK_FAILED_NS);
	n->state = state;
	if (state != LODE_NEIGHBOUR_GOOD)
		return;
	n->good_ns = now_ns;
	if (n->has_mac && !memcmp(n->mac, mac, 6))
		return;
	memcpy(n->mac, mac, 6);
	n->has_mac = true;
	r->ops.tell(r->ctx, port_idx, ip, mac);
}

static bool given_up(const struct neighbour *n, uint64_t now_ns)
{
	return n->state != LODE_NEIGHBOUR_GOOD && now_ns - n->good_ns >= FORGET_NS;
}

uint64_t lode_resolver_poll(struct lode_resolver *r, uint64_t now_ns)
{
	uint64_t next_ns = LODE_NEVER_NS;
	for (unsigned i = 0; i < LODE_RESOLVER_MAX; i++) {
		struct neighbour *n = &r->table[i];
		if (!n->used)
			continue;
		if (given_up(n, now_ns))
			forget(r, n);
		if (n->used && n->ask_ns <= now_ns)
			ask(r, n, now_ns);
		if (n->used)
			next_ns = LODE_MIN(next_ns, n->ask_ns);
	}
	return next_ns;
}
