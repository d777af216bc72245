/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker lcore's loop: what the ports received goes into the worker, what the worker wants sent goes to
 * the ports, and when there is nothing to do the loop sleeps, a little longer each time. */
#include "gateway.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#define HANDOFF_SLOTS	1024
#define KERNEL_SLOTS	256
#define KERNEL_PER_LOOP 32
#define MIRROR_COST_NS	(LODE_NS_PER_S / 2000) /* 2 000 frames a second to each mirror */
#define MIRROR_BURST_NS (256 * MIRROR_COST_NS)
#define TX_STUCK_NS	(100 * LODE_NS_PER_MS)
#define LONG_SLOTS	32
#define LOAD_NS		(50 * LODE_NS_PER_MS) /* the worker's load is taken over so long */

const struct lode_counter_desc worker_run_counter_descs[] = {WORKER_COUNTERS(LODE_COUNTER_DESC_)};
const unsigned n_worker_run_counters = LODE_ARRAY_LEN(worker_run_counter_descs);

/* ---- received frames ---- */

/* What arrives from the WAN leaves on the LAN: nothing is taken in while there is no room to put it. */
static bool lan_has_room(struct worker_run *r)
{
	const struct lode_config *c = r->g->config;
	for (unsigned i = 0; i < c->n_ports; i++)
		if (c->ports[i].role == LODE_PORT_LAN &&
			lode_txq_room(lode_worker_tx(r->worker, i)) < LODE_BURST_MAX)
			return false;
	return true;
}

static unsigned receive_port(struct worker_run *r, unsigned i, uint64_t now)
{
	const struct lode_port *port = &r->g->ports[i];
	struct rte_mbuf *mbufs[LODE_BURST_MAX];
	bool lan = r->g->config->ports[i].role == LODE_PORT_LAN;
	if (r->idx >= port->n_rx_queues || (!lan && !lan_has_room(r)))
		return 0;
	uint16_t n = rte_eth_rx_burst(port->ethdev, (uint16_t)r->idx, mbufs, LODE_BURST_MAX);
	if (!n)
		return 0;
	if (lan)
		lode_worker_lan_rx(r->worker, i, mbufs, n, now);
	else
		lode_worker_wan_rx(r->worker, i, mbufs, n, now);
	lode_counter_add(&r->counters.rx_frames, n);
	return n;
}

/* ---- the kernel's frames ---- */

static struct rte_mbuf *mbuf_of(struct worker_run *r, const struct kernel_frame *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->g->pool);
	void *data = m ? rte_pktmbuf_append(m, f->len) : NULL;
	if (data) {
		memcpy(data, f->data, f->len);
		return m;
	}
	rte_pktmbuf_free(m);
	return NULL;
}

/* Frames that the mirrors send go out as they are; packets of lode0 into the tunnel. */
static unsigned receive_kernel(struct worker_run *r, uint64_t now)
{
	struct rte_mbuf *host[KERNEL_PER_LOOP];
	unsigned n_host = 0, n = 0;
	for (; n < KERNEL_PER_LOOP && lode_ring_pop(r->from_kernel, r->scratch); n++) {
		struct rte_mbuf *m = mbuf_of(r, r->scratch);
		if (m && r->scratch->port_idx == LODE_HOST_PORT) {
			host[n_host++] = m;
			continue;
		}
		struct lode_txq *q = lode_worker_tx(r->worker, r->scratch->port_idx);
		if (!m || !lode_txq_room(q)) {
			rte_pktmbuf_free(m);
			lode_counter_add(&r->counters.drop_kernel_tx, 1);
			continue;
		}
		q->mbufs[q->n++] = m;
		lode_counter_add(&r->counters.kernel_tx, 1);
	}
	if (n_host)
		lode_worker_lan_rx(r->worker, LODE_HOST_PORT, host, n_host, now);
	return n;
}

static bool mirror_may_have(struct worker_run *r, unsigned port_idx, uint64_t now)
{
	uint64_t *full_ns = &r->mirror_full_ns[port_idx];
	if (port_idx == LODE_HOST_PORT) /* capped by its class */
		return true;
	*full_ns = LODE_MAX(*full_ns, now);
	if (*full_ns - now > MIRROR_BURST_NS)
		return false;
	*full_ns += MIRROR_COST_NS;
	return true;
}

static bool give_kernel(struct worker_run *r, unsigned port_idx, struct rte_mbuf *m, uint64_t now)
{
	uint32_t room = r->g->frame_bytes - (uint32_t)sizeof(*r->scratch),
		 len = rte_pktmbuf_pkt_len(m);
	if (len > room || !mirror_may_have(r, port_idx, now)) {
		lode_counter_add(&r->counters.drop_kernel_limited, 1);
		return false;
	}
	const void *data = rte_pktmbuf_read(m, 0, len, r->scratch->data);
	if (data != r->scratch->data)
		memcpy(r->scratch->data, data, len);
	r->scratch->len = (uint16_t)len;
	r->scratch->port_idx = (uint8_t)port_idx;
	if (!lode_ring_push(r->to_kernel, r->scratch)) {
		lode_counter_add(&r->counters.drop_kernel_full, 1);
		return false;
	}
	lode_counter_add(&r->counters.kernel_rx, 1);
	return true;
}

static bool drain_to_kernel(
	struct worker_run *r, unsigned port_idx, struct lode_txq *q, uint64_t now)
{
	bool given = false;
	for (uint32_t i = 0; i < q->n; i++)
		given |= give_kernel(r, port_idx, q->mbufs[i], now);
	rte_pktmbuf_free_bulk(q->mbufs, q->n);
	q->n = 0;
	return given;
}

/* ---- frames to send ---- */

/* A port that takes nothing for long (its link is gone) must not hold old frames for ever. */
static void check_stuck(
	struct worker_run *r, unsigned i, struct lode_txq *q, uint16_t sent, uint64_t now)
{
	uint64_t *since = &r->tx_stuck_ns[i];
	if (sent || !q->n)
		*since = 0;
	else if (!*since)
		*since = now;
	else if (now - *since > TX_STUCK_NS) {
		lode_counter_add(&r->counters.drop_tx_stalled, q->n);
		rte_pktmbuf_free_bulk(q->mbufs, q->n);
		q->n = 0;
	}
}

static void drain_to_port(struct worker_run *r, unsigned i, uint64_t now)
{
	struct lode_txq *q = lode_worker_tx(r->worker, i);
	if (!q->n)
		return;
	uint16_t sent =
		rte_eth_tx_burst(r->g->ports[i].ethdev, (uint16_t)r->idx, q->mbufs, (uint16_t)q->n);
	q->n -= sent;
	if (q->n && sent)
		memmove(q->mbufs, q->mbufs + sent, q->n * sizeof(q->mbufs[0]));
	lode_counter_add(&r->counters.tx_frames, sent);
	check_stuck(r, i, q, sent, now);
}

/* In the middle of the worker's work, when one of its queues is full. */
static void flush_port(void *ctx, unsigned port_idx)
{
	struct worker_run *r = ctx;
	if (port_idx != LODE_HOST_PORT)
		drain_to_port(r, port_idx, r->turn_ns);
	else if (drain_to_kernel(r, port_idx, lode_worker_tx(r->worker, port_idx), r->turn_ns))
		exception_wake(r->g);
}

static void drain(struct worker_run *r, uint64_t now)
{
	unsigned n_ports = r->g->config->n_ports;
	bool given =
		drain_to_kernel(r, LODE_HOST_PORT, lode_worker_tx(r->worker, LODE_HOST_PORT), now);
	for (unsigned i = 0; i < n_ports; i++) {
		drain_to_port(r, i, now);
		given |= drain_to_kernel(r, i, lode_worker_mirror(r->worker, i), now);
	}
	if (given)
		exception_wake(r->g);
	idle_wake_others(r);
}

/* ---- the loop ---- */

/* A step of the turn has ended. */
static inline void end_step(struct worker_run *r, enum loop_step step, unsigned port_idx)
{
	uint64_t cycles = rte_rdtsc(), spent = cycles - r->turn.then;
	r->turn.then = cycles;
	if (spent <= r->turn.worst_cycles)
		return;
	r->turn.worst_cycles = spent;
	r->turn.worst_step = (uint8_t)step;
	r->turn.worst_port = (uint8_t)port_idx;
}

/* A turn without sleep, so that all of it was work. */
static void account_work(struct worker_run *r, uint64_t spent, unsigned n_frames)
{
	uint64_t us = spent / LODE_NS_PER_US;
	unsigned bucket = us ? 64 - (unsigned)__builtin_clzll(us) : 0;
	lode_counter_add(&r->loop_us_log2[LODE_MIN(bucket, LOOP_BUCKETS - 1u)], 1);
	if (lode_unlikely(spent > r->counters.longest_loop_ns))
		lode_counter_add(&r->counters.longest_loop_ns, spent - r->counters.longest_loop_ns);
	if (lode_likely(us < atomic_load_explicit(&r->g->long_loop_us, memory_order_relaxed)))
		return;
	lode_counter_add(&r->counters.long_loops, 1);
	loop_was_long(r, spent, n_frames);
}

static void account(struct worker_run *r, uint64_t spent, unsigned n_frames, bool slept)
{
	lode_counter_add(&r->counters.loops, 1);
	if (slept) {
		lode_counter_add(&r->counters.sleep_ns, spent);
		loop_slept(r);
	} else {
		account_work(r, spent, n_frames);
	}
	if (n_frames) {
		lode_counter_add(&r->counters.busy_loops, 1);
		lode_counter_add(&r->counters.busy_ns, spent);
	}
}

/* Ports first, so that one look at the worker's lanes serves all that came. Returns how many frames. */
static unsigned receive(struct worker_run *r, uint64_t now)
{
	unsigned n = 0;
	for (unsigned i = 0; i < r->g->config->n_ports; i++) {
		unsigned n_port = receive_port(r, i, now);
		n += n_port;
		if (n_port)
			end_step(r, LOOP_RX, i);
	}
	n += receive_kernel(r, now);
	end_step(r, LOOP_KERNEL, 0);
	return n;
}

static void tell_load(struct worker_run *r, uint64_t now)
{
	uint64_t elapsed = now - r->load_ns, busy = r->counters.busy_ns - r->load_busy_ns;
	if (elapsed < LOAD_NS)
		return;
	lode_worker_set_load(r->worker, (uint32_t)(busy * 1000 / elapsed));
	r->load_ns = now;
	r->load_busy_ns = r->counters.busy_ns;
}

/* Packets that came from other workers or left a queue are work as those from ports are. */
static bool did_work(struct worker_run *r)
{
	const struct lode_worker_counters *c = lode_worker_counters(r->worker);
	uint64_t moved = c->to_lane + c->from_lane + c->delivered;
	bool did = moved != r->moved;
	r->moved = moved;
	return did;
}

static int worker_main(void *arg)
{
	struct worker_run *r = arg;
	prctl(PR_SET_TIMERSLACK, 1);
	for (uint64_t now = now_ns(); !atomic_load_explicit(&r->g->stop, memory_order_relaxed);) {
		r->turn_ns = now;
		r->turn.then = rte_rdtsc();
		r->turn.worst_cycles = 0;
		unsigned n = receive(r, now);
		uint64_t due = lode_worker_poll(r->worker, now);
		end_step(r, LOOP_POLL, 0);
		drain(r, now);
		end_step(r, LOOP_TX, 0);
		atomic_store_explicit(&r->heartbeat_ns, now, memory_order_relaxed);
		n += did_work(r) && !n;
		bool slept = idle_rest(r, n > 0, now, due);
		uint64_t next = now_ns();
		account(r, next - now, n, slept);
		tell_load(r, next);
		now = next;
	}
	lode_worker_close(r->worker, now_ns());
	drain(r, now_ns());
	return 0;
}

/* ---- life ---- */

static int make_handoff(struct gateway *g, struct lode_err *err)
{
	char name[RTE_RING_NAMESIZE];
	for (unsigned from = 0; from < g->config->n_workers; from++)
		for (unsigned to = 0; to < g->config->n_workers; to++) {
			if (from == to)
				continue;
			snprintf(name, sizeof(name), "handoff_%u_%u", from, to);
			g->handoff[from][to] = rte_ring_create(
				name, HANDOFF_SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!g->handoff[from][to])
				return lode_err_set(err, -ENOMEM, "no memory for ring %s", name);
		}
	return 0;
}

static uint64_t read_cycles(void)
{
	return rte_rdtsc();
}

static int make_worker(struct gateway *g, unsigned i, struct lode_err *err)
{
	struct worker_run *r = &g->workers[i];
	char name[16];
	*r = (struct worker_run){
		.g = g, .idx = i, .lcore = i + 1, .cpu = g->config->worker_cpus[i]};
	snprintf(name, sizeof(name), "worker%u", i);
	struct lode_worker_params params = {
		.name = name,
		.worker_idx = i,
		.n_workers = g->config->n_workers,
		.socket_id = (int)rte_lcore_to_socket_id(r->lcore),
		.pool = g->pool,
		.shared = g->shared,
		.n_flows = g->config->flows,
		.cycles = read_cycles,
		.trace_clock = now_ns,
		.flush = flush_port,
		.ctx = r,
	};
	for (unsigned k = 0; k < g->config->n_workers; k++) {
		params.handoff_to[k] = g->handoff[i][k];
		params.handoff_from[k] = g->handoff[k][i];
	}
	if (getrandom(&params.seed, sizeof(params.seed), 0) != sizeof(params.seed))
		return lode_err_set(err, -EIO, "getrandom: %s", strerror(errno));
	r->to_kernel = lode_ring_new(KERNEL_SLOTS, g->frame_bytes);
	r->from_kernel = lode_ring_new(KERNEL_SLOTS, g->frame_bytes);
	r->scratch = calloc(1, g->frame_bytes);
	r->long_loops = lode_ring_new(LONG_SLOTS, sizeof(struct long_loop));
	if (!r->to_kernel || !r->from_kernel || !r->scratch || !r->long_loops)
		return lode_err_set(err, -ENOMEM, "no memory for rings to the kernel");
	r->worker = lode_worker_new(&params, err);
	return r->worker ? 0 : err->code;
}

int start_workers(struct gateway *g, struct lode_err *err)
{
	g->shared = calloc(1, sizeof(*g->shared));
	int rc = g->shared ? make_handoff(g, err) : lode_err_set(err, -ENOMEM, "no memory");
	for (unsigned i = 0; i < g->config->n_workers && !rc; i++)
		rc = make_worker(g, i, err);
	if (rc)
		stop_workers(g);
	return rc;
}

static void empty_handoff(struct rte_ring *ring)
{
	void *m;
	while (ring && rte_ring_sc_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(ring);
}

void stop_workers(struct gateway *g)
{
	for (unsigned i = 0; i < g->config->n_workers; i++) {
		struct worker_run *r = &g->workers[i];
		for (unsigned k = 0; k < g->config->n_workers; k++)
			empty_handoff(g->handoff[i][k]);
		if (r->worker)
			lode_worker_free(r->worker);
		lode_ring_free(r->to_kernel);
		lode_ring_free(r->from_kernel);
		lode_ring_free(r->long_loops);
		free(r->scratch);
		idle_fini(r);
	}
	free(g->shared);
}

int launch_workers(struct gateway *g, struct lode_err *err)
{
	for (unsigned i = 0; i < g->config->n_workers; i++) {
		struct worker_run *r = &g->workers[i];
		int rc = idle_init(r, err);
		if (rc)
			return rc;
		rc = rte_eal_remote_launch(worker_main, r, r->lcore);
		if (rc)
			return lode_err_set(
				err, rc, "worker %u on CPU %d: %s", i, r->cpu, strerror(-rc));
	}
	return 0;
}

void join_workers(struct gateway *g)
{
	atomic_store(&g->stop, true);
	rte_eal_mp_wait_lcore();
}
