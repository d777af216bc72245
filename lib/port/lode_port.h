/* SPDX-License-Identifier: BSD-3-Clause */
/* port: ethdev bring-up. A driver profile (drivers-config/<name>.yaml) says how a family of devices is
 * opened; what the device then lacks is clamped or left to software, and said once in `notes` with its
 * consequence. Called by the control thread only, before the workers run and after they stopped; `link`
 * may be asked in between. Needs EAL. Actions return 0 or -errno. */
#pragma once

#include "lode_base.h"
#include "lode_config.h"

#include <rte_spinlock.h>

struct rte_mempool;

/* ---- driver profiles ---- */

#define LODE_PROFILE_IDS_MAX 96

enum lode_profile_bus { LODE_BUS_PCI, LODE_BUS_VDEV };
/* What must have happened to the device before we open it. */
enum lode_profile_binding {
	LODE_BINDING_NONE,	 /* nothing: the port exists in software only */
	LODE_BINDING_KERNEL,	 /* a kernel interface that stays one, guarded */
	LODE_BINDING_VFIO,	 /* bound to vfio-pci */
	LODE_BINDING_BIFURCATED, /* stays with its kernel driver, which shares it */
};
/* How a device spreads received packets over queues. */
enum lode_profile_steering {
	LODE_STEERING_NONE,    /* one queue */
	LODE_STEERING_HASH,    /* RSS or the like, over the 5-tuple */
	LODE_STEERING_UDP_PORT /* rte_flow by UDP destination port on WAN, RSS on LAN */
};

struct lode_profile {
	char name[LODE_NAME_MAX];
	bool tested;	    /* somebody has run it with this program */
	bool rx_interrupts; /* its driver can tell a sleeping worker that a frame came */
	enum lode_profile_bus bus;
	enum lode_profile_binding binding;
	enum lode_profile_steering steering;
	char driver[LODE_NAME_MAX]; /* of the PMD */
	/* {device}, {queues} and {frame} (bytes of a buffer for one frame, a power of two) are filled in. */
	char devargs[256];
	uint16_t max_queues, rx_descriptors, tx_descriptors, max_mtu_bytes;
	uint32_t pci_ids[LODE_PROFILE_IDS_MAX]; /* vendor << 16 | device */
	uint16_t n_pci_ids;
	char note[200]; /* for the operator, shown at start; may be empty */
};

/* Reads one file. -EINVAL: file:line, key, found and allowed. */
int lode_profile_read(const char *path, struct lode_profile *out, struct lode_err *err);
/* The profile that a port names; or the one that fits its device: by PCI vendor and device id, else
 * af_packet for a kernel interface. -ENOENT says what was looked for. */
int lode_profile_pick(const char *drivers_dir, const struct lode_config_port *port,
	struct lode_profile *out, struct lode_err *err);
/* Device arguments with the names in braces filled in; -ENOSPC. */
int lode_profile_devargs(const struct lode_profile *p, const struct lode_config_port *port,
	unsigned n_queues, char *buf, size_t size);

/* ---- ports ---- */

#define LODE_PORT_NOTES 8

struct lode_port {
	uint16_t ethdev; /* DPDK's id */
	uint16_t n_rx_queues,
		n_tx_queues; /* worker i uses queue i; without one, its rx is handed over */
	uint16_t mtu_bytes;
	uint8_t mac[6];
	bool opened;
	bool steered; /* each worker's UDP port arrives on its own queue */
	int socket_id;
	int wake_fds[LODE_WORKERS_MAX]; /* by queue: readable when a frame waits; -1: cannot tell */
	bool must_arm;			/* they tell only between lode_port_arm and _disarm */
	rte_spinlock_t arm_lock;	/* of the device: drivers share a register among queues */
	char driver[LODE_NAME_MAX], device[LODE_DEVICE_MAX];
	char notes[LODE_PORT_NOTES][200]; /* degradations and their consequence */
	unsigned n_notes;
};

struct lode_port_params {
	const struct lode_config_port *config;
	const struct lode_profile *profile;
	unsigned port_idx, n_workers;
	uint16_t udp_port; /* of worker 0 */
	struct rte_mempool *pool;
};

/* Whether a device argument for EAL (-a) is needed: PCI devices are probed when EAL starts, so that no
 * other device is touched; software ports are created by lode_port_open. Writes "ADDRESS[,devargs]". */
bool lode_port_eal_arg(const struct lode_profile *p, const struct lode_config_port *port,
	unsigned n_workers, char *buf, size_t size);

/* Creates or finds the device, configures, starts and steers it. -ENODEV: not there (for PCI: not bound). */
int lode_port_open(
	const struct lode_port_params *params, struct lode_port *port, struct lode_err *err);
/* The queue's worker is going to wait for its descriptor; then it has woken. Nothing happens where the
 * descriptor tells at any time. False: a frame may have come before it was armed; do not wait. */
bool lode_port_arm(struct lode_port *port, unsigned queue);
void lode_port_disarm(struct lode_port *port, unsigned queue);
/* No thread may use its queues any more. */
void lode_port_close(struct lode_port *port);

struct lode_port_link {
	bool up;
	uint32_t mbps; /* 0: unknown */
};
/* Never waits. */
struct lode_port_link lode_port_link(const struct lode_port *port);
