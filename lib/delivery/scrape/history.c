/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of samples per path. Rates come from its byte counters: what went over it, not what it could carry. */
#include "scrape.h"

#include <stdlib.h>

#define SERIES_MAX 512 /* 64 peers with 8 links */

struct sample {
	int64_t t_ms;
	bool up;    /* else round trip time and loss mean nothing */
	bool rated; /* there was a sample before, to take rates from */
	uint32_t rtt_us, loss_ppm, tx_kbps, rx_kbps;
};

struct series {
	char name[2 * LODE_NAME_MAX + 2];
	uint64_t tx_bytes, rx_bytes; /* at the newest sample */
	int64_t t_ms;		     /* of it; 0: none yet */
	unsigned n;		     /* samples ever */
	struct sample ring[LODE_SCRAPE_SAMPLES];
};

struct history {
	unsigned n;
	struct series *series[SERIES_MAX];
};

struct history *history_new(void)
{
	return calloc(1, sizeof(struct history));
}

void history_free(struct history *h)
{
	if (!h)
		return;
	for (unsigned i = 0; i < h->n; i++)
		free(h->series[i]);
	free(h);
}

static struct series *series_of(struct history *h, const char *name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (!strcmp(h->series[i]->name, name))
			return h->series[i];
	if (h->n == SERIES_MAX || strlen(name) >= sizeof(h->series[0]->name))
		return NULL;
	struct series *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	memcpy(s->name, name, strlen(name) + 1);
	h->series[h->n++] = s;
	return s;
}

static uint64_t number(const json_t *obj, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(obj, key));
	return v > 0 ? (uint64_t)v : 0;
}

/* A gateway that started again counts from 0. */
static uint32_t rate_kbps(uint64_t now, uint64_t then, int64_t span_ms)
{
	return now < then || span_ms <= 0
		       ? 0
		       : (uint32_t)LODE_MIN((now - then) * 8 / (uint64_t)span_ms, UINT32_MAX);
}

static void add_sample(struct series *s, const json_t *path, int64_t now_ms)
{
	const char *state = json_string_value(json_object_get(path, "state"));
	uint64_t tx = number(path, "tx_bytes"), rx = number(path, "rx_bytes");
	int64_t span_ms = s->t_ms ? now_ms - s->t_ms : 0;
	s->ring[s->n++ % LODE_SCRAPE_SAMPLES] = (struct sample){
		.t_ms = now_ms,
		.up = state && !strcmp(state, "up"),
		.rated = span_ms > 0,
		.rtt_us = (uint32_t)LODE_MIN(number(path, "rtt_us"), UINT32_MAX),
		.loss_ppm = (uint32_t)LODE_MIN(number(path, "loss_ppm"), 1000000u),
		.tx_kbps = rate_kbps(tx, s->tx_bytes, span_ms),
		.rx_kbps = rate_kbps(rx, s->rx_bytes, span_ms),
	};
	s->tx_bytes = tx;
	s->rx_bytes = rx;
	s->t_ms = now_ms;
}

/* A path that is gone for as long as the ring remembers makes room. */
static void forget(struct history *h, int64_t now_ms)
{
	int64_t oldest_ms = now_ms - (int64_t)LODE_SCRAPE_SAMPLES * LODE_SCRAPE_INTERVAL_MS;
	for (unsigned i = 0; i < h->n;) {
		if (h->series[i]->t_ms >= oldest_ms) {
			i++;
			continue;
		}
		free(h->series[i]);
		h->series[i] = h->series[--h->n];
	}
}

void history_add(struct history *h, const json_t *paths, int64_t now_ms)
{
	const char *name;
	json_t *path;
	json_object_foreach((json_t *)paths, name, path)
	{
		struct series *s = series_of(h, name);
		if (s)
			add_sample(s, path, now_ms);
	}
	forget(h, now_ms);
}

static json_t *columns(const struct series *s, int64_t since_ms)
{
	json_t *t = json_array(), *rtt = json_array(), *loss = json_array();
	json_t *tx = json_array(), *rx = json_array();
	unsigned first = s->n > LODE_SCRAPE_SAMPLES ? s->n - LODE_SCRAPE_SAMPLES : 0;
	for (unsigned i = first; i < s->n; i++) {
		const struct sample *p = &s->ring[i % LODE_SCRAPE_SAMPLES];
		if (p->t_ms <= since_ms)
			continue;
		json_array_append_new(t, json_integer(p->t_ms));
		json_array_append_new(rtt, p->up ? json_integer(p->rtt_us) : json_null());
		json_array_append_new(loss, p->up ? json_integer(p->loss_ppm) : json_null());
		json_array_append_new(tx, p->rated ? json_integer(p->tx_kbps) : json_null());
		json_array_append_new(rx, p->rated ? json_integer(p->rx_kbps) : json_null());
	}
	return json_pack("{s:o,s:o,s:o,s:o,s:o}", "t_ms", t, "rtt_us", rtt, "loss_ppm", loss,
		"tx_kbps", tx, "rx_kbps", rx);
}

json_t *history_since(const struct history *h, int64_t since_ms)
{
	json_t *paths = json_object();
	for (unsigned i = 0; i < h->n; i++)
		json_object_set_new(paths, h->series[i]->name, columns(h->series[i], since_ms));
	return json_pack("{s:i,s:o}", "interval_ms", LODE_SCRAPE_INTERVAL_MS, "paths", paths);
}
