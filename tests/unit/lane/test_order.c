/* SPDX-License-Identifier: BSD-3-Clause */
/* The order stages against a naive reference that keeps everything in lists and knows the flows. */
#include "order.h"
#include "pair.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define N_SEGMENTS   3000
#define N_FLOWS	     12
#define ITEMS_MAX    4
#define PACKET_BYTES 48
#define CLS	     LODE_BULK
#define LIMIT_NS     (30 * LODE_NS_PER_MS)
#define STEP_NS	     LODE_NS_PER_MS

struct item {
	unsigned flow;
	uint32_t number;
	uint16_t dist;
};

struct segment {
	uint32_t seq;
	uint8_t flags;
	unsigned n_items;
	struct item items[ITEMS_MAX];
	unsigned part, n_parts;
	uint32_t arrival; /* step; UINT32_MAX: lost */
};

/* ---- what came out, in order ---- */

struct released {
	unsigned n;
	struct {
		uint32_t step;
		unsigned flow;
		uint32_t number;
	} rows[2 * N_SEGMENTS * ITEMS_MAX];
	uint32_t step;
};

static void add(struct released *r, unsigned flow, uint32_t number)
{
	r->rows[r->n].step = r->step;
	r->rows[r->n].flow = flow;
	r->rows[r->n++].number = number;
}

static void deliver(
	void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *ip = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		add(ctx, lode_load_be16(ip + 20), lode_load_be32(ip + 24));
		rte_pktmbuf_free(pkts[i]);
	}
}

/* ---- the reference ---- */

struct naive_held {
	struct item item;
	uint32_t seq;
	uint64_t deadline_ns;
	bool held;
};

struct naive {
	bool received[N_SEGMENTS + 1];
	const struct segment *segments; /* by index: sequence - first */
	uint32_t first_seq, n_arrived_of[N_SEGMENTS + 1];
	struct naive_held *held;
	unsigned n_held;
	struct released *out;
};

static uint32_t index_of(const struct naive *n, uint32_t seq)
{
	return (seq - n->first_seq) & LODE_WIRE_SEQ_MASK;
}

/* A packet in parts counts as received with its last part only when all of them are here. */
static bool naive_received(const struct naive *n, uint32_t idx)
{
	if (idx >= N_SEGMENTS || !n->received[idx])
		return false;
	const struct segment *s = &n->segments[idx];
	for (unsigned back = 1; back <= s->part; back++) {
		if (!n->received[idx - back])
			return false;
	}
	return true;
}

static bool naive_may_go(const struct naive *n, const struct naive_held *h)
{
	if (h->item.dist == 0)
		return true;
	uint32_t pred = index_of(n, h->seq - h->item.dist);
	if (!naive_received(n, pred))
		return false;
	for (unsigned i = 0; i < n->n_held; i++) {
		if (n->held[i].held && n->held[i].item.flow == h->item.flow &&
			index_of(n, n->held[i].seq) == pred)
			return false;
	}
	return true;
}

static void naive_settle(struct naive *n)
{
	for (unsigned i = 0; i < n->n_held; i++) {
		struct naive_held *h = &n->held[i];
		if (h->held && naive_may_go(n, h)) {
			h->held = false;
			add(n->out, h->item.flow, h->item.number);
			i = UINT32_MAX; /* again from the oldest */
		}
	}
}

static void naive_expire(struct naive *n, uint64_t now_ns)
{
	for (unsigned i = 0; i < n->n_held; i++) {
		struct naive_held *h = &n->held[i];
		if (h->held && h->deadline_ns <= now_ns) {
			h->held = false;
			add(n->out, h->item.flow, h->item.number);
			naive_settle(n);
		}
	}
}

static void naive_arrive(struct naive *n, const struct segment *s, uint64_t now_ns)
{
	uint32_t idx = index_of(n, s->seq);
	n->received[idx] = true;
	/* Items of a packet in parts come with the part that completes it. */
	const struct segment *last = s + (s->n_parts - 1 - s->part);
	uint32_t last_idx = idx + s->n_parts - 1 - s->part;
	if (naive_received(n, last_idx)) {
		for (unsigned i = 0; i < last->n_items; i++)
			n->held[n->n_held++] = (struct naive_held){.item = last->items[i],
				.seq = last->seq,
				.deadline_ns = now_ns + LIMIT_NS,
				.held = true};
	}
	naive_settle(n);
}

/* ---- random traffic ---- */

static void make_segments(struct lode_rng *rng, struct segment *s, uint32_t seq)
{
	uint32_t number[N_FLOWS] = {0}, last[N_FLOWS] = {0}, dist_in[N_FLOWS];
	bool known[N_FLOWS] = {false};
	for (unsigned i = 0; i < N_SEGMENTS;) {
		unsigned n_parts =
			lode_rng_below(rng, 10) == 0 ? 2 + (unsigned)lode_rng_below(rng, 3) : 1;
		n_parts = LODE_MIN(n_parts, N_SEGMENTS - i);
		unsigned n_items = n_parts > 1 ? 1 : 1 + (unsigned)lode_rng_below(rng, ITEMS_MAX);
		struct segment *whole = &s[i + n_parts - 1];
		*whole = (struct segment){
			.n_items = n_items, .flags = n_items > 1 ? LODE_WIRE_BUNDLE : 0};
		for (unsigned k = 0; k < n_items; k++) {
			unsigned f = (unsigned)lode_rng_below(rng, N_FLOWS);
			uint32_t first = seq + i, own = seq + i + n_parts - 1;
			bool again = k > 0 && known[f] && last[f] == own;
			if (!again)
				dist_in[f] = known[f] ? first - last[f] : 0;
			/* Of a packet in parts the receiver counts from its last part. */
			uint32_t dist = dist_in[f] ? dist_in[f] + (again ? 0 : n_parts - 1) : 0;
			whole->items[k] = (struct item){f, number[f]++, (uint16_t)dist};
			last[f] = own;
			known[f] = true;
		}
		for (unsigned k = 0; k < n_parts; k++) {
			s[i + k].seq = (seq + i + k) & LODE_WIRE_SEQ_MASK;
			s[i + k].part = k;
			s[i + k].n_parts = n_parts;
			if (n_parts > 1)
				s[i + k].flags = (k > 0 ? LODE_WIRE_CONT : 0) |
						 (k + 1 < n_parts ? LODE_WIRE_MORE : 0);
			s[i + k].arrival = lode_rng_below(rng, 12) == 0
						   ? UINT32_MAX
						   : i + k + (uint32_t)lode_rng_below(rng, 20);
		}
		i += n_parts;
	}
}

static void write_item(uint8_t *ip, const struct item *item)
{
	memset(ip, 0, PACKET_BYTES);
	ip[0] = 0x45;
	ip[9] = 17;
	lode_store_be16(ip + 20, (uint16_t)item->flow);
	lode_store_be32(ip + 24, item->number);
}

static void append_packet(struct rte_mbuf *m, const struct item *item)
{
	uint8_t *ip = (uint8_t *)rte_pktmbuf_append(m, PACKET_BYTES);
	cr_assert_not_null(ip);
	write_item(ip, item);
}

static struct rte_mbuf *segment_mbuf(struct rte_mempool *pool, const struct segment *s)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	cr_assert_not_null(m);
	*lode_pkt(m) = (struct lode_pkt){
		.cls = CLS, .segment = {.seq = s->seq, .flags = s->flags, .dist = 0}};
	if (s->n_parts > 1) {
		/* Equal slices of the packet; the last segment knows what is in it. */
		const struct segment *last = s + (s->n_parts - 1 - s->part);
		uint8_t ip[PACKET_BYTES];
		write_item(ip, &last->items[0]);
		unsigned slice = PACKET_BYTES / s->n_parts;
		memcpy(rte_pktmbuf_append(m, (uint16_t)slice), ip + s->part * slice, slice);
		if (s->part == 0 && last->items[0].dist != 0)
			lode_pkt(m)->segment.dist =
				(uint16_t)(last->items[0].dist - (s->n_parts - 1));
		return m;
	}
	for (unsigned i = 0; i < s->n_items; i++) {
		if (s->flags & LODE_WIRE_BUNDLE) {
			uint8_t *head = (uint8_t *)rte_pktmbuf_append(m, 4);
			lode_store_be16(head, PACKET_BYTES);
			lode_store_be16(head + 2, s->items[i].dist);
		} else {
			lode_pkt(m)->segment.dist = s->items[i].dist;
		}
		append_packet(m, &s->items[i]);
	}
	return m;
}

/* ---- comparing ---- */

/* The same packets in each step, and each flow in the same order. */
static void compare(const struct released *got, const struct released *want)
{
	static uint32_t next_got, next_want;
	cr_assert_eq(got->n, want->n, "%u packets, reference %u", got->n, want->n);
	for (unsigned f = 0; f < N_FLOWS; f++) {
		next_got = next_want = 0;
		for (;;) {
			while (next_got < got->n && got->rows[next_got].flow != f)
				next_got++;
			while (next_want < want->n && want->rows[next_want].flow != f)
				next_want++;
			if (next_got == got->n || next_want == want->n)
				break;
			cr_assert_eq(got->rows[next_got].number, want->rows[next_want].number,
				"flow %u step %u: %u, reference %u", f, got->rows[next_got].step,
				got->rows[next_got].number, want->rows[next_want].number);
			cr_assert_eq(got->rows[next_got].step, want->rows[next_want].step,
				"flow %u packet %u", f, got->rows[next_got].number);
			next_got++;
			next_want++;
		}
	}
}

static struct lode_lane *bare_lane(struct rte_mempool *pool, struct released *out)
{
	struct lode_lane *l = aligned_alloc(64, (sizeof(*l) + 63) / 64 * 64);
	struct lode_lane_limits limits = {
		.flow_queues = 16, .queued_pkts = 16, .waiting_pkts = 4096};
	memset(l, 0, sizeof(*l));
	l->env = (struct lode_lane_env){
		.mbufs = pool,
		.pools = lode_lane_pools_new(&limits, SOCKET_ID_ANY),
		.ctx = out,
		.deliver = deliver,
	};
	l->expire_due_ns = LODE_NEVER_NS;
	l->repair = &l->env.pools->repair.none;
	l->window[CLS].limit_ns = LIMIT_NS;
	return l;
}

static void free_lane(struct lode_lane *l)
{
	order_flush(l);
	cr_assert_eq(lode_lane_pools_held(l->env.pools), 0);
	lode_lane_pools_free(l->env.pools);
	free(l);
}

/* Joins the burst somewhere, as the stage before these leaves it. */
static void arrive(struct lode_lane *l, struct rte_mempool *pool, struct lode_rng *rng,
	struct lode_burst *b, const struct segment *s)
{
	unsigned at = (unsigned)lode_rng_below(rng, b->n + 1);
	memmove(b->pkts + at + 1, b->pkts + at, (b->n++ - at) * sizeof(b->pkts[0]));
	b->pkts[at] = segment_mbuf(pool, s);
	cr_assert_eq(order_note(&l->window[CLS], s->seq), ARRIVAL_NEW);
	l->n_parts++;
	l->n_behind++;
}

static void compare_run(struct rte_mempool *pool, uint64_t seed)
{
	struct released *got = calloc(2, sizeof(*got)), *want = got + 1;
	struct segment *segments = calloc(N_SEGMENTS + LODE_WIRE_PARTS_MAX, sizeof(*segments));
	struct lode_lane *l = bare_lane(pool, got);
	struct lode_rng rng;
	lode_rng_seed(&rng, seed);
	uint32_t first = (0u - N_SEGMENTS / 2) & LODE_WIRE_SEQ_MASK; /* wraps in the middle */
	struct naive n = {.segments = segments, .first_seq = first, .out = want};
	n.held = calloc(N_SEGMENTS * ITEMS_MAX, sizeof(n.held[0]));
	make_segments(&rng, segments, first);
	for (uint32_t step = 0; step < N_SEGMENTS + 100; step++) {
		uint64_t now_ns = LODE_NS_PER_S + step * STEP_NS;
		got->step = want->step = step;
		order_expire(l, now_ns);
		release_flush(l, now_ns);
		naive_expire(&n, now_ns);
		struct lode_burst b = {.now_ns = now_ns};
		l->n_parts = l->n_behind = 0;
		for (unsigned i = step >= 20 ? step - 20 : 0; i <= step && i < N_SEGMENTS; i++)
			if (segments[i].arrival == step) {
				arrive(l, pool, &rng, &b, &segments[i]);
				naive_arrive(&n, &segments[i], now_ns);
			}
		stages_run(l, &wan_to_lan[6], 2, &l->stages[6], &b);
		release_flush(l, now_ns);
	}
	compare(got, want);
	cr_assert_gt(l->counters.rx_waited, 100, "the traffic must make packets wait");
	cr_assert_gt(l->counters.rx_gave_up, 10);
	free_lane(l);
	free(n.held);
	free(segments);
	free(got);
}

Test(order, agrees_with_the_naive_reference)
{
	struct rte_mempool *pool = eal_pool();
	for (uint64_t seed = 1; seed <= 20; seed++)
		compare_run(pool, seed);
	cr_assert_eq(rte_mempool_in_use_count(pool), 0);
}

Test(order, notes_each_sequence_once)
{
	struct class_window *w = calloc(1, sizeof(*w));
	uint32_t start = LODE_WIRE_SEQ_MASK - 100;
	for (uint32_t i = 0; i < 300; i++)
		cr_assert_eq(order_note(w, (start + i) & LODE_WIRE_SEQ_MASK), ARRIVAL_NEW);
	for (uint32_t i = 0; i < 300; i++)
		cr_assert_eq(order_note(w, (start + i) & LODE_WIRE_SEQ_MASK), ARRIVAL_DUPLICATE);
	uint32_t newest = (start + 299) & LODE_WIRE_SEQ_MASK;
	cr_assert_eq(order_note(w, (newest - WINDOW_BITS) & LODE_WIRE_SEQ_MASK), ARRIVAL_LATE);
	cr_assert_eq(order_note(w, (newest - WINDOW_BITS + 1) & LODE_WIRE_SEQ_MASK), ARRIVAL_NEW);
	/* A jump forgets what the window moves over, and no more. */
	uint32_t jump = (newest + WINDOW_BITS / 2) & LODE_WIRE_SEQ_MASK;
	cr_assert_eq(order_note(w, jump), ARRIVAL_NEW);
	cr_assert_eq(order_note(w, newest), ARRIVAL_DUPLICATE);
	cr_assert_eq(order_note(w, (newest + 1) & LODE_WIRE_SEQ_MASK), ARRIVAL_NEW);
	free(w);
}

Test(order, window_agrees_with_a_set)
{
	static uint8_t seen[1 << 17];
	struct class_window *w = calloc(1, sizeof(*w));
	struct lode_rng rng;
	lode_rng_seed(&rng, 5);
	uint32_t base = 0xfff000, newest = 0;
	for (uint32_t at = 50000, i = 0; i < 40000 && at < sizeof(seen) - 20000; i++) {
		at += (uint32_t)lode_rng_below(&rng, lode_rng_below(&rng, 500) == 0 ? 15000 : 3);
		uint32_t back =
			(uint32_t)lode_rng_below(&rng, lode_rng_below(&rng, 9) == 0 ? 20000 : 50);
		uint32_t x = at - back;
		bool late = newest >= WINDOW_BITS && x <= newest - WINDOW_BITS && newest != 0;
		enum arrival want = late ? ARRIVAL_LATE : seen[x] ? ARRIVAL_DUPLICATE : ARRIVAL_NEW;
		cr_assert_eq(order_note(w, (base + x) & LODE_WIRE_SEQ_MASK), want, "%u newest %u",
			x, newest);
		if (want == ARRIVAL_NEW)
			seen[x] = 1;
		newest = LODE_MAX(newest, x);
	}
	free(w);
}
