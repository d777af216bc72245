/* SPDX-License-Identifier: BSD-3-Clause */
#include "pair.h"

#include <criterion/criterion.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <stdlib.h>
#include <unistd.h>

#define HEADER_BYTES 40 /* IPv4, UDP, flow, number, check word */

struct rte_mempool *eal_pool(void)
{
	static struct rte_mempool *pool;
	char prefix[64];
	if (pool != NULL)
		return pool;
	snprintf(prefix, sizeof(prefix), "--file-prefix=lane_test_%d", (int)getpid());
	char *argv[] = {"test_lane", "--no-huge", "--no-shconf", "-m", "128", "--no-pci",
		"--no-telemetry", "--log-level=critical", "--lcores=0", prefix};
	cr_assert_geq(rte_eal_init(LODE_ARRAY_LEN(argv), argv), 0, "%s", rte_strerror(rte_errno));
	pool = rte_pktmbuf_pool_create("pool", PAIR_MBUFS, 0, sizeof(struct lode_pkt),
		2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	cr_assert_not_null(pool);
	return pool;
}

/* ---- inner packets ---- */

static void write_packet(uint8_t *ip, unsigned flow, uint32_t number, unsigned bytes, unsigned ecn)
{
	struct lode_rng rng;
	memset(ip, 0, HEADER_BYTES);
	ip[0] = 0x45;
	ip[1] = (uint8_t)ecn;
	lode_store_be16(ip + 2, (uint16_t)bytes);
	ip[8] = 64;
	ip[9] = 17;
	lode_store_be32(ip + 12, 0x0a000001);
	lode_store_be32(ip + 16, 0x0a010001);
	lode_store_be16(ip + 20, (uint16_t)(1000 + flow));
	lode_store_be16(ip + 22, 2000);
	lode_store_be32(ip + 28, flow);
	lode_store_be32(ip + 32, number);
	lode_rng_seed(&rng, (uint64_t)flow << 32 | number);
	for (unsigned i = 36; i < bytes; i++)
		ip[i] = (uint8_t)lode_rng_u64(&rng);
	uint16_t sum = lode_wire_ipv4_checksum(ip, 20);
	memcpy(ip + 10, &sum, 2);
}

static bool packet_is_whole(const uint8_t *ip, unsigned bytes)
{
	uint8_t want[9216];
	if (bytes < HEADER_BYTES || bytes > sizeof(want) || lode_load_be32(ip + 28) >= PAIR_FLOWS)
		return false;
	write_packet(want, lode_load_be32(ip + 28), lode_load_be32(ip + 32), bytes, ip[1] & 3);
	return memcmp(want, ip, bytes) == 0;
}

void pair_send(
	struct pair *p, unsigned from, unsigned flow, unsigned cls, unsigned bytes, unsigned ecn)
{
	struct site *s = &p->site[from];
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
	if (m == NULL)
		return;
	uint8_t *ip = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)bytes);
	cr_assert_not_null(ip);
	write_packet(ip, flow, s->flows[flow].sent++, bytes, ecn);
	cr_assert_leq(s->flows[flow].sent, PAIR_FLOW_PKTS);
	*lode_pkt(m) = (struct lode_pkt){.flow = &s->flows[flow].state,
		.flow_hash = (uint32_t)lode_mix64(flow),
		.cls = (uint8_t)cls};
	lode_lane_enqueue(s->lane, &m, 1, p->now_ns);
	s->due_ns = p->now_ns;
}

static void deliver(
	void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	struct site *s = ctx;
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *ip = rte_pktmbuf_mtod(pkts[i], const uint8_t *);
		s->n_delivered++;
		if (!packet_is_whole(ip, pkts[i]->pkt_len)) {
			s->n_altered++;
			rte_pktmbuf_free(pkts[i]);
			continue;
		}
		struct flow_check *f = &s->pair->site[!s->idx].flows[lode_load_be32(ip + 28)];
		uint32_t number = lode_load_be32(ip + 32);
		s->n_twice += f->seen[number]++;
		f->misordered += f->delivered > 0 && number < f->newest;
		f->newest = LODE_MAX(f->newest, number);
		f->delivered++;
		rte_pktmbuf_free(pkts[i]);
	}
}

static void on_control(void *ctx, unsigned peer_idx, unsigned path, unsigned type,
	const uint8_t *value, unsigned len)
{
	struct site *s = ctx;
	s->n_closed += type == LODE_WIRE_TLV_CLOSE && len == 1;
}

/* ---- the pipe ---- */

static void add_flight(
	struct pair *p, unsigned to, unsigned path, struct rte_mbuf *m, uint64_t due_ns)
{
	struct flight *f = malloc(sizeof(*f));
	cr_assert_leq(m->pkt_len, sizeof(f->bytes));
	*f = (struct flight){
		.due_ns = due_ns, .len = m->data_len, .to = (uint8_t)to, .path = (uint8_t)path};
	memcpy(f->bytes, rte_pktmbuf_mtod(m, void *), m->data_len);
	if (p->pipe[!to][path].ce && (f->bytes[15] & 3) != 0)
		f->bytes[15] |= 3;
	if (p->n_flights == p->max_flights) {
		p->max_flights = p->max_flights ? 2 * p->max_flights : 1024;
		p->flights = realloc(p->flights, p->max_flights * sizeof(p->flights[0]));
	}
	/* Kept sorted, newest due first, so that the next one is taken from the end. */
	unsigned i = p->n_flights++;
	for (; i > 0 && p->flights[i - 1]->due_ns <= due_ns; i--)
		p->flights[i] = p->flights[i - 1];
	p->flights[i] = f;
}

static void into_pipe(struct pair *p, unsigned from, unsigned path, struct rte_mbuf *m)
{
	struct pipe *pipe = &p->pipe[from][path];
	uint64_t at_ns = p->now_ns;
	if (pipe->rate_bps) {
		pipe->free_ns = LODE_MAX(pipe->free_ns, p->now_ns);
		if (pipe->free_ns - p->now_ns > 100 * LODE_NS_PER_MS) {
			p->n_lost++;
			return;
		}
		pipe->free_ns += m->pkt_len * 8 * LODE_NS_PER_S / pipe->rate_bps;
		at_ns = pipe->free_ns;
	}
	if (pipe->dead || lode_rng_unit(&p->rng) < pipe->loss) {
		p->n_lost++;
		return;
	}
	unsigned copies = 1 + (lode_rng_unit(&p->rng) < pipe->duplicate);
	while (copies-- > 0) {
		uint64_t jitter = pipe->jitter_ns ? lode_rng_below(&p->rng, pipe->jitter_ns) : 0;
		add_flight(p, !from, path, m, at_ns + pipe->delay_ns + jitter);
	}
}

static void drain(struct pair *p, unsigned from)
{
	for (unsigned port = 0; port < p->n_paths; port++) {
		struct lode_txq *q = &p->site[from].txqs[port];
		for (uint32_t i = 0; i < q->n; i++) {
			into_pipe(p, from, port, q->mbufs[i]);
			rte_pktmbuf_free(q->mbufs[i]);
		}
		q->n = 0;
	}
}

/* What the worker does with a frame: outer headers checked and stripped, session and path looked up. */
static void land(struct pair *p, const struct flight *f)
{
	struct site *s = &p->site[f->to];
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
	if (m == NULL) /* as a NIC without buffers would do */
		return;
	memcpy(rte_pktmbuf_append(m, f->len), f->bytes, f->len);
	*lode_pkt(m) = (struct lode_pkt){.outer_off = (uint16_t)(m->data_off + 14),
		.outer_ecn = f->bytes[15] & 3,
		.path = f->path};
	cr_assert_eq(lode_load_be16(f->bytes + 16), f->len - 14, "outer IP length");
	rte_pktmbuf_adj(m, 14 + 20 + 8);
	struct lode_wire_clear clear;
	lode_wire_get_clear(rte_pktmbuf_mtod(m, uint8_t *), &clear);
	lode_pkt(m)->epoch = clear.key_phase;
	lode_pkt(m)->lane_id = clear.lane;
	cr_assert_eq(clear.path, f->path);
	lode_lane_wan_rx(s->lane, &m, 1, p->now_ns);
	s->due_ns = p->now_ns;
}

void pair_run(struct pair *p, uint64_t until_ns)
{
	for (;;) {
		uint64_t next_ns = LODE_MIN(p->site[0].due_ns, p->site[1].due_ns);
		if (p->n_flights > 0)
			next_ns = LODE_MIN(next_ns, p->flights[p->n_flights - 1]->due_ns);
		if (next_ns > until_ns)
			break;
		p->now_ns = LODE_MAX(p->now_ns, next_ns);
		while (p->n_flights > 0 && p->flights[p->n_flights - 1]->due_ns <= p->now_ns) {
			struct flight *f = p->flights[--p->n_flights];
			land(p, f);
			free(f);
		}
		for (unsigned i = 0; i < 2; i++) {
			if (p->site[i].due_ns > p->now_ns)
				continue;
			p->site[i].due_ns = lode_lane_poll(p->site[i].lane, p->now_ns);
			drain(p, i);
		}
	}
	p->now_ns = until_ns;
}

/* ---- the sites ---- */

/* Fills an epoch slot with keys made from its generation. */
static void make_epoch(struct pair *p, struct site *s, unsigned slot, uint64_t generation)
{
	struct lode_epoch_view *e = &s->view.epochs[slot];
	uint8_t keys[2][LODE_AEAD_KEY_BYTES] = {{1, (uint8_t)generation}, {2, (uint8_t)generation}};
	lode_aead_key_free(e->rx_key[0]);
	lode_aead_key_free(e->tx_key[0]);
	*e = (struct lode_epoch_view){.rx_valid = true,
		.tx_valid = true,
		.version = LODE_WIRE_VERSION,
		.features = p->features,
		.key_phase = (uint8_t)slot,
		.tx_phase = (uint8_t)slot,
		.rx_session = (uint16_t)(100 + 10 * slot + s->idx),
		.tx_session = (uint16_t)(100 + 10 * slot + !s->idx),
		.generation = generation};
	e->rx_key[0] = lode_aead_key_new(p->aead, keys[!s->idx], 7);
	e->tx_key[0] = lode_aead_key_new(p->aead, keys[s->idx], 7);
}

void pair_rekey(struct pair *p, unsigned slot, uint64_t generation, unsigned first_sender)
{
	/* Both ends can receive before anybody sends. */
	for (unsigned i = 0; i < 2; i++)
		make_epoch(p, &p->site[i], slot, generation);
	pair_publish(p);
	p->site[first_sender].view.tx_epoch = (uint8_t)slot;
	pair_publish(p);
	pair_run(p, p->now_ns + 30 * LODE_NS_PER_MS);
	p->site[!first_sender].view.tx_epoch = (uint8_t)slot;
	pair_publish(p);
}

void pair_restart(struct pair *p, unsigned idx)
{
	struct site *s = &p->site[idx];
	lode_lane_flush(s->lane);
	struct lode_lane_env env = s->lane->env;
	env.seed++;
	s->lane = lode_lane_init(s->lane, &env, 0, 0, p->now_ns);
	for (unsigned f = 0; f < PAIR_FLOWS; f++)
		memset(&s->flows[f].state, 0, sizeof(s->flows[f].state));
	for (unsigned i = 0; i < 2; i++) {
		p->site[i].view.association++;
		make_epoch(p, &p->site[i], 0, p->site[i].view.epochs[0].generation + 10);
		p->site[i].view.tx_epoch = 0;
	}
	pair_publish(p);
}

static void make_view(struct pair *p, struct site *s)
{
	struct lode_peer_view *v = &s->view;
	*v = (struct lode_peer_view){.refs = 1, .association = 1, .n_lanes = 1};
	make_epoch(p, s, 0, 1);
	for (unsigned i = 0; i < p->n_paths; i++) {
		struct lode_path_view *path = &v->paths[i];
		path->valid = true;
		path->port_idx = (uint8_t)i;
		path->local = lode_ip_from_v4_be(htonl(0xc0000200 + i * 2 + s->idx));
		path->remote = lode_ip_from_v4_be(htonl(0xc0000200 + i * 2 + !s->idx));
		path->local_port = path->remote_port[0] = 4000;
		path->dst_mac[5] = path->src_mac[5] = 1;
		path->link_mtu_bytes = 1500;
		path->up_kbps = 100000;
		snprintf(path->name, sizeof(path->name), "link%u", i);
		struct lode_config_link *link = &s->config->peers[0].links[i];
		snprintf(link->name, sizeof(link->name), "link%u", i);
		link->remote.ip = path->remote;
	}
	s->config->peers[0].n_links = (uint8_t)p->n_paths;
}

static void make_site(struct pair *p, unsigned idx)
{
	struct site *s = &p->site[idx];
	struct lode_lane_limits limits = {.flow_queues = 1024,
		.queued_pkts = 4096,
		.waiting_pkts = 2048,
		.repair_lanes = 1,
		.repair_slots = LODE_N_CLASSES};
	s->pair = p;
	s->idx = idx;
	s->pools = lode_lane_pools_new(&limits, SOCKET_ID_ANY);
	s->shared = calloc(1, sizeof(*s->shared));
	s->flows = calloc(PAIR_FLOWS, sizeof(s->flows[0]));
	s->config = calloc(1, sizeof(*s->config));
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		s->config->classes[cls] = (struct lode_config_class){.copies = 1,
			.queue_limit_us = 500000,
			.codel_target_us = 100000,
			.reorder_limit_us = 100000,
			.outer_dscp = -1};
	s->config->management_kbps = 10000;
	make_view(p, s);
	struct lode_lane_env env = {.mbufs = p->pool,
		.pools = s->pools,
		.shared = s->shared,
		.txqs = s->txqs,
		.seed = lode_rng_u64(&p->rng),
		.ctx = s,
		.deliver = deliver,
		.control = on_control};
	atomic_store(&s->shared->summary[0][0], &s->summary);
	void *memory = aligned_alloc(64, (lode_lane_bytes() + 63) / 64 * 64);
	s->lane = lode_lane_init(memory, &env, 0, 0, p->now_ns);
}

void pair_publish(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		struct site *s = &p->site[i];
		struct lode_snapshot *old = s->snapshot;
		s->snapshot = lode_snapshot_new(1);
		s->snapshot->config = s->config;
		s->snapshot->peers[0] = &s->view;
		cr_assert_eq(lode_snapshot_finish(s->snapshot, NULL), 0);
		lode_lane_set_snapshot(s->lane, s->snapshot, p->now_ns);
		lode_snapshot_free(old);
		s->due_ns = p->now_ns;
	}
}

struct pair *pair_new(uint64_t seed, unsigned n_paths, const char *aead)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct lode_err err = {0};
	p->pool = eal_pool();
	p->aead = lode_aead_new(aead, &err);
	cr_assert_not_null(p->aead, "%s", err.msg);
	p->n_paths = n_paths;
	p->now_ns = LODE_NS_PER_S;
	lode_rng_seed(&p->rng, seed);
	for (unsigned i = 0; i < 2; i++)
		make_site(p, i);
	for (unsigned i = 0; i < 2 * PAIR_PATHS; i++)
		p->pipe[i / PAIR_PATHS][i % PAIR_PATHS].delay_ns = 10 * LODE_NS_PER_MS;
	pair_publish(p);
	return p;
}

void pair_repair(struct pair *p, unsigned cls, enum lode_repair_mode mode, uint32_t deadline_ms)
{
	for (unsigned i = 0; i < 2; i++) {
		struct site *s = &p->site[i];
		struct lode_config_class *c = &s->config->classes[cls];
		c->repair = mode;
		c->fec_sources = 10;
		c->fec_repairs = 2;
		c->deadline_us = deadline_ms * 1000;
		c->residual_ppm = 100;
		c->parity_percent = 100;
		for (unsigned e = 0; e < LODE_EPOCHS; e++)
			s->view.epochs[e].features = LODE_WIRE_FEATURE_REPAIR;
	}
	p->features = LODE_WIRE_FEATURE_REPAIR;
	pair_publish(p);
}

void pair_choose(struct pair *p, unsigned cls, uint8_t allowed, uint8_t preferred, uint8_t copies)
{
	union lode_choice c = {.allowed = allowed,
		.backup = (uint8_t)~allowed,
		.preferred = preferred,
		.copies = copies,
		.serial = 1};
	for (unsigned i = 0; i < 2; i++)
		atomic_store(&p->site[i].shared->choice[0][cls], c.word);
}

uint32_t pair_misordered(const struct pair *p, unsigned to)
{
	uint32_t n = 0;
	for (unsigned f = 0; f < PAIR_FLOWS; f++)
		n += p->site[!to].flows[f].misordered;
	return n;
}

static uint64_t sum_queue_drops(const struct lode_lane_counters *c)
{
	return c->drop_queue_full + c->drop_codel + c->drop_deadline + c->drop_no_flow_queue +
	       c->drop_too_long + c->drop_no_mbuf;
}

void pair_check(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct site *s = &p->site[i];
		const struct lode_lane_counters *c = lode_lane_counters(s->lane);
		cr_assert_eq(s->n_altered, 0, "site %u: %u altered", i, s->n_altered);
		cr_assert_eq(s->n_twice, 0, "site %u: %u came twice", i, s->n_twice);
		if (c->rx_gave_up == 0 && c->rx_wait_skipped == 0)
			cr_assert_eq(pair_misordered(p, i), 0);
		struct lode_lane_held held;
		lode_lane_held(s->lane, &held);
		/* Each packet is still queued, dropped with a reason, or left in a segment: alone, in a
		 * bundle, or in parts. */
		cr_assert_eq(c->lan_pkts, c->tx_pkts + sum_queue_drops(c) + held.queued_pkts);
		cr_assert_eq(c->tx_segments + c->tx_copies + c->tx_control + c->tx_repairs +
				     c->tx_resent,
			c->tx_datagrams + c->drop_tx_parts + c->drop_tx_headroom);
		cr_assert_eq(c->rx_parts, c->rx_joined_parts + c->drop_rx_parts +
						  c->drop_rx_wait_full + held.waiting_parts);
		cr_assert_eq(c->rx_segments + c->rx_recovered - c->rx_parts - c->rx_bundles +
				     c->rx_joined + c->rx_unbundled,
			c->delivered_pkts + c->drop_rx_ce_not_ect + c->drop_rx_no_mbuf +
				held.waiting_pkts);
		cr_assert_eq(c->delivered_pkts, s->n_delivered);
		/* Datagrams in: control, or data that was dropped for a reason or became a first arrival. */
		uint64_t rx_drops = c->drop_rx_short + c->drop_rx_type + c->drop_rx_no_key +
				    c->drop_rx_replay + c->drop_rx_auth + c->drop_rx_encoding +
				    c->drop_rx_duplicate + c->drop_rx_late;
		cr_assert_eq(
			c->rx_datagrams, c->rx_control + rx_drops + c->rx_segments + c->rx_repairs);
	}
}

void pair_free(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		struct site *s = &p->site[i];
		drain(p, i);
		lode_lane_flush(s->lane);
		cr_assert_eq(lode_lane_pools_held(s->pools), 0);
		lode_lane_pools_free(s->pools);
		lode_snapshot_free(s->snapshot);
		for (unsigned e = 0; e < LODE_EPOCHS; e++) {
			lode_aead_key_free(s->view.epochs[e].rx_key[0]);
			lode_aead_key_free(s->view.epochs[e].tx_key[0]);
		}
		free(s->lane);
		free(s->shared);
		free(s->flows);
		free(s->config);
	}
	cr_assert_eq(rte_mempool_in_use_count(p->pool), 0, "%u buffers are missing",
		rte_mempool_in_use_count(p->pool));
	for (unsigned i = 0; i < p->n_flights; i++)
		free(p->flights[i]);
	free(p->flights);
	lode_aead_free(p->aead);
	free(p);
}
