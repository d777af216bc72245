/* SPDX-License-Identifier: BSD-3-Clause */
#include "heap.h"

void heap_init(struct heap *h)
{
	h->n = 0;
	memset(h->place, HEAP_NONE, sizeof(h->place));
}

static void put(struct heap *h, unsigned place, uint8_t item)
{
	h->items[place] = item;
	h->place[item] = (uint8_t)place;
}

static unsigned sift_up(struct heap *h, unsigned place, uint8_t item)
{
	while (place && h->due_ns[item] < h->due_ns[h->items[(place - 1) / 2]]) {
		put(h, place, h->items[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	return place;
}

static unsigned sift_down(struct heap *h, unsigned place, uint8_t item)
{
	for (;;) {
		unsigned child = 2 * place + 1;
		if (child >= h->n)
			return place;
		if (child + 1 < h->n && h->due_ns[h->items[child + 1]] < h->due_ns[h->items[child]])
			child++;
		if (h->due_ns[item] <= h->due_ns[h->items[child]])
			return place;
		put(h, place, h->items[child]);
		place = child;
	}
}

void heap_set(struct heap *h, uint8_t item, uint64_t due_ns)
{
	h->due_ns[item] = due_ns;
	unsigned place = h->place[item] == HEAP_NONE ? h->n++ : h->place[item];
	put(h, place, item);
	place = sift_up(h, place, item);
	put(h, sift_down(h, place, item), item);
}

void heap_remove(struct heap *h, uint8_t item)
{
	unsigned place = h->place[item];
	if (place == HEAP_NONE)
		return;
	h->place[item] = HEAP_NONE;
	uint8_t last = h->items[--h->n];
	if (last == item)
		return;
	put(h, place, last);
	heap_set(h, last, h->due_ns[last]);
}
