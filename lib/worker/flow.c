/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include <rte_malloc.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TCP_TIMEOUT_NS	  (300 * LODE_NS_PER_S)
#define OTHER_TIMEOUT_NS  (60 * LODE_NS_PER_S)
#define CLOSED_TIMEOUT_NS (10 * LODE_NS_PER_S)
#define BUCKET_SLOTS	  8

struct flow_bucket {
	uint16_t sig[BUCKET_SLOTS]; /* 0: free */
	uint32_t idx[BUCKET_SLOTS];
} __attribute__((aligned(LODE_CACHE_LINE)));

/* ---- hashes ---- */

/* Both halves of a 128-bit product (the mixer of wyhash): hosts cannot aim at a bucket without the seed, as
 * they could with a CRC. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_tuple(const struct flow_table *t, const struct five_tuple *tuple)
{
	const uint8_t *b = (const uint8_t *)tuple;
	uint64_t h =
		mix(t->seed ^ lode_load_le64(b), 0x8ebc6af09c88c6e3ull ^ lode_load_le64(b + 8));
	h = mix(h ^ lode_load_le64(b + 16), 0x589965cc75374cc3ull ^ lode_load_le64(b + 24));
	return mix(h ^ lode_load_le64(b + 32), 0x1d8e4e27c47d124full);
}

static inline bool same_tuple(const struct five_tuple *a, const struct five_tuple *b)
{
	const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
	uint64_t differ = 0;
	for (unsigned i = 0; i < sizeof(*a); i += 8)
		differ |= lode_load_le64(x + i) ^ lode_load_le64(y + i);
	return differ == 0;
}

uint32_t flow_symmetric_hash(const struct five_tuple *tuple)
{
	uint64_t src[2], dst[2];
	memcpy(src, tuple->src.b, sizeof(src));
	memcpy(dst, tuple->dst.b, sizeof(dst));
	uint64_t ports = (uint32_t)tuple->sport_be + tuple->dport_be;
	return (uint32_t)lode_mix64(
		(src[0] + dst[0]) ^ (src[1] + dst[1]) ^ ports << 8 ^ tuple->protocol);
}

/* ---- buckets ---- */

static inline uint16_t sig_of(uint64_t hash)
{
	return (uint16_t)(hash >> 48 | 1);
}

static inline struct flow_bucket *first_bucket(const struct flow_table *t, uint64_t hash)
{
	return &t->buckets[hash & t->bucket_mask];
}

static inline struct flow_bucket *second_bucket(const struct flow_table *t, uint64_t hash)
{
	return &t->buckets[hash >> 24 & t->bucket_mask];
}

/* Mask of the slots with that signature. */
static inline unsigned match(const struct flow_bucket *b, uint16_t sig)
{
#ifdef __SSE2__
	__m128i same = _mm_cmpeq_epi16(
		_mm_load_si128((const __m128i *)b->sig), _mm_set1_epi16((int16_t)sig));
	return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(same, _mm_setzero_si128()));
#else
	unsigned mask = 0;
	for (unsigned i = 0; i < BUCKET_SLOTS; i++)
		mask |= (unsigned)(b->sig[i] == sig) << i;
	return mask;
#endif
}

static uint32_t find_in(const struct flow_table *t, const struct flow_bucket *b, uint16_t sig,
	const struct five_tuple *tuple)
{
	unsigned slot;
	LODE_FOREACH_BIT (slot, match(b, sig)) {
		if (same_tuple(&t->entries[b->idx[slot]].tuple, tuple))
			return b->idx[slot];
	}
	return LODE_NO_FLOW;
}

static uint32_t find(const struct flow_table *t, const struct five_tuple *tuple, uint64_t hash)
{
	uint32_t idx = find_in(t, first_bucket(t, hash), sig_of(hash), tuple);
	return idx != LODE_NO_FLOW ? idx : find_in(t, second_bucket(t, hash), sig_of(hash), tuple);
}

static bool add_to(struct flow_bucket *b, uint16_t sig, uint32_t idx)
{
	unsigned room = match(b, 0);
	if (room == 0)
		return false;
	unsigned slot = (unsigned)__builtin_ctz(room);
	b->sig[slot] = sig;
	b->idx[slot] = idx;
	return true;
}

static void remove_from(struct flow_bucket *b, uint16_t sig, uint32_t idx)
{
	unsigned slot;
	LODE_FOREACH_BIT (slot, match(b, sig)) {
		if (b->idx[slot] == idx)
			b->sig[slot] = 0;
	}
}

/* ---- life ---- */

int flow_table_init(struct flow_table *t, uint32_t size, uint64_t seed, int socket_id)
{
	/* Half full or less: two full buckets for one tuple are not seen in practice. */
	uint32_t n_buckets = 1;
	while (n_buckets * (uint64_t)BUCKET_SLOTS < 2 * (uint64_t)size)
		n_buckets *= 2;
	*t = (struct flow_table){.size = size, .bucket_mask = n_buckets - 1, .seed = seed};
	t->entries = rte_zmalloc_socket(
		"flows", sizeof(t->entries[0]) * size, sizeof(t->entries[0]), socket_id);
	t->buckets = rte_zmalloc_socket(
		"flow buckets", sizeof(t->buckets[0]) * n_buckets, LODE_CACHE_LINE, socket_id);
	if (!t->entries || !t->buckets) {
		flow_table_fini(t);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < size; i++)
		t->entries[i].next_free = i + 1 < size ? i + 1 : LODE_NO_FLOW;
	return 0;
}

void flow_table_fini(struct flow_table *t)
{
	rte_free(t->entries);
	rte_free(t->buckets);
	*t = (struct flow_table){0};
}

/* Buckets are on their way while tuples are hashed, entries while signatures are compared. */
void flow_lookup_burst(const struct flow_table *t, const struct five_tuple *const *tuples,
	unsigned n, uint32_t *idx)
{
	uint64_t hash[LODE_BURST_MAX];
	for (unsigned i = 0; i < n; i++) {
		hash[i] = hash_tuple(t, tuples[i]);
		__builtin_prefetch(first_bucket(t, hash[i]));
	}
	for (unsigned i = 0; i < n; i++) {
		const struct flow_bucket *b = first_bucket(t, hash[i]);
		unsigned slots = match(b, sig_of(hash[i]));
		idx[i] = slots ? b->idx[__builtin_ctz(slots)] : LODE_NO_FLOW;
		if (slots) {
			__builtin_prefetch(&t->entries[idx[i]].tuple);
			__builtin_prefetch(&t->entries[idx[i]].flow, 1);
		}
	}
	for (unsigned i = 0; i < n; i++)
		if (lode_unlikely(idx[i] == LODE_NO_FLOW ||
				  !same_tuple(&t->entries[idx[i]].tuple, tuples[i])))
			idx[i] = find(t, tuples[i], hash[i]);
}

uint32_t flow_insert(struct flow_table *t, const struct five_tuple *tuple, uint64_t now_ns)
{
	uint64_t hash = hash_tuple(t, tuple);
	uint32_t idx = find(t, tuple, hash);
	if (idx != LODE_NO_FLOW)
		return idx;
	idx = t->free;
	if (idx == LODE_NO_FLOW || (!add_to(first_bucket(t, hash), sig_of(hash), idx) &&
					   !add_to(second_bucket(t, hash), sig_of(hash), idx)))
		return LODE_NO_FLOW;
	t->free = t->entries[idx].next_free;
	t->n_used++;
	t->entries[idx].tuple = *tuple;
	t->entries[idx].symmetric_hash = flow_symmetric_hash(tuple);
	t->entries[idx].flow = (struct flow){
		.last_ns = LODE_MAX(now_ns, 1),
		.mark_ns = now_ns,
		.min_bytes = UINT16_MAX,
		.cls = LODE_BULK,
		.source = CLASS_BY_DEFAULT,
		.protocol = tuple->protocol == PROTO_TCP || tuple->protocol == PROTO_UDP
				    ? tuple->protocol
				    : 0,
	};
	return idx;
}

static void remove_flow(struct flow_table *t, uint32_t idx)
{
	uint64_t hash = hash_tuple(t, &t->entries[idx].tuple);
	remove_from(first_bucket(t, hash), sig_of(hash), idx);
	remove_from(second_bucket(t, hash), sig_of(hash), idx);
	t->entries[idx].flow.last_ns = 0;
	t->entries[idx].next_free = t->free;
	t->free = idx;
	t->n_used--;
}

static bool expired(const struct flow *f, uint64_t now_ns)
{
	uint64_t timeout_ns = f->closing		 ? CLOSED_TIMEOUT_NS
			      : f->protocol == PROTO_TCP ? TCP_TIMEOUT_NS
							 : OTHER_TIMEOUT_NS;
	return f->last_ns && f->last_ns + timeout_ns <= now_ns;
}

unsigned flow_sweep(struct flow_table *t, unsigned n, uint64_t now_ns)
{
	unsigned n_expired = 0;
	for (unsigned i = 0; i < n; i++) {
		if (expired(&t->entries[t->sweep_idx].flow, now_ns)) {
			remove_flow(t, t->sweep_idx);
			n_expired++;
		}
		if (++t->sweep_idx == t->size)
			t->sweep_idx = 0;
	}
	return n_expired;
}
