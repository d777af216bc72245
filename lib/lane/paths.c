/* SPDX-License-Identifier: BSD-3-Clause */
/* A lane and its paths: which are alive, in which order, what each may take now; control messages out and
 * in. The estimators themselves are lib/path's. */
#include "lane.h"

#define CLOCK_SET_US 2000000		   /* no path is so much slower all at once */
#define VIEW_NS	     LODE_NS_PER_MS	   /* how old masks and order may get */
#define STEP_NS	     (10 * LODE_NS_PER_US) /* finest pacing: bursts stay a few packets */
#define BUSY_NS	     (50 * LODE_NS_PER_US) /* look again: a transmit queue was full */
#define BLOCKED_NS   (2 * LODE_NS_PER_MS)  /* packets wait and no path can take them */
#define HOLD_MAX_NS  (3 * LODE_NS_PER_MS)  /* no packet waits longer for a faster path */
#define OWD_FRESH_NS LODE_NS_PER_S /* a path that brought nothing for so long is not waited for */

/* ---- the view ---- */

static void add_by_delay(struct lode_lane *l, uint64_t delay_ns[], unsigned p)
{
	delay_ns[p] = lode_path_delay_ns(l->path[p].est);
	unsigned i = l->n_by_delay++;
	for (; i > 0 && delay_ns[l->by_delay[i - 1]] > delay_ns[p]; i--)
		l->by_delay[i] = l->by_delay[i - 1];
	l->by_delay[i] = (uint8_t)p;
}

uint64_t paths_hold_ns(const struct lode_lane *l, const struct class_paths *c, unsigned p)
{
	/* A rate that is being learned is learned by sending. */
	if (l->path[p].up_kbps == 0 || l->path[c->fastest].up_kbps == 0)
		return 0;
	uint64_t slower_ns = l->path[p].delay_ns - l->path[c->fastest].delay_ns;
	return LODE_MIN(slower_ns, HOLD_MAX_NS);
}

/* What a class may use: allowed paths that are up, else backups, else what is at least not dead. */
static void choose_paths(struct lode_lane *l, unsigned cls, uint64_t now_ns)
{
	union lode_choice choice = {
		.word = atomic_load_explicit(
			&l->env.shared->choice[l->peer_idx][cls], memory_order_relaxed)};
	if (choice.word == 0) /* control has not chosen yet */
		choice = (union lode_choice){
			.allowed = 0xff, .preferred = LODE_NO_PATH, .copies = 1};
	struct class_paths *c = &l->class_paths[cls];
	c->usable = choice.allowed & l->up;
	if (c->usable == 0)
		c->usable = choice.backup & l->up;
	if (c->usable == 0)
		c->usable = (choice.allowed | choice.backup) & l->suspect;
	c->fastest = LODE_NO_PATH;
	l->queue[cls].hold_ns = 0;
	for (unsigned i = 0; i < l->n_by_delay; i++) {
		unsigned p = l->by_delay[i];
		if (!(c->usable & 1u << p))
			continue;
		if (c->fastest == LODE_NO_PATH)
			c->fastest = (uint8_t)p;
		l->queue[cls].hold_ns = paths_hold_ns(l, c, p);
	}
	c->copy_mask = (choice.allowed | choice.backup) & (l->up | l->suspect);
	c->new_flows = choice.flags & LODE_CHOICE_NEW_FLOWS;
	if (c->preferred != choice.preferred)
		c->preferred_ns = now_ns;
	c->preferred = choice.preferred;
	c->wanted_copies = LODE_MAX(choice.copies, (uint8_t)1);
	c->copies = LODE_MAX(c->wanted_copies, l->repair->classes[cls].cache.decision.copies);
	l->any_copies |= c->copies > 1;
}

/* When, after it was sent, a segment has come in even over the slowest path that is in use. */
static void renew_lateness(struct lode_lane *l, uint64_t now_ns)
{
	l->late_valid = false;
	for (unsigned p = 0; p < LODE_LINKS_MAX; p++) {
		const struct lane_path *path = &l->path[p];
		if (path->owd_ns == 0 || now_ns - path->owd_ns > OWD_FRESH_NS)
			continue;
		uint32_t late_us = path->owd_us + 4 * path->owd_var_us;
		if (!l->late_valid || (int32_t)(late_us - l->late_us) > 0)
			l->late_us = late_us;
		l->late_valid = true;
	}
}

/* The burst that is being filled must find room, control of other paths included. */
static bool has_room(const struct lode_lane *l, unsigned p)
{
	return lode_txq_room(l->path[p].txq) >= 2 * LODE_BURST_MAX;
}

/* True: some path is up, or is not any more. */
static bool renew_alive(struct lode_lane *l)
{
	uint8_t up = 0, suspect = 0, probing = 0;
	unsigned p;
	LODE_FOREACH_BIT (p, l->sendable) {
		enum lode_path_state state = lode_path_state(l->path[p].est);
		up |= (uint8_t)((state == LODE_PATH_UP) << p);
		suspect |= (uint8_t)((state == LODE_PATH_SUSPECT) << p);
		probing |= (uint8_t)((state == LODE_PATH_PROBING) << p);
	}
	/* A path that answers but has flapped is better than none. */
	if ((up | suspect) == 0)
		suspect = probing;
	if (up == l->up && suspect == l->suspect)
		return false;
	l->up = up;
	l->suspect = suspect;
	l->path_event = true;
	l->renew_due_ns = 0;
	return true;
}

void paths_view(struct lode_lane *l, uint64_t now_ns)
{
	uint64_t delay_ns[LODE_LINKS_MAX];
	uint16_t segment_bytes[LODE_LINKS_MAX];
	unsigned p;
	l->credit_known = l->roomy = 0;
	LODE_FOREACH_BIT (p, l->sendable)
		l->roomy |= (uint8_t)(has_room(l, p) << p);
	/* Who sends nothing needs no more than to know who is alive, until the next renewal. */
	if (now_ns < l->view_due_ns && !(l->resting && renew_alive(l)))
		return;
	l->view_due_ns = l->resting ? LODE_NEVER_NS : now_ns + VIEW_NS;
	if (l->lane_id != 0)
		lanes_take_grants(l);
	renew_alive(l);
	l->n_by_delay = 0;
	LODE_FOREACH_BIT (p, l->up | l->suspect) {
		segment_bytes[p] = lode_path_segment_bytes(l->path[p].est);
		add_by_delay(l, delay_ns, p);
	}
	for (unsigned i = 0; i < l->n_by_delay; i++)
		l->path[l->by_delay[i]].delay_ns = delay_ns[l->by_delay[i]];
	l->segment_bytes = lode_wire_mtu_usable(segment_bytes, l->up | l->suspect);
	if (l->repair->agreed && l->segment_bytes > 0) /* parity over full segments must fit */
		l->segment_bytes -= LODE_WIRE_SYMBOL_HEADER_BYTES;
	l->any_copies = false;
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		choose_paths(l, cls, now_ns);
	renew_lateness(l, now_ns);
}

/* ---- credit ---- */

void paths_learn_credit(struct lode_lane *l, unsigned p, uint64_t now_ns)
{
	l->credit[p] = lode_path_credit(l->path[p].est, now_ns);
	l->credit_known |= (uint8_t)(1u << p);
}

/* Asks the paths that something happened to when they are due. */
static void renew_due(struct lode_lane *l)
{
	unsigned p;
	LODE_FOREACH_BIT (p, l->sendable & l->stirred)
		l->path[p].due_ns = lode_path_next_due_ns(l->path[p].est);
	l->stirred = 0;
}

uint64_t paths_due_ns(struct lode_lane *l, uint64_t now_ns)
{
	uint64_t due_ns = LODE_NEVER_NS;
	l->control_due_ns = LODE_NEVER_NS;
	bool waiting = lode_lane_backlog_pkts(l) > 0;
	unsigned p;
	renew_due(l);
	LODE_FOREACH_BIT (p, l->sendable) {
		const struct lane_path *path = &l->path[p];
		/* What is still due could not be done: no buffer, no room. */
		uint64_t control_ns = path->due_ns > now_ns ? path->due_ns : now_ns + BUSY_NS;
		l->control_due_ns = LODE_MIN(l->control_due_ns, control_ns);
		if (!waiting)
			continue;
		/* Who has credit and is not taken waits for a faster path, or for a flow that sticks. */
		uint64_t credit_ns = lode_path_credit_due_ns(path->est);
		if (!has_room(l, p))
			due_ns = LODE_MIN(due_ns, now_ns + BUSY_NS);
		else if (((l->up | l->suspect) & 1u << p) && (credit_ns > now_ns || l->unfinished))
			due_ns = LODE_MIN(due_ns, LODE_MAX(credit_ns, now_ns + STEP_NS));
	}
	due_ns = LODE_MIN(due_ns, l->control_due_ns);
	return waiting ? LODE_MIN(due_ns, now_ns + BLOCKED_NS) : due_ns;
}

/* ---- control messages out ---- */

struct rte_mbuf *paths_begin_control(struct lode_lane *l, unsigned p, uint16_t room_bytes,
	struct lode_wire_writer *w, uint64_t now_ns)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->env.mbufs);
	if (m == NULL) {
		lode_counter_add(&l->counters.tx_control_skipped, 1);
		return NULL;
	}
	uint8_t *text = (uint8_t *)rte_pktmbuf_append(m, LODE_WIRE_CONTROL_BYTES + room_bytes);
	if (text == NULL) { /* an MTU probe beyond our buffers: as if the path had refused it */
		rte_pktmbuf_free(m);
		return NULL;
	}
	struct lode_wire_control header = {.tx_us = lode_path_tx_us(now_ns)};
	lode_wire_put_control(text, &header);
	lode_wire_writer_init(w, text + LODE_WIRE_CONTROL_BYTES, room_bytes);
	struct lode_pkt *pkt = lode_pkt(m);
	memset(pkt, 0, sizeof(*pkt));
	pkt->path = (uint8_t)p;
	pkt->segment.flags = TX_CONTROL;
	pkt->outer_tos = 48 << 2; /* CS6: network control */
	return m;
}

void paths_end_control(struct lode_lane *l, struct lode_burst *b, struct rte_mbuf *m,
	const struct lode_wire_writer *w)
{
	rte_pktmbuf_trim(m, (uint16_t)(w->size - w->len));
	lode_counter_add(&l->counters.tx_control, 1);
	b->pkts[b->n++] = m;
}

static void write_control(struct lode_lane *l, struct lode_burst *b, unsigned p)
{
	struct lode_wire_writer w;
	struct rte_mbuf *m = paths_begin_control(l, p, LODE_PATH_CONTROL_MAX, &w, b->now_ns);
	if (m == NULL)
		return;
	lode_path_write_control(l->path[p].est, b->now_ns, &w);
	paths_end_control(l, b, m, &w);
}

static void write_mtu_probe(struct lode_lane *l, struct lode_burst *b, unsigned p,
	uint16_t mtu_bytes, struct lode_wire_pmtu *pmtu)
{
	struct lode_path *est = l->path[p].est;
	uint16_t tlv_bytes = lode_wire_mtu_probe_tlvs(mtu_bytes, l->path[p].outer.v6);
	struct lode_wire_writer w;
	struct rte_mbuf *m = paths_begin_control(l, p, tlv_bytes, &w, b->now_ns);
	lode_path_pmtu_sent(est, b->now_ns);
	if (m == NULL)
		return;
	lode_wire_put_pmtu(&w, LODE_WIRE_TLV_PMTU_PROBE, pmtu);
	if (w.size - w.len >= LODE_WIRE_TLV_HEADER_BYTES)
		lode_wire_put_padding(&w, w.size - w.len);
	paths_end_control(l, b, m, &w);
}

void paths_control(struct lode_lane *l, struct lode_burst *b)
{
	unsigned p;
	if (l->stirred == 0 && b->now_ns < l->control_due_ns)
		return;
	renew_due(l);
	LODE_FOREACH_BIT (p, l->sendable) {
		struct lode_path *est = l->path[p].est;
		struct lode_wire_pmtu pmtu;
		if (l->path[p].due_ns > b->now_ns)
			continue;
		l->stirred |= (uint8_t)(1u << p);
		lode_path_poll(est, b->now_ns);
		if (lode_txq_room(l->path[p].txq) < LODE_BURST_MAX)
			continue;
		if (lode_path_control_due(est, b->now_ns))
			write_control(l, b, p);
		uint16_t mtu_bytes = lode_path_pmtu_due(est, b->now_ns, &pmtu);
		if (mtu_bytes != 0)
			write_mtu_probe(l, b, p, mtu_bytes, &pmtu);
	}
}

/* ---- what comes in ---- */

/* The path a message is about: feedback names it, all else is about the one it came on. */
static unsigned subject(unsigned came_on, const struct lode_wire_tlv *tlv)
{
	struct lode_wire_feedback feedback;
	if (tlv->type != LODE_WIRE_TLV_FEEDBACK || lode_wire_get_feedback(tlv, &feedback) < 0)
		return came_on;
	return feedback.path;
}

void paths_read_control(
	struct lode_lane *l, unsigned p, const uint8_t *text, size_t len, uint64_t now_ns)
{
	struct lode_wire_control header;
	struct lode_wire_tlv tlv;
	size_t pos = 0;
	int ret;
	if (l->n_lanes > 1) { /* feedback is about their packets too */
		lanes_collect(l, now_ns);
		l->stirred = UINT8_MAX;
	}
	lode_wire_get_control(text, &header);
	text += LODE_WIRE_CONTROL_BYTES;
	len -= LODE_WIRE_CONTROL_BYTES;
	while ((ret = lode_wire_tlv_next(text, len, &pos, &tlv)) > 0) {
		if (tlv.type == LODE_WIRE_TLV_NACK) {
			repair_on_nack(l, &tlv, now_ns);
			continue;
		}
		unsigned about = subject(p, &tlv);
		struct lode_path *est = l->path[about].est;
		l->stirred |= (uint8_t)(1u << about);
		int taken = est ? lode_path_read_control(est, now_ns, header.tx_us, &tlv) : 0;
		if (taken < 0)
			lode_counter_add(&l->counters.rx_control_bad, 1);
		if (taken == 0 && tlv.type != LODE_WIRE_TLV_PADDING && l->env.control != NULL)
			l->env.control(l->env.ctx, l->peer_idx, p, tlv.type, tlv.value, tlv.len);
	}
	if (ret < 0)
		lode_counter_add(&l->counters.rx_control_bad, 1);
	if (!l->resting)
		l->view_due_ns = 0; /* states may have changed */
}

/* The newest authenticated packet of a path shows where the peer is now. */
static void learn_address(struct lode_lane *l, struct lane_path *path, struct rte_mbuf *m,
	uint64_t number, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(m);
	uint64_t generation = l->view->epochs[pkt->epoch].generation;
	if (generation < path->remote_generation ||
		(generation == path->remote_generation && number < path->remote_pn))
		return;
	path->remote_pn = number;
	path->remote_generation = generation;
	const uint8_t *ip = (const uint8_t *)m->buf_addr + pkt->outer_off;
	bool v4 = ip[0] >> 4 == 4;
	uint16_t port = lode_load_be16(ip + (v4 ? (ip[0] & 15) * 4 : 40));
	const uint8_t *known = path->remote.b;
	bool same = v4 ? lode_ip_is_v4(&path->remote) &&
				    lode_load_le32(ip + 12) == lode_load_le32(known + 12)
		       : lode_load_le64(ip + 8) == lode_load_le64(known) &&
				    lode_load_le64(ip + 16) == lode_load_le64(known + 8);
	if (lode_likely(same && port == path->remote_port))
		return;
	struct lode_ip remote = {.b = {[10] = 0xff, [11] = 0xff}};
	memcpy(remote.b + (v4 ? 12 : 0), ip + (v4 ? 12 : 8), v4 ? 4 : 16);
	path->remote = remote;
	path->remote_port = port;
	path->remote_ns = now_ns;
	l->renew_due_ns = 0;
}

/* RFC 6298 2.3, on the one-way delay by the sender's clock; anew when one of the clocks was set. */
static void sample_delay(struct lane_path *path, uint32_t owd_us, uint64_t now_ns)
{
	int32_t error_us = (int32_t)(owd_us - path->owd_us);
	bool far = error_us > CLOCK_SET_US || error_us < -CLOCK_SET_US;
	if (path->owd_ns == 0 || far) {
		path->owd_us = owd_us;
		path->owd_var_us = 0;
	} else {
		uint32_t abs_us = (uint32_t)(error_us < 0 ? -error_us : error_us);
		path->owd_us += (uint32_t)(error_us / 8);
		path->owd_var_us += (uint32_t)((int32_t)(abs_us - path->owd_var_us) / 4);
	}
	path->owd_ns = now_ns;
}

void paths_received(struct lode_lane *l, struct rte_mbuf *newest,
	struct lode_path_arrival *arrivals, unsigned n, uint64_t now_ns)
{
	const struct lode_pkt *pkt = lode_pkt(newest);
	struct lane_path *path = &l->path[pkt->path];
	uint64_t generation = l->view->epochs[pkt->epoch].generation;
	if (generation > path->rx_generation) {
		path->rx_generation = generation;
		if (path->est != NULL)
			lode_path_new_rx_epoch(path->est);
	}
	for (unsigned i = 0; generation < path->rx_generation && i < n; i++)
		arrivals[i].pn = LODE_PATH_NO_PN;
	if (generation > l->rx_generation) { /* control waits for it */
		l->rx_generation = generation;
		l->renew_due_ns = 0;
	}
	l->last_rx_ns = now_ns;
	l->stirred |= (uint8_t)(1u << pkt->path);
	/* The first one waited longest for this poll. */
	sample_delay(path, lode_path_tx_us(now_ns) - arrivals[0].tx_us, now_ns);
	learn_address(l, path, newest, pkt->number, now_ns);
	if (path->est != NULL)
		lode_path_received_burst(path->est, now_ns, arrivals, n);
}
