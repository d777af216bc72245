#!/bin/bash
# Eight TCP flows between two hosts through two gateways over one veth link, with one and with two workers in each
# gateway: throughput, and throughput per CPU-second of both gateways. Called by `lode-perf lanes` with the build
# folder and the seconds of a run; prints lines "CASE METRIC VALUE UNIT".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
sites_build=$(realpath "${1:-build}")
seconds=${2:-5}
sites_prefix=ll$$
sites_links=0
# shellcheck source=deploy/sites.sh
source deploy/sites.sh
trap sites_down EXIT
trap 'exit 130' INT TERM
ticks=$(getconf CLK_TCK)

cpu_ticks() { # user and system time of both gateways so far
	cat "/proc/$(cat "$sites_dir/a.pid")/stat" "/proc/$(cat "$sites_dir/b.pid")/stat" |
		awk '{ sub(/.*\) /, ""); sum += $12 + $13 } END { print sum }'
}

open_lanes() { # number
	[ "$(ctl a -j lane show | jq '[.[] | select(.usable)] | length')" = "$1" ]
}

measure() { # workers
	local before used bits
	sites_up
	sites_veth ga wan0 gb wan0
	sites_links=1
	sites_config a
	sites_config b
	sites_gateway_start a
	sites_gateway_start b
	sites_wait 20 sites_ping ha 10.102.0.2 && sites_wait 10 open_lanes "$1" || return 1
	in_ns hb iperf3 -s -1 >/dev/null 2>&1 &
	sites_wait 5 in_ns hb sh -c 'ss -ltn | grep -q :5201'
	before=$(cpu_ticks)
	in_ns ha iperf3 -J -P 8 -c 10.102.0.2 -t "$seconds" >"$sites_dir/iperf.json" || return 1
	used=$(($(cpu_ticks) - before))
	bits=$(jq '.end.sum_received.bits_per_second' "$sites_dir/iperf.json")
	awk -v c="workers-$1" -v b="$bits" -v t="$used" -v hz="$ticks" -v s="$seconds" 'BEGIN {
		printf "%s throughput %.4f Gbit/s\n", c, b / 1e9
		printf "%s efficiency %.4f Gbit/CPU-s\n", c, b * s / 1e9 / (t / hz) }'
	sites_links=0
	sites_down
}

sites_memory="size_mb: 384, packets: 65536"
sites_tunnel="lanes_open_load: 0"
cpus=$(nproc)
sites_workers=$((cpus > 1))
measure 1 || exit 1
sites_workers="$((cpus > 1)), $((cpus > 4 ? 2 : 0))"
measure 2
