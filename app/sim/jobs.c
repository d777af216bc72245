/* SPDX-License-Identifier: BSD-3-Clause */
/* One process per job; each takes the next seed from a shared counter and writes its verdict into a pipe. */
#include "swarm.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_MB 512 /* of EAL, taken as needed: four sites of four workers */

/* Written by the children, read by the parent once a child is gone. */
struct shared {
	_Atomic uint64_t next; /* seed, counted from the first */
	_Atomic uint64_t running[JOBS_MAX];
};

struct job {
	pid_t pid; /* 0: none */
	int fd;
};

/* ---- in the child ---- */

static double cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run_spec(const struct lode_swarm_spec *spec, bool twice, struct verdict *v)
{
	struct lode_swarm_result again;
	struct lode_err err = {0};
	double from = cpu_now();
	memset(v, 0, sizeof(*v));
	v->spec = *spec;
	int rc = lode_swarm_run(spec, &v->result, &err);
	v->cpu_s = cpu_now() - from;
	if (!rc && twice)
		rc = lode_swarm_run(spec, &again, &err);
	if (!rc && twice && again.digest != v->result.digest)
		rc = lode_err_set(&err, -EBADMSG,
			"a second run gave digest %016llx, the first %016llx",
			(unsigned long long)again.digest, (unsigned long long)v->result.digest);
	v->twice = twice;
	v->violated = rc != 0;
	snprintf(v->text, sizeof(v->text), "%s", err.msg);
}

static void child(const struct plan *plan, struct shared *shared, unsigned job, int fd)
{
	struct lode_err err = {0};
	struct verdict v;
	if (lode_sim_eal_init(MEMORY_MB, &err)) {
		fprintf(stderr, "lodestone-sim: %s\n", err.msg);
		_exit(2);
	}
	for (;;) {
		uint64_t i = atomic_fetch_add(&shared->next, 1);
		if (i >= plan->n_seeds)
			_exit(0);
		struct lode_swarm_spec spec = plan->spec;
		spec.seed += i;
		atomic_store(&shared->running[job], i + 1);
		run_spec(&spec, plan->twice_every && spec.seed % plan->twice_every == 0, &v);
		if (write(fd, &v, sizeof(v)) != (ssize_t)sizeof(v))
			_exit(3);
		atomic_store(&shared->running[job], 0);
	}
}

/* ---- in the parent ---- */

static int start(const struct plan *plan, struct shared *shared, struct job *jobs, unsigned i,
	struct lode_err *err)
{
	int fds[2];
	fflush(NULL);
	if (pipe(fds))
		return lode_err_set(err, -errno, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		return lode_err_set(err, -errno, "fork: %s", strerror(errno));
	if (pid == 0) {
		close(fds[0]);
		child(plan, shared, i, fds[1]);
	}
	close(fds[1]);
	jobs[i] = (struct job){pid, fds[0]};
	return 0;
}

/* 1: a verdict; 0: the child has no more. Pipes may give it in pieces. */
static int read_verdict(int fd, struct verdict *v)
{
	size_t n = 0;
	while (n < sizeof(*v)) {
		ssize_t got = read(fd, (char *)v + n, sizeof(*v) - n);
		if (got <= 0)
			return 0;
		n += (size_t)got;
	}
	return 1;
}

/* The child is gone. 1: in the middle of a seed; 0: at the end of its work; or -errno. */
static int reap(const struct plan *plan, struct shared *shared, struct job *job, unsigned i,
	struct verdict *v, struct lode_err *err)
{
	int status = 0;
	close(job->fd);
	waitpid(job->pid, &status, 0);
	job->pid = 0;
	uint64_t running = atomic_exchange(&shared->running[i], 0);
	if (running) {
		memset(v, 0, sizeof(*v));
		v->spec = plan->spec;
		v->spec.seed += running - 1;
		v->violated = true;
		snprintf(v->text, sizeof(v->text), "the process died: %s",
			WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it left");
		return 1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return lode_err_set(err, -ECHILD, "a process could not start");
}

static int serve(const struct plan *plan, struct shared *shared, struct job *jobs,
	void (*done)(void *ctx, const struct verdict *v), void *ctx, struct lode_err *err)
{
	unsigned n_alive = plan->n_jobs;
	struct verdict v;
	while (n_alive) {
		struct pollfd fds[JOBS_MAX];
		for (unsigned i = 0; i < plan->n_jobs; i++)
			fds[i] = (struct pollfd){
				.fd = jobs[i].pid ? jobs[i].fd : -1, .events = POLLIN};
		if (poll(fds, plan->n_jobs, -1) < 0)
			continue;
		for (unsigned i = 0; i < plan->n_jobs; i++) {
			if (!fds[i].revents)
				continue;
			if (read_verdict(jobs[i].fd, &v)) {
				done(ctx, &v);
				continue;
			}
			int rc = reap(plan, shared, &jobs[i], i, &v, err);
			if (rc == 1) {
				done(ctx, &v);
				rc = start(plan, shared, jobs, i, err);
			} else {
				n_alive--;
			}
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int jobs_run(const struct plan *plan, void (*done)(void *ctx, const struct verdict *v), void *ctx,
	struct lode_err *err)
{
	struct job jobs[JOBS_MAX] = {0};
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return lode_err_set(err, -ENOMEM, "no shared memory");
	int rc = 0;
	for (unsigned i = 0; i < plan->n_jobs && !rc; i++)
		rc = start(plan, shared, jobs, i, err);
	rc = rc ? rc : serve(plan, shared, jobs, done, ctx, err);
	munmap(shared, sizeof(*shared));
	return rc;
}

static void keep(void *ctx, const struct verdict *v)
{
	*(struct verdict *)ctx = *v;
}

int jobs_run_one(const struct lode_swarm_spec *spec, struct verdict *v, struct lode_err *err)
{
	const struct plan plan = {.spec = *spec, .n_seeds = 1, .n_jobs = 1};
	return jobs_run(&plan, keep, v, err);
}
