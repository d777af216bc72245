/* SPDX-License-Identifier: BSD-3-Clause */
/* What the rows of suite fleet share: a manager of their own on 127.0.0.1 and the little HTTP they speak. */
#pragma once

#include "lode_perf.h"

#include <sys/types.h>

struct fleet_manager {
	pid_t pid;
	uint16_t port;
	char dir[64]; /* its data and the row's files */
};

/* Makes the folder. */
int fleet_manager_folder(struct fleet_manager *m);
/* Starts `lodestone-manager serve --insecure-loopback` of the build there; 0 when it answers. */
int fleet_manager_start(struct fleet_manager *m);
/* Ends it and removes its folder. */
void fleet_manager_stop(struct fleet_manager *m);
/* CPU time of all threads of a process so far, seconds. */
double fleet_cpu_s(pid_t pid);

/* One request on a connection of its own; the status, or -errno. reply: the body, cut to size; may be NULL. */
int fleet_ask(uint16_t port, const char *method, const char *path, const void *body, size_t len,
	char *reply, size_t size);
/* A blocking connection to 127.0.0.1, or -errno. */
int fleet_connect(uint16_t port);

/* Rows, each in its file. 0, or -1 when they could not be measured. */
int fleet_agents(struct lode_perf *p);
int fleet_cuts(struct lode_perf *p);
int fleet_plane(struct lode_perf *p);
int fleet_relay(struct lode_perf *p);
