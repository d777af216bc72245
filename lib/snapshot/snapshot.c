/* SPDX-License-Identifier: BSD-3-Clause */
/* Building and freeing of snapshots: the control lcore's side. */
#include "lode_snapshot.h"

#include <stdlib.h>

static_assert(LODE_SESSION_SLOTS >= 2 * LODE_PEERS_MAX * LODE_EPOCHS, "lookups must end");
static_assert((LODE_SESSION_SLOTS & (LODE_SESSION_SLOTS - 1)) == 0, "a power of two");

void lode_peer_view_unref(struct lode_peer_view *v)
{
	if (v != NULL && --v->refs == 0 && v->release != NULL)
		v->release(v);
}

struct lode_snapshot *lode_snapshot_new(uint64_t serial)
{
	struct lode_snapshot *s = calloc(1, sizeof(*s));
	if (s != NULL)
		s->serial = serial;
	return s;
}

static int add_session(struct lode_snapshot *s, uint16_t session, uint8_t peer_idx, uint8_t epoch,
	struct lode_err *err)
{
	uint32_t i = session % LODE_SESSION_SLOTS;
	for (; s->sessions[i].session != 0; i = (i + 1) % LODE_SESSION_SLOTS) {
		if (s->sessions[i].session == session)
			return lode_err_set(err, -EEXIST,
				"snapshot: session %u belongs to peer %u and peer %u", session,
				s->sessions[i].peer_idx, peer_idx);
	}
	s->sessions[i] = (struct lode_session_slot){session, peer_idx, epoch};
	return 0;
}

int lode_snapshot_finish(struct lode_snapshot *s, struct lode_err *err)
{
	/* References first: a snapshot that fails here is freed as any other. */
	for (unsigned p = 0; p < LODE_PEERS_MAX; p++) {
		if (s->peers[p] != NULL)
			s->peers[p]->refs++;
	}
	if (s->routes != NULL)
		lode_routes_ref(s->routes);
	if (s->neighbours != NULL)
		lode_neighbours_ref(s->neighbours);
	s->finished = true;
	for (unsigned p = 0; p < LODE_PEERS_MAX; p++) {
		for (unsigned e = 0; s->peers[p] != NULL && e < LODE_EPOCHS; e++) {
			const struct lode_epoch_view *epoch = &s->peers[p]->epochs[e];
			if (!epoch->rx_valid)
				continue;
			int ret = add_session(s, epoch->rx_session, (uint8_t)p, (uint8_t)e, err);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

void lode_snapshot_free(struct lode_snapshot *s)
{
	if (s == NULL)
		return;
	if (s->finished) {
		for (unsigned p = 0; p < LODE_PEERS_MAX; p++)
			lode_peer_view_unref(s->peers[p]);
		lode_routes_unref(s->routes);
		lode_neighbours_unref(s->neighbours);
	}
	free(s);
}
