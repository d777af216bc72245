/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_agent.h"
#include "lode_fetch.h"
#include "lode_seal.h"
#include "lode_trust.h"

#include <curl/curl.h>
#include <jansson.h>
#include <limits.h>

#define SHA_HEX 65

struct running {
	char model[LODE_AGENT_NAME_MAX], version[LODE_AGENT_NAME_MAX], sha256[SHA_HEX];
};

#define PLAN_STEPS_MAX 8

/* A file to fetch whole, or a patch that makes the next file of the one before. */
struct step {
	bool patch, sealed;
	char sha256[SHA_HEX]; /* of the bytes to fetch */
	char base[SHA_HEX], target[SHA_HEX];
	uint64_t n_bytes;
	uint8_t wrapped_key[LODE_SEAL_WRAP_BYTES]; /* sealed: for our key */
};

struct plan {
	char sha256[SHA_HEX]; /* of the version's file */
	uint64_t n_bytes;
	unsigned n_steps;
	struct step steps[PLAN_STEPS_MAX];
};

struct poison {
	struct running what;
	unsigned failures;
};

struct lode_agent {
	struct lode_agent_options options;
	CURL *curl;
	struct lode_fetch *fetch;
	struct lode_blobs *staging;
	char blobs_url[600], relay_url[600]; /* what stands before a hash; relay: "" none */
	uint64_t told_bytes,
		saved_bytes; /* received, told to the manager; saved by patches, to be told */
	uint64_t relay_rests_until_ns;
	char relay_fault[220], relay_fault_sha256[SHA_HEX]; /* told with the next heartbeat */
	struct lode_rng rng;
	unsigned unanswered; /* rounds in a row */
	/* The journal. */
	struct running current, before; /* before: what a roll-back brings back; "" none */
	struct running trying;		/* in place but not yet found healthy; "" none */
	unsigned n_poison;
	struct poison poison[LODE_AGENT_POISON_MAX];
	struct lode_trust_state trust;
	int64_t refresh_s;	 /* when the release of what runs is asked for again */
	char refresh_error[300]; /* why it was not taken; "": it was */
	char last_error[300], last_class[16]; /* told with the next heartbeat */
	bool last_success;
	/* One round. */
	char state[16];			   /* what the heartbeat says of an update at work */
	struct lode_trust_release release; /* of what is being updated to */
};

void say(const struct lode_agent *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A power cut of a test happens here. */
int write_point(const struct lode_agent *a, const char *what);
bool name_ok(const char *s);

/* journal.c */
int journal_load(struct lode_agent *a, struct lode_err *err);
int journal_save(struct lode_agent *a, struct lode_err *err);
unsigned poison_failures(const struct lode_agent *a, const char *model, const char *version);
void poison_add(struct lode_agent *a, const struct running *what);
void poison_clear(struct lode_agent *a, const struct running *what);

/* call.c */
/* JSON to and fro; path from /api on; body NULL: GET. The reply's object, or NULL with the error set. */
json_t *call_json(struct lode_agent *a, const char *path, const json_t *body, struct lode_err *err);

/* plan.c */
/* What is to be fetched; for other bytes than want->sha256 names no plan is taken. */
int ask_plan(
	struct lode_agent *a, const struct running *want, struct plan *plan, struct lode_err *err);
/* A manager's answer; base: the SHA-256 of what there is to start from, "" nothing. false: it is no plan. */
bool plan_read(struct plan *p, const json_t *reply, const char *base);
/* Instead of patches that do not fit. */
void plan_whole_file(struct plan *plan);

/* source.c */
/* Where the step's bytes are, as they are meant: sealed ones are opened. */
int open_step(
	struct lode_agent *a, const struct step *s, char path[PATH_MAX], struct lode_err *err);
/* The step's bytes into the staging folder, hash compared. */
int fetch_step(struct lode_agent *a, const struct step *s, struct lode_err *err);

/* files.c: every path below model_dir/ota */
void path_of(const struct lode_agent *a, const char *folder, const char *name, const char *suffix,
	char path[PATH_MAX]);
int make_folders(struct lode_agent *a, struct lode_err *err);
int file_sha256(const char *path, char hex[SHA_HEX], struct lode_err *err);
int sync_path(const char *path, struct lode_err *err);
/* Puts `staged` in place of the active file, the old one kept as backup. */
int activate(struct lode_agent *a, const char *model, const char *staged, struct lode_err *err);
int bring_back(struct lode_agent *a, const char *model, struct lode_err *err);
/* 0 when healthy. */
int check_health(const struct lode_agent *a, const char *path, struct lode_err *err);

/* release.c: who says what may run */
/* stored: what the journal has, NULL: nothing. */
int trust_begin(struct lode_agent *a, const char *stored, struct lode_err *err);
/* Judges the chain; model NULL: of whichever. Fills want and keeps the chain for the gateway. */
int trust_chain(struct lode_agent *a, const char *chain, const char *model, const char *version,
	struct running *want, struct lode_err *err);
/* The gateway has it, or never will. */
void drop_chain(const struct lode_agent *a, const struct running *want);
/* Asks the manager for the release of want and judges it; fills its hash. */
int trust_ask(struct lode_agent *a, struct running *want, struct lode_err *err);
/* Once an hour: is what runs still released? Brings newer roots, too. Tells nobody but the heartbeat. */
void trust_refresh(struct lode_agent *a);
/* {root, root_expires, release, release_expires, stale, error}; NULL: nothing is trusted. */
json_t *trust_report(const struct lode_agent *a);
int trust_check_file(const struct lode_agent *a, const char *path, struct lode_err *err);

/* hand_over.c: the gateway; without one, all is well */
bool gateway_there(const struct lode_agent *a);
/* The file, with the chain that was kept for it, runs on trial. -EBADMSG: refused, with the gateway's reason. */
int gateway_try(const struct lode_agent *a, const struct running *want, const char *path,
	struct lode_err *err);
int gateway_commit(const struct lode_agent *a, struct lode_err *err);
void gateway_rollback(const struct lode_agent *a);
/* What it runs was signed again: it judges that at its next start. */
int gateway_renew(const struct lode_agent *a, const char *chain, struct lode_err *err);

/* update.c */
/* From a whole file at staging/HASH on. */
enum lode_agent_outcome apply(
	struct lode_agent *a, const struct running *want, struct lode_err *err);
/* What is wrong is told to the manager; counted: towards leaving the version alone. */
enum lode_agent_outcome failed(struct lode_agent *a, const struct running *want,
	const char *error_class, bool counted, const struct lode_err *err);
enum lode_agent_outcome update(
	struct lode_agent *a, const struct running *want, struct lode_err *err);
/* After a start: decides about a model that was in place but not yet found healthy. */
int finish_interrupted(struct lode_agent *a, struct lode_err *err);
