/* SPDX-License-Identifier: BSD-3-Clause */
#include "swarm.h"

#include <stdlib.h>

#define SECONDS_DEFAULT 60

static void add_u64(void *to, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] += ((const uint64_t *)from)[i];
}

static void note_slow(struct report *r, const struct verdict *v)
{
	unsigned at = N_SLOWEST;
	while (at && r->slowest[at - 1].cpu_s < v->cpu_s)
		at--;
	if (at == N_SLOWEST)
		return;
	memmove(r->slowest + at + 1, r->slowest + at, (N_SLOWEST - 1 - at) * sizeof(r->slowest[0]));
	r->slowest[at].seed = v->spec.seed;
	r->slowest[at].cpu_s = v->cpu_s;
}

void report_add(struct report *r, const struct verdict *v)
{
	const struct lode_swarm_result *x = &v->result;
	r->n_done++;
	r->virtual_s += x->virtual_s;
	r->cpu_s += v->cpu_s;
	r->n_twice += v->twice;
	r->sent_pkts += x->sent_pkts;
	r->lan_pkts += x->lan_pkts;
	r->wan_pkts += x->wan_pkts;
	r->further_pkts += x->further_pkts;
	add_u64(r->kind_faults, x->kind_faults, sizeof(r->kind_faults));
	add_u64(&r->totals, &x->totals, sizeof(r->totals));
	note_slow(r, v);
	if (!v->violated)
		return;
	if (r->n_violations < VIOLATIONS_MAX)
		r->violations[r->n_violations] = *v;
	r->n_violations++;
}

/* ---- replay ---- */

static void put_kinds(FILE *f, uint32_t kinds)
{
	const char *separator = " --faults ";
	if (kinds == LODE_SWARM_ALL_KINDS)
		return;
	if (!kinds)
		fputs(" --faults none", f);
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS; k++) {
		if (!(kinds & 1u << k))
			continue;
		fprintf(f, "%s%s", separator, lode_swarm_kind_name((enum lode_swarm_kind)k));
		separator = ",";
	}
}

void report_replay(FILE *f, const struct lode_swarm_spec *spec)
{
	fprintf(f, "lodestone-sim swarm --seed %llu", (unsigned long long)spec->seed);
	if (spec->seconds != SECONDS_DEFAULT)
		fprintf(f, " --seconds %u", spec->seconds);
	put_kinds(f, spec->kinds);
	const char *separator = " --without ";
	for (unsigned i = 0; i < LODE_SWARM_FAULTS_MAX;) {
		unsigned n = 0;
		while (i + n < LODE_SWARM_FAULTS_MAX &&
			spec->without[(i + n) / 64] >> (i + n) % 64 & 1)
			n++;
		if (n) {
			fprintf(f, "%s%u", separator, i);
			if (n > 1)
				fprintf(f, "-%u", i + n - 1);
			separator = ",";
		}
		i += n + 1;
	}
	fputc('\n', f);
}

/* ---- counters ---- */

/* Tables of counters are arrays of uint64_t. */
struct counters {
	const char *room;
	const struct lode_counter_desc *descs;
	unsigned n;
	const uint64_t *values;
};
#define N_ROOMS 3

static void list_counters(const struct report *r, struct counters out[N_ROOMS])
{
	const struct lode_sim_totals *t = &r->totals;
	out[0] = (struct counters){"lanes", lode_lane_counter_descs, lode_lane_n_counters,
		(const uint64_t *)&t->lanes};
	out[1] = (struct counters){"workers", lode_worker_counter_descs, lode_worker_n_counters,
		(const uint64_t *)&t->workers};
	out[2] = (struct counters){"control", lode_control_counter_descs, lode_control_n_counters,
		(const uint64_t *)&t->control};
}

static bool is_drop(const struct lode_counter_desc *desc)
{
	return !strncmp(desc->name, "drop_", 5);
}

/* ---- text ---- */

/* First drops by reason, then what else was counted; what never happened is listed by name, too. */
static void text_counters(const struct counters *c, bool drops)
{
	unsigned n_all = 0, n_reached = 0;
	for (unsigned i = 0; i < c->n; i++) {
		n_all += is_drop(&c->descs[i]) == drops;
		n_reached += is_drop(&c->descs[i]) == drops && c->values[i];
	}
	if (n_all == 0)
		return;
	printf("%s of %s reached: %u of %u\n ", drops ? "drop reasons" : "counters", c->room,
		n_reached, n_all);
	for (unsigned i = 0; i < c->n; i++)
		if (is_drop(&c->descs[i]) == drops)
			printf(" %s %llu", c->descs[i].name + (drops ? 5 : 0),
				(unsigned long long)c->values[i]);
	putchar('\n');
}

void report_text(const struct report *r)
{
	unsigned n_shown = (unsigned)LODE_MIN(r->n_violations, (uint64_t)VIOLATIONS_MAX);
	printf("%llu seeds of %u s: %.2f virtual hours in %.0f s, %.0f s CPU for one run of each; "
	       "%llu ran twice\n",
		(unsigned long long)r->n_done, r->plan.spec.seconds, r->virtual_s / 3600, r->wall_s,
		r->cpu_s, (unsigned long long)r->n_twice);
	printf("packets: %llu sent by hosts, %llu on LANs, %llu on WANs, %llu of them "
	       "on further lanes\nfaults:",
		(unsigned long long)r->sent_pkts, (unsigned long long)r->lan_pkts,
		(unsigned long long)r->wan_pkts, (unsigned long long)r->further_pkts);
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS; k++)
		printf(" %s %llu", lode_swarm_kind_name((enum lode_swarm_kind)k),
			(unsigned long long)r->kind_faults[k]);
	putchar('\n');
	struct counters rooms[N_ROOMS];
	list_counters(r, rooms);
	for (unsigned i = 0; i < 2 * N_ROOMS; i++)
		text_counters(&rooms[i % N_ROOMS], i < N_ROOMS);
	printf("slowest seeds:");
	for (unsigned i = 0; i < N_SLOWEST && r->slowest[i].cpu_s > 0; i++)
		printf(" %llu (%.2f s)", (unsigned long long)r->slowest[i].seed,
			r->slowest[i].cpu_s);
	putchar('\n');
	for (unsigned i = 0; i < n_shown; i++) {
		printf("seed %llu: %s\n  ", (unsigned long long)r->violations[i].spec.seed,
			r->violations[i].text);
		report_replay(stdout, &r->violations[i].spec);
	}
	printf("%llu violations\n", (unsigned long long)r->n_violations);
}

/* ---- JSON ---- */

static void json_counters(struct lode_json *j, const struct counters *c)
{
	lode_json_object(j, c->room);
	for (unsigned i = 0; i < c->n; i++)
		lode_json_u64(j, c->descs[i].name, c->values[i]);
	lode_json_close_object(j);
}

static void json_replay(struct lode_json *j, const struct lode_swarm_spec *spec)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return;
	report_replay(f, spec);
	fclose(f);
	if (len)
		text[len - 1] = 0;
	lode_json_string(j, "replay", text);
	free(text);
}

static void json_violations(struct lode_json *j, const struct report *r)
{
	lode_json_u64(j, "n_violations", r->n_violations);
	lode_json_array(j, "violations");
	for (unsigned i = 0; i < LODE_MIN(r->n_violations, (uint64_t)VIOLATIONS_MAX); i++) {
		lode_json_object(j, NULL);
		lode_json_u64(j, "seed", r->violations[i].spec.seed);
		lode_json_string(j, "violation", r->violations[i].text);
		json_replay(j, &r->violations[i].spec);
		lode_json_close_object(j);
	}
	lode_json_close_array(j);
}

static void json_body(struct lode_json *j, const struct report *r)
{
	lode_json_u64(j, "seeds", r->n_done);
	lode_json_u64(j, "seconds_each", r->plan.spec.seconds);
	lode_json_u64(j, "seeds_twice", r->n_twice);
	lode_json_double(j, "virtual_hours", r->virtual_s / 3600);
	lode_json_double(j, "wall_seconds", r->wall_s);
	lode_json_double(j, "cpu_seconds", r->cpu_s);
	lode_json_u64(j, "sent_packets", r->sent_pkts);
	lode_json_u64(j, "lan_packets", r->lan_pkts);
	lode_json_u64(j, "wan_packets", r->wan_pkts);
	lode_json_u64(j, "further_lane_packets", r->further_pkts);
	lode_json_object(j, "faults");
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS; k++)
		lode_json_u64(j, lode_swarm_kind_name((enum lode_swarm_kind)k), r->kind_faults[k]);
	lode_json_close_object(j);
	struct counters rooms[N_ROOMS];
	list_counters(r, rooms);
	for (unsigned i = 0; i < N_ROOMS; i++)
		json_counters(j, &rooms[i]);
	lode_json_array(j, "slowest");
	for (unsigned i = 0; i < N_SLOWEST && r->slowest[i].cpu_s > 0; i++) {
		lode_json_object(j, NULL);
		lode_json_u64(j, "seed", r->slowest[i].seed);
		lode_json_double(j, "cpu_seconds", r->slowest[i].cpu_s);
		lode_json_close_object(j);
	}
	lode_json_close_array(j);
	json_violations(j, r);
}

void report_json(const struct report *r)
{
	enum { BYTES = 1 << 18 };
	struct lode_json j;
	char *text = malloc(BYTES);
	if (!text)
		return;
	lode_json_begin(&j, text, BYTES);
	lode_json_object(&j, NULL);
	json_body(&j, r);
	lode_json_close_object(&j);
	if (lode_json_end(&j) > 0)
		puts(text);
	free(text);
}
