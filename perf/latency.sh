#!/bin/bash
# What two gateways add to the delay of single packets: UDP, 1000 a second, one way between two hosts, over
# the same three veth links joined by two bridges of the kernel, by two dpdk-testpmd (io forwarding,
# af_packet, polling without pause) and by two gateways with the default idle mode. Called by `lode-perf latency`.
# shellcheck source=perf/lib.sh
source "$(dirname "$0")/lib.sh"
sites_links=0

measure() { # case address-of-hb
	sites_wait 30 sites_ping ha "$2" || { echo "$1: no ping through it" >&2; return 1; }
	udp_delay "$@"
}

topology() {
	sites_up
	sites_veth ga wan0 gb wan0
}

testpmd() { # a|b cpu that it polls on; the fifo keeps its standard input open
	mkfifo "$sites_dir/pmd$1"
	ip netns exec "$sites_prefix-g$1" dpdk-testpmd --no-huge -m 128 --no-pci --no-telemetry --log-level=1 \
		--file-prefix "$sites_prefix-$1" --lcores "0@0,1@$2" --vdev net_af_packet0,iface=lan \
		--vdev net_af_packet1,iface=wan0 -- --no-mlockall --total-num-mbufs 4096 --forward-mode io \
		--auto-start <>"$sites_dir/pmd$1" >"$sites_dir/pmd$1.log" 2>&1 &
	pids+=($!)
}

one_subnet() {
	topology
	in_ns ha ip addr add 10.150.0.2/24 dev lan
	in_ns hb ip addr add 10.150.0.3/24 dev lan
}

kernel_bridged() {
	one_subnet
	local site
	for site in ga gb; do
		in_ns $site ip link add bridge type bridge
		in_ns $site ip link set lan master bridge
		in_ns $site ip link set wan0 master bridge
		in_ns $site ip link set bridge up
	done
	measure kernel-bridges 10.150.0.3 || return 1
	down
}

testpmd_bridged() {
	one_subnet
	testpmd a 0
	testpmd b 1
	measure testpmd 10.150.0.3 || { tail "$sites_dir"/pmd?.log >&2; return 1; }
	down
}

tunnelled() {
	topology
	sites_links=1
	start_gateways
	measure gateways 10.102.0.2
}

command -v dpdk-testpmd >/dev/null || give_up "dpdk-testpmd (package dpdk-dev) is not installed" 77
kernel_bridged && testpmd_bridged && tunnelled
