/* SPDX-License-Identifier: BSD-3-Clause */
/* What an agent shares with its site: how fast transfers may be, and a relay. */
#pragma once

#include "lode_agent.h"
#include "lode_relay.h"

struct site {
	struct lode_pace pace;
	char relay_address[64], own_relay[80]; /* "": it runs none */
	uint16_t relay_port;
	uint64_t relay_cache_bytes;
	const char *gateway; /* its control socket; NULL: its load does not matter */
	/* Of agent and relay; whoever finds the answer old asks anew. */
	_Atomic uint64_t spare_bytes_per_s, asked_ns;
};

/* --max-rate, --bandwidth, --relay-listen, --relay-cache; -EINVAL after having complained. */
int site_take(struct site *s, const char *option, const char *value);
/* Clock, sleep and rate of an agent's options; ctx: the site. */
uint64_t site_now_ns(void *ctx);
void site_sleep_ns(void *ctx, uint64_t ns);
uint64_t site_rate(void *ctx);
/* Fetches for the site at the same pace and as the same device; with a site without a relay *out is NULL. */
int site_start_relay(struct site *s, const struct lode_agent_options *o, struct lode_relay **out,
	struct lode_err *err);
