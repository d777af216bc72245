/* SPDX-License-Identifier: BSD-3-Clause */
/* The seqlock around lane summaries. Words are copied by relaxed atomic accesses, so that a torn copy
 * is thrown away without being a data race; fences as in Boehm, "Can seqlocks get along with
 * programming language memory models?" (MSPC 2012). */
#include "lode_snapshot.h"

#define READ_TRIES    64
#define FIRST_WORD    1 /* the words of `sequence` and its padding are not copied */
#define SUMMARY_WORDS (sizeof(struct lode_lane_summary) / sizeof(uint64_t))
static_assert(sizeof(struct lode_lane_summary) % sizeof(uint64_t) == 0, "copied by words");
static_assert(offsetof(struct lode_lane_summary, now_ns) == FIRST_WORD * sizeof(uint64_t), "");

void lode_lane_summary_publish(struct lode_lane_summary *slot, const struct lode_lane_summary *from)
{
	uint32_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
	uint64_t *to_words = (uint64_t *)slot;
	const uint64_t *from_words = (const uint64_t *)from;
	atomic_store_explicit(&slot->sequence, sequence + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t i = FIRST_WORD; i < SUMMARY_WORDS; i++)
		__atomic_store_n(&to_words[i], from_words[i], __ATOMIC_RELAXED);
	atomic_store_explicit(&slot->sequence, sequence + 2, memory_order_release);
}

bool lode_lane_summary_read(const struct lode_lane_summary *slot, struct lode_lane_summary *to)
{
	const uint64_t *from_words = (const uint64_t *)slot;
	uint64_t *to_words = (uint64_t *)to;
	for (int try = 0; try < READ_TRIES; try++) {
		uint32_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
		for (size_t i = FIRST_WORD; i < SUMMARY_WORDS; i++)
			to_words[i] = __atomic_load_n(&from_words[i], __ATOMIC_RELAXED);
		atomic_thread_fence(memory_order_acquire);
		uint32_t after = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
		if (before == after && before % 2 == 0)
			return true;
	}
	return false;
}
