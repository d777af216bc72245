/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of views share. All of it under the lock. */
#pragma once

#include "gateway.h"

/* A monotonic time as wall-clock time, UTC, RFC 3339 with ms. */
void format_wall_time(uint64_t at_ns, char *text, size_t size);
/* "udp 10.1.0.2:5000 > 10.2.0.2:53, lan0, 120 bytes", without what is not known. */
void format_packet(
	const struct gateway *g, const struct lode_packet_id *id, char *text, size_t size);
/* "udp", or "proto 99". */
const char *format_protocol(uint8_t protocol, char text[12]);
/* "10.1.0.2:5000", "[2001:db8::1]:53", or without a port when it is 0. */
void format_endpoint(const struct lode_ip *ip, uint16_t port, char *text, size_t size);
/* Name of a port of the configuration, or lode0. */
const char *port_name(const struct gateway *g, unsigned port_idx);
/* 0 when params names a peer of the configuration, or none. */
int check_peer(const struct gateway *g, const char *params, struct lode_err *err);
/* Worker that params names; -1: all of them; below: err says what is wrong. */
int pick_worker(const struct gateway *g, const char *params, struct lode_err *err);
