/* SPDX-License-Identifier: BSD-3-Clause */
#include "../asked.h"
#include "lodectl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_SOCKET	"/run/lodestone/control.sock"
#define DEFAULT_MANAGER "/run/lodestone-manager/manager.sock"

static const struct command *const tables[] = {
	gateway_commands,
	top_commands,
	trace_commands,
	config_commands,
	key_commands,
	delta_commands,
	model_commands,
	release_commands,
	version_commands,
	fleet_commands,
	campaign_commands,
	manager_commands,
	seal_commands,
	doctor_commands,
};

int complain(int code, const char *fmt, ...)
{
	va_list args;
	char *text;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		abort();
	va_end(args);
	clean_text(text);
	fprintf(stderr, "lodectl: %s\n", text);
	free(text);
	return code;
}

typedef void visit_fn(const struct command *c, void *arg);

static void each_command(visit_fn *fn, void *arg)
{
	for (size_t t = 0; t < LODE_ARRAY_LEN(tables); t++)
		for (const struct command *c = tables[t]; c->object; c++)
			fn(c, arg);
}

static void print_usage_row(const struct command *c, void *arg)
{
	char call[80];
	snprintf(call, sizeof(call), "%s %s %s", c->object, c->verb, c->args);
	fprintf(arg, "  %-38s %s\n", call, c->help);
}

static int usage(FILE *to, int code)
{
	fputs("usage: lodectl [-j] [-s SOCKET] [-m MANAGER] [-i DIR] OBJECT VERB [ARGUMENTS]\n"
	      "       lodectl help | --version\n"
	      "  -j         JSON instead of tables\n"
	      "  -s SOCKET  the gateway's control socket (default $LODESTONE_SOCKET "
	      "or " DEFAULT_SOCKET ")\n"
	      "  -m MANAGER the manager's socket or URL (default $LODESTONE_MANAGER "
	      "or " DEFAULT_MANAGER ")\n"
	      "  -i DIR     who we are to it: identity.pem and ca.pem (default "
	      "$LODESTONE_IDENTITY)\n\n",
		to);
	each_command(print_usage_row, to);
	fputs("\nexit codes: 0 ok, 1 other, 2 configuration, 3 environment, 4 device\n", to);
	return code;
}

static void print_words(const struct command *c, void *arg)
{
	const char *object = arg;
	if (!object)
		printf("%s\n", c->object);
	else if (!strcmp(object, c->object) && *c->verb)
		printf("%s\n", c->verb);
}

/* bash: `source <(lodectl complete)`. The words come from the tables, so they are never stale. */
static int complete(int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], "--words")) {
		each_command(print_words, argc > 1 ? argv[1] : NULL);
		return EXIT_OK;
	}
	puts("_lodectl() {\n"
	     "  local word=${COMP_WORDS[COMP_CWORD]}\n"
	     "  case $COMP_CWORD in\n"
	     "  1) COMPREPLY=($(compgen -W \"$(lodectl complete --words | sort -u)\" -- "
	     "\"$word\"));;\n"
	     "  2) COMPREPLY=($(compgen -W \"$(lodectl complete --words \"${COMP_WORDS[1]}\")\" -- "
	     "\"$word\"));;\n"
	     "  *) COMPREPLY=($(compgen -f -- \"$word\"));;\n"
	     "  esac\n"
	     "}\n"
	     "complete -F _lodectl lodectl");
	return EXIT_OK;
}

static void print_manual_row(const struct command *c, void *arg)
{
	printf(".TP\n.B %s %s\n.I %s\n.br\n%s.\n", c->object, c->verb, c->args, c->help);
}

/* The man page, from the same tables: `lodectl manual > lodectl.1`. */
static int manual(void)
{
	puts(".TH LODECTL 1\n.SH NAME\nlodectl \\- command of the Lodestone operator\n"
	     ".SH SYNOPSIS\n.B lodectl\n[\\-j] [\\-s SOCKET] [\\-m MANAGER] [\\-i DIR] OBJECT VERB "
	     "[ARGUMENTS]\n"
	     ".SH OPTIONS\n.TP\n.B \\-j\nJSON instead of tables.\n.TP\n.B \\-s SOCKET\n"
	     "The gateway's control socket; default $LODESTONE_SOCKET or " DEFAULT_SOCKET ".\n"
	     ".TP\n.B \\-m MANAGER\n"
	     "The manager's socket or URL; default $LODESTONE_MANAGER or " DEFAULT_MANAGER ".\n"
	     ".TP\n.B \\-i DIR\nFolder of identity.pem and ca.pem; default $LODESTONE_IDENTITY.\n"
	     ".SH COMMANDS");
	each_command(print_manual_row, NULL);
	puts(".SH EXIT STATUS\n0 ok, 1 other, 2 configuration, 3 environment, 4 device.\n"
	     ".SH SEE ALSO\n/usr/share/doc/lodestone/operations.md");
	return EXIT_OK;
}

struct search {
	const char *object, *verb;
	const struct command *found;
	bool object_known, verb_given;
};

static void match(const struct command *c, void *arg)
{
	struct search *s = arg;
	if (strcmp(c->object, s->object))
		return;
	s->object_known = true;
	if (!*c->verb || (s->verb && !strcmp(c->verb, s->verb))) {
		s->found = c;
		s->verb_given = *c->verb;
	}
}

static int dispatch(struct lodectl *ctl, int argc, char **argv)
{
	struct search s = {argv[0], argc > 1 ? argv[1] : NULL, NULL, false, false};
	if (!strcmp(argv[0], "help"))
		return usage(stdout, EXIT_OK);
	if (!strcmp(argv[0], "complete"))
		return complete(argc - 1, argv + 1);
	if (!strcmp(argv[0], "manual"))
		return manual();
	each_command(match, &s);
	if (!s.object_known)
		return complain(
			EXIT_OTHER, "unknown object '%s'; 'lodectl help' lists them", argv[0]);
	if (!s.found)
		return complain(EXIT_OTHER, "'%s' has no verb '%s'; 'lodectl help' lists them",
			argv[0], s.verb ? s.verb : "");
	int skip = 1 + s.verb_given;
	return s.found->run(ctl, argc - skip, argv + skip);
}

int main(int argc, char **argv)
{
	const char *socket = getenv("LODESTONE_SOCKET");
	const char *manager = getenv("LODESTONE_MANAGER");
	struct lodectl ctl = {.socket = socket ? socket : DEFAULT_SOCKET,
		.manager = manager ? manager : DEFAULT_MANAGER,
		.identity = getenv("LODESTONE_IDENTITY")};
	int option;
	switch (asked_for(argc, argv, 1)) {
	case ASKED_HELP:
		return usage(stdout, EXIT_OK);
	case ASKED_VERSION:
		puts("lodectl " LODE_VERSION);
		return EXIT_OK;
	case ASKED_NOTHING:
		break;
	}
	while ((option = getopt(argc, argv, "+js:m:i:")) != -1) {
		if (option == 'j')
			ctl.json = true;
		else if (option == 's')
			ctl.socket = optarg;
		else if (option == 'm')
			ctl.manager = optarg;
		else if (option == 'i')
			ctl.identity = optarg;
		else
			return usage(stderr, EXIT_OTHER);
	}
	if (optind == argc)
		return usage(stderr, EXIT_OTHER);
	/* -j after the command is as good as before it. */
	if (argc > optind + 1 && !strcmp(argv[argc - 1], "-j")) {
		ctl.json = true;
		argc--;
	}
	return dispatch(&ctl, argc - optind, argv + optind);
}
