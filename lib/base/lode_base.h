/* SPDX-License-Identifier: BSD-3-Clause */
/* base: what every room uses: errors, byte order, random numbers, histograms, averages, CoDel, an
 * SP/SC ring, counter tables and a JSON writer. Any thread may call it; an object belongs to one
 * thread unless its comment says otherwise. Times are nanoseconds (`_ns`) of a monotonic clock that
 * the caller passes in: nothing here reads a clock. Actions return 0 or -errno. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LODE_NS_PER_US	   1000ull
#define LODE_NS_PER_MS	   1000000ull
#define LODE_NS_PER_S	   1000000000ull
#define LODE_NEVER_NS	   UINT64_MAX /* a next_due_ns that never comes */
#define LODE_CACHE_LINE	   64
#define LODE_NAME_MAX	   32 /* bytes with the NUL: names of ports, peers, links, rules */
#define LODE_CACHE_ALIGNED __attribute__((aligned(LODE_CACHE_LINE)))
#define LODE_ARRAY_LEN(a)  (sizeof(a) / sizeof((a)[0]))
#define LODE_MIN(a, b)	   ((a) < (b) ? (a) : (b))
#define LODE_MAX(a, b)	   ((a) > (b) ? (a) : (b))
#define lode_likely(x)	   __builtin_expect(!!(x), 1)
#define lode_unlikely(x)   __builtin_expect(!!(x), 0)
#define LODE_FOREACH_BIT(i, mask)                                               \
	for (uint64_t lode_bits_ = (mask);                                      \
		lode_bits_ && ((i) = (unsigned)__builtin_ctzll(lode_bits_), 1); \
		lode_bits_ &= lode_bits_ - 1)

/* ---- the traffic classes, in the order of every table; names in class.c ---- */

enum lode_class {
	LODE_GAMING,
	LODE_VOIP,
	LODE_STREAMING,
	LODE_BULK,
	LODE_WEB,
	LODE_MANAGEMENT, /* the appliances' own traffic over lode0; not for LAN packets */
	LODE_N_CLASSES,
};

/* Lower-case name as written in YAML, counters and JSON. */
const char *lode_class_name(enum lode_class cls);

/* ---- errors: a code for the caller, a sentence for the person ---- */

/* The sentence says what, where, what is allowed and what was found. */
struct lode_err {
	int code; /* -errno, 0 if none */
	char msg[500];
};

/* Stores code and message, cut to fit; returns code. err may be NULL. */
int lode_err_set(struct lode_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message, for callers that know more of the place. Returns err->code. */
int lode_err_prefix(struct lode_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- byte order, unaligned ---- */

static inline uint16_t lode_load_be16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}
static inline uint32_t lode_load_be32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}
static inline uint64_t lode_load_be64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}
static inline void lode_store_be16(void *p, uint16_t v)
{
	v = __builtin_bswap16(v);
	memcpy(p, &v, sizeof(v));
}
static inline void lode_store_be32(void *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}
static inline void lode_store_be64(void *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}
static inline uint16_t lode_load_le16(const void *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}
static inline uint32_t lode_load_le32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}
static inline uint64_t lode_load_le64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}
static inline void lode_store_le32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}
static inline void lode_store_le64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the loads and stores assume this");

/* ---- bytes as text: 2 n lower-case hex digits and the NUL ---- */
void lode_hex(const void *bytes, size_t n, char *text);

/* ---- addresses ---- */

/* An IPv4 or IPv6 address; IPv4 sits in the last 4 bytes as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that one
 * comparison serves both. All zero: none. */
struct lode_ip {
	uint8_t b[16];
};
static inline bool lode_ip_is_v4(const struct lode_ip *ip)
{
	return lode_load_le64(ip->b) == 0 && lode_load_le32(ip->b + 8) == 0xffff0000u;
}
static inline bool lode_ip_is_none(const struct lode_ip *ip)
{
	return (lode_load_le64(ip->b) | lode_load_le64(ip->b + 8)) == 0;
}
static inline bool lode_ip_equal(const struct lode_ip *a, const struct lode_ip *b)
{
	return lode_load_le64(a->b) == lode_load_le64(b->b) &&
	       lode_load_le64(a->b + 8) == lode_load_le64(b->b + 8);
}
static inline uint32_t lode_ip_v4_be(const struct lode_ip *ip)
{
	return lode_load_le32(ip->b + 12);
}
static inline struct lode_ip lode_ip_from_v4_be(uint32_t addr_be)
{
	struct lode_ip ip;
	lode_store_le64(ip.b, 0);
	lode_store_le64(ip.b + 8, (uint64_t)addr_be << 32 | 0xffff0000u);
	return ip;
}
int lode_ip_parse(const char *text, struct lode_ip *ip);
/* Writes at most INET6_ADDRSTRLEN bytes; returns text. */
const char *lode_ip_format(const struct lode_ip *ip, char *text);

struct lode_endpoint {
	struct lode_ip ip;
	uint16_t port; /* host order */
};
bool lode_endpoint_equal(const struct lode_endpoint *a, const struct lode_endpoint *b);

/* ---- random numbers: xoshiro256** 1.0 (Blackman and Vigna), seeded by splitmix64 ---- */

/* Not for keys. Same seed, same numbers, on every machine. */
struct lode_rng {
	uint64_t s[4];
};

void lode_rng_seed(struct lode_rng *rng, uint64_t seed);
uint64_t lode_rng_u64(struct lode_rng *rng);
/* Uniform in [0, bound), bound > 0. */
uint64_t lode_rng_below(struct lode_rng *rng, uint64_t bound);
/* Uniform in [0, 1), 53 bits. */
double lode_rng_unit(struct lode_rng *rng);
/* Standard normal (polar Box-Muller). */
double lode_rng_normal(struct lode_rng *rng);
/* Exponential with the given mean. */
double lode_rng_exponential(struct lode_rng *rng, double mean);
/* 64-bit finalizer of splitmix64: hashes small keys, derives seeds. */
static inline uint64_t lode_mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* ---- histogram: log2 buckets with 16 linear steps each, 6 % resolution ---- */

#define LODE_HIST_STEPS_LOG2 4
#define LODE_HIST_BUCKETS    ((64 - LODE_HIST_STEPS_LOG2 + 1) << LODE_HIST_STEPS_LOG2)

struct lode_hist {
	uint64_t n, sum, max;
	uint32_t bucket[LODE_HIST_BUCKETS];
};

static inline unsigned lode_hist_bucket(uint64_t v)
{
	if (v < (1u << LODE_HIST_STEPS_LOG2))
		return (unsigned)v;
	unsigned log2 = 63u - (unsigned)__builtin_clzll(v);
	unsigned step = (unsigned)(v >> (log2 - LODE_HIST_STEPS_LOG2));
	return ((log2 - LODE_HIST_STEPS_LOG2) << LODE_HIST_STEPS_LOG2) + step;
}
static inline void lode_hist_add(struct lode_hist *h, uint64_t v)
{
	h->n++;
	h->sum += v;
	h->max = LODE_MAX(h->max, v);
	h->bucket[lode_hist_bucket(v)]++;
}
/* Value below or at which a fraction q in [0, 1] of the samples lie (upper edge of its bucket, at most
 * max); 0 for an empty histogram. */
uint64_t lode_hist_quantile(const struct lode_hist *h, double q);
void lode_hist_merge(struct lode_hist *to, const struct lode_hist *from);

/* ---- exponentially weighted average; the first sample sets it ---- */

struct lode_ewma {
	double value;
	bool valid;
};

static inline void lode_ewma_add(struct lode_ewma *e, double sample, double weight)
{
	e->value = e->valid ? e->value + weight * (sample - e->value) : sample;
	e->valid = true;
}

/* ---- max-min fair division ---- */

/* Each gets what it demands as far as that takes nothing from who has less (Bertsekas and Gallager, Data
 * Networks, 6.5.2); what nobody demands is divided evenly. Nobody gets 0. */
void lode_share_max_min(uint32_t total, const uint32_t *demand, unsigned n, uint32_t *share);

/* ---- CoDel (RFC 8289), the decision only; the queue belongs to the caller ---- */

struct lode_codel {
	uint64_t first_above_ns; /* when the sojourn time has been above target for an interval */
	uint64_t drop_next_ns;
	uint32_t count, last_count;
	bool dropping;
};

/* Asked for each packet that leaves the queue: true says drop or mark it and ask for the next one.
 * sojourn_ns: time the packet waited; backlog_bytes: what is left behind it. */
bool lode_codel_drop(struct lode_codel *c, uint64_t now_ns, uint64_t sojourn_ns,
	uint64_t backlog_bytes, uint64_t target_ns, uint64_t interval_ns);

/* ---- single-producer single-consumer ring of fixed-size records; never waits ---- */

struct lode_ring;

/* n_slots is rounded up to a power of two. Returns NULL without memory. */
struct lode_ring *lode_ring_new(uint32_t n_slots, uint32_t record_bytes);
void lode_ring_free(struct lode_ring *r);
/* Producer thread only. False when full: the record is not taken and the loss is counted. */
bool lode_ring_push(struct lode_ring *r, const void *record);
/* Consumer thread only. False when empty. */
bool lode_ring_pop(struct lode_ring *r, void *record);
/* Either side; the other may change it at once. */
bool lode_ring_is_empty(const struct lode_ring *r);
/* Records refused so far; any thread. */
uint64_t lode_ring_lost(const struct lode_ring *r);

/* ---- counters: declared once as an X-macro table, read by everyone ----
 *
 * A table is a macro LIST(X) with rows X(name, unit, severity, help); LODE_COUNTER_STRUCT makes the
 * struct (one uint64_t each, single writer), LODE_COUNTER_DESCS the array of descriptions in the same
 * order. Readers on other threads use lode_counter_read. */

enum lode_severity { LODE_INFO, LODE_WARN, LODE_ERROR };

struct lode_counter_desc {
	const char *name, *unit, *help;
	enum lode_severity severity;
};

#define LODE_COUNTER_FIELD_(name, unit, severity, help) uint64_t name;
#define LODE_COUNTER_DESC_(name, unit, severity, help)	{#name, #unit, help, severity},
#define LODE_COUNTER_STRUCT(tag, LIST)    \
	struct tag {                      \
		LIST(LODE_COUNTER_FIELD_) \
	}
#define LODE_COUNTER_DESCS(ident, LIST) \
	const struct lode_counter_desc ident[] = {LIST(LODE_COUNTER_DESC_)}

/* The owner adds; a relaxed store is a plain store on the machines we build for. */
static inline void lode_counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
static inline uint64_t lode_counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- JSON writer into a caller's buffer; commas and escaping are its business ---- */

struct lode_json {
	char *buf;
	size_t size, len;
	uint32_t depth;
	bool comma, overflow; /* overflow: the text is cut and useless, lode_json_end says so */
};

void lode_json_begin(struct lode_json *j, char *buf, size_t size);
/* key is NULL inside arrays and for the outermost value. */
void lode_json_object(struct lode_json *j, const char *key);
void lode_json_array(struct lode_json *j, const char *key);
void lode_json_close_object(struct lode_json *j);
void lode_json_close_array(struct lode_json *j);
void lode_json_string(struct lode_json *j, const char *key, const char *value);
void lode_json_u64(struct lode_json *j, const char *key, uint64_t value);
void lode_json_i64(struct lode_json *j, const char *key, int64_t value);
/* Shortest text that reads back as the same double; NaN and infinities become null. */
void lode_json_double(struct lode_json *j, const char *key, double value);
void lode_json_bool(struct lode_json *j, const char *key, bool value);
void lode_json_null(struct lode_json *j, const char *key);
/* Text that is JSON already. */
void lode_json_raw(struct lode_json *j, const char *key, const char *json);
/* Ends the text with a NUL; returns its length or -ENOSPC. */
long lode_json_end(struct lode_json *j);
