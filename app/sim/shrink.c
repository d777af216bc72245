/* SPDX-License-Identifier: BSD-3-Clause */
/* Fewer faults, same failure: first whole kinds, then single faults in ever smaller groups (delta debugging,
 * Zeller and Hildebrandt 2002, without its complements). Any broken promise counts as the failure. */
#include "swarm.h"

struct trial {
	struct lode_swarm_spec spec;
	struct verdict verdict;
	unsigned n_runs;
};

/* 1: the spec still breaks a promise, and is the best so far; 0: it holds; or -errno. */
static int still_breaks(struct trial *t, const struct lode_swarm_spec *spec, struct lode_err *err)
{
	struct verdict v;
	int rc = jobs_run_one(spec, &v, err);
	t->n_runs++;
	if (rc || !v.violated)
		return rc;
	t->spec = *spec;
	t->verdict = v;
	fprintf(stderr, "%3u: %s\n", t->n_runs, v.text);
	return 1;
}

static int without_kinds(struct trial *t, struct lode_err *err)
{
	int rc = 0;
	for (unsigned k = 0; k < LODE_SWARM_N_KINDS && rc >= 0; k++) {
		struct lode_swarm_spec spec = t->spec;
		spec.kinds &= ~(1u << k);
		if (spec.kinds != t->spec.kinds)
			rc = still_breaks(t, &spec, err);
	}
	return rc < 0 ? rc : 0;
}

static bool leave_out(struct lode_swarm_spec *spec, unsigned first, unsigned n, unsigned end)
{
	bool more = false;
	for (unsigned i = first; i < first + n && i < end; i++) {
		more |= !(spec->without[i / 64] >> i % 64 & 1);
		spec->without[i / 64] |= 1ull << i % 64;
	}
	return more;
}

static int without_faults(struct trial *t, struct lode_err *err)
{
	unsigned end = (unsigned)t->verdict.result.n_faults;
	end = end ? end : LODE_SWARM_FAULTS_MAX; /* of one that died nothing is known */
	for (unsigned n = (end + 1) / 2; n; n = n > 1 ? (n + 1) / 2 : 0) {
		for (unsigned first = 0; first < end; first += n) {
			struct lode_swarm_spec spec = t->spec;
			if (!leave_out(&spec, first, n, end))
				continue;
			int rc = still_breaks(t, &spec, err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int shrink(const struct plan *plan, struct lode_err *err)
{
	struct trial t = {0};
	int rc = still_breaks(&t, &plan->spec, err);
	if (rc == 0)
		printf("seed %llu breaks no promise\n", (unsigned long long)plan->spec.seed);
	if (rc <= 0)
		return rc;
	rc = without_kinds(&t, err);
	rc = rc ? rc : without_faults(&t, err);
	if (rc)
		return rc;
	printf("seed %llu: %s\n  ", (unsigned long long)t.spec.seed, t.verdict.text);
	report_replay(stdout, &t.spec);
	return 0;
}
