/* SPDX-License-Identifier: BSD-3-Clause */
/* sim: whole gateways (control and workers) in virtual time. Each site has one LAN with hosts that make
 * traffic and check what they get, and up to 4 WAN ports; port k of every site is attached to network k by
 * an uplink and a downlink of sim/link. Same parameters and calls, same digest, byte for byte. Everything
 * runs on the calling thread, which must be the EAL's main thread; times are ns from the simulation's start,
 * each site's own clock runs at an offset to it. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"
#include "lode_control.h"
#include "lode_link.h"
#include "lode_worker.h"

#define LODE_SIM_SITES_MAX 65
#define LODE_SIM_FLOWS_MAX 1024

struct lode_sim;

/* EAL without hugepages, devices or files of its own, for simulations and tests. memory_mb: for pools and
 * flow tables. Once per process. 0 or -errno. */
int lode_sim_eal_init(unsigned memory_mb, struct lode_err *err);

enum lode_sim_topology {
	LODE_SIM_MESH, /* every site knows every other */
	LODE_SIM_HUB,  /* sites know site 0 only, and send everything to it */
	/* The same, but site 0 does not know where the others are: it learns from what they send. */
	LODE_SIM_HUB_LEARNS,
};

struct lode_sim_params {
	uint64_t seed;
	enum lode_sim_topology topology;
	unsigned n_sites, n_wan_ports;
	unsigned n_workers;	 /* per site */
	const char *aead;	 /* as lode_aead_new: "null" is fast, others prove more */
	uint32_t n_mbufs;	 /* one pool for all sites */
	uint32_t n_flow_entries; /* of each worker's table */
	/* More YAML for every site's configuration (classes, rules); "" for none. */
	const char *yaml;
	/* Link of each WAN port, towards the network; the same at all sites at the start. The other direction
	 * is a wire without delay. up_kbps is what the configuration says of it; 0: learned. */
	struct lode_link_config uplink[LODE_WAN_PORTS_MAX];
	uint32_t up_kbps[LODE_WAN_PORTS_MAX];
};

struct lode_sim *lode_sim_new(const struct lode_sim_params *params, struct lode_err *err);
void lode_sim_free(struct lode_sim *s);

/* Runs until that time. */
void lode_sim_run(struct lode_sim *s, uint64_t until_ns);
uint64_t lode_sim_now(const struct lode_sim *s);
/* Of every frame on every wire so far: its time, place and bytes. */
uint64_t lode_sim_digest(const struct lode_sim *s);

/* Changes a link from now on. towards_network: the uplink, else the downlink. */
enum lode_sim_direction { LODE_SIM_UP, LODE_SIM_DOWN };
void lode_sim_set_link(struct lode_sim *s, unsigned site, unsigned wan_port,
	enum lode_sim_direction direction, const struct lode_link_config *config);
const struct lode_link_config *lode_sim_get_link(const struct lode_sim *s, unsigned site,
	unsigned wan_port, enum lode_sim_direction direction);
/* For its queue and statistics. */
const struct lode_link *lode_sim_link(const struct lode_sim *s, unsigned site, unsigned wan_port,
	enum lode_sim_direction direction);
/* Cuts or mends both directions of a port's cable; the port itself stays up. */
void lode_sim_cut(struct lode_sim *s, unsigned site, unsigned wan_port, bool cut);
/* Puts a NAT in front of a WAN port, or changes its binding: other peers see another address and other ports
 * from now on, and what is sent to the earlier ones is lost. 0: none. */
void lode_sim_set_nat(struct lode_sim *s, unsigned site, unsigned wan_port, unsigned binding);
/* The gateway loses its memory and starts again (a new process); its saved counters survive. */
int lode_sim_restart(struct lode_sim *s, unsigned site, struct lode_err *err);
/* Applies the site's configuration with other additional YAML while it runs. */
int lode_sim_reconfigure(struct lode_sim *s, unsigned site, const char *yaml, struct lode_err *err);
/* Puts a frame in front of a site's WAN port as if it came from the network. */
void lode_sim_inject(
	struct lode_sim *s, unsigned site, unsigned wan_port, const void *frame, size_t len);

/* ---- traffic ---- */

enum lode_sim_kind {
	LODE_SIM_CBR, /* UDP packets of one size at one rate, numbered, their bytes checked */
	LODE_SIM_TCP, /* a transfer with slow start, CUBIC, SACK and RACK (RFC 8985) in real TCP headers */
};

struct lode_sim_flow {
	enum lode_sim_kind kind;
	unsigned src, dst; /* sites */
	bool v6;
	uint8_t dscp;
	uint16_t dport;		    /* 0: one that says nothing */
	uint16_t pkt_bytes;	    /* CBR: IP length, >= 64. TCP: MTU of the hosts */
	uint32_t pps;		    /* CBR */
	uint64_t start_ns, stop_ns; /* stop: no new data; LODE_NEVER_NS: never */
	uint64_t total_bytes;	    /* TCP: ends after so many; 0: until stop_ns */
};

struct lode_sim_flow_stats {
	uint64_t sent_pkts, received_pkts, duplicate_pkts, reordered_pkts, altered_pkts;
	uint64_t longest_gap_ns;  /* CBR: between two arrivals */
	uint64_t delivered_bytes; /* TCP: in order at the receiver */
	uint64_t retransmitted_pkts, n_timeouts;
	uint64_t first_ns, done_ns; /* first sent; TCP: last byte acknowledged, 0: not yet */
	uint32_t mss_bytes;
	struct lode_hist latency_us; /* CBR */
};

/* Index of the flow, or -errno. */
int lode_sim_add_flow(struct lode_sim *s, const struct lode_sim_flow *flow, struct lode_err *err);
const struct lode_sim_flow_stats *lode_sim_flow_stats(const struct lode_sim *s, unsigned flow);

/* ---- looking inside ---- */

struct lode_sim_stats {
	uint64_t n_events, lan_pkts, wan_pkts;
	uint64_t misdelivered_pkts; /* frames that reached a LAN or host they were not for */
	uint64_t rx_full_pkts;	    /* lost because a gateway did not come to take them */
	uint64_t log_errors;	    /* error lines of control */
};
const struct lode_sim_stats *lode_sim_stats(const struct lode_sim *s);
struct lode_control *lode_sim_control(struct lode_sim *s, unsigned site);
struct lode_worker *lode_sim_worker(struct lode_sim *s, unsigned site, unsigned worker);
/* The words between a site's control and workers. */
struct lode_shared *lode_sim_shared(struct lode_sim *s, unsigned site);
/* Index of site `other` among the peers of `site`, or -ENOENT. */
int lode_sim_peer_idx(const struct lode_sim *s, unsigned site, unsigned other);
/* Packet buffers in use; 0 after lode_sim_flush. */
uint32_t lode_sim_mbufs_in_use(const struct lode_sim *s);
/* Empties links, hosts and gateways (which are of no use afterwards): all buffers must come back. */
void lode_sim_flush(struct lode_sim *s);
