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
	unsigned n_workers; /* per site */
	/* Of single sites, in place of n_workers; 0: that. */
	uint8_t site_workers[LODE_SIM_SITES_MAX];
	const char *aead;	 /* as lode_aead_new: "null" is fast, others prove more */
	uint32_t n_mbufs;	 /* one pool for all sites */
	uint32_t n_flow_entries; /* of each worker's table */
	uint16_t lan_mtu[LODE_SIM_SITES_MAX]; /* 0: 1500 */
	uint64_t rekey_ns; /* age at which keys are renewed; 0: as the product does */
	uint64_t loop_ns;  /* that a loop of a worker or of control takes; 0: 10 us */
	uint64_t (*cpu_ns)(void); /* of this thread, for lode_sim_cost; NULL: not measured */
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
/* The clock of a site, which its gateway runs by. */
uint64_t lode_sim_site_now(const struct lode_sim *s, unsigned site);
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
/* Puts the port behind a NAT that it shares with the other sites of its network: one address outside and a
 * small pool of ports, one port for each pair of inside and outside endpoint (RFC 4787: address- and
 * port-dependent), forgotten when idle for so long; nothing comes in that was not asked for. 0: no such NAT. */
void lode_sim_set_cgnat(struct lode_sim *s, unsigned site, unsigned wan_port, uint64_t expire_ns);
/* What a router does to the type of service of what a WAN port sends. */
struct lode_sim_remark {
	bool active;
	bool bleach;	 /* clears ECN */
	bool mark_all;	 /* also what is Not-ECT, which RFC 3168 forbids */
	double ce_share; /* of the packets gets CE, if they are ECT */
	int8_t dscp;	 /* that all get; -1: their own */
};
void lode_sim_set_remark(
	struct lode_sim *s, unsigned site, unsigned wan_port, const struct lode_sim_remark *remark);
/* Puts a frame in front of a LAN port, or of lode0, that no flow of the hosts sends: malformed, tagged, to
 * nobody, from an impossible address, a lone fragment, in several buffers ... */
void lode_sim_stray(struct lode_sim *s, unsigned site, struct lode_rng *rng);
/* The gateway loses its memory and starts again (a new process); its saved counters survive. */
int lode_sim_restart(struct lode_sim *s, unsigned site, struct lode_err *err);
/* The site's next configurations leave this peer out; LODE_SIM_NOBODY: none. */
#define LODE_SIM_NOBODY UINT32_MAX
void lode_sim_dismiss(struct lode_sim *s, unsigned site, unsigned other);
/* Applies the site's configuration with other additional YAML while it runs. */
int lode_sim_reconfigure(struct lode_sim *s, unsigned site, const char *yaml, struct lode_err *err);
/* Puts a frame in front of a site's WAN port as if it came from the network. */
void lode_sim_inject(
	struct lode_sim *s, unsigned site, unsigned wan_port, const void *frame, size_t len);
/* The site's clock is so much later all at once: the machine was suspended. */
void lode_sim_jump_clock(struct lode_sim *s, unsigned site, uint64_t ns);
/* One of the site's lcores, or all of them, do not run until then. lcore: 0 control, 1 + worker. */
#define LODE_SIM_ALL_LCORES UINT32_MAX
void lode_sim_stall(struct lode_sim *s, unsigned site, unsigned lcore, uint64_t until_ns);
/* A port loses its carrier, or has it again: the gateway is told, and nothing passes. port_idx as in the
 * configuration. */
void lode_sim_set_carrier(struct lode_sim *s, unsigned site, unsigned port_idx, bool up);
/* A port takes at most so many frames per loop; UINT32_MAX: all. port_idx as in the configuration. */
void lode_sim_limit_tx(struct lode_sim *s, unsigned site, unsigned port_idx, uint32_t n_frames);
/* Takes packet buffers away until no more than `left` are free; UINT32_MAX: gives all back. */
void lode_sim_take_buffers(struct lode_sim *s, uint32_t left);

/* What the running gateway's lcores spent in their own work since it started, by params.cpu_ns: receiving and
 * polling of its workers, polling of control. What the simulation does with their frames is not in it. */
struct lode_sim_cost {
	uint64_t worker_ns, control_ns;
	uint64_t worker_loops, control_loops;
};
const struct lode_sim_cost *lode_sim_cost(const struct lode_sim *s, unsigned site);

/* What somebody who sees the wires can send: made from a datagram seen on them. */
enum lode_sim_attack {
	LODE_SIM_REPLAY,    /* again, to the same port */
	LODE_SIM_TRUNCATED, /* cut short, with and without the lengths of the headers */
	LODE_SIM_FLIPPED,   /* some bits changed */
	LODE_SIM_FORGED,    /* another type, path, lane, session or number; another sender */
	LODE_SIM_MISROUTED, /* to another site */
	LODE_SIM_FLOOD,	    /* a handshake message, from an address of its own each time */
	LODE_SIM_N_ATTACKS,
};
/* Sends one. False: nothing to make it from was seen yet. */
bool lode_sim_attack(struct lode_sim *s, enum lode_sim_attack kind, struct lode_rng *rng);

/* What a broken gateway would do to one of the next packets it gives to its LAN: shows that checks find it. */
enum lode_sim_sabotage {
	LODE_SIM_SOUND,
	LODE_SIM_ALTER,
	LODE_SIM_TWICE,
	LODE_SIM_SWAP,	 /* with the next of its flow */
	LODE_SIM_ASTRAY, /* to another host */
	LODE_SIM_LOSE,	 /* without counting it */
	LODE_SIM_LEAK,	 /* a buffer */
	LODE_SIM_DELAY,	 /* beyond any deadline */
	LODE_SIM_REMARK, /* gets another DSCP */
	LODE_SIM_N_SABOTAGES,
};
void lode_sim_sabotage(struct lode_sim *s, enum lode_sim_sabotage how);

/* ---- traffic ---- */

enum lode_sim_kind {
	LODE_SIM_CBR, /* UDP packets of one size at one rate, numbered, their bytes checked */
	LODE_SIM_TCP, /* a transfer with slow start, CUBIC, SACK and RACK (RFC 8985) in real TCP headers */
};

struct lode_sim_flow {
	enum lode_sim_kind kind;
	unsigned src, dst; /* sites */
	bool v6;
	bool host;	   /* CBR, IPv4: between the appliances themselves, over lode0 */
	bool may_fragment; /* CBR, IPv4: packets without the DF bit */
	uint8_t dscp;
	uint8_t ecn; /* 0 Not-ECT, 1 ECT(1), 2 ECT(0); TCP: 0 only */
	/* 1 + the class its packets are sure to get: they are held to its promises. 0: any, to none. */
	uint8_t sure_class;
	uint16_t dport;		    /* 0: one that says nothing */
	uint16_t pkt_bytes;	    /* CBR: IP length, >= 64. TCP: MTU of the hosts */
	uint32_t pps;		    /* CBR */
	uint64_t start_ns, stop_ns; /* stop: no new data; LODE_NEVER_NS: never */
	uint64_t total_bytes;	    /* TCP: ends after so many; 0: until stop_ns */
};

struct lode_sim_flow_stats {
	uint64_t sent_pkts, received_pkts, duplicate_pkts, reordered_pkts, altered_pkts;
	/* With another DSCP than sent, or an ECN that congestion does not make of the one sent. Always 0. */
	uint64_t remarked_pkts;
	/* Delivered more often than sent; behind a later one that had no leave to go before; later than
	 * deadlines allow. Always 0, the last two only for flows of a sure class. */
	uint64_t doubled_pkts, disordered_pkts, overdue_pkts;
	uint64_t longest_gap_ns;  /* CBR: between two arrivals */
	uint64_t lost_pkts;	  /* CBR: of those sent a second after the first, or later */
	uint64_t delivered_bytes; /* TCP: in order at the receiver */
	uint64_t retransmitted_pkts, n_timeouts;
	uint64_t first_ns, done_ns; /* first sent; TCP: last byte acknowledged, 0: not yet */
	uint32_t mss_bytes;
	struct lode_hist latency_us; /* CBR */
};

/* Index of the flow, or -errno. */
int lode_sim_add_flow(struct lode_sim *s, const struct lode_sim_flow *flow, struct lode_err *err);
/* The hosts of the flows so far fall silent: nothing is sent any more, not even again. */
void lode_sim_hush(struct lode_sim *s);
const struct lode_sim_flow_stats *lode_sim_flow_stats(const struct lode_sim *s, unsigned flow);

/* ---- looking inside ---- */

struct lode_sim_stats {
	uint64_t n_events, lan_pkts, wan_pkts;
	uint64_t further_pkts;	    /* of wan_pkts: data on other lanes than the home lane */
	uint64_t misdelivered_pkts; /* frames that reached a LAN or host they were not for */
	uint64_t broken_pkts;	    /* frames on a LAN that nobody could have sent */
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
/* Every packet is accounted for, now: what each site took in, it gave out, holds or dropped for a counted
 * reason; and each buffer in use is held by somebody. -EBADMSG: the sentence says which sum is wrong. */
int lode_sim_audit(const struct lode_sim *s, struct lode_err *err);
/* Packets that gateways hold: 0 some seconds after the last one was sent. */
uint64_t lode_sim_held_pkts(const struct lode_sim *s);
/* Sums of the counters over all sites and lives. */
struct lode_sim_totals {
	struct lode_lane_counters lanes;
	struct lode_worker_counters workers;
	struct lode_control_counters control;
};
void lode_sim_totals(const struct lode_sim *s, struct lode_sim_totals *out);
/* Empties links, hosts and gateways (which are of no use afterwards): all buffers must come back. */
void lode_sim_flush(struct lode_sim *s);
