/* SPDX-License-Identifier: BSD-3-Clause */
/* `lodectl trace` on the gateway's side: start, read, stop. One trace at a time; it ends by itself. All of it
 * belongs to the helper thread. */
#include "views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SECONDS_MAX	 600
#define PACKETS_MAX	 255 /* they keep their numbers apart so far */
#define RECORDS_PER_READ 1000

/* ---- the request: words "key value key value ..." ---- */

struct ask {
	struct gateway *g;
	struct lode_trace_filter filter;
	uint32_t n_packets, n_seconds;
};

static int bad_word(struct lode_err *err, const char *key, const char *value, const char *want)
{
	return lode_err_set(err, -EINVAL, "trace: %s \"%.60s\": want %s", key, value, want);
}

static int read_number(
	const char *key, const char *value, uint32_t max, uint32_t *out, struct lode_err *err)
{
	char *end, want[40];
	unsigned long n = strtoul(value, &end, 10);
	if (value[0] >= '0' && value[0] <= '9' && !*end && n >= 1 && n <= max) {
		*out = (uint32_t)n;
		return 0;
	}
	snprintf(want, sizeof(want), "a number from 1 to %" PRIu32, max);
	return bad_word(err, key, value, want);
}

static int read_port(const char *key, const char *value, uint16_t *port, struct lode_err *err)
{
	uint32_t n = 0;
	int rc = read_number(key, value, UINT16_MAX, &n, err);
	*port = (uint16_t)n;
	return rc;
}

static int read_protocol(struct ask *a, const char *value, struct lode_err *err)
{
	static const struct {
		const char *name;
		uint8_t number;
	} names[] = {{"icmp", IPPROTO_ICMP}, {"icmp6", IPPROTO_ICMPV6}, {"tcp", IPPROTO_TCP},
		{"udp", IPPROTO_UDP}};
	for (size_t i = 0; i < LODE_ARRAY_LEN(names); i++)
		if (!strcmp(value, names[i].name)) {
			a->filter.protocol = names[i].number;
			return 0;
		}
	uint32_t n = 0;
	int rc = read_number("proto", value, UINT8_MAX, &n, NULL);
	a->filter.protocol = (uint8_t)n;
	return rc ? bad_word(err, "proto", value, "icmp, icmp6, tcp, udp or 1 to 255") : 0;
}

static int read_class(struct ask *a, const char *value, struct lode_err *err)
{
	for (unsigned cls = 0; cls < LODE_N_CLASSES; cls++)
		if (!strcmp(value, lode_class_name((enum lode_class)cls))) {
			a->filter.any_of_classes |= (uint8_t)(1u << cls);
			return 0;
		}
	return bad_word(err, "class", value, "gaming, voip, streaming, bulk, web or management");
}

static int read_peer(struct ask *a, const char *value, struct lode_err *err)
{
	pthread_mutex_lock(&a->g->lock);
	int idx = lode_config_peer_by_name(lode_control_config(a->g->control), value);
	pthread_mutex_unlock(&a->g->lock);
	if (idx < 0)
		return bad_word(err, "peer", value, "the name of a peer");
	a->filter.peer = (uint8_t)(idx + 1);
	return 0;
}

static int read_word(struct ask *a, const char *key, const char *value, struct lode_err *err)
{
	struct lode_trace_filter *f = &a->filter;
	if (!strcmp(key, "n"))
		return read_number(key, value, PACKETS_MAX, &a->n_packets, err);
	if (!strcmp(key, "seconds"))
		return read_number(key, value, SECONDS_MAX, &a->n_seconds, err);
	if (!strcmp(key, "proto"))
		return read_protocol(a, value, err);
	if (!strcmp(key, "src") || !strcmp(key, "dst"))
		return lode_ip_parse(value, *key == 's' ? &f->src : &f->dst)
			       ? bad_word(err, key, value, "an IPv4 or IPv6 address")
			       : 0;
	if (!strcmp(key, "sport") || !strcmp(key, "dport"))
		return read_port(key, value, *key == 's' ? &f->sport : &f->dport, err);
	if (!strcmp(key, "class"))
		return read_class(a, value, err);
	if (!strcmp(key, "peer"))
		return read_peer(a, value, err);
	return lode_err_set(err, -EINVAL,
		"trace: unknown word \"%.40s\"; known: n seconds proto src dst sport dport class "
		"peer, each with a value",
		key);
}

static int read_request(struct ask *a, const char *params, struct lode_err *err)
{
	char text[512], *state = NULL;
	if (snprintf(text, sizeof(text), "%s", params) >= (int)sizeof(text))
		return lode_err_set(err, -EINVAL, "trace: longer than %zu bytes", sizeof(text) - 1);
	for (char *key = strtok_r(text, " ", &state); key; key = strtok_r(NULL, " ", &state)) {
		char *value = strtok_r(NULL, " ", &state);
		int rc = read_word(a, key, value ? value : "", err);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- commands ---- */

static uint64_t lost_records(struct gateway *g)
{
	uint64_t lost = 0;
	for (unsigned w = 0; w < g->config->n_workers; w++)
		lost += lode_ring_lost(lode_worker_rings(g->workers[w].worker)->trace);
	return lost;
}

static void ask_workers(struct gateway *g, const struct lode_trace_filter *filter, uint32_t n)
{
	struct lode_trace_record r;
	for (unsigned w = 0; w < g->config->n_workers; w++) {
		struct lode_worker *worker = g->workers[w].worker;
		while (n && lode_ring_pop(lode_worker_rings(worker)->trace, &r))
			; /* of an earlier trace that nobody read to its end */
		lode_worker_trace(worker, filter, n);
	}
}

int trace_start(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct ask a = {.g = g, .n_packets = 1, .n_seconds = 30};
	int rc = read_request(&a, params, err);
	if (rc)
		return rc;
	ask_workers(g, &a.filter, a.n_packets);
	g->trace.serial++;
	g->trace.lost = lost_records(g);
	g->trace.until_ns = now_ns() + a.n_seconds * LODE_NS_PER_S;
	lode_json_u64(j, "trace", g->trace.serial);
	return 0;
}

static void stop(struct gateway *g)
{
	const struct lode_trace_filter none = {0};
	if (g->trace.until_ns)
		ask_workers(g, &none, 0);
	g->trace.until_ns = 0;
}

void trace_run(struct gateway *g, uint64_t now)
{
	if (now >= g->trace.until_ns)
		stop(g);
}

static int check_serial(struct gateway *g, const char *params, struct lode_err *err)
{
	char *end;
	uint64_t serial = strtoull(params, &end, 10);
	if (end == params || *end)
		return lode_err_set(err, -EINVAL, "trace: want the number that trace/start gave");
	if (serial != g->trace.serial)
		return lode_err_set(
			err, -ESTALE, "trace %" PRIu64 " has ended: another was started", serial);
	return 0;
}

int trace_stop(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	int rc = check_serial(g, params, err);
	if (!rc)
		stop(g);
	return rc;
}

/* Name of the link of a path, "" if it is not known any more. */
static void put_path(struct gateway *g, struct lode_json *j, const struct lode_packet_id *id)
{
	struct lode_peer_status s;
	if (id->peer_idx == LODE_NO_PEER ||
		lode_control_peer_status(g->control, id->peer_idx, now_ns(), &s))
		return;
	lode_json_string(j, "peer", s.name);
	for (unsigned i = 0; i < s.n_paths; i++)
		if (s.paths[i].path == id->path)
			lode_json_string(j, "path", s.paths[i].name);
}

static void put_record(struct gateway *g, struct lode_json *j, const struct lode_trace_record *r)
{
	char text[INET6_ADDRSTRLEN + 10], protocol[12];
	const struct lode_packet_id *id = &r->id;
	lode_json_object(j, NULL);
	lode_json_u64(j, "packet", r->worker_idx * 256u + r->packet);
	lode_json_u64(j, "at_ns", r->at_ns);
	lode_json_string(j, "stage", r->stage);
	if (r->detail)
		lode_json_string(j, "detail", r->detail);
	if (!lode_ip_is_none(&id->src)) {
		lode_json_string(j, "proto", format_protocol(id->protocol, protocol));
		format_endpoint(&id->src, id->sport, text, sizeof(text));
		lode_json_string(j, "src", text);
		format_endpoint(&id->dst, id->dport, text, sizeof(text));
		lode_json_string(j, "dst", text);
	}
	lode_json_string(j, "class", lode_class_name((enum lode_class)id->cls));
	lode_json_string(j, "port", port_name(g, id->rx_port));
	lode_json_u64(j, "bytes", id->len_bytes);
	put_path(g, j, id);
	lode_json_close_object(j);
}

int trace_read(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err)
{
	struct lode_trace_record r;
	unsigned n = 0;
	int rc = check_serial(g, params, err);
	if (rc)
		return rc;
	lode_json_bool(j, "running", g->trace.until_ns != 0);
	lode_json_array(j, "records");
	pthread_mutex_lock(&g->lock);
	for (unsigned w = 0; w < g->config->n_workers; w++) {
		struct lode_ring *ring = lode_worker_rings(g->workers[w].worker)->trace;
		for (; n < RECORDS_PER_READ && lode_ring_pop(ring, &r); n++)
			put_record(g, j, &r);
	}
	pthread_mutex_unlock(&g->lock);
	lode_json_close_array(j);
	lode_json_u64(j, "lost_records", lost_records(g) - g->trace.lost);
	return 0;
}
