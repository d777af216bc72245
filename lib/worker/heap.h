/* SPDX-License-Identifier: BSD-3-Clause */
/* heap: which lane is due next. A binary heap over lane numbers with their places remembered, so that one can
 * be moved when its time changes. */
#pragma once

#include "lode_config.h"

#define HEAP_NONE 0xff

struct heap {
	uint64_t due_ns[LODE_PEERS_MAX]; /* by item */
	uint8_t place[LODE_PEERS_MAX];	 /* by item, HEAP_NONE: not in it */
	uint8_t items[LODE_PEERS_MAX];	 /* by place */
	uint8_t n;
};

void heap_init(struct heap *h);
/* Puts the item in, or moves it. */
void heap_set(struct heap *h, uint8_t item, uint64_t due_ns);
void heap_remove(struct heap *h, uint8_t item);
static inline uint64_t heap_first_ns(const struct heap *h)
{
	return h->n ? h->due_ns[h->items[0]] : LODE_NEVER_NS;
}
