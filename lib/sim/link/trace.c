/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_link.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t count_lines(const char *text, size_t len)
{
	uint32_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	return n + (len > 0 && text[len - 1] != '\n');
}

/* One whole number up to the end of the line. Returns the position behind it, NULL if it is none. */
static const char *parse_line(const char *p, const char *end, uint32_t *value)
{
	uint64_t v = 0;
	const char *digits = p;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		v = v * 10 + (uint64_t)(*p - '0');
		if (v > LODE_LINK_TRACE_MS_MAX)
			return NULL;
	}
	if (p == digits)
		return NULL;
	*value = (uint32_t)v;
	if (p < end && *p == '\r')
		p++;
	if (p < end && *p++ != '\n')
		return NULL;
	return p;
}

int lode_link_trace_parse(const char *name, const char *text, size_t len,
	struct lode_link_trace **out, struct lode_err *err)
{
	*out = NULL;
	if (len > 16ull * LODE_LINK_TRACE_LINES_MAX)
		return lode_err_set(err, -EINVAL, "%s: %zu bytes, at most %llu allowed", name, len,
			16ull * LODE_LINK_TRACE_LINES_MAX);
	uint32_t n = count_lines(text, len), last = 0;
	if (n == 0 || n > LODE_LINK_TRACE_LINES_MAX)
		return lode_err_set(err, -EINVAL, "%s: 1 to %u lines allowed, found %u", name,
			LODE_LINK_TRACE_LINES_MAX, n);
	struct lode_link_trace *t = malloc(sizeof(*t) + n * sizeof(t->ms[0]));
	if (!t)
		return lode_err_set(err, -ENOMEM, "%s: no memory for %u lines", name, n);
	const char *p = text, *end = text + len;
	for (t->n = 0; t->n < n; t->n++, last = t->ms[t->n - 1]) {
		p = parse_line(p, end, &t->ms[t->n]);
		if (p && t->ms[t->n] >= last)
			continue;
		int rc = lode_err_set(err, -EINVAL,
			"%s:%u: a millisecond count, not below the line before (%u) and at most "
			"%u, "
			"expected",
			name, t->n + 1, last, LODE_LINK_TRACE_MS_MAX);
		free(t);
		return rc;
	}
	t->period_ms = LODE_MAX(last, 1u);
	*out = t;
	return 0;
}

int lode_link_trace_load(const char *path, struct lode_link_trace **out, struct lode_err *err)
{
	*out = NULL;
	FILE *f = fopen(path, "rb");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	fseek(f, 0, SEEK_END);
	long size = ftell(f);
	rewind(f);
	int rc;
	char *text = size >= 0 && size <= 16l * LODE_LINK_TRACE_LINES_MAX ? malloc((size_t)size + 1)
									  : NULL;
	if (!text)
		rc = lode_err_set(err, -EFBIG, "%s: no file of at most %u bytes", path,
			16 * LODE_LINK_TRACE_LINES_MAX);
	else if (fread(text, 1, (size_t)size, f) != (size_t)size)
		rc = lode_err_set(err, -EIO, "%s: read failed", path);
	else
		rc = lode_link_trace_parse(path, text, (size_t)size, out, err);
	free(text);
	fclose(f);
	return rc;
}

/* Relative rate of each millisecond: exp of a mean-reverting walk, zero in gaps. */
static void draw_rates(const struct lode_link_trace_spec *spec, double *rate)
{
	struct lode_rng rng;
	lode_rng_seed(&rng, spec->seed);
	const double keep = 0.95; /* per 100 ms: half of a change is forgotten in 1.4 s */
	double x = lode_rng_normal(&rng), step = 0;
	double next_gap = lode_rng_exponential(&rng, spec->gap_every_ms), gap_end = 0;
	for (uint32_t ms = 0; ms < spec->length_ms; ms++) {
		if (ms % 100 == 0) {
			x = keep * x + sqrt(1 - keep * keep) * lode_rng_normal(&rng);
			step = exp(spec->spread * x);
		}
		if (spec->gap_every_ms && ms >= next_gap) {
			gap_end = ms + lode_rng_exponential(&rng, spec->gap_ms);
			next_gap = gap_end + lode_rng_exponential(&rng, spec->gap_every_ms);
		}
		rate[ms] = ms < gap_end ? 0 : step;
	}
}

static int check_spec(const struct lode_link_trace_spec *spec, double n, struct lode_err *err)
{
	if (spec->length_ms < 1000 || spec->length_ms > LODE_LINK_TRACE_MS_MAX)
		return lode_err_set(err, -EINVAL, "trace length: 1000 to %u ms allowed, found %u",
			LODE_LINK_TRACE_MS_MAX, spec->length_ms);
	if (!(n >= 1 && n <= LODE_LINK_TRACE_LINES_MAX))
		return lode_err_set(err, -EINVAL,
			"trace: mean rate x length gives %g packets, 1 to %u allowed", n,
			LODE_LINK_TRACE_LINES_MAX);
	if (!(spec->spread >= 0 && spec->spread <= 3))
		return lode_err_set(
			err, -EINVAL, "trace spread: 0 to 3 allowed, found %g", spec->spread);
	return 0;
}

int lode_link_trace_make(
	const struct lode_link_trace_spec *spec, struct lode_link_trace **out, struct lode_err *err)
{
	*out = NULL;
	double n = floor(
		(double)spec->mean_bps * spec->length_ms / (8e3 * LODE_LINK_OPPORTUNITY_BYTES));
	int rc = check_spec(spec, n, err);
	if (rc)
		return rc;
	double *rate = malloc(spec->length_ms * sizeof(*rate)), sum = 0;
	struct lode_link_trace *t = malloc(sizeof(*t) + (size_t)n * sizeof(t->ms[0]));
	if (!rate || !t) {
		free(rate);
		free(t);
		return lode_err_set(err, -ENOMEM, "trace: no memory for %g packets", n);
	}
	draw_rates(spec, rate);
	for (uint32_t ms = 0; ms < spec->length_ms; ms++)
		sum += rate[ms];
	/* Opportunity i lies where the integral of the rate passes i + 1; the last ends the period. */
	t->n = 0;
	double done = 0;
	for (uint32_t ms = 0; ms < spec->length_ms && sum > 0; ms++) {
		done += rate[ms] * n / sum;
		while (t->n < n - 1 && t->n + 1 <= done)
			t->ms[t->n++] = ms + 1;
	}
	while (t->n < n)
		t->ms[t->n++] = spec->length_ms;
	t->period_ms = spec->length_ms;
	free(rate);
	*out = t;
	return 0;
}

/* Opportunities at or before t_ms of one repetition, and of all before it. */
static uint64_t ops_before(const struct lode_link_trace *t, uint64_t t_ns)
{
	uint64_t period_ns = t->period_ms * LODE_NS_PER_MS;
	uint64_t ms = (t_ns % period_ns + LODE_NS_PER_MS - 1) / LODE_NS_PER_MS;
	uint32_t lo = 0, hi = t->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (t->ms[mid] < ms)
			lo = mid + 1;
		else
			hi = mid;
	}
	return t_ns / period_ns * t->n + lo;
}

uint64_t lode_link_trace_capacity(const struct lode_link_trace *t, uint64_t from_ns, uint64_t to_ns)
{
	if (to_ns <= from_ns)
		return 0;
	return (ops_before(t, to_ns) - ops_before(t, from_ns)) * LODE_LINK_OPPORTUNITY_BYTES;
}
