/* SPDX-License-Identifier: BSD-3-Clause */
/* The gateway's views as families. What is measured has a row here, with its unit made a base unit; what is
 * counted comes from the tables that the gateway declares its counters in, with their own help. */
#include "lode_metrics.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 128

/* One member of the objects of a view. */
struct measure {
	const char *member, *name;
	enum lode_metric_type type;
	double scale;
	const char *help;
};

/* A view is an object of objects; their keys are "A" or "A/B". */
struct view_family {
	const char *view, *label_a, *label_b; /* label_b NULL: the whole key is one label */
	const struct measure *measures;
	size_t n;
};

#define GAUGE	LODE_METRIC_GAUGE
#define COUNTER LODE_METRIC_COUNTER

static const struct measure path_measures[] = {
	{"rtt_us", "path_rtt_seconds", GAUGE, 1e-6, "smoothed round trip time"},
	{"rtt_min_us", "path_rtt_min_seconds", GAUGE, 1e-6, "least round trip time of late"},
	{"jitter_us", "path_jitter_seconds", GAUGE, 1e-6, "variation of the round trip time"},
	{"owd_us", "path_queueing_seconds", GAUGE, 1e-6, "one-way delay above its least"},
	{"loss_ppm", "path_loss_ratio", GAUGE, 1e-6, "packets lost on the way out"},
	{"probe_loss_ppm", "path_probe_loss_ratio", GAUGE, 1e-6, "probes lost"},
	{"pacing_kbps", "path_pacing_bytes_per_second", GAUGE, 125, "what its controller allows"},
	{"tx_kbps", "path_delivery_bytes_per_second", GAUGE, 125,
		"estimate of what it can deliver, not what it carries"},
	{"mtu_bytes", "path_mtu_bytes", GAUGE, 1, "largest datagram that gets through"},
	{"tx_pkts", "path_transmit_packets_total", COUNTER, 1, "datagrams sent"},
	{"rx_pkts", "path_receive_packets_total", COUNTER, 1, "datagrams received"},
	{"tx_bytes", "path_transmit_bytes_total", COUNTER, 1, "their bytes"},
	{"rx_bytes", "path_receive_bytes_total", COUNTER, 1, "their bytes"},
	{"lost_pkts", "path_lost_packets_total", COUNTER, 1, "sent and reported as lost"},
	{"suspects", "path_suspects_total", COUNTER, 1, "times it was silent and doubted"},
	{"downs", "path_downs_total", COUNTER, 1, "times it was given up"},
};

static const struct measure port_measures[] = {
	{"mbps", "port_speed_bytes_per_second", GAUGE, 125e3, "speed of the link"},
	{"rx_pkts", "port_receive_packets_total", COUNTER, 1, "frames received"},
	{"tx_pkts", "port_transmit_packets_total", COUNTER, 1, "frames sent"},
	{"rx_bytes", "port_receive_bytes_total", COUNTER, 1, "their bytes"},
	{"tx_bytes", "port_transmit_bytes_total", COUNTER, 1, "their bytes"},
	{"rx_missed_pkts", "port_receive_missed_total", COUNTER, 1,
		"frames the port had no room for"},
	{"rx_errors", "port_receive_errors_total", COUNTER, 1, "damaged frames"},
	{"rx_no_mbuf", "port_receive_no_buffer_total", COUNTER, 1,
		"frames without a packet buffer"},
	{"tx_errors", "port_transmit_errors_total", COUNTER, 1, "frames that could not be sent"},
};

static const struct measure peer_measures[] = {
	{"session_age_s", "peer_session_age_seconds", GAUGE, 1, "age of the session"},
	{"handshakes", "peer_handshakes_total", COUNTER, 1, "sessions established"},
	{"failed_handshakes", "peer_handshakes_failed_total", COUNTER, 1,
		"attempts without an answer"},
};

static const struct measure class_measures[] = {
	{"queue_pkts", "class_queue_packets", GAUGE, 1, "packets waiting"},
	{"queue_bytes", "class_queue_bytes", GAUGE, 1, "their bytes"},
	{"wait_us", "class_wait_seconds", GAUGE, 1e-6, "how long the last one waited"},
	{"copies", "class_copies", GAUGE, 1, "times each segment is sent"},
	{"tx_segments", "class_transmit_segments_total", COUNTER, 1, "segments sent"},
	{"rx_segments", "class_receive_segments_total", COUNTER, 1, "segments received"},
	{"duplicates", "class_duplicates_total", COUNTER, 1, "segments received again"},
};

static const struct measure repair_measures[] = {
	{"redundancy_percent", "repair_redundancy_ratio", GAUGE, 0.01, "extra segments sent now"},
	{"loss_ppm", "repair_loss_ratio", GAUGE, 1e-6, "loss that the redundancy is made for"},
	{"tx_repairs", "repair_transmit_total", COUNTER, 1, "parity segments sent"},
	{"resent", "repair_resent_total", COUNTER, 1, "segments sent again when asked for"},
	{"rx_missing", "repair_missing_total", COUNTER, 1, "segments that did not arrive"},
	{"asked", "repair_asked_total", COUNTER, 1, "segments asked for again"},
	{"rx_repairs", "repair_receive_total", COUNTER, 1, "parity segments received"},
	{"recovered", "repair_recovered_total", COUNTER, 1, "segments made good by parity"},
	{"late", "repair_late_total", COUNTER, 1, "segments made good too late"},
};

static const struct measure drop_measures[] = {
	{"count", "drops_total", COUNTER, 1, "packets dropped, by reason"},
};

static const struct measure loss_measures[] = {
	{"foreseen_loss_ppm", "path_foreseen_loss_ratio", GAUGE, 1e-6, "loss foreseen"},
	{"any_loss_ppm", "path_foreseen_any_loss_ratio", GAUGE, 1e-6,
		"probability that the next window loses a packet"},
};

static const struct measure score_measures[] = {
	{"decisions", "loss_forecasts_total", COUNTER, 1, "forecasts of loss, by who made them"},
	{"auc_ppm", "loss_forecast_auc", GAUGE, 1e-6, "how well they rank windows, of an hour"},
	{"brier_ppm", "loss_forecast_brier", GAUGE, 1e-6, "their mean squared error, of an hour"},
	{"skill_ppm", "loss_forecast_skill", GAUGE, 1e-6, "what is better than the base rate"},
};

static const struct measure worker_measures[] = {
	{"load_permille", "worker_load_ratio", GAUGE, 1e-3, "share of its time that has work"},
	{"flows", "worker_flows", GAUGE, 1, "flows in its table"},
};

static const struct measure status_measures[] = {
	{"up_s", "gateway_uptime_seconds", GAUGE, 1, "time since its start"},
	{"packets_in_use", "gateway_buffers_in_use", GAUGE, 1, "packet buffers in use"},
	{"packets", "gateway_buffers", GAUGE, 1, "packet buffers there are"},
	{"paths", "gateway_paths", GAUGE, 1, "paths to all peers"},
	{"paths_up", "gateway_paths_up", GAUGE, 1, "of them usable"},
};

#define ROWS(a) a, LODE_ARRAY_LEN(a)
static const struct view_family families[] = {
	{"paths", "peer", "path", ROWS(path_measures)},
	{"loss", "peer", "path", ROWS(loss_measures)},
	{"ports", "port", NULL, ROWS(port_measures)},
	{"peers", "peer", NULL, ROWS(peer_measures)},
	{"classes", "peer", "class", ROWS(class_measures)},
	{"fec", "peer", "class", ROWS(repair_measures)},
	{"drops", "table", "reason", ROWS(drop_measures)},
	{"workers", "worker", NULL, ROWS(worker_measures)},
	{"loss_score", "source", NULL, ROWS(score_measures)},
};

/* Counters of views whose meaning comes from the gateway's tables. */
static const struct {
	const char *view, *label, *table, *prefix;
} counted[] = {
	{"workers", "worker", "worker", "worker"},
	{"workers", "worker", "loop", "worker_loop"},
	{"status", NULL, "control", "control"},
	{"status", NULL, "handshake", "handshake"},
	{"selector", NULL, "selector", "selector"},
};

/* ---- */

/* Cuts "A/B" into both labels; cut holds A. */
static void split(const char *key, const char *label_a, const char *label_b,
	char cut[NAME_MAX_BYTES], struct lode_label labels[3])
{
	const char *slash = label_b ? strchr(key, '/') : NULL;
	int len = slash ? (int)(slash - key) : (int)strlen(key);
	snprintf(cut, NAME_MAX_BYTES, "%.*s", len, key);
	labels[0] = (struct lode_label){label_a, cut};
	labels[1] = label_b ? (struct lode_label){label_b, slash ? slash + 1 : ""}
			    : (struct lode_label){0};
	labels[2] = (struct lode_label){0};
}

static void full_name(char name[NAME_MAX_BYTES], const char *what)
{
	snprintf(name, NAME_MAX_BYTES, "lodestone_%s", what);
}

static void put_measure(struct lode_metrics *m, const struct view_family *f, json_t *view,
	const struct measure *what)
{
	char name[NAME_MAX_BYTES], cut[NAME_MAX_BYTES];
	struct lode_label labels[3];
	const char *key;
	json_t *object;
	full_name(name, what->name);
	lode_metrics_family(m, name, what->type, what->help);
	json_object_foreach(view, key, object)
	{
		json_t *v = json_object_get(object, what->member);
		if (!json_is_integer(v))
			continue;
		split(key, f->label_a, f->label_b, cut, labels);
		lode_metrics_sample(m, name, labels, (double)json_integer_value(v) * what->scale);
	}
}

/* 1 where a member has that text, else 0. */
static void put_flag(struct lode_metrics *m, json_t *view, const struct view_family *f,
	const char *member, const char *yes, const char *what, const char *help)
{
	char name[NAME_MAX_BYTES], cut[NAME_MAX_BYTES];
	struct lode_label labels[3];
	const char *key;
	json_t *object;
	full_name(name, what);
	lode_metrics_family(m, name, GAUGE, help);
	json_object_foreach(view, key, object)
	{
		const char *s = json_string_value(json_object_get(object, member));
		split(key, f->label_a, f->label_b, cut, labels);
		lode_metrics_sample(m, name, labels, s && !strcmp(s, yes));
	}
}

/* A counter as it is exported: nanoseconds become seconds, and a longest time does not add up. */
static struct measure counter_of(
	const char *prefix, const char *member, const json_t *about, char name[NAME_MAX_BYTES])
{
	const char *help = json_string_value(json_object_get(about, "help"));
	size_t len = strlen(member);
	bool ns = len > 3 && !strcmp(member + len - 3, "_ns"),
	     longest = !strncmp(member, "longest_", 8);
	snprintf(name, NAME_MAX_BYTES, "lodestone_%s_%.*s%s%s", prefix,
		(int)LODE_MIN(ns ? len - 3 : len, 80u), member, ns ? "_seconds" : "",
		longest ? "" : "_total");
	return (struct measure){
		member, name, longest ? GAUGE : COUNTER, ns ? 1e-9 : 1, help ? help : member};
}

static void put_counter(
	struct lode_metrics *m, json_t *view, const char *label, const struct measure *what)
{
	const char *key;
	json_t *object;
	lode_metrics_family(m, what->name, what->type, what->help);
	if (!label) {
		json_int_t v = json_integer_value(json_object_get(view, what->member));
		lode_metrics_sample(m, what->name, NULL, (double)v * what->scale);
		return;
	}
	json_object_foreach(view, key, object)
	{
		json_int_t v = json_integer_value(json_object_get(object, what->member));
		lode_metrics_sample(m, what->name, (struct lode_label[]){{label, key}, {0}},
			(double)v * what->scale);
	}
}

/* What can be part of a name. drop_ counters are in the view of drops, summed up. */
static bool exported(const char *member)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
	return !member[strspn(member, letters)] && strncmp(member, "drop_", 5) != 0;
}

static void put_table(
	struct lode_metrics *m, json_t *view, const char *label, const char *prefix, json_t *table)
{
	char name[NAME_MAX_BYTES];
	const char *member;
	json_t *about;
	json_object_foreach(table, member, about)
	{
		struct measure what = counter_of(prefix, member, about, name);
		if (exported(member))
			put_counter(m, view, label, &what);
	}
}

static void put_status(struct lode_metrics *m, json_t *views)
{
	json_t *status = json_object_get(views, "status");
	for (size_t i = 0; i < LODE_ARRAY_LEN(status_measures); i++) {
		const struct measure *what = &status_measures[i];
		char name[NAME_MAX_BYTES];
		json_int_t v = json_integer_value(json_object_get(status, what->member));
		full_name(name, what->name);
		lode_metrics_family(m, name, what->type, what->help);
		lode_metrics_sample(m, name, NULL, (double)v * what->scale);
	}
}

static const char *text(json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));
	return s ? s : "";
}

static void put_info(struct lode_metrics *m, json_t *views)
{
	const char *role;
	json_t *v = json_object_get(views, "version"), *model;
	lode_metrics_family(m, "lodestone_gateway_info", GAUGE, "what runs, in its labels");
	lode_metrics_sample(m, "lodestone_gateway_info",
		(struct lode_label[]){{"name", text(json_object_get(views, "status"), "name")},
			{"version", text(v, "version")}, {"dpdk", text(v, "dpdk")},
			{"aead", text(v, "aead")}, {0}},
		1);
	lode_metrics_family(
		m, "lodestone_model_info", GAUGE, "the model of each role, in its labels");
	json_object_foreach(json_object_get(views, "models"), role, model) lode_metrics_sample(m,
		"lodestone_model_info",
		(struct lode_label[]){{"role", role}, {"name", text(model, "name")},
			{"format", text(model, "format")}, {"sha256", text(model, "sha256")}, {0}},
		1);
}

void lode_metrics_gateway(struct lode_metrics *m, const json_t *latest)
{
	const char *state = json_string_value(json_object_get(latest, "state"));
	bool up = state && !strcmp(state, "up");
	json_t *views = json_object_get(latest, "views"), *help = json_object_get(latest, "help");
	lode_metrics_family(
		m, "lodestone_gateway_up", GAUGE, "1 when the gateway answers its manager");
	lode_metrics_sample(m, "lodestone_gateway_up", NULL, up);
	if (!up)
		return;
	put_info(m, views);
	put_status(m, views);
	for (size_t i = 0; i < LODE_ARRAY_LEN(families); i++)
		for (size_t k = 0; k < families[i].n; k++)
			put_measure(m, &families[i], json_object_get(views, families[i].view),
				&families[i].measures[k]);
	put_flag(m, json_object_get(views, "paths"), &families[0], "state", "up", "path_up",
		"1 when it is usable");
	put_flag(m, json_object_get(views, "ports"), &families[2], "link", "up", "port_up",
		"1 when it has a link");
	put_flag(m, json_object_get(views, "peers"), &families[3], "session", "established",
		"peer_up", "1 with a session");
	for (size_t i = 0; i < LODE_ARRAY_LEN(counted); i++)
		put_table(m, json_object_get(views, counted[i].view), counted[i].label,
			counted[i].prefix, json_object_get(help, counted[i].table));
}
