/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_api.h"
#include "lode_campaign.h"

#include <jansson.h>

#define PARTS_MAX      8
#define OXDL_MAX_BYTES (512u << 20) /* the older format wants whole files in memory */

struct lode_api {
	struct lode_api_options options;
	struct lode_store *store;
	struct lode_blobs *blobs;
	struct lode_ca *ca;    /* NULL: nobody can enrol */
	uint8_t throwaway[32]; /* signing key of a manager on trial, made when it is needed */
	bool has_throwaway;
	int64_t next_step_ms; /* of the campaigns */
};

/* One request on its way through a handler. */
struct call {
	struct lode_api *api;
	const struct lode_api_request *req;
	struct lode_api_reply *reply;
	bool v2;
	const char *parts[PARTS_MAX]; /* the path's variable components */
	json_t *body;		      /* object, or NULL */
	struct lode_blob_writer *writer;
};

/* Answers. Each returns nothing: a handler ends with one. answer takes the reference. */
void answer(struct call *c, int status, json_t *body);
void answer_error(struct call *c, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Status and sentence of a failed action. */
void answer_err(struct call *c, const struct lode_err *err);
void answer_header(struct call *c, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* [A-Za-z0-9._+-]{1,128}, no leading dot: names of devices, fleets, models, versions. */
bool id_ok(const char *id);
/* String member of the body; answers 400 and returns NULL when it is missing or no valid name. */
const char *body_id(struct call *c, const char *key);
const char *body_text(struct call *c, const char *key, const char *or_else);

/* Documents as JSON. load returns -errno in err->code; *rev may be NULL. */
json_t *load(struct lode_api *api, enum lode_store_kind kind, const char *parent, const char *id,
	int64_t *rev, struct lode_err *err);
int save(struct lode_api *api, enum lode_store_kind kind, const char *parent, const char *id,
	const char *tag, const json_t *doc, int64_t rev, struct lode_err *err);
/* Array of what make gives for each document (NULL: left out), and in v2 a page of it. */
void answer_list(struct call *c, enum lode_store_kind kind, const char *parent, const char *key,
	json_t *(*make)(struct call *c, const struct lode_store_doc *doc));

/* Items of a page, as ?limit= says. */
unsigned page_limit(struct call *c);

/* One line of the audit log; its failure fails the action. detail may be NULL. */
int audit(struct call *c, const char *action, const char *object, const json_t *detail,
	struct lode_err *err);

const char *text_of(const json_t *obj, const char *key); /* "" when absent */
int64_t int_of(const json_t *obj, const char *key);

/* Of a transaction that another manager's write has undone: it is tried again, so often. */
#define ATTEMPTS 4
bool was_overtaken(int rc);

/* ---- handlers, by file ---- */

/* devices.c */
void device_register(struct call *c);
void device_list(struct call *c);
void device_get(struct call *c);
void device_delete(struct call *c);
void device_heartbeat(struct call *c);
/* fleets.c */
void fleet_create(struct call *c);
void fleet_list(struct call *c);
void fleet_get(struct call *c);
void fleet_add(struct call *c);
void fleet_remove(struct call *c);
void fleet_deploy(struct call *c);
void fleet_status(struct call *c);
/* models.c */
void model_list(struct call *c);
void model_get(struct call *c);
void version_upload(struct call *c);
void version_meta(struct call *c);
void version_download(struct call *c);
void version_delete(struct call *c);
void version_pin(struct call *c);
/* releases.c */
void release_put(struct call *c);
void release_get(struct call *c);
/* models.c */
void upload_create(struct call *c);
void upload_get(struct call *c);
void upload_append(struct call *c);
int upload_begin(struct call *c, struct lode_blob_writer **writer);
/* campaigns.c */
void campaign_create(struct call *c);
void campaign_list(struct call *c);
void campaign_get(struct call *c);
void campaign_devices(struct call *c);
void campaign_verb(struct call *c);
/* admin.c */
void health_get(struct call *c);
void audit_get(struct call *c);
/* tokens.c */
void token_create(struct call *c);
void token_list(struct call *c);
void token_delete(struct call *c);
/* enrol.c */
void ca_get(struct call *c);
void enrolment_create(struct call *c);
void enrol(struct call *c);
void certificate_renew(struct call *c);
void certificate_list(struct call *c);
void certificate_revoke(struct call *c);
/* blobs.c */
void blob_get(struct call *c);
void version_plan(struct call *c);
/* openapi.c */
void openapi_get(struct call *c);

/* ---- shared pieces ---- */

#define SECRET_HEX 49 /* with the NUL */
/* A new secret and the hash under which it is stored. */
int secret_make(char secret[SECRET_HEX], char hash[LODE_BLOB_HEX], struct lode_err *err);
/* Takes out every certificate of this name; how many, or -errno. Inside a transaction. */
int certificates_revoke_all(
	struct lode_api *api, const char *name, int64_t now_ms, struct lode_err *err);

/* Makes a campaign over a fleet; its id in id. */
int campaign_start(struct call *c, const char *model, const char *version, const char *fleet,
	const json_t *options, char id[LODE_STORE_ID_MAX], size_t *n_targets, struct lode_err *err);
/* What the report means for the device's campaigns, and what it is to run now: assigned_model and
 * assigned_model_version of its record. */
void campaign_heartbeat(struct lode_api *api, json_t *device, const json_t *report, int64_t now_ms);
/* The record of a device that has not said anything yet. */
json_t *device_new(const char *id, const char *name, int64_t now_ms);
/* The version of a model that the device runs, "" when none is known. */
const char *device_runs(const json_t *device, const char *model);
/* The object under a key, made when it is not there; borrowed. */
json_t *object_in(json_t *doc, const char *key);
/* The device's targets are skipped, unless they are done. model: NULL for all. */
int campaign_leave(struct lode_api *api, const json_t *device, const char *model, const char *why,
	int64_t now_ms, struct lode_err *err);
/* The device that asks, as far as it is known; NULL: it is somebody else. */
const char *asking_device(const struct call *c);
/* True after answering 409: a campaign holds the version back from the device that asks. */
bool campaign_withholds(struct call *c, const char *model, const char *version);
/* model: NULL for the one that is assigned. */
void campaign_count_bytes(struct lode_api *api, const char *device, const char *model,
	uint64_t served_bytes, uint64_t saved_bytes);
void campaign_join(struct lode_api *api, const char *fleet, const char *device, int64_t now_ms);
/* Orders patches to a new version from the version before it. */
void delta_want(struct lode_api *api, const char *base_sha, const char *target_sha, int64_t now_ms);
/* The patch to send, "" when none is ready or none is smaller. oxdl: for readers of the older format. */
void delta_find(struct lode_api *api, const char *base_sha, const char *target_sha, bool oxdl,
	char blob[LODE_BLOB_HEX], const char **strategy);

/* sealed.c */
/* Where lode_seal_sink's bytes go: into a blob. */
struct into_store {
	struct lode_blob_writer *w;
	struct lode_err *err;
};
int write_blob(void *ctx, const void *bytes, size_t len);
/* Ends the writer: kept, sealed if the manager has keys; sha: of the plain bytes. */
int blob_keep(struct lode_api *api, struct lode_blob_writer *w, const char *expect, int64_t now_ms,
	char sha[LODE_BLOB_HEX], struct lode_err *err);
/* Plain bytes under a hash, sealed or not, or -ENOENT. */
int64_t blob_bytes(struct lode_api *api, const char *sha);
/* Where plain bytes are: their sealed bytes' number, or -ENOENT and the hash itself. */
int64_t sealed_find(
	struct lode_api *api, const char *sha, char stored[LODE_BLOB_HEX], uint64_t *plain_bytes);
/* All plain bytes of a view, to be unmapped by the caller. */
int view_map(struct lode_api_view *v, const uint8_t **data);
/* Turns a step of a plan into one for sealed bytes, for who shows a key; returns its bytes. */
uint64_t plan_sealed(struct call *c, json_t *step);

/* campaign_json.c */
json_t *campaign_to_json(const struct lode_campaign *k);
int campaign_from_json(struct lode_campaign *k, const json_t *doc, struct lode_err *err);
json_t *target_to_json(const struct lode_target *t);
void target_from_json(struct lode_target *t, const json_t *doc);
int plan_from_json(struct lode_campaign_plan *p, const json_t *options, struct lode_err *err);
