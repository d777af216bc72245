/* SPDX-License-Identifier: BSD-3-Clause */
/* The gateway's own struct and the steps its files offer each other; start.c has their order.
 *
 * threads            what they touch
 *   control lcore    control (under `lock`), links of ports, watchdog
 *   worker lcores    their struct worker_run, queues of the ports, rings to and from the exception thread
 *   exception thread taps, netlink, resolver; control (under `lock`) to tell it what the kernel says
 *   helper thread    signals, control socket, configuration; control (under `lock`) to apply and to show
 *   telemetry (DPDK) control (under `lock`) to show */
#pragma once

#include "lode_aead.h"
#include "lode_clock.h"
#include "lode_config.h"
#include "lode_control.h"
#include "lode_gateway.h"
#include "lode_ipc.h"
#include "lode_learn.h"
#include "lode_mirror.h"
#include "lode_model.h"
#include "lode_port.h"
#include "lode_trust.h"
#include "lode_worker.h"
#include "log.h"

#include <poll.h>
#include <pthread.h>

#define NAME_BYTES 96

/* A frame between a worker and the exception thread: copied, so that no packet buffer changes threads. */
struct kernel_frame {
	uint16_t len;
	uint8_t port_idx; /* of the configuration, or LODE_HOST_PORT: then data is an IP packet */
	uint8_t data[];
};

#define WORKER_COUNTERS(X)                                                                       \
	X(loops, count, LODE_INFO, "turns of the loop")                                          \
	X(busy_loops, count, LODE_INFO, "of them with packets")                                  \
	X(sleep_ns, ns, LODE_INFO, "time asleep")                                                \
	X(busy_ns, ns, LODE_INFO, "time in turns with packets")                                  \
	X(longest_loop_ns, ns, LODE_INFO, "longest turn so far")                                 \
	X(long_loops, count, LODE_WARN, "turns longer than system.long_loop_us")                 \
	X(rx_frames, packets, LODE_INFO, "frames received from ports")                           \
	X(tx_frames, packets, LODE_INFO, "frames given to ports")                                \
	X(kernel_tx, packets, LODE_INFO, "frames of the kernel's mirrors sent on ports")         \
	X(kernel_rx, packets, LODE_INFO, "frames given to the kernel's mirrors and lode0")       \
	X(drop_kernel_limited, packets, LODE_WARN, "frames to a mirror above its rate")          \
	X(drop_kernel_full, packets, LODE_WARN, "the ring to the exception thread was full")     \
	X(drop_kernel_tx, packets, LODE_WARN, "frames of a mirror: no room or no packet buffer") \
	X(drop_tx_stalled, packets, LODE_WARN, "frames a port did not take for 100 ms")
LODE_COUNTER_STRUCT(worker_run_counters, WORKER_COUNTERS);
extern const struct lode_counter_desc worker_run_counter_descs[];
extern const unsigned n_worker_run_counters;

/* Steps of a turn of a worker's loop. */
enum loop_step { LOOP_RX, LOOP_KERNEL, LOOP_POLL, LOOP_TX, LOOP_N_STEPS };
#define LOOP_BUCKETS	24 /* turns below 1, 2, 4, ... us */
#define LONG_LOOPS_KEPT 16

/* A turn that took longer than system.long_loop_us. */
struct long_loop {
	uint64_t now_ns, spent_ns;
	uint64_t step_ns;	/* its longest step */
	uint8_t step, port_idx; /* enum loop_step; the port of LOOP_RX */
	uint32_t n_frames;	/* received in it */
	uint32_t
		n_preempted; /* how often another thread got the CPU, since the worker slept last */
};

struct worker_run {
	struct gateway *g;
	unsigned idx, lcore;
	int cpu;
	struct lode_worker *worker;
	struct lode_ring *to_kernel,
		*from_kernel;		     /* struct kernel_frame; the worker's side is SP/SC */
	struct kernel_frame *scratch;	     /* the worker's; one record */
	struct worker_run_counters counters; /* worker writes, telemetry reads */
	/* Worker only. */
	uint64_t mirror_full_ns[LODE_ALL_PORTS]; /* token bucket in time: when it is full again */
	uint64_t tx_stuck_ns[LODE_ALL_PORTS];	 /* since when the port takes nothing; 0: it does */
	uint64_t turn_ns;			 /* of the turn it is in */
	struct {
		uint64_t then; /* cycles when its step began */
		uint64_t worst_cycles;
		uint8_t worst_step, worst_port;
		uint64_t n_preempted;
	} turn;
	unsigned idle_turns;
	uint64_t load_ns, load_busy_ns; /* when its load was told last */
	uint64_t moved;			/* packets that went through, as last seen */
	struct pollfd wake[LODE_PORTS_MAX + 1]; /* the ports' descriptors, then wake_fd */
	uint8_t wake_ports[LODE_PORTS_MAX];	/* whose they are */
	unsigned n_wake;
	uint64_t busy_ns;    /* last turn with packets */
	bool dense;	     /* they come closely one after the other */
	bool may_block;	     /* each of its ports can wake it */
	int wake_fd;	     /* eventfd */
	_Atomic bool asleep; /* blocked; worker writes, others read and clear */
	_Atomic uint64_t heartbeat_ns;	     /* worker writes, control reads */
	uint64_t loop_us_log2[LOOP_BUCKETS]; /* worker writes, telemetry reads */
	struct lode_ring *long_loops;	     /* struct long_loop; worker -> who holds the lock */
	/* Under the lock: what came over the rings, for views. */
	struct long_loop last_long[LONG_LOOPS_KEPT];
	unsigned n_long; /* ever */
	struct lode_talker talkers[LODE_TALKERS_MAX];
	unsigned n_talkers;
};

/* Routes of the box's own traffic over mirrors: behind every route an operator sets. Plus the port's index. */
#define MIRROR_METRIC 20000

struct mirror {
	struct lode_tap tap;
	int device_ifindex; /* kernel interface behind the port, 0: none */
	char device[IFNAMSIZ];
	bool up;	  /* link of the port */
	pid_t dhcp_pid;	  /* client on it, 0: none; helper thread */
	uint64_t dhcp_ns; /* when to start one again */
	/* Learned over netlink, for ports on DHCP. */
	struct lode_prefix addrs[LODE_ADDRS_MAX];
	unsigned n_addrs;
	struct lode_ip gateway4, gateway6;
};

/* A model in use, or let go. */
struct served {
	struct lode_model *model;
	struct lode_loss_model loss;	   /* of a loss predictor: how workers feed it */
	char version[LODE_TRUST_NAME_MAX]; /* as released; "": not by a release */
	uint64_t last_serial;		   /* of the snapshots that may name it, once it was let go */
	struct served *next;
};

struct gateway {
	struct lode_gateway_options options;
	struct logger log;
	enum lode_exit exit_code;
	_Atomic bool stop; /* anybody writes, all loops read */
	uint64_t started_ns;

	int state_lock;		    /* held while we run: one gateway per state directory */
	struct lode_config *config; /* as at start: for what needs a restart to change */
	struct lode_profile profiles[LODE_PORTS_MAX];
	bool guarded[LODE_PORTS_MAX]; /* its kernel interface was stripped */
	bool hugepages;		      /* EAL runs on them */
	struct rte_mempool *pool;
	struct lode_port ports[LODE_PORTS_MAX];
	struct rte_ring *handoff[LODE_WORKERS_MAX][LODE_WORKERS_MAX]; /* [from][to] */
	uint32_t frame_bytes; /* record of the kernel rings */

	struct {
		/* Helper thread writes, under the lock; NULL: the classic algorithm. */
		struct served *now[LODE_MODEL_ROLES];
		/* Helper thread. */
		struct served *retired; /* until no worker uses them */
		struct model_trial *trial;
		uint64_t serial; /* of those that workers run, ever */
	} models;
	/* Helper thread: samples go there while somebody asked for them. */
	struct lode_learn_writer *loss_samples;
	uint32_t loss_series; /* named last in the file, + 1 */
	struct lode_shared *shared;
	struct lode_aead *aead;
	struct worker_run workers[LODE_WORKERS_MAX];
	_Atomic uint32_t idle_mode, idle_max_sleep_us,
		long_loop_us; /* control writes, workers read */

	pthread_mutex_t lock; /* of control and what is beside it */
	struct lode_control *control;
	struct drops *drops;
	_Atomic uint64_t control_heartbeat_ns;
	_Atomic uint64_t config_serial; /* of the configuration in force; who applies one writes */

	/* Exception thread. */
	struct mirror mirrors[LODE_ALL_PORTS];
	struct lode_netlink *netlink;
	struct lode_resolver *resolver;
	struct host_routes *host_routes;
	struct lode_ring *resolve; /* struct lode_resolve, from control (under lock) */
	int wake_fd;		   /* eventfd */
	_Atomic bool asleep;	   /* it waits on wake_fd; exception thread writes, workers read */
	pthread_t exception_thread;
	bool exception_running;

	/* Helper thread writes, under the lock. */
	struct {
		struct lode_worker_apps *now, *retired; /* retired: until no worker uses it */
		uint64_t retired_ns, beats, beat_ns;
		uint64_t config_serial; /* whose classes apply */
		uint64_t n_attached;	/* ever */
	} apps;

	/* Helper thread. */
	uint64_t selector_saved_ns;
	struct {
		uint64_t serial, until_ns; /* until 0: none is running */
		uint64_t lost;		   /* records lost before it */
	} trace;
	struct lode_ipc_server *server;
	int signal_fd;
	pthread_t helper_thread;
	bool helper_running;
};

static inline uint64_t now_ns(void)
{
	return lode_clock_ns();
}

/* ---- eal.c ---- */
int start_eal(struct gateway *g, struct lode_err *err);
void stop_eal(struct gateway *g);

/* ---- loss.c: the loss predictor's model, samples and views ---- */
int start_loss(struct gateway *g, struct lode_err *err); /* after control and models */
void stop_loss(struct gateway *g);
/* Helper thread: keeps what the workers recorded. */
void loss_run(struct gateway *g);
/* "on" or "off". */
int loss_record(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_loss(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_loss_score(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- apps.c: lodestone-classify ---- */
/* Helper thread; fd stays the caller's. */
int apps_attach(struct gateway *g, int fd, struct lode_err *err);
void apps_run(struct gateway *g, uint64_t now);
void stop_apps(struct gateway *g);
int view_apps(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- models.c ---- */
int start_models(struct gateway *g, struct lode_err *err);
void stop_models(struct gateway *g);
struct lode_model_options model_options(const struct gateway *g);
/* Takes the model; on error it stays the caller's. -EINVAL: no worker could feed it. */
int served_new(struct gateway *g, struct lode_model *model, const char *version,
	struct served **out, struct lode_err *err);
void served_free(struct served *s);
/* The next snapshot names what runs now; after control was made, under the lock. */
void models_show(struct gateway *g);
/* Puts another model to work from the next snapshot on; the one before, which may go back or be retired. Helper
 * thread; takes the lock. */
struct served *models_swap(struct gateway *g, enum lode_model_role role, struct served *to);
/* Frees it once no worker uses it. Helper thread. */
void models_retire(struct gateway *g, struct served *s);
void models_run(struct gateway *g);
int view_models(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- model_trial.c: models that come over the control socket; helper thread ---- */
/* Checks what came and lets it run; whatever is refused, nothing changes. chain: text of delivery/trust. */
int model_try(struct gateway *g, const char *chain, int fd, struct lode_json *j, struct lode_err *err);
/* It stays, also after a restart. */
int model_commit(struct gateway *g, struct lode_json *j, struct lode_err *err);
int model_rollback(struct gateway *g, struct lode_json *j, struct lode_err *err);
/* What runs was signed again, for longer or under a newer root: the next start will see that. */
int model_renew(struct gateway *g, const char *chain, struct lode_json *j, struct lode_err *err);
/* Ends a trial that nobody decided about. */
void trial_run(struct gateway *g, uint64_t now);
void trial_stop(struct gateway *g);
bool trial_is(const struct gateway *g, const struct served *s); /* under the lock */

/* ---- model_committed.c; helper thread, or before there is one ---- */
/* Judges a chain by the root of the configuration and what was accepted before. *next, release: as
 * lode_trust_judge; clear *next in the end. */
int committed_judge(struct gateway *g, const char *chain, struct lode_trust_state *next,
	struct lode_trust_release *release, struct lode_err *err);
int committed_save_trust(const struct gateway *g, const struct lode_trust_state *s);
/* On disk before it returns. */
int committed_keep(const struct gateway *g, enum lode_model_role role, const char *chain,
	const void *bytes, size_t len);
/* What was kept last, judged again. -ENOENT: nothing was. */
int committed_load(
	struct gateway *g, enum lode_model_role role, struct served **out, struct lode_err *err);
/* Another release of bytes that are kept. */
int committed_renew(struct gateway *g, const char *chain, struct lode_trust_release *release,
	struct lode_err *err);

/* ---- devices.c ---- */
int start_profiles(struct gateway *g, struct lode_err *err);
int start_guards(struct gateway *g, struct lode_err *err);
void stop_guards(struct gateway *g);
int check_pool(struct gateway *g, struct lode_err *err);
int start_pool(struct gateway *g, struct lode_err *err);
void stop_pool(struct gateway *g);
int start_ports(struct gateway *g, struct lode_err *err);
void stop_ports(struct gateway *g);

/* ---- mirrors.c ---- */
int start_mirrors(struct gateway *g, struct lode_err *err);
void stop_mirrors(struct gateway *g);
/* Tells control what the ports are; after control was made. */
int start_port_views(struct gateway *g, struct lode_err *err);
/* Reads what the kernel told since; exception thread. */
void mirrors_run(struct gateway *g);
/* Link of a port changed: mirror and control are told. Takes the lock. */
void mirror_set_link(struct gateway *g, unsigned port_idx, bool up);

/* ---- host_routes.c ---- */
int start_host_routes(struct gateway *g, struct lode_err *err);
void stop_host_routes(struct gateway *g);
/* Follows the configuration; exception thread. */
void host_routes_run(struct gateway *g);

/* ---- dhcp.c: the helper thread calls it often, and once at its end ---- */
void dhcp_run(struct gateway *g);
void dhcp_stop(struct gateway *g);

/* ---- exception.c ---- */
int start_exception(struct gateway *g, struct lode_err *err);
void stop_exception(struct gateway *g);
void exception_wake(struct gateway *g);

/* ---- worker_run.c ---- */
int start_workers(struct gateway *g, struct lode_err *err);
void stop_workers(struct gateway *g);
int launch_workers(struct gateway *g, struct lode_err *err);
void join_workers(struct gateway *g);

/* ---- idle.c ---- */
int idle_init(struct worker_run *r, struct lode_err *err); /* after the ports were opened */
void idle_fini(struct worker_run *r);
/* Spins, sleeps or blocks after a turn. Returns whether time passed asleep. */
bool idle_rest(struct worker_run *r, bool busy, uint64_t now, uint64_t due);
/* Exception thread: something was pushed to the worker's ring. */
void idle_wake(struct worker_run *r);
/* After a turn: the workers that were handed packets over rings. */
void idle_wake_others(struct worker_run *r);

/* ---- drops.c; all under the lock ---- */
int start_drops(struct gateway *g, struct lode_err *err);
void stop_drops(struct gateway *g);
void drops_run(struct gateway *g, uint64_t now);

/* ---- loops.c ---- */
void loop_slept(struct worker_run *r);
void loop_was_long(struct worker_run *r, uint64_t spent_ns, unsigned n_frames);
void loops_run(struct gateway *g); /* under the lock */

/* ---- trace.c: commands of the control socket ---- */
int trace_start(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int trace_read(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int trace_stop(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
void trace_run(struct gateway *g, uint64_t now);

/* ---- control_run.c ---- */
int start_control(struct gateway *g, struct lode_err *err);
void stop_control(struct gateway *g);
/* The control lcore's loop; returns when the gateway shall end. */
void control_run(struct gateway *g);
/* Settings that workers read, from a configuration just applied. Under the lock. */
void publish_settings(struct gateway *g, const struct lode_config *config);

/* ---- helper.c ---- */
int start_helper(struct gateway *g, struct lode_err *err);
void stop_helper(struct gateway *g);
/* The control socket's answer to one request, JSON text in buf; its length, or -ENOSPC. */
long answer_request(struct gateway *g, const struct lode_ipc_creds *creds, const char *body,
	size_t len, int fd, char *buf, size_t size);

/* ---- state.c: what must survive a restart ---- */
int state_read_counter(const char *state_dir, uint64_t *counter, struct lode_err *err);
/* On disk before it returns. */
int state_save_counter(const char *state_dir, uint64_t counter);
/* A file of the state directory into text, with a NUL; its length. -ENOENT: there is none; -EFBIG: longer than
 * size - 1. */
long state_read_file(
	const char *state_dir, const char *name, char *text, size_t size, struct lode_err *err);
/* Replaces it as a whole; on disk before it returns. */
int state_save_file(const char *state_dir, const char *name, const char *text, size_t len);
/* Keeps other gateways out of the directory until the descriptor is closed. -EBUSY: one runs there. */
int state_lock(const char *state_dir, int *fd, struct lode_err *err);
int state_make_dir(const char *path, struct lode_err *err);

/* ---- selector_state.c ---- */
/* The file's text, or NULL; the caller frees it. */
char *selector_state_read(struct gateway *g);
/* Helper thread, often; last: at its end. */
void selector_state_run(struct gateway *g, uint64_t now, bool last);

/* ---- views.c: what telemetry and lodectl show ---- */
#define VIEW_BYTES (1 << 18)
struct view {
	const char *name, *help;
	int (*write)(
		struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
};
extern const struct view views[];
extern const unsigned n_views;
/* Writes the view's object as JSON text of at most size bytes; takes the lock. */
long view_write(struct gateway *g, const struct view *v, const char *params, char *buf, size_t size,
	struct lode_err *err);
const struct view *view_by_name(const char *name);

/* ---- views_peers.c ---- */
int view_peers(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_paths(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_lanes(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_classes(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- views_counters.c ---- */
int view_counters(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- views_repair.c ---- */
int view_fec(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- drops.c, loops.c, talkers.c ---- */
int view_drops(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_loops(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_long_loops(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_talkers(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- views_selector.c ---- */
int view_selector(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_decisions(
	struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);
int view_explain(struct gateway *g, const char *params, struct lode_json *j, struct lode_err *err);

/* ---- telemetry.c ---- */
int start_telemetry(struct gateway *g, struct lode_err *err);
void stop_telemetry(struct gateway *g);
