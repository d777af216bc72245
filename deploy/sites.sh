# Sourced by quickstart, the e2e tests and perf/tunnel: two sites in network namespaces, a LAN host and a
# gateway each, joined by up to four WAN links that lodestone-wanem runs in a namespace between them.
# shellcheck shell=bash
#
#   P-ha --lan-- P-ga ==wan0..3== P-wan ==wan0..3== P-gb --lan-- P-hb        (P: $sites_prefix)
#
# LAN: 10.101.0.0/24 and 10.102.0.0/24 (fd00:101::/64, fd00:102::/64), hosts .2, gateways .1.
# WAN i: 192.0.2.(16 i + 1) at site a, (16 i + 2) at site b, /28. lode0: 10.255.0.1 and .2.

sites_prefix=${sites_prefix:-lode}
sites_build=${sites_build:-build}
sites_links=${sites_links:-4}
sites_dir=/tmp/lodestone-$sites_prefix
link_names=(fibre cable lte satellite)

in_ns() { # site-part command...
	local ns=$sites_prefix-$1
	shift
	ip netns exec "$ns" "$@"
}

sites_veth() { # ns-a if-a ns-b if-b
	ip link add "$2" netns "$sites_prefix-$1" type veth peer name "$4" netns "$sites_prefix-$3"
	local ns if_
	for pair in "$1 $2" "$3 $4"; do
		read -r ns if_ <<<"$pair"
		# veth hands unfinished checksums and 64 KiB trains over; the gateway wants finished packets.
		in_ns "$ns" ethtool -K "$if_" tx off gro off >/dev/null 2>&1 || true
		in_ns "$ns" ip link set "$if_" up
	done
}

sites_host() { # a|b subnet-number
	local host="h$1" n=$2
	in_ns "$host" ip addr add "10.$n.0.2/24" dev lan
	in_ns "$host" ip addr add "fd00:$n::2/64" dev lan nodad
	in_ns "$host" ip route add default via "10.$n.0.1"
	in_ns "$host" ip -6 route add default via "fd00:$n::1"
}

# Makes namespaces, links and addresses, after removing what a killed run left. Files go to $sites_dir.
sites_up() {
	local ns i
	sites_down
	mkdir -m 0700 "$sites_dir"
	for ns in ha ga wan gb hb; do
		ip netns add "$sites_prefix-$ns"
		in_ns "$ns" ip link set lo up
		# IPv6 router solicitations of the kernel would only be noise on the links.
		in_ns "$ns" sysctl -q -w net.ipv6.conf.default.accept_ra=0 || true
	done
	sites_veth ha lan ga lan
	sites_veth hb lan gb lan
	for ((i = 0; i < sites_links; i++)); do
		sites_veth ga "wan$i" wan "a$i"
		sites_veth gb "wan$i" wan "b$i"
		in_ns wan sysctl -q -w "net.ipv6.conf.a$i.disable_ipv6=1" "net.ipv6.conf.b$i.disable_ipv6=1"
	done
	sites_host a 101
	sites_host b 102
	local site
	for site in a b; do
		"$sites_build/lodectl" key generate "$sites_dir/$site.key" >"$sites_dir/$site.pub"
	done
}

# Writes $sites_dir/SITE.yaml. $2: text appended at the end (classes, rules, ...).
sites_config() { # a|b [more-yaml]
	local site=$1 other=b n=1 m=2 cpu=1 i
	[ "$site" = b ] && other=a n=2 m=1
	[ "$(nproc)" -ge 4 ] && cpu=$((n + 1))
	[ "$(nproc)" -eq 1 ] && cpu=0
	{
		echo "version: 1"
		echo "name: site-$site"
		echo "cpu: {control: 0, workers: [${sites_workers:-$cpu}]}"
		echo "memory: {${sites_memory:-size_mb: 192, packets: 24576}}"
		echo "ports:"
		echo "  - {name: lan, role: lan, device: lan, addresses: [10.10$n.0.1/24, \"fd00:10$n::1/64\"]}"
		for ((i = 0; i < sites_links; i++)); do
			echo "  - {name: wan$i, role: wan, device: wan$i, addresses: [192.0.2.$((16 * i + n))/28]}"
		done
		echo "tunnel: {key_file: $sites_dir/$site.key${sites_tunnel:+, $sites_tunnel}}"
		echo "peers:"
		echo "  - name: site-$other"
		echo "    public_key: \"$(cat "$sites_dir/$other.pub")\""
		echo "    prefixes: [10.10$m.0.0/24, \"fd00:10$m::/64\", 10.255.0.$m/32]"
		echo "    links:"
		for ((i = 0; i < sites_links; i++)); do
			echo "      - {name: ${link_names[i]}, port: wan$i, remote: \"192.0.2.$((16 * i + m)):51900\"}"
		done
		echo "host: {addresses: [10.255.0.$n/24]}"
		echo "system:"
		echo "  file_prefix: $sites_prefix-$site"
		echo "  control_socket: $sites_dir/$site.sock"
		echo "  state_dir: $sites_dir/$site.state"
		echo "  drivers_dir: $PWD/drivers-config"
		[ -n "${2:-}" ] && echo "$2"
	} >"$sites_dir/$site.yaml"
}

sites_gateway_start() { # a|b
	local site=$1
	# Not in_ns: the pid of a function in the background is its subshell's.
	ip netns exec "$sites_prefix-g$site" "$sites_build/lodestone-gateway" -c "$sites_dir/$site.yaml" \
		>>"$sites_dir/$site.log" 2>&1 &
	echo $! >"$sites_dir/$site.pid"
}

sites_gateway_stop() { # a|b [signal]; waits until it is gone
	local pid
	[ -s "$sites_dir/$1.pid" ] || return 0
	pid=$(cat "$sites_dir/$1.pid")
	rm -f "$sites_dir/$1.pid"
	kill "-${2:-TERM}" "$pid" 2>/dev/null || return 0
	wait "$pid" 2>/dev/null
}

ctl() { # a|b arguments of lodectl...
	local site=$1
	shift
	"$sites_build/lodectl" -s "$sites_dir/$site.sock" "$@"
}

# A root at $sites_dir/root, and models signed for it.
sites_model_root() {
	local root_key release_key
	root_key=$("$sites_build/lodectl" release keygen "$sites_dir/root.key") &&
		release_key=$("$sites_build/lodectl" release keygen "$sites_dir/release.key") &&
		"$sites_build/lodectl" release root "$sites_dir/root" --root-keys "$root_key" --release-keys "$release_key" \
			--key "$sites_dir/root.key" 2>/dev/null
}

sites_sign_model() { # file out model version counter
	"$sites_build/lodectl" release sign "$1" "$2" --model "$3" --version "$4" --counter "$5" --root "$sites_dir/root" \
		--key "$sites_dir/release.key" 2>/dev/null
}

# The links' settings, one string each; see lodestone-wanem.
sites_wanem_start() { # settings-of-link-0 settings-of-link-1 ...
	local i=0 words=() settings
	for settings in "$@"; do
		# shellcheck disable=SC2206
		words+=(link name="${link_names[i]}" a="a$i" b="b$i" $settings)
		i=$((i + 1))
	done
	ip netns exec "$sites_prefix-wan" "$sites_build/lodestone-wanem" --ctl "$sites_dir/wanem.sock" "${words[@]}" \
		>>"$sites_dir/wanem.log" 2>&1 &
	echo $! >"$sites_dir/wanem.pid"
	sites_wait 5 test -S "$sites_dir/wanem.sock"
}

wanem() { # set NAME SETTING... | stats
	"$sites_build/lodestone-wanem" ctl "$sites_dir/wanem.sock" "$@"
}

# Repeats a command until it succeeds.
sites_wait() { # seconds command...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -ge $end ] && return 1
		sleep 0.1
	done
}

sites_ping() { # from-host address [count]
	in_ns "$1" ping -n -q -c "${3:-1}" -i 0.2 -W 2 "$2"
}

# Removes everything sites_up made, and gateways $sites_more and namespaces $sites_more_ns of the test's own,
# whatever state it is in.
sites_down() {
	local ns site
	for site in a b ${sites_more:-}; do
		sites_gateway_stop "$site"
	done
	if [ -s "$sites_dir/wanem.pid" ]; then
		kill "$(cat "$sites_dir/wanem.pid")" 2>/dev/null && wait "$(cat "$sites_dir/wanem.pid")" 2>/dev/null
	fi
	for ns in ha ga wan gb hb ${sites_more_ns:-}; do
		[ -e "/run/netns/$sites_prefix-$ns" ] || continue
		ip netns pids "$sites_prefix-$ns" | xargs -r kill -KILL
		ip netns del "$sites_prefix-$ns"
	done
	rm -rf "$sites_dir" "/var/run/dpdk/$sites_prefix-"[a-z]
	rm -f /dev/hugepages/"$sites_prefix"-[a-z]map_*
}
