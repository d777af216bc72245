/* SPDX-License-Identifier: BSD-3-Clause */
#include "swarm.h"

#include <stdlib.h>

#define FAULT_MEAN_NS (700 * MS)
#define SETTLE_NS     (8 * S)  /* what waits anywhere has gone: queues, links, parts */
#define HEAL_NS	      (15 * S) /* sessions and paths are back */
#define CHECK_NS      (2 * S)  /* then packets come through */
#define CHECK_LOST    0.5 /* most of them: a rate that faults drove down rises under load only */
#define SABOTAGE_NS   (6 * S)

/* ---- judging ---- */

static int judge_flow(const struct scenario *c, unsigned i, struct lode_err *err)
{
	const struct lode_sim_flow_stats *f = lode_sim_flow_stats(c->sim, i);
	const struct {
		const char *what;
		uint64_t n;
	} bad[] = {
		{"altered", f->altered_pkts},
		{"with another DSCP or ECN", f->remarked_pkts},
		{"delivered twice", f->doubled_pkts},
		{"out of order without leave", f->disordered_pkts},
		{"later than their class allows", f->overdue_pkts},
		{"lost in spite of a copy over a sound link",
			c->sheltered && c->real_time[i] ? f->lost_pkts : 0},
	};
	for (unsigned k = 0; k < LODE_ARRAY_LEN(bad); k++)
		if (bad[k].n)
			return lode_err_set(err, -EBADMSG, "flow %u: %llu packets %s", i,
				(unsigned long long)bad[k].n, bad[k].what);
	if (i >= c->first_check && c->first_check &&
		(double)f->received_pkts < (double)f->sent_pkts * (1 - CHECK_LOST))
		return lode_err_set(err, -EBADMSG,
			"flow %u: all is mended, but only %llu of %llu packets come through", i,
			(unsigned long long)f->received_pkts, (unsigned long long)f->sent_pkts);
	return 0;
}

static int judge(const struct scenario *c, struct lode_err *err)
{
	const struct lode_sim_stats *st = lode_sim_stats(c->sim);
	for (unsigned i = 0; i < c->n_flows; i++)
		if (judge_flow(c, i, err))
			return -EBADMSG;
	if (st->misdelivered_pkts || st->broken_pkts || st->log_errors)
		return lode_err_set(err, -EBADMSG,
			"%llu packets to wrong hosts, %llu broken ones, %llu errors logged",
			(unsigned long long)st->misdelivered_pkts,
			(unsigned long long)st->broken_pkts, (unsigned long long)st->log_errors);
	return lode_sim_audit(c->sim, err);
}

static int judge_end(const struct scenario *c, struct lode_err *err)
{
	uint64_t held = lode_sim_held_pkts(c->sim);
	if (held)
		return lode_err_set(err, -EBADMSG, "%llu packets are held after %u quiet seconds",
			(unsigned long long)held, (unsigned)(SETTLE_NS / S));
	lode_sim_flush(c->sim);
	if (lode_sim_mbufs_in_use(c->sim))
		return lode_err_set(err, -EBADMSG, "%u packet buffers did not come back",
			lode_sim_mbufs_in_use(c->sim));
	return 0;
}

/* ---- running ---- */

static int run_to(struct scenario *c, uint64_t until_ns, struct lode_err *err)
{
	uint64_t due_ns;
	while ((due_ns = faults_due_ns(c)) < until_ns) {
		lode_sim_run(c->sim, due_ns);
		faults_step(c);
	}
	lode_sim_run(c->sim, until_ns);
	return lode_sim_audit(c->sim, err);
}

static int run_faults(struct scenario *c, struct lode_err *err)
{
	struct lode_rng times;
	uint64_t at_ns = 0;
	int rc = 0;
	lode_rng_seed(&times, ~c->spec->seed);
	for (unsigned i = 0; i < LODE_SWARM_FAULTS_MAX && !rc; i++) {
		at_ns += (uint64_t)lode_rng_exponential(&times, (double)FAULT_MEAN_NS);
		if (at_ns >= c->until_ns)
			break;
		c->result->n_faults = i + 1;
		rc = run_to(c, at_ns, err);
		rc = rc ? rc : fault_start(c, i, err);
	}
	return rc ? rc : run_to(c, c->until_ns, err);
}

/* Silence, then everything mended, then a few packets between all. */
static int run_end(struct scenario *c, struct lode_err *err)
{
	faults_end(c);
	lode_sim_hush(c->sim);
	lode_sim_run(c->sim, c->until_ns + SETTLE_NS);
	int rc = judge(c, err);
	uint64_t from_ns = c->until_ns + HEAL_NS;
	rc = rc ? rc : scenario_add_checks(c, from_ns, from_ns + CHECK_NS, err);
	if (rc)
		return rc;
	lode_sim_run(c->sim, from_ns + CHECK_NS + SETTLE_NS);
	return judge(c, err);
}

static int run(struct scenario *c, struct lode_err *err)
{
	scenario_draw(c);
	if (predictors_make(c, err))
		return err->code;
	c->sim = lode_sim_new(&c->params, err);
	if (!c->sim)
		return err->code ? err->code : -ENOMEM;
	int rc = scenario_add_flows(c, err);
	if (!rc && c->spec->sabotage) {
		lode_sim_run(c->sim, SABOTAGE_NS);
		lode_sim_sabotage(c->sim, c->spec->sabotage);
	}
	rc = rc ? rc : run_faults(c, err);
	rc = rc ? rc : run_end(c, err);
	return rc;
}

static void report(const struct scenario *c)
{
	struct lode_swarm_result *r = c->result;
	r->digest = lode_sim_digest(c->sim);
	r->virtual_s = (double)lode_sim_now(c->sim) / S;
	r->lan_pkts = lode_sim_stats(c->sim)->lan_pkts;
	r->wan_pkts = lode_sim_stats(c->sim)->wan_pkts;
	r->further_pkts = lode_sim_stats(c->sim)->further_pkts;
	for (unsigned i = 0; i < c->n_flows; i++)
		r->sent_pkts += lode_sim_flow_stats(c->sim, i)->sent_pkts;
	lode_sim_totals(c->sim, &r->totals);
}

int lode_swarm_run(
	const struct lode_swarm_spec *spec, struct lode_swarm_result *out, struct lode_err *err)
{
	struct lode_err local;
	err = err ? err : &local;
	*err = (struct lode_err){0};
	*out = (struct lode_swarm_result){0};
	struct scenario *c = calloc(1, sizeof(*c));
	if (!c)
		return lode_err_set(err, -ENOMEM, "swarm: no memory");
	c->spec = spec;
	c->result = out;
	int rc = run(c, err);
	if (c->sim)
		report(c);
	rc = rc ? rc : judge_end(c, err);
	lode_sim_free(c->sim);
	predictors_free(c);
	free(c);
	return rc;
}
