/* SPDX-License-Identifier: BSD-3-Clause */
/* How the room is divided: host.c takes datagrams, door.c says which of them are read, handshake.c writes and reads the Noise
 * messages, sessions.c knows which sessions live, timers.c when a new one is wanted, paths.c keeps path ids and
 * addresses, epoch.c makes keys. */
#pragma once

#include "hello.h"

#define RETRANSMIT_NS	  (250 * LODE_NS_PER_MS) /* doubles */
#define RETRANSMIT_MAX_NS (1 * LODE_NS_PER_S)
#define ATTEMPT_NS	  (5 * LODE_NS_PER_S) /* then a new one, with new keys */
#define BACKOFF_MIN_NS	  (500 * LODE_NS_PER_MS)
#define BACKOFF_MAX_NS	  (2 * LODE_NS_PER_S)  /* a restarted hub is found again soon */
#define PRECEDENCE_NS	  (3 * LODE_NS_PER_S)  /* the smaller key ignores the other's initiation */
#define CONFIRM_NS	  (2 * LODE_NS_PER_S)  /* a response is given this long before we begin */
#define UNCONFIRMED_NS	  (10 * LODE_NS_PER_S) /* a response that led to nothing */
#define OLD_KEYS_NS	  (1 * LODE_NS_PER_S)  /* plus 3 RTT */
/* Work between two polls, in us by the estimates below (lode-perf wire --only handshake). With the one message that is
 * begun at the limit and the one initiation of a poll it stays below a millisecond. */
#define WORK_US_MAX	500
#define WORK_US_COOKIES 400 /* after this much no cookie is made: who has one comes in first */
#define WORK_US_READ	250 /* a message read with curve arithmetic, or one begun */
#define WORK_US_COOKIE	5
#define WORK_US_MAC	2
#define BUSY_NS		(1 * LODE_NS_PER_MS)
#define COOKIE_NS	(120 * LODE_NS_PER_S)
#define ANSWER_REPEATS	64

/* One handshake's outcome. The epoch is first: dropping its last reference frees the whole. */
struct session {
	struct lode_peer_epoch epoch;
	bool initiator; /* we began */
	uint64_t born_ns;
	struct hello peer;	      /* how the other end introduced itself */
	struct lode_wire_links names; /* path id -> link, as the initiator wrote it */
	uint8_t accepted;	      /* path ids that both ends have */
	struct lode_endpoint via;     /* initiator: where the response came from */
};

/* Our initiation under way. The same message goes out over every link and again until answered. */
struct attempt {
	bool active;
	struct lode_noise noise;
	struct hello ours;
	uint8_t msg[LODE_PEER_DATAGRAM_MAX];
	uint16_t len; /* with both MACs */
	uint64_t started_ns, next_ns, interval_ns;
	unsigned n_rounds;
};

/* Our response to the initiation that made `next`, kept to repeat it. */
struct answer {
	bool ready;		      /* the receive keys are with every worker */
	uint8_t init_mac1[MAC_BYTES]; /* knows the initiation again */
	uint8_t msg[LODE_PEER_DATAGRAM_MAX];
	uint16_t len;
	unsigned n_sent, n_waiting;
	struct {
		struct lode_endpoint local, remote;
		uint8_t port_idx;
	} waiting[LODE_WIRE_PATHS];
};

struct cookie {
	uint8_t bytes[MAC_BYTES];
	uint64_t until_ns; /* 0: none */
};

struct lode_peer {
	struct lode_peer_host *host;
	struct lode_peer *list; /* next peer of the host */
	struct lode_peer_params params;
	uint64_t instance;			/* of ours, towards it: see struct hello */
	struct lode_noise_mac_keys mac_keys;	/* for messages to it */
	struct cookie cookies[LODE_WIRE_PATHS]; /* by link */
	uint64_t peer_counter;			/* highest accepted in its initiations */

	/* cur seals and opens; prev still opens; next opens, and will seal once the other end has it. */
	struct session *prev, *cur, *next;
	uint64_t prev_until_ns, cur_since_ns;
	struct { /* of the last session that was cur, also after its end */
		bool valid;
		uint64_t instance;
		struct lode_wire_links names;
		uint8_t accepted;
	} known;
	uint64_t wait_generation; /* next goes on when workers have it; UINT64_MAX: not waiting */
	struct attempt attempt;
	struct answer answer;
	uint64_t retry_ns, backoff_ns; /* no new attempt before retry_ns */
	bool changed;		       /* links or lanes: the other end must hear of it */
	uint64_t changed_serial;       /* sessions up to this one do not know */

	struct lode_peer_report report;
	struct lode_peer_state state;
	uint64_t established_ns, n_handshakes, n_failed;
};

/* What came, to judge what comes. */
struct door {
	uint8_t secret[2][32];		  /* of cookies: current, previous */
	uint64_t secret_ns;		  /* age of the current one; 0: none yet */
	uint64_t second_ns;		  /* start of the running second */
	uint32_t n_inits, n_inits_before; /* in it, in the one before */
	uint32_t n_read;		  /* of those in it, how many got past the door */
	uint64_t hash_key;		  /* random */
	uint32_t n_read_from[1024];	  /* the same, by hash of the network they came from */
};

struct lode_peer_host {
	struct lode_peer_host_params params;
	struct lode_noise_pair keys;
	struct lode_noise_mac_keys mac_keys; /* for messages to us */
	uint64_t counter, counter_saved, serial;
	struct lode_peer *peers;
	uint32_t work_us; /* estimate, since the last poll */
	struct door door;
	struct lode_peer_counters counters;
};

/* ---- host.c ---- */

/* A counter never used before, 0 if it cannot be kept. */
uint64_t host_counter(struct lode_peer_host *h);
/* A session index that no living epoch has. */
uint16_t host_session_index(struct lode_peer_host *h);
void host_count(uint64_t *counter);
void host_send(struct lode_peer_host *h, unsigned port_idx, const struct lode_endpoint *local,
	const struct lode_endpoint *remote, const uint8_t *msg, size_t len);

/* ---- door.c ---- */

/* mac1, which stands behind the bytes it covers, was made by somebody who knows our public key. */
bool door_knows_us(struct lode_peer_host *h, const uint8_t *data, size_t covered);
/* 0: the initiation is to be read. Else it was answered with a cookie or refused, and counted. */
int door_admit(struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d);

/* ---- handshake.c: 0 or -errno, counted ---- */

int handshake_start(struct lode_peer *p, uint64_t now_ns);
/* Sends the initiation over every link whose other end is known; n_rounds chooses among addresses. */
void handshake_transmit(struct lode_peer *p, uint64_t now_ns);
void handshake_abandon(struct lode_peer *p);
/* mac1 and load have been checked. */
int handshake_on_init(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d);
int handshake_on_response(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d);
int handshake_on_cookie(
	struct lode_peer_host *h, uint64_t now_ns, const struct lode_peer_datagram *d);

/* ---- epoch.c ---- */

/* Keys of a finished Noise handshake. NULL without memory. */
struct session *session_new(struct lode_peer *p, const struct lode_noise *noise, bool initiator,
	const struct hello *ours, const struct hello *theirs, uint64_t now_ns);
void session_drop(struct session **s);

/* ---- sessions.c ---- */

/* Makes state say what lives, and gives it a new generation. */
void peer_publish(struct lode_peer *p);
/* Drops cur and prev: nothing can be sent until a handshake is through. */
void peer_end_sessions(struct lode_peer *p);

/* The session is ready to receive: publishes it, and waits for lode_peer_installed. */
void peer_set_next(struct lode_peer *p, struct session *s);
/* Answers the initiation that made `next`, as soon as the workers can receive under it. */
void peer_answer(struct lode_peer *p, const struct lode_peer_datagram *to);
/* Neither prev's nor cur's; a next that is being replaced may have it. */
uint8_t peer_free_phase(const struct lode_peer *p);
bool peer_has_session_index(const struct lode_peer *p, uint16_t index);

/* ---- timers.c ---- */

/* may_begin: no handshake was begun in this poll of all peers; one more may be. */
void peer_poll(struct lode_peer *p, uint64_t now_ns, bool *may_begin);
uint64_t peer_due(const struct lode_peer *p);

/* ---- paths.c ---- */

/* Table for our initiation: known ids stay, the rest of our links get free ones. */
void paths_offer(const struct lode_peer *p, struct lode_wire_links *names);
/* Ids of that table whose links we have too. */
uint8_t paths_accept(const struct lode_peer *p, const struct lode_wire_links *names);
/* True: an id means another link than in the last session. */
bool paths_moved(const struct lode_peer *p, const struct session *to);
/* Fills state.paths from the sessions and the configured links; keeps what was learned. */
void paths_rebuild(struct lode_peer *p);
/* A silent or forgetful peer may have moved: configured addresses count again, but not where the response to
 * our initiation came from the learned one. */
void paths_forget(struct lode_peer *p, const struct lode_endpoint *via);
/* Address to send an initiation to over that link; false: none known. */
bool paths_target(
	const struct lode_peer *p, unsigned link, unsigned round, struct lode_endpoint *to);
/* Link over which a datagram from there came, -ENOENT if none fits. */
int paths_link_of(const struct lode_peer *p, unsigned port_idx, const struct lode_endpoint *from);
