/* SPDX-License-Identifier: BSD-3-Clause */
/* The manager's API from the operator's side: over its UNIX socket, or by https with a certificate. */
#pragma once

#include "lodectl.h"

struct manager; /* a connection */

/* NULL after having complained. */
struct manager *manager_open(struct lodectl *ctl);
void manager_close(struct manager *m);

/* One call below /api/v2. body: taken over; NULL: none. The answer's object, or NULL after having complained; the
 * caller drops it. */
json_t *manager_call(struct manager *m, const char *method, const char *path, json_t *body);
/* The same over a connection of its own. */
json_t *manager_once(struct lodectl *ctl, const char *method, const char *path, json_t *body);
/* All pages of a list as one array. */
json_t *manager_list(struct manager *m, const char *path);

struct upload {
	const char *path; /* below /api/v2 */
	int fd;		  /* read from its current place */
	uint64_t offset_bytes, total_bytes;
};
/* Sends the rest of a file. NULL when the line was cut or it was refused, *status says which (0: cut); nothing was
 * complained about. */
json_t *manager_send(struct manager *m, const struct upload *up, long *status);

/* ---- manager_verbs.c ---- */

#define MANAGER_PATH_MAX 600
/* Puts a name in place of each '*' of the pattern. False after having complained that one is missing or is
 * no name. */
bool manager_path(
	char path[MANAGER_PATH_MAX], const char *pattern, int argc, char **argv, int n_needed);
/* GETs a path of names and prints the answer. */
int manager_show(struct lodectl *ctl, const char *pattern, int argc, char **argv);

/* One call and its answer printed: as JSON, or with the sentence. An exit code. */
int manager_do(struct lodectl *ctl, const char *method, const char *path, json_t *body,
	const char *sentence, ...) __attribute__((format(printf, 5, 6)));
/* Object with KEY=VALUE arguments; numbers and truths as such. NULL after having complained. */
json_t *manager_options(int argc, char **argv);

/* A list as a table: what to call its columns and which members they show. */
struct column {
	const char *head, *member;
};
int manager_table(struct lodectl *ctl, const char *path, const struct column *columns, size_t n);

/* manager_nginx.c */
int manager_nginx(struct lodectl *ctl, int argc, char **argv);
