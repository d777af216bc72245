/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_fetch.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_MIN (24 * 60)

static bool read_rate(const char *text, uint64_t *rate)
{
	static const char units[] = "kMG";
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	uint64_t scale = 1, v = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	for (const char *u = units; unit && u <= unit; u++)
		scale *= 1000;
	*rate = v * scale;
	return (!*end || (unit && !end[1])) && v <= UINT32_MAX;
}

static bool read_window(const char *word, struct lode_pace_window *w)
{
	unsigned h0, m0, h1, m1;
	int at = 0;
	if (sscanf(word, "%2u:%2u-%2u:%2u=%n", &h0, &m0, &h1, &m1, &at) != 4 || !at)
		return false;
	w->from_min = (uint16_t)(h0 * 60 + m0);
	w->to_min = (uint16_t)(h1 * 60 + m1);
	return m0 < 60 && m1 < 60 && w->from_min < DAY_MIN && w->to_min <= DAY_MIN &&
	       w->from_min != w->to_min && read_rate(word + at, &w->bytes_per_s);
}

int lode_pace_parse(const char *text, struct lode_pace *pace, struct lode_err *err)
{
	char word[64];
	unsigned n = 0;
	for (const char *at = text + strspn(text, " "); *at; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");
		if (n == LODE_PACE_WINDOWS_MAX)
			return lode_err_set(
				err, -EINVAL, "bandwidth: up to %d windows", LODE_PACE_WINDOWS_MAX);
		snprintf(word, sizeof(word), "%.*s", (int)LODE_MIN(len, sizeof(word)), at);
		if (len >= sizeof(word) || !read_window(word, &pace->windows[n++]))
			return lode_err_set(err, -EINVAL,
				"bandwidth: HH:MM-HH:MM=RATE is expected (bytes per second, with "
				"k, M or G), found '%.40s'",
				word);
		at += len;
	}
	pace->n_windows = n;
	return 0;
}

static bool inside(const struct lode_pace_window *w, unsigned minute)
{
	return w->from_min < w->to_min ? minute >= w->from_min && minute < w->to_min
				       : minute >= w->from_min || minute < w->to_min;
}

uint64_t lode_pace_rate(const struct lode_pace *pace, unsigned minute, uint64_t spare_bytes_per_s)
{
	uint64_t rate = pace->max_bytes_per_s ? pace->max_bytes_per_s : LODE_PACE_OPEN;
	for (unsigned i = 0; i < pace->n_windows; i++)
		if (inside(&pace->windows[i], minute)) {
			rate = LODE_MIN(rate, pace->windows[i].bytes_per_s);
			break; /* the first that fits */
		}
	return LODE_MIN(rate, spare_bytes_per_s);
}
