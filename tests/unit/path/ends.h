/* SPDX-License-Identifier: BSD-3-Clause */
/* Two ends of a path over two emulated links in virtual time, each sending what its path asks for and
 * data at a given rate. */
#pragma once

#include <criterion/criterion.h>

#include "lode_link.h"
#include "lode_path.h"

#define MS LODE_NS_PER_MS
#define S  LODE_NS_PER_S

struct end {
	struct lode_path *path;
	struct lode_link *link; /* towards the other end */
	struct lode_link_config config;
	uint64_t pn;
	uint64_t data_gap_ns; /* between data packets; 0: none, 1: as much as credit allows */
	uint64_t next_data_ns;
	uint32_t data_bytes;
	uint64_t n_sent, n_arrived, data_bytes_sent;
};

struct ends {
	struct end e[2];
	uint64_t now_ns;
	uint64_t n_events;
};

void ends_open(struct ends *s, const struct lode_link_config *forward,
	const struct lode_link_config *back, const struct lode_path_params *params);
void ends_close(struct ends *s);
/* Runs on by so many ms. */
void ends_run(struct ends *s, uint64_t ms);
/* Cuts or mends one direction. */
void ends_cut(struct ends *s, int from, bool down);
void ends_set(struct ends *s, int from, const char *key, const char *value);
struct lode_path_stats ends_stats(const struct ends *s, int end);
