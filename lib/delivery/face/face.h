/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_face.h"
#include "lode_metrics.h"
#include "lode_scrape.h"

/* ---- page_files.c, made from web/ while building ---- */

struct page_file {
	const char *name;
	const unsigned char *bytes;
	size_t len;
};
extern const struct page_file page_files[];
extern const size_t n_page_files;

/* ---- overview.c: the fleet in one object ---- */

/* {"devices": {"total", "online", ...}, "fleets": n, "models": [...], "campaigns": [...]}; before: the one of last
 * time, whose ended campaigns are taken over. NULL with the error set. */
json_t *overview_make(struct lode_store *store, const json_t *before, unsigned offline_s,
	int64_t now_ms, struct lode_err *err);

const char *text_in(const json_t *obj, const char *key); /* "" when absent */
json_int_t int_in(const json_t *obj, const char *key);

/* ---- figures.c: the manager's own families ---- */

void put_manager_figures(struct lode_metrics *m, const json_t *overview,
	const struct lode_http_stats *stats, int64_t up_ms);
