/* SPDX-License-Identifier: BSD-3-Clause */
#include "../asked.h"
#include "wanem.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage_text[] =
	"lodestone-wanem: emulates WAN links between pairs of network interfaces\n"
	"\n"
	"  lodestone-wanem [--ctl SOCKET] [--seed N] [--spin TIME] [--no-realtime]\n"
	"                  link name=NAME a=INTERFACE b=INTERFACE [SETTING...] [link ...]\n"
	"  lodestone-wanem ctl SOCKET set NAME SETTING... | stats | quit\n"
	"  lodestone-wanem --version\n"
	"  lodestone-wanem trace [--seed N] --mean RATE [--length TIME] [--spread X]\n"
	"                  [--gap-every TIME --gap TIME]       (writes a trace to stdout)\n"
	"\n"
	"A setting is KEY=VALUE for both directions, up.KEY=VALUE for a->b, down.KEY=VALUE for "
	"b->a,\n"
	"or the word down (cut) or up:\n"
	"  rate=50M            bit/s of IP packets; 0 or absent: unlimited\n"
	"  trace=FILE          capacity in mahimahi format instead of rate\n"
	"  delay=10ms          propagation\n"
	"  jitter=1ms          the delay wanders within +-jitter, in order\n"
	"  loss=0.1%           burst=8: Gilbert-Elliott, mean burst in packets; burst_loss=100%\n"
	"  reorder=1%          held back by reorder_by=5ms\n"
	"  duplicate=1% corrupt=1%\n"
	"  queue=1000          packets; queue_bytes=64k; aqm=droptail|codel;\n"
	"                      codel_target=5ms codel_interval=100ms\n"
	"  outage_every=10s outage_for=500ms     packets wait meanwhile\n"
	"  mtu=1400            larger packets vanish\n"
	"\n"
	"Both interfaces must be up, without addresses, in this network namespace. GSO trains and "
	"unfinished\n"
	"checksums pass unharmed; a train leaves in one piece, so for packet-accurate timing turn "
	"the\n"
	"senders' offloads off: ethtool -K IF tso off gso off.\n"
	"--spin TIME: do not sleep in the last TIME before a packet is due (a core to itself: "
	"100us).\n"
	"--no-realtime: without SCHED_FIFO, which keeps it punctual on shared cores.\n";

static int fail(const struct lode_err *err)
{
	fprintf(stderr, "lodestone-wanem: %s\n", err->msg);
	return err->code == -EINVAL ? 2 : 1;
}

static int usage(void)
{
	fputs(usage_text, stderr);
	return 2;
}

/* The value behind option argv[*i], if it is that option; NULL otherwise. */
static const char *option(int argc, char **argv, int *i, const char *name)
{
	if (strcmp(argv[*i], name) || *i + 1 >= argc)
		return NULL;
	return argv[++*i];
}

static int trace_command(int argc, char **argv)
{
	struct lode_link_trace_spec spec = {.seed = 1, .spread = 0.4, .length_ms = 60000};
	uint64_t ns;
	for (int i = 0; i < argc; i++) {
		const char *v;
		int rc = 0;
		if ((v = option(argc, argv, &i, "--seed")))
			spec.seed = strtoull(v, NULL, 0);
		else if ((v = option(argc, argv, &i, "--mean")))
			rc = lode_link_parse_rate(v, &spec.mean_bps);
		else if ((v = option(argc, argv, &i, "--spread")))
			spec.spread = strtod(v, NULL);
		else if ((v = option(argc, argv, &i, "--length")) &&
			 !(rc = lode_link_parse_time(v, &ns)))
			spec.length_ms = (uint32_t)LODE_MIN(ns / LODE_NS_PER_MS, UINT32_MAX);
		else if ((v = option(argc, argv, &i, "--gap-every")) &&
			 !(rc = lode_link_parse_time(v, &ns)))
			spec.gap_every_ms = (uint32_t)LODE_MIN(ns / LODE_NS_PER_MS, UINT32_MAX);
		else if ((v = option(argc, argv, &i, "--gap")) &&
			 !(rc = lode_link_parse_time(v, &ns)))
			spec.gap_ms = (uint32_t)LODE_MIN(ns / LODE_NS_PER_MS, UINT32_MAX);
		else if (!v)
			return usage();
		if (rc) {
			fprintf(stderr, "lodestone-wanem: %s: '%s' is no value for it\n",
				argv[i - 1], v);
			return 2;
		}
	}
	struct lode_link_trace *t;
	struct lode_err err;
	if (lode_link_trace_make(&spec, &t, &err))
		return fail(&err);
	for (uint32_t i = 0; i < t->n; i++)
		printf("%u\n", t->ms[i]);
	free(t);
	return ferror(stdout) ? 1 : 0;
}

static int check_pair(struct wanem *w, struct pair *p, struct lode_err *err)
{
	if (!*p->name || !*p->side[0].name || !*p->side[1].name)
		return lode_err_set(
			err, -EINVAL, "link %u: name=, a= and b= are needed", w->n_pairs);
	if (pair_find(w, p->name) != p)
		return lode_err_set(err, -EINVAL, "link %s: named twice", p->name);
	for (int d = 0; d < N_DIRECTIONS; d++)
		if (lode_link_config_check(&p->dir[d].config, err))
			return lode_err_prefix(err, "link %s", p->name);
	return 0;
}

/* link SETTING... [link SETTING...] */
static int parse_links(struct wanem *w, int argc, char **argv, struct lode_err *err)
{
	struct pair *p = NULL;
	for (int i = 0; i < argc; i++) {
		int rc = 0;
		if (!strcmp(argv[i], "link")) {
			if (w->n_pairs == LINKS_MAX)
				return lode_err_set(
					err, -EINVAL, "at most %d links allowed", LINKS_MAX);
			if (p && (rc = check_pair(w, p, err)))
				return rc;
			p = &w->pairs[w->n_pairs++];
		} else if (pair_set(p, argv[i], err)) {
			return lode_err_prefix(err, "link %s", *p->name ? p->name : "?");
		}
	}
	return check_pair(w, p, err);
}

static int run_command(int argc, char **argv)
{
	static struct wanem w = {.seed = 1, .realtime = true};
	struct lode_err err;
	int i = 0;
	for (; i < argc && strcmp(argv[i], "link"); i++) {
		const char *v;
		if ((v = option(argc, argv, &i, "--ctl"))) {
			w.ctl_path = v;
		} else if ((v = option(argc, argv, &i, "--seed"))) {
			w.seed = strtoull(v, NULL, 0);
		} else if ((v = option(argc, argv, &i, "--spin"))) {
			if (lode_link_parse_time(v, &w.spin_ns))
				return usage();
		} else if (!strcmp(argv[i], "--no-realtime")) {
			w.realtime = false;
		} else {
			return usage();
		}
	}
	if (i == argc)
		return usage();
	if (parse_links(&w, argc - i, argv + i, &err) || wanem_run(&w, &err))
		return fail(&err);
	return 0;
}

int main(int argc, char **argv)
{
	if (answer_asked(argc, argv, "lodestone-wanem", usage_text))
		return 0;
	if (argc >= 4 && !strcmp(argv[1], "ctl"))
		return ctl_client(argv[2], argc - 3, argv + 3);
	if (argc >= 2 && !strcmp(argv[1], "trace"))
		return trace_command(argc - 2, argv + 2);
	return run_command(argc - 1, argv + 1);
}
