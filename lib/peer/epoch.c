/* SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#include <stdlib.h>

static struct lode_aead_key *lane_key(
	const struct lode_peer *p, const uint8_t transport_key[32], unsigned lane)
{
	struct lode_noise_lane_key k;
	if (lode_noise_lane_key(transport_key, lane, &k))
		return NULL;
	struct lode_aead_key *key = lode_aead_key_new(p->host->params.aead, k.key, k.salt);
	lode_noise_clear(&k, sizeof(k));
	return key;
}

static int make_keys(struct lode_peer *p, struct lode_peer_epoch *e, const struct lode_noise *noise,
	bool initiator)
{
	uint8_t out[32], in[32];
	int rc = initiator ? lode_noise_split(noise, out, in) : lode_noise_split(noise, in, out);
	for (unsigned i = 0; !rc && i < e->n_rx_lanes; i++)
		rc = (e->rx[i] = lane_key(p, in, i)) ? 0 : -ENOMEM;
	for (unsigned i = 0; !rc && i < e->n_tx_lanes; i++)
		rc = (e->tx[i] = lane_key(p, out, i)) ? 0 : -ENOMEM;
	lode_noise_clear(in, sizeof(in));
	lode_noise_clear(out, sizeof(out));
	return rc;
}

struct session *session_new(struct lode_peer *p, const struct lode_noise *noise, bool initiator,
	const struct hello *ours, const struct hello *theirs, uint64_t now_ns)
{
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->initiator = initiator;
	s->born_ns = now_ns;
	s->peer = *theirs;
	s->names = initiator ? ours->links : theirs->links;
	s->accepted = initiator ? theirs->accepted & paths_accept(p, &ours->links) : ours->accepted;
	s->epoch = (struct lode_peer_epoch){
		.serial = ++p->host->serial,
		.session = ours->session,
		.key_phase = ours->key_phase,
		.peer_session = theirs->session,
		.peer_phase = theirs->key_phase,
		.version = LODE_MIN(ours->version_max, theirs->version_max),
		.n_rx_lanes = ours->lanes.n_lanes,
		.n_tx_lanes = theirs->lanes.n_lanes,
		.features = ours->features & theirs->features,
		.refs = 1,
	};
	if (make_keys(p, &s->epoch, noise, initiator))
		session_drop(&s);
	return s;
}

void session_drop(struct session **s)
{
	if (*s)
		lode_peer_epoch_drop(&(*s)->epoch);
	*s = NULL;
}

void lode_peer_epoch_hold(struct lode_peer_epoch *e)
{
	e->refs++;
}

void lode_peer_epoch_drop(struct lode_peer_epoch *e)
{
	if (!e || --e->refs)
		return;
	for (unsigned i = 0; i < LODE_WIRE_LANES; i++) {
		lode_aead_key_free(e->rx[i]);
		lode_aead_key_free(e->tx[i]);
	}
	free((struct session *)e);
}
static_assert(offsetof(struct session, epoch) == 0, "the cast above");
