/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-sim: whole gateways in virtual time. */
#include "../asked.h"
#include "lode_base.h"
#include "record.h"
#include "run.h"
#include "swarm.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	void (*usage)(FILE *f);
} commands[] = {{"run", run_command, run_usage}, {"swarm", swarm_command, swarm_usage},
	{"record", record_command, record_usage}};

static void usage(FILE *f)
{
	fputs("usage: lodestone-sim run|swarm|record [option...], or --version\n", f);
	for (unsigned i = 0; i < LODE_ARRAY_LEN(commands); i++)
		commands[i].usage(f);
}

int main(int argc, char **argv)
{
	for (unsigned i = 0; argc > 1 && i < LODE_ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		if (asked_for(argc, argv, 2) != ASKED_HELP)
			return commands[i].run(argc - 1, argv + 1);
		commands[i].usage(stdout);
		return 0;
	}
	enum asked asked = asked_for(argc, argv, 1);
	if (asked == ASKED_VERSION)
		puts("lodestone-sim " LODE_VERSION);
	else
		usage(asked == ASKED_HELP ? stdout : stderr);
	return asked == ASKED_NOTHING;
}
