/* SPDX-License-Identifier: BSD-3-Clause */
/* What every program answers before it reads any other argument: --help or -h, alone or after the name of a
 * command, and --version. */
#pragma once

#include <stdio.h>
#include <string.h>

enum asked { ASKED_NOTHING, ASKED_HELP, ASKED_VERSION };

/* Of the argument at that place. */
static inline enum asked asked_for(int argc, char **argv, int place)
{
	if (place >= argc)
		return ASKED_NOTHING;
	if (!strcmp(argv[place], "--help") || !strcmp(argv[place], "-h"))
		return ASKED_HELP;
	return strcmp(argv[place], "--version") ? ASKED_NOTHING : ASKED_VERSION;
}

/* Answers if the first argument asks. */
static inline int answer_asked(int argc, char **argv, const char *name, const char *usage)
{
	enum asked asked = asked_for(argc, argv, 1);
	if (asked == ASKED_HELP)
		fputs(usage, stdout);
	if (asked == ASKED_VERSION)
		printf("%s %s\n", name, LODE_VERSION);
	return asked != ASKED_NOTHING;
}
