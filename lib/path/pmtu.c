/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagram packetization layer path MTU discovery (RFC 8899) with padded probes, one in flight. The link's
 * own MTU is tried first: mostly it fits. Nothing of ICMP is believed. */
#include "path.h"

#define TRIES	       3
#define STEP_BYTES     8 /* the search ends when it knows the MTU this well */
#define WAIT_MIN_NS    (150 * LODE_NS_PER_MS)
#define RAISE_NS       (600 * LODE_NS_PER_S)
#define CONFIRM_NS     (10 * LODE_NS_PER_S)
#define SUSPECT_GAP_NS (200 * LODE_NS_PER_MS)

static void start_search(struct pmtu *m, uint64_t now_ns, uint16_t high)
{
	m->state = PMTU_SEARCH;
	m->low = m->mtu;
	m->high = high;
	m->try = high;
	m->tries = 0;
	m->in_flight = m->confirming = false;
	m->due_ns = now_ns;
}

static void finish(struct pmtu *m, uint64_t now_ns)
{
	m->state = PMTU_DONE;
	m->mtu = m->low;
	m->in_flight = m->confirming = false;
	m->raise_ns = now_ns + RAISE_NS;
	m->confirm_ns = now_ns + CONFIRM_NS;
	m->due_ns =
		LODE_MIN(m->raise_ns, m->mtu > LODE_WIRE_MTU_BASE ? m->confirm_ns : m->raise_ns);
}

/* The next size between what works and what does not; none when they are close. */
static void next_size(struct pmtu *m, uint64_t now_ns)
{
	m->tries = 0;
	m->in_flight = false;
	if (m->high < m->low + STEP_BYTES) {
		finish(m, now_ns);
		return;
	}
	m->try = (uint16_t)((m->low + m->high + 1) / 2);
	m->due_ns = now_ns;
}

void pmtu_init(struct lode_path *p, uint64_t now_ns)
{
	p->pmtu = (struct pmtu){.state = PMTU_WAIT,
		.mtu = LODE_MIN(LODE_WIRE_MTU_BASE, p->params.link_mtu_bytes),
		.id = (uint32_t)lode_rng_u64(&p->rng),
		.due_ns = FAR_FUTURE};
}

void pmtu_path_up(struct lode_path *p, uint64_t now_ns)
{
	struct pmtu *m = &p->pmtu;
	if (p->params.link_mtu_bytes > m->mtu && !p->params.follower)
		start_search(m, now_ns, p->params.link_mtu_bytes);
	else
		m->due_ns = FAR_FUTURE;
}

void pmtu_path_down(struct lode_path *p)
{
	p->pmtu.state = PMTU_WAIT; /* what it knows stays until the path is up again */
	p->pmtu.in_flight = p->pmtu.confirming = false;
	p->pmtu.due_ns = FAR_FUTURE;
}

void pmtu_suspect(struct lode_path *p, uint64_t now_ns)
{
	struct pmtu *m = &p->pmtu;
	if (m->state == PMTU_DONE && !m->in_flight && m->mtu > LODE_WIRE_MTU_BASE &&
		now_ns >= m->sent_ns + SUSPECT_GAP_NS)
		m->confirm_ns = m->due_ns = now_ns;
}

static uint64_t wait_ns(const struct lode_path *p)
{
	return LODE_MAX(WAIT_MIN_NS, 2 * p->tx.srtt_ns);
}

/* The probe in flight was not answered in time. */
static void lost(struct lode_path *p, uint64_t now_ns)
{
	struct pmtu *m = &p->pmtu;
	m->in_flight = false;
	m->due_ns = now_ns;
	if (p->life.state != LODE_PATH_UP)
		return; /* the path is silent, not the size too large */
	if (++m->tries < TRIES)
		return;
	if (m->confirming) {
		uint16_t was = m->mtu;
		m->mtu = LODE_WIRE_MTU_BASE; /* black hole */
		start_search(m, now_ns, (uint16_t)(was - 1));
		return;
	}
	m->high = (uint16_t)(m->try - 1);
	next_size(m, now_ns);
}

void pmtu_poll(struct lode_path *p, uint64_t now_ns)
{
	struct pmtu *m = &p->pmtu;
	if (m->in_flight && now_ns >= m->due_ns)
		lost(p, now_ns);
	if (m->state != PMTU_DONE || m->in_flight || now_ns < m->due_ns)
		return;
	if (now_ns >= m->raise_ns && m->mtu < p->params.link_mtu_bytes) {
		start_search(m, now_ns, p->params.link_mtu_bytes);
		return;
	}
	m->raise_ns = LODE_MAX(m->raise_ns, now_ns + 1);
	if (!m->confirming) {
		m->confirming = true;
		m->try = m->mtu;
		m->tries = 0;
	}
}

uint16_t lode_path_pmtu_due(struct lode_path *p, uint64_t now_ns, struct lode_wire_pmtu *out)
{
	struct pmtu *m = &p->pmtu;
	pmtu_poll(p, now_ns);
	bool due = m->state == PMTU_SEARCH || (m->state == PMTU_DONE && m->confirming);
	if (!due || m->in_flight || now_ns < m->due_ns)
		return 0;
	*out = (struct lode_wire_pmtu){.id = m->id, .mtu_bytes = m->try};
	return m->try;
}

void lode_path_pmtu_sent(struct lode_path *p, uint64_t now_ns)
{
	struct pmtu *m = &p->pmtu;
	m->in_flight = true;
	m->sent_ns = now_ns;
	m->due_ns = now_ns + wait_ns(p);
}

void pmtu_acked(struct lode_path *p, uint64_t now_ns, const struct lode_wire_pmtu *ack)
{
	struct pmtu *m = &p->pmtu;
	if (!m->in_flight || ack->id != m->id || ack->mtu_bytes != m->try)
		return;
	m->id++;
	if (m->confirming) {
		m->low = m->mtu;
		uint64_t raise_ns = m->raise_ns;
		finish(m, now_ns);
		m->raise_ns = raise_ns;
		return;
	}
	m->low = m->mtu = m->try;
	next_size(m, now_ns);
}

uint16_t lode_path_mtu_bytes(const struct lode_path *p)
{
	return p->pmtu.mtu;
}

uint16_t lode_path_segment_bytes(const struct lode_path *p)
{
	if (p->params.follower)
		return p->follow.grant.segment_bytes;
	return lode_wire_mtu_segment(p->pmtu.mtu, p->params.outer_v6);
}
