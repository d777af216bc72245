/* SPDX-License-Identifier: BSD-3-Clause */
/* lodectl: OBJECT VERB. A command is a row in the table of its file; main.c lists the tables. */
#pragma once

#include "lode_base.h"

#include <jansson.h>
#include <stdio.h>

enum exit_code { EXIT_OK, EXIT_OTHER, EXIT_CONFIG, EXIT_ENVIRONMENT, EXIT_DEVICE };

struct lodectl {
	const char *socket;   /* of the gateway */
	const char *manager;  /* its socket, or URL */
	const char *identity; /* folder with identity.pem and ca.pem; NULL: none */
	bool json;	      /* -j: print JSON */
};

struct command {
	const char *object, *verb;
	const char *args;					/* as in the usage line */
	const char *help;					/* one line */
	int (*run)(struct lodectl *ctl, int argc, char **argv); /* argv: what follows the verb */
};
#define COMMANDS_END                         \
	{                                    \
		NULL, NULL, NULL, NULL, NULL \
	}

extern const struct command fleet_commands[], campaign_commands[], version_commands[],
	manager_commands[];
extern const struct command config_commands[], delta_commands[], key_commands[], gateway_commands[],
	doctor_commands[], model_commands[], release_commands[], seal_commands[], top_commands[],
	trace_commands[];

/* Text from elsewhere goes to a terminal: control characters become '?', in place. */
void clean_text(char *text);
/* Prints text of the gateway without them. */
void print_clean(const char *text);
/* Prints "lodectl: message" and returns code. */
int complain(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Asks the gateway; NULL after having complained. The caller drops the reference. */
json_t *ask_gateway(struct lodectl *ctl, const char *command, const char *params);
/* The same with a body of our own (taken over) and a descriptor, which stays the caller's; -1: none. */
json_t *ask_gateway_fd(struct lodectl *ctl, json_t *request, int fd);
int print_json(const json_t *value);
/* An object as JSON, or for people: rows of objects become a table, anything else keys and values. Drops it.
 * EXIT_OTHER for NULL: somebody has complained. */
int print_answer(struct lodectl *ctl, json_t *v);

/* "what #####..... 42 %  done of total unit" on a terminal until the end; nothing elsewhere. */
void progress_bar(const char *what, uint64_t done, uint64_t total, const char *unit);
void progress_end(void);

/* A table for people: columns are padded to their widest cell. heads may be NULL: no heading. */
struct table {
	char **cell;
	size_t n_cells, room, n_columns;
};
void table_begin(struct table *t, size_t n_columns, const char *const *heads);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON value as cell; "-": none, or empty. */
void table_value(struct table *t, const json_t *v);
/* Prints and frees. */
void table_end(struct table *t, FILE *to);
