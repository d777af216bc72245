/* SPDX-License-Identifier: BSD-3-Clause */
/* config: reads a YAML file into one checked, immutable struct; knows every key's unit, range,
 * default and reload class; prints and compares configurations. Any thread; no global state. A struct
 * lode_config belongs to whoever loaded it, is never changed after loading, and may be read by any
 * thread until freed. Bad input: -EINVAL and a sentence with file:line:column, key path, what was found
 * and what is allowed. */
#pragma once

#include "lode_base.h"

#define LODE_DEVICE_MAX	   64
#define LODE_PATH_MAX	   256
#define LODE_LAN_PORTS_MAX 4
#define LODE_WAN_PORTS_MAX 4
#define LODE_PORTS_MAX	   (LODE_LAN_PORTS_MAX + LODE_WAN_PORTS_MAX)
#define LODE_WORKERS_MAX   16
#define LODE_PEERS_MAX	   64
#define LODE_LINKS_MAX	   8 /* paths known per peer; 4 of them active */
#define LODE_PREFIXES_MAX  32
#define LODE_RULES_MAX	   256
#define LODE_APPS_MAX	   64 /* applications whose class the operator sets */
#define LODE_ADDRS_MAX	   4
#define LODE_KEY_BYTES	   32

struct lode_prefix {
	struct lode_ip ip;
	uint8_t len; /* 0..128; an IPv4 /24 is stored as 120 */
};

enum lode_port_role { LODE_PORT_LAN, LODE_PORT_WAN };

struct lode_config_port {
	char name[LODE_NAME_MAX];
	enum lode_port_role role;
	char device[LODE_DEVICE_MAX]; /* PCI address, or kernel interface for software ports */
	char profile[LODE_NAME_MAX];  /* name of a drivers-config file; "" picks by device */
	uint16_t mtu_bytes;	      /* L3 */
	uint16_t vlan;		      /* 0: untagged. LAN: frames carry this 802.1Q id */
	struct lode_prefix
		addrs[LODE_ADDRS_MAX]; /* the box's addresses on it, with prefix length */
	uint8_t n_addrs;
	bool dhcp; /* a DHCP client runs on the mirror */
	struct lode_ip gateway4,
		gateway6; /* next hop; none: from the kernel's routes (DHCP) or on-link */
	uint32_t up_kbps;  /* WAN: what it may send; 0: learned */
	double monthly_gb; /* WAN: what both directions may carry in a month; 0: no limit */
};

struct lode_config_link {
	char name[LODE_NAME_MAX];    /* the same at both ends: it pairs the paths */
	uint8_t port_idx;	     /* into ports[], a WAN port */
	struct lode_endpoint remote; /* none: learned from the peer's authenticated packets */
	double cost;		     /* price factor, 1 = ordinary */
};

struct lode_config_peer {
	char name[LODE_NAME_MAX];
	uint8_t public_key[LODE_KEY_BYTES];
	char psk_file
		[LODE_PATH_MAX]; /* base64 of 32 bytes, read when the configuration is loaded */
	uint8_t psk[LODE_KEY_BYTES];
	bool has_psk;
	struct lode_prefix prefixes[LODE_PREFIXES_MAX];
	uint8_t n_prefixes;
	struct lode_config_link links[LODE_LINKS_MAX];
	uint8_t n_links;
};

/* A classification rule: fields left out match everything. Lower priority number wins. */
struct lode_config_rule {
	char name[LODE_NAME_MAX];
	enum lode_class cls;
	uint32_t priority;
	uint8_t protocol;				 /* 0: any */
	int16_t dscp;					 /* -1: any */
	struct lode_prefix src, dst;			 /* len 0: any */
	uint16_t sport_lo, sport_hi, dport_lo, dport_hi; /* 0..65535: any */
};

enum lode_prefer { LODE_PREFER_LISTED, LODE_PREFER_LEARNED };
/* In the order of enum lode_selector_kind. */
enum lode_algorithm {
	LODE_ALGORITHM_VALUE,
	LODE_ALGORITHM_UCB1,
	LODE_ALGORITHM_LINUCB,
	LODE_ALGORITHM_ROUND_ROBIN
};

/* What a flow looks like that nothing else says the class of. */
enum lode_behaviour {
	LODE_BEHAVES_CALL,     /* UDP, small packets of one size, steady */
	LODE_BEHAVES_GAME,     /* UDP, small packets, frequent */
	LODE_BEHAVES_STREAM,   /* UDP, large packets, frequent */
	LODE_BEHAVES_DOWNLOAD, /* TCP, large packets, many */
	LODE_BEHAVES_TYPING,   /* TCP, small packets, few */
	LODE_N_BEHAVIOURS,
};

/* Class of an application, in place of the one its kind suggests. */
struct lode_config_app {
	char name[LODE_NAME_MAX]; /* as `lodectl app show` has it, upper and lower case alike */
	enum lode_class cls;
};

enum lode_repair_mode {
	LODE_REPAIR_OFF,
	LODE_REPAIR_NACK, /* what is lost is asked for again, nothing is sent ahead */
	LODE_REPAIR_AUTO, /* asked for again, parity or copies: what loss, RTT and deadline call for */
	LODE_REPAIR_FIXED, /* fec_repairs repair segments for fec_sources segments */
};

struct lode_config_class {
	/* Links the class may use; empty: all links of the peer. */
	char links[LODE_LINKS_MAX][LODE_NAME_MAX];
	uint8_t n_links;
	enum lode_prefer prefer; /* listed: the first that is up; learned: the selector chooses */
	uint8_t copies;		 /* transmissions of each packet over different paths, 1..4 */
	uint32_t queue_limit_us; /* a packet that waited longer in the class queue is dropped */
	uint32_t codel_target_us;
	uint32_t reorder_limit_us; /* longest wait for a flow's missing packet at the receiver */
	int8_t outer_dscp;	   /* DSCP of the outer header; -1: copied from the inner packet */
	enum lode_repair_mode repair;
	uint8_t fec_sources, fec_repairs; /* of LODE_REPAIR_FIXED */
	uint32_t deadline_us;	/* a lost packet is worth having back so long after it was sent */
	uint32_t residual_ppm;	/* packets that may stay lost */
	uint8_t parity_percent; /* mean share of parity at most; 100: as much as it takes */
};

enum lode_idle_mode { LODE_IDLE_RAMP, LODE_IDLE_POLL };
/* In the order of lode_nn_isa. */
enum lode_isa_choice {
	LODE_ISA_CHOICE_AUTO,
	LODE_ISA_CHOICE_PORTABLE,
	LODE_ISA_CHOICE_AVX2,
	LODE_ISA_CHOICE_AVX512VNNI,
	LODE_ISA_CHOICE_NEON
};
enum lode_aead_choice {
	LODE_AEAD_CHOICE_AUTO,
	LODE_AEAD_CHOICE_IPSEC_MB,
	LODE_AEAD_CHOICE_OPENSSL
};
enum lode_log_level { LODE_LOG_ERROR, LODE_LOG_WARN, LODE_LOG_INFO, LODE_LOG_DEBUG };

struct lode_config {
	char name[LODE_NAME_MAX]; /* of this appliance */
	int control_cpu;
	int worker_cpus[LODE_WORKERS_MAX];
	uint8_t n_workers;
	bool hugepages;	    /* use them when present */
	uint32_t memory_mb; /* for EAL */
	uint32_t mbufs;	    /* size of the packet pool */
	uint32_t flows;	    /* flow table entries per worker */
	struct lode_config_port ports[LODE_PORTS_MAX];
	uint8_t n_ports;
	char key_file[LODE_PATH_MAX];
	uint16_t udp_port; /* worker i listens on udp_port + i */
	uint8_t lanes;	   /* per peer, at most; never more than workers */
	uint16_t
		lanes_open_permille; /* load of a peer's home worker from which new flows leave it */
	struct lode_config_peer peers[LODE_PEERS_MAX];
	uint8_t n_peers;
	int8_t default_peer; /* for prefixes no peer owns; -1: ICMP unreachable */
	struct lode_prefix host_addrs[LODE_ADDRS_MAX]; /* of lode0 */
	uint8_t n_host_addrs;
	struct lode_config_class classes[LODE_N_CLASSES];
	struct lode_config_rule rules[LODE_RULES_MAX];
	uint16_t n_rules;
	struct lode_config_app apps[LODE_APPS_MAX];
	uint16_t n_apps;
	enum lode_class behaviour[LODE_N_BEHAVIOURS];
	uint32_t management_kbps; /* cap of class management */
	struct {
		enum lode_algorithm algorithm;
		uint64_t seed; /* 0: another one at each start */
		double margin; /* of values in [-1, 1] */
		uint32_t return_us;
	} selector;
	enum lode_idle_mode idle_mode;
	uint32_t idle_max_sleep_us;
	uint32_t long_loop_us; /* a worker's loop that takes longer is recorded */
	enum lode_log_level log_level;
	char file_prefix[LODE_NAME_MAX]; /* EAL's, so dpdk-telemetry's socket */
	char control_socket[LODE_PATH_MAX];
	char state_dir[LODE_PATH_MAX];
	char drivers_dir[LODE_PATH_MAX];
	char model_dir[LODE_PATH_MAX];
	char model_root[LODE_PATH_MAX]; /* "": no model is taken while we run */
	enum lode_isa_choice model_isa;
	enum lode_aead_choice aead;
};

/* What a change of a key needs. */
enum lode_reload { LODE_RELOAD_LIVE, LODE_RELOAD_RESTART };

/* Reads a file, or text named `name` in messages. On error *out is NULL. Free with lode_config_free. */
int lode_config_load(const char *path, struct lode_config **out, struct lode_err *err);
int lode_config_parse(const char *name, const char *text, size_t len, struct lode_config **out,
	struct lode_err *err);
void lode_config_free(struct lode_config *c);

/* Prints the whole configuration, defaults included, as YAML that parses to the same struct. Returns the
 * length, or -ENOSPC. Keys that hold secrets (psk) are printed as paths or left out. */
long lode_config_print(const struct lode_config *c, char *buf, size_t size);

/* 0: `to` can be applied while running. -EBUSY: names the first key that needs a restart. */
int lode_config_can_reload(
	const struct lode_config *from, const struct lode_config *to, struct lode_err *err);
/* One line per changed key, "path: old -> new (live|restart)". Returns the number of changes. */
int lode_config_diff(
	const struct lode_config *from, const struct lode_config *to, char *buf, size_t size);

/* A peer's place in the list is its identity in a running gateway: peers that `from` knows too, by their keys,
 * take the places they have there if `to` is long enough, whatever the file's order. */
void lode_config_keep_places(const struct lode_config *from, struct lode_config *to);

int lode_config_port_by_name(const struct lode_config *c, const char *name); /* index or -ENOENT */
int lode_config_peer_by_name(const struct lode_config *c, const char *name);

/* Writes one line per key: path, unit, range, default, reload class, help; tab separated. */
long lode_config_keys(char *buf, size_t size);

/* Private key file: one line of base64 (32 bytes), mode 0600 or stricter. */
int lode_config_read_key(const char *path, uint8_t key[LODE_KEY_BYTES], struct lode_err *err);
int lode_config_key_from_base64(const char *text, uint8_t key[LODE_KEY_BYTES]);
void lode_config_key_to_base64(const uint8_t key[LODE_KEY_BYTES], char text[48]);
