/* SPDX-License-Identifier: BSD-3-Clause */
/* One packet's way through one worker on one core: from LAN mbuf to WAN mbuf and back, with parse, route, flow
 * table, classes, queues, order and feedback; 4 paths, 16 000 flows, AES-256-GCM. Two workers are joined
 * without delay in virtual time; only the calls of the measured one are timed. Baseline: sealing or opening
 * the same number of datagrams of the same length in bursts, nothing else, in the same run; the figure is
 * what comes on top of it. Small packets travel alone here (rows "bundled": as shipped). Without hugepages,
 * as any machine can; `lode-perf lane -- hugepages` uses 64 of 2 MB, as an installed gateway does. */
#include "lode_perf.h"

#include "lane.h"
#include "lode_worker.h"

#include <math.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define N_PATHS	     4
#define N_FLOWS	     16000
#define FIRST_WAN    1 /* port index; 0 is the LAN */
#define SESSION	     9
#define ETHER	     14
#define STEP_NS	     5000
#define WARM_STEPS   10000
#define WARM_STEP_NS 100000
#define CHUNK_PKTS \
	1024 /* timed together; the median chunk counts: others disturb only some of them */
#define N_CHUNKS  1001
#define MAX_BYTES 1514

int suite_lane(struct lode_perf *p);

struct site {
	struct lode_worker *worker;
	struct lode_shared *shared;
	struct lode_peer_view view;
	struct lode_routes *routes;
	struct lode_neighbours *neighbours;
	struct lode_snapshot *snapshot;
};

struct bench {
	struct rte_mempool *pool;
	struct lode_config *config;
	struct lode_rules *rules;
	struct lode_aead *aead;
	struct site site[2]; /* 0 sends, 1 receives */
	struct lode_rng rng;
	uint64_t now_ns;
	unsigned burst, ip_bytes;
	bool bundled;
	uint64_t tx_cycles, rx_cycles, n_sent, n_delivered;
};

static const uint8_t lan_mac[6] = {2, 0, 0, 0, 0, 1}, wan_mac[6] = {2, 0, 0, 0, 0, 2};

/* ---- set-up ---- */

static const char config_text[] =
	"version: 1\n"
	"ports:\n"
	"  - {name: lan0, role: lan, device: a, addresses: [10.1.0.1/16]}\n"
	"  - {name: wan0, role: wan, device: b, addresses: [192.0.2.1/24]}\n"
	"  - {name: wan1, role: wan, device: c, addresses: [198.51.100.1/24]}\n"
	"  - {name: wan2, role: wan, device: d, addresses: [203.0.113.1/24]}\n"
	"  - {name: wan3, role: wan, device: e, addresses: [192.0.3.1/24]}\n"
	"peers:\n"
	"  - name: far\n"
	"    public_key: \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n"
	"    prefixes: [10.2.0.0/16]\n"
	"    links:\n"
	"      - {name: l0, port: wan0, remote: \"192.0.2.2:51900\"}\n"
	"      - {name: l1, port: wan1, remote: \"198.51.100.2:51900\"}\n"
	"      - {name: l2, port: wan2, remote: \"203.0.113.2:51900\"}\n"
	"      - {name: l3, port: wan3, remote: \"192.0.3.2:51900\"}\n";

static struct lode_ip path_ip(unsigned path, unsigned host)
{
	static const uint8_t nets[N_PATHS][3] = {
		{192, 0, 2}, {198, 51, 100}, {203, 0, 113}, {192, 0, 3}};
	uint8_t b[4] = {nets[path][0], nets[path][1], nets[path][2], (uint8_t)(1 + host)};
	uint32_t addr_be;
	memcpy(&addr_be, b, sizeof(addr_be));
	return lode_ip_from_v4_be(addr_be);
}

static bool make_view(struct bench *b, struct site *s, unsigned idx)
{
	static const uint8_t secret[2][LODE_AEAD_KEY_BYTES] = {{1}, {2}};
	struct lode_epoch_view *e = &s->view.epochs[0];
	s->view.refs = 1;
	s->view.association = 1;
	s->view.n_lanes = 1;
	*e = (struct lode_epoch_view){.rx_valid = true,
		.tx_valid = true,
		.version = LODE_WIRE_VERSION,
		.rx_session = SESSION,
		.tx_session = SESSION,
		.generation = 1};
	e->rx_key[0] = lode_aead_key_new(b->aead, secret[!idx], 1);
	e->tx_key[0] = lode_aead_key_new(b->aead, secret[idx], 1);
	for (unsigned i = 0; i < N_PATHS; i++) {
		struct lode_path_view *p = &s->view.paths[i];
		*p = (struct lode_path_view){.valid = true,
			.port_idx = (uint8_t)(FIRST_WAN + i),
			.local = path_ip(i, idx),
			.remote = path_ip(i, !idx),
			.local_port = 51900,
			.remote_port = {51900},
			.link_mtu_bytes = 1500,
			.up_kbps = 20 * 1000 * 1000};
		snprintf(p->name, sizeof(p->name), "l%u", i);
		memcpy(p->dst_mac, wan_mac, 6);
		memcpy(p->src_mac, wan_mac, 6);
	}
	return e->rx_key[0] != NULL && e->tx_key[0] != NULL;
}

static void make_tables(struct site *s, unsigned idx)
{
	/* 10.1/16 is behind site 0, 10.2/16 behind site 1. */
	struct lode_route to_lan = {.kind = LODE_ROUTE_PORT}, to_peer = {.kind = LODE_ROUTE_PEER};
	struct lode_prefix prefix = {.len = 112};
	s->routes = lode_routes_new();
	s->neighbours = lode_neighbours_new(256, 1);
	for (unsigned net = 0; net < 2; net++) {
		prefix.ip = lode_ip_from_v4_be(htonl(0x0a010000 + (net << 16)));
		lode_routes_add(s->routes, &prefix, net == idx ? &to_lan : &to_peer);
	}
	for (unsigned host = 0; host < 256; host++) {
		struct lode_neighbour n = {
			.ip = lode_ip_from_v4_be(htonl(0x0a010100 + (idx << 16) + host)),
			.mac = {2, 1}};
		lode_neighbours_add(s->neighbours, &n);
	}
}

static bool make_site(struct bench *b, unsigned idx, struct lode_err *err)
{
	struct site *s = &b->site[idx];
	s->shared = calloc(1, sizeof(*s->shared));
	if (s->shared == NULL || !make_view(b, s, idx))
		return false;
	make_tables(s, idx);
	struct lode_snapshot *snap = s->snapshot = lode_snapshot_new(1);
	snap->config = b->config;
	snap->rules = b->rules;
	snap->routes = s->routes;
	snap->neighbours = s->neighbours;
	snap->peers[0] = &s->view;
	for (unsigned port = 0; port <= N_PATHS; port++) {
		snap->ports[port] = (struct lode_port_view){.mtu_bytes = 1500, .up = true};
		memcpy(snap->ports[port].mac, port ? wan_mac : lan_mac, 6);
	}
	if (lode_snapshot_finish(snap, err) < 0)
		return false;
	atomic_store(&s->shared->snapshot, snap);
	struct lode_worker_params params = {.name = idx ? "bench1" : "bench0",
		.n_workers = 1,
		.socket_id = SOCKET_ID_ANY,
		.pool = b->pool,
		.shared = s->shared,
		.n_flows = 2 * N_FLOWS,
		.seed = idx,
		.cycles = rte_rdtsc};
	s->worker = lode_worker_new(&params, err);
	if (s->worker == NULL)
		return false;
	lode_worker_poll(s->worker, b->now_ns);
	return true;
}

static bool start_eal(bool hugepages)
{
	static bool started;
	char prefix[40];
	snprintf(prefix, sizeof(prefix), "--file-prefix=lodeperf%d", (int)getpid());
	char *argv[] = {"lode-perf", hugepages ? "--in-memory" : "--no-huge", "--no-shconf",
		"--no-pci", "--no-telemetry", "-m", hugepages ? "128" : "512", "--lcores=0",
		"--log-level=3", prefix, NULL};
	if (!started)
		started = rte_eal_init((int)LODE_ARRAY_LEN(argv) - 1, argv) >= 0;
	return started;
}

static bool bench_make(struct bench *b, bool hugepages, struct lode_err *err)
{
	*b = (struct bench){.now_ns = 1000 * LODE_NS_PER_S};
	if (!start_eal(hugepages)) {
		lode_err_set(err, -ENOMEM, "EAL does not start%s",
			hugepages ? " (sysctl vm.nr_hugepages=64?)" : "");
		return false;
	}
	lode_rng_seed(&b->rng, 1);
	b->pool = rte_pktmbuf_pool_create("bench", 16383, 256, sizeof(struct lode_pkt),
		RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	b->aead = lode_aead_new("auto", err);
	return b->pool != NULL && b->aead != NULL &&
	       lode_config_parse("bench", config_text, strlen(config_text), &b->config, err) == 0 &&
	       lode_rules_build(b->config, &b->rules, err) == 0 && make_site(b, 0, err) &&
	       make_site(b, 1, err);
}

static void bench_free(struct bench *b)
{
	for (unsigned i = 0; i < 2; i++) {
		struct site *s = &b->site[i];
		lode_worker_free(s->worker);
		lode_snapshot_free(s->snapshot);
		lode_routes_unref(s->routes);
		lode_neighbours_unref(s->neighbours);
		lode_aead_key_free(s->view.epochs[0].rx_key[0]);
		lode_aead_key_free(s->view.epochs[0].tx_key[0]);
		free(s->shared);
	}
	lode_rules_free(b->rules);
	lode_config_free(b->config);
	lode_aead_free(b->aead);
	rte_mempool_free(b->pool);
}

/* ---- traffic ---- */

static struct rte_mbuf *lan_frame(struct bench *b)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(b->pool);
	uint8_t *frame =
		m ? (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(ETHER + b->ip_bytes)) : NULL;
	if (frame == NULL)
		abort();
	uint32_t flow = (uint32_t)lode_rng_below(&b->rng, N_FLOWS);
	uint8_t *ip = frame + ETHER;
	memset(frame, 0, ETHER + 28);
	memcpy(frame, lan_mac, 6);
	frame[6] = 2;
	frame[12] = 8;
	ip[0] = 0x45;
	lode_store_be16(ip + 2, (uint16_t)b->ip_bytes);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	lode_store_be32(ip + 12, 0x0a010100 + flow % 256);
	lode_store_be32(ip + 16, 0x0a020100 + flow / 256);
	lode_store_be16(ip + 20, (uint16_t)(20000 + flow));
	lode_store_be16(ip + 22, 9000);
	lode_store_be16(ip + 24, (uint16_t)(b->ip_bytes - 20));
	uint16_t sum = lode_wire_ipv4_checksum(ip, 20);
	memcpy(ip + 10, &sum, sizeof(sum));
	return m;
}

/* Everything that one site has put out goes into the other one. */
static void cross(struct bench *b, unsigned from, uint64_t *cycles)
{
	for (unsigned port = FIRST_WAN; port < FIRST_WAN + N_PATHS; port++) {
		struct lode_txq *q = lode_worker_tx(b->site[from].worker, port);
		for (uint32_t i = 0, n; i < q->n; i += n) {
			n = LODE_MIN(q->n - i, b->burst);
			uint64_t start = rte_rdtsc();
			lode_worker_wan_rx(b->site[!from].worker, port, q->mbufs + i, n, b->now_ns);
			*cycles += rte_rdtsc() - start;
		}
		q->n = 0;
	}
}

static void poll(struct bench *b, unsigned site, uint64_t *cycles)
{
	uint64_t start = rte_rdtsc();
	lode_worker_poll(b->site[site].worker, b->now_ns);
	*cycles += rte_rdtsc() - start;
}

static void step(struct bench *b)
{
	struct rte_mbuf *frames[LODE_BURST_MAX];
	b->now_ns += STEP_NS;
	for (unsigned i = 0; i < b->burst; i++)
		frames[i] = lan_frame(b);
	uint64_t start = rte_rdtsc();
	lode_worker_lan_rx(b->site[0].worker, 0, frames, b->burst, b->now_ns);
	b->tx_cycles += rte_rdtsc() - start;
	b->n_sent += b->burst;
	poll(b, 0, &b->tx_cycles);
	cross(b, 0, &b->rx_cycles);
	poll(b, 1, &b->rx_cycles);
	cross(b, 1, &b->tx_cycles); /* feedback */
	struct lode_txq *lan = lode_worker_tx(b->site[1].worker, 0);
	b->n_delivered += lan->n;
	rte_pktmbuf_free_bulk(lan->mbufs, lan->n);
	lan->n = 0;
}

static void warm_up(struct bench *b)
{
	uint64_t ignored = 0;
	/* Paths come up, the MTU search ends. */
	for (unsigned ms = 0; ms < 3000; ms++) {
		b->now_ns += LODE_NS_PER_MS;
		poll(b, 0, &ignored);
		cross(b, 0, &ignored);
		poll(b, 1, &ignored);
		cross(b, 1, &ignored);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct lode_lane *l = (struct lode_lane *)lode_worker_lane(b->site[i].worker, 0);
		l->bundle_item_bytes = b->bundled ? BUNDLE_ITEM_BYTES : 0;
	}
	/* Windows open, all flows are known. */
	for (unsigned i = 0; i < WARM_STEPS; i++) {
		b->now_ns += WARM_STEP_NS;
		step(b);
	}
}

/* ---- the baseline: nothing but sealing and opening ---- */

struct cycles {
	uint64_t tx, rx; /* of one chunk */
};

static struct cycles aead_chunk(struct bench *b)
{
	struct rte_mbuf *m[LODE_BURST_MAX];
	struct lode_aead_op ops[LODE_BURST_MAX];
	struct cycles c = {0};
	uint16_t text_bytes = (uint16_t)(LODE_WIRE_SEGMENT_BYTES + b->ip_bytes);
	for (unsigned n = 0; n < CHUNK_PKTS; n += b->burst) {
		for (unsigned i = 0; i < b->burst; i++) {
			m[i] = rte_pktmbuf_alloc(b->pool);
			ops[i] = (struct lode_aead_op){.data = rte_pktmbuf_mtod(m[i], uint8_t *),
				.nonce = n + i,
				.aad_bytes = LODE_WIRE_CLEAR_BYTES,
				.text_bytes = text_bytes};
			memset(ops[i].data, 0, text_bytes + LODE_WIRE_CLEAR_BYTES);
		}
		uint64_t start = rte_rdtsc();
		lode_aead_seal_burst(b->site[0].view.epochs[0].tx_key[0], ops, b->burst);
		uint64_t middle = rte_rdtsc();
		lode_aead_open_burst(b->site[1].view.epochs[0].rx_key[0], ops, b->burst);
		c.rx += rte_rdtsc() - middle;
		c.tx += middle - start;
		rte_pktmbuf_free_bulk(m, b->burst);
	}
	return c;
}

/* ---- cases ---- */

static struct cycles worker_chunk(struct bench *b)
{
	b->tx_cycles = b->rx_cycles = 0;
	for (unsigned n = 0; n < CHUNK_PKTS; n += b->burst)
		step(b);
	return (struct cycles){b->tx_cycles, b->rx_cycles};
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, N_CHUNKS, sizeof(values[0]), by_value);
	return values[N_CHUNKS / 2];
}

/* Sampled time in each of the lane's stages, part of the figures above: rows of the direction that the site
 * carries. */
static void report_stages(struct lode_perf *p, const struct bench *b, const char *name)
{
	const char *names[STAGES_MAX];
	const struct lode_stage_stats *stats[STAGES_MAX];
	char row[80];
	double ns = 1e9 / (double)rte_get_tsc_hz();
	for (unsigned site = 0; site < 2; site++) {
		unsigned n = lode_lane_stages(
			lode_worker_lane(b->site[site].worker, 0), names, stats, STAGES_MAX);
		for (unsigned i = 0; i < n; i++) {
			if ((i < LAN_TO_WAN_STAGES) != (site == 0) || stats[i]->cycle_pkts == 0)
				continue;
			snprintf(row, sizeof(row), "%s, stage %s", name, names[i]);
			lode_perf_row(p, row, "time",
				(double)stats[i]->cycles * ns / (double)stats[i]->cycle_pkts,
				"ns/packet", NULL, NAN);
		}
	}
}

struct result {
	double tx_ns, rx_ns, seal_ns, open_ns; /* per packet, of the median chunk */
	bool lossless;
};

static struct result measure(
	struct lode_perf *p, const char *name, unsigned ip_bytes, unsigned burst, bool bundled)
{
	static double tx[N_CHUNKS], rx[N_CHUNKS], seal[N_CHUNKS], open[N_CHUNKS];
	struct bench b;
	struct lode_err err = {0};
	struct result r = {.tx_ns = NAN, .rx_ns = NAN, .seal_ns = NAN, .open_ns = NAN};
	bool hugepages = p->argc > 0 && !strcmp(p->argv[0], "hugepages");
	if (!bench_make(&b, hugepages, &err)) {
		fprintf(stderr, "lane: %s\n", err.msg);
		return r;
	}
	b.burst = burst;
	b.ip_bytes = ip_bytes;
	b.bundled = bundled;
	lode_perf_progress(p, "%u bytes, burst %u", ip_bytes, burst);
	warm_up(&b);
	b.n_sent = b.n_delivered = 0;
	double ns = 1e9 / (double)rte_get_tsc_hz() / CHUNK_PKTS;
	for (unsigned i = 0; i < N_CHUNKS; i++) {
		struct cycles all = worker_chunk(&b), alone = aead_chunk(&b);
		tx[i] = (double)all.tx * ns;
		rx[i] = (double)all.rx * ns;
		seal[i] = (double)alone.tx * ns;
		open[i] = (double)alone.rx * ns;
	}
	r = (struct result){median(tx), median(rx), median(seal), median(open),
		.lossless = b.n_delivered + LODE_BURST_MAX >= b.n_sent};
	if (burst > 1)
		report_stages(p, &b, name);
	bench_free(&b);
	return r;
}

/* A bundle is sealed once for many packets: there is no AEAD of one packet that could be taken off. */
static void report_bundled(struct lode_perf *p, const char *name, const struct result *r)
{
	char row[64];
	snprintf(row, sizeof(row), "%s, LAN to WAN", name);
	lode_perf_row(p, row, "with sealing", r->tx_ns, "ns/packet", NULL, NAN);
	snprintf(row, sizeof(row), "%s, WAN to LAN", name);
	lode_perf_row(p, row, "with opening", r->rx_ns, "ns/packet", NULL, NAN);
}

static void report(struct lode_perf *p, const char *name, const struct result *r)
{
	char row[64];
	snprintf(row, sizeof(row), "%s, LAN to WAN", name);
	lode_perf_row(p, row, "on top of sealing", r->tx_ns - r->seal_ns, "ns/packet",
		"sealing alone", r->seal_ns / r->tx_ns);
	snprintf(row, sizeof(row), "%s, WAN to LAN", name);
	lode_perf_row(p, row, "on top of opening", r->rx_ns - r->open_ns, "ns/packet",
		"opening alone", r->open_ns / r->rx_ns);
}

int suite_lane(struct lode_perf *p)
{
	static const struct {
		const char *name;
		unsigned ip_bytes, burst;
		bool bundled;
	} cases[] = {
		{"64 B, burst 32", 50, 32, false},
		{"64 B, burst 1", 50, 1, false},
		{"1400 B, burst 32", 1386, 32, false},
		{"1400 B, burst 1", 1386, 1, false},
		{"64 B, burst 32, bundled", 50, 32, true},
	};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(cases); i++) {
		if (!lode_perf_wanted(p, cases[i].name))
			continue;
		struct result r = measure(
			p, cases[i].name, cases[i].ip_bytes, cases[i].burst, cases[i].bundled);
		if (isnan(r.tx_ns))
			return 1;
		if (!r.lossless)
			fprintf(stderr,
				"lane: %s: not all packets arrived, figures are not comparable\n",
				cases[i].name);
		(cases[i].bundled ? report_bundled : report)(p, cases[i].name, &r);
	}
	return 0;
}
