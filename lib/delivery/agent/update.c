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

/* Makes the file of what came: a patch is applied to what runs now. */
static int reconstruct(struct lode_agent *a, const struct running *want, const char *part,
	bool patch, const char *staged, struct lode_err *err)
{
	char active[PATH_MAX];
	if (!patch)
		return rename(part, staged)
			       ? lode_err_set(err, -errno, "%s: %s", staged, strerror(errno))
			       : 0;
	path_of(a, "models", want->model, ".bin", active);
	int rc = lode_delta_apply_path(part, active, staged, NULL, NULL, err);
	unlink(part);
	return rc;
}

static int verify(const struct lode_agent *a, const char *staged, struct lode_err *err)
{
	int rc = trust_check_file(a, staged, err);
	if (rc)
		unlink(staged);
	return rc;
}

static void forget_part(const char *part)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s.etag", part);
	unlink(path);
	unlink(part);
}

/* The whole file at `staged`, its hash checked. A patch that does not fit is followed by the whole file, once. */
static int obtain(
	struct lode_agent *a, const struct running *want, const char *staged, struct lode_err *err)
{
	char part[PATH_MAX];
	bool patch = false;
	path_of(a, "staging", want->sha256, ".part", part);
	int rc = fetch_file(a, want, part, &patch, err);
	if (rc)
		return rc;
	set_state(a, "verifying");
	rc = reconstruct(a, want, part, patch, staged, err);
	if (!rc)
		rc = verify(a, staged, err);
	forget_part(part);
	if (!rc || !patch)
		return rc;
	say(a, "the patch does not fit (%s): fetching the whole file", err->msg);
	struct running base = a->current;
	a->current.model[0] = 0; /* no base is named, so no patch comes */
	rc = fetch_file(a, want, part, &patch, err);
	a->current = base;
	if (!rc)
		rc = reconstruct(a, want, part, false, staged, err);
	if (!rc)
		rc = verify(a, staged, err);
	forget_part(part);
	return rc;
}

static const char *class_of(int rc)
{
	switch (rc) {
	case -ENOTCONN:
	case -EAGAIN:
	case -EPROTO:
		return "network";
	case -ENOSPC:
		return "space";
	case -EBADMSG:
	case -EKEYREJECTED:
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
	say(a, "%s %s: %s", want->model, want->version, err->msg);
	journal_save(a, &ignored);
	return LODE_AGENT_FAILED;
}

static enum lode_agent_outcome keep(
	struct lode_agent *a, const struct running *want, struct lode_err *err)
{
	char chain[PATH_MAX];
	a->before = a->current;
	a->current = *want;
	a->trying = (struct running){0};
	a->last_success = true;
	a->state[0] = 0;
	poison_clear(a, want);
	say(a, "%s %s runs", want->model, want->version);
	path_of(a, "staging", want->sha256, ".release", chain);
	unlink(chain);
	return journal_save(a, err) ? LODE_AGENT_FAILED : LODE_AGENT_UPDATED;
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
	set_state(a, "applying");
	a->trying = *want;
	if (journal_save(a, err) || activate(a, want->model, staged, err))
		return failed(a, want, "other", true, err);
	return decide(a, want, err);
}

enum lode_agent_outcome update(
	struct lode_agent *a, const struct running *asked, struct lode_err *err)
{
	struct running want = *asked;
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
	path_of(a, "staging", want.sha256, "", staged);
	set_state(a, "downloading");
	rc = obtain(a, &want, staged, err);
	if (rc == -ECANCELED)
		return LODE_AGENT_IDLE; /* the process stops; the part stays */
	if (rc)
		return failed(a, &want, class_of(rc), true, err);
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
