/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include <rte_hash.h>
#include <rte_malloc.h>

#define TCP_TIMEOUT_NS	  (300 * LODE_NS_PER_S)
#define OTHER_TIMEOUT_NS  (60 * LODE_NS_PER_S)
#define CLOSED_TIMEOUT_NS (10 * LODE_NS_PER_S)

/* Both halves of a 128-bit product (the mixer of wyhash): hosts cannot aim at a bucket without the seed, as
 * they could with a CRC. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_tuple(const void *key, uint32_t len, uint32_t seed)
{
	uint64_t word[5];
	memcpy(word, key, sizeof(word));
	uint64_t h = mix(seed ^ 0xa0761d6478bd642full, 0xe7037ed1a0b428dbull);
	h = mix(h ^ word[0], 0x8ebc6af09c88c6e3ull ^ word[1]);
	h = mix(h ^ word[2], 0x589965cc75374cc3ull ^ word[3]);
	h = mix(h ^ word[4], 0x1d8e4e27c47d124full);
	return (uint32_t)(h ^ h >> 32);
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

int flow_table_init(
	struct flow_table *t, const char *name, uint32_t size, uint32_t seed, int socket_id)
{
	const struct rte_hash_parameters params = {
		.name = name,
		.entries = size,
		.key_len = sizeof(struct five_tuple),
		.hash_func = hash_tuple,
		.hash_func_init_val = seed,
		.socket_id = socket_id,
	};
	*t = (struct flow_table){.size = size};
	t->hash = rte_hash_create(&params);
	t->flows = rte_zmalloc_socket(name, sizeof(struct flow) * size, LODE_CACHE_LINE, socket_id);
	if (t->hash && t->flows)
		return 0;
	flow_table_fini(t);
	return -ENOMEM;
}

void flow_table_fini(struct flow_table *t)
{
	rte_hash_free(t->hash);
	rte_free(t->flows);
	*t = (struct flow_table){0};
}

void flow_lookup_burst(const struct flow_table *t, const struct five_tuple *const *tuples,
	unsigned n, uint32_t *idx)
{
	const void *keys[RTE_HASH_LOOKUP_BULK_MAX];
	int32_t positions[RTE_HASH_LOOKUP_BULK_MAX];
	for (unsigned i = 0; i < n; i++)
		keys[i] = tuples[i];
	if (n == 0 || rte_hash_lookup_bulk(t->hash, keys, n, positions) != 0)
		return;
	for (unsigned i = 0; i < n; i++) {
		idx[i] = positions[i] < 0 ? LODE_NO_FLOW : (uint32_t)positions[i];
		if (positions[i] >= 0)
			__builtin_prefetch(&t->flows[positions[i]], 1);
	}
}

uint32_t flow_insert(struct flow_table *t, const struct five_tuple *tuple, uint64_t now_ns)
{
	int32_t position = rte_hash_add_key(t->hash, tuple);
	if (position < 0)
		return LODE_NO_FLOW;
	struct flow *f = &t->flows[position];
	if (f->last_ns == 0)
		t->n_used++;
	*f = (struct flow){
		.last_ns = LODE_MAX(now_ns, 1),
		.mark_ns = now_ns,
		.min_bytes = UINT16_MAX,
		.cls = LODE_BULK,
		.source = CLASS_BY_DEFAULT,
		.protocol = tuple->protocol == PROTO_TCP || tuple->protocol == PROTO_UDP
				    ? tuple->protocol
				    : 0,
	};
	return (uint32_t)position;
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
		struct flow *f = &t->flows[t->sweep_idx];
		void *key;
		if (expired(f, now_ns) &&
			rte_hash_get_key_with_position(t->hash, (int32_t)t->sweep_idx, &key) == 0) {
			rte_hash_del_key(t->hash, key);
			f->last_ns = 0;
			t->n_used--;
			n_expired++;
		}
		if (++t->sweep_idx == t->size)
			t->sweep_idx = 0;
	}
	return n_expired;
}
