/* SPDX-License-Identifier: BSD-3-Clause */
/* fetch -> reconstruct -> verify -> stage -> apply -> health check -> keep or go back. The journal says what is
 * being tried before the file is in place, and what runs after it was found healthy. */
#include "agent.h"
#include "lode_delta.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void set_state(struct lode_agent *a, const char *state)
{
	snprintf(a->state, sizeof(a->state), "%s", state);
}

static int verify(const char *path, const char *sha256, struct lode_err *err)
{
	char hex[SHA_HEX];
	int rc = file_sha256(path, hex, err);
	if (!rc && strcmp(hex, sha256) != 0) {
		unlink(path);
		rc = lode_err_set(
			err, -EBADMSG, "the file has SHA-256 %s, %s was promised", hex, sha256);
	}
	return rc;
}

/* Makes a file of the step's bytes: a patch is applied to the file at `base`. */
static int make(struct lode_agent *a, const struct step *s, const char *base, char made[PATH_MAX],
	struct lode_err *err)
{
	char bytes[PATH_MAX];
	int rc = open_step(a, s, bytes, err);
	if (rc)
		return rc;
	if (!s->patch) {
		memcpy(made, bytes, sizeof(bytes));
		return s->sealed ? verify(made, s->target, err)
				 : 0; /* else compared when it was kept */
	}
	path_of(a, "staging", s->target, ".made", made);
	rc = lode_delta_apply_path(bytes, base, made, NULL, NULL, err);
	unlink(bytes);
	return rc ? rc : verify(made, s->target, err);
}

/* Step after step; the last file becomes `staged`. */
static int follow(struct lode_agent *a, const struct running *want, const struct plan *plan,
	const char *staged, struct lode_err *err)
{
	char from[PATH_MAX], made[PATH_MAX];
	int rc = 0;
	unsigned i = 0;
	path_of(a, "models", want->model, ".bin", from);
	for (; !rc && i < plan->n_steps; i++) {
		const struct step *s = &plan->steps[i];
		set_state(a, "downloading");
		rc = fetch_step(a, s, err);
		if (!rc && write_point(a, "bytes staged"))
			rc = lode_err_set(err, -EIO, "power cut");
		if (rc)
			break;
		set_state(a, "verifying");
		rc = make(a, s, from, made, err);
		if (i)
			unlink(from);
		memcpy(from, made, sizeof(from));
	}
	if (!rc)
		rc = trust_check_file(a, from, err);
	if (!rc && rename(from, staged))
		rc = lode_err_set(err, -errno, "%s: %s", staged, strerror(errno));
	if (rc && i)
		unlink(from);
	return rc;
}

/* The whole file at `staged`, its hash compared. Patches that do not fit are followed by the whole file, once. */
static int obtain(struct lode_agent *a, const struct running *want, const struct plan *plan,
	const char *staged, struct lode_err *err)
{
	struct plan whole = *plan;
	int rc = follow(a, want, plan, staged, err);
	bool interrupted = rc == -ECANCELED || rc == -EBUSY || rc == -ENOTCONN || rc == -EAGAIN;
	if (!rc || interrupted || !plan->steps[0].patch)
		return rc;
	say(a, "the patch does not fit (%s): fetching the whole file", err->msg);
	plan_whole_file(&whole);
	return follow(a, want, &whole, staged, err);
}

static const char *class_of(int rc)
{
	switch (rc) {
	case -ENOTCONN:
	case -EAGAIN:
	case -ENOENT:
	case -EPROTO:
		return "network";
	case -ENOSPC:
		return "space";
	case -EBADMSG:
	case -EKEYREJECTED:
	case -ENOKEY:
	case -ETIME:
	case -ESTALE:
	case -EPERM:
		return "verification";
	default:
		return "other";
	}
}

enum lode_agent_outcome failed(struct lode_agent *a, const struct running *want,
	const char *error_class, bool counted, const struct lode_err *err)
{
	struct lode_err ignored;
	snprintf(a->last_error, sizeof(a->last_error), "%.280s", err->msg);
	snprintf(a->last_class, sizeof(a->last_class), "%s", error_class);
	a->state[0] = 0;
	if (counted)
		poison_add(a, want);
	drop_chain(a, want);
	say(a, "%s %s: %s", want->model, want->version, err->msg);
	journal_save(a, &ignored);
	return LODE_AGENT_FAILED;
}

static enum lode_agent_outcome keep(
	struct lode_agent *a, const struct running *want, struct lode_err *err)
{
	a->before = a->current;
	a->current = *want;
	a->trying = (struct running){0};
	a->last_success = true;
	a->state[0] = 0;
	poison_clear(a, want);
	say(a, "%s %s runs", want->model, want->version);
	int rc = journal_save(a, err);
	if (!rc)
		drop_chain(a, want);
	return rc ? LODE_AGENT_FAILED : LODE_AGENT_UPDATED;
}

/* The file is in place; is it any good? The gateway's word is the first, the health check's the second. */
static enum lode_agent_outcome decide(
	struct lode_agent *a, const struct running *want, struct lode_err *err)
{
	char active[PATH_MAX];
	const char *error_class = "verification";
	struct lode_err trouble;
	path_of(a, "models", want->model, ".bin", active);
	int rc = gateway_try(a, want, active, err);
	if (!rc) {
		error_class = "health";
		rc = check_health(a, active, err);
		if (rc)
			gateway_rollback(a);
	}
	if (!rc) {
		error_class = "other";
		rc = gateway_commit(a, err);
	}
	if (!rc)
		return keep(a, want, err);
	if (bring_back(a, want->model, &trouble)) {
		*err = trouble;
		return failed(a, want, "other", true, err);
	}
	a->trying = (struct running){0};
	failed(a, want, error_class, true, err);
	return LODE_AGENT_ROLLED_BACK;
}

enum lode_agent_outcome apply(
	struct lode_agent *a, const struct running *want, struct lode_err *err)
{
	char staged[PATH_MAX];
	path_of(a, "staging", want->sha256, "", staged);
	if (*a->release.kind.role && a->options.check_model &&
		a->options.check_model(a->options.ctx, staged, err)) {
		unlink(staged);
		return failed(a, want, "verification", true, err);
	}
	set_state(a, "applying");
	a->trying = *want;
	if (journal_save(a, err) || activate(a, want->model, staged, err))
		return failed(a, want, "other", true, err);
	lode_blobs_trim(a->staging, 0); /* of plans that came to nothing */
	return decide(a, want, err);
}

/* What the file has more than the steps that were to be fetched. */
static uint64_t saved_by(const struct plan *plan)
{
	uint64_t n_bytes = 0;
	for (unsigned i = 0; i < plan->n_steps; i++)
		n_bytes += plan->steps[i].n_bytes;
	return plan->n_bytes > n_bytes ? plan->n_bytes - n_bytes : 0;
}

enum lode_agent_outcome update(
	struct lode_agent *a, const struct running *asked, struct lode_err *err)
{
	struct running want = *asked;
	struct plan plan;
	char staged[PATH_MAX];
	if (!gateway_there(a)) {
		say(a, "the gateway at %s does not answer: later", a->options.gateway);
		return LODE_AGENT_IDLE;
	}
	int rc = trust_ask(a, &want, err);
	if (rc == -ENOTCONN || rc == -EAGAIN)
		return LODE_AGENT_UNREACHABLE;
	/* Not counted: the same version, signed again, may be good. */
	if (rc)
		return failed(a, &want, "verification", false, err);
	rc = ask_plan(a, &want, &plan, err);
	if (rc == -ENOTCONN || rc == -EAGAIN)
		return LODE_AGENT_UNREACHABLE;
	path_of(a, "staging", want.sha256, "", staged);
	if (!rc)
		rc = obtain(a, &want, &plan, staged, err);
	if (rc == -ECANCELED || rc == -EBUSY)
		return LODE_AGENT_IDLE; /* the process stops, or it is not the time; the part stays */
	if (rc)
		return failed(a, &want, class_of(rc), true, err);
	a->saved_bytes += saved_by(&plan);
	return apply(a, &want, err);
}

int finish_interrupted(struct lode_agent *a, struct lode_err *err)
{
	char active[PATH_MAX], hex[SHA_HEX];
	struct running want = a->trying;
	if (!*want.model)
		return 0;
	path_of(a, "models", want.model, ".bin", active);
	if (!file_sha256(active, hex, err) && !strcmp(hex, want.sha256)) {
		decide(a, &want, err); /* the new file got its place: check it now */
		return 0;
	}
	a->trying = (struct running){0}; /* it did not: the old one runs */
	return journal_save(a, err);
}
