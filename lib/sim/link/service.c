/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#define OUTAGES_SKIPPED_MAX 1024 /* a trace whose opportunities all lie in outages gives up here */

void service_set(struct service *s, const struct lode_link_config *c, uint64_t now_ns)
{
	bool same_trace = c->trace && c->trace == s->trace;
	s->trace = c->trace;
	s->byte_ns_q32 = 0;
	if (c->rate_bps &&
		!c->trace) { /* rounded up: a whole number of ns must not end one early */
		unsigned __int128 byte_ns_q32 = (unsigned __int128)(8 * LODE_NS_PER_S) << 32;
		s->byte_ns_q32 = (uint64_t)((byte_ns_q32 + c->rate_bps - 1) / c->rate_bps);
	}
	s->outage_every_ns = c->outage_every_ns;
	s->outage_for_ns = c->outage_for_ns;
	if (same_trace)
		return;
	s->free_ns = now_ns;
	s->free_frac = 0;
	s->cycle_ns = s->start_ns;
	s->op_idx = 0;
	s->op_left_bytes = LODE_LINK_OPPORTUNITY_BYTES;
}

/* t itself, or the end of the outage that t lies in. */
static uint64_t after_outage(const struct service *s, uint64_t t_ns)
{
	if (s->outage_every_ns == 0)
		return t_ns;
	uint64_t phase = (t_ns - s->start_ns) % s->outage_every_ns;
	bool out = phase >= s->outage_every_ns - s->outage_for_ns;
	return out ? t_ns - phase + s->outage_every_ns : t_ns;
}

static uint64_t op_ns(const struct service *s)
{
	return s->cycle_ns + s->trace->ms[s->op_idx] * LODE_NS_PER_MS;
}

static void next_op(struct service *s)
{
	s->op_left_bytes = LODE_LINK_OPPORTUNITY_BYTES;
	if (++s->op_idx == s->trace->n) {
		s->op_idx = 0;
		s->cycle_ns += s->trace->period_ms * LODE_NS_PER_MS;
	}
}

/* First index from op_idx on whose time is not before t; n if none in this repetition. */
static uint32_t lower_bound(const struct service *s, uint64_t t_ns)
{
	uint64_t ms = t_ns <= s->cycle_ns
			      ? 0
			      : (t_ns - s->cycle_ns + LODE_NS_PER_MS - 1) / LODE_NS_PER_MS;
	uint32_t lo = s->op_idx, hi = s->trace->n;
	for (uint32_t step = 1; lo + step < hi && s->trace->ms[lo + step] < ms; step *= 2)
		lo += step;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (s->trace->ms[mid] < ms)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Moves on to the first opportunity not before t; what passes by unused is lost. */
static void seek(struct service *s, uint64_t t_ns)
{
	if (op_ns(s) >= t_ns)
		return;
	uint64_t period_ns = s->trace->period_ms * LODE_NS_PER_MS;
	if (t_ns > s->cycle_ns + period_ns) {
		s->cycle_ns += (t_ns - s->cycle_ns - 1) / period_ns * period_ns;
		s->op_idx = 0;
	}
	uint32_t i = lower_bound(s, t_ns);
	s->op_left_bytes = LODE_LINK_OPPORTUNITY_BYTES;
	if (i == s->trace->n) {
		s->cycle_ns += period_ns;
		i = 0;
	}
	s->op_idx = i;
}

/* As seek, past outages too; leaves an opportunity with bytes left. */
static uint64_t seek_open(struct service *s, uint64_t t_ns)
{
	for (int i = 0; i < OUTAGES_SKIPPED_MAX; i++) {
		seek(s, t_ns);
		if (s->op_left_bytes == 0)
			next_op(s);
		uint64_t at = op_ns(s);
		t_ns = after_outage(s, at);
		if (t_ns == at)
			break;
	}
	return op_ns(s);
}

uint64_t service_begin(struct service *s, uint64_t arrival_ns)
{
	if (s->trace)
		return seek_open(s, arrival_ns);
	if (arrival_ns > s->free_ns) {
		s->free_ns = arrival_ns;
		s->free_frac = 0;
	}
	return after_outage(s, s->free_ns);
}

static uint64_t send_by_trace(struct service *s, uint32_t bytes)
{
	while (bytes > s->op_left_bytes) {
		bytes -= s->op_left_bytes;
		next_op(s);
		seek_open(s, op_ns(s));
	}
	s->op_left_bytes -= bytes;
	return op_ns(s);
}

uint64_t service_send(struct service *s, uint64_t begin_ns, uint32_t bytes)
{
	if (s->trace)
		return send_by_trace(s, bytes);
	unsigned __int128 work = (unsigned __int128)s->byte_ns_q32 * bytes + s->free_frac;
	uint64_t done_ns = begin_ns + (uint64_t)(work >> 32);
	/* An outage in the middle halts the sending. */
	if (after_outage(s, done_ns) != done_ns)
		done_ns += s->outage_for_ns;
	s->free_ns = done_ns;
	s->free_frac = (uint32_t)work;
	return done_ns;
}
