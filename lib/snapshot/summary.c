/* SPDX-License-Identifier: BSD-3-Clause */
/* The seqlocks around lane summaries and reports. Words are copied by relaxed atomic accesses, so that a torn
 * copy is thrown away without being a data race; fences as in Boehm, "Can seqlocks get along with
 * programming language memory models?" (MSPC 2012). */
#include "lode_snapshot.h"

#define READ_TRIES  64
#define FIRST_WORD  1 /* the word of `sequence` is not copied */
#define WORDS(type) (sizeof(type) / sizeof(uint64_t))
static_assert(sizeof(struct lode_lane_summary) % sizeof(uint64_t) == 0, "copied by words");
static_assert(offsetof(struct lode_lane_summary, now_ns) == FIRST_WORD * sizeof(uint64_t), "");
static_assert(sizeof(struct lode_lane_report) % sizeof(uint64_t) == 0, "copied by words");
static_assert(offsetof(struct lode_lane_report, now_ns) == FIRST_WORD * sizeof(uint64_t), "");

static void publish(_Atomic uint32_t *sequence, void *slot, const void *from, size_t n_words)
{
	uint32_t before = atomic_load_explicit(sequence, memory_order_relaxed);
	uint64_t *to_words = slot;
	const uint64_t *from_words = from;
	atomic_store_explicit(sequence, before + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t i = FIRST_WORD; i < n_words; i++)
		__atomic_store_n(&to_words[i], from_words[i], __ATOMIC_RELAXED);
	atomic_store_explicit(sequence, before + 2, memory_order_release);
}

static bool try_read(const _Atomic uint32_t *sequence, const void *slot, void *to, size_t n_words)
{
	const uint64_t *from_words = slot;
	uint64_t *to_words = to;
	for (int try = 0; try < READ_TRIES; try++) {
		uint32_t before = atomic_load_explicit(sequence, memory_order_acquire);
		for (size_t i = FIRST_WORD; i < n_words; i++)
			to_words[i] = __atomic_load_n(&from_words[i], __ATOMIC_RELAXED);
		atomic_thread_fence(memory_order_acquire);
		uint32_t after = atomic_load_explicit(sequence, memory_order_relaxed);
		if (before == after && before % 2 == 0)
			return true;
	}
	return false;
}

void lode_lane_summary_publish(struct lode_lane_summary *slot, const struct lode_lane_summary *from)
{
	publish(&slot->sequence, slot, from, WORDS(*slot));
}

bool lode_lane_summary_read(const struct lode_lane_summary *slot, struct lode_lane_summary *to)
{
	return try_read(&slot->sequence, slot, to, WORDS(*slot));
}

void lode_lane_report_publish(struct lode_lane_report *slot, const struct lode_lane_report *from)
{
	publish(&slot->sequence, slot, from, WORDS(*slot));
}

bool lode_lane_report_read(const struct lode_lane_report *slot, struct lode_lane_report *to)
{
	return try_read(&slot->sequence, slot, to, WORDS(*slot));
}
