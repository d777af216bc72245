/* SPDX-License-Identifier: BSD-3-Clause */
/* How a lane makes lost segments good (docs/fec.md). Towards the WAN (repair_tx.c): parity over the segments
 * of a class as they pass, and a short memory of what was sent for those who ask again. From the WAN
 * (repair_rx.c): what is missing is asked for, and computed from parity and a short memory of what came.
 * State and both memories are slots of the worker's pools, taken when a class needs one and given back when it has
 * been of no use for a while. What is used when is engine's decision, made every few ms (repair.c). */
#pragma once

#include "lode_fec.h"
#include "lode_lane.h"
#include "lode_repair.h"

#define SYMBOL_BYTES	1536 /* longer segments (jumbo frames) are not covered; a multiple of 64 */
#define SENT_SLOTS	256  /* segments remembered for who asks; a power of two */
#define KEPT_SLOTS	256  /* sources remembered for decoding; more than LODE_FEC_SPAN_MAX */
#define MISSING_MAX	128  /* sequences of a lane that are missing and not yet given up */
#define GAP_MAX		64   /* more missing in a row is an outage, not loss */
#define RESEND_MAX	64   /* segments asked for and not yet sent again */
#define REPAIR_IDLE_NS	(10 * LODE_NS_PER_S) /* unused so long, a slot goes back to the pool */
#define NACK_SPACING_NS (500 * LODE_NS_PER_US)

/* A segment that was sent: its text as it was before sealing. */
struct sent_segment {
	uint64_t sent_ns, resent_ns;
	uint32_t seq;
	uint16_t len; /* 0: none */
	uint8_t tos, path;
};

struct repair_tx {
	struct repair_tx *next_free;
	struct lode_fec_encoder *encoder;
	struct sent_segment sent[SENT_SLOTS]; /* by sequence */
	uint8_t *texts;			      /* SENT_SLOTS of SYMBOL_BYTES */
	uint64_t used_ns;		      /* newest segment */
	uint8_t tos, path;		      /* of it */
	bool flushed;			      /* the pause since was seen */
};

/* A source that came: its symbol. */
struct kept_source {
	uint64_t rx_ns; /* 0: it was computed */
	uint32_t seq;
	uint16_t len; /* 0: none */
};

struct repair_rx {
	struct repair_rx *next_free;
	struct lode_fec_decoder *decoder;
	struct kept_source kept[KEPT_SLOTS]; /* by sequence */
	uint8_t *symbols;		     /* KEPT_SLOTS of SYMBOL_BYTES */
	uint64_t used_ns;		     /* newest repair */
	uint32_t
		span_us; /* from the first source that a repair covers to its arrival: moving average */
};

/* A sequence that did not come: asked for when it is due. */
struct missing_segment {
	uint64_t due_ns, since_ns;
	uint32_t seq;
	uint8_t cls, tries;
};

struct resend {
	uint32_t seq;
	uint8_t cls;
};

/* Loss of one path that is not congestion. */
struct path_noise {
	uint64_t sent_pkts, lost_pkts; /* when looked at last */
	uint64_t lost_runs, told_ns;
	uint64_t lossy_ns; /* when something was lost last, congestion included; 0: never */
	struct lode_repair_belief belief;
	double rx_queue_max_ns; /* longest queue of the other direction, forgotten within some 10 s */
};

/* One class of a lane. */
struct class_repair {
	enum lode_repair_mode mode;
	uint64_t deadline_ns;
	struct lode_repair_input input;	       /* as of the last renewal */
	uint8_t input_link[LODE_REPAIR_PATHS]; /* that each of its paths is */
	struct lode_repair_cache cache;
	struct lode_repair_budget budget;
	double parity_share;	       /* at most, in the mean; 1: any */
	uint64_t n_sources, n_repairs; /* as of the last renewal */
	uint64_t decided_ns;	       /* when the decision was made */
	uint64_t lossy_ns;	       /* when something of its paths was lost last; 0: never */
	uint8_t n_asked;	       /* missing segments that are asked for */
	uint8_t last_path;	       /* that took a repair */
	struct repair_tx *tx;	       /* NULL: no slot */
	struct repair_rx *rx;
	uint32_t n_sent[LODE_LINKS_MAX]; /* segments since the last renewal, by path */
	double pps[LODE_LINKS_MAX];	 /* moving average of that */
	struct lode_repair_summary stats;
};

struct lane_repair {
	struct lane_repair *next_free;
	bool agreed;	 /* the peer reads repairs and NACKs */
	uint8_t sending; /* mask of classes that may need it */
	uint8_t asking;	 /* mask of classes whose losses are asked for */
	uint8_t keeping; /* mask of classes that have an rx slot */
	uint64_t renewed_ns;
	uint64_t rtt_ns, late_ns; /* of the fastest path, and its jitter */
	uint32_t ask_us;	  /* from asking to having, at most */
	uint64_t due_ns;      /* a NACK, a resend or a pause wants attention; LODE_NEVER_NS: none */
	uint64_t nack_due_ns; /* not before */
	uint32_t n_missing, n_resend;
	struct missing_segment missing[MISSING_MAX];
	struct resend resend[RESEND_MAX];
	struct path_noise noise[LODE_LINKS_MAX];
	struct class_repair classes[LODE_N_CLASSES];
};

/* What the lanes of a worker share. */
struct repair_pools {
	const struct lode_fec_tables *tables;
	struct repair_tx *free_tx;
	struct repair_rx *free_rx;
	struct lane_repair *free_lane;
	struct lane_repair none;     /* of lanes without one: nothing is sent, asked for or kept */
	struct lode_burst arrived;   /* repairs that came with the burst on its way, opened */
	struct lode_burst recovered; /* segments that they gave */
	void *memory;
};
