#!/bin/bash
# What two gateways add to the delay of single packets: UDP, 1000 a second, one way between two hosts, over
# the same three veth links joined by two bridges of the kernel, by two dpdk-testpmd (io forwarding,
# af_packet, polling without pause) and by two gateways with the default idle mode. Called by `lode-perf latency` with the build folder and the seconds of a
# run; prints lines "CASE METRIC VALUE UNIT".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
sites_build=$(realpath "${1:-build}")
seconds=${2:-10}
sites_prefix=ll$$
sites_links=0
# shellcheck source=deploy/sites.sh
source deploy/sites.sh
pids=()
down() {
	[ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}"; wait "${pids[@]}" 2>/dev/null; }
	pids=()
	sites_down
}
trap down EXIT
trap 'exit 130' INT TERM

measure() { # case address-of-hb
	sites_wait 30 sites_ping ha "$2" || { echo "$1: no ping through it" >&2; return 1; }
	in_ns hb python3 tests/e2e/udp_deadline.py receive 7000 $((seconds + 2)) 1000 >"$sites_dir/received" &
	local receiver=$!
	sleep 1
	in_ns ha python3 tests/e2e/udp_deadline.py send "$2" 7000 1000 100 "$seconds" >/dev/null
	wait $receiver
	awk -v c="$1" '{ printf "%s p50 %d us\n%s p99 %d us\n", c, $6, c, $8 }' "$sites_dir/received"
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
	local site
	for site in a b; do
		sites_config $site
		sites_gateway_start $site
	done
	measure gateways 10.102.0.2
}

[ "$(id -u)" -eq 0 ] || { echo "needs root for network namespaces" >&2; exit 77; }
command -v dpdk-testpmd >/dev/null || { echo "dpdk-testpmd (package dpdk-dev) is not installed" >&2; exit 77; }
kernel_bridged && testpmd_bridged && tunnelled
