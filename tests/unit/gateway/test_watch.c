/* SPDX-License-Identifier: BSD-3-Clause */
/* Words of packets and times, requests for a trace. The workers' side is in tests/unit/worker; the whole in
 * tests/e2e/test_tools. */
#include <criterion/criterion.h>

#include "views.h"

#include <stdlib.h>
#include <time.h>

static struct gateway *make(void)
{
	struct gateway *g = calloc(1, sizeof(*g));
	g->config = calloc(1, sizeof(*g->config));
	g->config->n_ports = 1;
	strcpy(g->config->ports[0].name, "lan0");
	log_init(&g->log);
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

static void finish(struct gateway *g)
{
	free(g->config);
	free(g);
}

static struct lode_ip ip_of(const char *text)
{
	struct lode_ip ip;
	cr_assert_eq(lode_ip_parse(text, &ip), 0);
	return ip;
}

Test(format, packets_in_words)
{
	struct gateway *g = make();
	struct lode_packet_id id = {.src = ip_of("10.1.0.2"),
		.dst = ip_of("2001:db8::1"),
		.sport = 5000,
		.dport = 53,
		.protocol = 17,
		.len_bytes = 99};
	char text[160];
	format_packet(g, &id, text, sizeof(text));
	cr_assert_str_eq(text, "udp 10.1.0.2:5000 > [2001:db8::1]:53, lan0, 99 bytes");
	id.sport = id.dport = 0;
	id.protocol = 47;
	id.rx_port = LODE_HOST_PORT;
	format_packet(g, &id, text, sizeof(text));
	cr_assert_str_eq(text, "proto 47 10.1.0.2 > 2001:db8::1, lode0, 99 bytes");
	id.src = (struct lode_ip){0};
	format_packet(g, &id, text, sizeof(text));
	cr_assert_str_eq(text, "not readable, lode0, 99 bytes");
	finish(g);
}

Test(format, times_of_the_wall)
{
	char text[40];
	struct tm tm = {0};
	int ms = -1;
	format_wall_time(now_ns() - 1500 * LODE_NS_PER_MS, text, sizeof(text));
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	cr_assert(rest && sscanf(rest, ".%3dZ", &ms) == 1, "%s", text);
	double ago = difftime(time(NULL), timegm(&tm)) - ms / 1000.0;
	cr_assert(ago > -1 && ago < 60, "%s is %f s ago", text, ago);
}

/* 0, or the code of the refusal. */
static int start(struct gateway *g, const char *params, struct lode_err *err)
{
	char buf[200];
	struct lode_json j;
	lode_json_begin(&j, buf, sizeof(buf));
	lode_json_object(&j, NULL);
	return trace_start(g, params, &j, err);
}

Test(trace, requests_are_checked)
{
	struct gateway *g = make();
	static const struct {
		const char *params, *message;
	} bad[] = {
		{"n 0", "n \"0\": want a number from 1 to 255"},
		{"n 256", "from 1 to 255"},
		{"n -1", "from 1 to 255"},
		{"n", "n \"\": want a number"},
		{"seconds 601", "from 1 to 600"},
		{"proto ipx", "want icmp, icmp6, tcp, udp or 1 to 255"},
		{"proto 0", "want icmp"},
		{"src 10.1.0", "want an IPv4 or IPv6 address"},
		{"dport 65536", "from 1 to 65535"},
		{"class fast", "want gaming, voip"},
		{"color red", "unknown word \"color\""},
	};
	for (size_t i = 0; i < LODE_ARRAY_LEN(bad); i++) {
		struct lode_err err = {0};
		cr_assert_eq(start(g, bad[i].params, &err), -EINVAL, "%s", bad[i].params);
		cr_assert(strstr(err.msg, bad[i].message), "%s: %s", bad[i].params, err.msg);
	}
	cr_assert_eq(g->trace.serial, 0, "a refused request ended the running one");
	char long_text[600];
	memset(long_text, ' ', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	cr_assert_eq(start(g, long_text, NULL), -EINVAL);
	static const char *const good[] = {"", "  n 255  seconds 600 ", "class web class voip",
		"proto 89 src ::1 dst 10.1.0.1 sport 1 dport 65535"};
	for (size_t i = 0; i < LODE_ARRAY_LEN(good); i++)
		cr_assert_eq(start(g, good[i], NULL), 0, "%s", good[i]);
	finish(g);
}

Test(trace, ends_by_itself_and_a_later_one_takes_over)
{
	struct gateway *g = make();
	char buf[200];
	struct lode_json j;
	struct lode_err err = {0};
	cr_assert_eq(start(g, "seconds 2", NULL), 0);
	trace_run(g, now_ns());
	cr_assert_neq(g->trace.until_ns, 0);
	trace_run(g, now_ns() + 3 * LODE_NS_PER_S);
	cr_assert_eq(g->trace.until_ns, 0);
	cr_assert_eq(start(g, "", NULL), 0);
	lode_json_begin(&j, buf, sizeof(buf));
	cr_assert_eq(trace_read(g, "1", &j, &err), -ESTALE);
	cr_assert(strstr(err.msg, "another was started"), "%s", err.msg);
	cr_assert_eq(trace_stop(g, "1", &j, &err), -ESTALE);
	cr_assert_neq(g->trace.until_ns, 0, "the old one stopped the new one");
	cr_assert_eq(trace_stop(g, "2", &j, &err), 0);
	cr_assert_eq(g->trace.until_ns, 0);
	cr_assert_eq(trace_read(g, "two", &j, &err), -EINVAL);
	finish(g);
}
