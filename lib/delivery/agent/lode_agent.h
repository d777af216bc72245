/* SPDX-License-Identifier: BSD-3-Clause */
/* delivery/agent: the appliance's side of model delivery. It asks its manager what to run, fetches the file or a
 * patch, goes on where a cut left it, verifies, puts the file in place, hands it to the gateway, checks the model's
 * health, and keeps it or goes back. A manager decides what is asked for, never what may run: that says a
 * release, signed after delivery/trust. What it knows is in a journal: a power cut at any write leaves the old model
 * or the new one. One thread; libcurl fetches. Actions return 0 or -errno. */
#pragma once

#include "lode_base.h"

#define LODE_AGENT_NAME_MAX   129 /* bytes with the NUL: devices, models, versions */
#define LODE_AGENT_POISON_MAX 32
#define LODE_AGENT_POISON_AT  3 /* failures of any class until a version is left alone */

struct lode_agent_options {
	const char *control_plane; /* http://... or https://...; NULL: for lode_agent_import only */
	const char *device_id;
	const char *model_dir; /* holds ota/ and the journal; made when it is not there */
	const char *
		health_check; /* shell command, LODESTONE_MODEL_PATH set; NULL: the file is not empty */
	/* File with the root of the keys that may sign models. NULL: a manager on trial at http://127.0.0.1 is
	 * believed by its throw-away key. */
	const char *root;
	const char *gateway; /* control socket of the gateway that is to run the models; NULL */
	const char *token;   /* bearer token; NULL */
	const char *ca, *cert, *key; /* PEM files for https; NULL */
	const uint8_t *seal_key; /* private X25519 key (delivery/seal) for sealed models; NULL */
	unsigned poll_interval_s;
	uint64_t seed; /* of the jitter */
	unsigned health_timeout_s;
	unsigned stall_s;	       /* a transfer without a byte for so long is given up */
	int64_t (*now_s)(void);	       /* seconds since 1970 */
	const char *relay;	       /* http://address:port of a relay of the site; NULL */
	uint64_t (*now_ns)(void *ctx); /* monotonic */
	void (*sleep_ns)(void *ctx, uint64_t ns);
	/* Bytes per second that a transfer may take now; 0: none, later perhaps. NULL: no limit. */
	uint64_t (*rate)(void *ctx);
	/* Whether a file that its release calls one of our models loads and gives its golden vectors; before it is put in
	 * place. NULL: the gateway's word is enough. */
	int (*check_model)(void *ctx, const char *path, struct lode_err *err);
	/* Called at each write that matters; a test cuts the power there by returning not 0. NULL: none. */
	int (*on_write)(void *ctx, const char *what);
	/* What is going on, a line for people; NULL: nobody wants to know. */
	void (*log)(void *ctx, const char *line);
	/* Bytes of a transfer so far; total 0: unknown. Not 0 ends it: the process is to stop. */
	int (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

enum lode_agent_outcome {
	LODE_AGENT_IDLE,	/* nothing to do */
	LODE_AGENT_UPDATED,	/* a model was put in place and kept */
	LODE_AGENT_ROLLED_BACK, /* it was not healthy: the one before is back */
	LODE_AGENT_FAILED,	/* the reason is in err and is told to the manager */
	LODE_AGENT_UNREACHABLE, /* the manager did not answer */
};

struct lode_agent;

/* Reads the journal and finishes what a power cut interrupted. */
int lode_agent_new(
	const struct lode_agent_options *options, struct lode_agent **out, struct lode_err *err);
void lode_agent_free(struct lode_agent *a);

/* One round: a heartbeat, and the update it asks for. */
enum lode_agent_outcome lode_agent_round(struct lode_agent *a, struct lode_err *err);
/* Installs what a bundle of delivery/trust holds, file after file: for sites without a manager. The outcome of the
 * first that was not updated, else of the last. */
enum lode_agent_outcome lode_agent_import(
	struct lode_agent *a, const char *path, struct lode_err *err);
/* Seconds until the next round: the interval with up to a tenth of jitter, doubled up to 300 s while the
 * manager does not answer. */
unsigned lode_agent_wait_s(struct lode_agent *a);

/* Bytes per second that the data plane can spare, by the view that the gateway behind this control socket has of
 * its paths: at least a little, UINT64_MAX when it has no paths or does not answer. A transfer that takes all of it
 * is part of the load at the next question, so that it settles at half of what others leave. Blocks half a second at
 * most; any thread. */
uint64_t lode_agent_spare(const char *gateway);

/* What runs now, "" when nothing does. */
const char *lode_agent_version(const struct lode_agent *a);
