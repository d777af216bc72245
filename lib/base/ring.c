/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_base.h"

#include <stdlib.h>

/* Head and tail count up forever; the difference is the fill. Each side keeps a stale copy of the
 * other's position and refreshes it only when the ring looks full or empty. */
struct lode_ring {
	uint32_t mask, record_bytes;
	struct {
		_Atomic uint64_t head; /* written by the producer */
		uint64_t tail_seen;
		_Atomic uint64_t lost; /* written by the producer */
	} producer LODE_CACHE_ALIGNED;
	struct {
		_Atomic uint64_t tail; /* written by the consumer */
		uint64_t head_seen;
	} consumer LODE_CACHE_ALIGNED;
	uint8_t records[] LODE_CACHE_ALIGNED;
};

struct lode_ring *lode_ring_new(uint32_t n_slots, uint32_t record_bytes)
{
	uint64_t n = 2;
	while (n < n_slots)
		n *= 2;
	size_t bytes = sizeof(struct lode_ring) + n * record_bytes;
	bytes = (bytes + LODE_CACHE_LINE - 1) / LODE_CACHE_LINE * LODE_CACHE_LINE;
	struct lode_ring *r = aligned_alloc(LODE_CACHE_LINE, bytes);
	if (!r)
		return NULL;
	memset(r, 0, bytes);
	r->mask = (uint32_t)(n - 1);
	r->record_bytes = record_bytes;
	return r;
}

void lode_ring_free(struct lode_ring *r)
{
	free(r);
}

static uint8_t *slot(struct lode_ring *r, uint64_t position)
{
	return r->records + (size_t)(position & r->mask) * r->record_bytes;
}

bool lode_ring_push(struct lode_ring *r, const void *record)
{
	uint64_t head = atomic_load_explicit(&r->producer.head, memory_order_relaxed);
	if (head - r->producer.tail_seen > r->mask) {
		r->producer.tail_seen =
			atomic_load_explicit(&r->consumer.tail, memory_order_acquire);
		if (head - r->producer.tail_seen > r->mask) {
			atomic_fetch_add_explicit(&r->producer.lost, 1, memory_order_relaxed);
			return false;
		}
	}
	memcpy(slot(r, head), record, r->record_bytes);
	atomic_store_explicit(&r->producer.head, head + 1, memory_order_release);
	return true;
}

bool lode_ring_pop(struct lode_ring *r, void *record)
{
	uint64_t tail = atomic_load_explicit(&r->consumer.tail, memory_order_relaxed);
	if (tail == r->consumer.head_seen) {
		r->consumer.head_seen =
			atomic_load_explicit(&r->producer.head, memory_order_acquire);
		if (tail == r->consumer.head_seen)
			return false;
	}
	memcpy(record, slot(r, tail), r->record_bytes);
	atomic_store_explicit(&r->consumer.tail, tail + 1, memory_order_release);
	return true;
}

uint64_t lode_ring_lost(const struct lode_ring *r)
{
	return atomic_load_explicit(&r->producer.lost, memory_order_relaxed);
}

bool lode_ring_is_empty(const struct lode_ring *r)
{
	return atomic_load_explicit(&r->producer.head, memory_order_acquire) ==
	       atomic_load_explicit(&r->consumer.tail, memory_order_acquire);
}
