/* SPDX-License-Identifier: BSD-3-Clause */
#include "egress.h"

static void ask(struct lode_worker *w, struct pending *p, uint64_t now_ns)
{
	const struct lode_resolve resolve = {.ip = p->ip, .port_idx = p->port_idx};
	lode_ring_push(w->rings.resolve, &resolve);
	p->ask_ns = now_ns + PENDING_ASK_NS;
}

/* The entry of a neighbour, a new one if there is room, or NULL. A port may take as many as are left for the
 * others: answers to made-up addresses on a WAN must not keep LAN hosts from being found. */
static struct pending *pending_entry(
	struct lode_worker *w, unsigned port_idx, const struct lode_ip *ip, uint64_t now_ns)
{
	struct pending *free_entry = NULL;
	unsigned n_of_port = 0;
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		struct pending *p = &w->pending[i];
		bool of_port = p->deadline_ns && p->port_idx == port_idx;
		if (of_port && !memcmp(&p->ip, ip, sizeof(*ip)))
			return p;
		n_of_port += of_port;
		if (!p->deadline_ns)
			free_entry = p;
	}
	if (!free_entry || n_of_port >= PENDING_MAX - w->n_pending)
		return NULL;
	*free_entry = (struct pending){
		.ip = *ip, .deadline_ns = now_ns + PENDING_NS, .port_idx = (uint8_t)port_idx};
	w->n_pending++;
	ask(w, free_entry, now_ns);
	return free_entry;
}

void wait_for_neighbour(struct lode_worker *w, unsigned port_idx, const struct lode_ip *next_hop,
	struct rte_mbuf *m, uint64_t now_ns)
{
	if (!w->snapshot->ports[port_idx].up) {
		DROP(w, m, port_down);
		return;
	}
	struct pending *p = pending_entry(w, port_idx, next_hop, now_ns);
	if (!p || p->n == PENDING_PKTS) {
		DROP(w, m, neighbour);
		return;
	}
	p->pkts[p->n++] = m;
}

void to_host(struct lode_worker *w, struct rte_mbuf *m)
{
	struct lode_txq *q = &w->txqs[LODE_HOST_PORT];
	trace_packet(w, m, "host", NULL);
	if (!tx_has_room(w, LODE_HOST_PORT)) {
		DROP(w, m, tx_full);
		return;
	}
	q->mbufs[q->n++] = m;
	lode_counter_add(&w->counters.host_tx, 1);
}

/* ---- waiting for neighbours ---- */

static void pending_close(struct lode_worker *w, struct pending *p)
{
	p->deadline_ns = 0;
	w->n_pending--;
}

void pending_retry(struct lode_worker *w, uint64_t now_ns)
{
	for (unsigned i = 0; i < PENDING_MAX && w->n_pending; i++) {
		struct pending *p = &w->pending[i];
		if (!p->deadline_ns ||
			!lode_neighbours_lookup(w->snapshot->neighbours, p->port_idx, &p->ip))
			continue;
		pending_close(w, p);
		for (unsigned k = 0; k < p->n; k++)
			to_port(w, p->port_idx, &p->ip, p->pkts[k], now_ns);
	}
}

uint64_t pending_poll(struct lode_worker *w, uint64_t now_ns)
{
	uint64_t due_ns = LODE_NEVER_NS;
	for (unsigned i = 0; i < PENDING_MAX && w->n_pending; i++) {
		struct pending *p = &w->pending[i];
		if (!p->deadline_ns)
			continue;
		if (p->deadline_ns <= now_ns) {
			for (unsigned k = 0; k < p->n; k++)
				DROP(w, p->pkts[k], neighbour);
			pending_close(w, p);
			continue;
		}
		if (p->ask_ns <= now_ns)
			ask(w, p, now_ns);
		due_ns = LODE_MIN(due_ns, LODE_MIN(p->ask_ns, p->deadline_ns));
	}
	return due_ns;
}

void pending_free(struct lode_worker *w)
{
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		if (w->pending[i].deadline_ns)
			rte_pktmbuf_free_bulk(w->pending[i].pkts, w->pending[i].n);
		w->pending[i].deadline_ns = 0;
	}
	w->n_pending = 0;
}

/* ---- datagrams of control ---- */

static void put_udp(uint8_t *udp, const struct lode_datagram *d)
{
	lode_store_be16(udp, d->local_port);
	lode_store_be16(udp + 2, d->remote_port);
	lode_store_be16(udp + 4, (uint16_t)(UDP_BYTES + d->len));
	lode_store_be16(udp + 6, 0);
	memcpy(udp + UDP_BYTES, d->data, d->len);
}

static void put_outer_v4(uint8_t *ip, const struct lode_datagram *d)
{
	memset(ip, 0, IPV4_BYTES);
	ip[0] = 0x45;
	ip[1] = 48 << 2; /* CS6, network control */
	lode_store_be16(ip + 2, (uint16_t)(IPV4_BYTES + UDP_BYTES + d->len));
	ip[6] = 0x40; /* do not fragment */
	ip[8] = 64;
	ip[9] = PROTO_UDP;
	memcpy(ip + 12, d->local.b + 12, 4);
	memcpy(ip + 16, d->remote.b + 12, 4);
	uint16_t checksum_be = lode_wire_ipv4_checksum(ip, IPV4_BYTES);
	memcpy(ip + 10, &checksum_be, 2);
}

static void put_outer_v6(uint8_t *ip, const struct lode_datagram *d)
{
	lode_store_be32(ip, 6u << 28 | 48u << 22);
	lode_store_be16(ip + 4, (uint16_t)(UDP_BYTES + d->len));
	ip[6] = PROTO_UDP;
	ip[7] = 64;
	memcpy(ip + 8, d->local.b, 16);
	memcpy(ip + 24, d->remote.b, 16);
}

static void send_datagram(struct lode_worker *w, const struct lode_datagram *d, uint64_t now_ns)
{
	bool v4 = lode_ip_is_v4(&d->remote);
	uint16_t ip_bytes = v4 ? IPV4_BYTES : IPV6_BYTES;
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->params.pool);
	if (!m) {
		lode_counter_add(&w->counters.drop_no_mbuf, 1);
		return;
	}
	memset(lode_pkt(m), 0, sizeof(struct lode_pkt));
	uint8_t *ip = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ip_bytes + UDP_BYTES + d->len));
	if (!ip) {
		DROP(w, m, too_long);
		return;
	}
	uint8_t *udp = ip + ip_bytes;
	put_udp(udp, d);
	if (v4)
		put_outer_v4(ip, d);
	else
		put_outer_v6(ip, d);
	uint16_t checksum_be = lode_wire_l4_checksum(ip, PROTO_UDP, udp, UDP_BYTES + d->len);
	memcpy(udp + 6, &checksum_be, 2);
	lode_counter_add(&w->counters.control_tx, 1);
	to_port(w, d->port_idx, &d->next_hop, m, now_ns);
}

void send_for_control(struct lode_worker *w, uint64_t now_ns)
{
	struct lode_datagram d;
	for (unsigned i = 0; i < CONTROL_PER_POLL && lode_ring_pop(w->rings.from_control, &d); i++)
		send_datagram(w, &d, now_ns);
}
