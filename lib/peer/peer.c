/* SPDX-License-Identifier: BSD-3-Clause */
/* One peer's life: made, changed, asked about. */
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
	h->params.random(h->params.ctx, &p->instance, sizeof(p->instance));
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
	peer_publish(p);
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
