/* SPDX-License-Identifier: BSD-3-Clause */
/* Two sites and the network between them in virtual time. A site is a host with one peer, and the least that
 * workers do with its state: after a delay they take the published view, send a sealed packet on every path
 * each 50 ms, open what comes in, report. Deterministic by seed. */
#pragma once

#include "lode_noise.h"
#include "lode_peer.h"

#define N_PORTS	 3
#define UDP_PORT 51820
#define MS	 LODE_NS_PER_MS
#define SECOND	 LODE_NS_PER_S

struct flight {
	uint64_t at_ns;
	struct lode_endpoint from, to;
	uint16_t len;
	uint8_t data[LODE_PEER_DATAGRAM_MAX];
};

/* Replay windows of one key phase. */
struct phase_windows {
	uint64_t serial;
	struct lode_wire_replay path[LODE_WIRE_PATHS];
};

struct site {
	struct world *world;
	unsigned idx;
	uint8_t priv[32], pub[32];
	struct lode_peer_host *host; /* NULL: the machine is off */
	struct lode_peer *peer;
	struct lode_peer_params params;
	struct lode_peer_host_params host_params;
	struct lode_ip addr[N_PORTS];
	uint64_t counter_saved;
	bool disk_full;

	struct lode_peer_state view; /* what its workers have; holds its epochs */
	uint64_t install_ns;	     /* when they get the next one; LODE_NEVER_NS: they have it */
	uint64_t probe_ns;
	uint32_t association;
	uint64_t number[LODE_WIRE_PATHS];
	uint64_t number_serial;
	struct phase_windows windows[LODE_WIRE_PHASES];
	struct lode_peer_report report;
	uint64_t n_sent, n_opened, n_no_key, n_forged;
	uint64_t tx_serials; /* how many different epochs it sealed with */
};

struct world {
	struct lode_rng rng;
	uint64_t now_ns;
	struct site sites[2];
	struct lode_aead *aead;
	struct flight flights[1024];
	unsigned n_flights;
	/* the network */
	double loss, duplicate;
	uint64_t delay_ns, jitter_ns;
	bool blocked[2]; /* nothing leaves that site */
	uint64_t n_handshakes_sent;
	/* the newest initiation that crossed the network, for replays */
	struct flight last_init;
};

/* Both sites have n_links links between equal ports; nobody is switched on yet. */
struct world *world_new(uint64_t seed, unsigned n_links);
void world_free(struct world *w);
/* Makes the host and its peer; the peer knows the other's addresses if dials. */
void site_on(struct site *s, bool dials);
void site_off(struct site *s);
void world_run(struct world *w, uint64_t for_ns);
/* A datagram of any bytes into the network, arriving at once. */
void world_inject(struct world *w, const struct flight *f);
/* Both have a session, and what each seals the other opens. */
bool world_agrees(struct world *w);
struct lode_endpoint site_endpoint(const struct site *s, unsigned port);
const struct lode_peer_counters *site_counters(const struct site *s);
