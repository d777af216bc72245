/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define YAML_MAX (64 * 1024)

struct options {
	struct lode_sim_params sim;
	uint64_t until_ns;
	unsigned n_voip, n_tcp;
	unsigned cut_port;
	uint64_t cut_from_ns, cut_to_ns;
	bool check, json;
	char yaml[YAML_MAX];
};

static const struct option long_options[] = {
	{"seed", required_argument, NULL, 's'},
	{"seconds", required_argument, NULL, 't'},
	{"sites", required_argument, NULL, 'n'},
	{"hub", no_argument, NULL, 'H'},
	{"workers", required_argument, NULL, 'w'},
	{"wan", required_argument, NULL, 'l'},
	{"aead", required_argument, NULL, 'a'},
	{"yaml", required_argument, NULL, 'y'},
	{"voip", required_argument, NULL, 'v'},
	{"tcp", required_argument, NULL, 'c'},
	{"cut", required_argument, NULL, 'x'},
	{"check", no_argument, NULL, 'k'},
	{"json", no_argument, NULL, 'j'},
	{0},
};

void run_usage(FILE *f)
{
	fputs("run: one scenario\n"
	      "  --seed S         of everything random (1)\n"
	      "  --seconds T      virtual time (10)\n"
	      "  --sites N        2..65 (2)\n"
	      "  --hub            sites know site 0 only, and reach each other through it\n"
	      "  --workers N      per site, 1..16 (1)\n"
	      "  --wan LINK       a WAN port of every site; up to 4 times. LINK is key=value,... "
	      "as "
	      "of\n"
	      "                   lodestone-wanem (rate delay jitter loss burst queue ...), and "
	      "up=RATE for\n"
	      "                   what the configuration says; default: one of "
	      "rate=100M,delay=10ms\n"
	      "  --aead NAME      null, auto, ipsec-mb, openssl (null)\n"
	      "  --yaml FILE      more configuration for every site (classes, rules)\n"
	      "  --voip N         flows of 100 packets/s from site 0 to each other site, and back "
	      "(1)\n"
	      "  --tcp N          transfers from site 0 to each other site (1)\n"
	      "  --cut K@FROM-TO  WAN port K of site 0 is cut between these seconds\n"
	      "  --check          run twice and compare the digests\n"
	      "  -j, --json       results as JSON\n",
		f);
}

/* "key=value,...": a link, and `up`, the configured rate. */
static int read_link(struct lode_sim_params *p, char *text, struct lode_err *err)
{
	if (p->n_wan_ports == LODE_WAN_PORTS_MAX)
		return lode_err_set(err, -EINVAL, "--wan: at most %u", LODE_WAN_PORTS_MAX);
	struct lode_link_config *link = &p->uplink[p->n_wan_ports];
	uint32_t *up_kbps = &p->up_kbps[p->n_wan_ports++];
	char *rest = text, *item;
	while ((item = strsep(&rest, ",")) && *item) {
		char *value = strchr(item, '=');
		uint64_t bps;
		if (!value)
			return lode_err_set(err, -EINVAL, "--wan: '%s' is not key=value", item);
		*value++ = 0;
		int rc = 0;
		if (!strcmp(item, "up"))
			rc = lode_link_parse_rate(value, &bps);
		else
			rc = lode_link_config_set(link, item, value, err);
		if (!strcmp(item, "up") && !rc)
			*up_kbps = (uint32_t)(bps / 1000);
		if (rc)
			return lode_err_set(
				err, -EINVAL, "--wan: %s=%s: no such key or value", item, value);
	}
	return lode_link_config_check(link, err);
}

static int read_yaml(struct options *o, const char *path, struct lode_err *err)
{
	FILE *f = fopen(path, "r");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	size_t n = fread(o->yaml, 1, sizeof(o->yaml) - 1, f);
	bool whole = feof(f);
	fclose(f);
	o->yaml[n] = 0;
	return whole ? 0
		     : lode_err_set(err, -EFBIG, "%s: longer than %u bytes", path, YAML_MAX - 1);
}

static int read_cut(struct options *o, const char *text, struct lode_err *err)
{
	double from, to;
	if (sscanf(text, "%u@%lf-%lf", &o->cut_port, &from, &to) != 3 || from < 0 || to < from ||
		o->cut_port >= LODE_WAN_PORTS_MAX)
		return lode_err_set(
			err, -EINVAL, "--cut: PORT@FROM-TO in seconds, found '%s'", text);
	o->cut_from_ns = (uint64_t)(from * LODE_NS_PER_S);
	o->cut_to_ns = (uint64_t)(to * LODE_NS_PER_S);
	return 0;
}

static int read_option(struct options *o, int key, struct lode_err *err)
{
	switch (key) {
	case 's':
		o->sim.seed = strtoull(optarg, NULL, 0);
		return 0;
	case 't':
		o->until_ns = (uint64_t)(strtod(optarg, NULL) * LODE_NS_PER_S);
		return 0;
	case 'n':
		o->sim.n_sites = (unsigned)strtoul(optarg, NULL, 0);
		return 0;
	case 'H':
		o->sim.topology = LODE_SIM_HUB;
		return 0;
	case 'w':
		o->sim.n_workers = (unsigned)strtoul(optarg, NULL, 0);
		return 0;
	case 'l':
		return read_link(&o->sim, optarg, err);
	case 'a':
		o->sim.aead = optarg;
		return 0;
	case 'y':
		return read_yaml(o, optarg, err);
	case 'v':
		o->n_voip = (unsigned)strtoul(optarg, NULL, 0);
		return 0;
	case 'c':
		o->n_tcp = (unsigned)strtoul(optarg, NULL, 0);
		return 0;
	case 'x':
		return read_cut(o, optarg, err);
	case 'k':
		o->check = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	default:
		return lode_err_set(
			err, -EINVAL, "unknown option; lodestone-sim run --help lists them");
	}
}

static int read_options(struct options *o, int argc, char **argv, struct lode_err *err)
{
	char one_link[] = "rate=100M,delay=10ms";
	*o = (struct options){.until_ns = 10 * LODE_NS_PER_S, .n_voip = 1, .n_tcp = 1};
	o->sim = (struct lode_sim_params){.seed = 1,
		.n_sites = 2,
		.n_workers = 1,
		.aead = "null",
		.n_mbufs = 65536,
		.n_flow_entries = 4096,
		.yaml = o->yaml};
	for (int key; (key = getopt_long(argc, argv, "j", long_options, NULL)) != -1;)
		if (read_option(o, key, err))
			return err->code;
	if (optind < argc)
		return lode_err_set(err, -EINVAL, "unexpected argument '%s'", argv[optind]);
	return o->sim.n_wan_ports ? 0 : read_link(&o->sim, one_link, err);
}

static int add_flows(struct lode_sim *s, const struct options *o, struct lode_err *err)
{
	const struct lode_sim_flow voip = {.kind = LODE_SIM_CBR,
		.dscp = 46,
		.pkt_bytes = 200,
		.pps = 100,
		.start_ns = LODE_NS_PER_S,
		.stop_ns = o->until_ns};
	const struct lode_sim_flow tcp = {.kind = LODE_SIM_TCP,
		.pkt_bytes = 1500,
		.start_ns = LODE_NS_PER_S,
		.stop_ns = o->until_ns};
	for (unsigned site = 1; site < o->sim.n_sites; site++) {
		for (unsigned i = 0; i < 2 * o->n_voip + o->n_tcp; i++) {
			struct lode_sim_flow f = i < 2 * o->n_voip ? voip : tcp;
			bool back = i < 2 * o->n_voip && i % 2;
			f.src = back ? site : 0;
			f.dst = back ? 0 : site;
			if (lode_sim_add_flow(s, &f, err) < 0)
				return err->code;
		}
	}
	return 0;
}

static void run_with_cut(struct lode_sim *s, const struct options *o)
{
	if (o->cut_to_ns) {
		lode_sim_run(s, LODE_MIN(o->cut_from_ns, o->until_ns));
		lode_sim_cut(s, 0, o->cut_port, true);
		lode_sim_run(s, LODE_MIN(o->cut_to_ns, o->until_ns));
		lode_sim_cut(s, 0, o->cut_port, false);
	}
	lode_sim_run(s, o->until_ns + LODE_NS_PER_S);
}

static void report_flow(struct lode_json *j, const struct lode_sim_flow_stats *st, double seconds)
{
	lode_json_object(j, NULL);
	lode_json_u64(j, "sent", st->sent_pkts);
	lode_json_u64(j, "received", st->received_pkts);
	lode_json_u64(j, "duplicates", st->duplicate_pkts);
	lode_json_u64(j, "reordered", st->reordered_pkts);
	lode_json_u64(j, "altered", st->altered_pkts);
	if (st->latency_us.n) {
		lode_json_double(j, "longest_gap_ms", (double)st->longest_gap_ns / 1e6);
		lode_json_u64(j, "latency_p50_us", lode_hist_quantile(&st->latency_us, 0.5));
		lode_json_u64(j, "latency_p99_us", lode_hist_quantile(&st->latency_us, 0.99));
	} else {
		lode_json_double(j, "mbps", (double)st->delivered_bytes * 8 / 1e6 / seconds);
		lode_json_u64(j, "mss", st->mss_bytes);
		lode_json_u64(j, "retransmitted", st->retransmitted_pkts);
		lode_json_u64(j, "timeouts", st->n_timeouts);
	}
	lode_json_close_object(j);
}

static void report(const struct lode_sim *s, const struct options *o, unsigned n_flows)
{
	static char text[1 << 20];
	struct lode_json j;
	char digest[20];
	snprintf(digest, sizeof(digest), "%016llx", (unsigned long long)lode_sim_digest(s));
	lode_json_begin(&j, text, sizeof(text));
	lode_json_object(&j, NULL);
	lode_json_u64(&j, "seed", o->sim.seed);
	lode_json_string(&j, "digest", digest);
	lode_json_u64(&j, "lan_packets", lode_sim_stats(s)->lan_pkts);
	lode_json_u64(&j, "wan_packets", lode_sim_stats(s)->wan_pkts);
	lode_json_u64(&j, "misdelivered", lode_sim_stats(s)->misdelivered_pkts);
	lode_json_array(&j, "flows");
	for (unsigned i = 0; i < n_flows; i++)
		report_flow(&j, lode_sim_flow_stats(s, i),
			(double)(o->until_ns - LODE_NS_PER_S) / LODE_NS_PER_S);
	lode_json_close_array(&j);
	lode_json_close_object(&j);
	if (lode_json_end(&j) > 0)
		puts(text);
}

/* The same as text, a line per figure. */
static void report_text(const struct lode_sim *s, const struct options *o, unsigned n_flows)
{
	const struct lode_sim_stats *st = lode_sim_stats(s);
	printf("seed %llu  digest %016llx  LAN %llu  WAN %llu packets  misdelivered %llu\n",
		(unsigned long long)o->sim.seed, (unsigned long long)lode_sim_digest(s),
		(unsigned long long)st->lan_pkts, (unsigned long long)st->wan_pkts,
		(unsigned long long)st->misdelivered_pkts);
	double seconds = (double)(o->until_ns - LODE_NS_PER_S) / LODE_NS_PER_S;
	for (unsigned i = 0; i < n_flows; i++) {
		const struct lode_sim_flow_stats *f = lode_sim_flow_stats(s, i);
		printf("flow %-3u sent %-8llu received %-8llu altered %llu reordered %llu  ", i,
			(unsigned long long)f->sent_pkts, (unsigned long long)f->received_pkts,
			(unsigned long long)f->altered_pkts, (unsigned long long)f->reordered_pkts);
		if (f->mss_bytes)
			printf("%.2f Mbit/s, %llu resent\n",
				(double)f->delivered_bytes * 8 / 1e6 / seconds,
				(unsigned long long)f->retransmitted_pkts);
		else
			printf("latency p50 %.1f p99 %.1f ms, longest gap %.1f ms\n",
				(double)lode_hist_quantile(&f->latency_us, 0.5) / 1e3,
				(double)lode_hist_quantile(&f->latency_us, 0.99) / 1e3,
				(double)f->longest_gap_ns / 1e6);
	}
}

static int run_once(const struct options *o, bool quiet, uint64_t *digest, struct lode_err *err)
{
	struct lode_sim *s = lode_sim_new(&o->sim, err);
	if (!s)
		return err->code ? err->code : -ENOMEM;
	int rc = add_flows(s, o, err);
	if (!rc) {
		unsigned n_flows = (o->sim.n_sites - 1) * (2 * o->n_voip + o->n_tcp);
		run_with_cut(s, o);
		*digest = lode_sim_digest(s);
		if (!quiet && o->json)
			report(s, o, n_flows);
		else if (!quiet)
			report_text(s, o, n_flows);
		lode_sim_flush(s);
		if (lode_sim_mbufs_in_use(s))
			rc = lode_err_set(err, -EBUSY, "%u packet buffers were not given back",
				lode_sim_mbufs_in_use(s));
	}
	lode_sim_free(s);
	return rc;
}

int run_command(int argc, char **argv)
{
	static struct options o;
	struct lode_err err = {0};
	uint64_t digest = 0, again = 0;
	int rc = read_options(&o, argc, argv, &err);
	rc = rc ? rc : lode_sim_eal_init(256 + 4 * o.sim.n_sites * o.sim.n_workers * 5, &err);
	rc = rc ? rc : run_once(&o, false, &digest, &err);
	if (!rc && o.check) {
		rc = run_once(&o, true, &again, &err);
		if (!rc && digest != again)
			rc = lode_err_set(&err, -EIO, "a second run gave digest %016llx",
				(unsigned long long)again);
	}
	if (rc)
		fprintf(stderr, "lodestone-sim: %s\n", err.msg);
	return rc ? 1 : 0;
}
