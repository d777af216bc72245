/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "lode_scrape.h"

/* ---- telemetry.c: one connection ---- */

struct telemetry {
	int fd; /* -1: not connected */
};

int telemetry_connect(struct telemetry *t, const char *path, struct lode_err *err);
void telemetry_close(struct telemetry *t);
/* Asks "/lodestone/VIEW" or "/lodestone/VIEW,PARAM"; a new object, or NULL with the error set. */
json_t *telemetry_ask(
	struct telemetry *t, const char *view, const char *param, struct lode_err *err);

/* ---- history.c: samples of paths ---- */

struct history;

struct history *history_new(void);
void history_free(struct history *h);
/* paths: the view. */
void history_add(struct history *h, const json_t *paths, int64_t now_ms);
json_t *history_since(const struct history *h, int64_t since_ms);
