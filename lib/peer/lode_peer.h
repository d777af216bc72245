/* SPDX-License-Identifier: BSD-3-Clause */
/* peer: the other appliances as the control lcore sees them: handshakes, keys and their ages, paths and the
 * addresses behind them. A host is this appliance's end of all handshakes (static key, cookies, which peer a
 * message is from); a peer is one of the others. Control lcore only (or the simulator). Sans-I/O: datagrams
 * and times come in, datagrams leave through a callback, what workers need is a plain struct. Times are ns of
 * the workers' monotonic clock. docs/protocol.md tells the state machines. */
#pragma once

#include "lode_aead.h"
#include "lode_base.h"
#include "lode_wire.h"

#define LODE_PEER_REKEY_NS	 (120 * LODE_NS_PER_S) /* the initiator asks for new keys */
#define LODE_PEER_REKEY_GRACE_NS (15 * LODE_NS_PER_S)  /* then the responder does */
#define LODE_PEER_REJECT_NS	 (180 * LODE_NS_PER_S) /* keys older than this are gone */
#define LODE_PEER_REKEY_PACKETS	 (1ull << 28)	       /* sealed with one key */
#define LODE_PEER_REJECT_PACKETS (1ull << 30)
#define LODE_PEER_SILENCE_NS	 (3 * LODE_NS_PER_S) /* nothing authentic: ask for a new session */
#define LODE_PEER_DATAGRAM_MAX	 1232		     /* largest handshake message */

struct lode_peer_host;
struct lode_peer;

/* A handshake datagram, in or out. */
struct lode_peer_datagram {
	struct lode_endpoint local; /* out, when we begin: none; the port's address and udp_port */
	struct lode_endpoint remote;
	const uint8_t *data;
	uint16_t len;
	uint8_t port_idx;
};

struct lode_peer_host_params {
	uint8_t private_key[32];
	const struct lode_aead *aead;	  /* for the lanes' keys; outlives them all */
	uint16_t udp_port;		  /* of worker 0, as peers configure it */
	uint64_t features;		  /* feature bits offered */
	uint8_t version_min, version_max; /* 0: those of lode_wire.h */
	/* Initiations; more than this, and cookies are asked for. Of one network no more are read, of all addresses
	 * where no peer is ten times as many. 0: 50. */
	uint32_t load_per_s;
	uint64_t rekey_ns; /* age of a session that is renewed; 0: LODE_PEER_REKEY_NS */
	/* The last one given to save_counter, 0 at the very first start; or more, never less. */
	uint64_t counter;
	void *ctx;
	/* Secure random bytes (the simulator gives seeded ones). */
	void (*random)(void *ctx, void *buf, size_t len);
	/* Handshake counters up to this one may be used from now on: keep it before returning. Called with a
	 * block reserved ahead, so seldom. 0 or -errno (then no handshake is started). */
	int (*save_counter)(void *ctx, uint64_t counter);
	/* Takes a copy of what it needs. */
	void (*send)(void *ctx, const struct lode_peer_datagram *d);
};

/* NULL: err says why. */
struct lode_peer_host *lode_peer_host_new(
	const struct lode_peer_host_params *params, struct lode_err *err);
/* Frees its peers too; epochs that are still referred to live on. */
void lode_peer_host_free(struct lode_peer_host *h);
/* A message of type HANDSHAKE_INIT, HANDSHAKE_RESPONSE or COOKIE. Strangers get no answer: everything refused
 * is counted, and -errno says why to the caller only. */
int lode_peer_host_input(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d);
/* Half a millisecond of cryptography and more was done since the last poll: input can wait until after the next
 * one, so that a flood of handshakes does not hold up the rest of the control lcore's work. */
bool lode_peer_host_busy(const struct lode_peer_host *h);
/* Timers of all peers; begins one handshake at most. Returns when it wants to be called next; after input in a
 * millisecond, for there may be more. */
uint64_t lode_peer_host_poll(struct lode_peer_host *h, uint64_t now_ns);

/* ---- one peer ---- */

struct lode_peer_link {
	char name[LODE_NAME_MAX];    /* the same at both ends: it pairs the paths */
	uint8_t port_idx;	     /* local WAN port */
	struct lode_endpoint remote; /* ip none: learned from authenticated packets */
};

struct lode_peer_params {
	uint8_t public_key[32];
	bool has_psk;
	uint8_t psk[32];
	struct lode_peer_link links[LODE_WIRE_PATHS];
	uint8_t n_links;
	struct lode_wire_lanes lanes; /* UDP port on which we want each lane; n_lanes >= 1 */
};

/* NULL: err says why (bad key, two peers with one key, no lanes, equal link names). */
struct lode_peer *lode_peer_new(struct lode_peer_host *h, const struct lode_peer_params *params,
	uint64_t now_ns, struct lode_err *err);
void lode_peer_free(struct lode_peer *p);
/* New links or lanes while running. What both ends still have keeps its path id; the other end learns of the
 * rest by a new handshake, which starts at once. */
int lode_peer_set_links(struct lode_peer *p, const struct lode_peer_link *links, unsigned n_links,
	const struct lode_wire_lanes *lanes, uint64_t now_ns, struct lode_err *err);
/* The outside changed (a port came up, got an address): a waiting handshake is tried again now. */
void lode_peer_kick(struct lode_peer *p, uint64_t now_ns);

/* ---- what workers need to know ---- */

/* Keys of one handshake. Counted references, taken and dropped on the control lcore only: each snapshot that
 * shows an epoch holds it, so keys are wiped when the last worker has left them. Read-only otherwise. */
struct lode_peer_epoch {
	uint64_t serial; /* never used twice by a host; 0 is none */
	/* In packets that we receive. session: not 0, of no other living epoch of the host; key_phase: of
	 * no other living epoch of the peer. */
	uint16_t session;
	uint8_t key_phase;
	uint16_t peer_session;		/* in packets that we send */
	uint8_t peer_phase;		/* in packets that we send */
	uint8_t version;		/* in packets that we send */
	uint8_t n_rx_lanes, n_tx_lanes; /* ours, the peer's */
	uint64_t features;		/* both ends have them */
	struct lode_aead_key *rx[LODE_WIRE_LANES], *tx[LODE_WIRE_LANES];
	uint32_t refs;
};
void lode_peer_epoch_hold(struct lode_peer_epoch *e);
void lode_peer_epoch_drop(struct lode_peer_epoch *e); /* NULL is nothing */

struct lode_peer_path {
	bool valid; /* both ends have the link */
	uint8_t link_idx, port_idx;
	char name[LODE_NAME_MAX];
	/* Where to send each lane; ip none while unknown. */
	struct lode_endpoint remote[LODE_WIRE_LANES];
};

struct lode_peer_state {
	uint64_t generation; /* changes whenever something below does */
	/* Changes when the other end lost its memory or path ids changed: sequences, path estimators and
	 * learned addresses start anew. Packet numbers and replay windows belong to an epoch (its serial). */
	uint32_t association;
	struct lode_peer_epoch *rx[LODE_WIRE_PHASES]; /* by the packet's key_phase; NULL: refuse */
	struct lode_peer_epoch *tx; /* seal with this; NULL: nothing may be sent yet */
	struct lode_peer_path paths[LODE_WIRE_PATHS]; /* by path id */
};
/* Valid until the next call on this peer or its host. */
const struct lode_peer_state *lode_peer_state(const struct lode_peer *p);

/* Every worker has read a snapshot with the state of this generation (or a newer one): only then are keys
 * used that the other end must be able to receive, or answers sent that invite it to use them. */
void lode_peer_installed(struct lode_peer *p, uint64_t generation, uint64_t now_ns);

/* What the lanes of the peer saw, merged: call it every few ms. */
struct lode_peer_report {
	uint64_t
		rx_epoch; /* serial of the newest epoch under which a packet was authentic; 0: none */
	uint64_t last_rx_ns; /* time of the newest authentic packet on any path */
	uint64_t tx_packets; /* largest number of packets that one lane sealed under the tx epoch */
	uint32_t rtt_us;     /* of the slowest path up; 0: unknown */
};
void lode_peer_report(struct lode_peer *p, const struct lode_peer_report *report, uint64_t now_ns);

/* Authentic packets of (path, lane), the newest at heard_ns, come from another address: it is the new one. May be
 * called again and again with what is known already. -ENOENT: no such path or lane; -EINVAL: it came in on
 * another port than the link's; -ESTALE: heard before the present keys were made, so the peer may have moved
 * since. The lane limits what it sends there until the path's challenge is answered. */
int lode_peer_roam(struct lode_peer *p, unsigned path, unsigned lane, unsigned port_idx,
	const struct lode_endpoint *remote, uint64_t heard_ns);
/* The other end said goodbye (LODE_WIRE_TLV_CLOSE): its keys are dropped, a new handshake may start. */
void lode_peer_closed(struct lode_peer *p, uint64_t now_ns);

struct lode_peer_info {
	bool established, initiator;
	bool shaking;		 /* an initiation is under way */
	uint64_t established_ns; /* first session of this association */
	uint64_t epoch_ns;	 /* age of the keys counts from here */
	uint64_t n_handshakes, n_failed;
};
void lode_peer_info(const struct lode_peer *p, struct lode_peer_info *info);

/* ---- counters; written by the control lcore ---- */

#define LODE_PEER_COUNTERS(X)                                                                     \
	X(initiations_sent, datagrams, LODE_INFO, "handshake initiations sent, repeats included") \
	X(responses_sent, datagrams, LODE_INFO, "handshake responses sent, repeats included")     \
	X(sessions, count, LODE_INFO, "handshakes completed")                                     \
	X(attempts_failed, count, LODE_WARN, "handshakes given up without an answer")             \
	X(cookies_sent, datagrams, LODE_WARN, "cookie replies sent because of load")              \
	X(cookies_received, datagrams, LODE_INFO, "cookie replies received")                      \
	X(refused_malformed, datagrams, LODE_INFO, "handshake datagrams of a wrong shape")        \
	X(refused_mac, datagrams, LODE_INFO, "first MAC wrong: the sender does not know our key") \
	X(refused_crypto, datagrams, LODE_WARN, "handshake did not decrypt")                      \
	X(refused_stranger, datagrams, LODE_WARN, "public key that no peer has")                  \
	X(refused_psk, datagrams, LODE_WARN, "preshared key on one side only")                    \
	X(refused_replay, datagrams, LODE_WARN, "initiation with an old counter")                 \
	X(refused_version, datagrams, LODE_WARN, "no protocol version in common")                 \
	X(refused_unexpected, datagrams, LODE_INFO, "response or cookie that nobody waits for")   \
	X(refused_load, datagrams, LODE_WARN, "too many initiations")                             \
	X(yielded, count, LODE_INFO, "initiations of both ends at once, ours won")
LODE_COUNTER_STRUCT(lode_peer_counters, LODE_PEER_COUNTERS);
extern const struct lode_counter_desc lode_peer_counter_descs[];
extern const unsigned lode_peer_n_counters;
/* Of the host, all peers together. */
const struct lode_peer_counters *lode_peer_host_counters(const struct lode_peer_host *h);
