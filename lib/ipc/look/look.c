/* SPDX-License-Identifier: BSD-3-Clause */
#include "lode_look.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_SLOTS    128
#define VERDICT_SLOTS 1024
#define SEALS	      (F_SEAL_SHRINK | F_SEAL_GROW)

struct look_positions {
	_Atomic uint64_t head LODE_CACHE_ALIGNED; /* producer writes */
	_Atomic uint64_t tail LODE_CACHE_ALIGNED; /* consumer writes */
};

struct look_app {
	char name[LODE_LOOK_NAME - 1];
	uint8_t cls;
};

struct look_memory {
	_Atomic uint64_t beats; /* classifier writes */
	struct look_app apps[LODE_LOOK_APPS];
	struct {
		struct look_positions looks, verdicts;
		struct lode_look look[LOOK_SLOTS];
		struct lode_verdict verdict[VERDICT_SLOTS];
	} workers[LODE_LOOK_WORKERS];
};

static void attach(struct lode_look_link *l, struct look_memory *m)
{
	l->memory = m;
	for (unsigned i = 0; i < LODE_LOOK_WORKERS; i++) {
		l->looks[i] = (struct lode_look_ring){&m->workers[i].looks,
			(uint8_t *)m->workers[i].look, LOOK_SLOTS - 1, sizeof(struct lode_look), 0};
		l->verdicts[i] = (struct lode_look_ring){&m->workers[i].verdicts,
			(uint8_t *)m->workers[i].verdict, VERDICT_SLOTS - 1,
			sizeof(struct lode_verdict), 0};
	}
}

static int map(struct lode_look_link *l, int fd, struct lode_err *err)
{
	void *p = mmap(NULL, sizeof(struct look_memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return lode_err_set(err, -errno, "mapping %zu bytes: %s",
			sizeof(struct look_memory), strerror(errno));
	attach(l, p);
	return 0;
}

int lode_look_make(struct lode_look_link *l, int *fd, struct lode_err *err)
{
	*fd = memfd_create("lodestone-looks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, sizeof(struct look_memory)) ||
		fcntl(*fd, F_ADD_SEALS, SEALS)) {
		int rc = lode_err_set(err, -errno, "shared memory: %s", strerror(errno));
		if (*fd >= 0)
			close(*fd);
		return rc;
	}
	int rc = map(l, *fd, err);
	if (rc)
		close(*fd);
	return rc;
}

int lode_look_map(int fd, struct lode_look_link *l, struct lode_err *err)
{
	struct stat st;
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	if (seals < 0 || fstat(fd, &st))
		return lode_err_set(err, -EINVAL, "a memfd must come with the request");
	if ((seals & SEALS) != SEALS)
		return lode_err_set(err, -EPERM,
			"the memfd has seals 0x%x, 0x%x are needed: it could shrink",
			(unsigned)seals, SEALS);
	if (st.st_size != sizeof(struct look_memory))
		return lode_err_set(err, -EINVAL,
			"the memfd has %lld bytes, %zu are expected: another version of "
			"lodestone-classify?",
			(long long)st.st_size, sizeof(struct look_memory));
	return map(l, fd, err);
}

void lode_look_unmap(struct lode_look_link *l)
{
	if (l->memory)
		munmap(l->memory, sizeof(struct look_memory));
	*l = (struct lode_look_link){0};
}

bool lode_look_push(struct lode_look_ring *r, const void *record, size_t len)
{
	uint64_t tail = atomic_load_explicit(&r->shared->tail, memory_order_acquire);
	if (tail > r->mine || r->mine - tail > r->mask)
		return false;
	memcpy(r->records + (size_t)(r->mine & r->mask) * r->record_bytes, record, len);
	atomic_store_explicit(&r->shared->head, ++r->mine, memory_order_release);
	return true;
}

bool lode_look_pop(struct lode_look_ring *r, void *record)
{
	uint64_t head = atomic_load_explicit(&r->shared->head, memory_order_acquire);
	uint64_t fill = head - r->mine;
	if (!fill || fill > (uint64_t)r->mask + 1)
		return false;
	memcpy(record, r->records + (size_t)(r->mine & r->mask) * r->record_bytes, r->record_bytes);
	atomic_store_explicit(&r->shared->tail, ++r->mine, memory_order_release);
	return true;
}

void lode_look_beat(struct lode_look_link *l)
{
	atomic_fetch_add_explicit(&l->memory->beats, 1, memory_order_relaxed);
}

uint64_t lode_look_beats(const struct lode_look_link *l)
{
	return atomic_load_explicit(&l->memory->beats, memory_order_relaxed);
}

void lode_look_set_app(
	struct lode_look_link *l, unsigned app, const char *name, enum lode_class cls)
{
	if (app >= LODE_LOOK_APPS)
		return;
	struct look_app *a = &l->memory->apps[app];
	memset(a->name, 0, sizeof(a->name));
	memcpy(a->name, name, LODE_MIN(strlen(name), sizeof(a->name)));
	a->cls = (uint8_t)cls;
}

bool lode_look_app(const struct lode_look_link *l, unsigned app, char name[LODE_LOOK_NAME],
	enum lode_class *cls)
{
	if (app >= LODE_LOOK_APPS)
		return false;
	struct look_app a; /* looked at once: it may change under us */
	memcpy(&a, &l->memory->apps[app], sizeof(a));
	unsigned n = 0;
	while (n < sizeof(a.name) && a.name[n] > ' ' && a.name[n] < 127 && a.name[n] != '"') {
		name[n] = a.name[n];
		n++;
	}
	name[n] = 0;
	*cls = (enum lode_class)a.cls;
	return n && a.cls < LODE_MANAGEMENT;
}
