/* SPDX-License-Identifier: BSD-3-Clause */
/* path: one way to one peer as its home lane sees it: what the path does (delays, loss, rates, both
 * directions apart), how fast it may be fed (pacer, driven by a controller of engine), whether it is
 * alive, how large its packets may be (RFC 8899) and whether the peer is really there (path challenge).
 * Sizes and times only, no packets: the lane seals, sends and opens. The worker's thread owns it; no
 * clock, lock or allocation. Times are ns of the worker's clock; sizes are bytes of the outer IP packet,
 * the same at both ends; packet numbers count in the order of sending. */
#pragma once

#include "lode_base.h"
#include "lode_engine.h"
#include "lode_loss.h"
#include "lode_wire.h"

struct lode_path;

/* Whether we may send on it. From the peer's word only: a probe reply or a report of our packets. */
enum lode_path_state {
	LODE_PATH_UNKNOWN, /* never heard of the peer here */
	LODE_PATH_PROBING, /* replies come, not yet enough or too early after flapping: last resort */
	LODE_PATH_UP,
	LODE_PATH_SUSPECT, /* 3 probe intervals (150 ms) of silence: no new flows, copy what matters */
	LODE_PATH_DOWN,	   /* 5 probe intervals (250 ms) of silence, 6 at more than 100 ms RTT */
};
const char *lode_path_state_name(enum lode_path_state state);

struct lode_path_params {
	uint8_t path_id;
	bool outer_v6;
	uint16_t link_mtu_bytes;  /* L3 MTU of the local port: upper end of the MTU search */
	uint32_t configured_kbps; /* link rate towards the peer; 0: learned */
	bool remote_known;	  /* the remote address is configured: no challenge before data */
	bool follower;		  /* of a further lane: "one path in several lanes" below */
	const struct lode_cc_ops *cc; /* NULL: lode_cc_classic */
	uint64_t seed;		      /* challenges */
	uint64_t probe_phase_ns;      /* probes leave at this time of every 50 ms */
};

/* Memory: lode_path_bytes(), aligned to 64. */
size_t lode_path_bytes(void);
struct lode_path *lode_path_init(
	void *memory, const struct lode_path_params *params, uint64_t now_ns);
/* The peer's new keys begin with packet number 0 again: call before the first packet under them. */
void lode_path_new_rx_epoch(struct lode_path *p);
/* The remote address changed: starts a challenge, forgets MTU and delays. */
void lode_path_moved(struct lode_path *p, uint64_t now_ns);
/* Configured rate, link MTU: effective at once. */
void lode_path_set_link(
	struct lode_path *p, uint32_t configured_kbps, uint16_t link_mtu_bytes, uint64_t now_ns);
/* This peer's share of the port; caps the pacing rate. 0: no limit. */
void lode_path_set_share(struct lode_path *p, uint32_t kbps);

/* ---- sending ---- */

/* Bytes that may leave now: pacer and window. Take packets while it is > 0; the last one may exceed it.
 * Probes, feedback and metered real-time packets need no credit but count all the same. 0 too while the
 * peer must be challenged first. */
uint32_t lode_path_credit(struct lode_path *p, uint64_t now_ns);
/* When credit will be > 0 without any event; LODE_NEVER_NS while the window is full. */
uint64_t lode_path_credit_due_ns(const struct lode_path *p);
enum lode_path_flags {
	LODE_PATH_CE = 1,      /* received with congestion experienced on the outer header */
	LODE_PATH_CONTROL = 2, /* a control message: owes no feedback, the path may count as idle */
};
/* A packet leaves. tx_us: what its header says. */
/* n_pkts packets of so many bytes in all, sent at once. */
void lode_path_sent_burst(struct lode_path *p, uint64_t now_ns, uint32_t n_pkts, uint32_t bytes,
	uint32_t tx_us, unsigned flags);
static inline void lode_path_sent(
	struct lode_path *p, uint64_t now_ns, uint32_t bytes, uint32_t tx_us, unsigned flags)
{
	lode_path_sent_burst(p, now_ns, 1, bytes, tx_us, flags);
}
/* Call when a poll ends with credit left and nothing to send: what is sampled now does not tell the
 * path's rate. */
void lode_path_app_limited(struct lode_path *p);
/* The clock of packet headers: low 32 bits of microseconds. */
static inline uint32_t lode_path_tx_us(uint64_t now_ns)
{
	return (uint32_t)(now_ns / LODE_NS_PER_US);
}

/* ---- receiving: authenticated packets only ---- */

#define LODE_PATH_NO_PN UINT64_MAX /* counts for rates and life, not for loss: an older epoch */
struct lode_path_arrival {
	uint64_t pn;
	uint32_t bytes, tx_us;
	unsigned flags; /* enum lode_path_flags */
};
/* Packets that came together, n >= 1. */
void lode_path_received_burst(
	struct lode_path *p, uint64_t now_ns, const struct lode_path_arrival *arrivals, unsigned n);
static inline void lode_path_received(struct lode_path *p, uint64_t now_ns, uint64_t pn,
	uint32_t bytes, uint32_t tx_us, unsigned flags)
{
	const struct lode_path_arrival arrival = {pn, bytes, tx_us, flags};
	lode_path_received_burst(p, now_ns, &arrival, 1);
}
/* What is received at exactly this time waited for us, not on the way: its delay is not looked at. Call
 * before, when a poll comes milliseconds late. */
void lode_path_stalled(struct lode_path *p, uint64_t now_ns);

/* ---- control messages ---- */

/* True when write_control has something to say by now. */
bool lode_path_control_due(const struct lode_path *p, uint64_t now_ns);
/* Appends what is due to a control message that will leave on this path, with control header tx_us
 * lode_path_tx_us(now_ns): probe, probe replies, feedback, challenge and its reply. What does not fit
 * stays due. At most LODE_PATH_CONTROL_MAX bytes. */
#define LODE_PATH_CONTROL_MAX 640
void lode_path_write_control(struct lode_path *p, uint64_t now_ns, struct lode_wire_writer *w);
/* Takes one TLV that came on this path, tx_us being its control header's. 1: taken; 0: not a path's
 * business; -EBADMSG: malformed. FEEDBACK names its path: give it to that one. */
int lode_path_read_control(
	struct lode_path *p, uint64_t now_ns, uint32_t tx_us, const struct lode_wire_tlv *tlv);

/* Outer size of an MTU probe that should leave now; 0: none. When it leaves (PMTU_PROBE with id and this
 * mtu, PADDING up to the size), call lode_path_pmtu_sent. */
uint16_t lode_path_pmtu_due(struct lode_path *p, uint64_t now_ns, struct lode_wire_pmtu *m);
void lode_path_pmtu_sent(struct lode_path *p, uint64_t now_ns);

/* ---- one path in several lanes ----
 * The home lane's path probes, measures, finds the MTU and drives the controller for all lanes. Each further
 * lane has a follower of it: that one counts its packets, keeps its own address alive (a NAT maps every
 * lane by itself) with a probe a second, and sends at the rate that the home path grants. */

/* What a follower may do, in one word that is read and written whole. */
union lode_path_grant {
	uint64_t word; /* 0: nothing */
	struct {
		uint64_t kbps : 32, delay_100us : 15, segment_bytes : 14;
		uint64_t state : 3; /* enum lode_path_state of the home path */
	};
};
static_assert(sizeof(union lode_path_grant) == 8, "one atomic word");

#define LODE_PATH_TALLY_SLOTS 8

/* What a follower counted since its start. */
struct lode_path_tally {
	uint64_t tx_pkts, tx_bytes;
	uint64_t next_slot; /* 10 ms slots of the gateway's clock below this one are complete */
	uint64_t rx_ns;	    /* arrival of the newest packet in them; 0: none yet */
	uint32_t echo_us;   /* when the peer sent that */
	uint32_t zero;
	struct lode_wire_slot slots[LODE_PATH_TALLY_SLOTS]; /* by number modulo; the newest ones */
};

/* How much of one follower's tally the home path has; all zero: nothing yet. */
struct lode_path_seen {
	uint64_t tx_pkts, tx_bytes;
	uint64_t next_slot; /* 0: nothing yet */
};

/* Home path: what it allows a follower. */
union lode_path_grant lode_path_grant(const struct lode_path *home, uint32_t kbps);
/* Follower: takes what it was granted. Cheap when nothing changed. */
void lode_path_take_grant(struct lode_path *follower, union lode_path_grant grant);
/* Follower: its counts, after lode_path_poll. */
void lode_path_tally(const struct lode_path *follower, struct lode_path_tally *out);
/* Home path: counts what is new in a follower's tally as its own. Returns bytes sent since the last time. */
uint64_t lode_path_add_tally(struct lode_path *home, uint64_t now_ns, struct lode_path_seen *seen,
	const struct lode_path_tally *tally);

/* ---- time ---- */

/* Timers: life, controller time-out, slots. Call when due, and before asking for state. */
void lode_path_poll(struct lode_path *p, uint64_t now_ns);
/* The earliest of timers, control due and MTU probe due; credit has its own. */
uint64_t lode_path_next_due_ns(const struct lode_path *p);

/* ---- what is known ---- */

enum lode_path_state lode_path_state(const struct lode_path *p);
/* Mask of usable: UP, SUSPECT. */
static inline bool lode_path_usable(enum lode_path_state s)
{
	return s == LODE_PATH_UP || s == LODE_PATH_SUSPECT;
}
/* Path MTU found so far (L3), and E, the segment payload that fits it. */
uint16_t lode_path_mtu_bytes(const struct lode_path *p);
uint16_t lode_path_segment_bytes(const struct lode_path *p);
uint64_t lode_path_srtt_ns(const struct lode_path *p); /* 0: no sample yet */
/* Expected time from credit to arrival at the peer: half the smallest RTT + queueing now. For the choice
 * among paths and for reorder deadlines; differences of it between paths mean something, not its value. */
uint64_t lode_path_delay_ns(const struct lode_path *p);

/* One direction's figures. */
struct lode_path_dir {
	uint64_t pkts, bytes;	       /* all time; tx: sent, rx: received */
	uint64_t lost_pkts;	       /* all time; tx: as reported by the peer */
	uint64_t lost_runs;	       /* tx: of lost packets, all time; rx: 0 */
	uint64_t told_pkts;	       /* tx: of pkts, those reported as received or lost; rx: 0 */
	uint64_t bps;		       /* tx: delivery rate reported; rx: received, over ~100 ms */
	double loss;		       /* moving average, share of packets */
	double burst;		       /* mean length of a run of lost packets, >= 1 */
	uint64_t owd_queue_ns;	       /* newest one-way delay above its floor of 10 to 20 s */
	int64_t owd_gradient_ns_per_s; /* its slope over the last slots */
	uint64_t ce_pkts;
};

struct lode_path_stats {
	enum lode_path_state state;
	const char *controller, *phase;
	uint64_t srtt_ns, min_rtt_ns, jitter_ns;
	struct lode_path_dir tx, rx;
	uint64_t pacing_bps, cwnd_bytes, inflight_bytes;
	uint64_t last_rx_ns;	/* newest authenticated packet */
	uint64_t last_proof_ns; /* newest word that the peer hears us */
	uint16_t mtu_bytes;
	double probe_loss; /* share of probes lost on the way to the peer; outages left out */
	uint32_t n_probes, n_replies, n_timeouts, n_suspects, n_downs;
	uint32_t backoff_ms; /* before it may come up again, after the last time down */
};
void lode_path_get_stats(const struct lode_path *p, struct lode_path_stats *out);

/* The newest 10 ms windows of the peer's reports about our sending, oldest first; for predictors. Returns
 * how many, at most max. */
unsigned lode_path_windows(const struct lode_path *p, struct lode_wire_slot *out, unsigned max);

/* What was sent and told since the last call, for the loss predictor; the caller adds backlog and phase. */
void lode_path_loss_window(struct lode_path *p, uint64_t now_ns, struct lode_loss_window *w);
