/* SPDX-License-Identifier: BSD-3-Clause */
/* One worker with a snapshot made by hand: LAN 0 (10.1.0.0/24, 2001:db8:1::/64), LAN 1 (10.3.0.0/24, VLAN
 * 5), WAN 2 (192.0.2.1/24), peer 0 behind it (10.2.0.0/16, 2001:db8:2::/48) with a session under the null
 * AEAD, lode0 10.255.0.1. Neighbours: 10.1.0.9 and 10.3.0.9. */
#pragma once

#include "lode_aead.h"
#include "lode_lane.h"
#include "lode_wire.h"
#include "lode_worker.h"

#define WORLD_UDP_PORT 51900
#define WORLD_SESSION  77

struct world {
	struct rte_mempool *pool;
	struct lode_shared *shared;
	struct lode_config *config;
	struct lode_rules *rules;
	struct lode_aead *aead;
	struct lode_peer_view view;
	struct lode_routes *routes;
	struct lode_neighbours *neighbours;
	struct lode_snapshot *snapshot, *older;
	struct lode_worker *w;
	uint64_t now_ns, serial;
};

extern const uint8_t world_lan_mac[6], world_lan1_mac[6], world_wan_mac[6], world_host_mac[6];

/* EAL once per process, then the world; aborts when something is missing. */
void world_make(struct world *x);
/* Also checks that every packet buffer came back: returns how many did not. */
unsigned world_free(struct world *x);
/* Another snapshot: with this neighbour too if ip is not NULL; with or without the peer's session. */
void world_publish(struct world *x, const char *neighbour_ip, unsigned port_idx, bool session);
/* A buffer with these bytes. */
struct rte_mbuf *world_mbuf(struct world *x, const void *bytes, size_t len);
/* Frame into LAN or WAN port, then a poll. */
void world_lan(struct world *x, unsigned port_idx, const void *frame, size_t len);
void world_wan(struct world *x, const void *frame, size_t len);
void world_poll(struct world *x);

/* Writes Ethernet + IPv4 + UDP with `payload` bytes of zeros behind; returns the frame's length. */
size_t world_udp4(uint8_t *frame, const char *src, const char *dst, uint16_t sport, uint16_t dport,
	size_t payload);
size_t world_udp6(uint8_t *frame, const char *src, const char *dst, uint16_t sport, uint16_t dport,
	size_t payload);
/* Mends the IPv4 header checksum after a change. */
void world_mend(uint8_t *frame);
