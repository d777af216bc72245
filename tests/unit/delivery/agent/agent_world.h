/* SPDX-License-Identifier: BSD-3-Clause */
/* The agent against the real manager on 127.0.0.1, both in one temporary folder. Model m has versions 1 to 3;
 * fleet f has device d. */
#pragma once

#include "lode_agent.h"
#include "lode_http.h"
#include "origin.h"

#include <pthread.h>

#define MODEL_BYTES (300 * 1024)

struct agent_world {
	char dir[64], models[80], url[64];
	uint16_t port;
	struct lode_api *api;
	struct lode_http *http;
	pthread_t thread;
	atomic_bool stop;
	int cut_at, n_writes;
	uint64_t stop_at_bytes;
	struct origin relay; /* of the site, when a test has one */
	char relay_url[64];
	const struct lode_seal_keys *seal_keys; /* of the manager */
	const uint8_t *seal_key;		/* of the agent */
};

extern struct agent_world world;
/* Version 1 is offered. */
void agent_world_up(void);
void agent_world_down(void);
/* The manager as world.seal_keys say. */
void open_api(void);
void start_server(void);
/* Uploads version n, offers it and starts the server. */
void offer(int n);
/* A relay of the site that has version 1, and the server. */
void start_relay(enum manner manner);
/* Does the manager say this of the device? Stops the server. */
bool manager_knows(const char *text);

struct lode_agent_options agent_options(const char *health_check);
/* A new agent, one round; the version it runs then. */
enum lode_agent_outcome round_of(const char *health_check, char version[16]);
/* The version whose bytes the active file has; 0: none, -1: torn. */
int active_version(void);
/* Version 1 runs; the server is stopped. */
void install_first(void);
