/* SPDX-License-Identifier: BSD-3-Clause */
/* A lane between hostile neighbours: datagrams with and without a valid tag (null AEAD), repairs and NACKs
 * among them, inner packets of any content, and time that passes. Records of the input: kind, path and whether
 * sealed data is a repair (8 bits), time step (8), length (16), bytes. At the end every buffer must be back in its pool. */
#include "lane.h"

#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { RAW_DATAGRAM, SEALED_DATA, SEALED_CONTROL, INNER_PACKET };

#define N_FLOWS	    4
#define RECORDS_MAX 256

static struct world {
	struct rte_mempool *pool;
	struct lode_lane_pools *pools;
	struct lode_shared *shared;
	struct lode_config config;
	struct lode_snapshot *snapshot;
	struct lode_peer_view view;
	struct lode_aead_key *key;
	struct lode_txq txqs[LODE_ALL_PORTS];
	struct lode_lane_flow flows[N_FLOWS];
	void *memory;
	struct lode_lane *lane;
	uint64_t now_ns;
	uint64_t number[LODE_LINKS_MAX];
} w;

static void deliver(
	void *ctx, unsigned peer_idx, struct rte_mbuf **pkts, unsigned n, uint64_t now_ns)
{
	for (unsigned i = 0; i < n; i++)
		rte_pktmbuf_free(pkts[i]);
}

static void make_view(void)
{
	w.view = (struct lode_peer_view){.refs = 1, .association = 1, .n_lanes = 1};
	w.view.epochs[0] = (struct lode_epoch_view){.rx_valid = true,
		.tx_valid = true,
		.version = LODE_WIRE_VERSION,
		.features = LODE_WIRE_FEATURE_REPAIR,
		.generation = 1,
		.rx_key = {w.key},
		.tx_key = {w.key}};
	for (unsigned p = 0; p < 2; p++) {
		struct lode_path_view *path = &w.view.paths[p];
		*path = (struct lode_path_view){.valid = true,
			.port_idx = (uint8_t)p,
			.local_port = 4000,
			.remote_port = {4000},
			.dst_mac = {2},
			.link_mtu_bytes = 1500,
			.up_kbps = 100000};
		path->local = path->remote = lode_ip_from_v4_be(0x0100000a + p);
	}
}

/* What EAL's memory points at would count as leaked. */
static void end_world(void)
{
	lode_lane_pools_free(w.pools);
}

static void make_world(void)
{
	char prefix[64];
	snprintf(prefix, sizeof(prefix), "--file-prefix=fuzz_lane_%d", (int)getpid());
	char *argv[] = {"fuzz", "--no-huge", "--no-shconf", "-m", "64", "--no-pci",
		"--no-telemetry", "--log-level=critical", "--lcores=0", prefix};
	static const uint8_t key[LODE_AEAD_KEY_BYTES] = {1};
	if (rte_eal_init(LODE_ARRAY_LEN(argv), argv) < 0)
		abort();
	w.pool = rte_pktmbuf_pool_create(
		"fuzz", 2047, 0, sizeof(struct lode_pkt), 2176, SOCKET_ID_ANY);
	struct lode_lane_limits limits = {.flow_queues = 8,
		.queued_pkts = 64,
		.waiting_pkts = 64,
		.repair_lanes = 1,
		.repair_slots = 2};
	w.pools = lode_lane_pools_new(&limits, SOCKET_ID_ANY);
	atexit(end_world);
	w.shared = calloc(1, sizeof(*w.shared));
	w.memory = aligned_alloc(64, (lode_lane_bytes() + 63) / 64 * 64);
	w.key = lode_aead_key_new(lode_aead_new("null", NULL), key, 1);
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		w.config.classes[cls] = (struct lode_config_class){.queue_limit_us = 50000,
			.codel_target_us = 5000,
			.reorder_limit_us = 20000,
			.outer_dscp = -1,
			.repair = (enum lode_repair_mode)(cls % 4),
			.fec_sources = 4,
			.fec_repairs = 2,
			.deadline_us = 50000,
			.residual_ppm = 100,
			.parity_percent = 100};
	make_view();
	w.snapshot = lode_snapshot_new(1);
	w.snapshot->config = &w.config;
	w.snapshot->peers[0] = &w.view;
	if (lode_snapshot_finish(w.snapshot, NULL) < 0)
		abort();
}

static void start_lane(void)
{
	struct lode_lane_env env = {.mbufs = w.pool,
		.pools = w.pools,
		.shared = w.shared,
		.txqs = w.txqs,
		.seed = 1,
		.deliver = deliver};
	w.now_ns = LODE_NS_PER_S;
	memset(w.flows, 0, sizeof(w.flows));
	memset(w.number, 0, sizeof(w.number));
	w.lane = lode_lane_init(w.memory, &env, 0, 0, w.now_ns);
	lode_lane_set_snapshot(w.lane, w.snapshot, w.now_ns);
}

/* The datagram behind a 42-byte outer header, as the worker hands it over. */
static void receive(enum kind kind, unsigned path, bool repair, const uint8_t *bytes, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w.pool);
	uint8_t *outer = (uint8_t *)rte_pktmbuf_append(m, 28);
	if (outer == NULL)
		abort();
	memset(outer, 0, 28);
	outer[0] = 0x45;
	*lode_pkt(m) = (struct lode_pkt){
		.outer_off = m->data_off, .outer_ecn = bytes[0] & 3, .path = (uint8_t)path};
	rte_pktmbuf_adj(m, 28);
	bool sealed = kind != RAW_DATAGRAM;
	unsigned extra = sealed ? LODE_WIRE_CLEAR_BYTES + LODE_WIRE_TAG_BYTES : 0;
	uint8_t *at = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(len + extra));
	if (at == NULL)
		abort();
	if (sealed) {
		struct lode_wire_clear clear = {.version = LODE_WIRE_VERSION,
			.type = (uint8_t)(kind == SEALED_CONTROL ? LODE_WIRE_CONTROL
					  : repair		 ? LODE_WIRE_REPAIR
								 : LODE_WIRE_DATA),
			.path = (uint8_t)path,
			.number = (uint32_t)w.number[path]};
		struct lode_aead_op op = {.data = at,
			.nonce = lode_wire_nonce(path, 0, w.number[path]++),
			.aad_bytes = LODE_WIRE_CLEAR_BYTES,
			.text_bytes = len};
		lode_wire_put_clear(at, &clear);
		memcpy(at + LODE_WIRE_CLEAR_BYTES, bytes, len);
		lode_aead_seal_burst(w.key, &op, 1);
	} else {
		memcpy(at, bytes, len);
		lode_pkt(m)->path = len > 1 ? at[1] >> 3 & 7 : 0;
	}
	lode_lane_wan_rx(w.lane, &m, 1, w.now_ns);
}

static void send_inner(unsigned cls, const uint8_t *bytes, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w.pool);
	char *to = rte_pktmbuf_append(m, len);
	if (to == NULL)
		abort();
	memcpy(to, bytes, len);
	unsigned flow = bytes[len - 1] % N_FLOWS;
	*lode_pkt(m) = (struct lode_pkt){
		.flow = &w.flows[flow], .flow_hash = flow, .cls = (uint8_t)(cls % LODE_N_CLASSES)};
	lode_lane_enqueue(w.lane, &m, 1, w.now_ns);
}

static void poll_and_drain(void)
{
	if (lode_lane_poll(w.lane, w.now_ns) == 0)
		abort();
	for (unsigned port = 0; port < LODE_ALL_PORTS; port++) {
		rte_pktmbuf_free_bulk(w.txqs[port].mbufs, w.txqs[port].n);
		w.txqs[port].n = 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (w.pool == NULL)
		make_world();
	start_lane();
	for (unsigned i = 0; i < RECORDS_MAX && size > 4; i++) {
		uint8_t head = data[0];
		w.now_ns += data[1] * 100 * LODE_NS_PER_US;
		uint16_t len = lode_load_be16(data + 2);
		data += 4;
		size -= 4;
		len = (uint16_t)LODE_MIN(LODE_MIN((size_t)len, size), 1500u);
		if (len == 0)
			continue;
		if ((head & 3) == INNER_PACKET)
			send_inner(head >> 2, data, len);
		else
			receive((enum kind)(head & 3), head >> 2 & 1, head & 8, data, len);
		data += len;
		size -= len;
		poll_and_drain();
	}
	w.now_ns += LODE_NS_PER_S;
	poll_and_drain();
	if (w.lane->n_waiting != 0)
		abort();
	lode_lane_flush(w.lane);
	if (lode_lane_pools_held(w.pools) != 0 || rte_mempool_in_use_count(w.pool) != 0)
		abort();
	return 0;
}
