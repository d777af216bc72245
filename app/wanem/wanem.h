/* SPDX-License-Identifier: BSD-3-Clause */
/* lodestone-wanem: a lode_link per direction between pairs of kernel interfaces, in real time, one
 * thread. Sizes are those of the IP packet (frame without its Ethernet header). */
#pragma once

#include "lode_base.h"
#include "lode_link.h"

#include <linux/virtio_net.h>

#define LINKS_MAX  16
#define BURST_MAX  64
#define ETH_BYTES  14
#define NAME_BYTES 32

/* A frame on its way: what AF_PACKET gave with PACKET_VNET_HDR, handed on as it is, so that unfinished
 * checksums and GSO trains stay what they are. */
struct frame {
	struct frame *next_free;
	uint64_t rx_ns;	     /* CLOCK_MONOTONIC */
	uint32_t size;	     /* room in data */
	uint32_t len;	     /* used: virtio header and frame */
	uint32_t wire_bytes; /* IP bytes; for a GSO train all its packets with their headers */
	uint32_t max_bytes;  /* IP bytes of its largest packet */
	uint8_t data[];
};

struct frame_pool;
struct frame_pool *frame_pool_new(void);
void frame_pool_free(struct frame_pool *pool);
void frame_put(struct frame_pool *pool, struct frame *f);
/* NULL without memory. */
struct frame *frame_copy(struct frame_pool *pool, const struct frame *f);

/* An interface opened with a packet socket. */
struct iface {
	char name[NAME_BYTES];
	int fd;
	uint64_t tx_errors;
	unsigned n_tx;
	struct frame *tx[BURST_MAX];
};

int iface_open(struct iface *i, struct lode_err *err);
void iface_close(struct iface *i);
/* Up to BURST_MAX frames; returns how many. */
unsigned iface_receive(
	struct iface *i, struct frame_pool *pool, uint64_t now_ns, struct frame **frames);
/* Queues one frame for sending; sends when BURST_MAX are there. */
void iface_send(struct iface *i, struct frame_pool *pool, struct frame *f);
void iface_flush(struct iface *i, struct frame_pool *pool);

struct direction {
	struct lode_link_config config; /* its trace is owned */
	char trace_path[256];
	struct lode_link *link;
	struct lode_hist *late; /* ns from due to handed to the kernel */
};

enum { UP, DOWN, N_DIRECTIONS }; /* a -> b, b -> a */

struct pair {
	char name[NAME_BYTES];
	struct iface side[2]; /* a, b: direction d goes from side[d] to side[!d] */
	struct direction dir[N_DIRECTIONS];
};

struct wanem {
	struct pair pairs[LINKS_MAX];
	unsigned n_pairs;
	struct frame_pool *pool;
	uint64_t seed, spin_ns, start_ns;
	bool realtime;
	const char *ctl_path;
	int ctl_fd; /* listening, -1: none */
	int epoll_fd, signal_fd;
	bool quit;
};

/* One setting of a pair: name=, a=, b=, key=value for both directions, up.key=, down.key=, and the bare
 * words up and down. Files of traces are read. */
int pair_set(struct pair *p, const char *setting, struct lode_err *err);
struct pair *pair_find(struct wanem *w, const char *name);
/* Changes a running pair: all settings or none. */
int pair_change(struct pair *p, char **settings, int n, struct lode_err *err);
long wanem_stats_json(const struct wanem *w, char *buf, size_t size);

/* Opens, runs until SIGINT, SIGTERM or quit, closes. */
int wanem_run(struct wanem *w, struct lode_err *err);

int ctl_listen(struct wanem *w, struct lode_err *err);
/* Answers one request on the listening socket. */
void ctl_serve(struct wanem *w);
/* The client: sends the words, prints the answer. Returns the exit code. */
int ctl_client(const char *path, int argc, char **argv);
