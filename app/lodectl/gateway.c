/* SPDX-License-Identifier: BSD-3-Clause */
/* What the running gateway says of itself: whatever it counts is shown, without a list kept here. */
#include "lodectl.h"

#include <unistd.h>

static int show(struct lodectl *ctl, const char *command, int argc, char **argv)
{
	if (argc > 1)
		return complain(EXIT_OTHER, "'%s' takes at most one argument", command);
	return print_answer(ctl, ask_gateway(ctl, command, argc ? argv[0] : NULL));
}

#define SHOW(name)                                                         \
	static int show_##name(struct lodectl *ctl, int argc, char **argv) \
	{                                                                  \
		return show(ctl, #name, argc, argv);                       \
	}
SHOW(version)
SHOW(status)
SHOW(ports)
SHOW(workers)
SHOW(peers)
SHOW(paths)
SHOW(lanes)
SHOW(flows)
SHOW(classes)
SHOW(fec)
SHOW(stages)
SHOW(drops)
SHOW(talkers)
SHOW(log)
SHOW(apps)
SHOW(models)
SHOW(selector)
SHOW(decisions)

/* Paths, then how good the predictors were. */
static int show_loss(struct lodectl *ctl, int argc, char **argv)
{
	int rc = show(ctl, "loss", argc, argv);
	if (rc == EXIT_OK && !ctl->json)
		putchar('\n');
	return rc == EXIT_OK ? show(ctl, "loss_score", 0, NULL) : rc;
}

static int record_loss(struct lodectl *ctl, int argc, char **argv)
{
	return show(ctl, "loss/record", argc, argv);
}

/* How long loops take, then the newest long ones. */
static int worker_loops(struct lodectl *ctl, int argc, char **argv)
{
	int rc = show(ctl, "loops", argc, argv);
	if (rc == EXIT_OK && !ctl->json)
		putchar('\n');
	return rc == EXIT_OK ? show(ctl, "long_loops", argc, argv) : rc;
}

/* The gateway counts while somebody asks, a second at a time. */
static int flow_top(struct lodectl *ctl, int argc, char **argv)
{
	json_decref(ask_gateway(ctl, "talkers", NULL));
	usleep(1200000);
	return show_talkers(ctl, argc, argv);
}

/* Redraws until interrupted. */
static int watch_paths(struct lodectl *ctl, int argc, char **argv)
{
	int rc = EXIT_OK;
	while (rc == EXIT_OK) {
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		rc = show(ctl, "paths", argc, argv);
		fflush(stdout);
		usleep(500000);
	}
	return rc;
}

static int explain_path(struct lodectl *ctl, int argc, char **argv)
{
	char params[100];
	if (argc < 1 || argc > 2)
		return complain(EXIT_OTHER, "usage: lodectl path explain CLASS [PEER]");
	snprintf(params, sizeof(params), "%s%s%s", argv[0], argc > 1 ? " " : "",
		argc > 1 ? argv[1] : "");
	char *one = params;
	return show(ctl, "explain", 1, &one);
}

static int log_level(struct lodectl *ctl, int argc, char **argv)
{
	char params[100];
	if (argc < 1 || argc > 2)
		return complain(EXIT_OTHER,
			"usage: lodectl log level [MODULE] error|warn|info|debug|default");
	snprintf(params, sizeof(params), "%s%s%s", argv[0], argc > 1 ? " " : "",
		argc > 1 ? argv[1] : "");
	char *one = params;
	return show(ctl, "log/level", 1, &one);
}

const struct command gateway_commands[] = {
	{"status", "", "", "the gateway on one screen", show_status},
	{"version", "", "", "versions of gateway and DPDK", show_version},
	{"port", "show", "", "ports: link, addresses, counters", show_ports},
	{"worker", "show", "[WORKER]", "workers: load, bursts, pools", show_workers},
	{"peer", "show", "[PEER]", "peers: sessions and handshakes", show_peers},
	{"path", "show", "[PEER]", "paths: state, RTT, loss, rates", show_paths},
	{"path", "watch", "[PEER]", "the same, redrawn twice a second", watch_paths},
	{"path", "explain", "CLASS [PEER]", "why the class uses its path, and what moved it",
		explain_path},
	{"selector", "show", "[PEER]", "what the selectors learned; budgets", show_selector},
	{"selector", "log", "[PEER]", "the last path choices and their reasons", show_decisions},
	{"lane", "show", "[PEER]", "lanes: worker, use, rate granted by the home lane", show_lanes},
	{"worker", "loops", "[WORKER]", "how long loops take; the newest long ones", worker_loops},
	{"flow", "top", "", "heaviest conversations of a second", flow_top},
	{"flow", "show", "[WORKER]", "flow tables", show_flows},
	{"class", "show", "[PEER]", "classes: queues, drops, path choice", show_classes},
	{"fec", "show", "[PEER]", "losses made good: means, redundancy, counts", show_fec},
	{"stage", "show", "[WORKER]", "packets and cycles of each stage", show_stages},
	{"drop", "show", "", "dropped packets: reason, rate, examples", show_drops},
	{"loss", "show", "[PEER]", "loss now and foreseen; scores of the predictors", show_loss},
	{"loss", "record", "on|off", "keep samples for the trainer", record_loss},
	{"app", "show", "", "applications recognised, their classes and flows", show_apps},
	{"model", "show", "", "models the gateway runs, by role", show_models},
	{"log", "show", "", "levels by module, lines left out", show_log},
	{"log", "level", "[MODULE] LEVEL", "until LEVEL is default; survives config apply",
		log_level},
	COMMANDS_END,
};
