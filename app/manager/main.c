/* SPDX-License-Identifier: BSD-3-Clause */
#include "../asked.h"
#include "manager.h"

#include "lode_clock.h"

#include <stdio.h>

volatile sig_atomic_t stopping;

static const char usage[] =
	"usage: lodestone-manager serve|agent|enroll [OPTIONS], or --version\n"
	"serve: the server of a fleet; agent: keeps this appliance's model at what its manager "
	"says;\n"
	"enroll: makes this appliance known to a manager. Each has --help.\n";

int64_t now_ms(void)
{
	return (int64_t)(lode_clock_wall_ns() / LODE_NS_PER_MS);
}

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
		int (*usage)(FILE *to);
	} commands[] = {{"serve", cmd_serve, serve_usage}, {"agent", cmd_agent, agent_usage},
		{"enroll", cmd_enroll, enroll_usage}};
	struct sigaction act = {.sa_handler = on_signal};
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < LODE_ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return asked_for(argc, argv, 2) == ASKED_HELP
				       ? commands[i].usage(stdout)
				       : commands[i].run(argc - 1, argv + 1);
	if (answer_asked(argc, argv, "lodestone-manager", usage))
		return EXIT_OK;
	fputs(usage, stderr);
	return EXIT_CONFIGURATION;
}
