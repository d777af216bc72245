/* SPDX-License-Identifier: BSD-3-Clause */
/* The parts of a path. Each file owns one struct and reads the others. */
#pragma once

#include "lode_path.h"
#include "lode_selector.h"

#define FAR_FUTURE LODE_NEVER_NS

/* Smallest value of the last 10 to 20 s: two half windows. */
struct floor_min {
	int64_t now_min, before_min;
	uint64_t turn_ns; /* when the halves change; 0: empty */
};
void floor_add(struct floor_min *f, uint64_t now_ns, int64_t value);
static inline bool floor_valid(const struct floor_min *f)
{
	return f->turn_ns != 0;
}
static inline int64_t floor_get(const struct floor_min *f)
{
	return LODE_MIN(f->now_min, f->before_min);
}

/* ---- tx.c: pacer, bytes in flight, what the peer reports ---- */

#define MARKS 128 /* a power of two */

/* Bytes sent up to and with the packet of that send time. */
struct mark {
	uint32_t tx_us, cum;
};

struct tx {
	uint64_t pkts, bytes;
	/* Send times, thinned out: what has arrived is looked up by the echoed time. */
	struct mark marks[MARKS];
	uint32_t mark_first, mark_end; /* counters; index modulo MARKS */
	uint32_t last_us;	       /* of the newest packet */
	uint32_t told_us;	       /* newest echo */
	bool told;
	uint64_t arrived_bytes; /* of `bytes`: arrived or lost, as told */
	uint64_t limited_bytes; /* of `bytes`: sent before the sender last ran dry */
	uint64_t inflight_since_ns, last_report_ns, timeout_ns;
	/* pacer */
	double tokens_bytes, bytes_per_ns, ns_per_byte, burst_bytes;
	uint64_t refill_ns;
	uint32_t share_kbps;
	struct lode_cc_decision decision;
	/* reports, in the receiver's slots and clock */
	struct lode_wire_slot slots[LODE_WIRE_SLOTS_MAX]; /* index: slot number modulo */
	uint32_t newest_slot, newest_rx_us;
	uint32_t owd_zero_us; /* first delay seen: the others are told as difference to it */
	bool reported;
	struct floor_min owd_floor, rtt_floor;
	struct lode_cc_interval news; /* counts not yet given to the controller */
	uint32_t owd_us;	      /* newest delay told, */
	uint64_t owd_at_ns;	      /* when; 0: none */
	uint64_t queue_ns, owd_slope_at_ns;
	double owd_slope;
	uint64_t srtt_ns, rttvar_ns;
	double delivery_bps;
	struct lode_ewma loss, burst;
	uint64_t lost_pkts, ce_pkts;
	/* as told, for windows */
	uint64_t delivered_pkts, delivered_bytes, loss_bursts;
	uint32_t longest_burst;
	uint32_t n_timeouts;
	uint32_t last_data_us; /* send time of the newest data */
	bool data_out;	       /* no report has told of it yet */
};

void tx_init(struct lode_path *p, uint64_t now_ns);
void tx_feedback(struct lode_path *p, uint64_t now_ns, const struct lode_wire_feedback *m);
void tx_rtt(struct lode_path *p, uint64_t now_ns, uint32_t echo_us, uint32_t hold_us);
void tx_apply_rate(struct lode_path *p);
void tx_poll(struct lode_path *p, uint64_t now_ns);
uint64_t tx_next_due_ns(const struct lode_path *p);
uint64_t tx_inflight(const struct lode_path *p);
void tx_dir_stats(const struct lode_path *p, struct lode_path_dir *out);

/* ---- rx.c: what arrives, slots, losses, feedback ---- */

#define SLOT_NS	    (LODE_WIRE_SLOT_MS * LODE_NS_PER_MS)
#define WINDOW_PKTS 2048 /* numbers remembered for loss and reordering */

struct rx {
	uint64_t pkts, bytes, lost_pkts, ce_pkts, late_pkts;
	uint64_t next_pn;   /* newest received + 1 */
	uint64_t judged_pn; /* below it, what has not come is lost */
	uint64_t slot_pn;   /* next_pn when the last slot ended */
	uint64_t window[WINDOW_PKTS / 64];
	uint32_t run; /* losses in a row at judged_pn */
	struct lode_wire_slot slots[LODE_WIRE_SLOTS_MAX];
	uint64_t slot; /* number of the current one */
	uint64_t slot_end_ns;
	uint32_t echo_us; /* of the newest packet by number */
	uint64_t echo_rx_ns;
	uint64_t feedback_ns; /* when the last was made */
	uint64_t told_slot;   /* current slot then, and before */
	uint64_t told_before;
	uint8_t owed; /* reports of the newest data that are still to be made */
	struct floor_min owd_floor;
	uint32_t owd_zero_us;
	bool owd_any;
	uint64_t stalled_ns;
	uint64_t queue_ns, owd_slope_at_ns;
	double owd_slope;
	double bps;
	struct lode_ewma loss, burst;
};

void rx_init(struct lode_path *p, uint64_t now_ns);
void rx_poll(struct lode_path *p, uint64_t now_ns);
uint64_t rx_feedback_due_ns(const struct lode_path *p);
void rx_make_feedback(struct lode_path *p, uint64_t now_ns, struct lode_wire_feedback *m);
void rx_dir_stats(const struct lode_path *p, struct lode_path_dir *out);
/* What further lanes received: a complete slot, if not too old to be told; their newest packet. */
void rx_add_slot(struct lode_path *p, uint64_t slot, const struct lode_wire_slot *s);
void rx_add_echo(struct lode_path *p, uint32_t echo_us, uint64_t rx_ns);
/* Moving least-squares-like slope of a delay, ns per s. */
void slope_add(double *slope, uint64_t *at_ns, uint64_t now_ns, double change_ns);

/* ---- life.c: probes, states, challenge ---- */

#define REPLIES_MAX	4
#define GOOD_PROBES	5
#define CHALLENGE_BYTES LODE_WIRE_CHALLENGE_BYTES

struct life {
	enum lode_path_state state;
	uint64_t interval_ns;	    /* between probes */
	uint64_t interval_since_ns; /* when it became so */
	uint64_t next_probe_ns;
	uint64_t last_data_ns; /* sent or received */
	uint64_t last_rx_ns, last_proof_ns;
	uint64_t good_ns[GOOD_PROBES]; /* times of the newest replies */
	uint32_t n_good;
	uint64_t up_since_ns, hold_until_ns, backoff_ns;
	uint32_t probe_id, n_probes, n_replies, n_suspects, n_downs;
	/* What became of the newest 64 probes, and of those before. */
	uint64_t answered;  /* bit id % 64 */
	uint64_t judge_ns;  /* not before */
	uint32_t judged_id; /* older ones are in probe_loss */
	struct lode_selector_loss probe_loss;
	struct {
		uint32_t id, echo_us;
		uint64_t rx_ns;
	} replies[REPLIES_MAX];
	uint32_t n_pending_replies;
	/* challenge of the remote address */
	bool validated, answer_pending;
	uint8_t token[CHALLENGE_BYTES], answer[CHALLENGE_BYTES];
	uint64_t challenge_due_ns, challenge_wait_ns;
	uint64_t unvalidated_rx, unvalidated_tx; /* bytes since the address changed */
};

void life_init(struct lode_path *p, uint64_t now_ns);
void life_received(struct lode_path *p, uint64_t now_ns, bool data);
void life_proof(struct lode_path *p, uint64_t now_ns);
void life_moved(struct lode_path *p, uint64_t now_ns);
void life_poll(struct lode_path *p, uint64_t now_ns);
uint64_t life_next_due_ns(const struct lode_path *p);
uint64_t life_control_due_ns(const struct lode_path *p);
void life_write(struct lode_path *p, uint64_t now_ns, struct lode_wire_writer *w);
int life_read(
	struct lode_path *p, uint64_t now_ns, uint32_t tx_us, const struct lode_wire_tlv *tlv);
/* Bytes that may go to an address that has not answered its challenge. */
uint64_t life_allowance(const struct lode_path *p);

/* ---- pmtu.c: RFC 8899 ---- */

enum pmtu_state { PMTU_WAIT, PMTU_SEARCH, PMTU_DONE };

struct pmtu {
	enum pmtu_state state;
	uint16_t mtu;		 /* works */
	uint16_t low, high, try; /* search: low works, above high does not */
	uint16_t tries;
	uint32_t id;
	bool in_flight, confirming;
	uint64_t due_ns, sent_ns;
	uint64_t raise_ns;   /* when to look for more again */
	uint64_t confirm_ns; /* when to check that mtu still works */
};

void pmtu_init(struct lode_path *p, uint64_t now_ns);
void pmtu_path_up(struct lode_path *p, uint64_t now_ns);
void pmtu_path_down(struct lode_path *p);
void pmtu_acked(struct lode_path *p, uint64_t now_ns, const struct lode_wire_pmtu *m);
/* Losses reported: if it is the size that kills them, find out soon. */
void pmtu_suspect(struct lode_path *p, uint64_t now_ns);
void pmtu_poll(struct lode_path *p, uint64_t now_ns);

/* ---- windows.c: what the loss predictor is told ---- */

/* All-time counts at the end of the last window. */
struct window_base {
	uint64_t sent_pkts, sent_bytes, delivered_pkts, delivered_bytes, lost_pkts, loss_bursts,
		ce_pkts;
};

/* ---- lanes.c: home path and followers ---- */

struct follow {
	union lode_path_grant grant;
	uint64_t last_data_slot; /* slots are told until losses in this one are judged */
	/* As of the newest complete slot. */
	uint64_t echo_rx_ns;
	uint32_t echo_us;
};

extern const struct lode_cc_ops follow_cc;
/* The slot that ends now is told as it is. */
void follow_end_slot(struct lode_path *p);
uint64_t follow_next_due_ns(const struct lode_path *p);
/* The home path's state, as far as the follower's own address is alive. */
enum lode_path_state follow_state(const struct lode_path *p);

struct lode_path {
	struct lode_path_params params;
	struct tx tx;
	struct rx rx;
	struct life life;
	struct pmtu pmtu;
	struct window_base window;
	struct follow follow; /* of followers */
	struct lode_rng rng;
	struct {
		uint32_t id;
		uint16_t mtu_bytes;
		bool pending;
	} pmtu_ack;
	uint64_t cc_state[LODE_CC_STATE_BYTES / 8];
};
