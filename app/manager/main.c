/* SPDX-License-Identifier: BSD-3-Clause */
#include "manager.h"

#include <stdio.h>
#include <time.h>

volatile sig_atomic_t stopping;

int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * LODE_NS_PER_S + (uint64_t)t.tv_nsec;
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
	} commands[] = {{"serve", cmd_serve}, {"agent", cmd_agent},
		{"enroll", cmd_enroll}};
	struct sigaction act = {.sa_handler = on_signal};
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < LODE_ARRAY_LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("lodestone-manager " LODE_VERSION);
		return EXIT_OK;
	}
	fputs("usage: lodestone-manager serve|agent|enroll [OPTIONS], or --version\n", stderr);
	return EXIT_CONFIGURATION;
}
