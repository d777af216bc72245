/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "exposition.h"
#include "lode_metrics.h"

#include <math.h>
#include <stdlib.h>

static const char views[] =
	"{\"state\":\"up\",\"views\":{"
	"\"status\":{\"name\":\"a "
	"\\\"b\\\"\\\\c\\nd\",\"up_s\":7,\"paths\":2,\"paths_up\":1,\"failovers\":3},"
	"\"version\":{\"version\":\"1\",\"dpdk\":\"d\",\"aead\":\"x\"},"
	"\"paths\":{\"site-b/"
	"fibre\":{\"state\":\"up\",\"rtt_us\":1500,\"loss_ppm\":2500,\"tx_bytes\":10},"
	"\"site-b/lte\":{\"state\":\"down\",\"rtt_us\":0,\"loss_ppm\":-4,\"tx_bytes\":\"text\"}},"
	"\"workers\":{\"0\":{\"load_permille\":250,\"lan_rx\":9,\"drop_ttl\":2,\"busy_ns\":"
	"1500000000,\"longest_loop_ns\":2000},\"1\":{\"lan_rx\":"
	"8}},"
	"\"drops\":{\"worker/ttl\":{\"count\":2}},\"ports\":{\"wan0\":{\"link\":\"up\"}},"
	"\"models\":{\"loss\":{\"name\":\"m\"}},\"fec\":[],\"classes\":7,\"peers\":null},"
	"\"help\":{\"worker\":{\"lan_rx\":{\"help\":\"back\\\\slash\\nline\"},\"drop_ttl\":{"
	"\"help\":\"x\"},\"busy_ns\":{},\"longest_loop_ns\":{}},"
	"\"control\":{\"failovers\":{}}}}";

static char *text_of(const char *json)
{
	struct lode_metrics m;
	size_t len;
	json_t *latest = json_loads(json, 0, NULL);
	cr_assert_not_null(latest);
	cr_assert_eq(lode_metrics_begin(&m), 0);
	lode_metrics_gateway(&m, latest);
	char *text = lode_metrics_end(&m, &len);
	cr_assert_eq(strlen(text), len);
	json_decref(latest);
	return text;
}

Test(metrics, gateway_views_become_families)
{
	static const struct {
		const char *series;
		double value;
	} rows[] = {
		{"lodestone_gateway_up", 1},
		{"lodestone_path_rtt_seconds{peer=\"site-b\",path=\"fibre\"}", 0.0015},
		{"lodestone_path_loss_ratio{peer=\"site-b\",path=\"fibre\"}", 0.0025},
		{"lodestone_path_up{peer=\"site-b\",path=\"fibre\"}", 1},
		{"lodestone_path_up{peer=\"site-b\",path=\"lte\"}", 0},
		{"lodestone_worker_load_ratio{worker=\"0\"}", 0.25},
		{"lodestone_worker_lan_rx_total{worker=\"1\"}", 8},
		{"lodestone_worker_busy_seconds_total{worker=\"0\"}", 1.5},
		{"lodestone_worker_longest_loop_seconds{worker=\"0\"}", 2e-6},
		{"lodestone_drops_total{table=\"worker\",reason=\"ttl\"}", 2},
		{"lodestone_control_failovers_total", 3},
		{"lodestone_port_up{port=\"wan0\"}", 1},
		{"lodestone_gateway_info{name=\"a "
		 "\\\"b\\\"\\\\c\\nd\",version=\"1\",dpdk=\"d\",aead=\"x\"}",
			1},
	};
	char *text = text_of(views);
	exposition_check(text);
	for (size_t i = 0; i < LODE_ARRAY_LEN(rows); i++)
		cr_assert_float_eq(exposition_value(text, rows[i].series), rows[i].value, 1e-12,
			"%s in:\n%s", rows[i].series, text);
	cr_assert(strstr(text, "# HELP lodestone_worker_lan_rx_total back\\\\slash\\nline\n"));
	cr_assert_null(strstr(text, "drop_ttl"), "drops are one family");
	cr_assert(isnan(exposition_value(
		text, "lodestone_path_transmit_bytes_total{peer=\"site-b\",path=\"lte\"}")));
	free(text);
}

Test(metrics, a_gateway_that_is_down_shows_no_old_figures)
{
	char *text = text_of("{\"state\":\"down\",\"views\":{\"status\":{\"up_s\":7}}}");
	cr_assert_eq(exposition_check(text), 1);
	cr_assert_eq(exposition_value(text, "lodestone_gateway_up"), 0);
	free(text);
}

Test(metrics, histograms_add_up)
{
	struct lode_hist *h = calloc(1, sizeof(*h));
	struct lode_metrics m;
	size_t len;
	static const uint64_t ns[] = {100, 9000, 10000, 1000000, 3000000000, 900000000000};
	for (size_t i = 0; i < LODE_ARRAY_LEN(ns); i++)
		lode_hist_add(h, ns[i]);
	cr_assert_eq(lode_metrics_begin(&m), 0);
	lode_metrics_histogram_ns(&m, "wait_seconds", "how long", h);
	char *text = lode_metrics_end(&m, &len);
	exposition_check(text);
	cr_assert_eq(exposition_value(text, "wait_seconds_bucket{le=\"8.192e-06\"}"), 1);
	cr_assert_eq(exposition_value(text, "wait_seconds_bucket{le=\"1.6384e-05\"}"), 3);
	cr_assert_eq(exposition_value(text, "wait_seconds_bucket{le=\"68.7194767\"}"), 5);
	cr_assert_eq(exposition_value(text, "wait_seconds_bucket{le=\"+Inf\"}"), 6);
	cr_assert_eq(exposition_value(text, "wait_seconds_count"), 6);
	cr_assert_float_eq(exposition_value(text, "wait_seconds_sum"), 903.0010191, 1e-6);
	free(text);
	free(h);
}

Test(metrics, numbers_that_are_none)
{
	struct lode_metrics m;
	size_t len;
	cr_assert_eq(lode_metrics_begin(&m), 0);
	lode_metrics_family(&m, "x", LODE_METRIC_GAUGE, "odd values");
	lode_metrics_sample(&m, "x", (struct lode_label[]){{"v", "nan"}, {0}}, NAN);
	lode_metrics_sample(&m, "x", (struct lode_label[]){{"v", "inf"}, {0}}, -INFINITY);
	char *text = lode_metrics_end(&m, &len);
	cr_assert_str_eq(
		text, "# HELP x odd values\n# TYPE x gauge\nx{v=\"nan\"} NaN\nx{v=\"inf\"} -Inf\n");
	free(text);
}
