/* SPDX-License-Identifier: BSD-3-Clause */
/* The devices of one campaign, all in memory. */
#pragma once

#include "api.h"

struct targets {
	size_t n, room;
	struct lode_target *t;
	json_t **docs;
	char (*ids)[LODE_STORE_ID_MAX];
	int64_t *revs;
	const char *campaign;
};

/* y is valid for free_targets in any case. */
int load_targets(
	struct lode_api *api, const char *campaign, struct targets *y, struct lode_err *err);
void free_targets(struct targets *y);
int save_target(struct lode_api *api, const char *campaign, const char *device,
	const struct lode_target *t, const json_t *about, int64_t rev, struct lode_err *err);
/* Moves a campaign on, now. */
int campaign_step(struct lode_api *api, const char *id, int64_t now_ms, struct lode_err *err);
int save_campaign(struct lode_api *api, const char *id, const struct lode_campaign *k,
	const json_t *about, int64_t rev, struct lode_err *err);
