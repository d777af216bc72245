/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_flow.h"
#include "lode_path.h"

/* What travels on the link. */
struct pkt {
	uint64_t sent_ns, pn;
	uint32_t bytes, tx_us;
	uint32_t next_free;
	uint16_t control_len; /* of control[]; 0: data */
	uint8_t flow;
	uint8_t *control;
};

struct net;

/* One sender with its receiver; each kind implements these. */
struct flow_ops {
	int (*init)(struct net *n, unsigned flow);
	void (*free)(struct net *n, unsigned flow);
	/* Sends what may leave by now. Returns when it wants to be called next. */
	uint64_t (*poll)(struct net *n, unsigned flow);
	/* A packet of the flow has come through the link. Returns when it wants to be polled for that. */
	uint64_t (*arrived)(struct net *n, unsigned flow, const struct pkt *pkt);
};

struct flow {
	const struct flow_ops *ops;
	const struct lode_flow_spec *spec;
	struct lode_flow_result *result;
	void *state;
	uint64_t due_ns;
};

struct net {
	const struct lode_flow_net *spec;
	struct lode_link *link;
	uint64_t now_ns;
	uint32_t pkt_bytes;
	struct flow flows[LODE_FLOW_MAX];
	struct pkt *pkts;
	uint32_t n_pkts, free_pkt;
};

#define NO_PKT UINT32_MAX

/* Puts a packet on the link; control, if any, is copied. */
void net_send(struct net *n, unsigned flow, uint32_t bytes, uint64_t pn, uint32_t tx_us,
	const uint8_t *control, uint16_t control_len);
/* False while the flow has nothing to send; *until_ns: when that changes. */
bool net_has_data(const struct net *n, unsigned flow, uint64_t *until_ns);
uint64_t net_back_ns(const struct net *n, unsigned flow);

extern const struct flow_ops path_flow_ops, cubic_ops, oracle_ops;
