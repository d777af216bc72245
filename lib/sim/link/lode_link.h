/* SPDX-License-Identifier: BSD-3-Clause */
/* sim/link: one direction of an emulated WAN link. Owns when, whether and in which order packets
 * come out; never sees their bytes: a packet is a size and a caller's handle. One thread per link; no
 * clock, no global state; the same seed and calls give the same result. Times are ns of the caller's
 * clock, virtual or real, and must not go back; sizes are bytes as put on the wire by the caller.
 *
 *   push -> cut, MTU, loss -> queue (droptail or CoDel) -> rate or trace, outages -> delay -> pop */
#pragma once

#include "lode_base.h"

/* ---- capacity traces in mahimahi format ---- */

#define LODE_LINK_OPPORTUNITY_BYTES 1500
#define LODE_LINK_TRACE_LINES_MAX   (1u << 24)
#define LODE_LINK_TRACE_MS_MAX	    (24u * 3600 * 1000)

/* Ascending milliseconds, one per opportunity to send 1500 bytes; starts over after its last
 * millisecond. An opportunity that finds the queue empty is lost; smaller packets share one, larger
 * ones take several. Immutable: links may share it. */
struct lode_link_trace {
	uint32_t n;
	uint32_t period_ms; /* the last line, >= 1 */
	uint32_t ms[];
};

/* Text of one whole number per line. -EINVAL names the line; -ENOMEM. Free with free(). */
int lode_link_trace_parse(const char *name, const char *text, size_t len,
	struct lode_link_trace **out, struct lode_err *err);
int lode_link_trace_load(const char *path, struct lode_link_trace **out, struct lode_err *err);

/* A cellular-like link: the logarithm of the rate is a mean-reverting walk in 100 ms steps. */
struct lode_link_trace_spec {
	uint64_t seed;
	uint64_t mean_bps;
	double spread;	       /* standard deviation of ln(rate), 0 = constant, 0.5 lively */
	uint32_t length_ms;    /* 1000 .. LODE_LINK_TRACE_MS_MAX */
	uint32_t gap_every_ms; /* mean time between gaps without capacity; 0: none */
	uint32_t gap_ms;       /* mean length of a gap */
};
/* The mean over the length is mean_bps within one packet. -EINVAL, -ENOMEM. Free with free(). */
int lode_link_trace_make(const struct lode_link_trace_spec *spec, struct lode_link_trace **out,
	struct lode_err *err);

/* Bytes the trace could carry in [from, to), the trace having started at 0; its last millisecond counts
 * to the repetition it ends. */
uint64_t lode_link_trace_capacity(
	const struct lode_link_trace *t, uint64_t from_ns, uint64_t to_ns);

/* ---- links ---- */

enum lode_link_aqm { LODE_LINK_DROPTAIL, LODE_LINK_CODEL };

/* All zero: a wire without limit, delay or fault. Probabilities are 0 to 1 per packet. */
struct lode_link_config {
	uint64_t rate_bps;		     /* 0: unlimited */
	const struct lode_link_trace *trace; /* instead of rate_bps; outlives the link */
	uint64_t delay_ns;		     /* propagation */
	uint64_t jitter_ns;  /* the delay wanders within +-jitter, a new point each 10 ms; never
				 reorders by itself; at most delay_ns */
	double loss;	     /* long-run share of lost packets */
	double burst_pkts;   /* > 1: Gilbert-Elliott, mean packets spent in the bad state */
	double burst_loss;   /* loss within the bad state; 0 means 1 */
	double reorder;	     /* share of packets held back by reorder_ns */
	uint64_t reorder_ns; /* 0 means 5 ms */
	double duplicate;
	double corrupt;
	uint32_t queue_pkts;  /* 0 means 1000; the packet being sent does not count */
	uint64_t queue_bytes; /* 0: no limit */
	enum lode_link_aqm aqm;
	uint64_t codel_target_ns, codel_interval_ns; /* 0 means 5 ms and 100 ms */
	uint64_t outage_every_ns, outage_for_ns; /* each period ends with so long without service:
							packets wait */
	uint32_t mtu_bytes; /* larger packets vanish, as in a PMTU black hole; 0: no limit */
	bool down;	    /* cut: whatever is pushed is lost */
};

/* Sets one field from text, e.g. ("rate", "50M"), ("delay", "10ms"), ("loss", "0.1%"). The names are
 * the fields' without unit suffix (rate delay jitter loss burst burst_loss reorder reorder_by
 * duplicate corrupt queue queue_bytes aqm codel_target codel_interval outage_every outage_for mtu
 * down). `trace` is not among them: files are the caller's business. -EINVAL with the sentence,
 * -ENOENT for an unknown key. */
int lode_link_config_set(
	struct lode_link_config *c, const char *key, const char *value, struct lode_err *err);
/* 0, or -EINVAL naming the field that is out of range. */
int lode_link_config_check(const struct lode_link_config *c, struct lode_err *err);

/* Number with optional k, M, G (powers of 1000), as bits per second. */
int lode_link_parse_rate(const char *text, uint64_t *bps);
/* Number with unit ns, us, ms or s. */
int lode_link_parse_time(const char *text, uint64_t *ns);

/* What became of a packet. Reasons above zero are losses. */
enum lode_link_fate {
	LODE_LINK_OK,
	LODE_LINK_LOST_DOWN,	  /* cut */
	LODE_LINK_LOST_MTU,	  /* larger than mtu_bytes */
	LODE_LINK_LOST_RANDOM,	  /* loss model */
	LODE_LINK_LOST_QUEUE,	  /* queue limit */
	LODE_LINK_LOST_CODEL,	  /* AQM, reported by pop */
	LODE_LINK_LOST_NO_MEMORY, /* more packets in flight than memory allows */
	LODE_LINK_N_FATES,
};
const char *lode_link_fate_name(enum lode_link_fate fate);

struct lode_link_stats {
	uint64_t in_pkts, in_bytes;	       /* pushed */
	uint64_t out_pkts, out_bytes;	       /* delivered, copies included */
	uint64_t fate_pkts[LODE_LINK_N_FATES]; /* lost by reason; [LODE_LINK_OK]: let in by push */
	uint64_t duplicated_pkts, corrupted_pkts, reordered_pkts;
	uint64_t lost_runs; /* of packets refused by push one after the other */
};

struct lode_link_out {
	uint64_t handle;
	uint64_t due_ns; /* when it came out, <= now */
	uint32_t bytes;
	uint32_t corrupt_bit; /* flip this bit of the packet (0 .. 8 * bytes - 1) if `corrupt` */
	bool corrupt;
	bool copy; /* the same handle comes once more: deliver a copy, keep the packet */
	enum lode_link_fate fate; /* not LODE_LINK_OK: lost on the way, free it */
};

struct lode_link;

/* start_ns: where traces, outages and jitter begin. NULL and err on bad config or without memory. */
struct lode_link *lode_link_new(
	const struct lode_link_config *c, uint64_t seed, uint64_t start_ns, struct lode_err *err);
/* Packets still inside are forgotten: take them with lode_link_flush first if they own memory. */
void lode_link_free(struct lode_link *l);
/* New settings from now on; packets inside keep the fate they have got. */
int lode_link_set(struct lode_link *l, const struct lode_link_config *c, uint64_t now_ns,
	struct lode_err *err);

/* LODE_LINK_OK: the link holds the handle until pop gives it back. Else the caller still owns it. */
enum lode_link_fate lode_link_push(
	struct lode_link *l, uint64_t now_ns, uint32_t bytes, uint64_t handle);
/* The next packet that has come out or was dropped inside by now_ns; false when there is none. */
bool lode_link_pop(struct lode_link *l, uint64_t now_ns, struct lode_link_out *out);
/* No packet is delivered before this time, unless push or set is called; LODE_NEVER_NS when empty.
 * An empty-handed pop at this time is possible (the next due time is later then). */
uint64_t lode_link_next_due_ns(struct lode_link *l);
/* Gives back whatever is inside, due or not, one handle per call; a handle with a copy comes once. */
bool lode_link_flush(struct lode_link *l, uint64_t *handle);

/* Packets and bytes waiting for service at the time of the last call. */
uint32_t lode_link_queued_pkts(const struct lode_link *l);
uint64_t lode_link_queued_bytes(const struct lode_link *l);
const struct lode_link_stats *lode_link_stats(const struct lode_link *l);
