/* SPDX-License-Identifier: BSD-3-Clause */
#include "site.h"

#include "manager.h"

#include "lode_clock.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int refuse(const char *option, const char *allowed, const char *found)
{
	fprintf(stderr, "lodestone-manager: --%s: %s is expected, found '%.60s'\n", option, allowed,
		found);
	return -EINVAL;
}

static bool number(const char *s, uint64_t *v)
{
	*v = s[strspn(s, "0123456789")] ? 0 : strtoull(s, NULL, 10);
	return *v && *v != UINT64_MAX;
}

/* ADDRESS:PORT; an IPv6 address in brackets. */
static int take_listen(struct site *s, const char *text)
{
	const char *colon = strrchr(text, ':');
	bool v6 = *text == '[';
	size_t n = colon && colon - text > 2 ? (size_t)(colon - text) - 2 * v6 : 0;
	uint64_t port = 0;
	if (!n || n >= sizeof(s->relay_address) || (v6 && colon[-1] != ']') ||
		!number(colon + 1, &port) || port > UINT16_MAX)
		return refuse("relay-listen", "ADDRESS:PORT or [ADDRESS]:PORT", text);
	snprintf(s->relay_address, sizeof(s->relay_address), "%.*s", (int)n, text + v6);
	s->relay_port = (uint16_t)port;
	snprintf(s->own_relay, sizeof(s->own_relay), "http://%s", text);
	return 0;
}

int site_take(struct site *s, const char *option, const char *value)
{
	struct lode_err err;
	if (!strcmp(option, "relay-listen"))
		return take_listen(s, value);
	if (!strcmp(option, "bandwidth")) {
		if (!lode_pace_parse(value, &s->pace, &err))
			return 0;
		fprintf(stderr, "lodestone-manager: %s\n", err.msg);
		return -EINVAL;
	}
	uint64_t *to =
		!strcmp(option, "max-rate") ? &s->pace.max_bytes_per_s : &s->relay_cache_bytes;
	return number(value, to) ? 0 : refuse(option, "a number of bytes", value);
}

uint64_t site_now_ns(void *ctx)
{
	(void)ctx;
	return lode_clock_ns();
}

/* A signal ends it early: who sleeps looks whether to stop. */
void site_sleep_ns(void *ctx, uint64_t ns)
{
	const struct timespec t = {
		.tv_sec = (time_t)(ns / LODE_NS_PER_S), .tv_nsec = (long)(ns % LODE_NS_PER_S)};
	(void)ctx;
	nanosleep(&t, NULL);
}

/* The gateway is asked once a second. */
static uint64_t spare(struct site *s)
{
	uint64_t now = lode_clock_ns(), asked = atomic_load(&s->asked_ns);
	if (!s->gateway)
		return LODE_PACE_OPEN;
	if (now - asked >= LODE_NS_PER_S &&
		atomic_compare_exchange_strong(&s->asked_ns, &asked, now))
		atomic_store(&s->spare_bytes_per_s, lode_agent_spare(s->gateway));
	return atomic_load(&s->spare_bytes_per_s);
}

uint64_t site_rate(void *ctx)
{
	struct site *s = ctx;
	time_t now = time(NULL);
	struct tm t;
	localtime_r(&now, &t);
	return lode_pace_rate(&s->pace, (unsigned)(t.tm_hour * 60 + t.tm_min), spare(s));
}

int site_start_relay(struct site *s, const struct lode_agent_options *o, struct lode_relay **out,
	struct lode_err *err)
{
	char upstream[600], cache[PATH_MAX];
	*out = NULL;
	if (!*s->relay_address)
		return 0;
	snprintf(upstream, sizeof(upstream), "%s/api/v2/blobs", o->control_plane);
	snprintf(cache, sizeof(cache), "%s/relay", o->model_dir);
	const struct lode_relay_options r = {.address = s->relay_address,
		.port = s->relay_port,
		.cache_dir = cache,
		.cache_bytes = s->relay_cache_bytes,
		.upstream = {.url = upstream,
			.device = o->device_id,
			.token = o->token,
			.ca = o->ca,
			.cert = o->cert,
			.key = o->key},
		.fetch = {.stall_s = o->stall_s,
			.now_ns = o->now_ns,
			.sleep_ns = o->sleep_ns,
			.rate = o->rate,
			.log = o->log,
			.seed = o->seed + 1,
			.ctx = o->ctx}};
	return lode_relay_new(&r, out, err);
}
