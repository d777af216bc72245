/* SPDX-License-Identifier: BSD-3-Clause */
/* ipc/look: the memory that gateway and classifier share: per worker a ring of first packets of flows one way and
 * a ring of verdicts the other way, both lossy and without waiting. Neither side trusts the other: positions that
 * cannot be are taken for a full or an empty ring, names and classes are checked when they are read. Each
 * ring end belongs to one thread. */
#pragma once

#include "lode_base.h"

#define LODE_LOOK_WORKERS 16
#define LODE_LOOK_BYTES	  1488 /* of a packet, from its IP header */
#define LODE_LOOK_PKTS	  6    /* with payload, per flow, until it must be decided */
#define LODE_LOOK_APPS	  512
#define LODE_LOOK_NAME	  24 /* bytes with the NUL */

struct lode_look {
	uint32_t flow_idx, tag; /* tag: tells whether the entry is still of the same flow */
	uint64_t time_ms;
	uint16_t len;
	uint8_t data[LODE_LOOK_BYTES];
};

struct lode_verdict {
	uint32_t flow_idx, tag;
	uint16_t app; /* below LODE_LOOK_APPS */
};

/* One end of a ring in shared memory: what can be trusted is kept here. */
struct lode_look_ring {
	struct look_positions *shared;
	uint8_t *records;
	uint32_t mask, record_bytes;
	uint64_t mine;
};

struct lode_look_link {
	struct look_memory *memory;
	struct lode_look_ring looks[LODE_LOOK_WORKERS], verdicts[LODE_LOOK_WORKERS];
};

/* The classifier's side: makes the memory; *fd is for the gateway. Everything is zero. */
int lode_look_make(struct lode_look_link *l, int *fd, struct lode_err *err);
/* The gateway's side: maps what it received, after checking that it cannot shrink under it. */
int lode_look_map(int fd, struct lode_look_link *l, struct lode_err *err);
void lode_look_unmap(struct lode_look_link *l);

/* False: the ring is full, the record is lost. len bytes of the record are copied. */
bool lode_look_push(struct lode_look_ring *r, const void *record, size_t len);
/* False: the ring is empty. The whole record is copied. */
bool lode_look_pop(struct lode_look_ring *r, void *record);

/* The classifier counts up while it lives. */
void lode_look_beat(struct lode_look_link *l);
uint64_t lode_look_beats(const struct lode_look_link *l);

/* Names and classes of applications; written by the classifier before it hands the memory over. */
void lode_look_set_app(
	struct lode_look_link *l, unsigned app, const char *name, enum lode_class cls);
/* False: there is none by that number. name gets printable characters only. */
bool lode_look_app(const struct lode_look_link *l, unsigned app, char name[LODE_LOOK_NAME],
	enum lode_class *cls);
