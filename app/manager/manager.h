/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_base.h"

#include <signal.h>
#include <stdio.h>

#define DEFAULT_IDENTITY_DIR "/var/lib/lodestone-agent"

enum { EXIT_OK, EXIT_OTHER, EXIT_CONFIGURATION, EXIT_ENVIRONMENT };

/* What YAML says, defaults filled in. Paths may be empty where that is allowed. */
struct settings {
	char state_dir[256];
	char database[256]; /* a path or postgresql://...; "": state_dir/manager.db */
	char blobs[600];    /* a folder or s3://...; "": state_dir/blobs */
	char socket[108];
	char proxy_user[64];   /* "": no proxy */
	char server_name[256]; /* hosts of server.pem, commas between; "": none is made */
	char admin_group[64], operator_group[64], viewer_group[64]; /* local users; "": nobody */
	char gateway[108];   /* its dpdk_telemetry.v2, "": none */
	char seal_keys[600]; /* key files, the newest first; "": nothing is sealed */
	uint32_t offline_s;
	uint32_t certificate_days;
	uint32_t keep_versions; /* of each model; 0: all */
};

void settings_default(struct settings *s);
/* Reads a YAML file over s. -EINVAL with file:line, key, allowed, found. */
int settings_load(struct settings *s, const char *path, struct lode_err *err);

/* Set by SIGTERM and SIGINT. */
extern volatile sig_atomic_t stopping;
int64_t now_ms(void); /* since 1970 */

int cmd_serve(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_enroll(int argc, char **argv);
/* To stderr when it was misused: the exit code says so. */
int serve_usage(FILE *to);
int agent_usage(FILE *to);
int enroll_usage(FILE *to);
