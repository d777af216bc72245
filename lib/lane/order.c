/* SPDX-License-Identifier: BSD-3-Clause */
/* Order per flow without state per flow. A packet names the segment its flow sent before it; it may go
 * when that one is out: received and not itself held. Else it waits in a slot that is found by its own
 * sequence (is it still held?) and by its predecessor's (whom does this arrival free?), until its deadline:
 * the time by which the slowest path must have brought what left before it, at most the class's limit.
 * Held packets of different flows share a sequence only in bundles; a tag of the flow tells them apart. */
#include "order.h"

#define MARGIN_US 2000 /* of the deadline: bursts of sender and receiver */
#define NO_WAITER NIL

/* ---- sequences received ---- */

/* Forgets [first, first + n): the window moves over them. */
static void clear_bits(struct class_window *w, uint32_t first, uint32_t n)
{
	if (n >= WINDOW_BITS) {
		memset(w->received, 0, sizeof(w->received));
		return;
	}
	while (n > 0) {
		uint32_t bit = first % 64;
		uint32_t span = LODE_MIN(n, 64 - bit);
		uint64_t mask = span == 64 ? ~0ull : ((1ull << span) - 1) << bit;
		w->received[first % WINDOW_BITS / 64] &= ~mask;
		first += span;
		n -= span;
	}
}

enum arrival order_note(struct class_window *w, uint32_t seq)
{
	if (!w->started) {
		w->started = true;
		w->highest = (seq - 1) & LODE_WIRE_SEQ_MASK;
		memset(w->received, 0, sizeof(w->received));
	}
	int32_t ahead = lode_wire_seq_diff(seq, w->highest);
	if (ahead <= -WINDOW_BITS)
		return ARRIVAL_LATE;
	if (ahead > 0) {
		if (lode_unlikely(ahead > 1))
			clear_bits(w, w->highest + 1, (uint32_t)ahead);
		w->highest = seq;
	} else if (order_has(w, seq)) {
		return ARRIVAL_DUPLICATE;
	}
	w->received[seq % WINDOW_BITS / 64] |= 1ull << seq % 64;
	return ARRIVAL_NEW;
}

/* ---- who is held ---- */

static unsigned chain_of(unsigned cls, uint32_t seq)
{
	return (seq + cls * 37) % WAIT_BUCKETS;
}

/* Says which flow a packet is of, as far as the IP header and ports tell; never read beyond its length. */
static uint32_t flow_tag(struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *);
	uint64_t tag = 0;
	if (m->pkt_len >= 24 && ip[0] >> 4 == 4) {
		unsigned ports = (ip[0] & 15u) * 4;
		tag = lode_load_le64(ip + 12) + ip[9];
		if (ports + 4 <= m->pkt_len && (lode_load_be16(ip + 6) & 0x1fff) == 0)
			tag = lode_mix64(tag) ^ lode_load_le32(ip + ports);
	} else if (m->pkt_len >= 44 && ip[0] >> 4 == 6) {
		for (unsigned i = 8; i < 40; i += 8)
			tag = lode_mix64(tag ^ lode_load_le64(ip + i));
		tag = tag ^ lode_load_le32(ip + 40) ^ ip[6];
	}
	return (uint32_t)(lode_mix64(tag) >> 32);
}

/* Is there a held packet of this flow (or a part) in segment seq? */
static bool is_held(const struct lode_lane *l, unsigned cls, uint32_t seq, uint32_t tag)
{
	const struct waiter *waiters = l->env.pools->waiters;
	uint32_t i = l->own_chain[chain_of(cls, seq)];
	for (; i != NIL; i = waiters[i].next_own) {
		const struct waiter *w = &waiters[i];
		if (w->own == seq && w->cls == cls && (w->part || w->tag == tag))
			return true;
	}
	return false;
}

static bool is_out(const struct lode_lane *l, unsigned cls, uint32_t seq, uint32_t tag)
{
	return order_has(&l->window[cls], seq) && (l->n_waiting == 0 || !is_held(l, cls, seq, tag));
}

static struct wait_fifo *fifo_of(struct lode_lane *l, const struct waiter *w)
{
	return w->part ? &l->window[w->cls].parts : &l->window[w->cls].packets;
}

static void chain_append(struct waiter *waiters, uint16_t *head, uint32_t idx, bool own)
{
	uint32_t i = *head;
	if (i == NIL) {
		*head = (uint16_t)idx;
		return;
	}
	for (;;) {
		uint32_t *next = own ? &waiters[i].next_own : &waiters[i].next_pred;
		if (*next == NIL) {
			*next = idx;
			return;
		}
		i = *next;
	}
}

static void chain_remove(struct waiter *waiters, uint16_t *head, uint32_t idx, bool own)
{
	uint32_t after = own ? waiters[idx].next_own : waiters[idx].next_pred;
	if (*head == idx) {
		*head = (uint16_t)after;
		return;
	}
	for (uint32_t i = *head; i != NIL;) {
		uint32_t *next = own ? &waiters[i].next_own : &waiters[i].next_pred;
		if (*next == idx) {
			*next = after;
			return;
		}
		i = *next;
	}
}

/* Puts m into a slot; NO_WAITER when all are taken. */
static uint32_t hold(struct lode_lane *l, struct rte_mbuf *m, const struct waiter *fields)
{
	struct lode_lane_pools *p = l->env.pools;
	uint32_t idx = p->free_waiter;
	/* Dynamic threshold, as for class queues: one lane leaves room for the others. */
	if (idx == NIL || l->n_waiting >= p->waiting_max - p->waiting_pkts)
		return NO_WAITER;
	struct waiter *w = &p->waiters[idx];
	p->free_waiter = w->fifo_next;
	*w = *fields;
	w->m = m;
	struct wait_fifo *fifo = fifo_of(l, w);
	/* Deadlines in a fifo never decrease: a shorter one waits for its elders. */
	if (fifo->tail != NIL)
		w->deadline_ns = LODE_MAX(w->deadline_ns, p->waiters[fifo->tail].deadline_ns);
	w->fifo_prev = fifo->tail;
	if (fifo->tail == NIL)
		fifo->head = idx;
	else
		p->waiters[fifo->tail].fifo_next = idx;
	fifo->tail = idx;
	chain_append(p->waiters, &l->own_chain[chain_of(w->cls, w->own)], idx, true);
	if (!w->part)
		chain_append(p->waiters, &l->pred_chain[chain_of(w->cls, w->pred)], idx, false);
	p->waiting_pkts++;
	l->n_waiting++;
	l->expire_due_ns = LODE_MIN(l->expire_due_ns, w->deadline_ns);
	return idx;
}

/* Takes a packet or part out of its slot. */
static struct rte_mbuf *unhold(struct lode_lane *l, uint32_t idx)
{
	struct lode_lane_pools *p = l->env.pools;
	struct waiter *w = &p->waiters[idx];
	struct wait_fifo *fifo = fifo_of(l, w);
	if (w->fifo_prev == NIL)
		fifo->head = w->fifo_next;
	else
		p->waiters[w->fifo_prev].fifo_next = w->fifo_next;
	if (w->fifo_next == NIL)
		fifo->tail = w->fifo_prev;
	else
		p->waiters[w->fifo_next].fifo_prev = w->fifo_prev;
	chain_remove(p->waiters, &l->own_chain[chain_of(w->cls, w->own)], idx, true);
	if (!w->part)
		chain_remove(p->waiters, &l->pred_chain[chain_of(w->cls, w->pred)], idx, false);
	struct rte_mbuf *m = w->m;
	w->fifo_next = p->free_waiter;
	p->free_waiter = idx;
	p->waiting_pkts--;
	l->n_waiting--;
	return m;
}

/* ---- packets ---- */

/* How long the segment before this one may still take. */
static uint64_t deadline_of(
	const struct lode_lane *l, unsigned cls, uint32_t tx_us, uint64_t now_ns)
{
	uint64_t limit_ns = repair_wait_limit_ns(l, cls, l->window[cls].limit_ns);
	if (!l->late_valid)
		return now_ns + limit_ns;
	int32_t left_us = (int32_t)(tx_us + l->late_us + MARGIN_US - lode_path_tx_us(now_ns));
	left_us += (int32_t)repair_wait_us(l, cls);
	uint64_t left_ns = left_us > 0 ? (uint64_t)left_us * LODE_NS_PER_US : 0;
	return now_ns + LODE_MIN(left_ns, limit_ns);
}

void order_behind(struct lode_lane *l, struct rte_mbuf *m, uint16_t dist, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	unsigned cls = pkt->cls;
	uint32_t seq = pkt->segment.seq;
	uint32_t pred = (seq - dist) & LODE_WIRE_SEQ_MASK;
	uint32_t tag = l->n_waiting > 0 ? flow_tag(m) : 0;
	if (lode_likely(is_out(l, cls, pred, tag))) {
		release(l, m, now_ns);
		return;
	}
	struct waiter w = {.cls = (uint8_t)cls, .own = seq, .pred = pred};
	w.tag = l->n_waiting > 0 ? tag : flow_tag(m);
	w.deadline_ns = deadline_of(l, cls, pkt->tx_us, now_ns);
	if (w.deadline_ns <= now_ns) {
		lode_counter_add(&l->counters.rx_gave_up, 1);
		release(l, m, now_ns);
	} else if (hold(l, m, &w) == NO_WAITER) {
		lode_counter_add(&l->counters.rx_wait_skipped, 1);
		release(l, m, now_ns);
	} else {
		lode_counter_add(&l->counters.rx_waited, 1);
		trace_maybe(l, m, "wait", now_ns);
	}
}

/* Oldest held packet that waits for seq and may go now. */
static uint32_t next_freed(const struct lode_lane *l, unsigned cls, uint32_t seq)
{
	const struct waiter *waiters = l->env.pools->waiters;
	uint32_t i = l->pred_chain[chain_of(cls, seq)];
	for (; i != NIL; i = waiters[i].next_pred) {
		const struct waiter *w = &waiters[i];
		if (w->pred == seq && w->cls == cls && is_out(l, cls, seq, w->tag))
			return i;
	}
	return NO_WAITER;
}

void order_wake_waiters(struct lode_lane *l, unsigned cls, uint32_t seq, uint64_t now_ns)
{
	/* Depth first. A sequence stays on the stack only while it can free more: bundles branch, chains of
	 * single packets do not. */
	uint32_t todo[LODE_BURST_MAX] = {seq};
	unsigned n = 1;
	uint32_t idx;
	while (n > 0) {
		uint32_t at = todo[n - 1];
		if ((idx = next_freed(l, cls, at)) == NO_WAITER) {
			n--;
			continue;
		}
		uint32_t own = l->env.pools->waiters[idx].own;
		release(l, unhold(l, idx), now_ns);
		if (next_freed(l, cls, at) == NO_WAITER)
			todo[n - 1] = own;
		else if (n < LODE_ARRAY_LEN(todo)) /* else its waiters go by deadline */
			todo[n++] = own;
	}
}

/* ---- parts ---- */

static uint32_t find_part(const struct lode_lane *l, unsigned cls, uint32_t seq)
{
	const struct waiter *waiters = l->env.pools->waiters;
	uint32_t i = l->own_chain[chain_of(cls, seq)];
	for (; i != NIL; i = waiters[i].next_own) {
		if (waiters[i].part && waiters[i].own == seq && waiters[i].cls == cls)
			return i;
	}
	return NO_WAITER;
}

/* Slots of all parts of the packet around seq, in order. Returns how many; 0: not all here. */
static unsigned find_whole(
	const struct lode_lane *l, unsigned cls, uint32_t seq, uint32_t slots[LODE_WIRE_PARTS_MAX])
{
	const struct waiter *waiters = l->env.pools->waiters;
	uint32_t idx = find_part(l, cls, seq);
	for (unsigned back = 0; idx != NO_WAITER; back++) {
		if (!(lode_pkt(waiters[idx].m)->segment.flags & LODE_WIRE_CONT))
			break;
		if (back + 1 == LODE_WIRE_PARTS_MAX)
			return 0;
		seq = (seq - 1) & LODE_WIRE_SEQ_MASK;
		idx = find_part(l, cls, seq);
	}
	for (unsigned n = 0; idx != NO_WAITER && n < LODE_WIRE_PARTS_MAX;) {
		uint8_t flags = lode_pkt(waiters[idx].m)->segment.flags;
		if (n > 0 && !(flags & LODE_WIRE_CONT))
			return 0;
		slots[n++] = idx;
		if (!(flags & LODE_WIRE_MORE))
			return n;
		seq = (seq + 1) & LODE_WIRE_SEQ_MASK;
		idx = find_part(l, cls, seq);
	}
	return 0;
}

/* Joins parts into the first one's buffer and frees the others. NULL: too long for it. */
static struct rte_mbuf *join(struct lode_lane *l, const uint32_t *slots, unsigned n)
{
	struct rte_mbuf *whole = unhold(l, slots[0]);
	struct lode_pkt *head = lode_pkt(whole);
	bool fits = true;
	for (unsigned i = 1; i < n; i++) {
		struct rte_mbuf *part = unhold(l, slots[i]);
		const struct lode_pkt *pkt = lode_pkt(part);
		char *to = fits ? rte_pktmbuf_append(whole, part->data_len) : NULL;
		fits = to != NULL;
		if (fits)
			memcpy(to, rte_pktmbuf_mtod(part, char *), part->data_len);
		if (pkt->outer_ecn == ECN_CE)
			head->outer_ecn = ECN_CE;
		rte_pktmbuf_free(part);
	}
	/* The packet is known by its last part. */
	head->segment.seq = (head->segment.seq + n - 1) & LODE_WIRE_SEQ_MASK;
	if (head->segment.dist != 0)
		head->segment.dist = (uint16_t)LODE_MIN(head->segment.dist + n - 1, UINT16_MAX);
	head->segment.flags = 0;
	if (fits) {
		lode_counter_add(&l->counters.rx_joined, 1);
		lode_counter_add(&l->counters.rx_joined_parts, n);
		return whole;
	}
	lode_counter_add(&l->counters.drop_rx_parts, n - 1);
	lane_drop(l, whole, &l->counters.drop_rx_parts);
	return NULL;
}

struct rte_mbuf *order_part(struct lode_lane *l, struct rte_mbuf *m, unsigned cls, uint64_t now_ns)
{
	uint32_t slots[LODE_WIRE_PARTS_MAX];
	struct waiter w = {.cls = (uint8_t)cls, .own = lode_pkt(m)->segment.seq, .part = true};
	w.deadline_ns = now_ns + PARTS_TIME_NS;
	if (hold(l, m, &w) == NO_WAITER) {
		lane_drop(l, m, &l->counters.drop_rx_wait_full);
		return NULL;
	}
	unsigned n = find_whole(l, cls, w.own, slots);
	return n > 0 ? join(l, slots, n) : NULL;
}

/* ---- deadlines ---- */

static void expire_fifo(struct lode_lane *l, unsigned cls, bool part, uint64_t now_ns)
{
	const struct waiter *waiters = l->env.pools->waiters;
	const struct wait_fifo *fifo = part ? &l->window[cls].parts : &l->window[cls].packets;
	while (fifo->head != NIL && waiters[fifo->head].deadline_ns <= now_ns) {
		uint32_t own = waiters[fifo->head].own;
		struct rte_mbuf *m = unhold(l, fifo->head);
		if (part) {
			lane_drop(l, m, &l->counters.drop_rx_parts);
		} else {
			lode_counter_add(&l->counters.rx_gave_up, 1);
			release(l, m, now_ns);
		}
		order_wake(l, cls, own, now_ns);
	}
	if (fifo->head != NIL)
		l->expire_due_ns = LODE_MIN(l->expire_due_ns, waiters[fifo->head].deadline_ns);
}

void order_expire(struct lode_lane *l, uint64_t now_ns)
{
	if (now_ns < l->expire_due_ns)
		return;
	l->expire_due_ns = LODE_NEVER_NS;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		expire_fifo(l, cls, false, now_ns);
		expire_fifo(l, cls, true, now_ns);
	}
}

uint32_t order_waiting_parts(const struct lode_lane *l)
{
	uint32_t n = 0;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		for (uint32_t i = l->window[cls].parts.head; i != NIL;
			i = l->env.pools->waiters[i].fifo_next)
			n++;
	return n;
}

void order_release_all(struct lode_lane *l)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		struct class_window *w = &l->window[cls];
		while (w->packets.head != NIL)
			release(l, unhold(l, w->packets.head), 0);
	}
	order_flush(l);
}

void order_flush(struct lode_lane *l)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++) {
		struct class_window *w = &l->window[cls];
		while (w->packets.head != NIL)
			lane_drop(l, unhold(l, w->packets.head), &l->counters.drop_rx_flush);
		while (w->parts.head != NIL)
			lane_drop(l, unhold(l, w->parts.head), &l->counters.drop_rx_parts);
	}
	l->expire_due_ns = LODE_NEVER_NS;
}
