/* SPDX-License-Identifier: BSD-3-Clause */
/* Two whole gateways per session. Every 10 ms the home lane's window of each path goes to the file, with what
 * only the simulator knows: which packets sent 50 to 100 ms later were lost and why. */
#include "record.h"

#include "lode_worker.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MS	 LODE_NS_PER_MS
#define S	 LODE_NS_PER_S
#define START_MS 2000 /* sessions are up and rates found */
#define PORTS	 2

enum cause { QUEUE, RADIO, HANDOVER, RANDOM, CAUSES };

/* All-time counts of a link at the end of each millisecond. */
struct count {
	uint32_t sent, lost[CAUSES], runs;
};

struct session {
	const struct record_options *options;
	struct lode_sim *sim;
	struct lode_rng rng;
	unsigned n_ports;
	struct session_link links[PORTS];
	struct count *counts[PORTS];
	/* Windows wait here until their outcome is known. */
	struct lode_learn_record *records;
	uint32_t *record_ms;
	uint8_t *record_port;
	size_t n_records, max_records;
	char names[PORTS][LODE_LEARN_NAME_BYTES];
};

struct record_options {
	const char *out, *data;
	uint64_t seed;
	uint32_t sessions, length_ms;
};

/* ---- traffic ---- */

static int add_flow(struct session *s, struct lode_sim_flow f, struct lode_err *err)
{
	f.dst = 1;
	int rc = lode_sim_add_flow(s->sim, &f, err);
	return rc < 0 ? rc : 0;
}

static uint64_t some_time(struct session *s)
{
	return S + lode_rng_below(&s->rng, s->options->length_ms) * MS;
}

/* Calls, streams that come and go, transfers of all sizes. */
static int add_traffic(struct session *s, struct lode_err *err)
{
	double kbps = 0;
	int rc = 0;
	for (unsigned i = 0; i < s->n_ports; i++)
		kbps += s->links[i].mean_kbps;
	unsigned n_calls = 1 + (unsigned)lode_rng_below(&s->rng, 3);
	for (unsigned i = 0; !rc && i < n_calls; i++)
		rc = add_flow(s,
			(struct lode_sim_flow){.kind = LODE_SIM_CBR,
				.dscp = 46,
				.pkt_bytes = 200,
				.pps = 50,
				.start_ns = S,
				.stop_ns = LODE_NEVER_NS},
			err);
	unsigned n_streams = (unsigned)lode_rng_below(&s->rng, 12);
	for (unsigned i = 0; !rc && i < n_streams; i++) {
		uint64_t start_ns = some_time(s);
		double share = 0.1 + 0.7 * lode_rng_unit(&s->rng);
		rc = add_flow(s,
			(struct lode_sim_flow){.kind = LODE_SIM_CBR,
				.dscp = 34,
				.pkt_bytes = 1200,
				.pps = (uint32_t)(kbps * share / 9.6) + 1,
				.start_ns = start_ns,
				.stop_ns = start_ns + (uint64_t)lode_rng_exponential(&s->rng, 4e9)},
			err);
	}
	unsigned n_transfers = (unsigned)lode_rng_below(&s->rng, 3);
	for (unsigned i = 0; !rc && i < n_transfers; i++)
		rc = add_flow(s,
			(struct lode_sim_flow){.kind = LODE_SIM_TCP,
				.pkt_bytes = 1400,
				.start_ns = S,
				.stop_ns = LODE_NEVER_NS},
			err);
	unsigned n_pages = (unsigned)lode_rng_below(&s->rng, 40);
	for (unsigned i = 0; !rc && i < n_pages; i++)
		rc = add_flow(s,
			(struct lode_sim_flow){.kind = LODE_SIM_TCP,
				.pkt_bytes = 1400,
				.start_ns = some_time(s),
				.stop_ns = LODE_NEVER_NS,
				.total_bytes =
					20000 + (uint64_t)lode_rng_exponential(&s->rng, 300000)},
			err);
	return rc;
}

/* ---- running ---- */

static void count_ms(struct session *s, unsigned port, uint32_t ms)
{
	const struct lode_link_stats *st =
		lode_link_stats(lode_sim_link(s->sim, 0, port, LODE_SIM_UP));
	const struct session_link *l = &s->links[port];
	struct count *now = &s->counts[port][ms];
	*now = ms ? s->counts[port][ms - 1] : (struct count){0};
	uint32_t random = 0;
	for (unsigned i = RADIO; i < CAUSES; i++)
		random += now->lost[i];
	enum cause cause = ms < l->handover_until_ms ? HANDOVER : l->bad ? RADIO : RANDOM;
	now->sent = (uint32_t)st->in_pkts;
	now->lost[QUEUE] = (uint32_t)st->fate_pkts[LODE_LINK_LOST_QUEUE];
	now->lost[cause] += (uint32_t)st->fate_pkts[LODE_LINK_LOST_RANDOM] - random;
	now->runs = (uint32_t)st->lost_runs;
}

static uint32_t capacity_kbps(const struct session_link *l, uint32_t ms)
{
	uint64_t to_ns = ms * MS, from_ns = ms > 50 ? to_ns - 50 * MS : 0;
	return (uint32_t)(lode_link_trace_capacity(l->trace, from_ns, to_ns) * 8 / 50);
}

static void add_record(struct session *s, const struct lode_loss_record *r, uint32_t ms)
{
	const struct session_link *l = &s->links[r->path];
	if (s->n_records == s->max_records || r->path >= s->n_ports)
		return;
	struct lode_learn_record *to = &s->records[s->n_records];
	*to = (struct lode_learn_record){.kind = LODE_LEARN_WINDOW, .window = r->window};
	to->truth = (struct lode_learn_truth){.known = 1,
		.queue_pkts = (uint16_t)lode_link_queued_pkts(
			lode_sim_link(s->sim, 0, r->path, LODE_SIM_UP)),
		.queue_limit_pkts = (uint16_t)l->config.queue_pkts,
		.capacity_kbps = capacity_kbps(l, ms),
		.bad_ms = l->has_radio ? (uint16_t)LODE_MAX(l->radio.bad_ms, 1.0) : 0,
		.good_ms = (uint16_t)LODE_MIN(l->radio.good_ms, 65535.0),
		.bad_loss_permille = (uint16_t)(l->radio.bad_loss * 1000),
		.random_ppm100 = (uint16_t)(l->random_loss * 10000),
		.is_bad = l->bad,
		.has_handover = l->has_handover};
	s->record_ms[s->n_records] = ms;
	s->record_port[s->n_records++] = r->path;
}

static void take_windows(struct session *s, uint32_t ms)
{
	struct lode_loss_record r;
	while (lode_ring_pop(lode_worker_rings(lode_sim_worker(s->sim, 0, 0))->loss, &r))
		if (ms >= START_MS)
			add_record(s, &r, ms);
}

static void run(struct session *s)
{
	uint32_t end_ms = START_MS + s->options->length_ms;
	atomic_store(&lode_sim_shared(s->sim, 0)->record_loss, true);
	for (uint32_t ms = 0; ms < end_ms; ms++) {
		for (unsigned p = 0; p < s->n_ports; p++)
			if (session_link_step(&s->links[p], ms))
				lode_sim_set_link(s->sim, 0, p, LODE_SIM_UP, &s->links[p].config);
		lode_sim_run(s->sim, (ms + 1) * MS);
		for (unsigned p = 0; p < s->n_ports; p++)
			count_ms(s, p, ms);
		take_windows(s, ms);
	}
}

/* ---- to the file ---- */

static uint16_t grown(uint32_t from, uint32_t to)
{
	return (uint16_t)LODE_MIN(to - from, UINT16_MAX);
}

/* Packets sent in [window + 50, window + 100) ms, by what became of them. */
static void fill_outcome(const struct session *s, size_t i)
{
	const struct count *c = s->counts[s->record_port[i]];
	const struct count *from = &c[s->record_ms[i] + 50], *to = &c[s->record_ms[i] + 100];
	struct lode_learn_truth *t = &s->records[i].truth;
	t->sent = grown(from->sent, to->sent);
	t->lost_queue = grown(from->lost[QUEUE], to->lost[QUEUE]);
	t->lost_radio = grown(from->lost[RADIO], to->lost[RADIO]);
	t->lost_handover = grown(from->lost[HANDOVER], to->lost[HANDOVER]);
	t->lost_random = grown(from->lost[RANDOM], to->lost[RANDOM]);
	t->runs = grown(from->runs, to->runs);
}

static int write_port(struct session *s, unsigned port, uint32_t series,
	struct lode_learn_writer *w, struct lode_err *err)
{
	struct lode_learn_record about = {.kind = LODE_LEARN_SERIES, .series = series};
	memcpy(about.about.name, s->names[port], sizeof(about.about.name));
	about.about.path = port;
	int rc = lode_learn_write(w, &about, err);
	for (size_t i = 0; !rc && i < s->n_records; i++) {
		if (s->record_port[i] != port ||
			s->record_ms[i] + 100 >= START_MS + s->options->length_ms)
			continue;
		s->records[i].series = series;
		fill_outcome(s, i);
		rc = lode_learn_write(w, &s->records[i], err);
	}
	return rc;
}

/* ---- one session ---- */

static int make_session(
	struct session *s, const struct real_traces *real, uint64_t seed, struct lode_err *err)
{
	uint32_t length_ms = START_MS + s->options->length_ms;
	struct lode_sim_params params = {.seed = seed,
		.n_sites = 2,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 16384,
		.n_flow_entries = 1024,
		.yaml = ""};
	int rc = 0;
	lode_rng_seed(&s->rng, seed);
	s->n_ports = lode_rng_unit(&s->rng) < 0.25 ? 2 : 1;
	params.n_wan_ports = s->n_ports;
	s->max_records = (size_t)s->n_ports * (length_ms / 10 + 16);
	s->records = calloc(s->max_records, sizeof(*s->records));
	s->record_ms = calloc(s->max_records, sizeof(*s->record_ms));
	s->record_port = calloc(s->max_records, 1);
	for (unsigned p = 0; !rc && p < s->n_ports; p++) {
		rc = session_link_init(
			&s->links[p], real, lode_mix64(seed + p), length_ms, s->names[p], err);
		params.uplink[p] = s->links[p].config;
		s->counts[p] = calloc(length_ms, sizeof(*s->counts[p]));
		if (!s->counts[p] || !s->records || !s->record_ms || !s->record_port)
			rc = lode_err_set(err, -ENOMEM, "no memory for a session");
	}
	if (rc)
		return rc;
	s->sim = lode_sim_new(&params, err);
	if (!s->sim)
		return err->code ? err->code : -ENOMEM;
	/* The way back: rarely what hurts. */
	for (unsigned p = 0; p < s->n_ports; p++) {
		const struct lode_link_config back = {.rate_bps = 50000000,
			.delay_ns = s->links[p].delay_ns,
			.loss = lode_rng_unit(&s->rng) < 0.3 ? 0.01 * lode_rng_unit(&s->rng) : 0};
		lode_sim_set_link(s->sim, 1, p, LODE_SIM_UP, &back);
	}
	return add_traffic(s, err);
}

static void free_session(struct session *s)
{
	if (s->sim) {
		lode_sim_flush(s->sim);
		lode_sim_free(s->sim);
	}
	for (unsigned p = 0; p < s->n_ports; p++) {
		session_link_fini(&s->links[p]);
		free(s->counts[p]);
	}
	free(s->records);
	free(s->record_ms);
	free(s->record_port);
}

static int record_session(const struct record_options *o, const struct real_traces *real,
	uint32_t number, struct lode_learn_writer *w, struct lode_err *err)
{
	struct session s = {.options = o};
	int rc = make_session(&s, real, lode_mix64(o->seed) + number, err);
	if (!rc) {
		run(&s);
		for (unsigned p = 0; !rc && p < s.n_ports; p++)
			rc = write_port(&s, p, number * PORTS + p, w, err);
	}
	free_session(&s);
	return rc;
}

/* ---- the command ---- */

void record_usage(FILE *f)
{
	fputs("record: samples for the trainer, from sessions over real traces; docs/simulator.md\n"
	      "  --out FILE --data FOLDER [--seed S] [--sessions N (100)] [--seconds T (40)]\n",
		f);
}

static int read_options(struct record_options *o, int argc, char **argv)
{
	static const struct option options[] = {{"out", required_argument, NULL, 'o'},
		{"data", required_argument, NULL, 'd'}, {"seed", required_argument, NULL, 's'},
		{"sessions", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 't'}, {0}};
	*o = (struct record_options){.data = getenv("LODESTONE_DATA_DIR"),
		.seed = 1,
		.sessions = 100,
		.length_ms = 40000};
	for (int key; (key = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (key) {
		case 'o':
			o->out = optarg;
			break;
		case 'd':
			o->data = optarg;
			break;
		case 's':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			o->sessions = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case 't':
			o->length_ms = (uint32_t)strtoul(optarg, NULL, 0) * 1000;
			break;
		default:
			return -EINVAL;
		}
	if (o->out && o->data && o->sessions && o->length_ms >= 1000)
		return 0;
	fputs("lodestone-sim record: --out FILE and --data FOLDER (or LODESTONE_DATA_DIR) are "
	      "needed\n",
		stderr);
	return -EINVAL;
}

int record_command(int argc, char **argv)
{
	struct record_options o;
	struct real_traces real = {0};
	struct lode_learn_writer *w = NULL;
	struct lode_err err = {0};
	if (read_options(&o, argc, argv))
		return 1;
	int rc = real_traces_load(&real, o.data, &err);
	rc = rc ? rc : lode_sim_eal_init(512, &err);
	rc = rc ? rc : lode_learn_writer_open(&w, o.out, 0, &err);
	for (uint32_t i = 0; !rc && i < o.sessions; i++) {
		rc = record_session(&o, &real, i, w, &err);
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\r%u of %u sessions", i + 1, o.sessions);
	}
	if (!rc)
		printf("%u sessions of %u s, %.1f MB in %s\n", o.sessions, o.length_ms / 1000,
			(double)lode_learn_writer_bytes(w) / 1e6, o.out);
	int closed = lode_learn_writer_close(w, rc ? NULL : &err);
	rc = rc ? rc : closed;
	real_traces_free(&real);
	if (rc)
		fprintf(stderr, "lodestone-sim record: %s\n", err.msg);
	return rc ? 1 : 0;
}
