/* SPDX-License-Identifier: BSD-3-Clause */
#include <criterion/criterion.h>

#include "lode_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh4="
#define PORTS                                                                   \
	"ports:\n"                                                              \
	"  - {name: lan0, role: lan, device: eth0, addresses: [10.1.0.1/24]}\n" \
	"  - {name: wan0, role: wan, device: eth1, addresses: [192.0.2.1/24]}\n"
#define PEER(name, key)                                                                     \
	"  - name: " name "\n    public_key: \"" key "\"\n    links: [{name: fibre, port: " \
	"wan0}]\n"

static struct lode_config *parse(const char *text, struct lode_err *err)
{
	struct lode_config *c;
	memset(err, 0, sizeof(*err));
	int rc = lode_config_parse("t.yaml", text, strlen(text), &c, err);
	cr_assert_eq(rc == 0, c != NULL);
	cr_assert_eq(rc, err->code);
	return c;
}

static void refuses(const char *text, const char *want)
{
	struct lode_err err;
	struct lode_config *c = parse(text, &err);
	cr_assert_null(c, "accepted: %s", text);
	cr_assert(strstr(err.msg, want), "wanted '%s' in '%s'", want, err.msg);
}

Test(config, smallest_file_gets_all_defaults)
{
	struct lode_err err;
	struct lode_config *c = parse("version: 1\n" PORTS, &err);
	cr_assert(c, "%s", err.msg);
	cr_assert_eq(c->n_workers, 1);
	cr_assert_eq(c->worker_cpus[0], 1);
	cr_assert_eq(c->udp_port, 51900);
	cr_assert_eq(c->default_peer, -1);
	cr_assert_eq(c->classes[LODE_VOIP].copies, 2);
	cr_assert_eq(c->classes[LODE_VOIP].repair, LODE_REPAIR_AUTO);
	cr_assert_eq(c->classes[LODE_VOIP].deadline_us, 40000);
	cr_assert_eq(c->classes[LODE_VOIP].residual_ppm, 2000);
	cr_assert_eq(c->classes[LODE_BULK].repair, LODE_REPAIR_NACK);
	cr_assert_eq(c->classes[LODE_BULK].queue_limit_us, 1000000);
	cr_assert_eq(c->classes[LODE_BULK].outer_dscp, -1);
	cr_assert_eq(c->ports[0].addrs[0].len, 120);
	cr_assert_eq(c->management_kbps, 20000);
	lode_config_free(c);
}

Test(config, sample_passes_and_prints_itself)
{
	static char text[65536], again[65536], path[512];
	struct lode_err err;
	struct lode_config *c, *d;
	snprintf(path, sizeof(path), "%s/deploy/config/lodestone.yaml", getenv("LODE_SOURCE_ROOT"));
	cr_assert_eq(lode_config_load(path, &c, &err), 0, "%s", err.msg);
	cr_assert_eq(c->n_rules, 3);
	cr_assert_eq(c->rules[0].dport_hi, 5061);
	cr_assert_eq(c->peers[0].links[1].port_idx, 2);
	cr_assert_float_eq(c->peers[0].links[1].cost, 5, 0);
	cr_assert_gt(lode_config_print(c, text, sizeof(text)), 0);
	d = parse(text, &err);
	cr_assert(d, "%s in\n%s", err.msg, text);
	cr_assert_eq(memcmp(c, d, sizeof(*c)), 0);
	lode_config_print(d, again, sizeof(again));
	cr_assert_str_eq(text, again);
	cr_assert_eq(lode_config_diff(c, d, again, sizeof(again)), 0);
	cr_assert_eq(lode_config_print(c, text, 100), -ENOSPC);
	lode_config_free(c);
	lode_config_free(d);
}

Test(config, errors_name_place_value_and_limit)
{
	refuses("version: 1\nprots: []\n",
		"t.yaml:2:1: unknown key 'prots'; the nearest known key is 'ports'");
	refuses("version: 1\n" PORTS "tunnel: {udp_port: 70000}\n",
		"t.yaml:5:20: tunnel.udp_port: found '70000', allowed: 1..65500");
	refuses("version: 1\nname: a\nname: b\n",
		"t.yaml:3:1: key 'name' stands twice, first in line 2");
	refuses("name: a\n", "version: missing");
	refuses("version: 2\n", "version: found '2', allowed: 1");
	refuses("version: 1\n", "ports: missing");
	refuses("version: 1\nports: 5\n", "ports: found '5', allowed: a list");
	refuses("version: 1\nports: [x]\n", "ports[0]: found 'x', allowed: a mapping");
	refuses("version: 1\nports: [{name: a b}]\n", "ports[0].name: found 'a b'");
	refuses("version: 1\nports: [{name: a, role: both}]\n", "found 'both', allowed: lan, wan");
	refuses("version: 1\nports:\n\t- x\n",
		"t.yaml:3:1: not YAML: a tab; lines are indented with spaces");
	refuses("version: 1\nports: {\n", "not YAML");
	refuses("version: 1\nports: [{name: a, role: lan, device: b, addresses: [10.1.0.1]}]\n",
		"found '10.1.0.1', in address/length, allowed: address/length, like 10.1.0.1/24");
	refuses("", "must be a mapping");
	refuses("version: 1\n" PORTS "memory: {flows: 1e99}\n", "memory.flows: found '1e99'");
	refuses("version: 1\n" PORTS "memory: {flows: 2048.5}\n", "memory.flows: found '2048.5'");
	refuses("version: 1\n" PORTS "classes: {voip: {copies: nan}}\n",
		"classes.voip.copies: found 'nan'");
	refuses("version: 1\n" PORTS "classes: {voip: {repair: some}}\n",
		"classes.voip.repair: found 'some', allowed: off, nack, auto, fixed");
	refuses("version: 1\n" PORTS "classes: {web: {fec_sources: 2, fec_repairs: 3}}\n",
		"classes.web.fec_repairs: 3 found, at most fec_sources (2) allowed");
	refuses("version: 1\n" PORTS "cpu: {workers: []}\n", "cpu.workers: an empty list");
}

Test(config, references_and_uniqueness)
{
	refuses("version: 1\n" PORTS "peers:\n  - name: b\n    public_key: \"" KEY_A "\"\n"
		"    links: [{name: x, port: wan7}]\n",
		"the name of a port: lan0, wan0");
	refuses("version: 1\n" PORTS "peers:\n  - name: b\n    public_key: \"" KEY_A "\"\n"
		"    links: [{name: x, port: lan0}]\n",
		"'lan0' is a LAN port");
	refuses("version: 1\n" PORTS "peers:\n" PEER("b", KEY_A) PEER("b", KEY_B), "peers[1].name");
	refuses("version: 1\n" PORTS "peers:\n" PEER("b", KEY_A) PEER("c", KEY_A),
		"peers[1].public_key");
	refuses("version: 1\n" PORTS "peers:\n  - {name: b, public_key: short, links: []}\n",
		"base64");
	refuses("version: 1\n" PORTS "routes: {default: nobody}\n",
		"unreachable, or the name of a peer");
	refuses("version: 1\n" PORTS "classes: {voip: {links: [fibre]}}\n",
		"no peer has a link named 'fibre'");
	refuses("version: 1\n" PORTS "peers:\n  - {name: b, public_key: \"" KEY_A "\", links: [],"
		" prefixes: [10.2.0.0/16, 10.2.9.9/16]}\n",
		"the same network");
	refuses("version: 1\n" PORTS "peers:\n  - {name: b, public_key: \"" KEY_A "\", links: [],"
		" prefixes: [10.2.0.0/16, 10.1.0.0/24]}\n",
		"peers[0].prefixes[1]: the network of port 'lan0' here");
}

Test(config, aliases_cannot_multiply_work)
{
	struct lode_err err;
	/* A cycle and a thousand-fold alias: the walk follows the schema, so both end at once. */
	cr_assert_null(parse("version: 1\nports: &a [*a]\n", &err));
	cr_assert_null(parse("version: 1\nports: [{name: &x [1], role: *x}]\n", &err));
}

Test(config, reload_classes)
{
	static char text[4096];
	struct lode_err err;
	struct lode_config *a = parse("version: 1\n" PORTS, &err);
	struct lode_config *b =
		parse("version: 1\n" PORTS "idle: {mode: poll}\npeers:\n" PEER("b", KEY_A), &err);
	struct lode_config *c = parse("version: 1\n" PORTS "tunnel: {udp_port: 99}\n", &err);
	cr_assert(a && b && c, "%s", err.msg);
	cr_assert_eq(lode_config_can_reload(a, b, &err), 0, "%s", err.msg);
	cr_assert_gt(lode_config_diff(a, b, text, sizeof(text)), 1);
	cr_assert(strstr(text, "idle.mode: ramp -> poll (live)"));
	cr_assert(strstr(text, "peers[0].name: absent -> b (live)"), "%s", text);
	cr_assert_eq(lode_config_can_reload(a, c, &err), -EBUSY);
	cr_assert(strstr(err.msg, "tunnel.udp_port"));
	lode_config_free(a);
	lode_config_free(b);
	lode_config_free(c);
}

static struct lode_config *with_peers(const char *names)
{
	struct lode_config *c = calloc(1, sizeof(*c));
	for (; *names; names++) {
		struct lode_config_peer *peer = &c->peers[c->n_peers++];
		peer->name[0] = *names;
		memset(peer->public_key, *names, sizeof(peer->public_key));
	}
	return c;
}

static void check_places(const char *from_names, const char *to_names, const char *want)
{
	struct lode_config *from = with_peers(from_names), *to = with_peers(to_names);
	lode_config_keep_places(from, to);
	for (unsigned i = 0; i < to->n_peers; i++)
		cr_expect(to->peers[i].name[0] == want[i] && to->peers[i].public_key[31] == want[i],
			"%s, then %s: %c at %u, want %c", from_names, to_names,
			to->peers[i].name[0], i, want[i]);
	free(from);
	free(to);
}

Test(config, peers_keep_their_places)
{
	check_places("abcd", "dcba", "abcd");
	check_places("abcd", "acd", "adc"); /* the last one moves into the gap, c stays */
	check_places("abcd", "xabcd", "abcdx");
	check_places("abcd", "xdyb", "xbyd");
	check_places("", "ab", "ab");
	check_places("ab", "", "");
}

Test(config, keys_in_base64)
{
	uint8_t key[32], back[32];
	char text[48];
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)(i * 37 + 11);
	lode_config_key_to_base64(key, text);
	cr_assert_eq(lode_config_key_from_base64(text, back), 0);
	cr_assert_arr_eq(key, back, 32);
	cr_assert_eq(lode_config_key_from_base64(KEY_A, back), 0);
	cr_assert_eq(back[31], 31);
	cr_assert_neq(
		lode_config_key_from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", back),
		0);
	cr_assert_neq(lode_config_key_from_base64("AAECAwQF=", back), 0);
}

Test(config, key_file_must_be_private)
{
	char path[] = "/tmp/lode-key-XXXXXX";
	uint8_t key[32];
	struct lode_err err;
	int fd = mkstemp(path);
	cr_assert_geq(write(fd, KEY_A "\n", 45), 45);
	close(fd);
	cr_assert_eq(lode_config_read_key(path, key, &err), 0, "%s", err.msg);
	cr_assert_eq(key[31], 31);
	chmod(path, 0644);
	cr_assert_eq(lode_config_read_key(path, key, &err), -EPERM);
	unlink(path);
	cr_assert_eq(lode_config_read_key(path, key, &err), -ENOENT);
}

Test(config, key_list_has_a_line_per_leaf)
{
	static char text[32768];
	cr_assert_gt(lode_config_keys(text, sizeof(text)), 0);
	cr_assert(strstr(text, "tunnel.udp_port\t-\t1..65500\t51900\trestart\t"));
	cr_assert(strstr(text, "peers[].links[].remote\taddress:port\t"));
}
