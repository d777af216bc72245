/* SPDX-License-Identifier: BSD-3-Clause */
#include "record.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *folder, *suffix;
	/* Column of a comma-separated line, and what one of its units is in kbit/s; column -1: mahimahi. */
	int column;
	double kbps;
} sets[] = {
	{"mahimahi-traces", ".up", -1, 0},
	{"mahimahi-traces", ".down", -1, 0},
	{"pantheon-calibrated", ".trace", -1, 0},
	{"starlink-leocc", ".down", -1, 0},
	{"lte-nyu-mets", ".csv", 0, 1000},
	{"cellular-5g-ucc", ".csv", 8, 1},
};

static bool ends_with(const char *text, const char *suffix)
{
	size_t n = strlen(text), m = strlen(suffix);
	return n > m && strcmp(text + n - m, suffix) == 0;
}

static void add_up(struct real_trace *t)
{
	double sum = 0;
	for (uint32_t i = 0; i < t->n; i++)
		sum += t->kbps[i];
	t->mean_kbps = t->n ? sum / t->n : 0;
}

static int load_mahimahi(struct real_trace *t, const char *path, struct lode_err *err)
{
	struct lode_link_trace *link;
	int rc = lode_link_trace_load(path, &link, err);
	if (rc)
		return rc;
	t->step_ms = 1;
	t->n = link->period_ms;
	t->kbps = calloc(t->n + 1, sizeof(*t->kbps));
	for (uint32_t i = 0; t->kbps && i < link->n; i++)
		t->kbps[LODE_MIN(link->ms[i], t->n - 1)] += LODE_LINK_OPPORTUNITY_BYTES * 8;
	free(link);
	return t->kbps ? 0 : lode_err_set(err, -ENOMEM, "%s: no memory", path);
}

/* The number in a column; -1: none. */
static double cell(const char *line, int column)
{
	char *end;
	for (; column > 0 && line; column--) {
		line = strchr(line, ',');
		line += line != NULL;
	}
	double value = line ? strtod(line, &end) : -1;
	return line && end != line ? value : -1;
}

static int load_column(
	struct real_trace *t, const char *path, int column, double kbps, struct lode_err *err)
{
	char line[512];
	FILE *f = fopen(path, "r");
	if (!f)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	t->step_ms = 1000;
	while (fgets(line, sizeof(line), f)) {
		double value = cell(line, column);
		if (value < 0)
			continue;
		if (t->n % 1024 == 0)
			t->kbps = realloc(t->kbps, (t->n + 1024) * sizeof(*t->kbps));
		t->kbps[t->n++] = (uint32_t)(value * kbps);
	}
	fclose(f);
	return 0;
}

static int load_losses(struct real_traces *all, const char *folder)
{
	char path[512], line[512];
	snprintf(path, sizeof(path), "%s/starlink-road/ping-jan-2024.csv", folder);
	FILE *f = fopen(path, "r");
	if (!f)
		return -ENOENT;
	while (fgets(line, sizeof(line), f)) {
		double percent = cell(line, 4);
		if (percent < 0 || percent > 30) /* more is an outage */
			continue;
		if (all->n_losses % 1024 == 0)
			all->losses =
				realloc(all->losses, (all->n_losses + 1024) * sizeof(*all->losses));
		all->losses[all->n_losses++] = (float)(percent / 100);
	}
	fclose(f);
	return all->n_losses ? 0 : -ENOENT;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct real_trace *)a)->name, ((const struct real_trace *)b)->name);
}

static int load_set(struct real_traces *all, const char *folder, unsigned set, struct lode_err *err)
{
	char path[512];
	struct dirent *entry;
	int rc = 0;
	snprintf(path, sizeof(path), "%s/%s", folder, sets[set].folder);
	DIR *d = opendir(path);
	if (!d)
		return lode_err_set(err, -errno, "%s: %s", path, strerror(errno));
	while (!rc && (entry = readdir(d)) && all->n < TRACES_MAX) {
		struct real_trace *t = &all->traces[all->n];
		if (!ends_with(entry->d_name, sets[set].suffix))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", folder, sets[set].folder, entry->d_name);
		snprintf(t->name, sizeof(t->name), "%.60s", entry->d_name);
		rc = sets[set].column < 0
			     ? load_mahimahi(t, path, err)
			     : load_column(t, path, sets[set].column, sets[set].kbps, err);
		add_up(t);
		if (t->mean_kbps > 200)
			all->n++;
		else
			free(t->kbps);
		if (t->mean_kbps <= 200)
			*t = (struct real_trace){0};
	}
	closedir(d);
	return rc;
}

int real_traces_load(struct real_traces *all, const char *folder, struct lode_err *err)
{
	int rc = 0;
	*all = (struct real_traces){0};
	for (unsigned i = 0; !rc && i < LODE_ARRAY_LEN(sets); i++)
		rc = load_set(all, folder, i, err);
	if (!rc && load_losses(all, folder))
		rc = lode_err_set(err, -ENOENT, "%s/starlink-road: no measured losses", folder);
	/* The order of a folder is not the same everywhere. */
	qsort(all->traces, all->n, sizeof(all->traces[0]), by_name);
	return rc;
}

void real_traces_free(struct real_traces *all)
{
	for (unsigned i = 0; i < all->n; i++)
		free(all->traces[i].kbps);
	free(all->losses);
}
