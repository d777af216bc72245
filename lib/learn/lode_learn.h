/* SPDX-License-Identifier: BSD-3-Clause */
/* learn: the sample store. Files of samples of the loss predictor, written by the gateway and the simulator
 * and read by the trainer; and two JSON records of an older project, in and out. Nothing here runs on a worker.
 * One thread per object. Actions return 0 or -errno with a sentence.
 *
 * A sample file is a header and records of one size, in the byte order and layout of the machine (little
 * endian); what was written before a crash can be read. A record is a window of one path, or names the
 * series (one path in one session) that further windows belong to. Windows of a series are in order of time. */
#pragma once

#include "lode_base.h"
#include "lode_loss.h"

/* ---- sample files ---- */

#define LODE_LEARN_NAME_BYTES 64

enum lode_learn_kind { LODE_LEARN_SERIES = 1, LODE_LEARN_WINDOW = 2 };

/* What a simulator knows and no gateway does. All zero: not recorded in a simulator. */
struct lode_learn_truth {
	/* Packets that were sent 50 to 100 ms after the end of the window, and how many of them were lost why. */
	uint16_t sent, lost_queue, lost_radio, lost_handover, lost_random;
	uint16_t runs; /* of losses */
	/* Hidden state of the link at the end of the window. */
	uint16_t queue_pkts, queue_limit_pkts;
	uint32_t capacity_kbps;	  /* of the last 50 ms */
	uint16_t bad_ms, good_ms; /* mean times in the radio's states; 0: no such radio */
	uint16_t bad_loss_permille, random_ppm100; /* random: in units of 100 ppm */
	uint8_t is_bad, has_handover, known;	   /* known: this struct says something */
	uint8_t pad[5];
};

struct lode_learn_record {
	uint32_t kind, series;
	union {
		struct {
			struct lode_loss_window window;
			struct lode_learn_truth truth;
		};
		struct {
			char name
				[LODE_LEARN_NAME_BYTES]; /* of the session: what the trainer splits by */
			uint32_t path;
		} about;
	};
};
static_assert(sizeof(struct lode_learn_record) == 136, "a record of version 1");

struct lode_learn_writer;

/* Appends to an existing file of this version, or makes one. max_bytes: stops silently there, 0: never. */
int lode_learn_writer_open(
	struct lode_learn_writer **w, const char *path, uint64_t max_bytes, struct lode_err *err);
/* -EIO with a sentence when the disk does not take it; -EFBIG past max_bytes. */
int lode_learn_write(
	struct lode_learn_writer *w, const struct lode_learn_record *record, struct lode_err *err);
uint64_t lode_learn_writer_bytes(const struct lode_learn_writer *w);
int lode_learn_writer_close(struct lode_learn_writer *w, struct lode_err *err);

/* A whole file, mapped. */
struct lode_learn_samples {
	const struct lode_learn_record *records;
	size_t n_records;
	void *map;
	size_t map_bytes;
};
/* -EBADMSG: no sample file of this version, or a record that is none; a torn last record is left out. */
int lode_learn_samples_open(struct lode_learn_samples *s, const char *path, struct lode_err *err);
void lode_learn_samples_close(struct lode_learn_samples *s);

/* ---- records of the older project (JSON, its field names) ---- */

struct lode_learn_loss_sample {
	uint64_t timestamp_ms, rtt_us, rtt_var_us, bandwidth_bps;
	uint32_t inflight;
	uint64_t ipg_us;
	double loss_rate, buffer_occupancy, future_loss;
};

#define LODE_LEARN_DRL_STATE 8
struct lode_learn_drl_experience {
	/* rtt_norm rtt_gradient throughput_norm loss_rate cwnd_norm inflight_norm buffer_occupancy
	 * time_in_state */
	double state[LODE_LEARN_DRL_STATE], next_state[LODE_LEARN_DRL_STATE];
	uint32_t action; /* 0 to 5 */
	double throughput_reward, latency_penalty, loss_penalty, total;
	bool done;
};

struct lode_learn_export {
	char server_id[64];
	uint64_t timestamp_s;
	struct lode_learn_loss_sample *loss;
	size_t n_loss;
	struct lode_learn_drl_experience *drl;
	size_t n_drl;
};
#define LODE_LEARN_EXPORT_MAX 100000 /* records of each kind */

/* {server_id, timestamp, loss_samples, drl_experiences}; free() the text. */
int lode_learn_export_json(const struct lode_learn_export *e, char **text, struct lode_err *err);
/* The same, or an array of either kind alone. Fields that are absent, of another type or out of the range
 * that a network can have are refused, the record named. Free with lode_learn_export_free. */
int lode_learn_import_json(
	const char *text, size_t len, struct lode_learn_export *e, struct lode_err *err);
void lode_learn_export_free(struct lode_learn_export *e);

/* A window and the share lost 50 to 100 ms after it, as such a sample. */
void lode_learn_loss_sample_of(const struct lode_loss_window *w, uint64_t wall_ms, float occupancy,
	float future_loss, struct lode_learn_loss_sample *out);
/* And back, as far as it says anything: for training on samples of the older project. */
void lode_learn_window_of(const struct lode_learn_loss_sample *s, struct lode_loss_window *w);

/* Recorded windows as both kinds of records, into *e (which starts as zeros; at most LODE_LEARN_EXPORT_MAX of each). A
 * loss sample per window whose outcome is known: from the simulator's truth, or else from what the peer reported
 * later. An experience per round trip (at least 20 ms): what the path's controller made of its window. */
struct lode_learn_digest;
struct lode_learn_digest *lode_learn_digest_new(struct lode_learn_export *e); /* NULL: no memory */
/* Records of a sample file, in their order. */
void lode_learn_digest_add(struct lode_learn_digest *d, const struct lode_learn_record *record);
void lode_learn_digest_free(struct lode_learn_digest *d);
