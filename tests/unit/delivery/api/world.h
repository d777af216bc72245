/* SPDX-License-Identifier: BSD-3-Clause */
/* An API object in a temporary folder, and requests without a socket. */
#pragma once

#include "lode_api.h"

#include <jansson.h>

#define WORLD_PAIRS 4

struct world {
	char dir[64], db[100], blobs[100], ca[100];
	struct lode_api *api;
	struct lode_api_identity who;
	int64_t now_ms;
	unsigned keep_versions; /* from the next restart on */
	struct lode_api_reply reply;
	json_t *json;			     /* of the last reply; NULL when it was none */
	const char *headers[WORLD_PAIRS][2]; /* of requests from now on */
	const char *queries[WORLD_PAIRS][2];
};

extern struct world world;
void world_up(void);
void world_down(void);
/* Opens the same place again: what a new process sees. */
void world_restart(void);
/* One request; returns the status. body may be NULL. */
int ask(const char *method, const char *path, const char *body);
/* An upload with these bytes, whole or of one that is continued. */
int upload(const char *path, const void *bytes, size_t n);
/* A member of the last reply as text, "" when it is not there; "a.b" goes down. */
const char *said(const char *path);
