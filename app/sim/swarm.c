/* SPDX-License-Identifier: BSD-3-Clause */
#include "swarm.h"

#include <getopt.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_S 10
#define TWICE_LONG 8 /* of a run of hours, one seed in so many a second time */

struct options {
	struct plan plan;
	double hours;
	bool shrink, json, twice_given;
};

static const struct option long_options[] = {
	{"seed", required_argument, NULL, 's'},
	{"seeds", required_argument, NULL, 'n'},
	{"seconds", required_argument, NULL, 't'},
	{"hours", required_argument, NULL, 'h'},
	{"jobs", required_argument, NULL, 'J'},
	{"faults", required_argument, NULL, 'f'},
	{"without", required_argument, NULL, 'w'},
	{"sabotage", required_argument, NULL, 'b'},
	{"twice", required_argument, NULL, '2'},
	{"once", no_argument, NULL, '1'},
	{"shrink", no_argument, NULL, 'x'},
	{"json", no_argument, NULL, 'j'},
	{0},
};

/* ---- options ---- */

void swarm_usage(FILE *f)
{
	fputs("swarm: a scenario of each seed under random faults; what must hold is in "
	      "docs/simulator.md\n"
	      "  --seed FIRST     (1)\n"
	      "  --seeds N        so many (1)\n"
	      "  --hours H        or as many as make H virtual hours of traffic\n"
	      "  --seconds T      of traffic and faults in each (60)\n"
	      "  --jobs J         processes at a time (1)\n"
	      "  --twice N        one seed in N runs a second time to compare digests (1; with "
	      "--hours 8)\n"
	      "  --once           none does\n"
	      "  --without N,M-K  leave these faults of the scenario out\n"
	      "  --shrink         the fewest faults with which the seed still fails\n"
	      "  --sabotage HOW   break a promise, to see it found: alter twice swap astray lose "
	      "leak delay "
	      "remark\n"
	      "  -j, --json       the report as JSON\n"
	      "  --faults A,B     these kinds only, or none; there are",
		f);
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS; k++)
		fprintf(f, "%s%s", k % 10 ? " " : "\n                   ",
			lode_swarm_kind_name((enum lode_swarm_kind)k));
	fputc('\n', f);
}

static int read_kinds(uint32_t *kinds, char *text, struct lode_err *err)
{
	char *rest = text, *name;
	*kinds = 0;
	while (strcmp(text, "none") && (name = strsep(&rest, ",")) != NULL) {
		unsigned k = 0;
		while (k < LODE_SWARM_N_KINDS &&
			strcmp(name, lode_swarm_kind_name((enum lode_swarm_kind)k)))
			k++;
		if (k == LODE_SWARM_N_KINDS)
			return lode_err_set(err, -EINVAL,
				"--faults: no such kind: '%s'; lodestone-sim swarm --help lists "
				"them",
				name);
		*kinds |= 1u << k;
	}
	return 0;
}

static int read_without(struct lode_swarm_spec *spec, char *text, struct lode_err *err)
{
	char *rest = text, *item;
	while ((item = strsep(&rest, ",")) != NULL) {
		unsigned first, last;
		int n = sscanf(item, "%u-%u", &first, &last);
		last = n == 1 ? first : last;
		if (n < 1 || last < first || last >= LODE_SWARM_FAULTS_MAX)
			return lode_err_set(err, -EINVAL,
				"--without: numbers or ranges of 0..%u, found '%s'",
				LODE_SWARM_FAULTS_MAX - 1, item);
		for (unsigned i = first; i <= last; i++)
			spec->without[i / 64] |= 1ull << i % 64;
	}
	return 0;
}

static int read_sabotage(struct lode_swarm_spec *spec, const char *name, struct lode_err *err)
{
	static const char *const names[LODE_SIM_N_SABOTAGES] = {
		"none", "alter", "twice", "swap", "astray", "lose", "leak", "delay", "remark"};
	for (unsigned i = 0; i < LODE_SIM_N_SABOTAGES; i++) {
		if (!strcmp(name, names[i])) {
			spec->sabotage = (enum lode_sim_sabotage)i;
			return 0;
		}
	}
	return lode_err_set(err, -EINVAL,
		"--sabotage: alter, twice, swap, astray, lose, leak, delay or remark, found '%s'",
		name);
}

static int read_option(struct options *o, int key, struct lode_err *err)
{
	struct plan *p = &o->plan;
	switch (key) {
	case 's':
		p->spec.seed = strtoull(optarg, NULL, 0);
		return 0;
	case 'n':
		p->n_seeds = strtoull(optarg, NULL, 0);
		return 0;
	case 't':
		p->spec.seconds = (uint32_t)strtoul(optarg, NULL, 0);
		return 0;
	case 'h':
		o->hours = strtod(optarg, NULL);
		return 0;
	case 'J':
		p->n_jobs = (unsigned)strtoul(optarg, NULL, 0);
		return 0;
	case 'f':
		return read_kinds(&p->spec.kinds, optarg, err);
	case 'w':
		return read_without(&p->spec, optarg, err);
	case 'b':
		return read_sabotage(&p->spec, optarg, err);
	case '1':
	case '2':
		o->twice_given = true;
		p->twice_every = key == '1' ? 0 : (unsigned)strtoul(optarg, NULL, 0);
		return 0;
	case 'x':
		o->shrink = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	default:
		return lode_err_set(
			err, -EINVAL, "unknown option; lodestone-sim swarm --help lists them");
	}
}

static int read_options(struct options *o, int argc, char **argv, struct lode_err *err)
{
	struct plan *p = &o->plan;
	*o = (struct options){.plan = {.n_seeds = 1, .n_jobs = 1, .twice_every = 1}};
	p->spec = (struct lode_swarm_spec){.seed = 1, .seconds = 60, .kinds = LODE_SWARM_ALL_KINDS};
	for (int key; (key = getopt_long(argc, argv, "j", long_options, NULL)) != -1;)
		if (read_option(o, key, err))
			return err->code;
	if (optind < argc)
		return lode_err_set(err, -EINVAL, "unexpected argument '%s'", argv[optind]);
	if (p->spec.seconds < 1 || p->n_seeds < 1 || p->n_jobs < 1 || p->n_jobs > JOBS_MAX)
		return lode_err_set(
			err, -EINVAL, "--seconds and --seeds: at least 1, --jobs: 1..%d", JOBS_MAX);
	if (o->hours > 0) {
		p->n_seeds = (uint64_t)(o->hours * 3600 / p->spec.seconds) + 1;
		p->twice_every = o->twice_given ? p->twice_every : TWICE_LONG;
	}
	return 0;
}

/* ---- many seeds ---- */

struct run {
	struct report report;
	time_t started, told;
};

static void on_done(void *ctx, const struct verdict *v)
{
	struct run *run = ctx;
	struct report *r = &run->report;
	report_add(r, v);
	if (v->violated) {
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)v->spec.seed, v->text);
		return;
	}
	time_t now = time(NULL);
	if (now - run->told < PROGRESS_S)
		return;
	run->told = now;
	fprintf(stderr, "%llu of %llu seeds, %.1f virtual hours, %llu violations\n",
		(unsigned long long)r->n_done, (unsigned long long)r->plan.n_seeds,
		r->virtual_s / 3600, (unsigned long long)r->n_violations);
}

static int run_many(const struct options *o, struct lode_err *err)
{
	struct run run = {.report = {.plan = o->plan}, .started = time(NULL), .told = time(NULL)};
	run.report.violations = calloc(VIOLATIONS_MAX, sizeof(*run.report.violations));
	if (!run.report.violations)
		return lode_err_set(err, -ENOMEM, "no memory");
	int rc = jobs_run(&o->plan, on_done, &run, err);
	run.report.wall_s = difftime(time(NULL), run.started);
	if (!rc && o->json)
		report_json(&run.report);
	else if (!rc)
		report_text(&run.report);
	free(run.report.violations);
	return rc ? rc : (int)LODE_MIN(run.report.n_violations, 1u);
}

int swarm_command(int argc, char **argv)
{
	struct options o;
	struct lode_err err = {0};
	int rc = read_options(&o, argc, argv, &err);
	if (!rc)
		rc = o.shrink ? shrink(&o.plan, &err) : run_many(&o, &err);
	if (rc < 0)
		fprintf(stderr, "lodestone-sim: %s\n", err.msg);
	return rc ? 1 : 0;
}
