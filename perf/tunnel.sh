#!/bin/bash
# Two hosts in network namespaces, joined by Lodestone, wireguard-go or OpenVPN over the same veth link,
# iperf3 TCP: throughput, and throughput per CPU-second of the two tunnel processes. Called by `lode-perf tunnel`.
# shellcheck source=perf/lib.sh
source "$(dirname "$0")/lib.sh"

measure() { # case "pid pid"
	sites_wait 20 sites_ping ha 10.102.0.2 || { echo "$1: no ping through it" >&2; return 1; }
	tcp_rate "$@"
}

topology() { # number of veth links between the gateways
	local i
	sites_links=0
	sites_up
	for ((i = 0; i < $1; i++)); do
		sites_veth ga "wan$i" gb "wan$i"
	done
}

lodestone() { # case links
	topology "$2"
	sites_links=$2
	start_gateways
	measure "$1" "$(gateway_pids)"
	sites_down
}

# The peers route in the kernel: addresses of the gateways, forwarding, one link.
kernel_gateways() {
	topology 1
	local site n=1
	for site in a b; do
		in_ns "g$site" ip addr add "10.10$n.0.1/24" dev lan
		in_ns "g$site" ip addr add "192.0.2.$n/28" dev wan0
		in_ns "g$site" sysctl -q -w net.ipv4.ip_forward=1
		n=2
	done
}

wireguard() {
	kernel_gateways
	local site other n
	for site in a b; do
		wg genkey | tee "$sites_dir/$site.wg" | wg pubkey >"$sites_dir/$site.wgpub"
	done
	for site in a b; do
		other=b n=2
		[ $site = b ] && other=a n=1
		WG_PROCESS_FOREGROUND=1 ip netns exec "$sites_prefix-g$site" wireguard-go "wg$site" >/dev/null 2>&1 &
		pids+=($!)
		sites_wait 5 in_ns "g$site" ip link show "wg$site" || return 1
		in_ns "g$site" wg set "wg$site" listen-port 51820 private-key "$sites_dir/$site.wg" peer \
			"$(cat "$sites_dir/$other.wgpub")" allowed-ips 10.0.0.0/8 endpoint "192.0.2.$n:51820"
		in_ns "g$site" ip link set "wg$site" mtu 1420 up
		in_ns "g$site" ip route add "10.10$n.0.0/24" dev "wg$site"
	done
	measure wireguard-go "${pids[*]}"
	down
}

openvpn_pair() {
	kernel_gateways
	local site other n role
	for site in a b; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$site" \
			-keyout "$sites_dir/$site.key.pem" -out "$sites_dir/$site.crt.pem" 2>/dev/null
	done
	for site in a b; do
		other=b n=2 role=--tls-client
		[ $site = b ] && other=a n=1 role=--tls-server
		[ $site = b ] && role="$role --dh none"
		# shellcheck disable=SC2086
		ip netns exec "$sites_prefix-g$site" openvpn --dev "ov$site" --dev-type tun --proto udp --port 1194 --remote "192.0.2.$n" \
			--ifconfig "10.200.0.$((3 - n))" "10.200.0.$n" --route "10.10$n.0.0" 255.255.255.0 $role \
			--cert "$sites_dir/$site.crt.pem" --key "$sites_dir/$site.key.pem" --peer-fingerprint \
			"$(openssl x509 -in "$sites_dir/$other.crt.pem" -noout -fingerprint -sha256 | cut -d= -f2)" \
			--data-ciphers AES-256-GCM --cipher AES-256-GCM --disable-dco --verb 0 >"$sites_dir/ov$site.log" 2>&1 &
		pids+=($!)
	done
	measure openvpn "${pids[*]}" || cat "$sites_dir"/ov?.log >&2
	down
}

if command -v wireguard-go >/dev/null && command -v wg >/dev/null; then
	wireguard
else
	echo "wireguard-go is not installed: left out" >&2
fi
if command -v openvpn >/dev/null; then
	openvpn_pair
else
	echo "openvpn is not installed: left out" >&2
fi
lodestone lodestone-1-link 1
lodestone lodestone-4-links 4
