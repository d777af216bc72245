/* SPDX-License-Identifier: BSD-3-Clause */
/* flow: one direction of a conversation as its worker remembers it. A fixed table: a full one refuses new
 * flows and never searches; old flows leave by a sweep of a few entries at a time. Each tuple has two
 * buckets where it may be (Azar et al., Balanced Allocations, 1994), each one cache line of short
 * signatures: one line tells nearly always whether and where a flow is. Some 150 bytes a flow. */
#pragma once

#include "lode_lane.h"
#include "parse.h"

/* Who said the class, strongest first: a weaker source never overrules a stronger one. */
enum class_source {
	CLASS_BY_RULE,
	CLASS_BY_DSCP,
	CLASS_BY_APP, /* lodestone-classify saw what it is */
	CLASS_BY_PORT,
	CLASS_BY_BEHAVIOUR,
	CLASS_BY_DEFAULT,
};

struct flow {
	struct lode_lane_flow lane; /* the lane's own */
	uint64_t last_ns;	    /* newest packet; 0: entry is free */
	uint64_t mark_ns;	    /* start of the running window of behaviour */
	uint32_t n_pkts;
	uint32_t mark_bytes;	       /* in the running window */
	uint16_t mark_pkts;	       /* in it */
	uint16_t min_bytes, max_bytes; /* packet sizes in it */
	uint16_t rules_serial;	       /* of the rules that classified it */
	uint8_t cls;		       /* enum lode_class */
	uint8_t source;		       /* enum class_source */
	uint8_t dscp;
	uint8_t protocol : 7; /* as far as timeouts and behaviour care: 0, PROTO_TCP, PROTO_UDP */
	uint8_t closing : 1;  /* FIN or RST was seen */
	uint8_t lane_id;      /* of its peer */
};
static_assert(sizeof(struct flow) == LODE_CACHE_LINE, "one cache line per packet and flow");

/* What a packet writes in one cache line, what the look-up reads in the next: one page, fetched together. */
struct flow_entry {
	struct flow flow;
	struct five_tuple tuple;
	uint32_t symmetric_hash;
	uint32_t next_free;
} __attribute__((aligned(2 * LODE_CACHE_LINE)));
struct flow_bucket;

struct flow_table {
	struct flow_entry *entries; /* [size] */
	struct flow_bucket *buckets;
	uint32_t bucket_mask, free; /* LODE_NO_FLOW: none */
	uint32_t size, n_used, sweep_idx;
	uint64_t seed;
};

/* 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t, uint32_t size, uint64_t seed, int socket_id);
void flow_table_fini(struct flow_table *t);
/* idx[i]: entry of tuples[i] or LODE_NO_FLOW. n <= 64. */
void flow_lookup_burst(const struct flow_table *t, const struct five_tuple *const *tuples,
	unsigned n, uint32_t *idx);
/* A cleared entry, or the one that the tuple has; LODE_NO_FLOW when the table is full. */
uint32_t flow_insert(struct flow_table *t, const struct five_tuple *tuple, uint64_t now_ns);
/* Looks at the next n entries; returns how many expired. */
unsigned flow_sweep(struct flow_table *t, unsigned n, uint64_t now_ns);
/* Same for both directions of a flow; chooses its lane. */
uint32_t flow_symmetric_hash(const struct five_tuple *tuple);
