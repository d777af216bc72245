/* SPDX-License-Identifier: BSD-3-Clause */
/* classify: which application a flow is of, by its first packets, with nDPI. Used by lodestone-classify only: it
 * allocates and parses hostile bytes, which belongs in a process that may do nothing else. One thread. */
#pragma once

#include "lode_base.h"

struct lode_classify;

/* Remembers up to max_flows flows that are not decided yet; the oldest makes room. */
int lode_classify_new(uint32_t max_flows, struct lode_classify **out, struct lode_err *err);
void lode_classify_free(struct lode_classify *c);

unsigned lode_classify_n_apps(const struct lode_classify *c);
/* nDPI's name, and the class that its category suggests. NULL: there is none by that number. */
const char *lode_classify_app(const struct lode_classify *c, unsigned app, enum lode_class *cls);

/* One packet of the flow, from its IP header. True: decided, *app says what it is; the flow is forgotten. After
 * max_pkts packets with payload it is decided in any case: true with *app a guess, or -1 when even that
 * fails. */
bool lode_classify_look(struct lode_classify *c, uint64_t flow, const uint8_t *packet, uint16_t len,
	uint64_t time_ms, unsigned max_pkts, int *app);

/* Bytes of UDP or TCP payload in an IP packet that may be cut short or malformed; 0 for others. */
uint32_t lode_classify_payload(const uint8_t *packet, uint32_t len);
