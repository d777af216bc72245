/* SPDX-License-Identifier: BSD-3-Clause */
/* The server of a link: when a packet of so many bytes may start and when its last bit has left. */
#pragma once

#include "lode_link.h"

struct service {
	uint64_t start_ns; /* of traces and outages */
	/* constant rate: free at free_ns + free_frac / 2^32 */
	uint64_t byte_ns_q32; /* 0: unlimited */
	uint64_t free_ns;
	uint32_t free_frac;
	/* trace: the opportunity in use and what is left of it */
	const struct lode_link_trace *trace;
	uint64_t cycle_ns; /* begin of the current repetition */
	uint32_t op_idx, op_left_bytes;
	uint64_t outage_every_ns, outage_for_ns;
};

void service_set(struct service *s, const struct lode_link_config *c, uint64_t now_ns);
/* Earliest time a packet that came at arrival_ns can begin. */
uint64_t service_begin(struct service *s, uint64_t arrival_ns);
/* Sends one packet that begins at begin_ns (as told by service_begin); returns when it is through. */
uint64_t service_send(struct service *s, uint64_t begin_ns, uint32_t bytes);
