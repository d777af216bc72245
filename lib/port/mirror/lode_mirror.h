/* SPDX-License-Identifier: BSD-3-Clause */
/* mirror: the kernel's side of the ports, without DPDK. Every port has a tap in the kernel, its mirror: what
 * is not the gateway's business goes there and comes back, so Linux does ARP, ND, DHCP and ICMP, and
 * addresses, neighbours and routes are learned from it over netlink. A port that the kernel sees too is
 * guarded: its addresses are saved and removed, and what it receives is dropped behind the packet tap.
 * One thread uses an object; no global state. Times are ns of the caller's monotonic clock. Needs
 * CAP_NET_ADMIN in the network namespace it runs in. Actions return 0 or -errno. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"

#include <net/if.h>

/* ---- taps ---- */

struct lode_tap {
	int fd; /* non-blocking: read and write whole frames, or IP packets of a TUN device */
	int ifindex;
	char name[IFNAMSIZ];
};

enum lode_tap_kind { LODE_TAP_ETHERNET, LODE_TAP_IP };

struct lode_tap_spec {
	const char *name; /* at most 15 bytes */
	enum lode_tap_kind kind;
	uint8_t mac[6]; /* Ethernet only */
	uint16_t mtu_bytes;
	bool accept_ra; /* learn addresses and routers by SLAAC */
};

/* Makes the interface (it disappears with the descriptor), sets MAC, MTU and the sysctls that keep the
 * kernel from answering for other interfaces or routing through it, and brings it up. */
int lode_tap_open(const struct lode_tap_spec *spec, struct lode_tap *tap, struct lode_err *err);
void lode_tap_close(struct lode_tap *tap);
/* Lets the kernel see the link state of the port behind the mirror. */
int lode_tap_set_carrier(const struct lode_tap *tap, bool up);

/* ---- netlink: what the kernel knows ---- */

enum lode_kernel_kind {
	LODE_KERNEL_NEIGHBOUR,
	LODE_KERNEL_ADDRESS,
	LODE_KERNEL_ROUTE,
	LODE_KERNEL_LINK,
};

enum lode_neighbour_state {
	LODE_NEIGHBOUR_PENDING, /* being asked for */
	LODE_NEIGHBOUR_GOOD,	/* the kernel has a MAC address for it, fresh or stale */
	LODE_NEIGHBOUR_FAILED,	/* nobody answered */
};

struct lode_kernel_event {
	enum lode_kernel_kind kind;
	bool gone;			 /* removed, not added or changed */
	bool up;			 /* LINK: administratively up with carrier */
	enum lode_neighbour_state state; /* NEIGHBOUR */
	int ifindex;
	struct lode_prefix prefix; /* NEIGHBOUR: its address; ADDRESS; ROUTE: destination */
	struct lode_ip gateway;	   /* ROUTE: next hop, none if on-link */
	uint32_t metric;	   /* ROUTE */
	uint8_t mac[6];		   /* NEIGHBOUR, LINK */
};
typedef void lode_kernel_fn(void *ctx, const struct lode_kernel_event *event);

/* Reads netlink messages and calls fn for each that says something about neighbours, unicast global
 * addresses, routes of the main table or links. Returns the number of calls, or -EBADMSG for bytes that
 * are no netlink message (the events before them have been given). */
int lode_netlink_parse(const void *bytes, size_t len, lode_kernel_fn *fn, void *ctx);

struct lode_netlink;

int lode_netlink_new(struct lode_netlink **out, struct lode_err *err);
void lode_netlink_free(struct lode_netlink *nl);
/* Readable when events wait. */
int lode_netlink_fd(const struct lode_netlink *nl);
/* Hands out what the kernel has told since; never waits. After lost events everything is read again. */
int lode_netlink_run(struct lode_netlink *nl, lode_kernel_fn *fn, void *ctx);
/* Reads the present state of everything, as events. */
int lode_netlink_dump(struct lode_netlink *nl, lode_kernel_fn *fn, void *ctx);

/* Makes the kernel resolve or confirm that neighbour (NTF_USE); the answer is an event. */
int lode_netlink_resolve(struct lode_netlink *nl, int ifindex, const struct lode_ip *ip);
int lode_netlink_add_address(
	struct lode_netlink *nl, int ifindex, const struct lode_prefix *prefix);
/* Route of the main table through gateway (none: on-link) on that interface. */
int lode_netlink_add_route(struct lode_netlink *nl, int ifindex, const struct lode_prefix *prefix,
	const struct lode_ip *gateway, uint32_t metric);
int lode_netlink_del_route(struct lode_netlink *nl, int ifindex, const struct lode_prefix *prefix,
	uint32_t metric);

/* ---- resolver: which neighbours are asked for, and when again; no I/O ---- */

#define LODE_RESOLVER_MAX 512 /* neighbours kept; the least recently wanted makes room */

struct lode_resolver_ops {
	/* The kernel should resolve or confirm this neighbour. */
	void (*ask)(void *ctx, unsigned port_idx, const struct lode_ip *ip);
	/* The neighbour has this MAC address; NULL: nobody answers for long. */
	void (*tell)(void *ctx, unsigned port_idx, const struct lode_ip *ip, const uint8_t *mac);
};

struct lode_resolver;

struct lode_resolver *lode_resolver_new(const struct lode_resolver_ops *ops, void *ctx);
void lode_resolver_free(struct lode_resolver *r);
/* Somebody wants to send there. Asked at once, then again until it is known. `always`: a next hop of the
 * configuration, asked for as long as we run. */
void lode_resolver_want(struct lode_resolver *r, unsigned port_idx, const struct lode_ip *ip,
	bool always, uint64_t now_ns);
/* The kernel's news about a neighbour; mac is read when state is GOOD. */
void lode_resolver_learn(struct lode_resolver *r, unsigned port_idx, const struct lode_ip *ip,
	enum lode_neighbour_state state, const uint8_t mac[6], uint64_t now_ns);
/* Asks for what is due; returns when it wants to be called next. */
uint64_t lode_resolver_poll(struct lode_resolver *r, uint64_t now_ns);

/* ---- guard: ports that the kernel sees too ---- */

/* Saves addresses, routes, IPv6 and GRO settings of the interface in state_dir, on disk before anything is
 * changed; then drops at ingress (behind the packet tap), disables IPv6, removes the addresses, turns
 * GRO off and the interface on. A save that was left by a killed process is restored first. */
int lode_guard_take(const char *state_dir, const char *ifname, struct lode_err *err);
/* Puts everything back and removes the save. 0 also when there is none. */
int lode_guard_release(const char *state_dir, const char *ifname, struct lode_err *err);
/* Releases every interface saved in state_dir. Returns how many were restored, or the first error after
 * trying all. */
int lode_guard_release_all(const char *state_dir, struct lode_err *err);
