/* SPDX-License-Identifier: BSD-3-Clause */
#include "schema.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define SIZED(type, member) \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)
#define COUNT(type, member)                            \
	.count_offset = offsetof(struct type, member), \
	.count_size = sizeof(((struct type *)NULL)->member)
#define LIVE	.reload = LODE_RELOAD_LIVE
#define RESTART .reload = LODE_RELOAD_RESTART

static const char *const role_words[] = {"lan", "wan", NULL};
static const char *const idle_words[] = {"ramp", "poll", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const isa_words[] = {"auto", "portable", "avx2", "avx512vnni", "neon", NULL};
static const char *const aead_words[] = {"auto", "ipsec-mb", "openssl", NULL};
static const char *const class_words[] = {
	"gaming", "voip", "streaming", "bulk", "web", "management", NULL};

static const char *const repair_words[] = {"off", "nack", "auto", "fixed", NULL};

static const char *const prefer_words[] = {"listed", "learned", NULL};
static const char *const algorithm_words[] = {"value", "ucb1", "linucb", "round-robin", NULL};

static const struct field cpu_fields[] = {
	{"control", F_INT, SIZED(lode_config, control_cpu), .def = "0", .unit = "cpu", .max = 1023,
		RESTART, .help = "CPU of the control lcore and of all helper threads"},
	{"workers", F_LIST, AT(lode_config, worker_cpus), .size = sizeof(int), RESTART,
		COUNT(lode_config, n_workers), .max_items = LODE_WORKERS_MAX, .def = "[1]",
		.help = "One worker lcore on each of these CPUs",
		.sub = (const struct field[]){{"", F_INT, .size = sizeof(int), .def = "1",
						      .unit = "cpu", .max = 1023, RESTART},
			FIELD_END}},
	FIELD_END};

static const struct field memory_fields[] = {
	{"hugepages", F_BOOL, SIZED(lode_config, hugepages), .def = "true", RESTART,
		.help = "Use hugepages when the machine has them; false never does"},
	{"size_mb", F_UINT, SIZED(lode_config, memory_mb), .def = "256", .unit = "MiB", .min = 64,
		.max = 1 << 20, RESTART, .help = "Memory for packets and tables"},
	{"packets", F_UINT, SIZED(lode_config, mbufs), .def = "32768", .unit = "packets",
		.min = 4096, .max = 1 << 22, RESTART, .help = "Size of the packet pool"},
	{"flows", F_UINT, SIZED(lode_config, flows), .def = "65536", .unit = "flows", .min = 1024,
		.max = 1 << 22, RESTART, .help = "Flow table entries of each worker"},
	FIELD_END};

static const struct field ip_prefix_item[] = {
	{"", F_PREFIX, .size = sizeof(struct lode_prefix), .unit = "address/length",
		.needs_length = true, RESTART},
	FIELD_END};
static const struct field peer_prefix_item[] = {
	{"", F_PREFIX, .size = sizeof(struct lode_prefix), .unit = "address/length", LIVE},
	FIELD_END};

static const struct field port_fields[] = {
	{"name", F_STRING, SIZED(lode_config_port, name), RESTART,
		.help = "Name of the port in this file and in every display"},
	{"role", F_ENUM, SIZED(lode_config_port, role), .words = role_words, RESTART,
		.help = "lan: traffic to carry; wan: a way to the peers"},
	{"device", F_STRING, SIZED(lode_config_port, device), RESTART,
		.help = "PCI address (0000:01:00.0) or kernel interface (eth1)"},
	{"profile", F_STRING, SIZED(lode_config_port, profile), .def = "", RESTART,
		.help = "File of drivers-config/ without .yaml; empty picks one by device"},
	{"mtu", F_UINT, SIZED(lode_config_port, mtu_bytes), .def = "1500", .unit = "bytes",
		.min = 1280, .max = 9000, RESTART, .help = "L3 MTU of the port"},
	{"vlan", F_UINT, SIZED(lode_config_port, vlan), .def = "0", .unit = "802.1Q id",
		.max = 4094, RESTART, .help = "LAN ports: the VLAN its frames carry; 0: untagged"},
	{"addresses", F_LIST, AT(lode_config_port, addrs), .size = sizeof(struct lode_prefix),
		COUNT(lode_config_port, n_addrs), .max_items = LODE_ADDRS_MAX, RESTART, .def = "[]",
		.sub = ip_prefix_item, .help = "The appliance's addresses on it"},
	{"dhcp", F_BOOL, SIZED(lode_config_port, dhcp), .def = "false", RESTART,
		.help = "Addresses come from a DHCP client on the port's mirror"},
	{"gateway4", F_IP, SIZED(lode_config_port, gateway4), .def = "", RESTART,
		.help = "IPv4 next hop; empty: from the kernel's routes, or on-link"},
	{"gateway6", F_IP, SIZED(lode_config_port, gateway6), .def = "", RESTART,
		.help = "IPv6 next hop; the same"},
	{"up_mbps", F_UINT, SIZED(lode_config_port, up_kbps), .def = "0", .unit = "Mbit/s",
		.max = 400000, .scale = 1000, RESTART, .help = "WAN send rate; 0: learned"},
	{"monthly_gb", F_DOUBLE, SIZED(lode_config_port, monthly_gb), .def = "0", .unit = "GB",
		.max = 1e6, LIVE,
		.help = "WAN: bytes of both directions in a calendar month, spent evenly; 0: no "
			"limit"},
	FIELD_END};

static const struct field link_fields[] = {
	{"name", F_STRING, SIZED(lode_config_link, name), LIVE,
		.help = "The same at both ends: it pairs the ends of one path"},
	{"port", F_PORT_REF, SIZED(lode_config_link, port_idx), LIVE, .help = "A WAN port"},
	{"remote", F_ENDPOINT, SIZED(lode_config_link, remote), .def = "", LIVE,
		.unit = "address:port",
		.help = "Where the peer is; empty: learned from what it sends"},
	{"cost", F_DOUBLE, SIZED(lode_config_link, cost), .def = "1", .unit = "factor", .max = 1000,
		LIVE, .help = "Price of a byte; 1 is ordinary"},
	FIELD_END};

static const struct field peer_fields[] = {
	{"name", F_STRING, SIZED(lode_config_peer, name), LIVE, .help = "Name of the other site"},
	{"public_key", F_KEY, SIZED(lode_config_peer, public_key), LIVE, .unit = "base64",
		.help = "Its key, from 'lodectl key public'"},
	{"psk_file", F_STRING, SIZED(lode_config_peer, psk_file), .def = "", LIVE,
		.help = "File with a pre-shared key (32 bytes in base64); empty: none"},
	{"prefixes", F_LIST, AT(lode_config_peer, prefixes), .size = sizeof(struct lode_prefix),
		COUNT(lode_config_peer, n_prefixes), .max_items = LODE_PREFIXES_MAX, LIVE,
		.def = "[]", .sub = peer_prefix_item, .help = "Networks behind it"},
	{"links", F_LIST, AT(lode_config_peer, links), .size = sizeof(struct lode_config_link),
		COUNT(lode_config_peer, n_links), .max_items = LODE_LINKS_MAX, LIVE,
		.sub = link_fields, .help = "The paths to it; 4 are active at a time"},
	FIELD_END};

static const struct field rule_fields[] = {
	{"name", F_STRING, SIZED(lode_config_rule, name), LIVE, .help = "Name in counters"},
	{"class", F_ENUM, SIZED(lode_config_rule, cls), .words = class_words, LIVE,
		.help = "Class of what matches"},
	{"priority", F_UINT, SIZED(lode_config_rule, priority), .def = "100", .max = 65535, LIVE,
		.help = "The lowest number wins"},
	{"protocol", F_PROTOCOL, SIZED(lode_config_rule, protocol), .def = "any", LIVE,
		.help = "IP protocol"},
	{"dscp", F_INT, SIZED(lode_config_rule, dscp), .def = "any", .word = "any", .max = 63, LIVE,
		.help = "DSCP of the packet"},
	{"src", F_PREFIX, SIZED(lode_config_rule, src), .def = "any", .word = "any", LIVE,
		.unit = "address/length", .help = "Source network"},
	{"dst", F_PREFIX, SIZED(lode_config_rule, dst), .def = "any", .word = "any", LIVE,
		.unit = "address/length", .help = "Destination network"},
	{"sport", F_RANGE, AT(lode_config_rule, sport_lo), .size = 4, .def = "any", LIVE,
		.help = "Source port"},
	{"dport", F_RANGE, AT(lode_config_rule, dport_lo), .size = 4, .def = "any", LIVE,
		.help = "Destination port"},
	FIELD_END};

static const struct field app_fields[] = {{"name", F_STRING, SIZED(lode_config_app, name), LIVE,
						  .help = "As 'lodectl app show' has it"},
	{"class", F_ENUM, SIZED(lode_config_app, cls), .words = class_words, LIVE,
		.help = "Class of its flows"},
	FIELD_END};

#define BEHAVIOUR(name, index, cls, what)                                                          \
	{                                                                                          \
		name, F_ENUM, .offset = offsetof(struct lode_config, behaviour[index]),            \
			      .size = sizeof(enum lode_class), .words = class_words, .def = (cls), \
			      LIVE, .help = (what)                                                 \
	}
static const struct field behaviour_fields[] = {
	BEHAVIOUR("call", LODE_BEHAVES_CALL, "voip", "UDP, small packets of one size, steady"),
	BEHAVIOUR("game", LODE_BEHAVES_GAME, "gaming", "UDP, small packets, frequent"),
	BEHAVIOUR("stream", LODE_BEHAVES_STREAM, "streaming", "UDP, large packets, frequent"),
	BEHAVIOUR("download", LODE_BEHAVES_DOWNLOAD, "bulk", "TCP, large packets, many"),
	BEHAVIOUR("typing", LODE_BEHAVES_TYPING, "web", "TCP, small packets, few"), FIELD_END};

static const struct field class_link_item[] = {
	{"", F_STRING, .size = LODE_NAME_MAX, LIVE, .unit = "link name"}, FIELD_END};

#define CLASS_FIELDS(copies_, queue_, codel_, reorder_, dscp_, repair_, deadline_, residual_)      \
	{                                                                                          \
		{"links", F_LIST, AT(lode_config_class, links), .size = LODE_NAME_MAX,             \
			COUNT(lode_config_class, n_links), .max_items = LODE_LINKS_MAX, LIVE,      \
			.def = "[]", .sub = class_link_item,                                       \
			.help = "Links the class may use; empty: all"},                            \
			{"prefer", F_ENUM, SIZED(lode_config_class, prefer),                       \
				.words = prefer_words, .def = "listed", LIVE,                      \
				.help = "Among links: listed takes the first that is up, learned " \
					"the best by selector; without links always the latter"},  \
			{"copies", F_UINT, SIZED(lode_config_class, copies), .def = copies_,       \
				.min = 1, .max = 4, LIVE,                                          \
				.help = "Copies of each packet, each over another path"},          \
			{"queue_limit_ms", F_UINT, SIZED(lode_config_class, queue_limit_us),       \
				.def = queue_, .unit = "ms", .min = 1, .max = 10000,               \
				.scale = 1000, LIVE,                                               \
				.help = "A packet that waited longer is dropped"},                 \
			{"codel_target_ms", F_UINT, SIZED(lode_config_class, codel_target_us),     \
				.def = codel_, .unit = "ms", .min = 0.1, .max = 1000,              \
				.scale = 1000, LIVE,                                               \
				.help = "Queueing delay that CoDel steers to"},                    \
			{"reorder_limit_ms", F_UINT, SIZED(lode_config_class, reorder_limit_us),   \
				.def = reorder_, .unit = "ms", .max = 1000, .scale = 1000, LIVE,   \
				.help = "Longest wait for a missing packet of the same flow"},     \
			{"outer_dscp", F_INT, SIZED(lode_config_class, outer_dscp), .def = dscp_,  \
				.word = "copy", .max = 63, LIVE,                                   \
				.help = "DSCP of the outer header; copy: as the packet's own"},    \
			{"repair", F_ENUM, SIZED(lode_config_class, repair),                       \
				.words = repair_words, .def = repair_, LIVE,                       \
				.help = "How lost packets are made good: asked for again (nack), " \
					"as loss, RTT and deadline call for (auto), or by fixed "  \
					"FEC"},                                                    \
			{"fec_sources", F_UINT, SIZED(lode_config_class, fec_sources),             \
				.def = "10", .unit = "packets", .min = 1, .max = 100, LIVE,        \
				.help = "repair: fixed sends fec_repairs for each fec_sources"},   \
			{"fec_repairs", F_UINT, SIZED(lode_config_class, fec_repairs), .def = "2", \
				.unit = "packets", .min = 1, .max = 100, LIVE,                     \
				.help = "The same; not more than fec_sources"},                    \
			{"deadline_ms", F_UINT, SIZED(lode_config_class, deadline_us),             \
				.def = deadline_, .unit = "ms", .min = 1, .max = 5000,             \
				.scale = 1000, LIVE,                                               \
				.help = "A lost packet is worth having back so long"},             \
			{"residual_percent", F_UINT, SIZED(lode_config_class, residual_ppm),       \
				.def = residual_, .unit = "%", .min = 0.001, .max = 50,            \
				.scale = 10000, LIVE,                                              \
				.help = "Share of packets that repair: auto may leave lost"},      \
			{"parity_percent", F_UINT, SIZED(lode_config_class, parity_percent),       \
				.def = "100", .unit = "%", .min = 1, .max = 100, LIVE,             \
				.help = "Parity of repair: auto in the mean, at most, spent "      \
					"where it saves most; 100: what the residual takes"},      \
			FIELD_END                                                                  \
	}

static const struct field gaming_fields[] =
	CLASS_FIELDS("2", "50", "5", "5", "copy", "auto", "20", "0.1");
static const struct field voip_fields[] =
	CLASS_FIELDS("2", "100", "5", "5", "copy", "auto", "40", "0.2");
static const struct field streaming_fields[] =
	CLASS_FIELDS("1", "500", "10", "60", "copy", "auto", "100", "0.01");
static const struct field bulk_fields[] =
	CLASS_FIELDS("1", "1000", "10", "80", "copy", "nack", "300", "0.1");
static const struct field web_fields[] =
	CLASS_FIELDS("1", "500", "5", "30", "copy", "auto", "75", "0.01");
static const struct field management_fields[] =
	CLASS_FIELDS("1", "2000", "20", "80", "copy", "nack", "300", "0.1");

#define CLASS_GROUP(name, index)                                                              \
	{                                                                                     \
#name, F_GROUP, .offset = offsetof(struct lode_config, classes[index]), LIVE, \
				.sub = name##_fields, .def = "",                              \
				.help = "Treatment of class " #name                           \
	}
static const struct field classes_fields[] = {CLASS_GROUP(gaming, LODE_GAMING),
	CLASS_GROUP(voip, LODE_VOIP), CLASS_GROUP(streaming, LODE_STREAMING),
	CLASS_GROUP(bulk, LODE_BULK), CLASS_GROUP(web, LODE_WEB),
	CLASS_GROUP(management, LODE_MANAGEMENT), FIELD_END};

static const struct field tunnel_fields[] = {
	{"key_file", F_STRING, SIZED(lode_config, key_file), .def = "/etc/lodestone/private.key",
		RESTART, .help = "This appliance's private key, from 'lodectl key generate'"},
	{"udp_port", F_UINT, SIZED(lode_config, udp_port), .def = "51900", .min = 1, .max = 65500,
		RESTART, .help = "Worker i listens on udp_port + i"},
	{"lanes", F_UINT, SIZED(lode_config, lanes), .def = "8", .min = 1, .max = 8, RESTART,
		.help = "Workers that share one peer's traffic, at most; the fewer of both ends "
			"count"},
	{"lanes_open_load", F_UINT, SIZED(lode_config, lanes_open_permille), .def = "50",
		.unit = "percent", .max = 100, .scale = 10, LIVE,
		.help = "New Bulk and Streaming flows leave a peer's home worker from this load "
			"of it"},
	{"aead", F_ENUM, SIZED(lode_config, aead), .words = aead_words, .def = "auto", RESTART,
		.help = "Library that seals packets"},
	FIELD_END};

static const struct field host_fields[] = {
	{"addresses", F_LIST, AT(lode_config, host_addrs), .size = sizeof(struct lode_prefix),
		COUNT(lode_config, n_host_addrs), .max_items = LODE_ADDRS_MAX, RESTART, .def = "[]",
		.sub = ip_prefix_item, .help = "Addresses of lode0, the appliance's own interface"},
	{"rate_mbps", F_UINT, SIZED(lode_config, management_kbps), .def = "20", .unit = "Mbit/s",
		.min = 0.1, .max = 100000, .scale = 1000, LIVE,
		.help = "Cap of the appliance's own traffic"},
	FIELD_END};

static const struct field routes_fields[] = {
	{"default", F_PEER_REF, SIZED(lode_config, default_peer), .def = "unreachable",
		.word = "unreachable", LIVE, .help = "Peer for prefixes nobody owns"},
	FIELD_END};

static const struct field selector_fields[] = {
	{"algorithm", F_ENUM, .offset = offsetof(struct lode_config, selector.algorithm),
		.size = sizeof(enum lode_algorithm), .words = algorithm_words, .def = "value", LIVE,
		.help = "How a class finds its path where no order is listed"},
	{"seed", F_UINT, .offset = offsetof(struct lode_config, selector.seed),
		.size = sizeof(uint64_t), .def = "0", .max = 4294967295, LIVE,
		.help = "Where ties and turns begin; 0: anew at each start"},
	{"margin", F_DOUBLE, .offset = offsetof(struct lode_config, selector.margin),
		.size = sizeof(double), .def = "0.02", .max = 1, LIVE,
		.help = "A class moves to a path whose value is better by more, for two probes"},
	{"return_ms", F_UINT, .offset = offsetof(struct lode_config, selector.return_us),
		.size = sizeof(uint32_t), .def = "10000", .unit = "ms", .max = 600000,
		.scale = 1000, LIVE,
		.help = "A path that was away is used again after so long in good health"},
	FIELD_END};

static const struct field idle_fields[] = {
	{"mode", F_ENUM, SIZED(lode_config, idle_mode), .words = idle_words, .def = "ramp", LIVE,
		.help = "ramp: sleep a little when idle; poll: never sleep"},
	{"max_sleep_us", F_UINT, SIZED(lode_config, idle_max_sleep_us), .def = "200", .unit = "us",
		.min = 1, .max = 10000, LIVE, .help = "Longest sleep of an idle worker"},
	FIELD_END};

static const struct field system_fields[] = {
	{"log_level", F_ENUM, SIZED(lode_config, log_level), .words = level_words, .def = "info",
		LIVE, .help = "Least severe line that is logged"},
	{"long_loop_us", F_UINT, SIZED(lode_config, long_loop_us), .def = "1000", .unit = "us",
		.min = 10, .max = 1000000, LIVE,
		.help = "A turn of a worker's loop that takes longer is recorded"},
	{"file_prefix", F_STRING, SIZED(lode_config, file_prefix), .def = "lodestone", RESTART,
		.help = "EAL file prefix: names the dpdk-telemetry socket"},
	{"control_socket", F_STRING, SIZED(lode_config, control_socket),
		.def = "/run/lodestone/control.sock", RESTART, .help = "Socket lodectl talks to"},
	{"state_dir", F_STRING, SIZED(lode_config, state_dir), .def = "/var/lib/lodestone", RESTART,
		.help = "What must survive a restart"},
	{"drivers_dir", F_STRING, SIZED(lode_config, drivers_dir),
		.def = "/usr/share/lodestone/drivers-config", RESTART, .help = "Driver profiles"},
	{"model_dir", F_STRING, SIZED(lode_config, model_dir), .def = "/usr/share/lodestone/models",
		RESTART, .help = "Models shipped with us"},
	{"model_root", F_STRING, SIZED(lode_config, model_root), .def = "", LIVE,
		.help = "File with the root of the keys that may sign models; empty: none is taken"},
	{"model_isa", F_ENUM, SIZED(lode_config, model_isa), .words = isa_words, .def = "auto",
		RESTART, .help = "Instruction set that models run on; auto: the best of this CPU"},
	FIELD_END};

/* In the order of reading: ports before the links that name them, peers before the default route. */
const struct field config_schema[] = {
	{"name", F_STRING, SIZED(lode_config, name), .def = "lodestone", RESTART,
		.help = "Name of this appliance"},
	{"cpu", F_GROUP, .sub = cpu_fields, .def = "", .help = "Which CPU does what"},
	{"memory", F_GROUP, .sub = memory_fields, .def = "", .help = "Sizes fixed at start"},
	{"ports", F_LIST, AT(lode_config, ports), .size = sizeof(struct lode_config_port),
		COUNT(lode_config, n_ports), .max_items = LODE_PORTS_MAX, .sub = port_fields,
		RESTART, .help = "Up to 4 LAN and 4 WAN ports"},
	{"tunnel", F_GROUP, .sub = tunnel_fields, .def = "", .help = "Keys and UDP ports"},
	{"peers", F_LIST, AT(lode_config, peers), .size = sizeof(struct lode_config_peer),
		COUNT(lode_config, n_peers), .max_items = LODE_PEERS_MAX, .sub = peer_fields, LIVE,
		.def = "[]", .help = "The other sites"},
	{"routes", F_GROUP, .sub = routes_fields, .def = "", .help = "Beyond the peers' prefixes"},
	{"host", F_GROUP, .sub = host_fields, .def = "", .help = "The appliance's own traffic"},
	{"classes", F_GROUP, .sub = classes_fields, .def = "", .help = "Treatment of each class"},
	{"rules", F_LIST, AT(lode_config, rules), .size = sizeof(struct lode_config_rule),
		COUNT(lode_config, n_rules), .max_items = LODE_RULES_MAX, .sub = rule_fields, LIVE,
		.def = "[]", .help = "Which packets belong to which class"},
	{"applications", F_LIST, AT(lode_config, apps), .size = sizeof(struct lode_config_app),
		COUNT(lode_config, n_apps), .max_items = LODE_APPS_MAX, .sub = app_fields, LIVE,
		.def = "[]", .help = "Classes of what lodestone-classify recognises"},
	{"behaviour", F_GROUP, .sub = behaviour_fields, .def = "",
		.help = "Classes of flows that nothing else says the class of"},
	{"selector", F_GROUP, .sub = selector_fields, .def = "",
		.help = "Which path for which class"},
	{"idle", F_GROUP, .sub = idle_fields, .def = "", .help = "Power against latency"},
	{"system", F_GROUP, .sub = system_fields, .def = "", .help = "Files and logs"}, FIELD_END};
