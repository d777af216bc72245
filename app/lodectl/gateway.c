/* SPDX-License-Identifier: BSD-3-Clause */
/* What the running gateway says of itself. An object of objects becomes a table with a row each, any other
 * object a list of keys and values: whatever the gateway counts is shown, without a list kept here. */
#include "lodectl.h"

#include <stdlib.h>
#include <unistd.h>

#define COLUMNS_MAX 32

static void value_text(const json_t *v, char *text, size_t size)
{
	if (json_is_string(v))
		snprintf(text, size, "%s", json_string_value(v));
	else if (json_is_integer(v))
		snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (v) {
		char *dump = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
		snprintf(text, size, "%s", dump ? dump : "?");
		free(dump);
	} else
		snprintf(text, size, "-");
}

static bool is_table(json_t *value)
{
	const char *key;
	json_t *row;
	json_object_foreach(value, key, row) if (!json_is_object(row)) return false;
	return json_object_size(value) > 0;
}

static size_t collect_columns(json_t *value, const char **column)
{
	const char *row_key, *key;
	json_t *row, *cell;
	size_t n = 1;
	column[0] = "";
	json_object_foreach(value, row_key, row) json_object_foreach(row, key, cell)
	{
		size_t i = 1;
		while (i < n && strcmp(column[i], key))
			i++;
		if (i == n && n < COLUMNS_MAX && !json_is_object(cell))
			column[n++] = key;
	}
	return n;
}

static void print_table(json_t *value)
{
	const char *column[COLUMNS_MAX], *row_key;
	char text[256];
	json_t *row;
	struct table t;
	size_t n = collect_columns(value, column);
	table_begin(&t, n, column);
	json_object_foreach(value, row_key, row)
	{
		table_cell(&t, "%s", row_key);
		for (size_t i = 1; i < n; i++) {
			value_text(json_object_get(row, column[i]), text, sizeof(text));
			table_cell(&t, "%s", text);
		}
	}
	table_end(&t, stdout);
}

static void print_pairs(json_t *value)
{
	const char *key;
	char text[512];
	json_t *v;
	struct table t;
	table_begin(&t, 2, NULL);
	json_object_foreach(value, key, v)
	{
		if (json_is_object(v) && json_object_size(v))
			continue;
		value_text(v, text, sizeof(text));
		table_cell(&t, "%s", key);
		table_cell(&t, "%s", text);
	}
	table_end(&t, stdout);
	json_object_foreach(value, key, v) if (json_is_object(v) && json_object_size(v))
	{
		printf("\n%s\n", key);
		if (is_table(v))
			print_table(v);
		else
			print_pairs(v);
	}
}

static void print_value(struct lodectl *ctl, json_t *value)
{
	if (ctl->json || !json_is_object(value))
		print_json(value);
	else if (is_table(value))
		print_table(value);
	else
		print_pairs(value);
}

static int show(struct lodectl *ctl, const char *command, int argc, char **argv)
{
	if (argc > 1)
		return complain(EXIT_OTHER, "'%s' takes at most one argument", command);
	json_t *value = ask_gateway(ctl, command, argc ? argv[0] : NULL);
	if (!value)
		return EXIT_OTHER;
	print_value(ctl, value);
	json_decref(value);
	return EXIT_OK;
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
