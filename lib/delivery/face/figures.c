/* SPDX-License-Identifier: BSD-3-Clause */
#include "face.h"

static double number(const json_t *obj, const char *key)
{
	return (double)int_in(obj, key);
}

/* A sample with one label. */
static void put_one(
	struct lode_metrics *m, const char *name, const char *label, const char *of, double value)
{
	const struct lode_label labels[] = {{label, of}, {0}};
	lode_metrics_sample(m, name, labels, value);
}

static void put_devices(struct lode_metrics *m, const json_t *devices)
{
	static const char *const states[] = {"online", "offline", "error", "unknown"};
	lode_metrics_family(m, "lodestone_devices", LODE_METRIC_GAUGE, "devices by state");
	for (size_t i = 0; i < LODE_ARRAY_LEN(states); i++)
		put_one(m, "lodestone_devices", "state", states[i], number(devices, states[i]));
}

static void put_campaigns(struct lode_metrics *m, const json_t *campaigns)
{
	size_t i;
	json_t *c, *n;
	const char *state;
	lode_metrics_family(m, "lodestone_campaign_devices", LODE_METRIC_GAUGE,
		"devices of the newest campaigns by state");
	json_array_foreach(campaigns, i, c)
	{
		json_object_foreach(json_object_get(c, "by_state"), state, n) lode_metrics_sample(m,
			"lodestone_campaign_devices",
			(struct lode_label[]){{"campaign", text_in(c, "id")},
				{"campaign_state", text_in(c, "state")}, {"state", state}, {0}},
			(double)json_integer_value(n));
	}
	lode_metrics_family(m, "lodestone_campaign_served_bytes", LODE_METRIC_GAUGE,
		"bytes sent to its devices");
	json_array_foreach(campaigns, i, c) put_one(m, "lodestone_campaign_served_bytes",
		"campaign", text_in(c, "id"), number(c, "bytes_served"));
	lode_metrics_family(m, "lodestone_campaign_saved_bytes", LODE_METRIC_GAUGE,
		"bytes that patches made needless");
	json_array_foreach(campaigns, i, c) put_one(m, "lodestone_campaign_saved_bytes", "campaign",
		text_in(c, "id"), number(c, "bytes_saved"));
}

static void put_requests(struct lode_metrics *m, const struct lode_http_stats *stats)
{
	lode_metrics_family(m, "lodestone_manager_http_requests_total", LODE_METRIC_COUNTER,
		"requests answered, by the class of the status");
	for (unsigned i = 1; i < LODE_ARRAY_LEN(stats->by_class); i++) {
		const char code[] = {(char)('0' + i), 'x', 'x', 0};
		put_one(m, "lodestone_manager_http_requests_total", "code", code,
			(double)stats->by_class[i]);
	}
	lode_metrics_family(m, "lodestone_manager_http_reply_bytes_total", LODE_METRIC_COUNTER,
		"bodies of answers, those that the proxy sends included");
	lode_metrics_sample(
		m, "lodestone_manager_http_reply_bytes_total", NULL, (double)stats->reply_bytes);
	lode_metrics_histogram_ns(m, "lodestone_manager_http_answer_seconds",
		"from a whole request to its answer", &stats->answer_ns);
}

void put_manager_figures(struct lode_metrics *m, const json_t *overview,
	const struct lode_http_stats *stats, int64_t up_ms)
{
	lode_metrics_family(m, "lodestone_manager_info", LODE_METRIC_GAUGE, "its version");
	put_one(m, "lodestone_manager_info", "version", LODE_VERSION, 1);
	lode_metrics_family(
		m, "lodestone_manager_uptime_seconds", LODE_METRIC_GAUGE, "time since its start");
	lode_metrics_sample(m, "lodestone_manager_uptime_seconds", NULL, (double)up_ms / 1000);
	put_requests(m, stats);
	if (!overview)
		return;
	put_devices(m, json_object_get(overview, "devices"));
	lode_metrics_family(m, "lodestone_fleets", LODE_METRIC_GAUGE, "fleets");
	lode_metrics_sample(m, "lodestone_fleets", NULL, number(overview, "fleets"));
	lode_metrics_family(m, "lodestone_models", LODE_METRIC_GAUGE, "models in the store");
	lode_metrics_sample(m, "lodestone_models", NULL,
		(double)json_array_size(json_object_get(overview, "models")));
	put_campaigns(m, json_object_get(overview, "campaigns"));
}
