/* SPDX-License-Identifier: BSD-3-Clause */
#include "netns.h"

#include "lode_mirror.h"

#include <unistd.h>

#define ADDRESSES                                                                           \
	"ip -o addr show dev veth.1 scope global | sed 's/^[0-9]*: //'; ip route show dev " \
	"veth.1; "                                                                          \
	"ip -6 route show dev veth.1 proto static; cat "                                    \
	"/proc/sys/net/ipv6/conf/veth.1/disable_ipv6"

/* A name with a dot: sysctl and nftables names are easy to get wrong. */
static void make_interface(char *dir, char *before, size_t size)
{
	enter_new_netns();
	strcpy(dir, "/tmp/lode-guard-XXXXXX");
	cr_assert(mkdtemp(dir));
	run("ip link add veth.1 type veth peer name far");
	run("ip link set veth.1 up; ip link set far up; ip link set lo up");
	run("ip addr add 192.0.2.1/24 dev veth.1");
	run("ip addr add 198.51.100.7/32 dev veth.1 label veth.1:x");
	run("ip addr add 2001:db8::1/64 dev veth.1 nodad");
	run("ip route add default via 192.0.2.254 metric 50");
	run("ip route add 203.0.113.0/24 via 192.0.2.253 src 192.0.2.1");
	run("ip -6 route add 2001:db8:1::/48 via 2001:db8::ff proto static");
	capture(ADDRESSES, before, size);
}

static void assert_stripped(void)
{
	char now[4096];
	capture(ADDRESSES, now, sizeof(now));
	cr_assert_str_eq(now, "1\n");
	capture("nft list ruleset", now, sizeof(now));
	cr_assert(strstr(now, "policy drop") && strstr(now, "veth.1"), "%s", now);
}

static void assert_as_before(const char *dir, const char *before)
{
	char now[4096];
	capture(ADDRESSES, now, sizeof(now));
	cr_assert_str_eq(now, before);
	capture("nft list ruleset", now, sizeof(now));
	cr_assert_str_eq(now, "");
	cr_assert_eq(rmdir(dir), 0, "a save was left in %s", dir);
}

Test(guard, takes_a_port_and_gives_it_back_as_it_was)
{
	char dir[64], before[4096];
	struct lode_err err;
	make_interface(dir, before, sizeof(before));
	cr_assert_eq(lode_guard_take(dir, "veth.1", &err), 0, "%s", err.msg);
	assert_stripped();
	cr_assert_eq(lode_guard_release(dir, "veth.1", &err), 0, "%s", err.msg);
	assert_as_before(dir, before);
}

Test(guard, a_second_start_after_a_kill_saves_the_true_state)
{
	char dir[64], before[4096];
	struct lode_err err;
	make_interface(dir, before, sizeof(before));
	cr_assert_eq(lode_guard_take(dir, "veth.1", &err), 0, "%s", err.msg);
	cr_assert_eq(lode_guard_take(dir, "veth.1", &err), 0, "%s", err.msg);
	assert_stripped();
	cr_assert_eq(lode_guard_release_all(dir, &err), 1, "%s", err.msg);
	assert_as_before(dir, before);
	cr_assert_eq(lode_guard_release_all(dir, &err), 0);
}

Test(guard, a_damaged_save_is_refused_and_nothing_changed)
{
	char dir[64], before[4096], now[4096], path[128], command[256];
	struct lode_err err;
	make_interface(dir, before, sizeof(before));
	cr_assert_eq(lode_guard_take(dir, "veth.1", &err), 0, "%s", err.msg);
	snprintf(path, sizeof(path), "%s/guard-veth.1.save", dir);
	cr_assert_eq(truncate(path, 100), 0);
	cr_assert_eq(lode_guard_take(dir, "veth.1", &err), -EBADMSG);
	cr_assert(strstr(err.msg, "veth.1"), "%s", err.msg);
	capture(ADDRESSES, now, sizeof(now));
	cr_assert_str_eq(now, "1\n");
	snprintf(command, sizeof(command), "rm -r %s", dir);
	run(command);
}

Test(guard, an_interface_that_is_not_there_is_named)
{
	enter_new_netns();
	struct lode_err err;
	cr_assert_eq(lode_guard_take("/tmp", "nosuch0", &err), -ENODEV);
	cr_assert(strstr(err.msg, "nosuch0"), "%s", err.msg);
}
