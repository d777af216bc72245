/* SPDX-License-Identifier: BSD-3-Clause */
#include "service.h"

#include <stdlib.h>

#define QUEUE_PKTS_DEFAULT 1000
#define IN_FLIGHT_MAX	   (1u << 22)
#define JITTER_STEP_NS	   (10 * LODE_NS_PER_MS)
#define REORDER_DEFAULT_NS (5 * LODE_NS_PER_MS)

struct item {
	uint64_t handle;
	uint64_t t_ns; /* in the queue: arrival; later: when it comes out */
	uint32_t bytes;
	uint32_t corrupt_bit;
	bool corrupt, copy;
	uint8_t fate;
};

struct fifo {
	struct item *items;
	uint32_t size, head, n; /* size: power of two */
};

/* A probability as a bound for 64 random bits. */
struct chance {
	uint64_t below;
	bool always;
};

struct lode_link {
	struct lode_link_config c;
	uint64_t seed;
	struct lode_rng in_rng,
		out_rng; /* two, so that the draws do not depend on when pop is called */
	struct chance loss, burst_enter, burst_leave, burst_loss, reorder, duplicate, corrupt;
	bool in_burst;
	bool losing;	   /* the last push was refused */
	struct fifo queue; /* waiting for service */
	uint64_t queue_bytes;
	struct lode_codel codel;
	struct service service;
	bool busy;
	struct item sending;
	uint64_t done_ns; /* of `sending` */
	struct fifo flying, late,
		dead; /* in order of t_ns; late: reordered; dead: dropped by CoDel */
	struct lode_link_stats stats;
};

/* Makes room for n items in all. */
static bool fifo_reserve(struct fifo *f, uint32_t n)
{
	if (n <= f->size)
		return true;
	uint32_t size = f->size ? 2 * f->size : 64;
	struct item *items = size > IN_FLIGHT_MAX ? NULL : malloc(size * sizeof(*items));
	if (!items)
		return false;
	for (uint32_t i = 0; i < f->n; i++)
		items[i] = f->items[(f->head + i) & (f->size - 1)];
	free(f->items);
	f->items = items;
	f->size = size;
	f->head = 0;
	return true;
}

/* Room has been reserved when the packet came in. */
static void fifo_put(struct fifo *f, const struct item *it)
{
	f->items[(f->head + f->n++) & (f->size - 1)] = *it;
}

static struct item *fifo_head(const struct fifo *f)
{
	return f->n ? &f->items[f->head] : NULL;
}

static void fifo_drop_head(struct fifo *f)
{
	f->head = (f->head + 1) & (f->size - 1);
	f->n--;
}

static uint64_t fifo_last_ns(const struct fifo *f)
{
	return f->n ? f->items[(f->head + f->n - 1) & (f->size - 1)].t_ns : 0;
}

static struct chance chance_of(double p)
{
	if (p >= 1)
		return (struct chance){0, true};
	return (struct chance){p > 0 ? (uint64_t)(p * 0x1p64) : 0, false};
}

static bool draw(struct lode_rng *rng, struct chance c)
{
	if (c.below == 0)
		return c.always;
	return lode_rng_u64(rng) < c.below;
}

/* Gilbert-Elliott: the bad state lasts burst_pkts packets on average and is entered as often as the
 * long-run loss asks for. */
static void set_loss(struct lode_link *l)
{
	const struct lode_link_config *c = &l->c;
	l->loss = chance_of(c->loss);
	l->burst_enter = l->burst_leave = (struct chance){0};
	if (c->burst_pkts <= 1 || c->loss <= 0) {
		l->in_burst = false;
		return;
	}
	double bad_loss = c->burst_loss > 0 ? c->burst_loss : 1;
	double bad_share = LODE_MIN(c->loss / bad_loss, 1.0);
	double leave = 1 / c->burst_pkts;
	l->burst_loss = chance_of(bad_loss);
	l->burst_leave = chance_of(bad_share < 1 ? leave : 0);
	l->burst_enter = chance_of(bad_share < 1 ? leave * bad_share / (1 - bad_share) : 1);
}

static void apply(struct lode_link *l, uint64_t now_ns)
{
	set_loss(l);
	l->reorder = chance_of(l->c.reorder);
	l->duplicate = chance_of(l->c.duplicate);
	l->corrupt = chance_of(l->c.corrupt);
	service_set(&l->service, &l->c, now_ns);
}

struct lode_link *lode_link_new(
	const struct lode_link_config *c, uint64_t seed, uint64_t start_ns, struct lode_err *err)
{
	if (lode_link_config_check(c, err))
		return NULL;
	struct lode_link *l = calloc(1, sizeof(*l));
	if (!l) {
		lode_err_set(err, -ENOMEM, "link: no memory");
		return NULL;
	}
	l->c = *c;
	l->seed = lode_mix64(seed);
	lode_rng_seed(&l->in_rng, seed);
	lode_rng_seed(&l->out_rng, ~seed);
	l->service.start_ns = start_ns;
	apply(l, start_ns);
	return l;
}

void lode_link_free(struct lode_link *l)
{
	if (!l)
		return;
	free(l->queue.items);
	free(l->flying.items);
	free(l->late.items);
	free(l->dead.items);
	free(l);
}

/* Uniform points each 10 ms, straight lines between them: a function of time alone. */
static int64_t jitter_at(const struct lode_link *l, uint64_t t_ns)
{
	if (l->c.jitter_ns == 0)
		return 0;
	uint64_t k = t_ns / JITTER_STEP_NS;
	double phase = (double)(t_ns % JITTER_STEP_NS) / (double)JITTER_STEP_NS;
	double a = (double)(lode_mix64(l->seed + k) >> 11) * 0x1p-52 - 1;
	double b = (double)(lode_mix64(l->seed + k + 1) >> 11) * 0x1p-52 - 1;
	return (int64_t)((a + phase * (b - a)) * (double)l->c.jitter_ns);
}

static void drop_inside(
	struct lode_link *l, struct item *it, enum lode_link_fate fate, uint64_t t_ns)
{
	it->fate = (uint8_t)fate;
	it->t_ns = t_ns;
	l->stats.fate_pkts[fate]++;
	fifo_put(&l->dead, it);
}

/* `sending` has left the server: faults of the way, then the delay line. */
static void fly(struct lode_link *l)
{
	struct item *it = &l->sending;
	it->t_ns = l->done_ns + l->c.delay_ns + (uint64_t)jitter_at(l, l->done_ns);
	it->copy = draw(&l->out_rng, l->duplicate);
	it->corrupt = draw(&l->out_rng, l->corrupt);
	if (it->corrupt)
		it->corrupt_bit =
			(uint32_t)lode_rng_below(&l->out_rng, 8ull * it->bytes + !it->bytes);
	struct fifo *to = &l->flying;
	if (draw(&l->out_rng, l->reorder)) {
		it->t_ns += l->c.reorder_ns ? l->c.reorder_ns : REORDER_DEFAULT_NS;
		to = &l->late;
	}
	it->t_ns = LODE_MAX(it->t_ns, fifo_last_ns(to));
	fifo_put(to, it);
	l->stats.duplicated_pkts += it->copy;
	l->stats.corrupted_pkts += it->corrupt;
	l->stats.reordered_pkts += to == &l->late;
}

static bool codel_drops(struct lode_link *l, const struct item *head, uint64_t begin_ns)
{
	if (l->c.aqm != LODE_LINK_CODEL)
		return false;
	uint64_t target = l->c.codel_target_ns ? l->c.codel_target_ns : 5 * LODE_NS_PER_MS;
	uint64_t interval = l->c.codel_interval_ns ? l->c.codel_interval_ns : 100 * LODE_NS_PER_MS;
	return lode_codel_drop(&l->codel, begin_ns, begin_ns - head->t_ns,
		l->queue_bytes - head->bytes, target, interval);
}

/* Starts the head of the queue if its time has come. */
static bool start_next(struct lode_link *l, uint64_t now_ns)
{
	struct item *head;
	while ((head = fifo_head(&l->queue))) {
		uint64_t begin_ns = service_begin(&l->service, head->t_ns);
		if (begin_ns > now_ns)
			return false;
		bool drop = codel_drops(l, head, begin_ns);
		l->sending = *head;
		l->queue_bytes -= head->bytes;
		fifo_drop_head(&l->queue);
		if (drop) {
			drop_inside(l, &l->sending, LODE_LINK_LOST_CODEL, begin_ns);
			continue;
		}
		l->done_ns = service_send(&l->service, begin_ns, l->sending.bytes);
		l->busy = true;
		return true;
	}
	return false;
}

/* Lets everything happen that is due by now. */
static void advance(struct lode_link *l, uint64_t now_ns)
{
	while (l->busy || start_next(l, now_ns)) {
		if (l->done_ns > now_ns)
			return;
		l->busy = false;
		fly(l);
	}
}

int lode_link_set(struct lode_link *l, const struct lode_link_config *c, uint64_t now_ns,
	struct lode_err *err)
{
	int rc = lode_link_config_check(c, err);
	if (rc)
		return rc;
	advance(l, now_ns);
	l->c = *c;
	apply(l, now_ns);
	if (!l->busy)
		return 0;
	/* The packet being sent begins anew if that is faster than the old rate lets it end. */
	struct service fresh = l->service;
	uint64_t done_ns = service_send(&fresh, service_begin(&fresh, now_ns), l->sending.bytes);
	if (done_ns < l->done_ns) {
		l->done_ns = done_ns;
		l->service = fresh;
	} else {
		l->service.free_ns = l->done_ns;
	}
	return 0;
}

static bool lost_at_random(struct lode_link *l)
{
	if (l->burst_enter.below == 0 && !l->burst_enter.always)
		return draw(&l->in_rng, l->loss);
	l->in_burst =
		l->in_burst ? !draw(&l->in_rng, l->burst_leave) : draw(&l->in_rng, l->burst_enter);
	return l->in_burst && draw(&l->in_rng, l->burst_loss);
}

static enum lode_link_fate admit(struct lode_link *l, uint32_t bytes)
{
	const struct lode_link_config *c = &l->c;
	if (c->down)
		return LODE_LINK_LOST_DOWN;
	if (c->mtu_bytes && bytes > c->mtu_bytes)
		return LODE_LINK_LOST_MTU;
	if (lost_at_random(l))
		return LODE_LINK_LOST_RANDOM;
	if (l->queue.n >= (c->queue_pkts ? c->queue_pkts : QUEUE_PKTS_DEFAULT) ||
		(c->queue_bytes && l->queue_bytes + bytes > c->queue_bytes))
		return LODE_LINK_LOST_QUEUE;
	return LODE_LINK_OK;
}

/* One packet more may end up in any of the fifos. */
static bool reserve_one(struct lode_link *l)
{
	uint32_t n = l->queue.n + l->busy + l->flying.n + l->late.n + l->dead.n + 1;
	return fifo_reserve(&l->queue, n) && fifo_reserve(&l->flying, n) &&
	       fifo_reserve(&l->late, n) && fifo_reserve(&l->dead, n);
}

enum lode_link_fate lode_link_push(
	struct lode_link *l, uint64_t now_ns, uint32_t bytes, uint64_t handle)
{
	advance(l, now_ns);
	l->stats.in_pkts++;
	l->stats.in_bytes += bytes;
	struct item it = {.handle = handle, .t_ns = now_ns, .bytes = bytes};
	enum lode_link_fate fate = admit(l, bytes);
	if (fate == LODE_LINK_OK && !reserve_one(l))
		fate = LODE_LINK_LOST_NO_MEMORY;
	l->stats.fate_pkts[fate]++;
	l->stats.lost_runs += fate != LODE_LINK_OK && !l->losing;
	l->losing = fate != LODE_LINK_OK;
	if (fate != LODE_LINK_OK)
		return fate;
	fifo_put(&l->queue, &it);
	l->queue_bytes += bytes;
	return LODE_LINK_OK;
}

/* The fifo whose head comes out first. */
static struct fifo *first_due(struct lode_link *l)
{
	struct fifo *all[] = {&l->dead, &l->flying, &l->late}, *first = NULL;
	for (unsigned i = 0; i < LODE_ARRAY_LEN(all); i++)
		if (all[i]->n && (!first || fifo_head(all[i])->t_ns < fifo_head(first)->t_ns))
			first = all[i];
	return first;
}

bool lode_link_pop(struct lode_link *l, uint64_t now_ns, struct lode_link_out *out)
{
	advance(l, now_ns);
	struct fifo *f = first_due(l);
	struct item *it = f ? fifo_head(f) : NULL;
	if (!it || it->t_ns > now_ns)
		return false;
	*out = (struct lode_link_out){.handle = it->handle,
		.due_ns = it->t_ns,
		.bytes = it->bytes,
		.corrupt = it->corrupt,
		.corrupt_bit = it->corrupt_bit,
		.copy = it->copy,
		.fate = it->fate};
	if (it->fate == LODE_LINK_OK) {
		l->stats.out_pkts++;
		l->stats.out_bytes += it->bytes;
	}
	if (it->copy)
		it->copy = false;
	else
		fifo_drop_head(f);
	return true;
}

uint64_t lode_link_next_due_ns(struct lode_link *l)
{
	struct fifo *f = first_due(l);
	uint64_t due_ns = f ? fifo_head(f)->t_ns : LODE_NEVER_NS;
	uint64_t served_ns = LODE_NEVER_NS;
	if (l->busy)
		served_ns = l->done_ns;
	else if (l->queue.n)
		served_ns = service_begin(&l->service, fifo_head(&l->queue)->t_ns);
	if (served_ns != LODE_NEVER_NS)
		served_ns += l->c.delay_ns - l->c.jitter_ns;
	return LODE_MIN(due_ns, served_ns);
}

bool lode_link_flush(struct lode_link *l, uint64_t *handle)
{
	if (l->busy) {
		l->busy = false;
		*handle = l->sending.handle;
		return true;
	}
	struct fifo *all[] = {&l->queue, &l->flying, &l->late, &l->dead};
	for (unsigned i = 0; i < LODE_ARRAY_LEN(all); i++) {
		if (all[i]->n == 0)
			continue;
		*handle = fifo_head(all[i])->handle;
		fifo_drop_head(all[i]);
		l->queue_bytes = l->queue.n ? l->queue_bytes : 0;
		return true;
	}
	return false;
}

uint32_t lode_link_queued_pkts(const struct lode_link *l)
{
	return l->queue.n;
}

uint64_t lode_link_queued_bytes(const struct lode_link *l)
{
	return l->queue_bytes;
}

const struct lode_link_stats *lode_link_stats(const struct lode_link *l)
{
	return &l->stats;
}
