/* SPDX-License-Identifier: BSD-3-Clause */
/* What the counters of the other views mean: the tables they were declared in, for exporters and people. */
#include "gateway.h"

#include "lode_peer.h"

struct table {
	const char *name;
	const struct lode_counter_desc *descs;
	const unsigned *n;
};

static const struct table tables[] = {
	{"worker", lode_worker_counter_descs, &lode_worker_n_counters},
	{"lane", lode_lane_counter_descs, &lode_lane_n_counters},
	{"loop", worker_run_counter_descs, &n_worker_run_counters},
	{"control", lode_control_counter_descs, &lode_control_n_counters},
	{"handshake", lode_peer_counter_descs, &lode_peer_n_counters},
	{"selector", lode_selector_counter_descs, &lode_selector_n_counters},
};

static void put_table(const struct table *t, struct lode_json *j)
{
	static const char *const severities[] = {"info", "warn", "error"};
	for (unsigned i = 0; i < *t->n; i++) {
		const struct lode_counter_desc *d = &t->descs[i];
		lode_json_object(j, d->name);
		lode_json_string(j, "unit", d->unit);
		lode_json_string(j, "severity", severities[d->severity]);
		lode_json_string(j, "help", d->help);
		lode_json_close_object(j);
	}
}

/* Without a table: their names and lengths. */
int view_counters(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	for (size_t i = 0; i < LODE_ARRAY_LEN(tables); i++) {
		if (!params[0]) {
			lode_json_u64(j, tables[i].name, *tables[i].n);
		} else if (!strcmp(params, tables[i].name)) {
			put_table(&tables[i], j);
			return 0;
		}
	}
	return params[0] ? lode_err_set(err, -ENOENT,
				   "table \"%.20s\": worker, lane, loop, control, handshake or "
				   "selector",
				   params)
			 : 0;
}
